package policy

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/opencontainers/go-digest"

	"github.com/policy-frontend/policy-frontend/internal/safetext"
	"github.com/policy-frontend/policy-frontend/policy/imageref"
)

// subject is a request in the form in which rules judge it.
type subject struct {
	ref        imageref.Reference // as asked for, after aliases
	source     imageref.Reference // with the digest that would run, if known
	name       imageref.Pattern   // matches ref's name only
	digest     digest.Digest      // what would run, "" if not known
	tagDigest  digest.Digest      // what the tag points to, "" if not looked up
	options    map[string]string
	optionKeys []string // sorted
	inputs     []string // sorted
	now        time.Time
}

// newSubject is the request as it would run. A pinned tag points to its pin,
// whatever a registry says.
func newSubject(r Request, final rewritten) (subject, error) {
	s := subject{
		ref: final.ref, source: final.ref, digest: final.ref.Digest(), tagDigest: cmp.Or(final.pin, r.TagDigest),
		options: r.Options, optionKeys: slices.Sorted(maps.Keys(r.Options)), inputs: slices.Sorted(slices.Values(r.Inputs)), now: r.Time,
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

// as is the same request under the name that a layer above judges. What runs is
// the same; a pin of that layer is its own word on the tag, and no other's.
func (s subject) as(asked rewritten) subject {
	s.ref, s.name = asked.ref, asked.ref.Pattern()
	s.tagDigest = cmp.Or(asked.pin, s.tagDigest)
	return s
}

// tagBelief is how far the written tag says what would run.
type tagBelief int

const (
	tagKnown   tagBelief = iota // there is nothing beside it, or it points to the digest
	tagClaimed                  // a digest is written beside it, and the tag was not looked up
	tagFalse                    // the tag points elsewhere
	tagMissing                  // only a digest was written
)

func (s subject) tagBelief() tagBelief {
	switch {
	case s.ref.Tag() == "":
		return tagMissing
	case s.tagDigest != "" && s.digest != "" && s.tagDigest != s.digest:
		return tagFalse
	case s.ref.Digest() != "" && s.tagDigest == "":
		return tagClaimed
	}
	return tagKnown
}

// truth is a three-valued result: a condition on a digest that is not known yet
// is neither met nor missed.
type truth int

const (
	no truth = iota
	unknown
	yes
)

// match is what one rule says to a subject.
type match struct {
	truth    truth
	believed bool   // rests on a tag that was not looked up
	near     string // why a rule for this name doesn't match, or why a deny rule does, "" if that is plain
}

func (r *Rule) match(s subject) match {
	switch {
	case !matchName(r.patterns, s.name):
		return match{}
	case r.expired(s.now) && s.now.IsZero():
		return match{near: fmt.Sprintf("rule %s would allow it until %s, and the time is not known", safetext.Quote(r.Name), r.Expires)}
	case r.expired(s.now):
		return match{near: fmt.Sprintf("rule %s expired on %s", safetext.Quote(r.Name), r.Expires)}
	case r.Action == ActionDeny:
		return r.matchDeny(s)
	}
	return r.matchAllow(s)
}

// matchAllow judges an allow rule that is for the name; what isn't certain doesn't
// count as met.
func (r *Rule) matchAllow(s subject) match {
	var m match
	if r.TagConditional() {
		belief := s.tagBelief()
		switch {
		case belief == tagMissing:
			return match{near: fmt.Sprintf("rule %s would allow it, but only with the %s, and the reference has none: write the tag as well as the digest", safetext.Quote(r.Name), r.tagCondition())}
		case r.tagFit(s.ref.Tag()) == partly:
			return match{near: fmt.Sprintf("rule %s would allow it, but only with the %s, and %s can be a version outside of them: write the full version", safetext.Quote(r.Name), r.tagCondition(), s.ref.Tag())}
		case r.tagFit(s.ref.Tag()) == outside:
			return match{near: fmt.Sprintf("rule %s would allow it, but only with the %s, not %s", safetext.Quote(r.Name), r.tagCondition(), s.ref.Tag())}
		case len(r.Digests) > 0:
			// The digests say what may run; the tag adds nothing to them.
		case belief == tagFalse:
			return match{near: fmt.Sprintf("rule %s would allow the tag %s, but that tag points to %s, not to %s", safetext.Quote(r.Name), s.ref.Tag(), s.tagDigest, s.digest)}
		case belief == tagClaimed:
			m.believed = true
		}
	}
	if r.RequireDigest && s.ref.Digest() == "" {
		return match{near: fmt.Sprintf("rule %s would allow it, but the reference must carry a digest: write %s@sha256:…", safetext.Quote(r.Name), s.ref.Familiar())}
	}
	m.truth = r.matchDigest(s)
	if m.truth == no {
		return match{near: fmt.Sprintf("rule %s would allow it, but only with the %s, not %s", safetext.Quote(r.Name), list("digest", "digests", r.Digests), s.digest)}
	}
	return m
}

// matchDeny judges a deny rule that is for the name; what isn't certain counts as
// met. A tag that is missing, or that points elsewhere, could hide any other one:
// writing a digest doesn't get an image past a rule on its tag.
func (r *Rule) matchDeny(s subject) match {
	m := match{truth: r.matchDigest(s)}
	if m.truth == no || !r.TagConditional() {
		return m
	}
	switch r.tagFit(s.ref.Tag()) {
	case inside:
		return m
	case partly:
		m.near = fmt.Sprintf("rule %s denies the %s, and %s can be one of them: write the full version", safetext.Quote(r.Name), r.tagCondition(), s.ref.Tag())
		return m
	}
	switch s.tagBelief() {
	case tagMissing:
		m.near = fmt.Sprintf("rule %s denies the %s, and the reference has none that would rule it out: write the tag as well as the digest", safetext.Quote(r.Name), r.tagCondition())
		return m
	case tagFalse:
		m.near = fmt.Sprintf("rule %s denies the %s, and the tag %s that would rule it out points to %s, not to %s", safetext.Quote(r.Name), r.tagCondition(), s.ref.Tag(), s.tagDigest, s.digest)
		return m
	}
	return match{believed: s.tagBelief() == tagClaimed}
}

func matchName(patterns []imageref.Pattern, name imageref.Pattern) bool {
	return slices.ContainsFunc(patterns, func(p imageref.Pattern) bool { return p.Covers(name) })
}

func (r *Rule) matchDigest(s subject) truth {
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
