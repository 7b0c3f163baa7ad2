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

// selectors makes the selectors of the source policies that go to the daemon.
//
// Each is a regular expression with a random mark that matches nothing. BuildKit before v0.27
// caches selectors by type and identifier and uses the constraints of the first one for all
// (sourcepolicy/engine.go, selectorCache). The client's policy comes first. A client that could
// guess a selector's text could replace its constraints with others.
//
// None has the type EXACT: with it, BuildKit converts nothing, at least up to v0.30
// (sourcepolicy/formatter.go).
type selectors struct {
	mark  string
	count int
	size  int // bytes of all of them
}

func newSelectors() *selectors { return &selectors{mark: rand.Text()} }

// matching selects the identifiers whose beginning the regular expression matches, if they have
// exactly these attributes.
func (s *selectors) matching(expr string, attrs map[string]string) *spb.Selector {
	s.count++
	sel := &spb.Selector{
		Identifier: fmt.Sprintf("^(?:%s-%d){0}%s", s.mark, s.count, expr),
		MatchType:  spb.MatchType_REGEX,
	}
	for _, k := range slices.Sorted(maps.Keys(attrs)) {
		sel.Constraints = append(sel.Constraints, &spb.AttrConstraint{
			Key: k, Condition: spb.AttrMatch_EQUAL, Value: attrs[k],
		})
	}
	s.size += len(sel.Identifier)
	return sel
}

// exactly matches one identifier.
func exactly(id string) string { return regexp.QuoteMeta(id) + "$" }

// withDigest matches an image's identifier followed by any digest.
func withDigest(id string) string { return regexp.QuoteMeta(id) + `@sha256:[0-9a-f]{64}$` }

// startingWith matches all identifiers with the prefix.
func startingWith(prefix string) string { return regexp.QuoteMeta(prefix) }

// literally escapes an identifier to which a selector's matches are converted.
func literally(id string) string { return strings.ReplaceAll(id, "$", "$$") }
