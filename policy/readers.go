package policy

import (
	"time"

	"github.com/policy-frontend/policy-frontend/policy/buildrules"
	"github.com/policy-frontend/policy-frontend/policy/clients"
)

// Readers returns the decisions under which a build may read something before its frontend is
// known, above all the build file, which names the frontend. There is one list for each layer. Each
// list has a decision for each set of build rules under which that layer lets some frontend run.
//
// A build may read what one decision of each list allows. That is the most that the build's own
// decision can allow later, so nothing is refused that its frontend could have. The zero [Layers]
// have no lists.
func (l Layers) Readers(now time.Time) [][]Decision {
	var all [][]Decision
	for _, layer := range []struct {
		name   string
		policy *Policy
	}{{LayerPolicy, l.embedded}, {LayerOverlay, l.overlay}} {
		if layer.policy == nil {
			continue
		}
		var list []Decision
		for _, rule := range layer.policy.readers(now, l.client) {
			d := l.Refuse("", "")
			d.Verdict, d.Layer, d.at = Allow, layer.name, now
			d.Timeout, d.Nesting, d.Memory = l.bounds()
			c, _ := layer.policy.constrain(layer.name, outcome{holds: rule}, l.Contact())
			d.constraints = []*constraints{c}
			list = append(list, d)
		}
		all = append(all, list)
	}
	return all
}

// readers returns a rule for each set of build rules by which a frontend can run at a time, and nil
// for those of the whole policy. These alone remain if the policy lets the client run no frontend.
func (p *Policy) readers(now time.Time, client clients.Client) []*Rule {
	type rules struct {
		own  *buildrules.Rules
		hard severity
	}
	var found []*Rule
	seen := map[rules]bool{}
	add := func(r *Rule, own *buildrules.Rules) {
		if key := (rules{own, p.severity(r)}); !seen[key] {
			seen[key] = true
			found = append(found, r)
		}
	}
	if p.doc.Default == ActionAllow || p.doc.Mode == ModeWarn {
		add(nil, nil)
	}
	for _, c := range p.allows {
		if !c.rule.Expired(now) && c.rule.Admits(client) && p.withinLimits(c.pattern) {
			add(c.rule, c.rule.Build)
		}
	}
	if len(found) == 0 {
		add(nil, nil)
	}
	return found
}
