package frontend

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/moby/buildkit/solver/pb"
	spb "github.com/moby/buildkit/sourcepolicy/pb"

	"github.com/policy-frontend/policy-frontend/internal/llbops"
	"github.com/policy-frontend/policy-frontend/internal/safetext"
	"github.com/policy-frontend/policy-frontend/policy"
	"github.com/policy-frontend/policy-frontend/policy/buildrules"
)

// guard collects the source policy under which a definition is solved. Where the decision enforces
// rules on a kind of sources, the daemon may read the checked sources of that kind and no others.
//
// The daemon evaluates this policy again after each conversion by a client's source policy
// (sourcepolicy/engine.go). So a client's source policy can't replace a checked source, with one
// exception: it may pin a digest for an image that was requested without one, unless a rule depends
// on the tag or the digest.
type guard struct {
	schemes   []string        // sources of these schemes are denied unless a rule allows them
	unbound   buildrules.Kind // a restricted kind that no source policy can express, or ""
	selectors *selectors
	convert   map[string]string // requested identifier → the one that is read instead
	converts  []*spb.Rule
	allows    []*spb.Rule
	seen      map[string]bool
	session   string // of the build; "" if it isn't known
}

// Bounds of a guard. The daemon compares each source with each rule, without any time limit, and
// each byte of a selector takes memory.
const (
	maxGuardRules = 2000
	maxGuardBytes = 256 << 10 // bytes
)

// newGuard returns the guard of a definition. A source that names no session is read from that of
// the build, which policy-guard names for it.
func newGuard(d policy.Decision, session string) *guard {
	g := &guard{
		selectors: newSelectors(), convert: map[string]string{}, seen: map[string]bool{},
		session: session,
	}
	for _, k := range buildrules.Kinds() {
		if !k.IsSource() || !d.Enforces(k) {
			continue
		}
		schemes := llbops.Schemes(k)
		if len(schemes) == 0 {
			g.unbound = k
		}
		g.schemes = append(g.schemes, schemes...)
	}
	return g
}

// addSource adds a checked source. It ignores operations that aren't sources. It fails if a source
// policy can't express the source; the error completes "it asks for …".
func (g *guard) addSource(f buildrules.Operation, op *pb.SourceOp, ruling policy.Ruling) error {
	if k, err := f.Kind(); op == nil || err == nil && !k.IsSource() {
		return nil
	}
	id := op.GetIdentifier()
	if !utf8.ValidString(id) || strings.ContainsRune(id, utf8.RuneError) {
		// A selector can't tell its bytes apart.
		return fmt.Errorf("%s, whose name isn't readable text", safetext.Plain(id))
	}
	if bundle := llbops.Bundle(op); bundle != nil && f.Git == nil {
		op = bundle // the daemon evaluates it as a separate source
	}
	from, to := op.GetIdentifier(), dockerImageProto+ruling.Image.String()
	if ruling.Image.Name() != "" && to != from {
		g.convert[from] = to
		if g.isNew("convert " + from) {
			g.converts = append(g.converts, &spb.Rule{
				Action:   spb.PolicyAction_CONVERT,
				Selector: g.selectors.matching(exactly(from), nil),
				Updates:  &spb.Update{Identifier: literally(to)},
			})
		}
		op = &pb.SourceOp{Identifier: to, Attrs: op.GetAttrs()}
	}
	if scheme, _, _ := strings.Cut(op.GetIdentifier(), "://"); !slices.Contains(g.schemes, scheme) {
		return g.checkBounds()
	}
	fixed := llbops.Fixed(op)
	for _, id := range llbops.Identifiers(op) {
		g.allow(exactly(id), fixed)
		if attr := llbops.SessionAttr(op); attr != "" && g.session != "" && fixed[attr] == "" {
			named := maps.Clone(fixed)
			named[attr] = g.session
			g.allow(exactly(id), named)
		}
	}
	if f.Image != "" && !ruling.ByTag && !strings.Contains(op.GetIdentifier(), "@") {
		g.allow(withDigest(op.GetIdentifier()), fixed)
	}
	return g.checkBounds()
}

// checkBounds fails as [guard.addSource] does if the guard is too large for the daemon.
func (g *guard) checkBounds() error {
	if g.selectors.count > maxGuardRules || g.selectors.size > maxGuardBytes {
		return errors.New("too many or too long sources in one definition")
	}
	return nil
}

// allow adds a rule that allows the matching identifiers with exactly these attributes.
func (g *guard) allow(expr string, fixed map[string]string) {
	key := expr
	for _, k := range slices.Sorted(maps.Keys(fixed)) {
		key += "\x00" + k + "\x00" + fixed[k]
	}
	if g.isNew(key) {
		g.allows = append(g.allows, &spb.Rule{
			Action:   spb.PolicyAction_ALLOW,
			Selector: g.selectors.matching(expr, fixed),
		})
	}
}

// isNew reports whether the guard has no rule with the key yet, and records the key.
func (g *guard) isNew(key string) bool {
	if g.seen[key] {
		return false
	}
	g.seen[key] = true
	return true
}

// policies returns the source policy. It is nil if the guard restricts no kind and converts
// nothing. It fails as [guard.addSource] does.
func (g *guard) policies() ([]*spb.Policy, error) {
	if g.unbound != "" {
		return nil, fmt.Errorf(
			"a build under rules on %s, to which no source policy can bind the daemon", g.unbound)
	}
	for _, from := range slices.Sorted(maps.Keys(g.convert)) {
		if to := g.convert[from]; g.convert[to] != "" { // the daemon would convert it twice
			return nil, fmt.Errorf(
				"%s together with its replacement %s, which has another replacement",
				safetext.Plain(from), safetext.Plain(to))
		}
	}
	rules := slices.Clone(g.converts)
	for _, scheme := range g.schemes {
		rules = append(rules, &spb.Rule{
			Action:   spb.PolicyAction_DENY,
			Selector: g.selectors.matching(startingWith(scheme+"://"), nil),
		})
	}
	if len(rules) == 0 {
		return nil, nil
	}
	return []*spb.Policy{{Version: 1, Rules: append(rules, g.allows...)}}, nil
}
