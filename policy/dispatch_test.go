package policy

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/policy-frontend/policy-frontend/internal/dockerfileversions"
)

func TestBuiltinRefusesWhatItCantServe(t *testing.T) {
	t.Parallel()
	const (
		instead  = "the policy runs the built-in Dockerfile frontend instead (dispatch: builtin), "
		names    = instead + "which serves only docker/dockerfile and mirrors of that name"
		digests  = instead + "which has no digest; ask for a tag alone"
		versions = instead + "which serves the versions 1.0 to " + dockerfileversions.Newest +
			"; ask for one of these"
	)
	const doc = `version: 1
dispatch: builtin
aliases:
- {from: pinned.example/docker/dockerfile, to: docker/dockerfile, pins: {"1": "` + digestA + `"}}
- {from: alias.example/x, to: docker/dockerfile}
frontends:
- {name: df, match: [docker/dockerfile, r.example/spec, "m.example/**"], contact: "#builds"}
`
	for _, tt := range []struct{ name, ref, want string }{
		{"docker/dockerfile without a tag", "docker/dockerfile", ""},
		{"a version that it has", "docker/dockerfile:1.7", ""},
		{"labs", "docker/dockerfile:1-labs", ""},
		{"what labs was called before", "docker/dockerfile:1.0-experimental", ""},
		{"that of no version", "docker/dockerfile:experimental", versions},
		{"a release after the newest", "docker/dockerfile:" + dockerfileversions.Newest + ".1", versions},
		{"a mirror", "m.example/hub/docker/dockerfile:1", ""},
		{"an alias that leads to docker/dockerfile", "alias.example/x:1.7", ""},
		{"another name", "r.example/spec:1", names},
		{"a name that only ends alike", "m.example/evildocker/dockerfile:1", names},
		{"the next major version", "docker/dockerfile:2", versions},
		{"a version to come", "docker/dockerfile:1.99", versions},
		{"a tag that is no version", "docker/dockerfile:master", versions},
		{"a digest", "docker/dockerfile@" + digestA, digests},
		{"a tag with a digest", "docker/dockerfile:1@" + digestA, digests},
		{"a tag that an alias pins", "pinned.example/docker/dockerfile:1", digests},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			l := mustStack(t, doc, "")
			d := Decide(l, request(t, tt.ref))
			require.Equal(t, d, Explain(l, request(t, tt.ref)).Decision)
			if tt.want == "" {
				require.Equal(t, Allow, d.Verdict, d.Reason)
				return
			}
			require.Equal(t, Deny, d.Verdict)
			require.Equal(t, tt.want, d.Reason)
			require.Equal(t, "df", d.Rule)
			require.Equal(t, "#builds", d.Contact)
			require.NotContains(t, d.Allowed, "r.example/spec", "it suggests nothing that it refuses")
			require.Contains(t, d.Allowed, "docker/dockerfile")
		})
	}
}

func TestNoLayerChangesWhatBuiltinRefuses(t *testing.T) {
	t.Parallel()
	const a, b = "{version: 1, frontends: [{match: [a], dispatch: builtin}]}",
		"{version: 1, dispatch: mediate, default: allow}"
	for name, l := range map[string]Layers{
		"alone": mustStack(t, a, ""), "below an overlay that mediates": mustStack(t, a, b),
		"as an overlay":               mustStack(t, b, a),
		"in a policy that only warns": mustStack(t, "{version: 1, mode: warn, dispatch: builtin}", ""),
	} {
		require.Equal(t, Deny, Decide(l, request(t, "a")).Verdict, name)
	}
	l := mustStack(t, `{version: 1, frontends: [{match: [docker/dockerfile], dispatch: builtin, digests: ["`+
		digestA+`"]}]}`, "")
	r := request(t, "docker/dockerfile:1")
	require.Equal(t, Undecidable, Decide(l, r).Verdict)
	r.Digest = digestA
	require.Equal(t, Deny, Decide(l, r).Verdict, "no image runs that could have the digest")
}
