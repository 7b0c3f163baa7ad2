package lint

import (
	"slices"
	"strings"

	"github.com/policy-frontend/policy-frontend/internal/globs"
	"github.com/policy-frontend/policy-frontend/policy"
	"github.com/policy-frontend/policy-frontend/policy/imageref"
)

// names is a name pattern that can be compared with others.
type names = globs.Name

// rule is a rule with its patterns, as they are compared, and as they are parsed.
type rule struct {
	*policy.Rule
	patterns []string
	match    []names
}

// only returns the part of a rule that is for some of its names alone.
func (r *rule) only(patterns []string) *rule {
	return &rule{r.Rule, patterns, parseAll(patterns)}
}

// onlyTag returns the part of a rule that one of its tags is for, without its versions.
func (r *rule) onlyTag(tag string) *rule {
	part := *r.Rule
	part.Tags, part.Versions, part.Variants = []string{tag}, "", nil
	return &rule{&part, r.patterns, r.match}
}

// onlyDigest returns the part of a rule that one of its digests is for.
func (r *rule) onlyDigest(digest string) *rule {
	part := *r.Rule
	part.Digests = []string{digest}
	return &rule{&part, r.patterns, r.match}
}

// alias is an alias with its parsed names.
type alias struct {
	*policy.Alias
	from, to names
}

func readRules(p *policy.Document) []rule {
	out := make([]rule, len(p.Frontends))
	for i := range p.Frontends {
		patterns := p.Frontends[i].Patterns()
		out[i] = rule{&p.Frontends[i], patterns, parseAll(patterns)}
	}
	return out
}

func readAliases(p *policy.Document) []alias {
	out := make([]alias, len(p.Aliases))
	for i := range p.Aliases {
		from, to := p.Aliases[i].Names()
		out[i] = alias{&p.Aliases[i], globs.ParseImage(from), globs.ParseImage(to)}
	}
	return out
}

func parseAll(patterns []string) []names {
	out := make([]names, len(patterns))
	for i, p := range patterns {
		out[i] = globs.ParseImage(p)
	}
	return out
}

// denied returns the names that an entry of a deny list is for.
func denied(entry string) []names {
	patterns, err := imageref.ParseDenyPattern(entry)
	if err != nil {
		return []names{globs.ParseImage(entry)} // It is in canonical form.
	}
	out := make([]names, len(patterns))
	for i, p := range patterns {
		out[i] = globs.ParseImage(p.String())
	}
	return out
}

func (r *rule) allows() bool { return r.Action == policy.ActionAllow }

// usual returns the names that the rule matches, without other ports and hosts of a registry, which
// a deny rule matches too.
func (r *rule) usual() []names {
	if r.allows() {
		return r.match
	}
	var out []names
	for _, p := range r.patterns {
		if name := strings.Replace(p, ":*/", "/", 1); !imageref.IsOtherHubHost(name) {
			out = append(out, globs.ParseImage(name))
		}
	}
	return out
}

// overlaps reports whether the rule matches some of the names.
func (r *rule) overlaps(n names) bool { return anyOverlaps(r.match, n) }

// covers reports whether the rule matches all of the names.
func (r *rule) covers(n names) bool { return anyCovers(r.match, n) }

func anyOverlaps(list []names, n names) bool {
	return slices.ContainsFunc(list, func(o names) bool { return o.Overlaps(n) })
}

func anyCovers(list []names, n names) bool {
	return slices.ContainsFunc(list, func(o names) bool { return o.Covers(n) })
}

// indexed are many patterns. Few of them have to be compared with another one.
type indexed struct {
	parsed []names
	index  globs.Index
}

func newIndexed(patterns []string) indexed {
	return indexed{parseAll(patterns), globs.NewIndex(slices.All(patterns))}
}

// cover reports whether one of the patterns matches everything that n matches.
func (x indexed) cover(n names) bool {
	return slices.ContainsFunc(x.index.Find(n.String()), func(i int) bool {
		return x.parsed[i].Covers(n)
	})
}
