package policy

import (
	"fmt"
	"strings"

	"github.com/opencontainers/go-digest"

	"github.com/policy-frontend/policy-frontend/internal/safetext"
	"github.com/policy-frontend/policy-frontend/policy/imageref"
	"github.com/policy-frontend/policy-frontend/policy/imagerules"
)

// Trace is a decision and the steps that led to it.
type Trace struct {
	// Decision is what [Decide] returns.
	Decision Decision `json:"decision"`
	// Steps are in the order in which they were taken. They are never nil.
	Steps []Step `json:"steps"`
}

// StepKind is the kind of a step.
type StepKind string

// The kinds of steps.
const (
	// StepReference: the reference was read. To is its normalised form.
	StepReference StepKind = "reference"
	// StepInvariant: the request is refused under any policy; see [InvariantRule].
	StepInvariant StepKind = "invariant"
	// StepAlias: an alias of the layer rewrites From to To. If it pins the tag, Pin is the digest. If
	// no alias matches, From and To are empty.
	StepAlias StepKind = "alias"
	// StepLimits: the layer's limits allow the name, or refuse it with a Verdict.
	StepLimits StepKind = "limits"
	// StepRule: a rule of the layer matched or not; see Result.
	StepRule StepKind = "rule"
	// StepLayer: the layer alone decides the Verdict.
	StepLayer StepKind = "layer"
	// StepObligations: the Obligations of all layers together.
	StepObligations StepKind = "obligations"
	// StepBuild: the layer has build rules that bind the frontend, or LLB that no frontend made. Rule
	// is the one that has them or that allows the frontend.
	StepBuild StepKind = "build"
	// StepDispatch: how the frontend runs. This step is missing if it runs by forward without build
	// rules.
	StepDispatch StepKind = "dispatch"
	// StepExports, StepCaches and StepSBOM: where the layer lets results go, which build caches it
	// lets builds use, and which images it lets make SBOMs. StepAdministration: which clients the
	// layer lets administrate the builder. StepDebug: the layer lets clients run containers of their
	// own. StepAttest: which builds have summaries. The steps are missing for a layer without these
	// fields.
	StepExports        StepKind = "exports"
	StepCaches         StepKind = "caches"
	StepSBOM           StepKind = "sbom"
	StepAdministration StepKind = "administration"
	StepDebug          StepKind = "debug"
	StepAttest         StepKind = "attest"
)

// Result is the result of a step.
type Result string

// The results.
const (
	// Matched: the rule or alias matches the request.
	Matched Result = "matched"
	// Missed: it doesn't match.
	Missed Result = "missed"
	// Unknown: the result depends on the digest, which is unknown.
	Unknown Result = "unknown"
)

// Step is one step on the way to a decision. Fields that have no meaning for its kind are empty.
type Step struct {
	Kind StepKind `json:"kind"`
	// Layer is LayerPolicy or LayerOverlay.
	Layer string `json:"layer,omitempty"`
	// Rule is the name of the rule. File and Line say where it, or the alias, begins.
	Rule string `json:"rule,omitempty"`
	File string `json:"file,omitempty"`
	Line int    `json:"line,omitempty"`
	// Result is the result for a rule, an alias or limits.
	Result Result `json:"result,omitempty"`
	// Verdict is what the layer decides, or the refusal by its limits.
	Verdict Verdict `json:"verdict,omitempty"`
	// From and To are normalised references.
	From string `json:"from,omitempty"`
	To   string `json:"to,omitempty"`
	// Pin is the digest that an alias gives the tag.
	Pin digest.Digest `json:"pin,omitempty"`
	// Obligations are those of one layer's decision, or of all layers together.
	Obligations *Obligations `json:"obligations,omitempty"`
	// Reason is one sentence for a person.
	Reason string `json:"reason"`
}

// Explain answers the request as [Decide] does, and says how the answer came about. There is
// a step with a reason for each alias, rule and layer. Unlike Decide, Explain also asks the
// rules that can't change the answer.
func Explain(l Layers, r Request) Trace {
	t := recorder{steps: []Step{}}
	d := l.noted(r, decide(l, r, &t))
	return Trace{Decision: d, Steps: t.steps}
}

// recorder collects steps. A nil recorder collects nothing.
type recorder struct{ steps []Step }

func (t *recorder) add(s Step) {
	if t != nil {
		t.steps = append(t.steps, s)
	}
}

func (t *recorder) reference(ref imageref.Reference) {
	if t != nil && ref.Name() != "" {
		t.add(Step{Kind: StepReference, To: ref.String(), Reason: "it means " + ref.String()})
	}
}

func (t *recorder) alias(layer string, p *Policy, from imageref.Reference, to rewritten) {
	switch {
	case t == nil || len(p.doc.Aliases) == 0:
	case to.alias == nil && to.pin != "":
		t.add(Step{
			Kind: StepAlias, Layer: layer, Result: Matched, From: from.String(), To: to.ref.String(),
			Pin: to.pin, Reason: fmt.Sprintf("no alias is for %s, but one that leads to the same image "+
				"pins the tag %s", from.Name(), from.Tag()),
		})
	case to.alias == nil:
		t.add(
			Step{Kind: StepAlias, Layer: layer, Result: Missed, Reason: "no alias is for " + from.Name()})
	default:
		reason := fmt.Sprintf("the alias from %s to %s makes it %s", to.alias.From, to.alias.To, to.ref)
		if to.pin != "" {
			reason += fmt.Sprintf(", and pins the tag %s", from.Tag())
		}
		t.add(Step{
			Kind: StepAlias, Layer: layer, File: to.alias.file, Line: to.alias.line, Result: Matched,
			From: from.String(), To: to.ref.String(), Pin: to.pin, Reason: reason,
		})
	}
}

func (t *recorder) rule(layer string, r *Rule, m imagerules.Match, s subject) {
	if t == nil {
		return
	}
	step := Step{
		Kind: StepRule, Layer: layer, Rule: r.Name, File: r.File(), Line: r.Line(),
		Reason: m.Reason,
	}
	switch m.Result {
	case imagerules.Yes:
		step.Result = Matched
		if step.Reason == "" {
			verb := "allows"
			if r.Action == ActionDeny {
				verb = "denies"
			}
			step.Reason = fmt.Sprintf("it %s %s", verb, s.Ref.Familiar())
		}
	case imagerules.Unknown:
		step.Result = Unknown
		step.Reason = fmt.Sprintf("it depends on the digest of %s", s.Ref.Familiar())
	case imagerules.No:
		step.Result = Missed
		switch {
		case step.Reason != "":
		case r.Covers(s.Name):
			step.Reason = fmt.Sprintf("its conditions don't hold for %s", s.Ref.Familiar())
		default:
			step.Reason = fmt.Sprintf("%s is none of its names: %s", s.Ref.Name(),
				safetext.Printable(safetext.List("only", "only", imageref.Meanings(r.Names()))))
		}
	}
	t.add(step)
}

func (t *recorder) layer(layer string, o outcome) {
	if t == nil {
		return
	}
	step := Step{
		Kind: StepLayer, Layer: layer, Rule: DefaultRule, Verdict: o.verdict,
		Reason: o.reason,
	}
	if o.rule != nil {
		step.Rule, step.File, step.Line = o.rule.Name, o.rule.File(), o.rule.Line()
	}
	if o.verdict.Permits() {
		step.Obligations = &o.obligations
	}
	t.add(step)
}

func (t *recorder) obligations(d Decision) {
	if t == nil || !d.Verdict.Permits() {
		return
	}
	t.add(
		Step{
			Kind: StepObligations, Verdict: d.Verdict, Obligations: &d.Obligations,
			Reason: "this holds for the build: " + d.Obligations.summary(),
		})
}

// build adds the build rules that bind the frontend, and how it runs. It adds nothing if a frontend
// runs by forward without build rules.
func (t *recorder) build(d Decision) {
	if t == nil || !d.goesOn() {
		return
	}
	rules := t.rules(d)
	reason := fmt.Sprintf(
		"it is run by dispatch: %s, for at most %s and with %s of memory, and can run other "+
			"frontends %d deep", d.Dispatch, d.Timeout, FormatSize(d.Memory), d.Nesting)
	if d.Dispatch == DispatchForward {
		if !rules {
			return
		}
		reason = "it is run by dispatch: forward, so its operations are checked when it has returned"
	}
	t.add(Step{Kind: StepDispatch, Verdict: d.Verdict, Reason: reason})
}

// rules adds the build rules of a decision, and reports whether there are any.
func (t *recorder) rules(d Decision) bool {
	some := false
	for _, h := range d.constraints {
		bound := boundBy(&h.build)
		if bound == "" {
			continue
		}
		some = true
		step := Step{
			Kind: StepBuild, Layer: h.layer, Rule: DefaultRule,
			Reason: "its builds are bound by rules on " + bound,
		}
		if h.rule != nil {
			step.Rule, step.File, step.Line = h.rule.Name, h.rule.File(), h.rule.Line()
		}
		if h.warnOnly {
			step.Reason += ", which only warn"
		}
		t.add(step)
	}
	return some
}

// summary describes the obligations in a few words.
func (o Obligations) summary() string {
	var parts []string
	if len(o.Digests) > 0 {
		parts = append(parts, safetext.List("the digest", "one of the digests", o.Digests))
	}
	for _, part := range []struct {
		holds bool
		text  string
	}{
		{o.RequireDigest, "a written digest"},
		{len(o.Strip) > 0, fmt.Sprintf("options removed: %d", len(o.Strip))},
		{len(o.Force) > 0, fmt.Sprintf("options set: %d", len(o.Force))},
		{len(o.Deny) > 0, fmt.Sprintf("kinds of options refused: %d", len(o.Deny))},
		{len(o.Only) > 0, "only some options"},
		{o.Inputs == ActionDeny, "no frontend inputs"},
		{len(o.Build) > 0, "rules on what is built"},
	} {
		if part.holds {
			parts = append(parts, part.text)
		}
	}
	if len(parts) == 0 {
		return "nothing but what was asked for"
	}
	return strings.Join(parts, ", ")
}
