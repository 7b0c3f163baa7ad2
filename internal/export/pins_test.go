package export

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/policy-frontend/policy-frontend/policy"
)

// pinnedDoc pins tags of several names; the last two aliases differ.
func pinnedDoc() string {
	return fmt.Sprintf(`version: 1
aliases:
- {from: docker/dockerfile, to: m.example/df, pins: {"1": %[1]q}}
- {from: same.example/x, to: same.example/x, pins: {"1": %[1]q}}
- {from: a.example/x, to: m.example/x, pins: {"1": %[1]q}}
- {from: b.example/x, to: m.example/x, pins: {"1": %[2]q}}
frontends:
- {match: ["m.example:80/**", "m.example/**", "same.example/**"]}
`, fuzzDigest(1), fuzzDigest(2))
}

func TestASourcePolicyKeepsPins(t *testing.T) {
	t.Parallel()
	p, err := policy.Parse("p", []byte(pinnedDoc()))
	require.NoError(t, err)
	out, err := Export(p, SourcePolicy, Options{Time: at(), Strict: true})
	require.NoError(t, err)
	require.NotContains(t, string(out.Data), "EXACT", "older BuildKits convert by it to the same name")
	for _, tt := range []struct{ name, ref, runs string }{
		{"the old name gets the pin", "docker/dockerfile:1", "m.example/df:1@" + fuzzDigest(1)},
		{"the old name has no other digest", "docker/dockerfile:1@" + fuzzDigest(2), ""},
		{"the new name gets the pin", "m.example/df:1", "m.example/df:1@" + fuzzDigest(1)},
		{"the new name has no other digest", "m.example/df:1@" + fuzzDigest(2), ""},
		{
			"the new name with its digest", "m.example/df:1@" + fuzzDigest(1),
			"m.example/df:1@" + fuzzDigest(1),
		},
		{"another port has no other digest", "m.example:80/df:1@" + fuzzDigest(2), ""},
		{"another port without a digest", "m.example:80/df:1", ""},
		{
			"another port with the digest", "m.example:80/df:1@" + fuzzDigest(1),
			"m.example:80/df:1@" + fuzzDigest(1),
		},
		{"the same name has no other digest", "same.example/x:1@" + fuzzDigest(2), ""},
		{"the same name gets the pin", "same.example/x:1", "same.example/x:1@" + fuzzDigest(1)},
		{"pins that differ", "m.example/x:1@" + fuzzDigest(1), ""},
		{"a tag without a pin", "m.example/df:2@" + fuzzDigest(2), "m.example/df:2@" + fuzzDigest(2)},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			runs, err := bySourcePolicy(out.Data, tt.ref)
			if tt.runs == "" {
				require.Error(t, err, "%v runs", runs)
				return
			}
			require.NoError(t, err)
			require.Equal(t, tt.runs, runs.String())
		})
	}
}

func TestARegoPolicyKeepsPins(t *testing.T) {
	t.Parallel()
	p, err := policy.Parse("p", []byte(pinnedDoc()))
	require.NoError(t, err)
	out, err := Export(p, Rego, Options{Time: at(), Strict: true})
	require.NoError(t, err)
	text := string(out.Data)
	require.Contains(t, text, "\"m.example/df\": {\n\t\t\"1\": \""+fuzzDigest(1)+`"`)
	require.Contains(t, text, "\"m.example/x\": {\n\t\t\"1\": \""+noDigest+`"`, "pins that differ")
	require.Contains(t, text, `"names": "^(?:m\\.example(?::[0-9]+)?/df)$"`)
	require.Contains(t, text, "[input.image.ref]) if {\n\ttag_points_elsewhere\n}")
}

func TestABuildkitdListLeavesOutNamesWithPins(t *testing.T) {
	t.Parallel()
	p, err := policy.Parse("p", []byte(fmt.Sprintf(`version: 1
aliases:
- {from: docker/dockerfile, to: m.example/df, pins: {"1": %q}}
frontends:
- {match: [m.example/df, m.example/y]}
`, fuzzDigest(1))))
	require.NoError(t, err)
	out, err := Export(p, Buildkitd, Options{Time: at(), Strict: true})
	require.NoError(t, err)
	require.Equal(t, []string{"m.example/y"}, listedNames(t, out.Data))
}
