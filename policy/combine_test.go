package policy

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/policy-frontend/policy-frontend/policy/buildrules"
)

// combined returns the decision on the frontend a, by a rule with a build under that of the
// policy.
func combined(t *testing.T, whole, rule string) Decision {
	t.Helper()
	return decided(t, "version: 1\ndispatch: mediate\nbuild: "+whole+
		"\nfrontends:\n- {name: a, match: [a], build: "+rule+"}\n", "")
}

func TestARuleAddsToWhatThePolicyRefuses(t *testing.T) {
	t.Parallel()
	download := func(url string) buildrules.Operation {
		return buildrules.Operation{HTTP: &buildrules.HTTP{URL: url}}
	}
	command := func(e buildrules.Exec) buildrules.Operation { return buildrules.Operation{Exec: &e} }
	result := func(c buildrules.Config) buildrules.Operation {
		return buildrules.Operation{Config: &c}
	}
	for _, tt := range []struct {
		name, whole, rule string
		operation         buildrules.Operation
		want              string
	}{
		{
			"denied images stay denied", `{images: {deny: ["**/evil", ubuntu]}}`,
			`{images: {allow: ["docker.io/**"]}}`, image("x/evil"),
			"the policy refuses the image x/evil:latest (build.images.deny: **/evil)",
		},
		{
			"a rule's own denials are the rule's", `{images: {deny: ["**/evil"]}}`,
			`{images: {deny: ["**/bad"]}}`, image("x/bad"),
			`rule "a" refuses the image x/bad:latest (build.images.deny: **/bad)`,
		},
		{
			"a rule's allow replaces the policy's", `{images: {allow: ["x/**"]}}`,
			`{images: {allow: ["y/**"]}}`, image("y/a"), "",
		},
		{
			"what only the policy allows is no longer allowed", `{images: {allow: ["x/**"]}}`,
			`{images: {allow: ["y/**"]}}`, image("x/a"),
			`rule "a" refuses the image x/a:latest: it allows only y/** (build.images.allow)`,
		},
		{
			"the policy's allow stays where a rule has none", `{images: {allow: ["x/**"]}}`,
			`{images: {deny: [x/b]}}`, image("y/a"),
			"the policy refuses the image y/a:latest: it allows only x/** (build.images.allow)",
		},
		{
			"the policy's conversions stay, and its allow is for their result",
			`{images: {convert: [{from: "docker.io/**", to: "m.example/**"}]}}`,
			`{images: {deny: [m.example/x/bad]}}`, image("x/bad"),
			`rule "a" refuses the image m.example/x/bad:latest (asked for as x/bad:latest) (build.images.deny: m.example/x/bad)`,
		},
		{
			"required digests stay required", `{images: {requireDigest: true}}`,
			`{images: {allow: ["x/**"]}}`, image("x/a"),
			"the policy refuses the image x/a:latest without a digest: write x/a:latest@sha256:…, or pin the tag in the policy: images.pins (build.images.requireDigest)",
		},
		{
			"pins add up", `{images: {pins: {"x/a:1": "` + digestA + `"}}}`,
			`{images: {pins: {"x/b:1": "` + digestB + `"}}}`, image("x/a:1@" + digestB),
			"the policy refuses the image x/a:1@" + digestB + ": it pins x/a:1 to " + digestA +
				" (build.images.pins)",
		},
		{
			"required checksums stay required", `{http: {requireChecksum: true}}`,
			`{http: {allow: ["https://x.example/**"]}}`, download("https://x.example/a"),
			"the policy refuses the download https://x.example/a without a checksum: give its sha256:… (build.http.requireChecksum)",
		},
		{
			"required commits stay required", `{git: {requireCommit: true}}`,
			`{git: {allow: ["https://x.example/**"]}}`,
			buildrules.Operation{Git: &buildrules.Git{URL: "https://x.example/a"}},
			"the policy refuses the git repository https://x.example/a without a commit: ask for one by all of its digits (build.git.requireCommit)",
		},
		{
			"denied repositories stay denied", `{git: {deny: ["https://x.example/a"]}}`,
			`{git: {allow: ["https://x.example/**"]}}`,
			buildrules.Operation{Git: &buildrules.Git{URL: "https://x.example/a"}},
			"the policy refuses the git repository https://x.example/a (build.git.deny: https://x.example/a)",
		},
		{
			"denied blobs stay denied", `{blob: {deny: [x/a]}}`, `{blob: {allow: ["x/**"]}}`,
			buildrules.Operation{Blob: "x/a@" + digestA},
			"the policy refuses the blob x/a@" + digestA + " (build.blob.deny: x/a)",
		},
		{
			"a denied kind stays denied", `{http: deny}`, `{http: {allow: ["https://x.example/**"]}}`,
			download("https://x.example/a"),
			"the policy refuses the download https://x.example/a: http is denied (build.http)",
		},
		{
			"an empty allow gives way to that of a rule", `{http: {allow: []}}`,
			`{http: {allow: ["https://x.example/**"]}}`, download("https://x.example/a"), "",
		},
		{
			"an empty allow stays where a rule has none", `{http: {allow: []}}`,
			`{http: {requireChecksum: true}}`, download("https://x.example/a"),
			"the policy refuses the download https://x.example/a: it allows none (build.http.allow) (and 1 more)",
		},
		{
			"denied directories stay denied, in any letter case", `{local: {deny: [home]}}`,
			`{local: {allow: ["*"]}}`,
			buildrules.Operation{Local: "Home"},
			`the policy refuses the client's directory "Home" (build.local.deny: home)`,
		},
		{
			"denied layouts stay denied", `{ociLayout: deny}`, `{ociLayout: {allow: ["**"]}}`,
			buildrules.Operation{OCILayout: "a@" + digestA},
			"the policy refuses the image in an OCI layout a@" + digestA +
				": ociLayout is denied (build.ociLayout)",
		},
		{
			"a rule's secrets give no network back", `{exec: {networks: [none]}}`,
			`{exec: {secrets: [npm]}}`, command(buildrules.Exec{}),
			"the policy refuses a command with the network default: it allows only none (build.exec.networks)",
		},
		{
			"a rule's networks replace the policy's", `{exec: {networks: [none]}}`,
			`{exec: {networks: [default]}}`, command(buildrules.Exec{}), "",
		},
		{
			"what commands can use by a rule replaces what they can use by the policy",
			`{exec: {secrets: [npm]}}`, `{exec: {ssh: true}}`,
			command(buildrules.Exec{Secrets: []string{"npm"}}),
			`rule "a" refuses a command with the secret "npm": it allows none (build.exec.secrets)`,
		},
		{
			"a rule that only denies keeps what commands can use by the policy",
			`{exec: {secrets: ["*"]}}`, `{exec: {deny: {secrets: [npm]}}}`,
			command(buildrules.Exec{Secrets: []string{"npm"}}),
			`rule "a" refuses a command with the secret "npm" (build.exec.deny.secrets: npm)`,
		},
		{
			"a rule that only denies opens nothing", `{exec: {secrets: [npm]}}`,
			`{exec: {deny: {networks: [host]}}}`, command(buildrules.Exec{SSH: []string{"default"}}),
			`the policy refuses a command with the client's ssh agent "default": it allows none (build.exec.ssh)`,
		},
		{
			"what commands can't use stays denied", `{exec: {deny: {networks: [host]}}}`,
			`{exec: {networks: [host]}}`, command(buildrules.Exec{Network: "host"}),
			"the policy refuses a command with the network host (build.exec.deny.networks: host)",
		},
		{
			"insecure: false isn't a way back to everything", `{exec: {deny: {networks: [host]}}}`,
			`{exec: {insecure: false}}`, command(buildrules.Exec{SSH: []string{"default"}}),
			`rule "a" refuses a command with the client's ssh agent "default": it allows none (build.exec.ssh)`,
		},
		{
			"denied commands bind containers too", `{exec: deny, containers: allow}`,
			`{exec: {ssh: true}}`,
			buildrules.Operation{Container: &buildrules.Exec{}},
			"the policy refuses a container: exec is denied (build.exec)",
		},
		{
			"denied containers stay denied", `{containers: deny}`, `{containers: allow}`,
			buildrules.Operation{Container: &buildrules.Exec{}},
			"the policy refuses a container that the frontend starts (build.containers)",
		},
		{
			"denied frontends stay denied", `{frontends: {deny: ["x/**"]}}`,
			`{frontends: {allow: ["**"]}}`,
			buildrules.Operation{Frontend: "x/a"},
			"the policy refuses the frontend x/a:latest (build.frontends.deny: x/**)",
		},
		{
			"a forbidden user stays forbidden", `{config: {user: {forbid: [root]}}}`,
			`{config: {labels: {require: [l]}}}`,
			result(buildrules.Config{Labels: map[string]string{"l": ""}}),
			`the policy refuses the image that is built: its user is "root" (build.config.user.forbid: "root")`,
		},
		{
			"a forbidden label stays forbidden", `{config: {labels: {forbid: [a]}}}`,
			`{config: {labels: {forbid: [b]}}}`,
			result(buildrules.Config{Labels: map[string]string{"a": ""}}),
			`the policy refuses the image that is built: it has the label "a" (build.config.labels.forbid: a)`,
		},
		{
			"a required variable stays required", `{config: {env: {require: [A]}}}`,
			`{config: {env: {require: [B]}}}`, result(buildrules.Config{Env: []string{"B"}}),
			`the policy refuses the image that is built: it has no environment variable "A" (build.config.env.require)`,
		},
		{
			"the user must be one that both require", `{config: {user: {require: ["app*", "1000-2000"]}}}`,
			`{config: {user: {require: [app1, svc, "1500-3000"]}}}`,
			result(buildrules.Config{User: "2500"}),
			`the policy refuses the image that is built: its user is "2500", and it allows only app1 or 1500-2000 (build.config.user.require)`,
		},
		{
			"and is accepted then", `{config: {user: {require: ["app*", "1000-2000"]}}}`,
			`{config: {user: {require: [app1, svc, "1500-3000"]}}}`,
			result(buildrules.Config{User: "1700"}), "",
		},
		{
			"both values of a label hold", `{config: {labels: {values: {team: "p*"}}}}`,
			`{config: {labels: {values: {team: "*m"}}}}`,
			result(buildrules.Config{Labels: map[string]string{"team": "xm"}}),
			`the policy refuses the image that is built: its label "team" is "xm", and must be "p*" (build.config.labels.values)`,
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			require.Equal(t, tt.want, combined(t, tt.whole, tt.rule).Check(tt.operation).Reason)
		})
	}
}

func TestObligationsShowTheCombinedRules(t *testing.T) {
	t.Parallel()
	d := combined(t, `{images: {allow: [x], deny: [y]}, http: deny, git: {allow: []}, exec: {ssh: true}}`,
		`{images: {deny: [z]}}`)
	text, err := json.Marshal(d.Obligations.Build[0].Build)
	require.NoError(t, err)
	require.JSONEq(t, `{"images": {"allow": ["x"], "deny": ["z", "y"]}, "http": "deny",
		"git": {"allow": []}, "exec": {"ssh": ["*"]}}`, string(text))
}

func TestRulesThatNoImageCanSatisfyAreAMistake(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct{ whole, rule, want string }{
		"two pins of one tag": {
			`{images: {pins: {"a:1": "` + digestA + `"}}}`,
			`{images: {pins: {"docker.io/library/a:1": "` + digestB + `"}}}`,
			"p:5:32: build.images.pins: the policy's build pins docker.io/library/a:1 to another digest",
		},
		"no common user": {
			`{config: {user: {require: [app]}}}`, `{config: {user: {require: [svc]}}}`,
			"build.config.user.require: the policy's build requires other users",
		},
		"no common user of a target": {
			`{config: [{targets: [x], user: {require: [app]}}]}`,
			`{config: {targets: [X], user: {require: [svc]}}}`,
			"build.config.user.require: the policy's build requires other users",
		},
		"two values of one label": {
			`{config: {labels: {values: {a: x}}}}`, `{config: {labels: {values: {a: y}}}}`,
			"build.config.labels.values: the policy's build requires another value of the label a",
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := Parse("p", []byte("version: 1\ndispatch: mediate\nbuild: "+tt.whole+
				"\nfrontends:\n- {name: a, match: [a], build: "+tt.rule+"}\n"))
			require.ErrorContains(t, err, tt.want)
		})
	}
}

// refusals writes a build that only refuses: nothing in it allows anything.
func refusals(c *choices) string {
	var b strings.Builder
	kind := func(format string, values ...string) { c.field(&b, format+",", values...) }
	kind("images: {%s}", "", "deny: [a]", "requireDigest: true", `deny: ["**/b"]`,
		`pins: {"a:1": "`+digestA+`"}`)
	kind("git: %s", "", "deny", `{deny: ["https://x.example/a"]}`, "{requireCommit: true}")
	kind("http: %s", "", "deny", "{requireChecksum: true}", `{deny: ["http://x.example/**"]}`)
	kind("local: %s", "", "deny", "{deny: [context]}")
	kind("ociLayout: %s", "", "deny", `{deny: ["docker.io/**"]}`)
	kind("blob: %s", "", "deny", "{deny: [a]}")
	kind("exec: %s", "", "deny", "{deny: {networks: [host], ssh: true}}",
		"{deny: {insecure: true, secrets: [s1], devices: [x.example/d], ulimits: [core], hosts: [h]}}",
		"{deny: {cgroupParents: [/g]}}")
	kind("frontends: %s", "", "deny", `{deny: ["x.example/**"]}`)
	kind("containers: %s", "", "deny")
	kind("config: {%s}", "", "user: {forbid: [root]}", "user: {require: [app, root]}",
		"labels: {values: {l1: x}}", "env: {forbid: [e]}", "ports: {forbid: [1-80]}",
		"labels: {require: [m]}, volumes: {forbid: [/v]}", "targets: [t*], user: {forbid: [root]}",
		`sets: [{exceptTargets: ["*x"], results: runnable, env: {forbid: [e]}}]`)
	if b.Len() == 0 {
		return "containers: deny"
	}
	return strings.ReplaceAll(b.String(), "\n", " ")
}

// FuzzARuleAddsToThePolicysRefusals: whatever build a rule has, it never makes an operation pass
// that the policy's own build refuses by a denial, a requirement or a pin.
func FuzzARuleAddsToThePolicysRefusals(f *testing.F) {
	addDecideSeeds(f)
	f.Fuzz(func(t *testing.T, whole, rule, operation []byte) {
		c, own := choices(whole), choices(rule)
		var build strings.Builder
		generateBuild(&build, &own, "  ", false)
		head := "version: 1\ndispatch: mediate\nbuild: {" + refusals(&c) +
			"}\nfrontends:\n- match: [a]\n"
		o := choices(operation)
		asked := generateOperation(&o)
		if decided(t, head, "").Check(asked).Verdict != Deny {
			return
		}
		if asked.Container != nil && !strings.Contains(head, "containers: deny") {
			return // Containers are refused unless something allows them.
		}
		if asked.Image != "" && strings.Contains(head, "requireDigest") &&
			strings.Contains(build.String(), "pins") {
			return // A pin of the rule gives an image the digest that it needs.
		}
		p, err := Parse("p", []byte(head+build.String()))
		if err != nil {
			return // The rule contradicts the policy.
		}
		l, err := Stack(p, nil)
		require.NoError(t, err)
		require.Equal(t, Deny, Decide(l, request(t, "a")).Check(asked).Verdict,
			"%s%s\n%+v", head, build.String(), asked)
	})
}
