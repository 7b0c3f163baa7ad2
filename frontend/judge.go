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

// judge is the one place at which all that an inner frontend asks for is judged,
// whichever dispatcher carries it. It decides nothing itself: it has package facts
// read what is asked for, and package policy judge it.
//
// What is refused comes back as a *refusal that points at the line of the build
// file, and is remembered: an inner frontend may keep the error to itself. A judge
// may be used by several goroutines at the same time.
type judge struct {
	build  *build
	inner  judged // the frontend whose doings are judged
	memory *memory
	outer  *judge // of the frontend that runs this one; nil if the build asks for it
}

// memory is what the judges of a build have seen; those of nested frontends share it.
type memory struct {
	mu       sync.Mutex
	refusal  *refusal        // the first
	warnings []policy.Ruling // of facts that were let through with a warning, each once
	warned   map[string]bool
}

// maxWarnings bounds how many different warnings an inner frontend can cause.
const maxWarnings = 50

// newJudge returns the judge of what the frontend j does.
func (b *build) newJudge(j judged) *judge {
	return &judge{build: b, inner: j, memory: &memory{warned: map[string]bool{}}}
}

// within returns the judge of a frontend that the judge's own frontend runs: the
// rules on the builds of both hold.
func (j *judge) within(inner judged) *judge {
	inner.decision = inner.decision.Within(j.inner.decision)
	for _, w := range inner.decision.Warnings { // they are of the build too
		j.memory.warning(policy.Ruling{Verdict: policy.Warn, Reason: w})
	}
	return &judge{build: j.build, inner: inner, memory: j.memory, outer: j}
}

// judgesResults reports whether there are rules on what can be seen of a result.
func (j *judge) judgesResults() bool {
	return slices.ContainsFunc([]policy.Kind{
		policy.KindImages, policy.KindGit, policy.KindHTTP, policy.KindLocal, policy.KindOCILayout, policy.KindBlob, policy.KindExec, policy.KindConfig,
	}, j.inner.decision.Restricts)
}

// definition judges all operations of a definition. It returns the source policies
// that have to be sent with it, instead of any that the inner frontend sent.
func (j *judge) definition(ctx context.Context, def *pb.Definition) ([]*spb.Policy, error) {
	g := newGuard(j.inner.decision)
	for f, err := range llbops.FromDefinition(def) {
		if err != nil {
			return nil, j.unknown("a definition that can't be read: " + legible(err.Error()))
		}
		ruling, err := j.rule(ctx, f.Fact, f.Place)
		if err != nil {
			return nil, err
		}
		if err := g.allow(f.Fact, f.Source, ruling); err != nil {
			return nil, j.unknown(err.Error())
		}
	}
	guard, err := g.policies()
	if err != nil {
		return nil, j.unknown(err.Error())
	}
	return guard, nil
}

// source judges a single source that is looked up. It returns what definition does.
func (j *judge) source(ctx context.Context, op *pb.SourceOp) ([]*spb.Policy, error) {
	g := newGuard(j.inner.decision)
	for _, f := range llbops.FromSource(op) {
		ruling, err := j.rule(ctx, f, nowhere)
		if err != nil {
			return nil, err
		}
		if err := g.allow(f, op, ruling); err != nil {
			return nil, j.unknown(err.Error())
		}
	}
	guard, err := g.policies()
	if err != nil {
		return nil, j.unknown(err.Error())
	}
	return guard, nil
}

// frontend judges by the rules on builds whether another frontend may be run. It
// doesn't decide on that frontend as such, build.judge does.
func (j *judge) frontend(ctx context.Context, reference string) error {
	_, err := j.rule(ctx, policy.Fact{Frontend: reference}, nowhere)
	return err
}

// container judges a process in a container of the inner frontend's own; the
// container alone if init is nil.
func (j *judge) container(ctx context.Context, req *gwpb.NewContainerRequest, init *gwpb.InitMessage) error {
	_, err := j.rule(ctx, llbops.FromProcess(req, init), nowhere)
	return err
}

// result judges what is handed back for a build, or for what another frontend asks: the
// configurations of images, and what the daemon makes of the result by itself.
func (j *judge) result(ctx context.Context, b *build, res *gwpb.Result) error {
	if j.inner.decision.Restricts(policy.KindConfig) {
		configs, err := configsOf(res, b.opts.subrequest() != "")
		if err != nil {
			return j.unknown(err.Error())
		}
		for _, c := range configs {
			if _, err := j.rule(ctx, c, nowhere); err != nil {
				return err
			}
		}
	}
	if b.nested || !j.inner.decision.Restricts(policy.KindImages) {
		return nil
	}
	scanner, err := b.opts.scannerOf(res)
	if err != nil {
		return j.unknown(err.Error())
	}
	if scanner == "" {
		return nil
	}
	ruling, err := j.rule(ctx, policy.Fact{Image: scanner}, nowhere)
	if err == nil && ruling.Image.Name() != "" { // nobody converts it there
		err = j.unknown("an SBOM by the image " + scanner + ", which BuildKit would not read as " + ruling.Image.String())
	}
	return err
}

// unknown refuses what nobody can judge; the phrase completes "it asks for …".
func (j *judge) unknown(what string) error {
	return j.refuse(j.inner.decision.Judge(policy.Fact{Unknown: what}), nowhere)
}

// refused returns the first refusal, a *refusal, or nil. What an inner frontend
// returns counts only if there is none.
func (j *judge) refused() error {
	j.memory.mu.Lock()
	defer j.memory.mu.Unlock()
	if r := j.memory.refusal; r != nil {
		return r
	}
	return nil
}

// refusedFor returns what refused does. If nothing but the inner frontend's own
// error says which line of the build file it was, the refusal points there:
// frontends look images up before they make a definition of them.
func (j *judge) refusedFor(inner error) error {
	j.memory.mu.Lock()
	defer j.memory.mu.Unlock()
	r := j.memory.refusal
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
func (j *judge) decided() policy.Decision {
	j.memory.mu.Lock()
	defer j.memory.mu.Unlock()
	if len(j.memory.warnings) == 0 {
		return j.inner.decision
	}
	return j.inner.decision.Caution(j.memory.warnings)
}

// nowhere is the place of what has no line in the build file.
func nowhere() *llbops.Place { return nil }

// rule has a fact judged. The error is a *refusal.
func (j *judge) rule(ctx context.Context, f policy.Fact, at func() *llbops.Place) (policy.Ruling, error) {
	if g := f.Git; g != nil && g.Checksum != "" {
		caps := j.build.client.BuildOpts().LLBCaps
		if caps.Supports(pb.CapSourceGitChecksum) != nil { // this daemon does not look at it
			f.Git = &policy.GitFact{URL: g.URL, Ref: g.Ref}
		}
	}
	ruling := j.inner.decision.Judge(f)
	switch ruling.Verdict {
	case policy.Allow:
		return ruling, nil
	case policy.Warn:
		j.warn(ctx, ruling, at)
		return ruling, nil
	default:
		return ruling, j.refuse(ruling, at)
	}
}

// refuse makes a refusal of a ruling and remembers the first one.
func (j *judge) refuse(ruling policy.Ruling, at func() *llbops.Place) error {
	r := &refusal{origin: origin{kind: fromInner}, decision: j.inner.decision.Overrule(ruling)}
	if p := at(); p != nil {
		r.origin = origin{kind: fromStep, place: p}
	}
	j.remember(r)
	return r
}

// remember keeps the first refusal: of what the judge refused, and of a frontend
// that the inner one asked for.
func (j *judge) remember(r *refusal) {
	j.memory.mu.Lock()
	defer j.memory.mu.Unlock()
	if j.memory.refusal == nil {
		j.memory.refusal = r
	}
}

// warning keeps a warning, and reports whether it is a new one.
func (m *memory) warning(ruling policy.Ruling) bool {
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
func (j *judge) warn(ctx context.Context, ruling policy.Ruling, at func() *llbops.Place) {
	if !j.memory.warning(ruling) {
		return
	}
	opts := client.WarnOpts{Level: 1}
	if p := at(); p != nil {
		opts.SourceInfo, opts.Range = p.Info, p.Ranges
	}
	j.build.warnAt(ctx, "policy: "+ruling.Reason, opts)
}
