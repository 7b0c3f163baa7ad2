package guard

import (
	"github.com/policy-frontend/policy-frontend/frontend"
	"github.com/policy-frontend/policy-frontend/policy"
	"github.com/policy-frontend/policy-frontend/policy/buildrules"
)

// entitlements returns the entitlements that a build asks for, if the policy can let it have them.
// What the build runs isn't known then; see [build.entitled].
func entitlements(l policy.Layers, asked []string) ([]buildrules.Entitlement, error) {
	var granted []buildrules.Entitlement
	for _, s := range asked {
		e, err := buildrules.ParseEntitlement(s)
		if err != nil {
			return nil, err
		}
		if err := denied(l, l.DecideEntitlement(e)); err != nil {
			return nil, err
		}
		granted = append(granted, e)
	}
	return granted, nil
}

// entitled refuses what a decision allows if the build has an entitlement that the decision's build
// rules don't list. The daemon gives an entitlement to the whole build.
func (b *build) entitled(d policy.Decision) error {
	for _, e := range b.entitlements {
		if r := d.CheckEntitlement(e); r.Verdict != policy.Allow {
			return &frontend.DenialError{Decision: d.Overrule(r)}
		}
	}
	return nil
}
