package lint_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/policy-frontend/policy-frontend/internal/lint"
	"github.com/policy-frontend/policy-frontend/policy"
)

func TestAPolicyThatAllowsNothing(t *testing.T) {
	t.Parallel()
	const nothing = "allows-nothing  p:0:0"
	tests := []struct {
		name, doc string
		want      []string
	}{
		{"no field", top, []string{nothing}},
		{"no rule", top + "frontends: []\n", []string{nothing}},
		{"deny rules alone", head + "- {name: a, match: [\"quay.io/**\"], action: deny}\n", []string{nothing}},
		{
			"a rule that has expired", head + "- {name: a, match: [a], expires: 2027-01-01}\n",
			[]string{nothing, "expired a p:5:3"},
		},
		{
			"a rule that a denial covers",
			head + "- {name: a, match: [a]}\n- {name: no, match: [\"**\"], action: deny}\n",
			[]string{nothing, "shadowed a p:5:3"},
		},
		{
			"a rule outside of the limits", top + "limits: {match: [b]}\nfrontends:\n- {name: a, match: [a]}\n",
			[]string{nothing, "outside-limits a p:6:3"},
		},
		{"a rule that allows is fine", head + "- {name: a, match: [a]}\n", nil},
		{
			"deny rules beside a default that allows",
			"default: allow\n" + head + "- {name: a, match: [a], action: deny}\n",
			[]string{"default-allow  p:0:0"},
		},
		{"a policy that only warns", "mode: warn\n" + head + "- {name: a, match: [a], action: deny}\n", []string{"warn-mode  p:0:0"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			p, err := policy.Parse("p", []byte(tt.doc))
			require.NoError(t, err)
			require.Equal(t, tt.want, list(lint.Check("p", p, lint.Options{Time: day()})))
		})
	}
}

func TestEntriesWithoutEffect(t *testing.T) {
	t.Parallel()
	rule := func(fields string) string { return head + "- {name: a, " + fields + "}\n" }
	build := func(b string) string {
		return rule("match: [docker/dockerfile], dispatch: mediate, build: {others: deny, " + b + "}")
	}
	policyAnd := func(whole, b string) string {
		return "build: {others: deny, " + whole + "}\n" + build(b)
	}
	tests := []struct {
		name, doc string
		want      []string // code, and the beginning of the message
	}{
		{"a name that a pattern has", rule("match: [\"a.example/**\", a.example/x]"), []string{"entry-repeated match has a.example/x"}},
		{"a name twice", rule("match: [a, docker.io/library/a]"), []string{"entry-repeated match has docker.io/library/a"}},
		{"names that only overlap are fine", rule("match: [\"a.example/*/x\", \"a.example/y/**\"]"), nil},
		{"a port is another name", rule("match: [\"a.example/**\", \"a.example:80/x\"]"), nil},
		{
			"a port of a denied host", head + "- {name: b, match: [\"b.example/**\"]}\n" +
				"- {name: a, action: deny, match: [\"b.example/x/**\", \"b.example:80/x\"]}\n",
			[]string{
				"entry-repeated match has b.example:80/x", "deny-without-effect match has b.example:80/x",
			},
		},
		{
			"a denied name that no rule allows", head + "- {name: b, match: [\"b.example:80/**\"]}\n" +
				"- {name: a, action: deny, match: [\"b.example/x\", c.example/x]}\n" +
				"- {name: c, action: deny, match: [d.example/x], message: never}\n",
			[]string{"deny-without-effect match has c.example/x"},
		},
		{
			"a denied port of a host of which each is allowed is fine",
			head + "- {name: b, match: [\"b.example:*/**\"]}\n" +
				"- {name: a, action: deny, match: [\"b.example:80/x\"]}\n",
			nil,
		},
		{
			"a name that an alias renames", "aliases: [{from: a, to: b}]\n" + rule("match: [a, b]"),
			[]string{"entry-aliased match has docker.io/library/a"},
		},
		{
			"a tag that a glob has", rule("match: [a], tags: [\"1.*\", \"1.5\"]"),
			[]string{"entry-repeated tags has 1.5"},
		},
		{
			"an excepted tag twice", rule("match: [a], exceptTags: [\"1.5*\", \"1.50\"]"),
			[]string{"entry-repeated exceptTags has 1.50"},
		},
		{
			"an excepted tag that isn't there", rule("match: [a], tags: [\"2.*\"], exceptTags: [\"1.5\"]"),
			[]string{"except-without-effect exceptTags has 1.5"},
		},
		{
			"a version that can be the excepted one", rule("match: [a], tags: [\"1\", \"1.6\"], exceptTags: [\"1.5\"]"),
			[]string{"entry-without-effect tags has 1, which exceptTags leaves out"},
		},
		{
			"tags that versions have", rule("match: [a], tags: [\"1.5\", \"3\", \"2.*\"], versions: \">=1 <2.5\""),
			[]string{"entry-without-effect tags has 1.5, and versions is for that too"},
		},
		{
			"tags that denied versions have", head + "- {name: b, match: [a]}\n" +
				"- {name: a, action: deny, match: [a], tags: [\"1.5\", \"3\", \"1.*\", main], versions: \">=1 <2\"}\n",
			[]string{
				"entry-repeated tags has 1.5", "entry-without-effect tags has 1.5",
				"entry-without-effect tags has main",
				"entry-without-effect tags has 1.*",
			},
		},
		{
			"excepted versions that versions don't have", rule("match: [a], versions: \">=1 <2\", exceptTags: [\"2.1\", \"1.5*\", \"3.*\", \"1.7*\"]"),
			[]string{"except-without-effect exceptTags has 2.1", "except-without-effect exceptTags has 3.*"},
		},
		{
			"an exception of a deny rule", head + "- {name: b, match: [a]}\n" +
				"- {name: a, action: deny, match: [a], versions: \"<2\", exceptTags: [\"1.7.1\", \"3\"]}\n",
			[]string{"except-without-effect exceptTags has 3"},
		},
		{
			"variants without versions", rule("match: [a], tags: [\"1\"], variants: [labs]"),
			[]string{"entry-without-effect variants has labs, which has no effect without versions"},
		},
		{
			"a name that a denial has", head + "- {name: b, action: deny, match: [evil.example/**]}\n" +
				"- {name: a, match: [docker/x, evil.example/x]}\n",
			[]string{"entry-without-effect match has evil.example/x, which never decides, because rule \"b\""},
		},
		{
			"a name outside of the limits", "limits: {match: [docker/*]}\n" + rule("match: [docker/x, a.example/x]"),
			[]string{"entry-without-effect match has a.example/x, which the limits refuse"},
		},
		{
			"a digest that a denial has", head + "- {name: b, action: deny, match: [a], digests: [\"" + digestA + "\"]}\n" +
				"- {name: a, match: [a], digests: [\"" + digestA + "\", \"" + "sha256:" + strings.Repeat("b", 64) + "\"]}\n",
			[]string{"entry-without-effect digests has " + digestA},
		},
		{
			"a tag that a rule before it allows",
			head + "- {name: b, match: [a], tags: [\"1\"]}\n" +
				"- {name: c, match: [a], tags: [\"1\", \"2\"], requireDigest: true}\n",
			[]string{"entry-without-effect tags has 1"},
		},
		{
			"the build-arg of every build's attestation beside all build-args is fine",
			rule("match: [a], options: {deny: [\"build-arg:*\", \"build-arg:BUILDKIT_ATTEST_PROVENANCE\"]}"), nil,
		},
		{
			"options that cancel each other", rule("match: [a], options: {only: [\"build-arg:A\", \"build-arg:B*\"], deny: [\"build-arg:A\", \"label:x\", filename]}"),
			[]string{
				"option-without-effect options.only has build-arg:A, which options.deny refuses",
				"option-without-effect options.deny has label:x, which options.only doesn't list",
			},
		},
		{
			"options of which none is let in", rule("match: [a], options: {only: [\"build-arg:A\"], deny: [\"build-arg:A\", \"label:x\"]}"),
			[]string{
				"option-without-effect options.only lists nothing",
				"option-without-effect options.deny has label:x, which options.only doesn't list",
			},
		},
		{
			"all options", rule("match: [a], options: {only: [\"*\"]}"),
			[]string{"option-without-effect options.only lists every option"},
		},
		{
			"options", rule("match: [a], options: {deny: [\"build-arg:*\", \"build-arg:A\"], only: [\"build-arg:*\", \"label:B\", \"label:B\"]}"),
			[]string{
				"entry-repeated options.deny has build-arg:A",
				"entry-repeated options.only has label:B",
			},
		},
		{
			"limits", "limits: {match: [\"docker.io/**\", a]}\n" + rule("match: [a]"),
			[]string{"entry-repeated limits.match has docker.io/library/a"},
		},
		{
			"images that are denied in the same place", build("images: {allow: [\"a.example/**\", \"b.example/**\"], deny: [\"a.example/**\"]}"),
			[]string{"build-allow-refused build.images.allow has a.example/**"},
		},
		{
			"all images denied", build("images: {allow: [\"a.example/**\"], deny: [\"docker.io/**\", \"quay.io/**\", \"**\"]}"),
			[]string{
				"entry-repeated build.images.deny has docker.io/**",
				"entry-repeated build.images.deny has quay.io/**",
				"build-allow-refused build.images.allow has a.example/**",
				"build-deny-without-effect build.images.deny has docker.io/**",
				"build-deny-without-effect build.images.deny has quay.io/**",
			},
		},
		{
			"a repository that is denied", build("git: {allow: [\"https://a.example/x\", \"https://b.example/x\"], deny: [\"https://a.example/**\"]}"),
			[]string{"build-allow-refused build.git.allow has https://a.example/x"},
		},
		{"a part denied is fine", build("git: {allow: [\"https://a.example/**\"], deny: [\"a.example/x\"]}"), nil},
		{
			"a URL twice", build("http: {allow: [a.example, \"https://a.example/x\"]}"),
			[]string{"entry-repeated build.http.allow has https://a.example/x"},
		},
		{
			"directories", build("local: {allow: [\"c*\", context, home], deny: [HOME, x]}"),
			[]string{
				"entry-repeated build.local.allow has context",
				"build-allow-refused build.local.allow has home",
				"build-deny-without-effect build.local.deny has x",
			},
		},
		{
			"a denial of the policy that only matters to a rule", policyAnd("local: {allow: [context], deny: [home]}, blob: {allow: [\"a.example/*\"], deny: [\"b.example/**\"]}",
				"local: {allow: [\"*\"]}, blob: {allow: [\"*.example/*\"]}"),
			[]string{"build-allows-any build.local allows every directory"},
		},
		{
			"what commands can use", build("exec: {secrets: [npm, \"n*\"], ssh: true, devices: [\"*\"], deny: {secrets: [NPM], hosts: [x]}}"),
			[]string{
				"exec-allows-any build.exec.ssh has *", "entry-repeated build.exec.secrets has npm",
				"build-allow-refused build.exec.secrets has npm", "exec-allows-any build.exec.devices has *",
				"build-deny-without-effect build.exec.deny.hosts has x",
			},
		},
		{
			"commands without any network", build("exec: {ssh: [a], deny: {networks: [none, default], ulimits: [core]}}"),
			[]string{
				"build-allow-refused build.exec.deny.networks has each network",
				"build-deny-without-effect build.exec.deny.ulimits has core",
			},
		},
		{
			"a network denied that isn't allowed", build("exec: {ssh: [a], deny: {networks: [host]}}"),
			[]string{"build-deny-without-effect build.exec.deny.networks has host"},
		},
		{
			"a network denied that the policy allows is fine",
			policyAnd("exec: {networks: [host, none]}", "exec: {ssh: [a], deny: {networks: [none]}}"),
			[]string{"host-network build.exec.networks has host"},
		},
		{"a network left is fine", build("exec: {deny: {networks: [none, default]}}"), nil},
		{
			"a URL whose schemes two others have", build("http: {deny: [\"http://**\", \"https://a.example\", a.example/x]}"),
			[]string{"entry-repeated build.http.deny has a.example/x"},
		},
		{"secrets but for some is fine", build("exec: {secrets: [\"*\"], deny: {secrets: [npm]}}"), nil},
		{
			"a device that is denied in an allowed kind is fine",
			build("exec: {devices: [nvidia.com/gpu], deny: {devices: [nvidia.com/gpu=0]}}"), nil,
		},
		{"commands with denials alone are fine", build("exec: {deny: {networks: [host], secrets: [npm]}}"), nil},
		{"every secret", build("exec: {secrets: [\"*\"]}"), []string{"exec-allows-any build.exec.secrets has *"}},
		{"containers", build("containers: allow"), []string{"containers-allowed build.containers lets"}},
		{
			"the only user is forbidden", build("config: {user: {require: [root], forbid: [\"0\"]}}"),
			[]string{"config-contradicts build.config.user forbids all users"},
		},
		{
			"one of the users is forbidden", build("config: {user: {require: [root, app], forbid: [root]}}"),
			[]string{"entry-refused build.config.user requires root"},
		},
		{
			"a label that is forbidden in another letter case", build("config: {labels: {require: [a], forbid: [\"A*\"]}}"),
			[]string{"config-contradicts build.config.labels requires a"},
		},
		{
			"a label with a value that is forbidden", build("config: {labels: {values: {a: x}, forbid: [\"*\"]}}"),
			[]string{"config-contradicts build.config.labels requires a"},
		},
		{
			"a port of any protocol", build("config: {ports: {require: [80], forbid: [1-1023]}}"),
			[]string{"config-contradicts build.config.ports requires 80"},
		},
		{
			"a variable that the policy forbids", policyAnd("config: {env: {forbid: [\"P*\"]}}", "config: {env: {require: [PATH]}}"),
			[]string{"config-contradicts build.config.env requires PATH"},
		},
		{
			"a port in a range, and one required twice", build("config: {ports: {forbid: [1-1023, 80/tcp], require: [8080, 8080/tcp]}}"),
			[]string{
				"entry-repeated build.config.ports.forbid has 80/tcp",
				"entry-repeated build.config.ports.require has 8080/tcp",
			},
		},
		{
			"a user forbidden that isn't required", build("config: {user: {require: [app, 1000-2000], forbid: [web, 1500, root]}}"),
			[]string{
				"build-deny-without-effect build.config.user.forbid has web",
				"build-deny-without-effect build.config.user.forbid has root",
			},
		},
		{
			"a denied image twice beside rules",
			build("images: {rules: [{name: r, action: deny, match: [a]}], deny: [x/y, \"x/**\"]}"),
			[]string{"entry-repeated build.images.deny has x/y"},
		},
		{
			"a user that no target can have",
			build("config: [{env: {require: [A]}}, {targets: [x], user: {require: [root], forbid: [root]}}]"),
			[]string{"config-contradicts build.config.user forbids all users that it requires, so every image " +
				"for which that is is refused"},
		},
		{
			"a set that refuses what another requires",
			build("config: [{targets: [x], env: {require: [PATH]}}, {env: {forbid: [\"P*\"]}}]"),
			[]string{"config-contradicts build.config.env requires PATH"},
		},
		{
			"sets for different targets are fine",
			build("config: {env: {require: [A]}, sets: [{targets: [x], env: {forbid: [PATH]}}, " +
				"{targets: [y], env: {require: [PATH]}}]}"), nil,
		},
		{
			"what a set for all targets has too",
			build("config: [{targets: [x], user: {forbid: [root]}}, {user: {forbid: [root, web]}}]"),
			[]string{"entry-repeated build.config.sets[0].user.forbid has root, and build.config.sets[1] has"},
		},
		{
			"a runnable result is a narrower one",
			build("config: {env: {forbid: [A]}, sets: [{results: runnable, env: {forbid: [a]}}]}"),
			[]string{"entry-repeated build.config.sets[0].env.forbid has a"},
		},
		{
			"conditions for some targets only", build("config: [{targets: [x], user: {forbid: [root]}}]"),
			[]string{"config-by-target build.config has no condition for other targets than x"},
		},
		{
			"conditions for all targets are fine", build("config: [{targets: [\"*\"], user: {forbid: [root]}}]"),
			nil,
		},
		{
			"conditions for all targets but some are fine",
			build("config: [{exceptTargets: [x], user: {forbid: [root]}}]"), nil,
		},
		{
			"conditions of the policy for all targets are enough",
			policyAnd("config: {user: {forbid: [root]}}", "config: {targets: [x], env: {forbid: [A]}}"), nil,
		},
		{
			"a target that is excepted",
			build("config: {env: {forbid: [A]}, sets: [{targets: [ab, c], exceptTargets: [\"A*\", D], " +
				"user: {forbid: [root]}}]}"),
			[]string{
				"target-excepted build.config.sets[0].targets has ab",
				"except-without-effect build.config.sets[0].exceptTargets has D",
			},
		},
		{
			"a target that is there twice",
			build("config: {exceptTargets: [\"a*\", AB], user: {forbid: [root]}}"),
			[]string{"entry-repeated build.config.exceptTargets has AB"},
		},
		{"another port is fine", build("config: {ports: {require: [80/udp], forbid: [80/tcp]}}"), nil},
		{"part of a glob is fine", build("config: {labels: {require: [\"a*\"], forbid: [ab]}, user: {require: [1000-2000], forbid: [1500]}}"), nil},
		{
			"a label that another needs anyway", build("config: {env: {require: [\"A*\", AB], forbid: [x, X]}}"),
			[]string{
				"entry-repeated build.config.env.forbid has X",
				"entry-repeated build.config.env.require has A*",
			},
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			p, err := policy.Parse("p", []byte(tt.doc))
			require.NoError(t, err)
			found := lint.Check("p", p, lint.Options{Time: day()})
			require.Len(t, found, len(tt.want), "%v", found)
			for i, f := range found {
				require.True(t, strings.HasPrefix(string(f.Code)+" "+f.Message, tt.want[i]), "%v", f)
			}
		})
	}
}
