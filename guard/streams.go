package guard

import (
	"context"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/mem"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/grpc/tap"
	"google.golang.org/protobuf/proto"

	"github.com/policy-frontend/policy-frontend/internal/gatewaycodec"
	"github.com/policy-frontend/policy-frontend/internal/rawcall"
)

const (
	// heldByCall is what a call takes beside its messages. The connection takes data before somebody
	// reads it, and so does the daemon's. Few calls have more than that at once, and these take more
	// when it comes.
	heldByCall = 256<<10 + rawcall.DaemonWindow
	// heldByHandler is about what the stacks of a call take, and the daemon's connection for it.
	heldByHandler = rawcall.DaemonWindow + 16<<10
	// heldByHeader is about what a header takes beside its text, and heldByFrame what a frame of data
	// takes beside its buffer, in bytes.
	heldByHeader = 100
	heldByFrame  = 160
	// step is the size in bytes of what is taken for data beyond heldByCall.
	step = 16 << 10
	// minChunk is the size in bytes up to which frames that nobody has read are counted as one.
	minChunk = 4 << 10
	// minError is the size in bytes from which an error counts beside its call.
	minError = 16 << 10
	// takingTimeout is how long a client may leave an answer where it is that is complete. It bounds
	// the time between two parts of it.
	takingTimeout = 2 * time.Minute
)

// stream is a call of a client as gRPC's transport has it: from its headers on until its end is
// written, or until the client ends it. It takes memory as long as that, and as long as it is
// served.
type stream struct {
	conn    *counted
	id      uint32
	account *account

	// The connection's lock is for what follows.

	open, served bool
	lingers      int       // the client has reset it: until that many writes, gRPC may have it
	refused      bool      // there is no memory for the call
	headers      int       // what they take
	unread       []chunk   // data that nobody has read, the oldest first
	unreadHeld   int       // what it takes
	held         int       // what was taken for all of this
	took         time.Time // when the client last took a part of the answer
	late         *time.Timer
}

// chunk are frames of data that nobody has read.
type chunk struct{ bytes, held int }

// streamKey is the key of a call's *stream among the values of its context.
type streamKey struct{}

// arrive is called when the headers of a call have arrived, before it has a goroutine of its own.
// It fails for no call that a client may make: gRPC would keep the deadline of such a call.
func (g *Guard) arrive(ctx context.Context, call *tap.Info) (_ context.Context, err error) {
	by, err := callerOf(ctx)
	if err != nil {
		return nil, err
	}
	defer g.contain(by.id, call.FullMethodName, &err)
	return context.WithValue(ctx, streamKey{}, by.conn.begin(call.Header)), nil
}

// begin begins the stream whose headers the transport has read last.
func (c *counted) begin(headers metadata.MD) *stream {
	m := c.account.memory
	s := &stream{conn: c, id: c.newest, account: m.open(c.account.who), held: heldByCall}
	for name, values := range headers {
		s.headers += heldByHeader + len(name)
		for _, v := range values {
			s.headers += heldByHeader + len(v)
		}
	}
	if _, ok := s.account.tryTake(heldByCall); !ok {
		s.refused = true
		s.held = s.want()
		if !s.account.overdraw(s.held) {
			go c.drop("there is no memory to refuse its calls")
		}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.streams == nil {
		s.account.close()
		return s
	}
	s.open = true
	c.streams[s.id] = s
	return s
}

var errGone = status.Error(codes.Canceled, "policy-guard: the client has ended the call")

// serve marks a stream as served until done. It fails if the client has ended it already.
func (s *stream) serve() error {
	s.conn.mu.Lock()
	defer s.conn.mu.Unlock()
	if !s.open {
		return errGone
	}
	s.served = true
	return nil
}

// done is called when the call is answered, with its error. It returns the error for the client.
func (s *stream) done(err error) error {
	// In a header, each byte may become three.
	if size := proto.Size(status.Convert(err).Proto()); size > minError {
		if _, ok := s.account.tryTake(3 * size); !ok {
			err = errMemory
		}
	}
	s.conn.mu.Lock()
	defer s.conn.mu.Unlock()
	s.served = false
	if !s.open {
		s.free()
		return err
	}
	s.took = time.Now()
	s.late = time.AfterFunc(s.conn.guard.clients.taking, s.checkTaken)
	return err
}

// checkTaken closes the connection of a client that doesn't take an answer.
func (s *stream) checkTaken() {
	s.conn.mu.Lock()
	defer s.conn.mu.Unlock()
	if !s.open {
		return
	}
	if left := s.conn.guard.clients.taking - time.Since(s.took); left > 0 {
		s.late.Reset(left)
		return
	}
	go s.conn.drop("it doesn't take the answer to a call")
}

// ended is called when a stream has ended on the connection. The lock is held.
func (s *stream) ended() {
	delete(s.conn.streams, s.id)
	s.open = false
	if s.late != nil {
		s.late.Stop()
	}
	s.free()
}

// free gives back what the stream has taken, if nothing of it is left. The lock is held.
func (s *stream) free() {
	if !s.open && !s.served && s.lingers == 0 {
		s.account.close()
	}
}

const (
	// quietTime is how long nothing is written when gRPC has done what it had to do.
	quietTime = 100 * time.Millisecond
	// maxWrites is the number of writes in which gRPC does what it had to do. It has a task for each
	// frame of the 32 KiB that it reads at once, which are at most 3,600, and an answer for each of
	// 1,000 calls. It does one for each half of a write.
	maxWrites = 2500
)

// reset ends a stream that the client has reset. The part of gRPC that writes keeps it until it
// comes to that task, which it doesn't as long as the client takes nothing.
func (c *counted) reset(id uint32) {
	c.mu.Lock()
	defer c.mu.Unlock()
	s := c.streams[id]
	if s == nil {
		return
	}
	s.lingers = c.writes + maxWrites
	s.ended()
	c.resets = append(c.resets, s)
	c.awaitQuiet()
}

// awaitQuiet frees the streams that were reset when nothing has been written for a while. The lock
// is held.
func (c *counted) awaitQuiet() {
	switch {
	case c.inWrite || len(c.resets) == 0:
	case c.quiet == nil:
		c.quiet = time.AfterFunc(quietTime, func() {
			c.mu.Lock()
			defer c.mu.Unlock()
			if !c.inWrite {
				c.freeResets(len(c.resets))
			}
		})
	default:
		c.quiet.Reset(quietTime)
	}
}

// freeResets frees the oldest streams that were reset. The lock is held.
func (c *counted) freeResets(n int) {
	for _, s := range c.resets[:n] {
		s.lingers = 0
		s.free()
	}
	if c.resets = c.resets[n:]; len(c.resets) == 0 {
		c.resets = nil
	}
}

func (c *counted) beginWrite() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.inWrite = true
}

func (c *counted) endWrite() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.inWrite = false
	c.writes++
	n := 0
	for n < len(c.resets) && c.resets[n].lingers <= c.writes {
		n++
	}
	c.freeResets(n)
	c.awaitQuiet()
}

// want returns what has to be taken for the stream. The lock is held.
func (s *stream) want() int {
	all, least := heldByHandler+s.headers+s.unreadHeld, heldByCall
	if s.refused {
		all, least = all-rawcall.DaemonWindow, 0
	}
	return max(least, (all+step-1)/step*step)
}

// arrives counts data until somebody reads it. It waits for the memory for some time.
func (c *counted) arrives(f frame) error {
	c.mu.Lock()
	s := c.streams[f.stream]
	if s == nil || f.data == 0 { // the transport keeps nothing of it
		c.mu.Unlock()
		return nil
	}
	held := f.size + heldByFrame
	if !mem.IsBelowBufferPoolingThreshold(f.size) {
		held = rawcall.BufferSize(f.size) + heldByFrame
	}
	s.unreadHeld += held
	if last := len(s.unread) - 1; last >= 0 && s.unread[last].bytes < minChunk {
		s.unread[last].bytes += f.data
		s.unread[last].held += held
	} else {
		s.unread = append(s.unread, chunk{f.data, held})
	}
	more := s.want() - s.held
	c.mu.Unlock()
	if more <= 0 {
		return nil
	}
	if err := s.account.take(c.ctx, more); err != nil {
		return err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	s.held += more
	return nil
}

// read is called when somebody has read data.
func (s *stream) read(bytes int) {
	s.conn.mu.Lock()
	defer s.conn.mu.Unlock()
	for bytes > 0 && len(s.unread) > 0 {
		first := &s.unread[0]
		if bytes < first.bytes {
			first.bytes -= bytes
			break
		}
		bytes -= first.bytes
		s.unreadHeld -= first.held
		s.unread = s.unread[1:]
	}
	if less := s.held - s.want(); less > 0 {
		s.held -= less
		s.account.give(less)
	}
}

// countedWire is a wire that tells its stream what was read.
type countedWire struct {
	gatewaycodec.Wire
	stream *stream
}

// ReadMessageHeader implements [gatewaycodec.Wire].
func (r countedWire) ReadMessageHeader(header []byte) error {
	err := r.Wire.ReadMessageHeader(header)
	if err == nil {
		r.stream.read(len(header))
	}
	return err
}

// Read implements [gatewaycodec.Wire].
func (r countedWire) Read(bytes int) (mem.BufferSlice, error) {
	data, err := r.Wire.Read(bytes)
	if err == nil {
		r.stream.read(bytes)
	}
	return data, err
}
