package guard

import (
	"context"
	"errors"
	"sync"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/policy-frontend/policy-frontend/internal/rawcall"
)

// DefaultMemory is how many bytes all clients together may take, unless [Options] say otherwise.
const DefaultMemory = 1 << 30

// MinMemory is the smallest number of bytes that all clients together can have. The largest message
// takes its size twice while it is read.
const MinMemory = 4 * rawcall.MaxMessage

const (
	// heldByConnection is about what a connection takes beside its calls: its buffers and stacks.
	heldByConnection = 64 << 10
	// heldByAnswer is about what the transport takes for an answer beside its bytes.
	heldByAnswer = 256
	// overdraft is the part of the memory that refused calls may take beyond it.
	overdraft = 16
	// minLittle is what an identity with a small build takes.
	minLittle = 4 << 20
	// patience is how long a request or an answer waits for memory.
	patience = 10 * time.Second
	// messageTimeout bounds the time from the beginning of a message to its end. The memory for it is
	// taken at its beginning.
	messageTimeout = 2 * time.Minute
	// minTimed is the size in bytes from which a message has a messageTimeout.
	minTimed = 64 << 10
)

// memory is what all clients take: calls, requests that are read, judged or under way, and answers
// that a client hasn't taken yet. It is an estimate. The program takes up to twice as much, because
// it collects its garbage later.
//
// One identity can have half of it. The last quarter is for identities that have little, so that
// a few with much don't keep the others out.
type memory struct {
	most, common, each, little int64
	patience                   time.Duration

	mu    sync.Mutex
	used  int64
	of    map[Identity]int64
	alone map[Identity]bool // whose answer arrives without memory
	freed chan struct{}     // closed when bytes are given back, or when such an answer has arrived
}

func newMemory(most int64) *memory {
	return &memory{
		most: most, common: most / 4 * 3, each: most / 2, little: max(most/64, minLittle),
		patience: patience,
		of:       map[Identity]int64{}, alone: map[Identity]bool{}, freed: make(chan struct{}),
	}
}

// Memory returns how many bytes the requests and answers of all clients take, by an estimate.
func (g *Guard) Memory() int64 {
	g.memory.mu.Lock()
	defer g.memory.mu.Unlock()
	return g.memory.used
}

// account is what one connection, call or build of an identity has taken.
type account struct {
	memory *memory
	who    Identity
	held   int64 // under the memory's lock
	closed bool
}

func (m *memory) open(who Identity) *account { return &account{memory: m, who: who} }

// errMemory says that there is no memory for what a client asks for. A client may try again.
var errMemory = status.Error(codes.ResourceExhausted, "policy-guard: the requests and answers of "+
	"this client, or of all clients together, take too much memory at the moment; do less at once, "+
	"or give policy-guard more (--memory)")

// take takes bytes. If they aren't there, it waits for some time until others give some back, and
// then fails with errMemory.
func (a *account) take(ctx context.Context, bytes int) error {
	if freed, ok := a.tryTake(bytes); !ok {
		return a.await(ctx, bytes, freed)
	}
	return nil
}

func (a *account) await(ctx context.Context, bytes int, freed <-chan struct{}) error {
	if int64(bytes) > a.memory.each {
		return errMemory
	}
	return a.memory.wait(ctx, freed, func() (<-chan struct{}, bool) { return a.tryTake(bytes) })
}

// wait tries again each time that something was freed, and gives up after some time.
func (m *memory) wait(
	ctx context.Context, freed <-chan struct{}, try func() (<-chan struct{}, bool),
) error {
	late := time.NewTimer(m.patience)
	defer late.Stop()
	for {
		select {
		case <-freed:
		case <-ctx.Done():
			return status.FromContextError(ctx.Err()).Err()
		case <-late.C:
			return errMemory
		}
		var ok bool
		if freed, ok = try(); ok {
			return nil
		}
	}
}

// expect takes memory for an answer of the daemon that is about to arrive, and is as large as any.
// arrived has to be called with the size that it has.
//
// Without that memory, an identity can have one such answer arrive at a time: who has little needs
// no memory for the largest answer.
func (a *account) expect(
	ctx context.Context, most int,
) (arrived func(ctx context.Context, size int) error, err error) {
	m, alone := a.memory, false
	try := func() (<-chan struct{}, bool) {
		freed, ok := a.tryTake(most)
		if ok {
			return nil, true
		}
		m.mu.Lock()
		defer m.mu.Unlock()
		if m.alone[a.who] {
			return freed, false
		}
		m.alone[a.who], alone = true, true
		return nil, true
	}
	if freed, ok := try(); !ok {
		if err := m.wait(ctx, freed, try); err != nil {
			return nil, err
		}
	}
	return func(ctx context.Context, size int) error {
		if !alone {
			a.give(max(0, most-size))
			return nil
		}
		err := a.take(ctx, size) // only then may the next one arrive
		m.mu.Lock()
		defer m.mu.Unlock()
		delete(m.alone, a.who)
		m.wake()
		return err
	}, nil
}

// tryTake takes bytes if they are there. Otherwise, freed is closed when there may be more.
func (a *account) tryTake(bytes int) (freed <-chan struct{}, ok bool) {
	m, n := a.memory, int64(bytes)
	m.mu.Lock()
	defer m.mu.Unlock()
	own := m.of[a.who] + n
	full := own > m.each || m.used+n > m.most || own > m.little && m.used+n > m.common
	if full && !a.closed {
		return m.freed, false
	}
	a.add(n)
	return nil, true
}

// overdraw takes bytes for refusing a call, also if there are none for calls. It fails if too much
// was taken in this way.
func (a *account) overdraw(bytes int) bool {
	m, n := a.memory, int64(bytes)
	m.mu.Lock()
	defer m.mu.Unlock()
	over, own := m.most/overdraft, m.of[a.who]+n
	if own > m.each+over || m.used+n > m.most+over ||
		own > m.little && m.used+n > m.common+over {
		return false
	}
	a.add(n)
	return true
}

// add takes bytes, unless what they are for has ended. The memory's lock is held.
func (a *account) add(bytes int64) {
	if a.closed {
		return
	}
	a.memory.used += bytes
	a.memory.of[a.who] += bytes
	a.held += bytes
}

// give gives bytes back.
func (a *account) give(bytes int) {
	a.memory.mu.Lock()
	defer a.memory.mu.Unlock()
	a.free(min(int64(bytes), a.held))
}

// close gives everything back. After that, the account keeps nothing.
func (a *account) close() {
	a.memory.mu.Lock()
	defer a.memory.mu.Unlock()
	a.closed = true
	a.free(a.held)
}

// free gives bytes back, and wakes those who wait. The memory's lock is held.
func (a *account) free(bytes int64) {
	m := a.memory
	a.held -= bytes
	m.used -= bytes
	if m.of[a.who] -= bytes; m.of[a.who] == 0 {
		delete(m.of, a.who)
	}
	m.wake()
}

// wake wakes those who wait. The lock is held.
func (m *memory) wake() {
	close(m.freed)
	m.freed = make(chan struct{})
}

// take takes memory until the call ends.
func (c *call) take(bytes int) error {
	return c.noteFull(c.account.take(c.stream.Context(), bytes))
}

// noteFull logs that a call gets no memory, and returns its error.
func (c *call) noteFull(err error) error {
	if errors.Is(err, errMemory) {
		c.guard.logRefusal(c.who, c.method, errors.New(status.Convert(err).Message()))
	}
	return err
}
