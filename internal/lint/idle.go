package lint

import (
	"slices"
	"strings"

	"github.com/policy-frontend/policy-frontend/internal/globs"
	"github.com/policy-frontend/policy-frontend/internal/optionkeys"
	"github.com/policy-frontend/policy-frontend/internal/versions"
	"github.com/policy-frontend/policy-frontend/policy"
)

// idle looks for entries of a rule that can't matter, because of another field of the rule or of
// another rule. The rule itself can.
func (c *checker) idle(i int) {
	r := &c.rules[i]
	tell := func(code Code, format string, args ...any) { c.addRule(code, r.Rule, format, args...) }
	c.idleNames(i, tell)
	c.idleTags(i, tell)
	c.idleExceptions(r, tell)
	c.idleVariants(r, tell)
	c.idleDigests(i, tell)
	idleOptions(&r.Options, tell)
}

// shadowedEntry tells if another rule keeps a part of rule i from deciding.
func (c *checker) shadowedEntry(i int, part *rule, field, entry string, tell tell) {
	by := c.shadows.ofPart(i, part)
	if by == nil {
		return
	}
	tell(EntryWithoutEffect, "%s has %s, which never decides, because rule %q on line %d%s matches "+
		"everything that the rule matches with it; remove it", field, entry, by.Name, by.Line(),
		ofFile(by.File(), part.File()))
}

func (c *checker) idleNames(i int, tell tell) {
	r := &c.rules[i]
	entries := r.Match
	if r.allows() {
		entries = r.patterns
	}
	for _, entry := range entries {
		part := r.only([]string{entry})
		if !r.allows() {
			part = &rule{r.Rule, nil, denied(entry)}
			for _, n := range part.match {
				part.patterns = append(part.patterns, n.String())
			}
		}
		within := func(n names) bool { return anyOverlaps(c.limits, n) }
		outside := len(c.limits) > 0 && !slices.ContainsFunc(part.match, within)
		switch {
		case outside && r.allows() && len(entries) > 1:
			tell(EntryWithoutEffect, "match has %s, which the limits refuse; remove it, or add the name to the "+
				"limits", entry)
		case outside && !r.allows():
			tell(DenyWithoutEffect, "match has %s, which the limits refuse anyway; remove it", entry)
		case len(entries) > 1 && len(entries) <= maxEntries:
			c.shadowedEntry(i, part, "match", entry, tell)
		}
	}
}

func (c *checker) idleTags(i int, tell tell) {
	r := &c.rules[i]
	if !r.allows() {
		idleDeniedTags(r, tell)
		return
	}
	if len(r.Tags) < 2 && r.Versions == "" || len(r.Tags) > maxEntries {
		return
	}
	for _, tag := range r.Tags {
		if globs.Open(tag) {
			c.shadowedEntry(i, r.onlyTag(tag), "tags", tag, tell)
			continue
		}
		others := *r.Rule
		others.Tags = slices.DeleteFunc(slices.Clone(r.Tags), func(t string) bool { return t == tag })
		others.ExceptTags = nil
		switch {
		case !r.MatchesTag(tag):
			tell(EntryWithoutEffect, "tags has %s, which exceptTags leaves out; remove one of the two", tag)
		case r.Versions != "" && !anyGlobCovers(others.Tags, tag) && others.MatchesTag(tag):
			tell(EntryWithoutEffect, "tags has %s, and versions is for that too; remove it", tag)
		default:
			c.shadowedEntry(i, r.onlyTag(tag), "tags", tag, tell)
		}
	}
}

// idleDeniedTags looks for tags that the versions of a deny rule are for too. These are for each
// spelling, and for tags that are no version.
func idleDeniedTags(r *rule, tell tell) {
	condition, err := versions.Parse(r.Versions)
	if err != nil {
		return // It has none.
	}
	for _, tag := range r.Tags {
		if v, ok := versions.ParseTag(tag); !strings.ContainsAny(tag, "*-") &&
			(!ok || condition.Contains(v, versions.Most)) {
			tell(EntryWithoutEffect, "tags has %s, and versions is for that too; remove it", tag)
		}
	}
}

// idleExceptions looks for entries of exceptTags that except nothing.
func (c *checker) idleExceptions(r *rule, tell tell) {
	condition, err := versions.Parse(r.Versions)
	if err != nil {
		condition = nil
	}
	without := *r.Rule
	without.ExceptTags = nil
	for _, except := range r.ExceptTags {
		idle := false
		switch {
		case !r.allows():
			idle = !globs.Open(except) && !without.MatchesTag(except)
		case condition != nil:
			v, ok := exceptedVersions(except)
			idle = ok && !condition.Touches(v, versions.Least) &&
				(len(r.Tags) == 0 || apartFrom(r, tagsOnly(r), except))
		}
		if idle {
			tell(ExceptWithoutEffect, "exceptTags has %s, which the rule doesn't match anyway; remove it",
				except)
		}
	}
}

// tagsOnly returns the part of a rule that its tags are for, without its versions.
func tagsOnly(r *rule) *rule {
	part := *r.Rule
	part.Versions = ""
	return &rule{&part, r.patterns, r.match}
}

// exceptedVersions returns a partial version that stands for all versions that an excepted tag can
// mean. It is false if there is none.
func exceptedVersions(except string) (versions.Tag, bool) {
	literal, _, open := strings.Cut(except, "*")
	if open {
		end := strings.LastIndexByte(literal, '.')
		if end < 0 {
			return versions.Tag{}, false
		}
		literal = literal[:end]
	}
	return versions.ParseTag(literal)
}

// idleVariants looks for variants that no tag is compared without.
func (c *checker) idleVariants(r *rule, tell tell) {
	condition, err := versions.Parse(r.Versions)
	why := ""
	switch {
	case len(r.Variants) == 0:
	case r.Versions == "" && r.allows() && len(r.ExceptTags) == 0:
		why = "without versions or exceptTags"
	case r.Versions == "" && !r.allows() && len(r.Tags) == 0:
		why = "without tags or versions"
	case !r.allows() && len(r.Tags) == 0 && err == nil && !condition.NamesPrerelease():
		why = "because a deny rule is for each suffix of its versions anyway"
	}
	if why != "" {
		for _, v := range r.Variants {
			tell(EntryWithoutEffect, "variants has %s, which has no effect %s; remove it", v, why)
		}
	}
}

func (c *checker) idleDigests(i int, tell tell) {
	r := &c.rules[i]
	if len(r.Digests) < 2 || len(r.Digests) > maxEntries {
		return // For one digest, the rule as a whole has the finding.
	}
	for _, digest := range r.Digests {
		c.shadowedEntry(i, r.onlyDigest(digest), "digests", digest, tell)
	}
}

// idleOptions looks for options whose condition another one of the rule decides first. It leaves
// out options that BuildKit knows by several keys.
func idleOptions(o *policy.Options, tell tell) {
	refused := func(key string) bool { return !hasTwins(key) && anyGlobCovers(o.Deny, key) }
	allowed := func(key string) bool { return !refused(key) }
	if len(o.Only) == 0 {
		return
	}
	none := !slices.ContainsFunc(o.Only, allowed)
	if none {
		tell(OptionWithoutEffect, "options.only lists nothing that options.deny doesn't refuse; list "+
			"others, or remove one of the two")
	}
	for _, key := range o.Only {
		switch {
		case none: // It is about all of them.
		case globs.Covers(key, "*"):
			tell(OptionWithoutEffect, "options.only lists every option, so it refuses none; name options, "+
				"or remove only")
		case refused(key):
			tell(OptionWithoutEffect, "options.only has %s, which options.deny refuses; remove one of the two",
				key)
		}
	}
	for _, key := range o.Deny {
		if !hasTwins(key) && !slices.ContainsFunc(o.Only, func(g string) bool {
			return globs.Overlaps(g, key)
		}) {
			tell(OptionWithoutEffect, "options.deny has %s, which options.only doesn't list anyway; remove "+
				"it", key)
		}
	}
}

// hasTwins reports whether the glob can be for an option that has several keys, or that a list of
// allowed options needn't name.
func hasTwins(glob string) bool {
	glob = globs.FoldASCII(glob)
	return slices.ContainsFunc(append(optionkeys.Known(), "attest:*", "context:*", "vcs:*"),
		func(key string) bool { return globs.Overlaps(glob, globs.FoldASCII(key)) })
}
