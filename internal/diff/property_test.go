package diff

import (
	"math/rand/v2"
	"testing"

	"github.com/opencontainers/go-digest"
	"github.com/stretchr/testify/require"

	"github.com/policy-frontend/policy-frontend/internal/arbitrary"
	"github.com/policy-frontend/policy-frontend/policy"
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
	for range requests {
		request, points := arbitrary.Request(choose)
		before, after := ask(sideA, request, points), ask(sideB, request, points)
		if !after.Verdict.Permits() {
			continue
		}
		require.True(t, before.Verdict.Permits() &&
			before.Reference.Name() == after.Reference.Name(),
			"seed %d\n%s\n---\n%s\n%+v\n%+v\n%+v", seed, textA, textB, request, before, after)
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
			before = policy.Decide(sideA.layers, request)
			after = policy.Decide(sideB.layers, request)
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
			require.False(t, ask(newSide(a), r, points).Verdict.Permits(), "seed %d\n%s\n---\n%s\n%+v", seed,
				textA, textB, d)
			require.True(t, ask(newSide(b), r, points).Verdict.Permits(), "seed %d\n%s\n---\n%s\n%+v", seed,
				textA, textB, d)
		}
	}
	require.Greater(t, shown, 2, "else the property says nothing")
}
