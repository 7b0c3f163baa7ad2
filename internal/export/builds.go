package export

import (
	"slices"
	"strings"

	"github.com/policy-frontend/policy-frontend/policy"
	"github.com/policy-frontend/policy-frontend/policy/buildrules"
)

// buildConditions names the build rules and the dispatch of the rule, or those of the whole
// policy if r is nil. No format has them. Source policies apply to frontends and to the
// images that frontends read, and can't tell who reads an image.
func (e *exporter) buildConditions(r *policy.Rule) []string {
	var kinds []string
	add := func(b *buildrules.Rules) {
		if b == nil {
			return
		}
		for _, k := range b.Kinds() {
			if !slices.Contains(kinds, string(k)) {
				kinds = append(kinds, string(k))
			}
		}
		if b.Others == buildrules.ActionDeny && !slices.Contains(kinds, "others") {
			kinds = append(kinds, "others")
		}
	}
	if r != nil {
		add(r.Build)
	}
	add(e.doc.Build)
	var out []string
	if len(kinds) > 0 {
		out = append(out, "build ("+strings.Join(kinds, ", ")+")")
	}
	if dispatch := e.doc.WrittenDispatch(r); dispatch != "" && dispatch != policy.DispatchForward {
		out = append(out, "dispatch ("+string(dispatch)+")")
	}
	return out
}

// unjudgedDefault adds a note if default: allow loses build rules. A strict export omits
// the default.
func (e *exporter) unjudgedDefault() {
	lost := strings.Join(e.buildConditions(nil), ", ")
	switch {
	case e.doc.Default != policy.ActionAllow || lost == "":
	case e.options.Strict:
		e.doc.Default = policy.ActionDeny
		e.note(nil, RefusesMore, "default: allow is omitted: the export doesn't check what frontends "+
			"build (%s)", lost)
	default:
		e.note(nil, AllowsMore, "the export doesn't check builds of frontends that no rule matches "+
			"(%s)", lost)
	}
}
