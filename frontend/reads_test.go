package frontend

import (
	"errors"
	"maps"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/policy-frontend/policy-frontend/internal/gatewayopts"
	"github.com/policy-frontend/policy-frontend/policy"
	"github.com/policy-frontend/policy-frontend/policy/imageref"
)

const (
	gitContext   = "https://git.example/app.git"
	httpContext  = "http://files.example/app.tar"
	tarContext   = "http://buildkit-session/0r3kzt4p9qw1"
	gitSource    = "git://git.example/app.git"
	onlyFromGit  = `{git: {allow: ["git.example"]}, http: deny}`
	onlyFromHTTP = `{git: deny, http: {allow: ["http://files.example/**"]}}`
)

// TestTheBuildFileIsReadFromWhereThePolicyAllows: our own process has nothing fetched that no rule
// lets a build read, whatever names the frontend.
func TestTheBuildFileIsReadFromWhereThePolicyAllows(t *testing.T) {
	const rule = "frontends: [{name: d, match: [docker/dockerfile], dispatch: forward"
	for _, tt := range []struct {
		name, policy, overlay, context string
		reason                         string // of the refusal; "" if the file is read
	}{
		{"no rules", rule + "}]", "", gitContext, ""},
		{
			"the whole policy's rules allow it", "build: " + onlyFromGit + "\n" + rule + "}]", "",
			gitContext, "",
		},
		{
			"the whole policy's rules deny it", "build: " + onlyFromHTTP + "\n" + rule + "}]", "",
			gitContext, "the policy refuses the git repository",
		},
		{
			"the whole policy's rules deny a download", "build: " + onlyFromGit + "\n" + rule + "}]", "",
			httpContext, "the policy refuses the download",
		},
		{
			"one rule of two allows it", rule + ", build: " + onlyFromHTTP + "}, {name: e, match: [e/e], " +
				"dispatch: forward, build: " + onlyFromGit + "}]", "", gitContext, "",
		},
		{
			"no rule of two allows it", rule + ", build: " + onlyFromHTTP + "}, {name: e, match: [e/e], " +
				"dispatch: forward, build: {git: deny}}]", "", gitContext, "the git repository",
		},
		{
			"a rule that has expired allows it", rule + ", build: " + onlyFromHTTP + "}, {name: e, match: " +
				"[e/e], expires: 2020-01-01, build: " + onlyFromGit + "}]", "", gitContext,
			"the git repository",
		},
		{
			"a rule for a name outside of the limits allows it", "limits: {match: [docker/dockerfile]}\n" +
				rule + ", build: " + onlyFromHTTP + "}, {name: e, match: [e/e], build: " + onlyFromGit + "}]",
			"", gitContext, "the git repository",
		},
		{
			"a rule that only warns beside one with the same rules", "build: " + onlyFromHTTP + "\n" + rule +
				"}, {name: e, match: [e/e], action: deny, mode: warn}]", "", gitContext, "the git repository",
		},
		{
			"a rule has none, and the default is never used", rule + ", build: " + onlyFromHTTP + "}]", "",
			gitContext, "the git repository",
		},
		{
			"the default allows frontends without rules", "default: allow\n" + rule + ", build: " +
				onlyFromHTTP + "}]", "", gitContext, "",
		},
		{
			"rules that only warn", "mode: warn\nbuild: " + onlyFromHTTP + "\n" + rule + "}]", "",
			gitContext, "",
		},
		{
			"an overlay denies it", rule + "}]",
			"{version: 1, default: allow, dispatch: forward, build: " + onlyFromHTTP + "}", gitContext,
			"the overlay refuses the git repository",
		},
		{"no policy", "", "", gitContext, "there is no policy, so the build file isn't read from"},
		{"a tar file that the client sends", "build: {http: deny}\n" + rule + "}]", "", tarContext, ""},
		{"a tar file without a policy", "", "", tarContext, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c := newFake(t, "# syntax=docker/dockerfile:1\n", map[string]string{"context": tt.context})
			b := &build{client: c, opts: gatewayopts.Parse(c.opts)}
			if tt.policy != "" {
				b.layers = mustLayers(t, "version: 1\n"+tt.policy, tt.overlay)
			}
			b.file = newBuildFile(ownReads{c, b.checkRead})
			_, err := b.file.load(t.Context())
			if tt.reason == "" {
				require.NotEmpty(t, c.read)
				return
			}
			require.Empty(t, c.read, "nothing is read that isn't allowed")
			var r *refusal
			require.ErrorAs(t, err, &r)
			require.Contains(t, r.decision.Reason, tt.reason)
		})
	}
}

func TestADeniedContextIsNotReadForAMessage(t *testing.T) {
	const deny = "version: 1\nbuild: {git: deny}\nfrontends: [{match: [docker/dockerfile]}]\n"
	const refused = selfRef + " evil/dockerfile:1"
	for name, opts := range map[string]map[string]string{
		"the build file names the frontend":    {},
		"BUILDKIT_SYNTAX names a refused one":  {"build-arg:BUILDKIT_SYNTAX": refused},
		"a directive names a refused one":      {"cmdline": refused},
		"the policy is only asked":             {"requestid": PolicySubrequest},
		"a refused one, and policy only asked": {"requestid": PolicySubrequest, "cmdline": refused},
	} {
		t.Run(name, func(t *testing.T) {
			opts["context"] = gitContext
			c := newFake(t, "# syntax=docker/dockerfile:1\n", opts)
			_, err := run(t, c, deny)
			if opts["requestid"] == "" {
				var d *DenialError
				require.ErrorAs(t, err, &d)
			}
			for _, id := range c.read {
				require.False(t, strings.HasPrefix(id, gitSource), "%s was read", id)
			}
		})
	}
}

// A forwarded frontend reads its build file and its context before it returns a result.
func TestADeniedContextIsNotForwarded(t *testing.T) {
	const rule = "frontends: [{name: d, match: [docker/dockerfile], dispatch: forward, build: "
	for _, tt := range []struct {
		name, rules, more string
		opts              map[string]string
		refused           bool
	}{
		{"a denied repository", onlyFromHTTP, "", map[string]string{"context": gitContext}, true},
		{"an allowed repository", onlyFromGit, "", map[string]string{"context": gitContext}, false},
		{
			"a denied repository by another option", onlyFromHTTP, "",
			map[string]string{"contextkey": "x", "x": gitContext},
			true,
		},
		{
			"one that another rule allows", onlyFromHTTP,
			", {name: e, match: [e/e], dispatch: forward, build: " + onlyFromGit + "}",
			map[string]string{"context": gitContext},
			true,
		},
		{"a directory of the client", onlyFromHTTP, "", nil, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			opts := map[string]string{"cmdline": selfRef + " docker/dockerfile:1"}
			maps.Copy(opts, tt.opts)
			c := newFake(t, "FROM scratch\n", opts)
			b := &build{
				client: c, opts: gatewayopts.Parse(c.opts),
				layers: mustLayers(t, "version: 1\n"+rule+tt.rules+"}"+tt.more+"]", ""),
			}
			ref, err := imageref.Parse("docker/dockerfile:1")
			require.NoError(t, err)
			d := policy.Decide(b.layers, policy.Request{
				Requested: "docker/dockerfile:1", Reference: ref, Digest: digestOne,
			})
			require.Equal(t, policy.Allow, d.Verdict, d.Reason)
			err = b.checkOwnContext(t.Context(), b.newMonitor(admitted{decision: d}))
			var r *refusal
			require.Equal(t, tt.refused, errors.As(err, &r), "%v", err)
			if tt.refused {
				require.Empty(t, c.read)
			}
		})
	}
}

func TestARefusedBuildFileIsNotReplacedByTheDefaultFrontend(t *testing.T) {
	c := newFake(t, "# syntax=evil/x:1\n", map[string]string{"context": gitContext})
	_, err := run(t, c, "version: 1\ndefaultFrontend: docker/dockerfile:1\nbuild: {git: deny}\n"+
		"frontends: [{match: [docker/dockerfile]}]\n")
	var d *DenialError
	require.ErrorAs(t, err, &d)
	require.Contains(t, d.Decision.Reason, "the git repository")
	require.Empty(t, c.read)
}

// What is read is also bound by a source policy, so a client's own can't replace it.
func TestTheDaemonIsBoundToWhatWasCheckedOfTheBuildFile(t *testing.T) {
	c := newFake(t, "# syntax=docker/dockerfile:1\n", map[string]string{"context": gitContext})
	b := &build{
		client: c, opts: gatewayopts.Parse(c.opts),
		layers: mustLayers(t, "version: 1\ndefault: allow\nbuild: "+onlyFromGit+"\n", ""),
	}
	b.file = newBuildFile(ownReads{c, b.checkRead})
	_, err := b.file.load(t.Context())
	require.NoError(t, err)
	require.NotEmpty(t, c.bound)
	for _, policies := range c.bound {
		require.Len(t, policies, 1)
	}
}

func mustLayers(tb testing.TB, embedded, overlay string) policy.Layers {
	tb.Helper()
	p, err := policy.Parse("policy.yaml", []byte(embedded))
	require.NoError(tb, err)
	var over *policy.Policy
	if overlay != "" {
		over, err = policy.ParseOverlay("overlay", []byte(overlay))
		require.NoError(tb, err)
	}
	layers, err := policy.Stack(p, over)
	require.NoError(tb, err)
	return layers
}
