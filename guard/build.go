package guard

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/policy-frontend/policy-frontend/policy/buildrules"
	"github.com/policy-frontend/policy-frontend/policy/clients"
)

// maxBuilds is how many builds an identity can have at the same time.
const maxBuilds = 200

// builds are the builds under way, by the daemon's name.
type builds struct {
	mu   sync.Mutex
	live map[string]*build
	wait map[string]*waiting // for builds that haven't begun
	// refused are builds that didn't get to the daemon, as long as calls about them may come.
	refused map[string]*refusedBuildError
	early   time.Duration // see the constant

	drain drain
}

// waiting are the calls that came before their build.
type waiting struct {
	calls   int
	decided chan struct{}      // closed when the build has begun or was refused
	refused *refusedBuildError // nil if it has begun
}

func newBuilds() *builds {
	return &builds{
		early: early,
		live:  map[string]*build{}, wait: map[string]*waiting{},
		refused: map[string]*refusedBuildError{},
		drain:   drain{begun: make(chan struct{}), empty: make(chan struct{})},
	}
}

// build is one build under way.
type build struct {
	guard   *Guard
	who     Identity
	by      clients.Client // by which names a policy knows who it is of
	client  string         // the client's name of it
	ref     string         // the daemon's name
	session string         // of the client; "" for none
	policy  *Policy
	ctx     context.Context
	cancel  context.CancelCauseFunc
	account *account // of what is kept until the build ends

	entitlements []buildrules.Entitlement
	exports      bool   // its result goes somewhere
	hidden       bool   // the history leaves it out
	sbom         string // the option for the SBOM that the daemon makes of the result; "" for none
	proof        *proof // nil for none
	record       *buildRecord

	frontends
	debugging
	downloads   downloads
	evaluations evaluations
}

// begin makes a build under way of who it is of, its client's name and session, its policy, and
// whatever calls that name it have to know. end must be called.
//
// The policy lets the build have its entitlements as long as nobody knows what it runs.
func (g *Guard) begin(ctx context.Context, b *build) (err error) {
	b.guard, b.account = g, g.memory.open(b.who)
	if b.ref, err = g.names.ref(b.who, b.client); err != nil {
		return err
	}
	if b.session != "" {
		if err := g.sessions.claim(b.session, b.who); err != nil {
			return err
		}
	}
	// As soon as it is added, other calls use it.
	b.ctx, b.cancel = context.WithCancelCause(ctx)
	if err := g.builds.add(b); err != nil {
		b.cancel(nil)
		return err
	}
	if err := b.record.begin(b.account); err != nil {
		b.end()
		return err
	}
	g.builds.announce(b)
	return nil
}

// add reserves the name of a build.
func (s *builds) add(b *build) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.ending() {
		return refuseEnding()
	}
	if s.live[b.ref] != nil {
		return errors.New("a build with this id is under way")
	}
	own := 0
	for _, other := range s.live {
		if other.who == b.who {
			own++
		}
	}
	if own >= maxBuilds {
		return fmt.Errorf("the client has %d builds under way", maxBuilds)
	}
	s.live[b.ref] = b
	delete(s.refused, b.ref)
	return nil
}

// announce lets the calls go on that came before the build.
func (s *builds) announce(b *build) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.wake(b.ref, nil)
}

// early is how long a call waits for its build to begin, and maxEarly how many calls do so for one
// build. The daemon waits three seconds (util/registrar).
const (
	early    = 5 * time.Second
	maxEarly = 20
)

// find returns a build by the daemon's name, and waits for it to begin. The error is a
// *refusedBuildError if it was refused.
func (s *builds) find(ctx context.Context, ref string) (*build, error) {
	s.mu.Lock()
	b, r, w := s.live[ref], s.refused[ref], s.wait[ref]
	if b != nil || r != nil {
		s.mu.Unlock()
		if r != nil {
			return nil, r
		}
		return b, nil
	}
	if w == nil {
		w = &waiting{decided: make(chan struct{})}
		s.wait[ref] = w
	}
	if w.calls >= maxEarly {
		s.mu.Unlock()
		return nil, errors.New("too many calls wait for this build")
	}
	w.calls++
	s.mu.Unlock()

	timeout := time.NewTimer(s.early)
	defer timeout.Stop()
	select {
	case <-w.decided:
	case <-timeout.C:
	case <-ctx.Done():
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if w.calls--; w.calls == 0 && s.wait[ref] == w {
		delete(s.wait, ref)
	}
	if b := s.live[ref]; b != nil {
		return b, nil
	}
	if w.refused != nil {
		return nil, w.refused
	}
	return nil, errors.New("there is no such build")
}

// end ends the build at the daemon, unless it has ended already.
func (b *build) end() {
	b.cancel(nil)
	b.downloads.end()
	b.leave(false)
	b.guard.builds.remove(b)
	b.account.close()
}

// remove forgets a build.
func (s *builds) remove(b *build) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.live, b.ref)
	s.closeIfEmpty()
}

// brokenError is why a build was ended before the client or the daemon did.
type brokenError string

// Error implements error.
func (e brokenError) Error() string { return string(e) }

// broken returns why the guard ended the build, as the error of a call. It is nil if it didn't.
func (b *build) broken() error {
	var e brokenError
	var refusal refusedDownloadError
	switch cause := context.Cause(b.ctx); {
	case errors.As(cause, &refusal):
		return refusal.status()
	case errors.As(cause, &e):
		return e.status()
	}
	return nil
}

// status is the error of a call.
func (e brokenError) status() error {
	return status.Error(codes.Aborted, "policy-guard ended the build: "+string(e))
}

// checkPolicy refuses to decide by another policy than the one in force. The policy of the build
// has judged already what the build asked for as it began, so another one can't decide on the rest.
func (b *build) checkPolicy(c *call) error {
	if b.guard.policy.current().Digest() == b.policy.Digest() {
		return nil
	}
	return c.refuse(errors.New("the policy has changed since the build began; build again"))
}

// fromDaemon turns the daemon's error about this build into the client's.
func (b *build) fromDaemon(err error) error {
	if cause := b.broken(); cause != nil {
		return cause
	}
	scrubbed := b.guard.scrub(b.who, status.Convert(err))
	b.noteFailed(status.Convert(scrubbed))
	return scrubbed
}
