package policy

import (
	"cmp"
	"time"
)

// BuildRule is the name under which a ruling reports what the policy-wide rules on
// builds decided. No rule can have it.
const BuildRule = "build"

const (
	defaultTimeout = time.Hour
	maxTimeout     = 24 * time.Hour
	defaultNesting = 4
	maxNesting     = 16
)

// held are the rules on builds that one layer holds a frontend to. Decisions share
// it; it is never changed.
type held struct {
	layer   string
	policy  *Policy
	rule    *Rule // nil if none decided
	build   Build
	soft    bool   // a denial only warns
	contact string // whom to ask
}

// effective returns what the document holds a frontend to that the rule, which may
// be nil, allows: the rule's own rules of each kind, else the policy's.
func (p *Policy) effective(r *Rule) (Build, Dispatch) {
	var build Build
	dispatch := p.Dispatch
	if r != nil {
		dispatch = cmp.Or(r.Dispatch, dispatch)
		if r.Build != nil {
			build = *r.Build
		}
	}
	if p.Build != nil {
		build.inherit(p.Build)
	}
	return build, cmp.Or(dispatch, DispatchForward)
}

// hold returns what the layer holds the frontend to that its outcome allows.
func (p *Policy) hold(layer string, o outcome, contact string) (*held, Dispatch) {
	rule := o.holds
	h := &held{layer: layer, policy: p, rule: rule, soft: p.force(rule) != enforced, contact: contact}
	if layer == LayerOverlay {
		h.contact = cmp.Or(p.Contact, contact)
	}
	if rule != nil {
		h.contact = cmp.Or(rule.Contact, h.contact)
	}
	var dispatch Dispatch
	h.build, dispatch = p.effective(rule)
	return h, dispatch
}

// bounds returns the tightest timeout and nesting of all layers. What is left out
// is the default of the embedded policy, and no limit of an overlay.
func (l Layers) bounds() (timeout time.Duration, nesting int) {
	timeout = cmp.Or(l.embedded.Limits.timeout, defaultTimeout)
	nesting = cmp.Or(l.embedded.Limits.Nesting, defaultNesting)
	if l.overlay != nil {
		timeout = min(timeout, cmp.Or(l.overlay.Limits.timeout, timeout))
		nesting = min(nesting, cmp.Or(l.overlay.Limits.Nesting, nesting))
	}
	return timeout, nesting
}

// obligation returns the rules as they are reported; none if there are none.
func (h *held) obligation() []BuildObligation {
	if len(h.build.Kinds()) == 0 {
		return nil
	}
	o := BuildObligation{Layer: h.layer, Rule: DefaultRule, Mode: ModeEnforce, Build: h.build}
	if h.rule != nil {
		o.Rule = h.rule.Name
	}
	if h.soft {
		o.Mode = ModeWarn
	}
	return []BuildObligation{o}
}

// dispatchUnder returns how a frontend runs that both layers allow: as the
// embedded policy says, but mediated if the overlay has that, or has rules that
// forward can't judge.
func dispatchUnder(embedded, overlay outcome) Dispatch {
	if overlay.dispatch == DispatchMediate || embedded.dispatch == DispatchForward && overlay.held.build.Frontends != nil {
		return DispatchMediate
	}
	return embedded.dispatch
}
