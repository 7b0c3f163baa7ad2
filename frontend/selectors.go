package frontend

import (
	"crypto/rand"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"

	spb "github.com/moby/buildkit/sourcepolicy/pb"
)

// selectors makes the selectors of the source policies that are handed to the daemon.
//
// All are regular expressions with a mark that matches nothing and that nobody else
// knows. BuildKit before v0.27 keeps selectors by kind and text and takes the
// constraints of the first one for all (sourcepolicy/engine.go, selectorCache; the
// client's policy comes first): a client who wrote a selector with the text of ours
// could put its constraints in the place of ours. None is of the kind EXACT, by which
// BuildKit up to v0.30, at least, converts nothing (sourcepolicy/formatter.go).
type selectors struct {
	mark  string
	count int
	size  int // bytes of those that have been made
}

func newSelectors() *selectors { return &selectors{mark: rand.Text()} }

// matching selects the identifiers whose beginning the regular expression matches, if
// they have exactly these attributes.
func (s *selectors) matching(expr string, attrs map[string]string) *spb.Selector {
	s.count++
	sel := &spb.Selector{Identifier: fmt.Sprintf("^(?:%s-%d){0}%s", s.mark, s.count, expr), MatchType: spb.MatchType_REGEX}
	for _, k := range slices.Sorted(maps.Keys(attrs)) {
		sel.Constraints = append(sel.Constraints, &spb.AttrConstraint{Key: k, Condition: spb.AttrMatch_EQUAL, Value: attrs[k]})
	}
	s.size += len(sel.Identifier)
	return sel
}

// exactly matches one identifier.
func exactly(id string) string { return regexp.QuoteMeta(id) + "$" }

// withDigest matches an image's identifier with any digest put to it.
func withDigest(id string) string { return regexp.QuoteMeta(id) + `@sha256:[0-9a-f]{64}$` }

// startingWith matches all identifiers that begin so.
func startingWith(prefix string) string { return regexp.QuoteMeta(prefix) }

// literally writes an identifier as what a selector's is converted to.
func literally(id string) string { return strings.ReplaceAll(id, "$", "$$") }
