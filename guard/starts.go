package guard

import (
	"context"
	"runtime"
	"slices"
	"sync"
	"time"

	"google.golang.org/grpc/status"
)

const (
	// startsForProcessor is how many frontends may start at once for each processor of the machine,
	// and minStarts how many on any machine.
	startsForProcessor = 4
	minStarts          = 8
	// startTime is how long a start counts at most.
	startTime = 3 * time.Second
)

// starts lets some frontends start at once, and others wait. The daemon gives up a frontend whose
// container hasn't spoken after ten seconds (golang.org/x/net/http2, prefaceTimeout). On a machine
// where too many start at once, each of them takes longer than that.
//
// A start counts until the frontend reads a source or returns. It is a soft limit: nobody says when
// a frontend has started, so a start also ends after some time. It keeps builds from failing that
// mean no harm. Those who want to keep the daemon busy can do so.
type starts struct {
	most int
	time time.Duration

	mu      sync.Mutex
	now     int
	of      map[Identity]int
	waiting []*waitingStart // those of an identity in the order in which they came
}

type waitingStart struct {
	who   Identity
	ready chan struct{} // closed when it may start
}

func newStarts() *starts {
	return &starts{
		most: max(minStarts, startsForProcessor*runtime.NumCPU()), time: startTime,
		of: map[Identity]int{},
	}
}

// start is a frontend that starts.
type start struct{ end func() } // end may be called more than once

// begin waits until a frontend of an identity may start. The error is that of the context.
func (s *starts) begin(ctx context.Context, who Identity) (*start, error) {
	s.mu.Lock()
	w := &waitingStart{who, make(chan struct{})}
	s.waiting = append(s.waiting, w)
	s.next()
	s.mu.Unlock()
	select {
	case <-w.ready:
	case <-ctx.Done():
		s.leave(w)
		return nil, ctx.Err()
	}
	end := sync.OnceFunc(func() { s.end(who) })
	late := time.AfterFunc(s.time, end)
	return &start{func() { late.Stop(); end() }}, nil
}

// next lets frontends start as long as there may be more. The next one is of an identity of which
// the fewest start, and the first of those. When an identity has its turn, its others go behind
// all, so nobody keeps others waiting by many of its own. The lock is held.
func (s *starts) next() {
	for s.now < s.most && len(s.waiting) > 0 {
		w := slices.MinFunc(s.waiting, func(a, b *waitingStart) int { return s.of[a.who] - s.of[b.who] })
		s.remove(w)
		slices.SortStableFunc(s.waiting, func(a, b *waitingStart) int {
			switch {
			case a.who != w.who && b.who == w.who:
				return -1
			case a.who == w.who && b.who != w.who:
				return 1
			}
			return 0
		})
		s.now++
		s.of[w.who]++
		close(w.ready)
	}
}

// end notes that a frontend of an identity starts no more.
func (s *starts) end(who Identity) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.now--
	if s.of[who]--; s.of[who] == 0 {
		delete(s.of, who)
	}
	s.next()
}

// leave gives up waiting.
func (s *starts) leave(w *waitingStart) {
	s.mu.Lock()
	waited := s.remove(w)
	s.mu.Unlock()
	if !waited { // it was its turn at the same time
		s.end(w.who)
	}
}

// remove takes one from those that wait, and reports whether it was there. The lock is held.
func (s *starts) remove(w *waitingStart) bool {
	i := slices.Index(s.waiting, w)
	if i >= 0 {
		s.waiting = slices.Delete(s.waiting, i, i+1)
	}
	return i >= 0
}

// beginStart waits until a frontend may start in a container. The build is told when it has
// returned. The error is that of a call that its caller has ended.
func (b *build) beginStart(ctx context.Context) (returned func(), err error) {
	s, err := b.guard.starts.begin(ctx, b.who)
	if err != nil {
		return nil, status.FromContextError(err).Err()
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.starting == nil {
		b.starting = map[*start]bool{}
	}
	b.starting[s] = true
	return func() {
		b.mu.Lock()
		delete(b.starting, s)
		b.mu.Unlock()
		s.end()
	}, nil
}

// endStart notes that a frontend of the build has started: it has read something. Nobody says which
// one.
func (b *build) endStart() {
	b.mu.Lock()
	defer b.mu.Unlock()
	for s := range b.starting {
		delete(b.starting, s)
		s.end()
		return
	}
}
