package guard

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"strings"
	"sync"
	"time"

	controlapi "github.com/moby/buildkit/api/services/control"
	"github.com/moby/buildkit/session"
	"github.com/moby/buildkit/session/grpchijack"
	"github.com/moby/buildkit/sourcepolicy/policysession"
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
	// refused are builds that didn't begin, for as long as calls about them may come.
	refused map[string]refusedBuild

	drain drain
}

// refusedBuild is why a build didn't begin, as the error of a call.
type refusedBuild struct {
	at  time.Time
	err error
}

// waiting are the calls that came before their build.
type waiting struct {
	calls int
	begun chan struct{}
}

func newBuilds() *builds {
	return &builds{
		live: map[string]*build{}, wait: map[string]*waiting{},
		refused: map[string]refusedBuild{},
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

	policySession string // its name at the daemon, which no client may learn; under the lock
	entitlements  []buildrules.Entitlement
	exports       bool   // its result goes somewhere
	hidden        bool   // the history leaves it out
	sbom          string // the option for the SBOM that the daemon makes of the result; "" for none
	proof         *proof // nil for none
	record        *buildRecord

	frontends
	debugging
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

// maxRefusedBuilds bounds the builds of all clients of which the guard knows that they didn't begin. A
// call about another one waits.
const maxRefusedBuilds = 1000

// refuse ends the wait of calls about a build that doesn't begin, because of the error. A client
// makes them in parallel with the request for the build. If they failed for another reason, the
// client could show that one.
func (s *builds) refuse(ref string, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.live[ref] != nil { // another request has its id
		return
	}
	maps.DeleteFunc(s.refused, func(_ string, r refusedBuild) bool { return time.Since(r.at) > early })
	if len(s.refused) >= maxRefusedBuilds {
		return
	}
	s.refused[ref] = refusedBuild{time.Now(), err}
	s.wake(ref)
}

// wake lets the calls go on that wait for a build. The lock is held.
func (s *builds) wake(ref string) {
	if w := s.wait[ref]; w != nil {
		close(w.begun)
		delete(s.wait, ref)
	}
}

// announce lets the calls go on that came before the build.
func (s *builds) announce(b *build) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.wake(b.ref)
}

// early is how long a call waits for its build to begin, and maxEarly how many calls do so for one
// build. The daemon waits three seconds (util/registrar).
const (
	early    = 5 * time.Second
	maxEarly = 20
)

// find returns a build by the daemon's name, and waits for it to begin. If it didn't, the error is
// that of the request for it, which has a status.
func (s *builds) find(ctx context.Context, ref string) (*build, error) {
	s.mu.Lock()
	b, w := s.live[ref], s.wait[ref]
	if r, known := s.refused[ref]; b != nil || known && time.Since(r.at) <= early {
		s.mu.Unlock()
		return b, r.err
	}
	if w == nil {
		w = &waiting{begun: make(chan struct{})}
		s.wait[ref] = w
	}
	if w.calls >= maxEarly {
		s.mu.Unlock()
		return nil, errors.New("too many calls wait for this build")
	}
	w.calls++
	s.mu.Unlock()

	timeout := time.NewTimer(early)
	defer timeout.Stop()
	select {
	case <-w.begun:
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
	if r, refused := s.refused[ref]; refused {
		return nil, r.err
	}
	return nil, errors.New("there is no such build")
}

// end ends the build at the daemon, unless it has ended already.
func (b *build) end() {
	b.cancel(nil)
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
	if errors.As(context.Cause(b.ctx), &e) {
		return status.Error(codes.Aborted, "policy-guard ended the build: "+e.Error())
	}
	return nil
}

// openPolicySession opens the session in which the daemon asks about each source of this build, and
// returns its name. If the session breaks, the build ends: the daemon would wait for it.
func (b *build) openPolicySession() (string, error) {
	s, err := session.NewSession(b.ctx, "")
	if err != nil {
		return "", err
	}
	// No client may connect as this session.
	end, err := b.guard.sessions.connect(s.ID(), itself)
	if err != nil {
		return "", err
	}
	s.Allow(policysession.NewPolicyProvider(b.observedAnswer))
	b.mu.Lock()
	b.policySession = s.ID()
	b.mu.Unlock()
	go func() {
		defer end()
		why := "the daemon closed the policy session; it may have ended"
		switch err := b.runPolicySession(s); {
		case errors.Is(err, errPanic):
			why = internalError
		case err != nil:
			why = "the policy session broke; the daemon may have ended"
		}
		b.cancel(brokenError(why))
	}()
	return s.ID(), nil
}

// internalError is why a build is ended after a panic.
const internalError = "internal error; the log of policy-guard has more about it"

func (b *build) runPolicySession(s *session.Session) (err error) {
	defer b.guard.contain(b.who, "a policy session", &err)
	return s.Run(b.ctx, grpchijack.Dialer(controlapi.NewControlClient(b.guard.daemon)))
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
	b.mu.Lock()
	policySession := b.policySession
	b.mu.Unlock()
	st := status.Convert(err)
	if policySession == "" || !strings.Contains(st.String(), policySession) {
		scrubbed := b.guard.scrub(b.who, st)
		b.noteFailed(status.Convert(scrubbed))
		return scrubbed
	}
	text := strings.ReplaceAll(st.Message(), policySession, "(the policy session)")
	return b.guard.scrub(b.who, status.New(st.Code(), text))
}
