package diff

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/opencontainers/go-digest"
	"github.com/stretchr/testify/require"

	"github.com/policy-frontend/policy-frontend/internal/arbitrary"
	"github.com/policy-frontend/policy-frontend/policy"
	"github.com/policy-frontend/policy-frontend/policy/clients"
	"github.com/policy-frontend/policy-frontend/policy/imageref"
)

// If Compare says that nothing widened, the second policy allows no request and no operation that
// the first denies. A policy widens nothing of itself.
func TestNothingWidenedIsSo(t *testing.T) {
	t.Parallel()
	narrow := 0
	for seed := range arbitrary.Seeds(200) {
		if nothingWidens(t, seed, 100) {
			narrow++
		}
	}
	require.Greater(t, narrow, 20, "else the property says nothing")
}

// nothingWidens checks two policies with a number of requests. It is false if Compare says that
// something widens.
func nothingWidens(t *testing.T, seed uint64, requests int) bool {
	t.Helper()
	choose := arbitrary.Source(rand.New(rand.NewPCG(seed, 2)).IntN)
	textA, a := arbitrary.Policy(choose)
	textB, b := arbitrary.Variant(choose, textA)
	if choose(2) == 0 {
		textA, a, textB, b = textB, b, textA, a
	}
	require.False(t, Compare(a, a, arbitrary.Day(1)).Widened, textA)
	if Compare(a, b, arbitrary.Day(1)).Widened {
		return false
	}
	sideA, sideB := newSide(a), newSide(b)
	nothingWidensInResults(t, choose, sideA, sideB,
		fmt.Sprintf("seed %d\n%s\n---\n%s", seed, textA, textB))
	for range requests {
		request, points := arbitrary.Request(choose)
		by := arbitrary.Client(choose)
		before, after := ask(sideA.as(by), request, points), ask(sideB.as(by), request, points)
		if !after.Verdict.Permits() {
			continue
		}
		require.True(t, before.Verdict.Permits() &&
			before.Reference.Name() == after.Reference.Name(),
			"seed %d\n%s\n---\n%s\n%+v\n%s\n%+v\n%+v", seed, textA, textB, request, by, before, after)
		for range 10 {
			o := probe{arbitrary.Operation(choose), arbitrary.Digest(choose)}
			was, is := ruling(before, o), ruling(after, o)
			require.False(t, is.Verdict != policy.Deny &&
				(was.Verdict == policy.Deny || was.Image != is.Image && newlyRead(before, o, was, is)),
				"seed %d\n%s\n---\n%s\n%s\n%s\n%+v\n%+v", seed, textA, textB, request.Requested,
				o.Describe(), was, is)
		}
	}
	return true
}

// nothingWidensInResults checks what only policy-guard sees.
func nothingWidensInResults(t *testing.T, choose arbitrary.Source, a, b *side, say string) {
	t.Helper()
	for range 50 {
		e, u := arbitrary.Export(choose), arbitrary.Cache(choose)
		by := arbitrary.Client(choose)
		a, b := a.as(by), b.as(by)
		say := say + "\n" + clientText(by)
		require.False(t, a.layers.DecideExport(e).Verdict == policy.Deny &&
			b.layers.DecideExport(e).Verdict != policy.Deny, "%s\n%+v", say, e)
		require.False(t, a.layers.DecideCache(u).Verdict == policy.Deny &&
			b.layers.DecideCache(u).Verdict != policy.Deny, "%s\n%+v", say, u)
		require.False(t, a.layers.DecideGenerator(u.Name).Verdict == policy.Deny &&
			b.layers.DecideGenerator(u.Name).Verdict != policy.Deny, "%s\n%s", say, u.Name)
		require.False(t, a.layers.DecideAdministration(policy.Pruning, by).Verdict == policy.Deny &&
			b.layers.DecideAdministration(policy.Pruning, by).Verdict != policy.Deny, say)
	}
	require.False(t, a.layers.DecideDebug().Verdict == policy.Deny &&
		b.layers.DecideDebug().Verdict != policy.Deny, say)
	for range 4 {
		by := arbitrary.Client(choose)
		a, b := a.as(by), b.as(by)
		say := say + "\n" + clientText(by)
		at := arbitrary.Day(1 + choose(4))
		before, after := a.layers.LLB(at), b.layers.LLB(at)
		require.False(t, !before.Verdict.Permits() && after.Verdict.Permits(), say)
		require.False(t, before.Verdict.Permits() && !before.Exportable() && after.Exportable(), say)
		if !after.Verdict.Permits() {
			continue
		}
		for range 50 {
			o := probe{arbitrary.Operation(choose), arbitrary.Digest(choose)}
			was, is := ruling(before, o), ruling(after, o)
			require.False(t, is.Verdict != policy.Deny &&
				(was.Verdict == policy.Deny || was.Image != is.Image && newlyRead(before, o, was, is)),
				"%s\n%s\n%+v\n%+v", say, o.Describe(), was, is)
		}
	}
}

// The same holds for policies that differ only in what policy-guard applies, and in build rules.
func TestNothingWidenedInResultsIsSo(t *testing.T) {
	t.Parallel()
	narrow, changed, shown, bare := 0, 0, 0, 0
	for seed := range arbitrary.Seeds(600) {
		choose := arbitrary.Source(rand.New(rand.NewPCG(seed, 15)).IntN)
		textA, textB := guardedPolicy(choose), guardedPolicy(choose)
		a, b := parse(t, textA), parse(t, textB)
		r := Compare(a, b, arbitrary.Day(1))
		for _, s := range r.Statements {
			shows := slices.ContainsFunc(s.Examples, func(e Example) bool { return e.Change == Allowed })
			require.False(t, shows && !s.Widens, "seed %d\n%s\n---\n%s\n%+v", seed, textA, textB, s)
			switch {
			case shows:
				shown++
			case s.Widens &&
				(strings.HasPrefix(s.Text, "exports.") || strings.HasPrefix(s.Text, "caches.")):
				bare++
			}
		}
		require.False(t, Compare(a, a, arbitrary.Day(1)).Widened, "seed %d\n%s", seed, textA)
		if r.Widened {
			continue
		}
		if narrow++; len(r.Statements) > 0 {
			changed++
		}
		nothingWidensInResults(t, choose, newSide(a), newSide(b),
			fmt.Sprintf("seed %d\n%s\n---\n%s", seed, textA, textB))
	}
	require.Greater(t, narrow, 30, "else the property says nothing")
	require.Greater(t, changed, 20, "else the property says nothing")
	require.Less(t, 10*bare, shown, "most of what widens is shown")
	t.Logf("%d pairs that don't widen, %d of them differ; %d fields that widen with an example, %d without",
		narrow, changed, shown, bare)
}

// guardedPolicy makes a policy with fields for policy-guard, and sometimes with build rules of the
// whole policy or of a rule.
func guardedPolicy(choose arbitrary.Source) string {
	text := "version: 1\n" + choose.GuardedText() + "\n"
	rules := ""
	if build := choose.BuildText(); build != "" {
		rules = "build: {" + build + "}"
	}
	switch {
	case rules == "" || choose(3) == 0:
		return text + "frontends: [{match: [a]}]\n"
	case choose(3) == 0:
		return text + "frontends: [{match: [a], dispatch: mediate, " + rules + "}]\n"
	}
	return text + "dispatch: mediate\n" + rules + "\nfrontends: [{match: [a]}]\n"
}

// If Compare says that nothing widened, a build allows nothing that it refused before.
func TestNothingWidenedInBuildsIsSo(t *testing.T) {
	t.Parallel()
	narrow, changed := 0, 0
	for seed := range arbitrary.Seeds(400) {
		report, ok := nothingWidensInBuilds(t, seed, 200)
		if !ok {
			continue
		}
		narrow++
		if len(report.Differences) > 0 {
			changed++
		}
	}
	require.Greater(t, narrow, 20, "else the property says nothing")
	require.Greater(t, changed, 10, "else the property says nothing")
}

// nothingWidensInBuilds checks two policies that let a run under any build rules, with a number of
// operations. It is false if Compare says that something widens.
func nothingWidensInBuilds(t *testing.T, seed uint64, operations int) (Report, bool) {
	t.Helper()
	choose := arbitrary.Source(rand.New(rand.NewPCG(seed, 4)).IntN)
	textA, textB := buildPolicy(choose), buildPolicy(choose)
	a, errA := policy.Parse("a", []byte(textA))
	b, errB := policy.Parse("b", []byte(textB))
	if errA != nil || errB != nil {
		return Report{}, false // A rule contradicts the policy.
	}
	require.False(t, Compare(a, a, now()).Widened, textA)
	report := Compare(a, b, now())
	if report.Widened {
		return report, false
	}
	ref, err := imageref.Parse("a:1")
	require.NoError(t, err)
	sideA, sideB := newSide(a), newSide(b)
	var before, after policy.Decision
	for i := range operations {
		if i%20 == 0 {
			request := policy.Request{Reference: ref, Time: arbitrary.Day(choose(5))}
			by := arbitrary.Client(choose)
			before = policy.Decide(sideA.layers.For(by), request)
			after = policy.Decide(sideB.layers.For(by), request)
		}
		o := probe{arbitrary.Operation(choose), arbitrary.Digest(choose)}
		was, is := ruling(before, o), ruling(after, o)
		require.False(t, is.Verdict != policy.Deny &&
			(was.Verdict == policy.Deny || was.Image != is.Image && newlyRead(before, o, was, is)),
			"seed %d\n%s---\n%s%s\n%+v\n%+v", seed, textA, textB, o.Describe(), was, is)
	}
	return report, true
}

// buildPolicy makes a policy that lets a run, under rules of its rule, and in every third policy
// those of the whole policy too.
func buildPolicy(choose arbitrary.Source) string {
	whole, own := "", choose.BuildText()
	if choose(3) == 0 {
		if rules := choose.BuildText(); rules != "" {
			whole = "build: {" + rules + "}\n"
		}
	}
	if own != "" {
		own = ", build: {" + own + "}"
	}
	return whole + head + "- {name: a, match: [a], dispatch: mediate" + own + "}\n"
}

// What Compare shows as widened is: the request that it shows is allowed by the second
// policy and refused by the first, or allowed by both.
func TestWhatIsShownAsAllowedIs(t *testing.T) {
	t.Parallel()
	shown := 0
	for seed := range arbitrary.Seeds(16) {
		choose := arbitrary.Source(rand.New(rand.NewPCG(seed, 3)).IntN)
		textA, a := arbitrary.Policy(choose)
		textB, b := arbitrary.Variant(choose, textA)
		for _, d := range Compare(a, b, arbitrary.Day(1)).Differences {
			if d.Change != Allowed || d.Request.Reference == "" {
				continue
			}
			shown++
			ref, err := imageref.Parse(d.Request.Reference)
			require.NoError(t, err)
			r := policy.Request{
				Requested: d.Request.Reference, Reference: ref, Options: d.Request.Options,
				Inputs: d.Request.Inputs, Time: d.Request.Time,
			}
			points := digest.Digest(d.Request.Digest)
			if points == "" {
				points = ref.Digest()
			}
			shows := func(by clients.Client) bool {
				return !ask(newSide(a).as(by), r, points).Verdict.Permits() &&
					ask(newSide(b).as(by), r, points).Verdict.Permits()
			}
			samples, _ := Clients(a, b)
			require.True(t, slices.ContainsFunc(samples, func(by clients.Client) bool {
				return (d.Request.Client == "" || clientText(by) == d.Request.Client) && shows(by)
			}), "seed %d\n%s\n---\n%s\n%+v", seed, textA, textB, d)
			require.False(t, d.Request.Client == "" && slices.ContainsFunc(samples,
				func(by clients.Client) bool { return !shows(by) }),
				"seed %d\n%s\n---\n%s\n%+v", seed, textA, textB, d)
		}
	}
	require.Greater(t, shown, 2, "else the property says nothing")
}
