package policy

import (
	"fmt"
	"slices"
	"time"

	"github.com/opencontainers/go-digest"
)

// Request is a build's wish to run a frontend.
type Request struct {
	// Requested is the reference as the client wrote it; it is only reported.
	Requested string
	// Reference is the same, parsed.
	Reference Reference
	// Digest is the digest of the image that would run, or "" while it is not
	// known. It speaks of Decision.Reference, into which aliases may turn the
	// Reference. A digest in the reference, or pinned by an alias, counts by itself.
	Digest digest.Digest
	// TagDigest is the digest that the tag of Decision.Reference points to now, or
	// "" if it was not looked up. It matters for a reference with both tag and digest, in
	// which the digest decides what runs and the tag is no more than a claim.
	TagDigest digest.Digest
	// Self is the reference under which the policy frontend itself runs; the zero
	// Reference outside of a build.
	Self Reference
	// NamedContexts are the names over which the client puts a context of its own,
	// without platform suffix.
	NamedContexts []string
	// Options are the client's frontend options as it sent them, without the policy
	// frontend's own build-args.
	Options map[string]string
	// Inputs are the names of the frontend inputs that the client sends.
	Inputs []string
	// Time is now. While it is the zero time, nothing rests on it being early or
	// late: an allow rule that expires has expired, a deny rule has not, and every
	// warnAfter has passed.
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
	// doesn't have. With the digest, Decide never answers it.
	Undecidable Verdict = "undecidable"
)

// The layers that Decision.Layer names.
const (
	LayerPolicy  = "policy"
	LayerOverlay = "overlay"
)

// Decision is the answer to a Request. As JSON it is what clients get to see.
type Decision struct {
	Verdict Verdict `json:"verdict"`
	// Requested is the reference as the client wrote it.
	Requested string `json:"requested"`
	// Source is the text of Reference; what was asked for when there is none.
	Source string `json:"source"`
	// Rule is the name of the rule that decided; DefaultRule when no rule matched,
	// LimitsRule or BuiltinRule when none was asked.
	Rule string `json:"rule"`
	// Reason is one sentence for a person.
	Reason string `json:"reason"`
	// Messages are those of the rules that matched, and what else a person should
	// know. Never nil.
	Messages []string `json:"messages"`
	// Warnings are to be shown although the build goes on: a rule that is about to
	// expire, what would be refused but for a mode. They are there if and only if
	// the verdict is Warn.
	Warnings []string `json:"warnings,omitempty"`
	// Policy identifies the embedded policy, whichever layer decided.
	Policy Identity `json:"policy"`
	// Overlay identifies the overlay, if there is one.
	Overlay *Identity `json:"overlay,omitempty"`
	// Obligations are what holds for an allowed build; empty otherwise.
	Obligations Obligations `json:"obligations"`

	// Reference is what may run: the request's reference after the aliases and pins
	// of all layers, with its digest when that is known. It is this reference whose
	// tag is to be looked up. It is the zero Reference when the request was refused
	// before that.
	Reference Reference `json:"-"`
	// Layer is the layer whose rule decided: LayerPolicy or LayerOverlay.
	Layer string `json:"-"`
	// Allowed is what the layer that denied allows and the other one has a rule for,
	// nearest to the request first, at most five, as Docker users write it and with
	// tag and digest conditions. It is a help for people and no promise.
	Allowed []string `json:"-"`
	// Contact is whom to ask about the decision, or "".
	Contact string `json:"-"`
	// TagUnverified is set when the decision believed the tag of a reference that
	// has a digest too. Look up what the tag points to and decide again with
	// Request.TagDigest before running it.
	TagUnverified bool `json:"-"`
}

// Obligations are the conditions under which an allowed frontend may run. The
// more, the tighter.
type Obligations struct {
	// Digests are the only digests that may run; empty is any.
	Digests []string `json:"digests,omitempty"`
	// RequireDigest says that the request itself must carry a digest.
	RequireDigest bool `json:"requireDigest,omitempty"`
	// Strip are the keys of options in the request that are removed, sorted.
	Strip []string `json:"strip,omitempty"`
	// Force are options that the inner frontend gets with these values.
	Force map[string]string `json:"force,omitempty"`
	// Deny are the globs of option keys that no build may have. Those of the request
	// have been judged.
	Deny []string `json:"deny,omitempty"`
	// Only are the globs of the only option keys that a build may have; empty is any.
	// Those of the request have been judged.
	Only []string `json:"only,omitempty"`
	// Inputs is ActionDeny if no build may have frontend inputs, else empty. The
	// request's have been judged.
	Inputs Action `json:"inputs,omitempty"`
}

// meet returns the obligations of both. It is false when they have no digest in
// common, so that nothing can run.
func (o Obligations) meet(p Obligations) (Obligations, bool) {
	m := Obligations{Digests: o.Digests, RequireDigest: o.RequireDigest || p.RequireDigest}
	switch {
	case len(o.Digests) == 0:
		m.Digests = p.Digests
	case len(p.Digests) > 0:
		m.Digests = nil
		for _, d := range o.Digests {
			if slices.Contains(p.Digests, d) {
				m.Digests = append(m.Digests, d)
			}
		}
		return m, len(m.Digests) > 0
	}
	return m, true
}

// Decide answers the request. It never fails: what it can't make sense of, such
// as the zero Layers or a digest that contradicts the reference, it denies.
func Decide(l Layers, r Request) Decision {
	d := Decision{
		Verdict:   Deny,
		Requested: r.Requested,
		Source:    r.Reference.String(),
		Rule:      DefaultRule,
		Messages:  []string{},
		Layer:     LayerPolicy,
		Contact:   l.Contact(),
	}
	if l.embedded == nil {
		return l.Refuse(r.Requested, "there is no policy, so nothing is allowed")
	}
	if reason := r.builtin(); reason != "" {
		return l.Refuse(r.Requested, reason)
	}
	d.Policy = l.embedded.Identity()
	if l.overlay != nil {
		id := l.overlay.Identity()
		d.Overlay = &id
	}
	s, err := newSubject(r)
	if err != nil {
		d.Reason = err.Error()
		return d
	}
	d.Source, d.Reference = s.source.String(), s.source
	d.decide(l, s)
	return d
}

// decide lets each layer decide by itself and takes the meet.
func (d *Decision) decide(l Layers, s subject) {
	embedded := l.embedded.decide(s)
	if l.overlay == nil {
		d.take(LayerPolicy, l, embedded, s)
		return
	}
	overlay := l.overlay.decide(s)
	for _, v := range []Verdict{Deny, Undecidable} {
		if embedded.verdict == v {
			d.take(LayerPolicy, l, embedded, s)
			return
		}
		if overlay.verdict == v {
			d.take(LayerOverlay, l, overlay, s)
			return
		}
	}
	both, ok := embedded.obligations.meet(overlay.obligations)
	if !ok {
		overlay = outcome{verdict: Deny, reason: "the policy and the overlay have no allowed digest in common"}
		d.take(LayerOverlay, l, overlay, s)
		return
	}
	d.take(LayerPolicy, l, embedded, s)
	d.Obligations = both
	if overlay.believed && !embedded.believed {
		d.believe(s)
	}
	if overlay.rule != nil && overlay.rule.Message != "" {
		d.Messages = append(d.Messages, overlay.rule.Message)
	}
}

// take makes a layer's outcome the decision.
func (d *Decision) take(layer string, l Layers, o outcome, s subject) {
	d.Verdict, d.Reason, d.Layer = o.verdict, o.reason, layer
	p, other := l.embedded, l.overlay
	if layer == LayerOverlay {
		p, other = l.overlay, l.embedded
		d.Reason = "the overlay decided: " + o.reason
		if p.Contact != "" {
			d.Contact = p.Contact
		}
	}
	if o.rule != nil {
		d.Rule = o.rule.Name
		if o.rule.Message != "" && o.verdict != Undecidable {
			d.Messages = append(d.Messages, o.rule.Message)
		}
	}
	switch o.verdict {
	case Allow:
		d.Obligations = o.obligations
		if o.believed {
			d.believe(s)
		}
	case Deny:
		d.Allowed = p.allowed(s.ref, other)
	}
}

// believe marks the decision as resting on an unverified tag.
func (d *Decision) believe(s subject) {
	d.TagUnverified = true
	d.Messages = append(d.Messages, fmt.Sprintf(
		"the tag %s is believed here; in a build it must point to %s", s.ref.Tag(), s.digest))
}
