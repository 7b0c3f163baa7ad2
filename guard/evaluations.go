package guard

import (
	"context"
	"errors"
	"sync"
	"time"

	controlapi "github.com/moby/buildkit/api/services/control"
)

// evaluations are the calls of a build under way for which the daemon may run commands.
//
// At the daemon, such a call goes on when its build has ended, and so do its commands. The daemon
// then finds no policy session for their requests and allows them all (solver/llbsolver/policy.go,
// Evaluate). So under rules on downloads, a build ends after its calls.
type evaluations struct {
	mu          sync.Mutex
	running     map[int]context.CancelFunc
	next        int
	over        bool          // no more of them may begin
	none        chan struct{} // closed when none is running, once they are over
	interrupted bool          // one has failed or was ended early, so its commands may still run
}

// begin notes a call. end must be called with the error of the call when the daemon has answered,
// and may be called again. It reports false if the build may have no more of them.
func (e *evaluations) begin(ctx context.Context) (_ context.Context, end func(error), ok bool) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.over {
		return nil, nil, false
	}
	ctx, cancel := context.WithCancel(ctx)
	if e.running == nil {
		e.running = map[int]context.CancelFunc{}
	}
	id := e.next
	e.next++
	e.running[id] = cancel
	return ctx, func(err error) {
		e.mu.Lock()
		defer e.mu.Unlock()
		if e.running[id] == nil {
			return
		}
		e.interrupted = e.interrupted || err != nil || ctx.Err() != nil
		cancel()
		delete(e.running, id)
		if e.over && len(e.running) == 0 {
			close(e.none)
		}
	}, true
}

// finish lets no more calls begin, ends those under way, and waits until they have ended. It
// reports whether one failed or was ended early in the build.
func (e *evaluations) finish() (interrupted bool) {
	e.mu.Lock()
	if !e.over {
		e.over, e.none = true, make(chan struct{})
		if len(e.running) == 0 {
			close(e.none)
		}
	}
	for _, cancel := range e.running {
		cancel()
	}
	e.mu.Unlock()
	<-e.none
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.interrupted
}

// evaluate begins a call for which the daemon may run commands. The context ends with the build.
// end must be called with the error of the call when the daemon has answered.
func (b *build) evaluate(c *call) (_ context.Context, end func(error), err error) {
	ctx, stop := b.during(c.stream.Context())
	if b.policy.DownloadRules() == "" {
		return ctx, func(error) { stop() }, nil
	}
	ctx, done, ok := b.evaluations.begin(ctx)
	if !ok {
		stop()
		return nil, nil, c.refuse(errors.New("the build has returned its result or is being ended"))
	}
	return ctx, func(err error) { done(err); stop() }, nil
}

// settle ends the calls for which the daemon runs commands, and waits until no command of the build
// runs. Only then may the daemon end the build. It reports false if some may still run.
func (b *build) settle() bool {
	if b.policy.DownloadRules() == "" || !b.evaluations.finish() {
		return true
	}
	return b.awaitIdle()
}

// untilSettled returns a context for the request that runs the build at the daemon. It ends as the
// build does, once the build has settled. ended must be called when the daemon has answered.
func (b *build) untilSettled() (_ context.Context, ended func()) {
	if b.policy.DownloadRules() == "" {
		return b.ctx, func() {}
	}
	ctx, cancel := context.WithCancelCause(context.WithoutCancel(b.ctx))
	settled := make(chan struct{})
	stop := context.AfterFunc(b.ctx, func() {
		defer close(settled)
		var panicked error
		defer b.guard.contain(b.who, "the end of a build", &panicked)
		defer func() { cancel(context.Cause(b.ctx)) }()
		b.settle()
	})
	return ctx, func() {
		if !stop() {
			<-settled
		}
		cancel(nil)
	}
}

// idlePause is how long a build has to have no news and no running step until it counts as idle. A
// busy daemon may be later with its first news, which tell of steps that run already: they have
// [progressTime].
const idlePause = 3 * progressPause

// awaitIdle waits until no step of the build runs, for at most [lateTime]. It reports whether that
// is so.
func (b *build) awaitIdle() bool {
	until := time.Now().Add(b.guard.lateTime)
	news, idle := make(chan *controlapi.StatusResponse), make(chan struct{})
	defer close(idle)
	ended, stop, ok := b.follow(b.ctx, b.guard.lateTime, func(m *controlapi.StatusResponse) {
		select {
		case news <- m:
		case <-idle: // nobody wants to know more
		}
	})
	if !ok {
		return false
	}
	defer stop()
	late := time.NewTimer(b.guard.lateTime)
	defer late.Stop()
	running := map[string]bool{}
	pause := time.NewTimer(progressTime)
	defer pause.Stop()
	for {
		select {
		case m := <-news:
			for _, v := range m.GetVertexes() {
				if isRunning(v) {
					running[v.GetDigest()] = true
				} else {
					delete(running, v.GetDigest())
				}
			}
			if len(running) > maxVertexes {
				return false
			}
			pause.Reset(idlePause)
		case <-pause.C:
			if len(running) == 0 {
				return true
			}
			pause.Reset(idlePause)
		case <-late.C:
			return false
		case <-ended: // the daemon knows the build no more, or the time is up
			return time.Now().Before(until)
		}
	}
}
