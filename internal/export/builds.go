package export

import (
	"cmp"
	"slices"
	"strings"

	"github.com/policy-frontend/policy-frontend/policy"
)

// buildConditions names the rules on builds, and how the frontend runs, that the rule
// holds a frontend to; those of the whole policy if it is nil. No format has them:
// source policies apply to frontends and what these read alike, and can't tell who
// asks.
func (e *exporter) buildConditions(r *policy.Rule) []string {
	var kinds []string
	add := func(b *policy.Build) {
		if b == nil {
			return
		}
		for _, k := range b.Kinds() {
			if !slices.Contains(kinds, string(k)) {
				kinds = append(kinds, string(k))
			}
		}
	}
	dispatch := e.policy.Dispatch
	if r != nil {
		add(r.Build)
		dispatch = cmp.Or(r.Dispatch, dispatch)
	}
	add(e.policy.Build)
	var out []string
	if len(kinds) > 0 {
		out = append(out, "build ("+strings.Join(kinds, ", ")+")")
	}
	if dispatch != "" && dispatch != policy.DispatchForward {
		out = append(out, "dispatch ("+string(dispatch)+")")
	}
	return out
}

// unjudgedDefault notes what default: allow loses, and leaves it out of a strict
// export.
func (e *exporter) unjudgedDefault() {
	lost := strings.Join(e.buildConditions(nil), ", ")
	switch {
	case e.policy.Default != policy.ActionAllow || lost == "":
	case e.options.Strict:
		e.policy.Default = policy.ActionDeny
		e.note(nil, RefusesMore, "default: allow is left out: what frontends build is not judged (%s)", lost)
	default:
		e.note(nil, AllowsMore, "what frontends build that no rule matches is not judged (%s)", lost)
	}
}
