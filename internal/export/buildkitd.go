package export

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/opencontainers/go-digest"

	"github.com/policy-frontend/policy-frontend/internal/globs"
	"github.com/policy-frontend/policy-frontend/policy"
	"github.com/policy-frontend/policy-frontend/policy/imageref"
)

// buildkitd writes the part of buildkitd.toml that restricts frontends. The daemon
// compares names and nothing else (frontend/gateway/gateway.go,
// checkSourceIsAllowed), so the list has the names that are written out in allow
// rules and of which the policy allows some image.
//
// An empty list would restrict nothing, so gateway.v0 is switched off instead.
// dockerfile.v0 is no image, and no rule can allow it.
func (e *exporter) buildkitd() []byte {
	if e.policy.Default == policy.ActionAllow {
		e.note(nil, RefusesMore, "default: allow is not exported: only names that allow rules write out are listed")
	}
	e.note(nil, RefusesMore, "the frontend that is built into buildkitd is switched off, since no rule can allow it; buildx then needs --build-arg BUILDKIT_SYNTAX")
	var names []string
	for i := range e.policy.Frontends {
		r := &e.policy.Frontends[i]
		if r.Action == policy.ActionDeny || !e.current(r) {
			continue
		}
		for _, name := range r.Patterns() {
			switch {
			case globs.ParseName(name).Open():
				e.note(r, RefusesMore, "the pattern %s is left out: buildkitd takes only names that are written out", name)
			case !slices.Contains(names, name) && e.listed(r, name):
				names = append(names, name)
			}
		}
	}
	for i := range e.policy.Aliases {
		if a := &e.policy.Aliases[i]; !identity(a) {
			e.refusesAlias(a, "the alias is not exported: builds must write the name that %s stands for", a.From)
		}
	}
	return buildkitdTOML(names)
}

func buildkitdTOML(names []string) []byte {
	var b strings.Builder
	b.WriteString("# Which frontends may run, by name.\n")
	b.WriteString("[frontend.\"dockerfile.v0\"]\n  enabled = false\n\n[frontend.\"gateway.v0\"]\n")
	if len(names) == 0 {
		b.WriteString("  # No name can be listed, and an empty list would allow all.\n  enabled = false\n")
		return []byte(b.String())
	}
	b.WriteString("  enabled = true\n  allowedRepositories = [\n")
	for _, name := range names {
		fmt.Fprintf(&b, "    %s,\n", strconv.Quote(name))
	}
	b.WriteString("  ]\n")
	return []byte(b.String())
}

// listed reports whether the name, which the rule allows, goes on the list.
func (e *exporter) listed(r *policy.Rule, name string) bool {
	if !e.allowsSome(r, name) {
		e.note(r, Different, "%s is left out: another rule, an alias or the limits leave nothing of it to allow", name)
		return false
	}
	lost := append(lostByName(r), e.buildConditions(r)...)
	for i := range e.policy.Frontends {
		switch d := &e.policy.Frontends[i]; {
		case d == r || !matches(d.Patterns(), name):
		case d.Action == policy.ActionDeny:
			lost = append(lost, fmt.Sprintf("what rule %q denies of it", d.Name))
		case optionConditions(d) != "":
			lost = append(lost, fmt.Sprintf("the options of rule %q", d.Name))
		case d.Build != nil || d.Dispatch != r.Dispatch:
			lost = append(lost, fmt.Sprintf("what rule %q holds builds to", d.Name))
		}
	}
	for i := range e.policy.Aliases {
		if from, _ := e.policy.Aliases[i].Names(); from == name && len(e.policy.Aliases[i].Pins) > 0 {
			lost = append(lost, "the pins of its tags")
		}
	}
	return len(lost) == 0 || e.lose(r, "of %s, buildkitd checks the name only; lost are %s", name, strings.Join(lost, ", "))
}

// lostByName names the rule's conditions that go beyond the name.
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

// allowsSome reports whether the policy allows some image of that name, and under
// that name. It asks the policy for the tags and digests that the rule writes out or
// could mean; what it doesn't think of is left out.
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

// request returns a request for the name with its tag and, unless it is empty, the
// digest. It is false if that is no reference.
func (e *exporter) request(name string, d digest.Digest) (policy.Request, bool) {
	if d != "" {
		name += "@" + d.String()
	}
	ref, err := imageref.Parse(name)
	return policy.Request{Reference: ref, Digest: d, TagDigest: d, Time: e.options.Time}, err == nil
}

// allows reports whether the request may run, under the name that it asks for.
func allows(layers policy.Layers, r policy.Request) bool {
	d := policy.Decide(layers, r)
	return (d.Verdict == policy.Allow || d.Verdict == policy.Warn) && d.Reference.SameRepository(r.Reference)
}

// exampleDigests returns digests that an image of that name may need, "" for none.
func (e *exporter) exampleDigests(r *policy.Rule, name string) []digest.Digest {
	out := []digest.Digest{"", digest.FromString(name)}
	for _, d := range r.Digests {
		out = append(out, digest.Digest(d))
	}
	for i := range e.policy.Aliases {
		a := &e.policy.Aliases[i]
		if from, _ := a.Names(); from == name {
			for _, d := range a.Pins {
				out = append(out, digest.Digest(d))
			}
		}
	}
	return out
}

// exampleTags returns suffixes of a name with tags that the rule may be for.
func exampleTags(r *policy.Rule) []string {
	out := []string{":latest", ""}
	for _, t := range r.Tags {
		for _, fill := range []string{"0", "1", ""} {
			out = append(out, ":"+globs.Example(t, fill))
		}
	}
	if r.Versions != "" {
		for alternative := range strings.SplitSeq(r.Versions, "||") {
			for _, v := range boundaries(alternative) {
				out = append(out, fmt.Sprintf(":%d.%d.%d", v[0], v[1], v[2]))
			}
		}
	}
	return out
}

// matches reports whether one of the patterns has the name.
func matches(patterns []string, name string) bool {
	return slices.ContainsFunc(patterns, func(p string) bool {
		return globs.ParseName(p).Covers(globs.ParseName(name))
	})
}

// identity reports whether the alias keeps the name and only pins tags.
func identity(a *policy.Alias) bool {
	from, to := a.Names()
	return from == to
}
