package policy

import (
	"cmp"
	"errors"
	"fmt"
	"time"

	"github.com/opencontainers/go-digest"

	"github.com/policy-frontend/policy-frontend/internal/safetext"
	"github.com/policy-frontend/policy-frontend/policy/buildrules"
	"github.com/policy-frontend/policy-frontend/policy/clients"
	"github.com/policy-frontend/policy-frontend/policy/imageref"
)

// Request is a build's wish to run a frontend.
type Request struct {
	// Requested is the reference as the client wrote it. It is only reported.
	Requested string
	// Reference is the same, parsed.
	Reference imageref.Reference
	// Digest is the digest of the image that would run, or "" if it is not known. It is the
	// digest of [Decision].Reference, which aliases may have rewritten. A digest in the
	// reference, or one that an alias pins, needn't be repeated here.
	Digest digest.Digest
	// TagDigest is the digest that the tag of [Decision].Reference points to now, or "" if it
	// was not looked up. It matters for a reference with both tag and digest: the digest
	// decides which image runs, and the tag may be wrong.
	TagDigest digest.Digest
	// Self is the reference under which the policy frontend itself runs. It is zero outside
	// of a build.
	Self imageref.Reference
	// NamedContexts are the image names that the client overrides with named contexts,
	// without platform suffix.
	NamedContexts []string
	// Options are the frontend options that the client sent, without the policy frontend's
	// own build-args.
	Options map[string]string
	// Inputs are the names of the frontend inputs that the client sends.
	Inputs []string
	// InputSources has the kind of source of each input that is one source, or files copied from it.
	// Such a git repository or download is a context, as if an option named it. All other inputs are
	// results of other builds.
	InputSources map[string]buildrules.Kind
	// Nested says that a frontend which isn't forwarded asks for this one. Such a frontend is
	// mediated where a rule says forward: each of its calls is checked as those of its runner are.
	Nested bool
	// Time is the time of the decision. The zero time is unknown and resolved towards
	// refusal: an allow rule that expires has expired, a deny rule hasn't, and every warnAfter
	// has passed.
	Time time.Time
}

// Verdict is the outcome of a decision.
type Verdict string

// The verdicts.
const (
	Allow Verdict = "allow"
	Deny  Verdict = "deny"
	// Warn means that the build goes on, with the decision's warnings.
	Warn Verdict = "warn"
	// Undecidable means that the decision depends on the digest, which the request
	// doesn't have. With the digest, [Decide] never answers it.
	Undecidable Verdict = "undecidable"
)

// Permits reports whether a build goes on with this verdict: it is [Allow] or [Warn].
func (v Verdict) Permits() bool { return v == Allow || v == Warn }

// The layers that Decision.Layer names.
const (
	LayerPolicy  = "policy"
	LayerOverlay = "overlay"
)

// Decision is the answer to a [Request]. Its JSON is what clients see.
type Decision struct {
	Verdict Verdict `json:"verdict"`
	// Requested is the reference as the client wrote it.
	Requested string `json:"requested"`
	// Image is the String of Reference. If there is no Reference, it is Requested.
	Image string `json:"source"`
	// Rule is the name of the rule that decided. It is [DefaultRule] if no rule matched,
	// and [LimitsRule] or [InvariantRule] if no rule was asked.
	Rule string `json:"rule"`
	// Reason is one sentence for a person.
	Reason string `json:"reason"`
	// Messages are those of the rules that matched, and further notes. Never nil.
	Messages []string `json:"messages"`
	// Warnings are shown although the build goes on, for example that a rule is about to
	// expire, or that only the mode prevents a refusal. There are some if and only if the
	// verdict is Warn.
	Warnings []string `json:"warnings,omitempty"`
	// Policy identifies the embedded policy, even if the overlay decided.
	Policy Identity `json:"policy"`
	// Overlay identifies the overlay, if there is one.
	Overlay *Identity `json:"overlay,omitempty"`
	// Obligations are what an allowed build must keep to. Empty for other builds.
	Obligations Obligations `json:"obligations"`
	// Dispatch is how the frontend runs. Empty for a build that is refused.
	Dispatch Dispatch `json:"dispatch,omitempty"`
	// Allowed suggests up to five alternatives that the denying layer allows and the other
	// layer may allow. The closest name comes first, in familiar form, with conditions on
	// tags and digests. It is a hint for people and not a guarantee.
	Allowed []string `json:"allowed,omitempty"`
	// Contact is whom to ask about the decision, or "".
	Contact string `json:"contact,omitempty"`

	// Timeout is how long a frontend may take under [DispatchMediate] or [DispatchBuiltin].
	// Nesting is how many levels of nested frontends it can still run. Memory is how many bytes
	// the policy frontend may take for the build.
	Timeout time.Duration `json:"-"`
	Nesting int           `json:"-"`
	Memory  int64         `json:"-"`

	// Reference is what may run: the request's reference after the aliases and pins of all
	// layers, with its digest if that is known. Callers look up the tag of this reference. It
	// is zero if the request was refused before aliases.
	Reference imageref.Reference `json:"-"`
	// Layer is the layer whose rule decided: LayerPolicy or LayerOverlay.
	Layer string `json:"-"`
	// TagUnverified is set if the decision relied on the tag of a reference that has a digest
	// too. Look up the tag's digest and decide again with [Request].TagDigest before running
	// the frontend.
	TagUnverified bool `json:"-"`

	// llb is set for a decision on LLB that no frontend made.
	llb bool
	// at is the time of the request.
	at time.Time
	// client is who builds.
	client clients.Client
	// constraints are those of all layers, in the order in which they rewrite
	// images.
	constraints []*constraints
	// converted is set for images to which no conversion applies; see WithoutConversions.
	converted bool
}

// Decide answers the request. It never fails. It denies a request that isn't valid, for
// example one whose digest contradicts the reference, and every request under the zero
// [Layers].
func Decide(l Layers, r Request) Decision { return l.noted(r, decide(l, r, nil)) }

// decide answers the request. A recorder, which may be nil, gets each step.
func decide(l Layers, r Request, t *recorder) Decision {
	if l.embedded == nil {
		return l.refuse(r, "there is no policy, so nothing is allowed", t)
	}
	t.reference(r.Reference)
	if reason := r.invariant(); reason != "" {
		return l.refuse(r, reason, t)
	}
	asked, final, err := l.rewrite(r, t)
	if err != nil {
		return l.refuse(r, err.Error(), t)
	}
	d := Decision{
		Verdict:   Deny,
		Requested: r.Requested,
		Image:     final.ref.String(),
		Rule:      DefaultRule,
		Messages:  []string{},
		Reference: final.ref,
		Layer:     LayerPolicy,
		Contact:   l.Contact(),
		at:        r.Time,
		client:    l.client,
	}
	d.Policy = l.embedded.Identity()
	if l.overlay != nil {
		id := l.overlay.Identity()
		d.Overlay = &id
	}
	s, err := newSubject(r, final)
	s.Client = l.client
	if err != nil {
		d.Reason = err.Error()
		t.add(Step{Kind: StepReference, Verdict: Deny, Reason: d.Reason})
		return d
	}
	d.Image, d.Reference = s.source.String(), s.source
	if d.limit(l, s, t) {
		return d
	}
	d.meet(l, s, s.as(asked), t)
	if r.Nested && d.Dispatch == DispatchForward {
		d.Dispatch = DispatchMediate
	}
	if d.Verdict.Permits() {
		d.Timeout, d.Nesting, d.Memory = l.bounds()
	}
	if reason := cmp.Or(d.holdEpoch(r), r.forcedContext(d.Obligations)); reason != "" {
		return l.refuse(r, reason, t)
	}
	t.obligations(d)
	t.build(d)
	t.results(l, d)
	return d
}

// rewrite applies the aliases of the overlay and then those of the embedded policy. It
// returns the reference for the overlay's rules, and the one for the embedded policy's rules,
// which may run. It fails if one of them is the policy frontend itself.
func (l Layers) rewrite(r Request, t *recorder) (asked, final rewritten, err error) {
	asked.ref = r.Reference
	if l.overlay != nil {
		if asked, err = l.overlay.rewrite(r.Reference); err != nil {
			return asked, final, err
		}
		t.alias(LayerOverlay, l.overlay, r.Reference, asked)
	}
	if final, err = l.embedded.rewrite(asked.ref); err != nil {
		return asked, final, err
	}
	t.alias(LayerPolicy, l.embedded, asked.ref, final)
	for _, ref := range []imageref.Reference{asked.ref, final.ref} {
		if r.Self.Name() != "" && ref.SameRepository(r.Self) {
			return asked, final, errors.New(selfDispatch(r.Self))
		}
	}
	return asked, final, nil
}

// limit applies the limits of all layers to the name that would run, and reports
// whether they refuse it.
func (d *Decision) limit(l Layers, s subject, t *recorder) bool {
	for _, layer := range []struct {
		name          string
		policy, other *Policy
	}{{LayerPolicy, l.embedded, l.overlay}, {LayerOverlay, l.overlay, l.embedded}} {
		p := layer.policy
		if p == nil || len(p.doc.Limits.patterns) == 0 {
			continue
		}
		if matchName(p.doc.Limits.patterns, s.Name) {
			t.add(
				Step{
					Kind: StepLimits, Layer: layer.name, Result: Matched,
					Reason: fmt.Sprintf("%s is within the limits", s.Ref.Familiar()),
				})
			continue
		}
		o := outcome{
			verdict: Deny,
			reason: fmt.Sprintf("%s is outside the limits: only %s can be allowed", s.Ref.Familiar(),
				safetext.List("names like", "names like", imageref.Meanings(p.doc.Limits.patterns))),
		}
		d.take(layer.name, l, o, s)
		d.Rule = LimitsRule
		t.add(Step{Kind: StepLimits, Layer: layer.name, Result: Missed, Verdict: Deny, Reason: o.reason})
		return true
	}
	return false
}

// meet lets each layer decide by itself and takes the stricter decision. The overlay
// evaluates the request as it is before the embedded policy's aliases.
func (d *Decision) meet(l Layers, s, asked subject, t *recorder) {
	embedded := l.embedded.decide(s, LayerPolicy, l.Contact(), t)
	if l.overlay == nil {
		d.take(LayerPolicy, l, embedded, s)
		return
	}
	overlay := l.overlay.decide(asked, LayerOverlay, l.Contact(), t)
	for _, v := range []Verdict{Deny, Undecidable} {
		if embedded.verdict == v {
			d.take(LayerPolicy, l, embedded, s)
			return
		}
		if overlay.verdict == v {
			d.take(LayerOverlay, l, overlay, asked)
			return
		}
	}
	both, why := embedded.obligations.meet(overlay.obligations, s)
	if why == "" {
		why = clashes(embedded, overlay)
	}
	if why != "" {
		d.take(LayerOverlay, l, outcome{verdict: Deny, reason: why}, asked)
		return
	}
	d.take(LayerPolicy, l, embedded, s)
	d.Obligations = both
	d.Dispatch = dispatchUnder(embedded, overlay, l.overlay.doc.WrittenDispatch(overlay.holds))
	d.constraints = []*constraints{overlay.constraints, embedded.constraints}
	if overlay.unverified && !embedded.unverified {
		d.markUnverified(s)
	}
	if overlay.rule != nil && overlay.rule.Message != "" {
		d.Messages = append(d.Messages, overlay.rule.Message)
	}
	for _, w := range overlay.warnings {
		d.Verdict = Warn
		d.Warnings = append(d.Warnings, "the overlay says: "+w)
	}
}

// take makes a layer's outcome the decision.
func (d *Decision) take(layer string, l Layers, o outcome, s subject) {
	d.Verdict, d.Reason, d.Layer = o.verdict, o.reason, layer
	p, other := l.embedded, l.overlay
	if layer == LayerOverlay {
		p, other = l.overlay, l.embedded
		d.Reason = "the overlay decided: " + o.reason
		d.Contact = cmp.Or(p.doc.Contact, d.Contact)
	}
	if o.rule != nil {
		d.Rule = o.rule.Name
		d.Contact = cmp.Or(o.rule.Contact, d.Contact)
		if o.rule.Message != "" && o.verdict != Undecidable {
			d.Messages = append(d.Messages, o.rule.Message)
		}
	}
	switch o.verdict {
	case Allow, Warn:
		d.Obligations, d.Warnings = o.obligations, o.warnings
		d.Dispatch, d.constraints = o.dispatch, []*constraints{o.constraints}
		if o.unverified {
			d.markUnverified(s)
		}
	case Deny:
		if l.brief {
			return
		}
		var meant string
		d.Allowed, meant = p.allowed(s, other, layer == LayerOverlay)
		if o.unknown && meant != "" {
			d.Reason += "; did you mean " + meant + "?"
		}
	}
}

// markUnverified marks the decision as resting on a tag that was not looked up.
func (d *Decision) markUnverified(s subject) {
	d.TagUnverified = true
	d.Messages = append(d.Messages, fmt.Sprintf(
		"the tag %s is not looked up here; in a build it must point to %s", s.Ref.Tag(), s.Digest))
}
