package frontend

import (
	"context"
	"slices"
	"sync"

	"github.com/moby/buildkit/frontend/gateway/client"
	gwpb "github.com/moby/buildkit/frontend/gateway/pb"
	"github.com/moby/buildkit/solver/errdefs"
	"github.com/moby/buildkit/solver/pb"
	spb "github.com/moby/buildkit/sourcepolicy/pb"

	"github.com/policy-frontend/policy-frontend/internal/llbops"
	"github.com/policy-frontend/policy-frontend/policy"
)

// monitor is the one place at which all that an inner frontend asks for is judged,
// whichever dispatcher carries it. It decides nothing itself: it has package facts
// read what is asked for, and package policy judge it.
//
// What is refused comes back as a *refusal that points at the line of the build
// file, and is remembered: an inner frontend may keep the error to itself. A monitor
// may be used by several goroutines at the same time.
type monitor struct {
	build  *build
	inner  admitted // the frontend whose doings are judged
	memory *memory
	outer  *monitor // of the frontend that runs this one; nil if the build asks for it
}

// memory is what the monitors of a build have seen; those of nested frontends share it.
type memory struct {
	mu       sync.Mutex
	refusal  *refusal        // the first
	warnings []policy.Ruling // of facts that were let through with a warning, each once
	warned   map[string]bool
}

// maxWarnings bounds how many different warnings an inner frontend can cause.
const maxWarnings = 50

// newMonitor returns the monitor of what the frontend a does.
func (b *build) newMonitor(a admitted) *monitor {
	return &monitor{build: b, inner: a, memory: &memory{warned: map[string]bool{}}}
}

// within returns the monitor of a frontend that the monitor's own frontend runs: the
// rules on the builds of both hold.
func (m *monitor) within(inner admitted) *monitor {
	inner.decision = inner.decision.Within(m.inner.decision)
	for _, w := range inner.decision.Warnings { // they are of the build too
		m.memory.addWarning(policy.Ruling{Verdict: policy.Warn, Reason: w})
	}
	return &monitor{build: m.build, inner: inner, memory: m.memory, outer: m}
}

// checksResults reports whether there are rules on what can be seen of a result.
func (m *monitor) checksResults() bool {
	return slices.ContainsFunc(policy.Kinds(), func(k policy.Kind) bool {
		return k.InResult() && m.inner.decision.Restricts(k)
	})
}

// definition judges all operations of a definition. It returns the source policies
// that have to be sent with it, instead of any that the inner frontend sent.
func (m *monitor) definition(ctx context.Context, def *pb.Definition) ([]*spb.Policy, error) {
	g := newGuard(m.inner.decision)
	for f, err := range llbops.FromDefinition(def) {
		if err != nil {
			return nil, m.refuseUnknown("a definition that can't be read: " + legible(err.Error()))
		}
		ruling, err := m.check(ctx, f.Fact, f.Place)
		if err != nil {
			return nil, err
		}
		if err := g.addSource(f.Fact, f.Source, ruling); err != nil {
			return nil, m.refuseUnknown(err.Error())
		}
	}
	guard, err := g.policies()
	if err != nil {
		return nil, m.refuseUnknown(err.Error())
	}
	return guard, nil
}

// source judges a single source that is looked up. It returns what definition does.
func (m *monitor) source(ctx context.Context, op *pb.SourceOp) ([]*spb.Policy, error) {
	g := newGuard(m.inner.decision)
	for _, f := range llbops.FromSource(op) {
		ruling, err := m.check(ctx, f, noPlace)
		if err != nil {
			return nil, err
		}
		if err := g.addSource(f, op, ruling); err != nil {
			return nil, m.refuseUnknown(err.Error())
		}
	}
	guard, err := g.policies()
	if err != nil {
		return nil, m.refuseUnknown(err.Error())
	}
	return guard, nil
}

// frontend judges by the rules on builds whether another frontend may be run. It
// doesn't decide on that frontend as such, build.authorize does.
func (m *monitor) frontend(ctx context.Context, reference string) error {
	_, err := m.check(ctx, policy.Fact{Frontend: reference}, noPlace)
	return err
}

// container judges a process in a container of the inner frontend's own; the
// container alone if init is nil.
func (m *monitor) container(ctx context.Context, req *gwpb.NewContainerRequest, init *gwpb.InitMessage) error {
	_, err := m.check(ctx, llbops.FromProcess(req, init), noPlace)
	return err
}

// result judges what is handed back for a build, or for what another frontend asks: the
// configurations of images, and what the daemon makes of the result by itself.
func (m *monitor) result(ctx context.Context, b *build, res *gwpb.Result) error {
	if m.inner.decision.Restricts(policy.KindConfig) {
		configs, err := configsOf(res, b.subrequest() != "")
		if err != nil {
			return m.refuseUnknown(err.Error())
		}
		for _, c := range configs {
			if _, err := m.check(ctx, c, noPlace); err != nil {
				return err
			}
		}
	}
	if b.nested || !m.inner.decision.Restricts(policy.KindImages) {
		return nil
	}
	scanner, err := scannerOf(b.opts.Visible(), res)
	if err != nil {
		return m.refuseUnknown(err.Error())
	}
	if scanner == "" {
		return nil
	}
	ruling, err := m.check(ctx, policy.Fact{Image: scanner}, noPlace)
	if err == nil && ruling.Image.Name() != "" { // nobody converts it there
		err = m.refuseUnknown("an SBOM by the image " + scanner + ", which BuildKit would not read as " + ruling.Image.String())
	}
	return err
}

// refuseUnknown refuses what nobody can judge; the phrase completes "it asks for …".
func (m *monitor) refuseUnknown(what string) error {
	return m.refuse(m.inner.decision.Judge(policy.Fact{Unknown: what}), noPlace)
}

// refused returns the first refusal, a *refusal, or nil. What an inner frontend
// returns counts only if there is none.
func (m *monitor) refused() error {
	m.memory.mu.Lock()
	defer m.memory.mu.Unlock()
	if r := m.memory.refusal; r != nil {
		return r
	}
	return nil
}

// refusedFor returns what refused does. If nothing but the inner frontend's own
// error says which line of the build file it was, the refusal points there:
// frontends look images up before they make a definition of them.
func (m *monitor) refusedFor(inner error) error {
	m.memory.mu.Lock()
	defer m.memory.mu.Unlock()
	r := m.memory.refusal
	if r == nil {
		return nil
	}
	for _, src := range errdefs.Sources(inner) {
		if r.origin.kind != fromStep {
			if p := llbops.NewPlace(src.GetInfo(), src.GetRanges()); p != nil {
				r = &refusal{origin: origin{kind: fromStep, place: p}, decision: r.decision, cause: r.cause}
			}
		}
	}
	return r
}

// decided returns the inner frontend's decision with the warnings that were caused
// since.
func (m *monitor) decided() policy.Decision {
	m.memory.mu.Lock()
	defer m.memory.mu.Unlock()
	if len(m.memory.warnings) == 0 {
		return m.inner.decision
	}
	return m.inner.decision.Caution(m.memory.warnings)
}

// noPlace is the place of what has no line in the build file.
func noPlace() *llbops.Place { return nil }

// check has a fact judged. The error is a *refusal.
func (m *monitor) check(ctx context.Context, f policy.Fact, at func() *llbops.Place) (policy.Ruling, error) {
	if g := f.Git; g != nil && g.Checksum != "" {
		caps := m.build.client.BuildOpts().LLBCaps
		if caps.Supports(pb.CapSourceGitChecksum) != nil { // this daemon does not look at it
			f.Git = &policy.GitFact{URL: g.URL, Ref: g.Ref}
		}
	}
	ruling := m.inner.decision.Judge(f)
	switch ruling.Verdict {
	case policy.Allow:
		return ruling, nil
	case policy.Warn:
		m.warn(ctx, ruling, at)
		return ruling, nil
	default:
		return ruling, m.refuse(ruling, at)
	}
}

// refuse makes a refusal of a ruling and remembers the first one.
func (m *monitor) refuse(ruling policy.Ruling, at func() *llbops.Place) error {
	r := &refusal{origin: origin{kind: fromInner}, decision: m.inner.decision.Overrule(ruling)}
	if p := at(); p != nil {
		r.origin = origin{kind: fromStep, place: p}
	}
	m.remember(r)
	return r
}

// remember keeps the first refusal: of what the monitor refused, and of a frontend
// that the inner one asked for.
func (m *monitor) remember(r *refusal) {
	m.memory.mu.Lock()
	defer m.memory.mu.Unlock()
	if m.memory.refusal == nil {
		m.memory.refusal = r
	}
}

// addWarning keeps a warning, and reports whether it is a new one.
func (m *memory) addWarning(ruling policy.Ruling) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.warned[ruling.Reason] || len(m.warnings) >= maxWarnings {
		return false
	}
	m.warned[ruling.Reason] = true
	m.warnings = append(m.warnings, ruling)
	return true
}

// warn shows a warning at the line that caused it, each once.
func (m *monitor) warn(ctx context.Context, ruling policy.Ruling, at func() *llbops.Place) {
	if !m.memory.addWarning(ruling) {
		return
	}
	opts := client.WarnOpts{Level: 1}
	if p := at(); p != nil {
		opts.SourceInfo, opts.Range = p.Info, p.Ranges
	}
	m.build.warnAt(ctx, "policy: "+ruling.Reason, opts)
}
