package clients

import (
	"slices"

	"github.com/policy-frontend/policy-frontend/internal/safetext"
)

// List has the patterns of the clients that a rule is for. An empty List is for everybody, and for
// an unknown client too.
type List []Pattern

// ParseList reads patterns as [ParsePattern] does.
func ParseList(texts []string) (List, error) {
	var l List
	for _, s := range texts {
		p, err := ParsePattern(s)
		if err != nil {
			return nil, err
		}
		l = append(l, p)
	}
	return l, nil
}

// Has reports whether the client surely is one of them. What allows something is for those alone.
func (l List) Has(c Client) bool {
	return len(l) == 0 || slices.ContainsFunc(l, func(p Pattern) bool { return p.Match(c) })
}

// MayHave reports whether the client can be one of them; see [Pattern.MayMatch]. What refuses
// something is for all of those.
func (l List) MayHave(c Client) bool {
	return len(l) == 0 || slices.ContainsFunc(l, func(p Pattern) bool { return p.MayMatch(c) })
}

// Covers reports whether l certainly is for each client that o is for.
func (l List) Covers(o List) bool {
	switch {
	case len(l) == 0:
		return true
	case len(o) == 0:
		return false
	}
	return !slices.ContainsFunc(o, func(p Pattern) bool {
		return !slices.ContainsFunc(l, func(q Pattern) bool { return q.Covers(p) })
	})
}

// String lists the first of the patterns: "uid:1000, cn:a and others".
func (l List) String() string {
	var texts []string
	for _, p := range l[:min(len(l), maxShown)] {
		texts = append(texts, safetext.Printable(p.text))
	}
	if len(l) > maxShown {
		return safetext.And(append(texts, "others"))
	}
	return safetext.And(texts)
}

// Only says whom the list is for, and who asks: "only for cn:release-*, not for uid:1000". It
// completes why a rule doesn't allow something.
func (l List) Only(c Client) string {
	text := "only for " + l.String()
	if !c.known {
		return text + ", and it isn't known who builds"
	}
	return text + ", not for " + c.String()
}
