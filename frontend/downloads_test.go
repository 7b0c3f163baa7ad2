package frontend

import (
	"strings"
	"testing"
	"time"

	gwpb "github.com/moby/buildkit/frontend/gateway/pb"
	"github.com/stretchr/testify/require"

	"github.com/policy-frontend/policy-frontend/internal/gatewayopts"
	"github.com/policy-frontend/policy-frontend/internal/optionkeys"
	"github.com/policy-frontend/policy-frontend/policy"
)

// onDownloads allows docker/dockerfile, and its commands to download from one host.
const onDownloads = `version: 1
id: corp
contact: "#ops"
dispatch: mediate
frontends:
- name: dockerfile
  match: [docker/dockerfile]
  message: see the wiki
  build: {exec: {downloads: {allow: [deb.example]}}}
`

func TestARequestOfACommandIsJudged(t *testing.T) {
	c, _ := choiceUnder(t, onDownloads)
	ruling, err := c.JudgeDownload(t.Context(), "https://deb.example/dists/x")
	require.NoError(t, err)
	require.Equal(t, policy.Allow, ruling.Verdict)

	_, err = c.JudgeDownload(t.Context(), "https://user:xxxxx@evil.example/a?token=secret")
	var denial *DenialError
	require.ErrorAs(t, err, &denial)
	require.Equal(t, "dockerfile", denial.Decision.Rule)
	require.Equal(t, `frontend docker/dockerfile:1 is refused: rule "dockerfile" refuses a command's `+
		"request for https://evil.example/a?…: it allows only https://deb.example/** "+
		"(build.exec.downloads.allow)", strings.Split(denial.Error(), "\n")[0])
	for _, want := range []string{"see the wiki", "corp sha256:", "#ops", policy.DenialMark} {
		require.Contains(t, denial.Error(), want)
	}
	require.NotContains(t, denial.Error(), "xxxxx")
	d, ok := DecisionOf(err)
	require.True(t, ok)
	require.Equal(t, policy.Deny, d.Verdict)
}

func TestARequestOfACommandOnlyWarns(t *testing.T) {
	const doc = "version: 1\ndefault: allow\ndispatch: mediate\n" +
		"build: {exec: {downloads: {mode: warn, allow: [deb.example]}}}\n"
	c, _ := choiceUnder(t, doc)
	require.Empty(t, c.Decided().Warnings)
	for range 2 {
		ruling, err := c.JudgeDownload(t.Context(), "https://evil.example/a")
		require.NoError(t, err)
		require.Equal(t, policy.Warn, ruling.Verdict)
	}
	require.Len(t, c.Decided().Warnings, 1)
	require.Contains(t, c.Decided().Warnings[0], "https://evil.example/a")
}

func TestARequestIsAllowedWhereNoRuleIsAboutIt(t *testing.T) {
	c, _ := choiceUnder(t, "version: 1\ndispatch: mediate\nfrontends:\n"+
		"- {match: [docker/dockerfile], build: {exec: {secrets: []}}}\n"+
		"- {match: [x], build: {exec: {downloads: deny}}}\n")
	ruling, err := c.JudgeDownload(t.Context(), "https://evil.example/a")
	require.NoError(t, err)
	require.Equal(t, policy.Allow, ruling.Verdict)
}

func TestNoRequestIsAllowedWithoutADecision(t *testing.T) {
	_, err := (*Choice)(nil).JudgeDownload(t.Context(), "https://deb.example/a")
	require.EqualError(t, err, "no frontend was allowed in this build")
	_, err = (&Choice{}).JudgeDownload(t.Context(), "https://deb.example/a")
	require.EqualError(t, err, "internal: the choice has no decision on downloads")
}

func TestRequestsOfAClientsOwnLLB(t *testing.T) {
	for doc, want := range map[string]string{
		"llb: allow\nbuild: {exec: {downloads: {allow: [deb.example]}}}\n": "",
		"llb: allow\nbuild: {exec: {downloads: {allow: [a.example]}}}\n": "LLB that no frontend made is " +
			"refused: the policy refuses a command's request for https://deb.example/a",
		"llb: deny\nbuild: {exec: {downloads: {allow: [deb.example]}}}\n": "LLB that no frontend made is " +
			"refused: it asks for something, and nothing is allowed",
	} {
		c, err := ownChoice(t, "version: 1\n"+doc)
		require.NoError(t, err)
		_, err = c.JudgeDownload(t.Context(), "https://deb.example/a")
		if want == "" {
			require.NoError(t, err)
			continue
		}
		var denial *DenialError
		require.ErrorAs(t, err, &denial)
		require.Contains(t, denial.Error(), want)
	}
}

// ownChoice is the choice of [Frontend.Own] under a policy.
func ownChoice(t *testing.T, doc string) (*Choice, error) {
	t.Helper()
	p, err := policy.Parse("policy.yaml", []byte(doc))
	require.NoError(t, err)
	return Frontend{
		Policy: func() (*policy.Policy, error) { return p, nil },
	}.Own(t.Context(), newFake(t, "", nil))
}

func TestAnImageAloneRefusesAPolicyOnDownloads(t *testing.T) {
	const free = "version: 1\nid: free\ndefault: allow\n"
	const overlay = "version: 1\ndefault: allow\nbuild: {exec: {downloads: deny}}\n"
	for name, tc := range map[string]struct {
		embedded  string // of the image
		fromGuard bool
		overlay   string // of the client
		handed    string // by policy-guard
		why       string // "" if the policy isn't why it fails
	}{
		"an image's own": {
			embedded: onDownloads, why: `the policy "corp" of this image has rules on what commands ` +
				"download (frontends[0].build.exec.downloads), and only policy-guard's own policy can have them",
		},
		"an image's own beside policy-guard's": {
			embedded: onDownloads, handed: free, why: `the policy "corp" of this image has rules on what ` +
				"commands download",
		},
		"an overlay": {
			embedded: free, overlay: overlay, why: "the overlay has rules on what commands download " +
				`(build.exec.downloads), and the policy "free" has none`,
		},
		"policy-guard's": {fromGuard: true, handed: onDownloads},
		"policy-guard's beside an image's own": {
			embedded: "version: 1\ndefault: allow\n", handed: onDownloads,
		},
		"an overlay on policy-guard's": {fromGuard: true, handed: onDownloads, overlay: overlay},
		"an overlay on policy-guard's without any": {
			fromGuard: true, handed: free, overlay: overlay, why: "the overlay has rules on what " +
				`commands download (build.exec.downloads), and the policy "free" has none`,
		},
	} {
		t.Run(name, func(t *testing.T) {
			fake := newFake(t, "", nil)
			fake.opts["cmdline"] = pinnedSelf + " docker/dockerfile:1"
			if tc.handed != "" {
				fake.opts = handed(t, tc.handed, func(*gatewayopts.HandOver) {})
			}
			if tc.overlay != "" {
				fake.opts[optionkeys.Overlay] = tc.overlay
			}
			_, err := inImage(t, fake, tc.embedded, tc.fromGuard)
			if tc.why != "" {
				require.ErrorContains(t, err, tc.why)
				return
			}
			require.Error(t, err, "the fake runs no frontend")
			require.NotContains(t, err.Error(), "has rules on what commands download")
		})
	}
}

func TestPolicyGuardTakesAnOverlayOnDownloadsIfItHasSome(t *testing.T) {
	const free = "version: 1\nid: free\ndefault: allow\n"
	const overlay = "version: 1\ndefault: allow\nbuild: {exec: {downloads: deny}}\n"
	for doc, want := range map[string]string{
		onDownloads: "",
		free: `the overlay has rules on what commands download (build.exec.downloads), and the policy ` +
			`"free" has none, so nobody is asked about a download: build without them, or have some added ` +
			"to the policy",
	} {
		fake := newOutside(t, optionkeys.Overlay, overlay)
		choice, err := chooseWith(t, fake, doc, nil)
		if want != "" {
			require.ErrorContains(t, err, want)
			continue
		}
		require.NoError(t, err)
		_, err = choice.JudgeDownload(t.Context(), "https://deb.example/a")
		require.ErrorContains(t, err, "the overlay decided: the overlay refuses a command's request for "+
			"https://deb.example/a: exec.downloads is denied (build.exec.downloads)")
		p, err := policy.Parse("policy.yaml", []byte(doc))
		require.NoError(t, err)
		layers, err := Frontend{
			Policy: func() (*policy.Policy, error) { return p, nil }, Now: time.Now,
		}.Layers(map[string]string{optionkeys.Overlay: overlay})
		require.NoError(t, err)
		require.True(t, layers.HasDownloads())
	}
}

func TestANestedFrontendWithOtherRulesOnDownloadsDoesNotRun(t *testing.T) {
	t.Parallel()
	s := serveBroker(t, `version: 1
frontends:
- {name: first, match: [docker/dockerfile], dispatch: mediate}
- name: nested
  match: [mirror.corp/docker/dockerfile]
  dispatch: builtin
  build: {exec: {downloads: {allow: [deb.example]}}}
`)
	_, err := s.Solve(t.Context(), &gwpb.SolveRequest{
		Frontend: gatewayFrontend, FrontendOpt: map[string]string{
			optionkeys.Source: "mirror.corp/docker/dockerfile:1",
		},
	})
	s.requireRefused(t, err, "what its commands download is restricted otherwise than for the frontend "+
		"that runs it")
}
