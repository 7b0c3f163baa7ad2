package frontend

import (
	"context"
	"fmt"
	"slices"
	"sync"

	"github.com/moby/buildkit/frontend/gateway/client"
	gwpb "github.com/moby/buildkit/frontend/gateway/pb"
	"github.com/moby/buildkit/solver/errdefs"
	"github.com/moby/buildkit/solver/pb"
	spb "github.com/moby/buildkit/sourcepolicy/pb"
	digest "github.com/opencontainers/go-digest"

	"github.com/policy-frontend/policy-frontend/internal/llbops"
	"github.com/policy-frontend/policy-frontend/internal/optionkeys"
	"github.com/policy-frontend/policy-frontend/internal/safetext"
	"github.com/policy-frontend/policy-frontend/policy"
	"github.com/policy-frontend/policy-frontend/policy/buildrules"
	"github.com/policy-frontend/policy-frontend/policy/imageref"
)

// monitor is the one place where all operations of an inner frontend are checked, with every
// dispatcher. It decides nothing itself: package llbops reads the operations, and package policy
// checks them.
//
// A refused operation is returned as a *refusal that points at the line of the build file. The
// monitor also remembers it, because an inner frontend may hide the error. Several goroutines may
// use a monitor at the same time.
type monitor struct {
	build  *build
	inner  admitted // the frontend whose operations are checked
	memory *memory
	budget *budget // of all frontends of the build
	shown  *shown
	outer  *monitor // of the frontend that runs this one; nil if the build asks for it

	converted conversions
}

// memory is what the monitors of a build have found. Those of nested frontends share it.
type memory struct {
	mu       sync.Mutex
	refusal  *refusal // the first
	lookup   *refusal // the first after which the frontend goes on
	warnings []string // that operations caused, each once
	warned   map[string]bool
	tags     map[string]digest.Digest // what tags point to, by reference
	sources  *Sources                 // what was allowed to be read; nil if nobody wants to know
}

// maxConverted bounds the images that a monitor remembers as results of conversions.
const maxConverted = 500

// conversions remembers which images a frontend got as results of conversions, when it looked up
// others. The frontend asks for them next, and a conversion must not follow a conversion. What is
// too much to remember is converted again, as if the frontend had asked for it by itself.
type conversions struct {
	mu      sync.Mutex
	results map[string]bool // by reference, with digest
}

// add remembers an image, with its tag and without.
func (c *conversions) add(ref imageref.Reference) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.results == nil {
		c.results = map[string]bool{}
	}
	if len(c.results) < maxConverted {
		c.results[ref.String()] = true
		c.results[ref.Name()+"@"+ref.Digest().String()] = true
	}
}

// has reports whether an image is a result. Only one with its digest can be.
func (c *conversions) has(image string) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.results) == 0 {
		return false
	}
	ref, err := imageref.Parse(image)
	return err == nil && c.results[ref.String()]
}

// maxWarnings bounds the different warnings that an inner frontend can cause. The decision has
// moreWarnings after them if there are others: nobody may think that these are all.
const (
	maxWarnings  = 50
	moreWarnings = "there are more warnings, which are left out"
)

// newMonitor returns the monitor of an admitted frontend.
func (b *build) newMonitor(a admitted) *monitor {
	return &monitor{build: b, inner: a, memory: &memory{
		warned: map[string]bool{}, tags: map[string]digest.Digest{},
	}, budget: newBudget(a.decision.Memory), shown: &shown{}}
}

// within returns the monitor of a frontend that the monitor's own frontend runs. The build rules
// for both apply to it.
func (m *monitor) within(inner admitted) *monitor {
	inner.decision = inner.decision.Within(m.inner.decision)
	for _, w := range inner.decision.Warnings { // the build has these warnings too
		m.memory.addWarning(w)
	}
	return &monitor{
		build: m.build, inner: inner, memory: m.memory, budget: m.budget, shown: m.shown, outer: m,
	}
}

// checksResults reports whether there are rules on anything that a result shows.
func (m *monitor) checksResults() bool {
	return slices.ContainsFunc(buildrules.Kinds(), func(k buildrules.Kind) bool {
		return k.InResult() && m.inner.decision.Restricts(k)
	})
}

// definition checks all operations of a definition. It returns the source policies to send with it,
// in place of any that the inner frontend sent.
func (m *monitor) definition(ctx context.Context, def *pb.Definition) ([]*spb.Policy, error) {
	if err := m.apart(def); err != nil {
		return nil, err
	}
	g := newGuard(m.inner.decision, m.build.client.BuildOpts().SessionID)
	for f, err := range llbops.FromDefinition(def) {
		if err != nil {
			why := safetext.Lines(err.Error())
			return nil, m.refuseUnknown("a definition that can't be read: %s", why)
		}
		o := operation{Operation: f.Operation, source: f.Source, platform: f.Platform, scan: f.Scan}
		ruling, err := m.checkOperation(ctx, o, f.Place)
		if err != nil {
			return nil, err
		}
		if err := g.addSource(f.Operation, f.Source, ruling); err != nil {
			return nil, m.refuseUnknown("%v", err)
		}
	}
	guard, err := g.policies()
	if err != nil {
		return nil, m.refuseUnknown("%v", err)
	}
	return guard, nil
}

// source checks a single source that is looked up. It returns the same as [monitor.definition].
func (m *monitor) source(ctx context.Context, op *pb.SourceOp) ([]*spb.Policy, error) {
	guard, _, err := m.sourceFor(ctx, op, nil)
	return guard, err
}

// sourceFor is [monitor.source] for a platform; nil for the daemon's own. It also returns the image
// that is looked up instead, zero for none.
func (m *monitor) sourceFor(
	ctx context.Context, op *pb.SourceOp, platform *pb.Platform,
) (guard []*spb.Policy, instead imageref.Reference, err error) {
	g := newGuard(m.inner.decision, m.build.client.BuildOpts().SessionID)
	for _, f := range llbops.FromSource(op) {
		o := operation{Operation: f, source: op, platform: platform, lookup: true}
		ruling, err := m.checkOperation(ctx, o, noPlace)
		if err != nil {
			return nil, instead, err
		}
		if err := g.addSource(f, op, ruling); err != nil {
			return nil, instead, m.refuseUnknown("%v", err)
		}
		instead = ruling.Image
	}
	if guard, err = g.policies(); err != nil {
		return nil, instead, m.refuseUnknown("%v", err)
	}
	return guard, instead, nil
}

// handOut remembers that a lookup answered with an image instead of the requested one, and with its
// digest. A frontend that runs this one may build on it too, and all of its conversions have been
// applied.
func (m *monitor) handOut(instead imageref.Reference, resolved string) {
	ref, err := instead.WithDigest(digest.Digest(resolved))
	if instead.Name() == "" || err != nil {
		return
	}
	for ; m != nil; m = m.outer {
		m.converted.add(ref)
	}
}

// decisionOn returns the decision by which an operation is checked.
func (m *monitor) decisionOn(o buildrules.Operation) policy.Decision {
	if o.Image != "" && m.converted.has(o.Image) {
		return m.inner.decision.WithoutConversions()
	}
	return m.inner.decision
}

// frontend checks by the build rules whether the inner frontend may run another one. Whether that
// frontend is allowed at all is a matter of [build.authorize].
func (m *monitor) frontend(ctx context.Context, r request) error {
	op := buildrules.Operation{Frontend: r.ref.String()}
	_, err := m.checkOperation(ctx, operation{Operation: op, note: r.note}, noPlace)
	return err
}

// container checks the container of a process, and the process. If init is nil, it checks the
// container alone.
func (m *monitor) container(
	ctx context.Context, req *gwpb.NewContainerRequest, init *gwpb.InitMessage,
) error {
	if err := m.checkKept(llbops.ApartMounts(req.GetMounts(), m.build.kept)); err != nil {
		return err
	}
	_, err := m.check(ctx, llbops.FromProcess(req, init), noPlace)
	return err
}

// result checks what a frontend returns for a build or to another frontend: the configurations of
// images, and what the daemon itself will add to the result.
func (m *monitor) result(ctx context.Context, b *build, res *gwpb.Result) error {
	if m.inner.decision.Restricts(buildrules.KindConfig) {
		target := b.opts.InnerValue(optionkeys.Target, m.inner.decision.Obligations)
		configs, err := configsOf(res, target, b.subrequest() != "")
		if err != nil {
			return m.refuseUnknown("%v", err)
		}
		for _, c := range configs {
			if _, err := m.check(ctx, c, noPlace); err != nil {
				return err
			}
		}
	}
	if b.nested || !m.inner.decision.Restricts(buildrules.KindImages) {
		return nil
	}
	scanner, err := scannerOf(b.opts.Visible(), res)
	if err != nil {
		return m.refuseUnknown("%v", err)
	}
	if scanner == "" {
		return nil
	}
	ruling, err := m.check(ctx, buildrules.Operation{Image: scanner}, noPlace)
	if err == nil && ruling.Image.Name() != "" { // the daemon wouldn't convert it there
		err = m.refuseUnknown(
			"an SBOM by the image %s, which BuildKit wouldn't replace with %s",
			scanner, ruling.Image)
	}
	return err
}

// refuseUnknown refuses an operation that can't be checked. The formatted phrase completes "it asks
// for …".
func (m *monitor) refuseUnknown(format string, args ...any) error {
	return m.refuse(m.unknown(format, args...), noPlace)
}

// unknown is the ruling of [monitor.refuseUnknown].
func (m *monitor) unknown(format string, args ...any) policy.Ruling {
	what := fmt.Sprintf(format, args...)
	return m.inner.decision.Check(buildrules.Operation{Unknown: what})
}

// outOfMemory is the refusal of a build that takes more memory than the policy's limits allow.
func (m *monitor) outOfMemory() error {
	r := &refusal{origin: m.inner.origin, decision: m.inner.decision.OutOfMemory()}
	m.remember(r)
	return r
}

// refused returns the first refusal as a *refusal, or nil. The inner frontend's result counts only
// if there is none.
func (m *monitor) refused() error {
	m.memory.mu.Lock()
	defer m.memory.mu.Unlock()
	if r := m.memory.refusal; r != nil {
		return r
	}
	return nil
}

// refusedFor returns the same as [monitor.refused]. If only the inner frontend's own error names a
// line of the build file, the refusal points there: frontends look up images before they make a
// definition of them.
//
// If the frontend didn't answer a subrequest, a refused lookup for it counts too.
func (m *monitor) refusedFor(inner error, answered bool) error {
	m.memory.mu.Lock()
	defer m.memory.mu.Unlock()
	r := m.memory.refusal
	if r == nil && !answered {
		r = m.memory.lookup
	}
	if r == nil {
		return nil
	}
	for _, src := range errdefs.Sources(inner) {
		if r.origin.kind != fromStep {
			if p := llbops.NewPlace(src.GetInfo(), src.GetRanges()); p != nil {
				from := origin{kind: fromStep, place: p}
				r = &refusal{origin: from, decision: r.decision, cause: r.cause, goesOn: r.goesOn}
			}
		}
	}
	return r
}

// decided returns the inner frontend's decision with the warnings that its operations caused.
func (m *monitor) decided() policy.Decision {
	m.memory.mu.Lock()
	defer m.memory.mu.Unlock()
	if len(m.memory.warnings) == 0 {
		return m.inner.decision
	}
	return m.inner.decision.WithWarnings(m.memory.warnings...)
}

// noPlace is the place of an operation that has no line in the build file.
func noPlace() *llbops.Place { return nil }

// check checks an operation. The error is a *refusal.
func (m *monitor) check(
	ctx context.Context, f buildrules.Operation, at func() *llbops.Place,
) (policy.Ruling, error) {
	return m.checkOperation(ctx, operation{Operation: f}, at)
}

func (m *monitor) checkOperation(
	ctx context.Context, f operation, at func() *llbops.Place,
) (policy.Ruling, error) {
	if g := f.Git; g != nil && g.Checksum != "" {
		caps := m.build.client.BuildOpts().LLBCaps
		if caps.Supports(pb.CapSourceGitChecksum) != nil { // this daemon ignores the checksum
			f.Git = &buildrules.Git{URL: g.URL, Ref: g.Ref}
		}
	}
	ruling := m.decisionOn(f.Operation).Check(f.Operation)
	if ruling.TagUnverified {
		ruling = m.verifyTag(ctx, f, ruling)
	}
	switch ruling.Verdict {
	case policy.Allow:
		m.noteRead(f, ruling)
		return ruling, nil
	case policy.Warn:
		m.noteRead(f, ruling)
		m.warn(ctx, ruling, at)
		return ruling, nil
	case policy.Deny:
		if f.note != "" {
			ruling.Messages = append(slices.Clip(ruling.Messages), f.note)
		}
		ruling = m.explainSBOM(f, ruling)
		if f.lookup && m.build.subrequest() != "" {
			return ruling, m.refuseLookup(ruling)
		}
	}
	return ruling, m.refuse(ruling, at, namesOf(f.Operation)...)
}

// refuse makes a refusal of a ruling and remembers it. The names are those that the build file may
// have for the operation.
func (m *monitor) refuse(ruling policy.Ruling, at func() *llbops.Place, names ...string) error {
	from := origin{kind: fromInner, names: names}
	r := &refusal{origin: from, decision: m.inner.decision.Overrule(ruling)}
	if p := at(); p != nil {
		r.origin = origin{kind: fromStep, place: p}
	}
	m.remember(r)
	return r
}

// refuseLookup refuses a lookup for a subrequest, and lets the frontend go on. A check looks up the
// images of all stages, even of those that a build leaves out. The frontend reports the refusal as
// any image that can't be looked up, if it has an answer without it.
func (m *monitor) refuseLookup(ruling policy.Ruling) error {
	r := &refusal{
		origin: origin{kind: fromInner}, decision: m.inner.decision.Overrule(ruling), goesOn: true,
	}
	m.remember(r)
	return r
}

// remember keeps the first refusal, whether it is the monitor's own or that of a nested frontend.
func (m *monitor) remember(r *refusal) {
	m.memory.mu.Lock()
	defer m.memory.mu.Unlock()
	kept := &m.memory.refusal
	if r.goesOn {
		kept = &m.memory.lookup
	}
	if *kept == nil {
		*kept = r
	}
}

// addWarning keeps a warning and reports whether it is new.
func (m *memory) addWarning(reason string) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.warned[reason] || len(m.warnings) > maxWarnings {
		return false
	}
	if len(m.warnings) == maxWarnings {
		m.warnings = append(m.warnings, moreWarnings)
		return false
	}
	m.warned[reason] = true
	m.warnings = append(m.warnings, reason)
	return true
}

// warn shows a warning at the line that caused it. It shows each one once.
func (m *monitor) warn(ctx context.Context, ruling policy.Ruling, at func() *llbops.Place) {
	if !m.memory.addWarning(ruling.Reason) {
		return
	}
	opts := client.WarnOpts{Level: 1}
	if p := at(); p != nil {
		opts.SourceInfo, opts.Range = p.Info, p.Ranges
	}
	m.build.warnAt(ctx, "policy: "+ruling.Reason, opts)
}
