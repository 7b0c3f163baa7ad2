package lint_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/policy-frontend/policy-frontend/internal/lint"
	"github.com/policy-frontend/policy-frontend/policy"
)

func TestCheckRulesOnDownloads(t *testing.T) {
	t.Parallel()
	const whole = "build.exec.downloads"
	guard := func(field string) string {
		return "needs-guard: " + field + " is about what commands download, so the gateway image " +
			"refuses to use this policy, because only policy-guard is asked about that; run builds " +
			"through policy-guard"
	}
	const noNetwork = "entry-without-effect: build.exec.downloads has no effect, because no command can " +
		"have a network; remove it, or allow the network default"
	for name, tc := range map[string]struct {
		exec, rule string // exec of the whole policy, and of its rule
		want       []string
	}{
		"hosts by https": {exec: "{downloads: {allow: [deb.example, npm.example]}}"},
		"a host by plain http": {
			exec: `{downloads: {allow: ["http://deb.example"]}}`,
			want: []string{
				"plain-http: build.exec.downloads.allow has http://deb.example/**, where anybody on the " +
					"network path can replace the data; use https, or accept this where the tool checks " +
					"signatures, as apt and apk do",
			},
		},
		"every host": {
			exec: `{downloads: {allow: ["https://**"]}}`,
			want: []string{
				"build-allows-any: build.exec.downloads.allow has https://**/**, which matches every host; " +
					"name the hosts, or deny something",
			},
		},
		"hosts of others": {
			exec: `{downloads: {allow: ["https://*deb.example/**"]}}`,
			want: []string{
				"prefix-runs-on: build.exec.downloads.allow has https://*deb.example/**, which also matches " +
					"the hosts of others, such as evildeb.example; write the host in full, or a star as a " +
					"whole label before a dot",
			},
		},
		"an allow that deny refuses": {
			exec: "{downloads: {allow: [deb.example/x], deny: [deb.example]}}",
			want: []string{
				"build-allow-refused: build.exec.downloads.allow has https://deb.example/x, which deny " +
					"refuses; remove one of the two",
			},
		},
		"a deny that allow doesn't list": {
			exec: "{downloads: {allow: [deb.example], deny: [evil.example]}}",
			want: []string{
				"build-deny-without-effect: build.exec.downloads.deny has evil.example/**, which allow " +
					"doesn't list anyway; remove it",
			},
		},
		"a deny that leaves a scheme": {
			exec: `{downloads: {deny: ["http://evil.example"]}}`,
			want: []string{
				"build-deny-leaves-scheme: build.exec.downloads.deny has http://evil.example/**, and https " +
					"can reach the same; leave out the scheme",
			},
		},
		"an entry twice": {
			exec: "{downloads: {allow: [deb.example, DEB.example]}}",
			want: []string{
				"entry-repeated: build.exec.downloads.allow has DEB.example, and deb.example is for that " +
					"too; remove one of them",
			},
		},
		"an allow of a rule that the policy denies": {
			exec: "{downloads: {deny: [deb.example]}}", rule: "{downloads: {allow: [deb.example/x]}}",
			want: []string{
				"build-allow-refused: build.exec.downloads.allow has https://deb.example/x, which the whole " +
					"policy denies; remove it",
			},
		},
		"an allow of a rule under deny": {
			exec: "{downloads: deny}", rule: "{downloads: {allow: [deb.example]}}",
			want: []string{
				"build-allow-refused: build.exec.downloads allows nothing, because the whole policy has " +
					"exec.downloads: deny; remove it, or write allow: [] for the whole policy",
			},
		},
		"the same as above": {
			exec: "{downloads: {deny: [deb.example]}}", rule: "{downloads: {deny: [deb.example]}}",
			want: []string{
				"build-repeated: build.exec.downloads repeats that of the whole policy, which applies " +
					"anyway; remove it",
			},
		},
		"commands without a network": {
			exec: "{networks: [none], downloads: {allow: [deb.example]}}", want: []string{noNetwork},
		},
		"commands with the host's network, which the daemon asks about too": {
			exec: "{networks: [none, host], downloads: {allow: [deb.example]}}",
			want: []string{
				"host-network: build.exec.networks has host, so commands can reach everything that the " +
					"daemon's machine can, including its local services; remove it",
			},
		},
		"commands without a network under a rule on downloads": {
			exec: "{networks: [none]}", rule: "{downloads: {allow: [deb.example]}}",
			want: []string{noNetwork},
		},
		"commands that a rule gives a network": {
			exec: "{networks: [none], downloads: {allow: [deb.example]}}", rule: "{networks: [default]}",
		},
		"commands without a network in a rule": {
			exec: "{downloads: {allow: [deb.example]}}", rule: "{networks: [none]}",
		},
		"commands whose network only causes a warning": {
			exec: "{mode: warn, networks: [none], downloads: {allow: [deb.example]}}",
		},
		"no command at all under a rule on downloads": {
			exec: "deny", rule: "{downloads: {allow: [deb.example]}}", want: []string{noNetwork},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			doc := "build: {exec: " + tc.exec + "}\n" + head + "- {name: a, match: [docker/dockerfile]"
			if tc.rule != "" {
				doc += ", build: {exec: " + tc.rule + "}"
			}
			p, err := policy.Parse("p", []byte(doc+"}\n"))
			require.NoError(t, err)
			field := p.DownloadRules()
			require.NotEmpty(t, field)
			if field != whole {
				require.Equal(t, "frontends[0]."+whole, field)
			}
			var got []string
			for _, f := range check("p", p, lint.Options{}) {
				got = append(got, string(f.Code)+": "+f.Message)
			}
			require.ElementsMatch(t, append(tc.want, guard(field)), got)
		})
	}
}

// The daemon asks about each request, so it doesn't matter who runs the frontend.
func TestForwardHidesNoDownloads(t *testing.T) {
	t.Parallel()
	p, err := policy.Parse("p", []byte(dockerfile(
		"dispatch: forward, build: {exec: {downloads: {allow: [deb.example]}}}")))
	require.NoError(t, err)
	for _, f := range check("p", p, lint.Options{}) {
		require.Equal(t, lint.NeedsGuard, f.Code, f.Message)
	}
}
