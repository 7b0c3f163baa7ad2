package frontend

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/policy-frontend/policy-frontend/internal/gatewayopts"
	"github.com/policy-frontend/policy-frontend/policy"
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
