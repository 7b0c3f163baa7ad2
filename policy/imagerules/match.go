package imagerules

import (
	"fmt"
	"slices"
	"time"

	"github.com/opencontainers/go-digest"

	"github.com/policy-frontend/policy-frontend/internal/safetext"
	"github.com/policy-frontend/policy-frontend/internal/versions"
	"github.com/policy-frontend/policy-frontend/policy/clients"
	"github.com/policy-frontend/policy-frontend/policy/imageref"
)

// Subject is an image, in the form that rules are applied to.
type Subject struct {
	Ref       imageref.Reference // after aliases or conversions
	Name      imageref.Pattern   // matches only the name of Ref
	Digest    digest.Digest      // of the image that would be read, or "" if unknown
	TagDigest digest.Digest      // that the tag points to, or "" if it was not looked up
	Now       time.Time          // the zero time if it is not known
	Client    clients.Client     // who builds
}

// tagTrust says whether the written tag tells which image would run.
type tagTrust int

const (
	tagVerified   tagTrust = iota // there is no digest beside it, or it points to the digest
	tagUnverified                 // there is a digest beside it, and the tag was not looked up
	tagFalse                      // the tag points to another digest
	tagMissing                    // only a digest was written
)

func (s Subject) tagTrust() tagTrust {
	switch {
	case s.Ref.Tag() == "":
		return tagMissing
	case s.TagDigest != "" && s.Digest != "" && s.TagDigest != s.Digest:
		return tagFalse
	case s.Ref.Digest() != "" && s.TagDigest == "":
		return tagUnverified
	}
	return tagVerified
}

// Ternary is a result with three values. A condition on an unknown digest has the result Unknown.
type Ternary int

// The results.
const (
	No Ternary = iota
	Unknown
	Yes
)

// Match is the result of one rule for a subject.
type Match struct {
	Result Ternary
	// Unverified is set if the result relies on a tag that was not looked up.
	Unverified bool
	// Reason says why a rule for this name misses, or a deny rule matches; "" if that is obvious.
	Reason string
	// Whom completes the reason of a deny rule that isn't for all clients; else "".
	Whom string
	// NeedsDigest says that the rule misses because the reference has no digest.
	NeedsDigest bool
}

// Apply applies the rule. An uncertain condition counts as missed for an allow rule, and as met for
// a deny rule.
func (r *Rule) Apply(s Subject) Match {
	switch {
	case !r.Covers(s.Name):
		return Match{}
	case !r.Admits(s.Client) && r.Action == ActionDeny:
		return Match{Reason: "it is " + r.clients.Only(s.Client)}
	case !r.Admits(s.Client):
		return Match{
			Reason: fmt.Sprintf("rule %s would allow it, but %s", safetext.Quote(r.Name),
				r.clients.Only(s.Client)),
		}
	case r.Expired(s.Now) && s.Now.IsZero():
		return Match{
			Reason: fmt.Sprintf("rule %s would allow it until %s, and the time is not known",
				safetext.Quote(r.Name), r.Expires),
		}
	case r.Expired(s.Now):
		return Match{Reason: fmt.Sprintf("rule %s expired on %s", safetext.Quote(r.Name), r.Expires)}
	case r.Action == ActionDeny:
		m := r.matchDeny(s)
		m.Whom = r.whom(s.Client)
		return m
	}
	return r.matchAllow(s)
}

// whom says for whom a deny rule denies, and why that is this client; "" if it denies for
// everybody. It completes a reason.
func (r *Rule) whom(c clients.Client) string {
	switch {
	case len(r.clients) == 0:
		return ""
	case !c.Known():
		return fmt.Sprintf(" for %s, and it isn't known who builds", r.clients)
	case r.clients.Has(c):
		return fmt.Sprintf(" for %s, and this is %s", r.clients, c)
	}
	return fmt.Sprintf(" for %s, and this can be one of them: %s", r.clients, c)
}

// matchAllow matches an allow rule whose patterns match the name. An uncertain condition counts as
// missed.
func (r *Rule) matchAllow(s Subject) Match {
	var m Match
	if r.TagConditional() {
		trust, fit := s.tagTrust(), r.tagFit(s.Ref.Tag())
		switch {
		case trust == tagMissing:
			return Match{Reason: r.tagMissingReason()}
		case fit == partly:
			return Match{Reason: r.partlyReason(s.Ref.Tag())}
		case fit == outside:
			return Match{
				Reason: fmt.Sprintf("rule %s would allow it, but only with the %s, not %s%s",
					safetext.Quote(r.Name), r.tagCondition(), s.Ref.Tag(), r.cure(s.Ref.Tag())),
			}
		case len(r.Digests) > 0:
			// The digests alone decide which image may run, so the tag needs no check.
		case trust == tagFalse:
			return Match{
				Reason: fmt.Sprintf("rule %s would allow the tag %s, but that tag points to %s, not to %s",
					safetext.Quote(r.Name), s.Ref.Tag(), s.TagDigest, s.Digest),
			}
		case trust == tagUnverified:
			m.Unverified = true
		}
	}
	if r.RequireDigest && s.Ref.Digest() == "" {
		return Match{
			NeedsDigest: true,
			Reason: fmt.Sprintf(
				"rule %s would allow it, but the reference must carry a digest: write %s@sha256:…",
				safetext.Quote(r.Name), s.Ref.Familiar()),
		}
	}
	m.Result = r.matchDigest(s)
	if m.Result == No {
		return Match{
			Reason: fmt.Sprintf("rule %s would allow it, but only with the %s, not %s",
				safetext.Quote(r.Name), safetext.List("digest", "digests", r.Digests), s.Digest),
		}
	}
	return m
}

// tagMissingReason says why an allow rule misses a reference that has only a digest.
func (r *Rule) tagMissingReason() string {
	const cure = ": write the tag as well as the digest"
	if len(r.Tags) == 0 && r.Versions == "" {
		return fmt.Sprintf("rule %s would allow it, but not with the %s, and a digest alone doesn't "+
			"tell the tag%s", safetext.Quote(r.Name), safetext.List("tag", "tags", r.ExceptTags), cure)
	}
	return fmt.Sprintf("rule %s would allow it, but only with the %s, and the reference has none%s",
		safetext.Quote(r.Name), r.tagCondition(), cure)
}

// partlyReason says why an allow rule misses a tag that stands for versions inside and outside
// of its conditions.
func (r *Rule) partlyReason(tag string) string {
	reason := fmt.Sprintf("rule %s would allow it, but only with the %s, and %s",
		safetext.Quote(r.Name), r.tagCondition(), tag)
	v, ok := versions.ParseTag(tag)
	if ok && v.IsPrerelease() && len(r.withoutVariants(tag, exactCase)) == 0 {
		return reason + " counts as a prerelease, which they leave out" + r.cure(tag)
	}
	return reason + " can be a version outside of them: write the full version"
}

// matchDeny matches a deny rule that is for the name. An uncertain condition counts as met.
// A tag that is missing or points elsewhere could hide any other tag, so a written digest
// gets no image past a rule on its tag.
func (r *Rule) matchDeny(s Subject) Match {
	m := Match{Result: r.matchDigest(s)}
	if m.Result == No || !r.TagConditional() {
		return m
	}
	switch r.tagFit(s.Ref.Tag()) {
	case inside:
		return m
	case partly:
		m.Reason = fmt.Sprintf("rule %s denies the %s, and %s can be one of them: write the full version",
			safetext.Quote(r.Name), r.tagCondition(), s.Ref.Tag())
		return m
	case unreadable:
		m.Reason = fmt.Sprintf(
			"rule %s denies the %s, and %s can't be compared with them: write a version as the tag",
			safetext.Quote(r.Name), r.tagCondition(), s.Ref.Tag())
		return m
	}
	switch s.tagTrust() {
	case tagMissing:
		m.Reason = fmt.Sprintf(
			"rule %s denies the %s, and the reference has none that would rule it out: write the tag as well as the digest", safetext.Quote(r.Name), r.tagCondition())
		return m
	case tagFalse:
		m.Reason = fmt.Sprintf(
			"rule %s denies the %s, and the tag %s that would rule it out points to %s, not to %s",
			safetext.Quote(r.Name), r.tagCondition(), s.Ref.Tag(), s.TagDigest, s.Digest)
		return m
	}
	return Match{Unverified: s.tagTrust() == tagUnverified}
}

func (r *Rule) matchDigest(s Subject) Ternary {
	switch {
	case len(r.Digests) == 0:
		return Yes
	case s.Digest == "":
		return Unknown
	case slices.Contains(r.Digests, s.Digest.String()):
		return Yes
	}
	return No
}
