package policy

import (
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// plainBuild has the options of a docker buildx build in a git repository, without flags.
func plainBuild() map[string]string {
	return map[string]string{
		"filename": "Dockerfile", "attest:provenance": "mode=min,inline-only=true",
		"vcs:localdir:context": ".", "vcs:revision": commit, "vcs:source": "https://x.example/a",
		"local-sessionid:context": "1", "frontend.caps": "moby.buildkit.frontend.inputs",
		"image-resolve-mode": "local", "cmdline": "a", "source": "self",
	}
}

func TestOptionsAreComparedAsBuildKitReadsThem(t *testing.T) {
	t.Parallel()
	with := func(key, value string) map[string]string {
		o := plainBuild()
		o[key] = value
		return o
	}
	for _, tt := range []struct {
		name, options string
		sent          map[string]string
		want          string // the reason of a refusal
	}{
		{
			"a refused proxy in another letter case", `{deny: ["build-arg:HTTP_PROXY"]}`,
			with("build-arg:http_proxy", "http://evil"),
			`rule "a" refuses the option "build-arg:http_proxy" (options.deny: build-arg:HTTP_PROXY)`,
		},
		{
			"a refused hostname by its build-arg", `{deny: [hostname]}`,
			with("build-arg:BUILDKIT_SANDBOX_HOSTNAME", "x"),
			`rule "a" refuses the option "build-arg:BUILDKIT_SANDBOX_HOSTNAME" (options.deny: hostname)`,
		},
		{
			"a refused build-arg by the option that it sets",
			`{deny: ["build-arg:BUILDKIT_SANDBOX_HOSTNAME"]}`, with("hostname", "x"),
			`rule "a" refuses the option "hostname" (options.deny: build-arg:BUILDKIT_SANDBOX_HOSTNAME)`,
		},
		{
			"a refused context of a platform by that of all", `{deny: ["context:alpine::linux/amd64"]}`,
			with("context:alpine", "x"),
			`rule "a" refuses the option "context:alpine" (options.deny: context:alpine::linux/amd64)`,
		},
		{
			"refused caches by the newer option", `{deny: [cache-from]}`, with("cache-imports", "[]"),
			`rule "a" refuses the option "cache-imports" (options.deny: cache-from)`,
		},
		{
			"a forced proxy in another letter case",
			`{force: {"build-arg:HTTP_PROXY": "http://good"}}`, with("build-arg:http_proxy", "http://evil"),
			`rule "a" sets the option "build-arg:HTTP_PROXY" to "http://good", and the build sets another value of "build-arg:http_proxy", which is the same option; leave it out`,
		},
		{
			"a forced value by another name", `{force: {hostname: x}}`,
			with("build-arg:BUILDKIT_SANDBOX_HOSTNAME", "x"), "",
		},
		{
			"an allowed option by another name", `{only: [hostname]}`,
			with("build-arg:BUILDKIT_SANDBOX_HOSTNAME", "x"), "",
		},
		{"a plain build under only", `{only: [target]}`, plainBuild(), ""},
		{"a plain build with BuildKit's build-args refused", `{deny: ["build-arg:BUILDKIT_*"]}`, plainBuild(), ""},
		{
			"another attestation than that of a plain build under only", `{only: [target]}`,
			with("attest:sbom", ""),
			`rule "a" refuses the option "attest:sbom": it is none of those that it lets pass: target (options.only)`,
		},
		{
			"a build file can still be refused by name", `{deny: [filename]}`, plainBuild(),
			`rule "a" refuses the option "filename" (options.deny: filename)`,
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			l := mustStack(t, "version: 1\nfrontends:\n- {name: a, match: [a], options: "+tt.options+"}\n", "")
			d := Decide(l, withOptions(request(t, "a"), tt.sent))
			if tt.want == "" {
				require.Equal(t, Allow, d.Verdict, d.Reason)
				return
			}
			require.Equal(t, Deny, d.Verdict)
			require.Equal(t, tt.want, d.Reason)
		})
	}
}

func TestARemovedOptionIsRemovedByEachOfItsNames(t *testing.T) {
	t.Parallel()
	l := mustStack(t, "version: 1\nfrontends:\n- {name: a, match: [a], options: {strip: "+
		`["build-arg:HTTP_PROXY", cache-from, "build-arg:BUILDKIT_MULTI_PLATFORM"]}}`+"\n", "")
	d := Decide(l, withOptions(request(t, "a"), map[string]string{
		"build-arg:http_proxy": "x", "cache-imports": "[]", "multi-platform": "1", "target": "t",
	}))
	require.Equal(t, Allow, d.Verdict)
	require.Equal(t, []string{"build-arg:http_proxy", "cache-imports", "multi-platform"},
		d.Obligations.Strip)
}

func TestWhatAWarningRulePassesIsNotForcedByAnotherName(t *testing.T) {
	t.Parallel()
	l := mustStack(t, "version: 1\nfrontends:\n- {name: a, match: [a], mode: warn, options: "+
		`{force: {hostname: x}}}`+"\n", "")
	d := Decide(l, withOptions(request(t, "a"),
		map[string]string{"build-arg:BUILDKIT_SANDBOX_HOSTNAME": "y"}))
	require.Equal(t, Warn, d.Verdict)
	require.Empty(t, d.Obligations.Force)
}

func TestTwoLayersForceOneOptionByTwoNames(t *testing.T) {
	t.Parallel()
	doc := func(force string) string {
		return "version: 1\nfrontends:\n- {name: a, match: [a], options: {force: {" + force + "}}}\n"
	}
	const own = `"build-arg:BUILDKIT_SANDBOX_HOSTNAME": `
	d := Decide(mustStack(t, doc("hostname: x"), doc(own+"y")), request(t, "a"))
	require.Equal(t, Deny, d.Verdict)
	require.Contains(t, d.Reason, `forces another value of it`)
	d = Decide(mustStack(t, doc("hostname: x"), doc(own+"x")), request(t, "a"))
	require.Equal(t, Allow, d.Verdict)
}

// FuzzTwinsGetOneDecision: whatever options a rule has, the names of one option get one answer.
func FuzzTwinsGetOneDecision(f *testing.F) {
	addDecideSeeds(f)
	twins := [][2]string{
		{"build-arg:HTTP_PROXY", "build-arg:http_proxy"},
		{"build-arg:NO_PROXY", "build-arg:No_Proxy"},
		{"hostname", "build-arg:BUILDKIT_SANDBOX_HOSTNAME"},
		{"multi-platform", "build-arg:BUILDKIT_MULTI_PLATFORM"},
		{"cache-imports", "cache-from"},
		{"attest:sbom", "build-arg:BUILDKIT_ATTEST_SBOM"},
	}
	f.Fuzz(func(t *testing.T, rule, request, _ []byte) {
		c := choices(rule)
		var b strings.Builder
		b.WriteString("version: 1\nfrontends:\n- name: a\n  match: [a]\n  options:\n    inputs: allow\n")
		globs := []string{
			"", "", "build-arg:*", "build-arg:BUILDKIT_*", "build-arg:http_*", "h*", "cache-from",
			"attest:*", "build-arg:*_PROXY", "multi-platform", "*", "target",
		}
		c.field(&b, `    deny: ["%s"]`, globs...)
		c.field(&b, `    strip: ["%s"]`, globs...)
		c.field(&b, `    only: ["%s"]`, globs...)
		c.field(&b, `    force: {"%s": x}`, "", twins[c.next(len(twins))][c.next(2)])
		p, err := Parse("p", []byte(b.String()))
		if err != nil {
			return // Something is forced and refused.
		}
		l, err := Stack(p, nil)
		require.NoError(t, err)
		o := choices(request)
		pair, value := twins[o.next(len(twins))], o.of("x", "y")
		decide := func(key string) Decision {
			return Decide(l, withOptions(Request{Requested: "a", Reference: mustRef(t, "a")},
				map[string]string{key: value}))
		}
		one, other := decide(pair[0]), decide(pair[1])
		require.Equal(t, one.Verdict, other.Verdict, "%s\n%v=%s", b.String(), pair, value)
		require.Len(t, other.Obligations.Strip, len(one.Obligations.Strip), "%s\n%v", b.String(), pair)
	})
}

func TestOptionsThatNoBuildCanHaveAreAMistake(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct{ options, want string }{
		"a value in deny": {
			`{deny: ["build-arg:BUILDKIT_INLINE_CACHE=1"]}`,
			`deny: "build-arg:BUILDKIT_INLINE_CACHE=1" has an =, which no option's name has; write "build-arg:BUILDKIT_INLINE_CACHE", and a value only in force`,
		},
		"an = in force":        {`{force: {"build-arg:A=b": c}}`, `has an =, which no option's name has`},
		"an = in only":         {`{only: ["target=x"]}`, `has an =, which no option's name has`},
		"an = in strip":        {`{strip: ["target=*"]}`, `has an =, which no option's name has`},
		"one option twice":     {`{force: {hostname: a, "build-arg:BUILDKIT_SANDBOX_HOSTNAME": b}}`, `is the same option as`},
		"a forced denial":      {`{force: {hostname: a}, deny: ["build-arg:BUILDKIT_*"]}`, `"hostname" is also refused`},
		"a forced and removed": {`{force: {cache-from: a}, strip: [cache-imports]}`, `"cache-from" is also removed`},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := Parse("p", fmt.Appendf(nil,
				"version: 1\nfrontends:\n- {name: a, match: [a], options: %s}\n", tt.options))
			require.ErrorContains(t, err, tt.want)
		})
	}
}

func TestOneAttestationInTwoSpellings(t *testing.T) {
	t.Parallel()
	const sbomArg = "build-arg:BUILDKIT_ATTEST_SBOM"
	l := mustStack(t, "{version: 1, default: allow}", "")
	for _, tt := range []struct {
		name    string
		options map[string]string
		refused bool
	}{
		{
			"one of two kinds each",
			map[string]string{"attest:sbom": "generator=a", "attest:provenance": ""},
			false,
		},
		{
			"one kind twice with one value",
			map[string]string{"attest:sbom": "generator=a", sbomArg: "generator=a"},
			false,
		},
		{
			"an option and a build-arg",
			map[string]string{"attest:sbom": "generator=a", sbomArg: "generator=b"},
			true,
		},
		{
			"another letter case",
			map[string]string{"attest:sbom": "generator=a", "attest:SBOM": "generator=b"},
			true,
		},
		{
			"another letter case of the build-arg",
			map[string]string{"build-arg:BUILDKIT_ATTEST_sbom": "", sbomArg: "generator=b"},
			true,
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			d := Decide(l, withOptions(request(t, "a"), tt.options))
			require.Equal(t, tt.refused, d.Verdict == Deny, d.Reason)
			if tt.refused {
				require.Equal(t, InvariantRule, d.Rule)
				require.Contains(t, d.Reason, "ask for the same attestation with different values")
			}
		})
	}
}
