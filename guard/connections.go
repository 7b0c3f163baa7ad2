package guard

import (
	"bytes"
	"container/list"
	"context"
	"errors"
	"io"
	"net"
	"os"
	"strconv"
	"sync"
	"time"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/policy-frontend/policy-frontend/internal/safetext"
)

const (
	// maxConnections is how many connections an identity can have at the same time, and
	// maxAllConnections how many all of them can have. Each is a file descriptor.
	maxConnections    = 500
	maxAllConnections = 4000
	// maxHandshakes is how many connections can be open whose client isn't known yet, or that are
	// being refused. Each further one closes the oldest. A handshake takes some milliseconds, so
	// those of honest clients are new.
	maxHandshakes = 500
	// refusalTime bounds the time for telling a client why its connection is refused.
	refusalTime = time.Second
	// refusedFrame is the largest frame that is read meanwhile, in bytes. It is HTTP/2's default.
	refusedFrame = 16 << 10
	// maxFrame is the largest frame of data that gRPC takes, in bytes. It is HTTP/2's default.
	maxFrame = 16 << 10
	// writeTimeout is how long a client may take nothing of what is written to its connection. Each
	// time, at most some 30 kilobytes are written.
	writeTimeout = 30 * time.Second
)

// connections counts the open connections of a guard.
type connections struct {
	guard           *Guard
	handshakes      handshakes
	taking, writing time.Duration // are takingTimeout and writeTimeout

	mu  sync.Mutex
	all int
	of  map[Identity]int
}

func newConnections(g *Guard) *connections {
	return &connections{
		guard: g, taking: takingTimeout, writing: writeTimeout, of: map[Identity]int{},
	}
}

// Connections returns how many connections clients have.
func (g *Guard) Connections() int {
	g.clients.mu.Lock()
	defer g.clients.mu.Unlock()
	return g.clients.all
}

var errFrame = status.Errorf(codes.ResourceExhausted,
	"policy-guard: a frame has more than %d bytes", maxFrame)

// counted is a connection that is counted until it is closed. It follows what the two sides say to
// each other, and counts what the transport of gRPC keeps for that.
type counted struct {
	net.Conn
	guard   *Guard
	account *account // of the connection, and of answers that it hasn't taken yet
	ctx     context.Context
	once    sync.Once
	closed  func()

	// What follows is for the one who reads.

	in     frames
	newest uint32 // the stream that has begun last
	rest   []byte // was read, and comes after the headers of the newest stream
	err    error  // comes after the rest
	// resetting are streams of which the transport reads that the client resets them.
	resetting []uint32

	out frames // for the one who writes

	mu      sync.Mutex
	streams map[uint32]*stream // nil when the connection is closed
	writes  int                // how many have ended
	inWrite bool               // one is under way
	resets  []*stream          // streams that the client has reset, the oldest first
	quiet   *time.Timer        // frees them
}

// Close implements [net.Conn].
func (c *counted) Close() error {
	c.once.Do(c.closed)
	return c.Conn.Close()
}

// drop closes the connection, and says why in the log.
func (c *counted) drop(why string) {
	c.guard.noteRefusal(c.account.who, "a connection", "connection", GuardsRule, why)
	_ = c.Close()
}

// Read implements [net.Conn]. It reads no further than the headers of one stream: so the newest
// stream is that one, as long as the transport judges its headers.
func (c *counted) Read(p []byte) (int, error) {
	if len(c.rest) == 0 {
		if c.err != nil {
			return 0, c.err
		}
		for _, id := range c.resetting { // the transport asks for more when it has done what it got
			c.reset(id)
		}
		c.resetting = nil
		n, err := c.Conn.Read(p)
		now, full := c.follow(p[:n])
		switch {
		case full != nil:
			c.drop(status.Convert(full).Message())
			return 0, full
		case now == n:
			return n, err
		}
		c.rest, c.err = bytes.Clone(p[now:n]), err
		return now, nil
	}
	n, err := c.follow(c.rest[:min(len(p), len(c.rest))])
	if err != nil {
		c.drop(status.Convert(err).Message())
		return 0, err
	}
	copy(p, c.rest[:n])
	if c.rest = c.rest[n:]; len(c.rest) == 0 {
		c.rest = nil
	}
	return n, nil
}

// follow follows what the client says, up to the end of the headers of a stream, and returns how
// much that is.
func (c *counted) follow(p []byte) (n int, err error) {
	for n < len(p) {
		m, ended := c.in.next(p[n:], func(f frame) {
			switch {
			case f.kind != http2.FrameData:
			case f.size > maxFrame: // which the transport would refuse when it has come to it
				err = errFrame
			default:
				err = c.arrives(f)
			}
		})
		n += m
		switch f := c.in.now; {
		case err != nil:
			return n, err
		case !ended:
		case f.endsHeaders():
			c.newest = f.stream
			return n, nil
		case f.kind == http2.FrameRSTStream:
			c.resetting = append(c.resetting, f.stream)
		}
	}
	return n, nil
}

// Write implements [net.Conn]. A client that takes nothing for some time loses the connection.
func (c *counted) Write(p []byte) (int, error) {
	_ = c.SetWriteDeadline(time.Now().Add(c.guard.clients.writing))
	c.beginWrite()
	n, err := c.Conn.Write(p)
	c.endWrite()
	for p := p[:n]; len(p) > 0; {
		m, ended := c.out.next(p, c.takes)
		p = p[m:]
		if ended && c.out.now.endsStream() {
			c.end(c.out.now.stream)
		}
	}
	switch {
	case errors.Is(err, os.ErrDeadlineExceeded):
		c.drop("it takes nothing of what is sent to it")
	case err != nil:
		_ = c.Close()
	}
	return n, err
}

// takes notes that the client takes a part of an answer.
func (c *counted) takes(f frame) {
	if f.kind != http2.FrameData {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if s := c.streams[f.stream]; s != nil {
		s.took = time.Now()
	}
}

// end ends a stream.
func (c *counted) end(id uint32) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if s := c.streams[id]; s != nil {
		s.ended()
	}
}

// endAll ends all streams. None begins after that.
func (c *counted) endAll() {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, s := range c.streams {
		s.ended()
	}
	c.streams = nil
	c.freeResets(len(c.resets))
}

// add counts a connection. It fails if the identity, or all of them, have too many.
func (c *connections) add(conn net.Conn, id Identity) (*counted, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if err := c.full(id); err != nil {
		return nil, err
	}
	a := c.guard.memory.open(id)
	if _, ok := a.tryTake(heldByConnection); !ok {
		return nil, errMemory
	}
	c.all++
	c.of[id]++
	ctx, cancel := context.WithCancel(context.Background())
	open := &counted{
		Conn: conn, guard: c.guard, account: a, ctx: ctx,
		in: afterPreface(), streams: map[uint32]*stream{},
	}
	open.closed = func() {
		cancel()
		open.endAll()
		a.close()
		c.mu.Lock()
		defer c.mu.Unlock()
		c.all--
		if c.of[id]--; c.of[id] == 0 {
			delete(c.of, id)
		}
	}
	return open, nil
}

// full returns why there can be no further connection of an identity, or nil.
func (c *connections) full(id Identity) error {
	switch {
	case c.of[id] >= maxConnections:
		return status.Errorf(codes.ResourceExhausted, "policy-guard: %s has %d connections already",
			safetext.Printable(string(id)), maxConnections)
	case c.all >= maxAllConnections:
		return status.Errorf(codes.ResourceExhausted,
			"policy-guard: all clients together have %d connections already", maxAllConnections)
	}
	return nil
}

// refuseConnection answers the calls that come first on a connection, and closes it. A client that
// only saw its connection closed would try again at once, and show no reason.
func refuseConnection(conn net.Conn, why error) {
	defer func() { _ = conn.Close() }()
	_ = conn.SetDeadline(time.Now().Add(refusalTime))
	var answer bytes.Buffer
	header := hpack.NewEncoder(&answer)
	for _, f := range []hpack.HeaderField{
		{Name: ":status", Value: "200"},
		{Name: "content-type", Value: "application/grpc"},
		{Name: "grpc-status", Value: strconv.Itoa(int(codes.ResourceExhausted))},
		{Name: "grpc-message", Value: status.Convert(why).Message()},
	} {
		f.Sensitive = true // the fields stay the same for each call
		_ = header.WriteField(f)
	}
	f := http2.NewFramer(conn, conn)
	f.SetMaxReadFrameSize(refusedFrame)
	_, err := io.ReadFull(conn, make([]byte, len(http2.ClientPreface)))
	if err == nil {
		err = f.WriteSettings()
	}
	for err == nil {
		var frame http2.Frame
		if frame, err = f.ReadFrame(); err != nil {
			return
		}
		if h, ok := frame.(*http2.HeadersFrame); ok {
			err = f.WriteHeaders(http2.HeadersFrameParam{
				StreamID: h.StreamID, BlockFragment: answer.Bytes(), EndHeaders: true, EndStream: true,
			})
		}
	}
}

// handshakes are the connections whose client isn't known yet, or that are being refused, the
// oldest first.
type handshakes struct {
	mu   sync.Mutex
	open list.List
}

// handshake is a connection whose client isn't known yet.
type handshake struct {
	conn    net.Conn
	evicted bool // it was closed for a newer one
}

// enter adds a connection. leave has to be called when the client is known, or isn't. It reports
// whether the connection is still open for all that the guard did.
func (h *handshakes) enter(conn net.Conn) (leave func() (open bool)) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.open.Len() >= maxHandshakes {
		oldest := h.open.Front().Value.(*handshake)
		oldest.evicted = true
		_ = oldest.conn.Close()
		h.open.Remove(h.open.Front())
	}
	own := &handshake{conn: conn}
	e := h.open.PushBack(own)
	return func() bool {
		h.mu.Lock()
		defer h.mu.Unlock()
		h.open.Remove(e) // which does nothing if it was removed
		return !own.evicted
	}
}
