package policy_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/policy-frontend/policy-frontend/internal/kindtest"
	"github.com/policy-frontend/policy-frontend/policy"
	"github.com/policy-frontend/policy-frontend/policy/buildrules"
	"github.com/policy-frontend/policy-frontend/policy/imageref"
)

// decide returns the decision on docker/dockerfile by the two documents; the overlay may be "".
func decide(t *testing.T, doc, overlay string) policy.Decision {
	t.Helper()
	p, err := policy.Parse("policy.yaml", []byte(doc))
	require.NoError(t, err)
	var o *policy.Policy
	if overlay != "" {
		o, err = policy.ParseOverlay("overlay.yaml", []byte(overlay))
		require.NoError(t, err)
	}
	layers, err := policy.Stack(p, o)
	require.NoError(t, err)
	ref, err := imageref.Parse("docker/dockerfile:1")
	require.NoError(t, err)
	return policy.Decide(layers, policy.Request{Requested: "docker/dockerfile:1", Reference: ref})
}

func TestEveryKindIsDenied(t *testing.T) {
	t.Parallel()
	kindtest.Run(t, func(t *testing.T, c kindtest.Case) {
		const anything = "version: 1\ndefault: allow\ndispatch: mediate\nbuild: {containers: allow}\n"
		whole := "version: 1\ndefault: allow\ndispatch: mediate\nbuild: " + c.Build() + "\n"
		open := anything
		if c.Kind == buildrules.KindDownloads { // an overlay needs some in the policy
			open = "version: 1\ndefault: allow\ndispatch: mediate\n" +
				"build: {exec: {downloads: {allow: [\"**\"]}}}\n"
		}
		for name, d := range map[string]policy.Decision{
			"by a rule":             decide(t, c.Policy(), ""),
			"by the whole policy":   decide(t, whole, ""),
			"by an overlay":         decide(t, open, whole),
			"by the outer frontend": decide(t, anything, "").Within(decide(t, c.Policy(), "")),
		} {
			require.True(t, d.Restricts(c.Kind), name)
			require.True(t, d.Enforces(c.Kind), name)
			r := d.Check(c.Operation)
			require.Equal(t, policy.Deny, r.Verdict, name)
			require.Contains(t, r.Reason, "(build."+string(c.Kind), name)
		}
		free := decide(t, anything, "")
		require.False(t, free.Restricts(c.Kind))
		require.Equal(t, policy.Allow, free.Check(c.Operation).Verdict)

		build := decide(t, c.Policy(), "").Obligations.Build
		require.Equal(t, []buildrules.Kind{c.Kind}, build[0].Build.Kinds())
	})
}

func TestEveryKindStaysDenied(t *testing.T) {
	t.Parallel()
	kindtest.Run(t, func(t *testing.T, c kindtest.Case) {
		for _, denial := range []string{"deny", c.Rules} {
			above := c
			above.Rules = denial
			whole := "version: 1\ndispatch: mediate\nbuild: " + above.Build() + "\n"
			if _, err := policy.Parse("p", []byte(whole)); err != nil {
				require.Equal(t, buildrules.KindConfig, c.Kind, "no image has no configuration")
				continue
			}
			d := decide(t, whole+"frontends:\n- {match: [docker/dockerfile], build: "+c.Build()+
				"}\n", "")
			require.Equal(t, policy.Deny, d.Check(c.Operation).Verdict, denial)
		}
	})
}

func TestEveryKindOfSourceIsClosedByOthers(t *testing.T) {
	t.Parallel()
	kindtest.Run(t, func(t *testing.T, c kindtest.Case) {
		d := decide(t, "version: 1\ndefault: allow\ndispatch: mediate\n"+
			"build: {others: deny, containers: allow}\n", "")
		require.Equal(t, c.Kind.IsSource(), d.Restricts(c.Kind))
		if c.Kind.IsSource() && c.Kind != buildrules.KindLocal { // context is a build's own
			require.Contains(t, d.Check(c.Operation).Reason, "(build.others)")
		}
	})
}

func TestEveryKindIsValidated(t *testing.T) {
	t.Parallel()
	kindtest.Run(t, func(t *testing.T, c kindtest.Case) {
		c.Rules = "{}"
		_, err := policy.Parse("p", []byte(c.Policy()))
		if c.Empty {
			require.ErrorContains(t, err, string(c.Kind)+" is empty")
		} else {
			require.Error(t, err)
		}
	})
}

func TestAnUnknownKindIsRestricted(t *testing.T) {
	t.Parallel()
	const anything = "version: 1\ndefault: allow\ndispatch: mediate\nbuild: {containers: allow}\n"
	d := decide(t, anything, "")
	require.True(t, d.Restricts("other"))
	require.True(t, d.Enforces("other"))
	require.Equal(t, policy.Deny, d.Check(buildrules.Operation{Unknown: "another"}).Verdict)
	require.Equal(t, policy.Deny, d.Check(buildrules.Operation{}).Verdict)
}
