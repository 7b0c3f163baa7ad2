package diff

import (
	"maps"
	"slices"
	"strings"

	"github.com/policy-frontend/policy-frontend/internal/globs"
	"github.com/policy-frontend/policy-frontend/policy/imageref"
	"github.com/policy-frontend/policy-frontend/policy/imagerules"
)

// ruleset has the rules of one policy on names: those on frontends, or those on one kind of what a
// build reads.
type ruleset struct {
	entries []entry
	renames []renaming
	limits  []globs.Name
	// global is the same if nothing differs that is for all entries.
	global string
	// pins are the pinned tags of images by their names on usual hosts.
	pins map[string][]pinned

	index   globs.Index // of the patterns of entries
	sources globs.Index // of the names that are replaced
	targets globs.Index // of the new names
}

// entry is a rule, or a pattern of an allow or a deny, which has no rule.
type entry struct {
	rule     *imagerules.Rule
	patterns []string
	names    []globs.Name
	literals []string // a text for each pattern that each of its names has
	written  string   // what decides, as text, for comparison
}

// pinned has the digests of the tags of one name.
type pinned struct {
	name string
	tags map[string]string
}

func (s *ruleset) add(rule *imagerules.Rule, written string, patterns ...string) {
	e := entry{rule: rule, patterns: patterns, written: written}
	for _, p := range patterns {
		n := globs.ParseImage(p)
		e.names, e.literals = append(e.names, n), append(e.literals, literal(n))
	}
	s.entries = append(s.entries, e)
}

// literal returns the longest text without a star in the pattern's path.
func literal(n globs.Name) string {
	longest := ""
	for _, component := range n[1:] {
		for text := range strings.SplitSeq(component, "*") {
			if len(text) > len(longest) {
				longest = text
			}
		}
	}
	return longest
}

// rename adds a renaming of canonical names.
func (s *ruleset) rename(from, to string) {
	f, errFrom := imageref.ParsePattern(from)
	t, errTo := imageref.ParsePattern(to)
	if errFrom == nil && errTo == nil { // They come from package policy.
		s.renames = append(s.renames,
			renaming{f, t, globs.ParseImage(from), globs.ParseImage(to)})
	}
}

// pin adds the digests of tags of a name in canonical form.
func (s *ruleset) pin(name string, tags map[string]string) {
	if s.pins == nil {
		s.pins = map[string][]pinned{}
	}
	usual := usualName(name)
	s.pins[usual] = append(s.pins[usual], pinned{name, tags})
}

// usualName returns the name on the host that is usually written.
func usualName(name string) string {
	ref, err := imageref.Parse(name)
	if err != nil {
		return name
	}
	return imageref.DefaultHost(ref).Name()
}

// otherHosts returns patterns of the names that lead to the same image as a usual name, on other
// ports and hosts of its registry.
func otherHosts(usual string) []string {
	patterns, err := imageref.ParseDenyPattern(usual)
	if err != nil {
		return nil
	}
	var out []string
	for _, p := range patterns {
		if !p.IsDirectory() {
			out = append(out, p.String())
		}
	}
	return out
}

// complete makes the indexes, after everything is added.
func (s *ruleset) complete() {
	s.index = globs.NewIndex(func(yield func(int, string) bool) {
		for i := range s.entries {
			for _, p := range s.entries[i].patterns {
				if !yield(i, p) {
					return
				}
			}
		}
	})
	s.sources = globs.NewIndex(func(yield func(int, string) bool) {
		for i := range s.renames {
			if !yield(i, s.renames[i].source.String()) {
				return
			}
		}
	})
	s.targets = globs.NewIndex(func(yield func(int, string) bool) {
		for i := range s.renames {
			if !yield(i, s.renames[i].target.String()) {
				return
			}
		}
	})
}

// renamed returns the name after the first renaming that is for it, and the number of that; -1 if
// there is none.
func (s *ruleset) renamed(name string) (string, int) {
	for _, i := range s.sources.Find(name) {
		if to, ok := imageref.Rename(s.renames[i].from, s.renames[i].to, name); ok {
			return to, i
		}
	}
	return name, -1
}

// matching returns the numbers of the entries that are for a name after renaming, in order, and how
// many it compared.
func (s *ruleset) matching(name string) (found []int, compared int) {
	n := globs.ParseImage(name)
	near := s.index.Find(name)
	compared = len(near)
	return slices.DeleteFunc(near, func(i int) bool {
		e := &s.entries[i]
		for j, p := range e.names {
			if strings.Contains(name, e.literals[j]) && p.Covers(n) {
				return false
			}
		}
		return true
	}), compared
}

// order returns what entries are written as, in order and each once, those that the other ruleset
// has too.
func (s *ruleset) order(o *ruleset) []string {
	has := o.writings()
	var out []string
	for i := range s.entries {
		if w := s.entries[i].written; has[w] {
			out = append(out, w)
		}
	}
	return distinct(out)
}

func (s *ruleset) writings() map[string]bool {
	out := map[string]bool{}
	for i := range s.entries {
		out[s.entries[i].written] = true
	}
	return out
}

// changed returns a function that reports whether the other ruleset lacks an entry in the same
// form. If something global changed, that is every entry.
func (s *ruleset) changed(o *ruleset, global bool) func(int) bool {
	has := o.writings()
	return func(i int) bool { return global || !has[s.entries[i].written] }
}

// renaming replaces one name with another. Both are directories or neither is.
type renaming struct {
	from, to       imageref.Pattern
	source, target globs.Name
}

// before returns the names that the renaming turns into one of n.
func (r renaming) before(n globs.Name) ([]globs.Name, bool) {
	forms, ok := n.Meet(r.target)
	from, to := r.source, r.target
	if to.Open() { // Both end in "*", "**" for the rest, which the renaming keeps.
		from, to = from[:len(from)-2], to[:len(to)-2]
	}
	var out []globs.Name
	for _, f := range forms {
		if len(f) >= len(to) {
			out = append(out, slices.Concat(from, f[len(to):]))
		}
	}
	return out, ok
}

// set is a set of names that an entry is for, or all names for the case that none is.
type set struct {
	names   globs.Name
	pattern string // as written in the rule
	changed bool   // whether the answers for it may differ
}

// sets returns the sets of names for samples: those of each entry's patterns within the limits, and
// all names. Each is also there in the form before the renamings. It is false if the list isn't
// complete.
func (s *ruleset) sets(changed func(i int) bool, all bool) ([]set, bool) {
	complete := true
	var out []set
	add := func(names, pattern string, changed bool) {
		written := globs.ParseImage(names)
		limited := []globs.Name{written}
		for _, l := range s.limits {
			// The other policy may allow names that the limits refuse.
			forms, ok := written.Meet(l)
			complete = complete && ok
			limited = append(limited, forms...)
		}
		for _, n := range limited {
			out = append(out, set{n, pattern, changed})
			for _, i := range meeting(s.targets, n) {
				before, ok := s.renames[i].before(n)
				complete = complete && ok
				for _, m := range before {
					out = append(out, set{m, pattern, changed})
				}
			}
		}
	}
	for i := range s.entries {
		for _, p := range s.entries[i].patterns {
			add(p, p, changed(i))
		}
	}
	for _, usual := range slices.Sorted(maps.Keys(s.pins)) {
		for _, p := range s.pins[usual] {
			add(p.name, p.name, all)
		}
		for _, names := range otherHosts(usual) {
			add(names, s.pins[usual][0].name, all)
		}
	}
	add("**", "**", all)
	for _, r := range s.renames {
		out = append(out, set{r.source, r.from.String(), all})
	}
	return out, complete
}

// meeting returns the numbers of patterns that can have a name in common with n, in order. An index
// has a pattern for any port without it.
func meeting(ix globs.Index, n globs.Name) []int {
	text := n.String()
	host, path, _ := strings.Cut(text, "/")
	name, port := globs.SplitPort(host)
	texts := []string{text}
	switch {
	case port == "*":
		texts = []string{name + "*/" + path}
	case port != "":
		texts = append(texts, name+"/"+path)
	}
	found := map[int]bool{}
	for _, t := range texts {
		for i := range ix.FindMeeting(t) {
			found[i] = true
		}
	}
	return slices.Sorted(maps.Keys(found))
}
