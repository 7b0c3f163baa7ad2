package policy

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/opencontainers/go-digest"
)

// subject is a request in the form in which rules judge it.
type subject struct {
	ref       Reference     // as asked for
	source    Reference     // with the digest that would run, if known
	name      []string      // components of ref's name
	digest    digest.Digest // what would run, "" if not known
	tagDigest digest.Digest // what the tag points to, "" if not looked up
}

func newSubject(r Request) (subject, error) {
	s := subject{ref: r.Reference, source: r.Reference, digest: r.Reference.Digest(), tagDigest: r.TagDigest}
	if r.Reference.Name() == "" {
		return s, errors.New("the request names no frontend")
	}
	s.name = strings.Split(r.Reference.Name(), "/")
	if r.TagDigest != "" {
		if _, err := parseDigest(r.TagDigest.String()); err != nil {
			return s, fmt.Errorf("what the tag points to: %w", err)
		}
	}
	if r.Digest != "" {
		source, err := r.Reference.WithDigest(r.Digest)
		if err != nil {
			return s, err
		}
		s.source, s.digest = source, r.Digest
	}
	return s, nil
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
	near     string // why a rule for this name doesn't match, "" if the name is another
}

// matchAllow judges an allow rule; what isn't certain doesn't count as met.
func (r *Rule) matchAllow(s subject) match {
	if !r.matchName(s) {
		return match{}
	}
	var m match
	if len(r.Tags) > 0 {
		belief := s.tagBelief()
		switch {
		case belief == tagMissing:
			return match{near: fmt.Sprintf("rule %s would allow it, but only with the %s, and the reference has none: write the tag as well as the digest", quote(r.Name), list("tag", "tags", r.Tags))}
		case !matchTag(r.Tags, s.ref.Tag()):
			return match{near: fmt.Sprintf("rule %s would allow it, but only with the %s, not %s", quote(r.Name), list("tag", "tags", r.Tags), s.ref.Tag())}
		case len(r.Digests) > 0:
			// The digests say what may run; the tag adds nothing to them.
		case belief == tagFalse:
			return match{near: fmt.Sprintf("rule %s would allow the tag %s, but that tag points to %s, not to %s", quote(r.Name), s.ref.Tag(), s.tagDigest, s.digest)}
		case belief == tagClaimed:
			m.believed = true
		}
	}
	if r.RequireDigest && s.ref.Digest() == "" {
		return match{near: fmt.Sprintf("rule %s would allow it, but the reference must carry a digest: write %s@sha256:…", quote(r.Name), s.ref.Familiar())}
	}
	m.truth = r.matchDigest(s)
	if m.truth == no {
		return match{near: fmt.Sprintf("rule %s would allow it, but only with the %s, not %s", quote(r.Name), list("digest", "digests", r.Digests), s.digest)}
	}
	return m
}

// matchDeny judges a deny rule; what isn't certain counts as met. A tag that is
// missing, or that points elsewhere, could hide any other one: writing a digest
// doesn't get an image past a rule on its tag.
func (r *Rule) matchDeny(s subject) match {
	if !r.matchName(s) {
		return match{}
	}
	m := match{truth: r.matchDigest(s)}
	if m.truth == no || len(r.Tags) == 0 || matchTag(r.Tags, s.ref.Tag()) {
		return m
	}
	switch s.tagBelief() {
	case tagMissing:
		m.near = fmt.Sprintf("rule %s denies the %s, and the reference has none that would rule it out: write the tag as well as the digest", quote(r.Name), list("tag", "tags", r.Tags))
		return m
	case tagFalse:
		m.near = fmt.Sprintf("rule %s denies the %s, and the tag %s that would rule it out points to %s, not to %s", quote(r.Name), list("tag", "tags", r.Tags), s.ref.Tag(), s.tagDigest, s.digest)
		return m
	}
	return match{believed: s.tagBelief() == tagClaimed}
}

func (r *Rule) matchName(s subject) bool {
	return slices.ContainsFunc(r.patterns, func(p pattern) bool { return p.match(s.name) })
}

func matchTag(globs []string, tag string) bool {
	return tag != "" && slices.ContainsFunc(globs, func(g string) bool { return glob(g, tag) })
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

// outcome is what one layer decides by itself.
type outcome struct {
	verdict     Verdict
	rule        *Rule // nil for the default
	reason      string
	obligations Obligations
	believed    bool
}

// decide applies the rules of one document.
func (p *Policy) decide(s subject) outcome {
	var deny, allow *Rule // the first one that may yet match, the first one that isn't missed
	var found match
	near, believed := "", false
	for i := range p.Frontends {
		r := &p.Frontends[i]
		if r.Action == ActionDeny {
			m := r.matchDeny(s)
			if m.truth == yes {
				return denied(r, m, s)
			}
			if m.truth == unknown && deny == nil {
				deny = r
			}
			believed = believed || m.believed
			continue
		}
		if allow != nil {
			continue
		}
		m := r.matchAllow(s)
		if m.truth != no {
			allow, found = r, m
		} else if near == "" {
			near = m.near
		}
	}
	switch {
	case allow == nil && p.Default != ActionAllow:
		if near == "" {
			near = "no rule allows " + s.ref.Familiar()
		}
		return outcome{verdict: Deny, reason: near}
	case deny != nil:
		return undecidable(deny, "denies", s)
	case allow == nil:
		return outcome{verdict: Allow, reason: "no rule matches " + s.ref.Familiar() + ", and the default is to allow", believed: believed}
	case found.truth == unknown:
		return undecidable(allow, "allows", s)
	}
	return outcome{
		verdict:     Allow,
		rule:        allow,
		reason:      fmt.Sprintf("rule %s allows %s", quote(allow.Name), s.ref.Familiar()),
		obligations: Obligations{Digests: slices.Clone(allow.Digests), RequireDigest: allow.RequireDigest},
		believed:    believed || found.believed,
	}
}

func denied(r *Rule, m match, s subject) outcome {
	reason := m.near
	if reason == "" {
		reason = fmt.Sprintf("rule %s denies %s", quote(r.Name), s.ref.Familiar())
	}
	return outcome{verdict: Deny, rule: r, reason: reason}
}

func undecidable(r *Rule, verb string, s subject) outcome {
	return outcome{verdict: Undecidable, rule: r, reason: fmt.Sprintf(
		"rule %s %s only the %s, and the digest of %s is not known", quote(r.Name), verb, list("digest", "digests", r.Digests), s.ref.Familiar())}
}
