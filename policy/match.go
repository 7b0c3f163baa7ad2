package policy

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/opencontainers/go-digest"

	"github.com/policy-frontend/policy-frontend/internal/globs"
	"github.com/policy-frontend/policy-frontend/internal/safetext"
	"github.com/policy-frontend/policy-frontend/internal/versions"
	"github.com/policy-frontend/policy-frontend/policy/imageref"
)

// subject is a request, in the form that rules are applied to.
type subject struct {
	ref        imageref.Reference // the requested one, after aliases
	source     imageref.Reference // with the digest that would run, if known
	name       imageref.Pattern   // matches only the name of ref
	digest     digest.Digest      // of the image that would run, or "" if unknown
	tagDigest  digest.Digest      // that the tag points to, or "" if it was not looked up
	options    map[string]string
	optionKeys []string // sorted
	inputs     []string // sorted
	now        time.Time
}

// newSubject returns the subject of a request. A pinned tag points to its pin, whatever the
// registry says.
func newSubject(r Request, final rewritten) (subject, error) {
	s := subject{
		ref: final.ref, source: final.ref, digest: final.ref.Digest(),
		tagDigest: cmp.Or(final.pin, r.TagDigest),
		options:   r.Options, optionKeys: slices.Sorted(maps.Keys(r.Options)),
		inputs: slices.Sorted(slices.Values(r.Inputs)), now: r.Time,
	}
	if s.ref.Name() == "" {
		return s, errors.New("the request names no frontend")
	}
	s.name = s.ref.Pattern()
	if r.TagDigest != "" {
		if _, err := imageref.ParseDigest(r.TagDigest.String()); err != nil {
			return s, fmt.Errorf("what the tag points to: %w", err)
		}
	}
	if r.Digest != "" {
		source, err := s.ref.WithDigest(r.Digest)
		if err != nil {
			return s, err
		}
		s.source, s.digest = source, r.Digest
	}
	return s, nil
}

// as returns the same request under the name that another layer evaluates. The image that runs is
// the same. A pin of that layer counts for that layer only.
func (s subject) as(asked rewritten) subject {
	s.ref, s.name = asked.ref, asked.ref.Pattern()
	s.tagDigest = cmp.Or(asked.pin, s.tagDigest)
	return s
}

// tagTrust says whether the written tag tells which image would run.
type tagTrust int

const (
	tagVerified   tagTrust = iota // there is no digest beside it, or it points to the digest
	tagUnverified                 // there is a digest beside it, and the tag was not looked up
	tagFalse                      // the tag points to another digest
	tagMissing                    // only a digest was written
)

func (s subject) tagTrust() tagTrust {
	switch {
	case s.ref.Tag() == "":
		return tagMissing
	case s.tagDigest != "" && s.digest != "" && s.tagDigest != s.digest:
		return tagFalse
	case s.ref.Digest() != "" && s.tagDigest == "":
		return tagUnverified
	}
	return tagVerified
}

// ternary is a result with three values. A condition on an unknown digest has the result unknown.
type ternary int

const (
	no ternary = iota
	unknown
	yes
)

// match is the result of one rule for a subject.
type match struct {
	result     ternary
	unverified bool   // it relies on a tag that was not looked up
	reason     string // why a rule for this name misses, or a deny rule matches; "" if obvious
}

func (r *Rule) match(s subject) match {
	switch {
	case !matchName(r.patterns, s.name):
		return match{}
	case r.expired(s.now) && s.now.IsZero():
		return match{
			reason: fmt.Sprintf("rule %s would allow it until %s, and the time is not known",
				safetext.Quote(r.Name), r.Expires),
		}
	case r.expired(s.now):
		return match{reason: fmt.Sprintf("rule %s expired on %s", safetext.Quote(r.Name), r.Expires)}
	case r.Action == ActionDeny:
		return r.matchDeny(s)
	}
	return r.matchAllow(s)
}

// matchAllow matches an allow rule whose patterns match the name. An uncertain condition counts as
// missed.
func (r *Rule) matchAllow(s subject) match {
	var m match
	if r.TagConditional() {
		trust, fit := s.tagTrust(), r.tagFit(s.ref.Tag())
		switch {
		case trust == tagMissing:
			return match{reason: r.tagMissingReason()}
		case fit == partly:
			return match{reason: r.partlyReason(s.ref.Tag())}
		case fit == outside:
			return match{
				reason: fmt.Sprintf("rule %s would allow it, but only with the %s, not %s%s",
					safetext.Quote(r.Name), r.tagCondition(), s.ref.Tag(), r.cure(s.ref.Tag())),
			}
		case len(r.Digests) > 0:
			// The digests alone decide which image may run, so the tag needs no check.
		case trust == tagFalse:
			return match{
				reason: fmt.Sprintf("rule %s would allow the tag %s, but that tag points to %s, not to %s",
					safetext.Quote(r.Name), s.ref.Tag(), s.tagDigest, s.digest),
			}
		case trust == tagUnverified:
			m.unverified = true
		}
	}
	if r.RequireDigest && s.ref.Digest() == "" {
		return match{
			reason: fmt.Sprintf(
				"rule %s would allow it, but the reference must carry a digest: write %s@sha256:…",
				safetext.Quote(r.Name), s.ref.Familiar()),
		}
	}
	m.result = r.matchDigest(s)
	if m.result == no {
		return match{
			reason: fmt.Sprintf("rule %s would allow it, but only with the %s, not %s",
				safetext.Quote(r.Name), list("digest", "digests", r.Digests), s.digest),
		}
	}
	return m
}

// tagMissingReason says why an allow rule misses a reference that has only a digest.
func (r *Rule) tagMissingReason() string {
	const cure = ": write the tag as well as the digest"
	if len(r.Tags) == 0 && r.Versions == "" {
		return fmt.Sprintf("rule %s would allow it, but not with the %s, and a digest alone doesn't "+
			"tell the tag%s", safetext.Quote(r.Name), list("tag", "tags", r.ExceptTags), cure)
	}
	return fmt.Sprintf("rule %s would allow it, but only with the %s, and the reference has none%s",
		safetext.Quote(r.Name), r.tagCondition(), cure)
}

// partlyReason says why an allow rule misses a tag that stands for versions inside and outside
// of its conditions.
func (r *Rule) partlyReason(tag string) string {
	reason := fmt.Sprintf("rule %s would allow it, but only with the %s, and %s",
		safetext.Quote(r.Name), r.tagCondition(), tag)
	if v, ok := versions.ParseTag(tag); ok && v.IsPrerelease() && len(r.withoutVariants(tag, exactCase)) == 0 {
		return reason + " counts as a prerelease, which they leave out" + r.cure(tag)
	}
	return reason + " can be a version outside of them: write the full version"
}

// matchDeny matches a deny rule that is for the name. An uncertain condition counts as met.
// A tag that is missing or points elsewhere could hide any other tag, so a written digest
// gets no image past a rule on its tag.
func (r *Rule) matchDeny(s subject) match {
	m := match{result: r.matchDigest(s)}
	if m.result == no || !r.TagConditional() {
		return m
	}
	switch r.tagFit(s.ref.Tag()) {
	case inside:
		return m
	case partly:
		m.reason = fmt.Sprintf("rule %s denies the %s, and %s can be one of them: write the full version",
			safetext.Quote(r.Name), r.tagCondition(), s.ref.Tag())
		return m
	case unreadable:
		m.reason = fmt.Sprintf(
			"rule %s denies the %s, and %s can't be compared with them: write a version as the tag",
			safetext.Quote(r.Name), r.tagCondition(), s.ref.Tag())
		return m
	}
	switch s.tagTrust() {
	case tagMissing:
		m.reason = fmt.Sprintf(
			"rule %s denies the %s, and the reference has none that would rule it out: write the tag as well as the digest", safetext.Quote(r.Name), r.tagCondition())
		return m
	case tagFalse:
		m.reason = fmt.Sprintf(
			"rule %s denies the %s, and the tag %s that would rule it out points to %s, not to %s",
			safetext.Quote(r.Name), r.tagCondition(), s.ref.Tag(), s.tagDigest, s.digest)
		return m
	}
	return match{unverified: s.tagTrust() == tagUnverified}
}

// newIndex returns an index of the rules' patterns.
func newIndex(rules []Rule) globs.Index {
	return globs.NewIndex(func(yield func(int, string) bool) {
		for i := range rules {
			for _, p := range rules[i].patterns {
				if !yield(i, p.String()) {
					return
				}
			}
		}
	})
}

// meanings writes patterns for a person, each once.
func meanings(patterns []imageref.Pattern) []string {
	var out []string
	for _, p := range patterns {
		if s := p.Meaning(); !slices.Contains(out, s) {
			out = append(out, s)
		}
	}
	return out
}

func matchName(patterns []imageref.Pattern, name imageref.Pattern) bool {
	return slices.ContainsFunc(patterns, func(p imageref.Pattern) bool { return p.Covers(name) })
}

func (r *Rule) matchDigest(s subject) ternary {
	switch {
	case len(r.Digests) == 0:
		return yes
	case s.digest == "":
		return unknown
	case slices.Contains(r.Digests, s.digest.String()):
		return yes
	}
	return no
}
