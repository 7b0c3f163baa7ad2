package policy

import (
	"cmp"
	"time"

	"github.com/policy-frontend/policy-frontend/policy/buildrules"
)

// BuildRule is the name under which a [Ruling] reports the build rules of the whole policy. No
// rule can have this name.
const BuildRule = "build"

const (
	defaultTimeout = time.Hour
	maxTimeout     = 24 * time.Hour
	defaultNesting = 4
	maxNesting     = 16
)

// constraints are the build rules that bind one frontend in one layer. Decisions share them, and
// nothing changes them.
type constraints struct {
	layer    string
	rule     *Rule // nil if no rule decided
	build    buildrules.Rules
	warnOnly bool
	contact  string // whom to ask
}

// effective returns how a frontend runs, and the build rules that bind it: for each kind those
// of the rule, which may be nil, and else those of the whole policy.
func (p *Policy) effective(r *Rule) (buildrules.Rules, Dispatch) {
	var build buildrules.Rules
	dispatch := p.doc.Dispatch
	if r != nil {
		dispatch = cmp.Or(r.Dispatch, dispatch)
		if r.Build != nil {
			build = *r.Build
		}
	}
	if p.doc.Build != nil {
		build.Inherit(p.doc.Build)
	}
	return build, cmp.Or(dispatch, DispatchForward)
}

// constrain returns the constraints under an outcome that allows the frontend, and how the
// frontend runs.
func (p *Policy) constrain(layer string, o outcome, contact string) (*constraints, Dispatch) {
	rule := o.holds
	c := &constraints{
		layer: layer, rule: rule, warnOnly: p.severity(rule) != enforce,
		contact: contact,
	}
	if layer == LayerOverlay {
		c.contact = cmp.Or(p.doc.Contact, contact)
	}
	if rule != nil {
		c.contact = cmp.Or(rule.Contact, c.contact)
	}
	var dispatch Dispatch
	c.build, dispatch = p.effective(rule)
	return c, dispatch
}

// bounds returns the tightest timeout and nesting of all layers. The embedded policy has
// defaults; an overlay without limits adds none.
func (l Layers) bounds() (timeout time.Duration, nesting int) {
	timeout = cmp.Or(l.embedded.doc.Limits.timeout, defaultTimeout)
	nesting = cmp.Or(l.embedded.doc.Limits.Nesting, defaultNesting)
	if l.overlay != nil {
		timeout = min(timeout, cmp.Or(l.overlay.doc.Limits.timeout, timeout))
		nesting = min(nesting, cmp.Or(l.overlay.doc.Limits.Nesting, nesting))
	}
	return timeout, nesting
}

// obligations returns the constraints as a decision reports them, nil if there are no rules.
func (c *constraints) obligations() []BuildObligation {
	if len(c.build.Kinds()) == 0 {
		return nil
	}
	o := BuildObligation{Layer: c.layer, Rule: DefaultRule, Mode: ModeEnforce, Build: c.build}
	if c.rule != nil {
		o.Rule = c.rule.Name
	}
	if c.warnOnly {
		o.Mode = ModeWarn
	}
	return []BuildObligation{o}
}

// dispatchUnder returns how a frontend runs that both layers allow. The embedded policy says
// it, but the frontend is mediated if the overlay says so or has rules that forward can't check.
func dispatchUnder(embedded, overlay outcome) Dispatch {
	needsBroker := embedded.dispatch == DispatchForward && overlay.constraints.build.Frontends != nil
	if overlay.dispatch == DispatchMediate || needsBroker {
		return DispatchMediate
	}
	return embedded.dispatch
}
