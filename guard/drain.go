package guard

import (
	"context"
	"errors"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// drain is how the builds end when the guard does.
type drain struct {
	begun chan struct{} // closed when no further build may begin
	empty chan struct{} // closed when there is none any more after that
}

var errEnding = errors.New("policy-guard is ending, and begins no builds any more")

// ended is closed when no further build may begin.
func (s *builds) ended() <-chan struct{} { return s.drain.begun }

// ending reports whether no further build may begin.
func (s *builds) ending() bool {
	select {
	case <-s.drain.begun:
		return true
	default:
		return false
	}
}

// refuseEnding is the error of a build that comes too late. A client may try again, at another
// guard.
func refuseEnding() error { return status.Error(codes.Unavailable, errEnding.Error()) }

// Drain lets no further build begin and waits for those under way. Their calls are served as
// before. It returns how many are still under way when ctx ends, or 0.
//
// A server that stops by itself ([google.golang.org/grpc.Server.GracefulStop]) would refuse the
// further calls of a build under way.
func (g *Guard) Drain(ctx context.Context) int {
	empty := g.builds.stop()
	select {
	case <-empty:
	case <-ctx.Done():
	}
	return g.Builds()
}

// Builds returns how many builds are under way.
func (g *Guard) Builds() int {
	g.builds.mu.Lock()
	defer g.builds.mu.Unlock()
	return len(g.builds.live)
}

// stop lets no further build begin. The channel is closed when none is under way.
func (s *builds) stop() <-chan struct{} {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.ending() {
		close(s.drain.begun)
		s.closeIfEmpty()
	}
	return s.drain.empty
}

// closeIfEmpty tells that no build is under way any more. mu is held.
func (s *builds) closeIfEmpty() {
	if s.ending() && len(s.live) == 0 {
		close(s.drain.empty)
	}
}
