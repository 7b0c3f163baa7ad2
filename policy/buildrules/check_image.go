package buildrules

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/opencontainers/go-digest"

	"github.com/policy-frontend/policy-frontend/internal/safetext"
	"github.com/policy-frontend/policy-frontend/policy/imageref"
	"github.com/policy-frontend/policy-frontend/policy/imagerules"
)

// check rewrites an image, and returns how the new reference breaks the rules. It fails if the new
// reference is invalid.
func (r *ImageRules) check(n Normalized) (Normalized, []Violation, error) {
	asked := n.ref
	ref := asked
	if !n.converted && !n.own {
		var err error
		if ref, err = r.convert(asked); err != nil {
			return n, nil, fmt.Errorf("an image that can't be converted: %w", err)
		}
	}
	what := func() string {
		if ref.SameRepository(asked) {
			return "the image " + ref.Familiar()
		}
		return fmt.Sprintf("the image %s (asked for as %s)", ref.Familiar(), asked.Familiar())
	}
	var found []Violation
	keys, pin := r.pinOf(ref)
	if len(keys) > 0 {
		if pinned, err := ref.WithDigest(pin); pin == "" {
			found = append(found, violationf("images.pins", "%s: the pins of %s differ; pin this name too",
				what(), safetext.And(keys)))
		} else if err != nil {
			found = append(found,
				violationf("images.pins", "%s: it pins %s to %s", what(), ref.Tagged().Familiar(), pin))
		} else {
			ref = pinned
		}
	}
	n.ref = ref
	switch {
	case len(r.Rules) > 0:
		found = append(found, r.judge(&n, what, pin)...)
	case n.own:
		found = append(found, matchPatterns(KindImages, what, ref.Pattern(), nil, r.deny, nil)...)
	default:
		found = append(found,
			matchPatterns(KindImages, what, ref.Pattern(), r.allow, r.deny, r.Allow)...)
	}
	if r.RequireDigest && ref.Digest() == "" {
		found = append(found,
			violationf("images.requireDigest", "%s without a digest: write %s@sha256:…%s", what(),
				ref.Familiar(), orPin))
	}
	return n, found, nil
}

// orPin is how an image gets a digest whose name only the frontend's own source contains.
const orPin = ", or pin the tag in the policy: images.pins"

// judge applies the rules on images, and the lists beside them, to an image. What denies comes
// first. pin is the digest that the rules pin its tag to, or "".
func (r *ImageRules) judge(n *Normalized, what func() string, pin digest.Digest) []Violation {
	s := imagerules.Subject{
		Ref: n.ref, Name: n.ref.Pattern(), Digest: n.ref.Digest(),
		TagDigest: cmp.Or(pin, n.tagDigest), Now: n.now, Client: n.client,
	}
	denied := matchPatterns(KindImages, what, s.Name, nil, r.deny, nil)
	var warned []Violation
	var allow, missed *imagerules.Rule
	var reason string
	for rule := range r.covering(s.Name) {
		if n.own && isAllow(rule) {
			continue
		}
		m := rule.Apply(s)
		n.byTag = n.byTag || dependsOnTag(rule)
		switch {
		case rule.Action == imagerules.ActionDeny && m.Result != imagerules.No:
			v := byRule(rule, what, denialReason(rule, m))
			if rule.Mode == imagerules.ModeWarn {
				v.Warns = true
				warned = append(warned, v)
			} else {
				denied = append(denied, v)
			}
		case rule.Action == imagerules.ActionDeny:
			n.unverified = n.unverified || m.Unverified
		case allow != nil:
		case m.Result == imagerules.Yes:
			allow, n.unverified = rule, n.unverified || m.Unverified
		case missed == nil:
			missed, reason = rule, m.Reason
			if m.NeedsDigest {
				reason += orPin
			}
			if m.Result == imagerules.Unknown {
				reason = unknownDigest(rule, "allows")
			}
		}
	}
	switch listed := r.Allow != nil && covers(r.allow, s.Name); {
	case allow != nil:
		for _, text := range allow.Ending(n.now) {
			warned = append(warned, Violation{
				What: text, Rule: "images.rules: " + safetext.Printable(allow.Name), By: allow,
				Warns: true, Notice: true,
			})
		}
	case n.own || listed || !r.allows():
	case missed != nil:
		denied = append(denied, byRule(missed, what, reason))
	default:
		denied = append(denied, violationf("images.rules", "%s: %s", what(), allows(r.names())))
	}
	return append(denied, warned...)
}

func byRule(rule *imagerules.Rule, what func() string, reason string) Violation {
	v := violationf("images.rules: "+safetext.Printable(rule.Name), "%s: %s", what(), reason)
	v.By = rule
	return v
}

// denialReason says why a deny rule matches an image.
func denialReason(rule *imagerules.Rule, m imagerules.Match) string {
	switch {
	case m.Result == imagerules.Unknown:
		return unknownDigest(rule, "denies")
	case m.Reason != "":
		return m.Reason + m.Whom
	}
	return fmt.Sprintf("rule %s denies it%s", safetext.Quote(rule.Name), m.Whom)
}

// unknownDigest says why a rule on digests refuses an image without one.
func unknownDigest(rule *imagerules.Rule, verb string) string {
	return fmt.Sprintf(
		"rule %s %s only the %s, and the digest is not known: write it in the reference",
		safetext.Quote(rule.Name), verb, safetext.List("digest", "digests", rule.Digests))
}

func dependsOnTag(rule *imagerules.Rule) bool {
	return rule.TagConditional() || len(rule.Digests) > 0
}

func covers(patterns []imageref.Pattern, name imageref.Pattern) bool {
	return slices.ContainsFunc(patterns, func(p imageref.Pattern) bool { return p.Covers(name) })
}

// allows reports whether the rules say which images are allowed.
func (r *ImageRules) allows() bool {
	return r.Allow != nil || slices.ContainsFunc(r.Rules, isAllow)
}

// allowed yields the names that are allowed, as written.
func (r *ImageRules) allowed(yield func(string) bool) {
	all := func(names []string) bool {
		return !slices.ContainsFunc(names, func(s string) bool { return !yield(s) })
	}
	for _, rule := range r.Rules {
		if isAllow(rule) && !all(rule.Match) {
			return
		}
	}
	all(r.Allow)
}

// names returns the meanings of the names that are allowed, as many as a message has room for, and
// then some.
func (r *ImageRules) names() []string {
	var out []string
	for _, rule := range r.Rules {
		if len(out) > maxListed {
			return out
		}
		if isAllow(rule) {
			out = append(out, imageref.Meanings(rule.Names())...)
		}
	}
	return append(out, imageref.Meanings(r.allow)...)
}

// pin is the digest of a tag.
type pin struct {
	digest digest.Digest
	usual  string // its name:tag on the host that is usually written
}

// pinOf returns the keys of the pins that are for the reference, sorted, and their digest. A pin
// of exactly this name comes first. Without one, those of the same name on other ports and hosts
// of the registry count; the digest is "" if they differ.
func (r *ImageRules) pinOf(ref imageref.Reference) (keys []string, d digest.Digest) {
	if len(r.pins) == 0 || ref.Tag() == "" {
		return nil, ""
	}
	name := ref.Tagged()
	if p, ok := r.pins[name.String()]; ok {
		return []string{name.String()}, p.digest
	}
	usual := imageref.DefaultHost(name).String()
	for key, p := range r.pins {
		if p.usual != usual {
			continue
		}
		if len(keys) == 0 {
			d = p.digest
		} else if d != p.digest {
			d = ""
		}
		keys = append(keys, key)
	}
	slices.Sort(keys)
	return keys, d
}

// convert applies the first conversion that matches the image, once.
func (r *ImageRules) convert(ref imageref.Reference) (imageref.Reference, error) {
	for i := range r.Convert {
		c := &r.Convert[i]
		name, ok := imageref.Rename(c.from, c.to, ref.Name())
		if rest, below := strings.CutPrefix(ref.Name(), c.fromDirectory); !ok && below &&
			c.fromDirectory != "" {
			name, ok = c.toDirectory+rest, true
		}
		if ok {
			return ref.WithName(name)
		}
	}
	return ref, nil
}
