package policy

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func TestPlatforms(t *testing.T) {
	t.Parallel()
	const (
		doc = `version: 1
frontends:
- {name: a, match: [a], platforms: ["linux/amd64", "linux/aarch64", "linux/arm"]}
- {name: warns, match: [b], platforms: ["linux/amd64"], mode: warn}
- {name: forces, match: [c], platforms: ["linux/amd64"], options: {force: {platform: linux/amd64}}}
- {name: strips, match: [d], platforms: ["linux/amd64"], options: {strip: [platform]}}
`
		only  = `rule "a" allows only builds for linux/amd64, linux/aarch64 or linux/arm, and not for `
		nopls = "and the build names no platform, so it is for that of the builder, which isn't known here: build with --platform (platforms)"
	)
	l := mustStack(t, doc, "")
	for _, tt := range []struct {
		name, ref, platform string
		verdict             Verdict
		reason              string
	}{
		{"one of the platforms", "a", "linux/amd64", Allow, ""},
		{"several", "a", "linux/amd64,linux/arm64", Allow, ""},
		{"another spelling", "a", "linux/x86_64", Allow, ""},
		{"a variant that another has by default", "a", "linux/arm/v7", Allow, ""},
		{"another variant", "a", "linux/arm/v6", Deny, only + `"linux/arm/v6" (platforms)`},
		{"another platform", "a", "linux/s390x", Deny, only + `"linux/s390x" (platforms)`},
		{
			"another platform among several", "a", "linux/amd64,linux/s390x", Deny,
			only + `"linux/s390x" (platforms)`,
		},
		{"another system", "a", "windows/amd64", Deny, only + `"windows/amd64" (platforms)`},
		{"no system", "a", "amd64", Deny, only + `"amd64" (platforms)`},
		{"no platform among several", "a", "linux/amd64,", Deny, only + `"" (platforms)`},
		{"what is none", "a", "linux/!", Deny, only + `"linux/!" (platforms)`},
		{"no option", "a", "", Deny, nopls},
		{"a rule that warns", "b", "linux/s390x", Warn, ""},
		{"a platform that the rule sets", "c", "", Allow, ""},
		{
			"another than the rule sets", "c", "linux/arm64", Deny,
			`sets the option "platform" to "linux/amd64"`,
		},
		{"a platform that the rule removes", "d", "linux/amd64", Deny, nopls},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			r := request(t, tt.ref)
			if tt.platform != "" {
				r = withOptions(r, map[string]string{"platform": tt.platform})
			}
			d := Decide(l, r)
			require.Equal(t, tt.verdict, d.Verdict, d.Reason)
			if tt.reason != "" {
				require.Contains(t, d.Reason, tt.reason)
			}
		})
	}
}

func TestNoOtherLayerRemovesThePlatform(t *testing.T) {
	t.Parallel()
	const (
		some   = "version: 1\nfrontends:\n- {match: [a], platforms: [linux/amd64]}\n"
		strips = "version: 1\nfrontends:\n- {match: [a], options: {strip: [\"plat*\"]}}\n"
		forces = "version: 1\nfrontends:\n- {match: [a], options: {force: {platform: linux/s390x}}}\n"
	)
	for _, tt := range []struct{ policy, overlay, want string }{
		{some, strips, "the overlay removes the option platform, and the policy allows only some platforms"},
		{strips, some, "the policy removes the option platform, and the overlay allows only some platforms"},
		{some, forces, `sets the option "platform" to "linux/s390x"`},
	} {
		r := withOptions(request(t, "a"), map[string]string{"platform": "linux/amd64"})
		d := Decide(mustStack(t, tt.policy, tt.overlay), r)
		require.Equal(t, Deny, d.Verdict)
		require.Contains(t, d.Reason, tt.want)
	}
}

func TestMistakesInPlatforms(t *testing.T) {
	t.Parallel()
	for platforms, want := range map[string]string{
		"[amd64]":                     `"amd64" isn't a platform; write its system and its architecture, as in linux/amd64`,
		"[linux/a/b/c]":               `"linux/a/b/c" isn't a platform`,
		"[]":                          "platforms is empty",
		"[linux/amd64, linux/x86_64]": `"linux/x86_64" is in the list already`,
		"[linux/amd64], action: deny": "platforms has no meaning on a deny rule",
	} {
		_, err := Parse("p", []byte("version: 1\nfrontends:\n- {match: [a], platforms: "+platforms+"}\n"))
		require.ErrorContains(t, err, want, platforms)
	}
}
