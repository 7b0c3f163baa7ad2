package policy

import (
	"fmt"
	"slices"

	"github.com/policy-frontend/policy-frontend/internal/safetext"
	"github.com/policy-frontend/policy-frontend/policy/buildrules"
)

// entitlementHint is what to do about a refused entitlement.
const entitlementHint = "build without --allow, or have build.%s list what it is for"

// DecideEntitlement says whether a build can get an entitlement as long as nobody knows which
// frontend it runs: build rules of the policy have to list what it is for, or those of a rule. When
// the frontend is known, [Decision.CheckEntitlement] decides. No mode weakens a denial. The verdict
// is Allow or Deny.
func (l Layers) DecideEntitlement(e buildrules.Entitlement) Ruling {
	return l.rule(BuildRule, func(p *Policy, overlay bool) *objection {
		if overlay { // its rules bind commands, and it can't add any
			return nil
		}
		lists := func(r *Rule) bool {
			build := p.effective(r)
			return build.Lists(e)
		}
		if lists(nil) {
			return nil
		}
		why := "no build rules list it"
		for i := range p.doc.Frontends {
			r := &p.doc.Frontends[i]
			switch {
			case r.Action == ActionDeny || !lists(r):
			case r.Admits(l.client):
				return nil
			default:
				why = fmt.Sprintf("the build rules for rule %s list it %s", safetext.Quote(r.Name),
					r.For().Only(l.client))
			}
		}
		return &objection{
			what:  "the entitlement " + safetext.Plain(e.String()) + ", because " + why,
			field: e.Field(), hint: fmt.Sprintf(entitlementHint, e.Field()),
		}
	})
}

// CheckEntitlement says whether a build that has the entitlement can go on as the decision allows.
// The build rules of each layer have to list what it is for. An overlay without rules on commands
// leaves it to the policy. No mode weakens a denial. The verdict is Allow or Deny.
func (d Decision) CheckEntitlement(e buildrules.Entitlement) Ruling {
	for _, c := range slices.Backward(d.constraints) {
		if c.build.Lists(e) || c.layer == LayerOverlay && c.build.Exec == nil {
			continue
		}
		by := "the build rules"
		r := d.deny(BuildRule, "")
		r.Layer, r.Contact = c.layer, c.contact
		if c.rule != nil {
			r.Rule, by = c.rule.Name, "the build rules for rule "+safetext.Quote(c.rule.Name)
		}
		r.Reason = fmt.Sprintf("the build has the entitlement %s, which %s of the %s don't list "+
			"(build.%s)", safetext.Plain(e.String()), by, c.layer, e.Field())
		r.Messages = append(r.Messages, fmt.Sprintf(entitlementHint, e.Field()))
		return r
	}
	if !d.goesOn() {
		return d.deny(InvariantRule, "the frontend is refused, so the build gets no entitlement")
	}
	return Ruling{Verdict: Allow, Layer: LayerPolicy, Messages: []string{}}
}
