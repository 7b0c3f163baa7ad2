package policy

import (
	"fmt"
	"maps"
	"slices"

	"github.com/policy-frontend/policy-frontend/internal/globs"
	"github.com/policy-frontend/policy-frontend/internal/optionkeys"
	"github.com/policy-frontend/policy-frontend/internal/safetext"
	"github.com/policy-frontend/policy-frontend/policy/buildrules"
)

// Obligations are the conditions under which an allowed frontend may run. Each one is a
// restriction.
type Obligations struct {
	// Digests are the only digests that may run. If it is empty, any digest may.
	Digests []string `json:"digests,omitempty"`
	// RequireDigest says that the request itself must carry a digest.
	RequireDigest bool `json:"requireDigest,omitempty"`
	// Strip are the keys of the request's options that are removed. They are sorted.
	Strip []string `json:"strip,omitempty"`
	// Force are options that the inner frontend gets with these values.
	Force map[string]string `json:"force,omitempty"`
	// Deny are globs of option keys that no build may have. They are sorted. The request's options
	// have been checked already.
	Deny []string `json:"deny,omitempty"`
	// Only are globs of the only option keys that a build may have. They are sorted. If it is empty,
	// any option may be there. The request's options have been checked already. The options in Force
	// are allowed in addition.
	Only []string `json:"only,omitempty"`
	// Inputs is ActionDeny if no build may have frontend inputs, else "". The request's inputs have
	// been checked already.
	Inputs Action `json:"inputs,omitempty"`
	// Build are the build rules of each layer that has some. All of them hold; see [Decision.Check].
	// They are shared with the policies, so don't change them.
	Build []BuildObligation `json:"build,omitempty"`
}

// Value returns the value of an option that the frontend gets, of a request with these options. It
// is "" if it gets none.
func (o Obligations) Value(key string, options map[string]string) string {
	if v, ok := o.Force[key]; ok {
		return v
	}
	if slices.Contains(o.Strip, key) {
		return ""
	}
	return options[key]
}

// BuildObligation has the build rules by which one layer binds a frontend.
type BuildObligation struct {
	// Layer is LayerPolicy or LayerOverlay.
	Layer string `json:"layer"`
	// Rule is the rule that allows the frontend, or DefaultRule. If that rule has no build rules for a
	// kind, those of the whole policy hold.
	Rule string `json:"rule"`
	// Mode is ModeWarn if a violation causes only a warning.
	Mode Mode `json:"mode"`
	// Build are the rules.
	Build buildrules.Rules `json:"build"`
}

// meet combines two sets of obligations. If nothing can meet both, it returns the reason.
func (o Obligations) meet(p Obligations, s subject) (Obligations, string) {
	m := Obligations{
		RequireDigest: o.RequireDigest || p.RequireDigest,
		Strip:         union(o.Strip, p.Strip),
		Deny:          union(o.Deny, p.Deny),
		Inputs:        o.Inputs,
		Build:         concat(o.Build, p.Build),
	}
	if p.Inputs == ActionDeny {
		m.Inputs = ActionDeny
	}
	var ok bool
	if m.Digests, ok = intersect(o.Digests, p.Digests,
		func(d, list string) bool { return d == list }); !ok {
		return m, "the policy and the overlay have no allowed digest in common"
	}
	if m.Only, ok = intersect(o.Only, p.Only,
		func(g, by string) bool { return globs.Match(by, g) }); !ok {
		return m, "the policy and the overlay have no allowed option in common"
	}
	slices.Sort(m.Only)
	if len(o.Only) > 0 && len(p.Only) > 0 {
		// intersect drops globs that only overlap. Keys of the request that both layers allow are added.
		for _, k := range s.optionKeys {
			if !optionkeys.CarriesBuild(k) && optionkeys.First(m.Only, k) == "" &&
				optionkeys.First(o.Only, k) != "" && optionkeys.First(p.Only, k) != "" {
				m.Only = union(m.Only, []string{k})
			}
		}
	}
	for _, k := range slices.Sorted(maps.Keys(o.Force)) {
		if value, both := p.Force[k]; both && value != o.Force[k] {
			return m,
				fmt.Sprintf("the policy and the overlay force different values of the option %s",
					safetext.Quote(k))
		}
	}
	if len(o.Force)+len(p.Force) > 0 {
		m.Force = maps.Clone(o.Force)
		if m.Force == nil {
			m.Force = map[string]string{}
		}
		maps.Copy(m.Force, p.Force)
	}
	return m, ""
}

// concat returns both lists in one, or nil if both are empty.
func concat(a, b []BuildObligation) []BuildObligation {
	if len(a)+len(b) == 0 {
		return nil
	}
	return slices.Concat(a, b)
}

// union returns the items of both lists, sorted and each once. It returns nil if there are none.
func union(a, b []string) []string {
	u := slices.Concat(a, b)
	if len(u) == 0 {
		return nil
	}
	slices.Sort(u)
	return slices.Compact(u)
}

// intersect returns what both lists accept: the items of each that an item of the other covers. An
// empty list accepts everything. If two lists have nothing in common, intersect returns false.
func intersect(a, b []string, covers func(item, by string) bool) ([]string, bool) {
	switch {
	case len(a) == 0:
		return slices.Clone(b), true
	case len(b) == 0:
		return slices.Clone(a), true
	}
	var both []string
	add := func(items, by []string) {
		for _, item := range items {
			if !slices.Contains(both, item) &&
				slices.ContainsFunc(by, func(o string) bool { return covers(item, o) }) {
				both = append(both, item)
			}
		}
	}
	add(a, b)
	add(b, a)
	return both, len(both) > 0
}
