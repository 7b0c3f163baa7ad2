package guard

import (
	"bytes"
	"container/list"
	"io"
	"net"
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
)

// connections counts the open connections of a guard.
type connections struct {
	guard      *Guard
	handshakes handshakes

	mu  sync.Mutex
	all int
	of  map[Identity]int
}

func newConnections(g *Guard) *connections {
	return &connections{guard: g, of: map[Identity]int{}}
}

// Connections returns how many connections clients have.
func (g *Guard) Connections() int {
	g.clients.mu.Lock()
	defer g.clients.mu.Unlock()
	return g.clients.all
}

// counted is a connection that is counted until it is closed.
type counted struct {
	net.Conn
	account *account // of the connection, and of answers that it hasn't taken yet
	once    sync.Once
	closed  func()
}

// Close implements [net.Conn].
func (c *counted) Close() error {
	c.once.Do(c.closed)
	return c.Conn.Close()
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
	return &counted{Conn: conn, account: a, closed: func() {
		a.close()
		c.mu.Lock()
		defer c.mu.Unlock()
		c.all--
		if c.of[id]--; c.of[id] == 0 {
			delete(c.of, id)
		}
	}}, nil
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

// enter adds a connection. leave has to be called when the client is known, or isn't.
func (h *handshakes) enter(conn net.Conn) (leave func()) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.open.Len() >= maxHandshakes {
		oldest := h.open.Front()
		_ = oldest.Value.(net.Conn).Close()
		h.open.Remove(oldest)
	}
	e := h.open.PushBack(conn)
	return func() {
		h.mu.Lock()
		defer h.mu.Unlock()
		h.open.Remove(e) // which does nothing if it was removed
	}
}
