package diff

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/policy-frontend/policy-frontend/internal/arbitrary"
	"github.com/policy-frontend/policy-frontend/internal/kindtest"
	"github.com/policy-frontend/policy-frontend/policy"
	"github.com/policy-frontend/policy-frontend/policy/buildrules"
	"github.com/policy-frontend/policy-frontend/policy/imageref"
)

// If Compare says that nothing widened, no URL is allowed that was refused before, however
// ambiguous it is.
func TestNothingWidenedForURLsIsSo(t *testing.T) {
	t.Parallel()
	narrow, changed := 0, 0
	for seed := range arbitrary.Seeds(300) {
		r := rand.New(rand.NewPCG(seed, 5))
		kind := []string{"http", "git", "exec.downloads"}[r.IntN(3)]
		textA, textB := arbitraryURLRules(r, kind), arbitraryURLRules(r, kind)
		a, b := parse(t, textA), parse(t, textB)
		report := Compare(a, b, now())
		require.True(t, report.Complete, textA)
		if report.Widened {
			continue
		}
		narrow++
		if len(report.Differences) > 0 {
			changed++
		}
		ref, err := imageref.Parse("a:1")
		require.NoError(t, err)
		request := policy.Request{Reference: ref, Time: now()}
		before := policy.Decide(newSide(a).layers, request)
		after := policy.Decide(newSide(b).layers, request)
		for range 300 {
			url := arbitraryURL(r)
			o := buildrules.Operation{HTTP: &buildrules.HTTP{URL: url}}
			switch kind {
			case "git":
				o = buildrules.Operation{Git: &buildrules.Git{URL: url}}
			case "exec.downloads":
				o = buildrules.Operation{Download: url}
			}
			was, is := ruling(before, probe{Operation: o}), ruling(after, probe{Operation: o})
			require.False(t, was.Verdict == policy.Deny && is.Verdict != policy.Deny,
				"seed %d\n%s---\n%s%s", seed, textA, textB, url)
		}
	}
	require.Greater(t, narrow, 40, "else the property says nothing")
	require.Greater(t, changed, 20, "else the property says nothing")
}

func arbitraryURLRules(r *rand.Rand, kind string) string {
	one := func(items ...string) string { return items[r.IntN(len(items))] }
	list := func() string {
		var out []string
		for range 1 + r.IntN(3) {
			scheme := one("https://", "https://", "http://", "")
			host := one("a.example", "*.example", "**.example", "b*.example", "**", "10.*.0.1", "10.2.0.1",
				"*")
			port := one("", "", "", ":*", ":8080")
			path := one("", "", "/**", "/x", "/X/**", "/*/y", "/x/**", "/**/y", "/x*")
			out = append(out, fmt.Sprintf("%q", one(scheme+host+port+path, scheme+host+port+path,
				scheme+host+path, "**")))
		}
		return "[" + strings.Join(out, ", ") + "]"
	}
	rules := one("allow: "+list(), "deny: "+list(), "allow: "+list()+", deny: "+list())
	build := kindtest.Case{Kind: buildrules.Kind(kind), Rules: "{" + rules + "}"}.Build()
	return head + "- {name: a, match: [a], dispatch: mediate, build: " + build + "}\n"
}

func arbitraryURL(r *rand.Rand) string {
	one := func(items ...string) string { return items[r.IntN(len(items))] }
	path := ""
	for range r.IntN(4) {
		path += one("/", "/", "/", "//", "%2F") + one("x", "X", "y", "z", "x1", "..", "x;v")
	}
	return one("https", "https", "http") + "://" +
		one("a.example", "c.a.example", "b1.example", "b.c.example", "10.2.0.1", "10.3.0.1", "a",
			"[::1]") + one("", "", ":8080", ":81") + "/" + strings.TrimPrefix(path, "/")
}
