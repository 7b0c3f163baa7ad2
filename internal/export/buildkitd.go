package export

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/opencontainers/go-digest"

	"github.com/policy-frontend/policy-frontend/internal/globs"
	"github.com/policy-frontend/policy-frontend/internal/versions"
	"github.com/policy-frontend/policy-frontend/policy"
	"github.com/policy-frontend/policy-frontend/policy/imageref"
)

// buildkitd writes the part of buildkitd.toml that restricts frontends. The daemon compares
// only names (frontend/gateway/gateway.go, checkSourceIsAllowed). So the list has the
// literal names in allow rules for which the policy allows some image.
//
// An empty list would restrict nothing, so gateway.v0 is switched off instead.
// dockerfile.v0 isn't an image, so no rule can allow it.
func (e *exporter) buildkitd() []byte {
	if e.doc.Default == policy.ActionAllow {
		e.note(nil, RefusesMore, "default: allow is not exported: the list has only literal names of "+
			"allow rules")
	}
	e.note(nil, RefusesMore, "buildkitd's built-in frontend is switched off, since no rule can "+
		"allow it; "+
		"buildx then needs --build-arg BUILDKIT_SYNTAX")
	var names []string
	for i := range e.doc.Frontends {
		r := &e.doc.Frontends[i]
		if r.Action == policy.ActionDeny || !e.current(r) {
			continue
		}
		if len(r.Clients) > 0 {
			e.note(r, RefusesMore, forClients)
			continue
		}
		for _, name := range r.Patterns() {
			switch {
			case globs.ParseImage(name).Open():
				e.note(r, RefusesMore, "the pattern %s is omitted: buildkitd takes only literal names", name)
			case !slices.Contains(names, name) && e.listed(r, name):
				names = append(names, name)
			}
		}
	}
	for i := range e.doc.Aliases {
		if a := &e.doc.Aliases[i]; !identity(a) {
			e.refusesAlias(a, "the alias is not exported: builds must use the name that replaces %s", a.From)
		}
	}
	return buildkitdTOML(names)
}

func buildkitdTOML(names []string) []byte {
	var b strings.Builder
	b.WriteString("# Which frontends may run, by name.\n")
	b.WriteString("[frontend.\"dockerfile.v0\"]\n  enabled = false\n\n[frontend.\"gateway.v0\"]\n")
	if len(names) == 0 {
		b.WriteString("  # No name can be listed, and an empty list would allow every name.\n  enabled " +
			"= false\n")
		return []byte(b.String())
	}
	b.WriteString("  enabled = true\n  allowedRepositories = [\n")
	for _, name := range names {
		fmt.Fprintf(&b, "    %s,\n", strconv.Quote(name))
	}
	b.WriteString("  ]\n")
	return []byte(b.String())
}

// listed reports whether a name that the rule allows goes on the list.
func (e *exporter) listed(r *policy.Rule, name string) bool {
	if !e.allowsSome(r, name) {
		e.note(r, Different, "%s is omitted: the policy allows no image of that name, because of "+
			"another rule, an alias or the limits", name)
		return false
	}
	lost := append(lostByName(r), e.buildConditions(r)...)
	for i := range e.doc.Frontends {
		switch d := &e.doc.Frontends[i]; {
		case d == r || !matches(d.Patterns(), name):
		case d.Action == policy.ActionDeny:
			lost = append(lost, fmt.Sprintf("rule %q, which denies some of its images", d.Name))
		case optionConditions(d) != "":
			lost = append(lost, fmt.Sprintf("the options of rule %q", d.Name))
		case d.Build != nil || d.Dispatch != r.Dispatch:
			lost = append(lost, fmt.Sprintf("the build rules or dispatch of rule %q", d.Name))
		}
	}
	for i := range e.doc.Aliases {
		if a := &e.doc.Aliases[i]; len(a.Pins) > 0 && pinsName(a, name) {
			lost = append(lost, "the pins of its tags")
		}
	}
	return len(lost) == 0 || e.lose(r, "buildkitd checks only the name %s and ignores %s", name,
		strings.Join(lost, ", "))
}

// lostByName names the rule's conditions on anything but the name.
func lostByName(r *policy.Rule) []string {
	var lost []string
	for _, c := range []struct {
		name string
		has  bool
	}{
		{"tags", len(r.Tags) > 0},
		{"versions", r.Versions != ""},
		{"exceptTags", len(r.ExceptTags) > 0},
		{"digests", len(r.Digests) > 0},
		{"requireDigest", r.RequireDigest},
	} {
		if c.has {
			lost = append(lost, c.name)
		}
	}
	if names := optionConditions(r); names != "" {
		lost = append(lost, "options ("+names+")")
	}
	return lost
}

// allowsSome reports whether the policy allows some image of that name without renaming it.
// It tries examples of the tags and digests that the rule has, so it can miss an image.
func (e *exporter) allowsSome(r *policy.Rule, name string) bool {
	layers, err := policy.Stack(e.policy, nil)
	if err != nil {
		return false
	}
	for _, tag := range exampleTags(r) {
		for _, d := range e.exampleDigests(r, name) {
			if request, ok := e.request(name+tag, d); ok && allows(layers, request) {
				return true
			}
		}
	}
	return false
}

// request returns a request for the name with its tag and, unless it is empty, the digest.
// It is false if these don't form a reference.
func (e *exporter) request(name string, d digest.Digest) (policy.Request, bool) {
	if d != "" {
		name += "@" + d.String()
	}
	ref, err := imageref.Parse(name)
	return policy.Request{Reference: ref, Digest: d, TagDigest: d, Time: e.options.Time}, err == nil
}

// allows reports whether the request may run under the name that it has.
func allows(layers policy.Layers, r policy.Request) bool {
	d := policy.Decide(layers, r)
	return d.Verdict.Permits() &&
		d.Reference.SameRepository(r.Reference)
}

// exampleDigests returns digests that the rule or a pin may require, and "" for none.
func (e *exporter) exampleDigests(r *policy.Rule, name string) []digest.Digest {
	out := []digest.Digest{"", digest.FromString(name)}
	for _, d := range r.Digests {
		out = append(out, digest.Digest(d))
	}
	for i := range e.doc.Aliases {
		a := &e.doc.Aliases[i]
		if from, _ := a.Names(); from == name {
			for _, d := range a.Pins {
				out = append(out, digest.Digest(d))
			}
		}
	}
	return out
}

// exampleTags returns suffixes of a name, with tags that the rule may match.
func exampleTags(r *policy.Rule) []string {
	out := []string{":latest", ""}
	for _, t := range r.Tags {
		for _, fill := range []string{"0", "1", ""} {
			out = append(out, ":"+globs.Example(t, fill))
		}
	}
	if r.Versions != "" {
		out = append(out, exampleVersions(r.Versions)...)
	}
	return out
}

// exampleVersions returns suffixes of a name, with the ends of a range.
func exampleVersions(condition string) []string {
	r, err := versions.Parse(condition)
	if err != nil {
		return nil // A policy can't have such a condition.
	}
	var out []string
	for _, s := range r.Spans(versions.Least) {
		for _, n := range []versions.Numbers{s.Low, s.High} {
			out = append(out, fmt.Sprintf(":%d.%d.%d", n[0], n[1], n[2]),
				fmt.Sprintf(":%d.%d.%d.%d", n[0], n[1], n[2], n[3]))
		}
	}
	return out
}

// matches reports whether one of the patterns matches the name.
func matches(patterns []string, name string) bool {
	return slices.ContainsFunc(patterns, func(p string) bool {
		return globs.ParseImage(p).Covers(globs.ParseImage(name))
	})
}

// pinsName reports whether the alias's pins hold for the name.
func pinsName(a *policy.Alias, name string) bool {
	from, to := a.Names()
	name = usualName(name)
	return usualName(from) == name || usualName(to) == name
}

// identity reports whether the alias keeps the name, so it only pins tags.
func identity(a *policy.Alias) bool {
	from, to := a.Names()
	return from == to
}
