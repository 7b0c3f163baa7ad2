package guard

import (
	"context"
	"errors"
	"time"

	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
)

const (
	// maxRefusedBuilds is how many refused builds of an identity are remembered, as long as calls
	// about them may come. A call about a further one waits for it to begin.
	maxRefusedBuilds = 100
	// heldByRefusedBuild is about what a refused build takes beside its error, in bytes.
	heldByRefusedBuild = 1 << 10
)

// refusedBuildError is a build that didn't get to the daemon, and why. A client makes calls about a
// build in parallel with the request for it. They fail with the same error, because the client may
// show the one that it gets first.
type refusedBuildError struct {
	who Identity
	err error // as of a call
}

// Error implements error.
func (r *refusedBuildError) Error() string { return r.err.Error() }

// refuseBuild ends the calls that wait for a build which didn't get to the daemon, and those that
// come soon. Other calls about a build that has the id are not ended.
func (g *Guard) refuseBuild(who Identity, ref string, err error) {
	r := &refusedBuildError{who, err}
	a := g.memory.open(who)
	_, ok := a.tryTake(heldByRefusedBuild + proto.Size(status.Convert(err).Proto()))
	if !g.builds.refuse(ref, r, ok) {
		a.close()
		return
	}
	time.AfterFunc(g.builds.early, func() {
		g.builds.forget(ref, r)
		a.close()
	})
}

// refuse ends the calls that wait for a build. It reports whether the build is remembered, which
// can be only if there is room.
func (s *builds) refuse(ref string, r *refusedBuildError, room bool) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.live[ref] != nil { // another request has its id
		return false
	}
	s.wake(ref, r)
	own := 0
	for _, other := range s.refused {
		if other.who == r.who {
			own++
		}
	}
	if !room || own >= maxRefusedBuilds {
		return false
	}
	s.refused[ref] = r
	return true
}

// forget forgets a refused build.
func (s *builds) forget(ref string, r *refusedBuildError) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.refused[ref] == r { // not a later one with the same id
		delete(s.refused, ref)
	}
}

// refusal returns why a build was refused, or nil.
func (s *builds) refusal(ref string) *refusedBuildError {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.refused[ref]
}

// wake lets the calls go on that wait for a build. r is nil if it has begun. The lock is held.
func (s *builds) wake(ref string, r *refusedBuildError) {
	if w := s.wait[ref]; w != nil {
		w.refused = r
		close(w.decided)
		delete(s.wait, ref)
	}
}

// untilRefused returns a context that also ends when the build is refused. Its cause is a
// *refusedBuildError then.
func (s *builds) untilRefused(ctx context.Context, ref string) (context.Context, func()) {
	ctx, cancel := context.WithCancelCause(ctx)
	if r := s.refusal(ref); r != nil {
		cancel(r)
		return ctx, func() {}
	}
	go func() {
		var r *refusedBuildError
		if _, err := s.find(ctx, ref); errors.As(err, &r) {
			cancel(r)
		}
	}()
	return ctx, func() { cancel(nil) }
}
