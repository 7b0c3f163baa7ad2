package policy

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

const mirrored = `version: 1
id: corp
aliases:
- {from: docker/dockerfile, to: mirror.example/df, pins: {"1.7": "` + digestA + `"}}
- {from: docker/same, to: docker/same, pins: {"1": "` + digestA + `"}}
- {from: docker.io/**, to: mirror.example/hub/**}
- {from: mirror.example/**, to: never.example/**}
- {from: quay.example/**, to: docker.io/**}
- {from: self.example/in, to: self.example/policy-frontend}
- {from: long.example/**, to: ` + "b.example/" + "a/a/a/a/a/a/a/a/a/a" + `/**}
frontends:
- {name: df, match: [mirror.example/df], tags: ["1.*"]}
- {name: pinned, match: [docker/same], tags: ["1"], digests: ["` + digestA +
	`"], requireDigest: true}
- {name: hub, match: ["mirror.example/hub/**", docker/x, alpine, mirror.example/y]}
- {name: rest, match: ["b.example/**", "self.example/**"]}
`

func TestPinsOfAliasesHoldForEachNameOfTheImage(t *testing.T) {
	t.Parallel()
	l := mustStack(t, `version: 1
aliases:
- {from: docker/dockerfile, to: m.example/df, pins: {"1": "`+digestA+`"}}
- {from: a.example/x, to: m.example/x, pins: {"1": "`+digestA+`", "2": "`+digestA+`"}}
- {from: b.example/x, to: m.example/x, pins: {"1": "`+digestB+`"}}
- {from: c.example/x, to: c.example/x, pins: {"1": "`+digestA+`"}}
- {from: "c.example:80/x", to: "c.example:80/x", pins: {"1": "`+digestB+`"}}
- {from: d.example/**, to: m.example/**}
frontends:
- {name: all, match: ["**"]}
`, "")
	for _, tt := range []struct{ name, ref, source, err string }{
		{"the new name gets the pin", "m.example/df:1", "m.example/df:1@" + digestA, ""},
		{
			"the new name has no other digest", "m.example/df:1@" + digestB, "",
			"the alias from docker/dockerfile pins the tag 1 to " + digestA,
		},
		{"the new name on another port", "m.example:80/df:1", "m.example:80/df:1@" + digestA, ""},
		{
			"the old name on another host", "registry-1.docker.io/docker/dockerfile:1",
			"registry-1.docker.io/docker/dockerfile:1@" + digestA, "",
		},
		{"another alias to the new name", "d.example/df:1", "m.example/df:1@" + digestA, ""},
		{"a tag without a pin", "m.example/df:2", "m.example/df:2", ""},
		{"an alias's own pin comes first", "b.example/x:1", "m.example/x:1@" + digestB, ""},
		{
			"pins that differ", "m.example/x:1", "",
			"the aliases from a.example/x and b.example/x pin the tag 1 of m.example/x to different digests",
		},
		{"one of two pins", "m.example/x:2", "m.example/x:2@" + digestA, ""},
		{"the pin of a port comes first", "c.example:80/x:1", "c.example:80/x:1@" + digestB, ""},
		{
			"pins of ports that differ", "c.example:81/x:1", "",
			"pin the tag 1 of c.example:81/x to different digests",
		},
		{"only a digest", "m.example/df@" + digestB, "m.example/df@" + digestB, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			d := Decide(l, request(t, tt.ref))
			if tt.err != "" {
				require.Equal(t, Deny, d.Verdict)
				require.Contains(t, d.Reason, tt.err)
				return
			}
			require.Equal(t, Allow, d.Verdict, d.Reason)
			require.Equal(t, tt.source, d.Reference.String())
		})
	}
}

func TestAliases(t *testing.T) {
	t.Parallel()
	l := mustStack(t, mirrored, "")
	tests := []struct {
		name, ref string
		verdict   Verdict
		source    string
		rule      string
	}{
		{
			"a repository becomes another, with its tag", "docker/dockerfile:1.4", Allow,
			"mirror.example/df:1.4", "df",
		},
		{
			"another spelling of it does too", "INDEX.docker.io:443/docker/dockerfile:1.4", Allow,
			"mirror.example/df:1.4", "df",
		},
		{
			"a digest is kept", "docker/dockerfile:1.4@" + digestB, Allow,
			"mirror.example/df:1.4@" + digestB, "df",
		},
		{
			"a pinned tag gets its digest", "docker/dockerfile:1.7", Allow,
			"mirror.example/df:1.7@" + digestA, "df",
		},
		{
			"a pinned tag beside its digest", "docker/dockerfile:1.7@" + digestA, Allow,
			"mirror.example/df:1.7@" + digestA, "df",
		},
		{
			"a pinned tag has no other digest", "docker/dockerfile:1.7@" + digestB, Deny,
			"docker/dockerfile:1.7@" + digestB, InvariantRule,
		},
		{
			"a digest alone has no pin", "docker/dockerfile@" + digestB, Deny,
			"mirror.example/df@" + digestB, "default",
		},
		{
			"a pin fills in the digest that a rule requires", "docker/same:1", Allow,
			"docker.io/docker/same:1@" + digestA, "pinned",
		},
		{
			"an alias to the same name keeps wider ones off", "docker/same:2", Deny,
			"docker.io/docker/same:2", "default",
		},
		{
			"a folder carries the rest over, once", "docker/deep/x:1", Allow,
			"mirror.example/hub/docker/deep/x:1", "hub",
		},
		{
			"the library folder is part of the rest", "alpine:3", Allow,
			"mirror.example/hub/library/alpine:3", "hub",
		},
		{
			"what comes out is no other alias's business", "mirror.example/y", Deny,
			"never.example/y:latest", "default",
		},
		{
			"what comes out is in its one form", "quay.example/alpine", Allow,
			"docker.io/library/alpine:latest", "hub",
		},
		{
			"the name of the folder itself is not in it", "quay.example/x", Deny,
			"docker.io/library/x:latest", "default",
		},
		{"no alias", "other.example/x", Deny, "other.example/x:latest", "default"},
		{
			"a name that gets too long", "long.example/" + strings.Repeat("a", 250), Deny,
			"long.example/" + strings.Repeat("a", 250), InvariantRule,
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			d := Decide(l, request(t, tt.ref))
			require.Equal(t, tt.verdict, d.Verdict, d.Reason)
			require.Equal(t, tt.source, d.Image)
			require.Equal(t, tt.rule, d.Rule)
			require.Equal(t, tt.ref, d.Requested)
			if tt.rule != InvariantRule {
				require.Equal(t, tt.source, d.Reference.String())
			}
			require.Equal(t, tt.ref == "docker/dockerfile:1.4@"+digestB, d.TagUnverified,
				"a pinned tag needs no look-up")
		})
	}
	d := Decide(l, request(t, "docker/dockerfile:1.7@"+digestB))
	require.Equal(t,
		"the alias from docker/dockerfile pins the tag 1.7 to "+digestA+", not to "+digestB+
			": write that digest or none", d.Reason)
	d = Decide(l, request(t, "docker/dockerfile:1.7", digestB))
	require.Equal(t, Deny, d.Verdict, "a pinned tag can't resolve to something else")
	d = Decide(l, request(t, "docker/dockerfile:1.7", "", digestB))
	require.Equal(t, Allow, d.Verdict, "whatever a registry says of a pinned tag")
}

func TestAliasesLeadNobodyToThePolicyFrontendItself(t *testing.T) {
	t.Parallel()
	l := mustStack(t, mirrored,
		"{version: 1, default: allow, aliases: [{from: x, to: self.example/policy-frontend}]}")
	for _, ref := range []string{"self.example/policy-frontend", "self.example/in", "x"} {
		r := request(t, ref)
		r.Self = mustRef(t, "self.example/policy-frontend:2")
		d := Decide(l, r)
		require.Equal(t, Deny, d.Verdict, ref)
		require.Equal(t, InvariantRule, d.Rule)
		require.Contains(t, d.Reason, "it asks the policy frontend to run itself")
	}
}

func TestAliasesOfAnOverlay(t *testing.T) {
	t.Parallel()
	const overlay = `version: 1
id: team
aliases:
- {from: ours, to: docker/dockerfile, pins: {"1.4": "` + digestB + `", "1.7": "` + digestB + `"}}
frontends:
- {name: ours, match: [docker/dockerfile, docker/same], tags: ["1*"]}
`
	l := mustStack(t, mirrored, overlay)
	d := Decide(l, request(t, "ours:1.5"))
	require.Equal(t, Allow, d.Verdict,
		"the overlay judges docker/dockerfile, the policy mirror.example/df: %s", d.Reason)
	require.Equal(t, "mirror.example/df:1.5", d.Image)

	d = Decide(l, request(t, "ours:1.4"))
	require.Equal(t, "mirror.example/df:1.4@"+digestB, d.Image)
	require.True(t, d.TagUnverified,
		"an overlay's pin is a client's word: the policy's rule on tags has the tag looked up")
	require.Equal(t, Deny, Decide(l, request(t, "ours:1.4", "", digestA)).Verdict)

	d = Decide(l, request(t, "ours:1.7"))
	require.Equal(t, Deny, d.Verdict, "the policy's own pin says what the tag points to")
	require.Equal(t, LayerPolicy, d.Layer)

	d = Decide(l, request(t, "docker/same:1"))
	require.Equal(t, Allow, d.Verdict, d.Reason)
	require.Equal(t, Obligations{Digests: []string{digestA}, RequireDigest: true}, d.Obligations)
	require.False(t, d.TagUnverified)

	d = Decide(l, request(t, "docker/dockerfle"))
	require.Equal(t,
		"the overlay decided: no rule allows docker/dockerfle:latest; did you mean docker/dockerfile?",
		d.Reason)
	d = Decide(l, request(t, "alpine"))
	require.Equal(t, LayerOverlay, d.Layer)
	require.Equal(t, []string{"ours:1*", "docker/same:1*", "docker/dockerfile:1*"}, d.Allowed,
		"what the policy's aliases make of them is allowed")
}

func TestAllowedNamesWhatAnAliasLeadsTo(t *testing.T) {
	t.Parallel()
	l := mustStack(t, `version: 1
aliases: [{from: docker/dockerfile, to: mirror.example/df}]
frontends: [{match: [mirror.example/df], versions: ">=1.4", requireDigest: true}]
`, "")
	d := Decide(l, request(t, "docker/dockerfle:1.7"))
	require.Equal(t, "no rule allows docker/dockerfle:1.7; did you mean docker/dockerfile?", d.Reason)
	require.Equal(t,
		[]string{
			"docker/dockerfile@sha256:… (versions >=1.4)",
			"mirror.example/df@sha256:… (versions >=1.4)",
		}, d.Allowed)
}

func TestDidYouMean(t *testing.T) {
	t.Parallel()
	l := mustStack(t, `version: 1
limits: {match: ["docker.io/**"]}
frontends:
- {match: [docker/dockerfile, b, "docker/wild*"]}
- {match: [docker/old], expires: 2026-01-01}
- {match: [quay.example/tool]}
`, "")
	for ref, meant := range map[string]string{
		"docker/dockerfle":      "docker/dockerfile",
		"dcoker/dockerfile":     "docker/dockerfile",
		"docker/dockerfileee":   "docker/dockerfile",
		"docker/dckrfil":        "",
		"docker/olt":            "",
		"docker/wil":            "",
		"a":                     "",
		"docker.io/docker/xxxx": "",
	} {
		r := request(t, ref+":1")
		r.Time = at("2026-02-01T00:00:00Z")
		want := "no rule allows " + r.Reference.Familiar()
		if meant != "" {
			want += "; did you mean " + meant + "?"
		}
		require.Equal(t, want, Decide(l, r).Reason)
	}
	d := Decide(l, request(t, "quay.example/too"))
	require.Equal(t, LimitsRule, d.Rule)
	require.NotContains(t, d.Allowed, "quay.example/tool", "the limits refuse it too")
	require.NotContains(t, d.Allowed, "docker/old", "it has expired")
}
