package integration

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/policy-frontend/policy-frontend/integration/harness"
)

// Images of these tests in the registry, all of them busybox.
const (
	goodBase = "good/base:1"
	evilBase = "evil/base:1"
	oldBase  = "old/base:1" // what the policy converts to goodBase
)

// buildSites are the places outside of the registry from which builds read.
type buildSites struct {
	files, evilFiles string // served by HTTP
	git, evilGit     string
	commit           string
}

func newBuildSites(t *testing.T) buildSites {
	t.Helper()
	for _, ref := range []string{goodBase, evilBase, oldBase, "plat/amd64:1", "plat/arm64:1", "scan/scanner:1"} {
		require.NoError(t, env.Registry.Tag(env.Registry.Ref("library/busybox:latest"), env.Registry.Ref(ref)))
	}
	var s buildSites
	s.files = harness.ServeFiles(t, map[string][]byte{"file": []byte("served\n")})
	s.evilFiles = harness.ServeFiles(t, map[string][]byte{"file": []byte("evil\n")})
	s.git, s.commit = harness.GitServer(t, map[string]string{"file": "from git\n"})
	s.evilGit, _ = harness.GitServer(t, map[string]string{"file": "evil\n"})
	return s
}

// policy returns a policy that allows of each kind what is not evil.
func (s buildSites) policy(head string) string {
	return fmt.Sprintf(`version: 1
id: corp-ci
contact: "#build-help"
%s
frontends:
  - name: dockerfile
    match: ["docker/dockerfile"]
    build:
      images:
        allow: [busybox, "good/**", "plat/amd64"]
        convert: [{from: old/base, to: good/base}]
      git: {allow: [%q]}
      http: {allow: [%q]}
      exec: {secrets: ["npm-*"], networks: [none, default]}
      config: {user: {forbid: [root]}}
`, head, s.git, s.files+"/**")
}

// under is a daemon on which the image with the policy is the only way in.
func under(t *testing.T, policy string) side {
	t.Helper()
	return side{Daemon: env.SolePermitted(t), name: "through us", syntax: env.WithPolicy(t, policy)}
}

func TestForwardedBuildsAreRefusedAtTheirLine(t *testing.T) {
	t.Parallel()
	sites := newBuildSites(t)
	us := under(t, sites.policy(""))
	secret := filepath.Join(t.TempDir(), "secret")
	require.NoError(t, os.WriteFile(secret, []byte("x"), 0o600))
	for name, tc := range map[string]struct {
		file string // after the syntax line, which is line 1
		args []string
		line int
		want string
	}{
		"a base image":                          {file: "FROM evil/base:1\nUSER app\n", line: 2, want: "the image evil/base:1"},
		"a base image behind ARG":               {file: "ARG BASE=good/base:1\nFROM $BASE\nUSER app\n", args: []string{"--build-arg=BASE=evil/base:1"}, line: 3, want: "the image evil/base:1"},
		"the base image of another stage":       {file: "FROM busybox AS a\nFROM evil/base:1 AS b\nRUN touch /x\nFROM busybox\nCOPY --from=b /x /\nUSER app\n", line: 3, want: "the image evil/base:1"},
		"COPY --from":                           {file: "FROM busybox\nRUN true\nCOPY --from=evil/base:1 /bin/sh /x\nUSER app\n", line: 4, want: "the image evil/base:1"},
		"RUN --mount from":                      {file: "FROM busybox\nRUN --mount=from=evil/base:1,target=/m ls /m\nUSER app\n", line: 3, want: "the image evil/base:1"},
		"a named context":                       {file: "FROM base\nRUN true\nUSER app\n", args: []string{"--build-context=base=docker-image://evil/base:1"}, line: 3, want: "the image evil/base:1"},
		"a named context over an allowed image": {file: "FROM good/base:1\nUSER app\n", args: []string{"--build-context=good/base:1=docker-image://evil/base:1"}, want: "the image evil/base:1"},
		"one of two platforms":                  {file: "ARG TARGETARCH\nFROM plat/${TARGETARCH}:1\nUSER app\n", args: []string{"--platform=linux/amd64,linux/arm64"}, line: 3, want: "the image plat/arm64:1"},
		"ADD by http":                           {file: "FROM busybox\nADD " + sites.evilFiles + "/file /\nUSER app\n", line: 3, want: "the download " + sites.evilFiles + "/file"},
		"ADD by git":                            {file: "FROM busybox\nADD " + sites.evilGit + " /src\nUSER app\n", line: 3, want: "the git repository"},
		"a named context by git":                {file: "FROM busybox\nCOPY --from=src file /\nUSER app\n", args: []string{"--build-context=src=" + sites.evilGit}, line: 3, want: "the git repository"},
		"a secret":                              {file: "FROM busybox\nRUN --mount=type=secret,id=aws true\nUSER app\n", args: []string{"--secret=id=aws,src=" + secret}, line: 3, want: `aws`},
		"the user of the image":                 {file: "FROM busybox\n", want: "user"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := withSyntax(t, tc.file, nil)
			out := filepath.Join(t.TempDir(), "out")
			o := us.buildx(t, dir, append([]string{"-o", out}, tc.args...)...)
			o.RequireFailure(t, "frontend docker/dockerfile:1 is refused: ", tc.want, "rule:     dockerfile", "policy:   corp-ci sha256:", "contact:  #build-help")
			require.NoDirExists(t, out, "something was exported")
			if tc.line == 0 {
				o.RequireFailure(t, "asked by: the frontend, which names no line")
				return
			}
			lines := strings.Split(syntaxLine+tc.file, "\n")
			o.RequireFailure(t, fmt.Sprintf("asked by: line %d of Dockerfile", tc.line), fmt.Sprintf("%4d | >>> %s", tc.line, lines[tc.line-1]))
		})
	}
	t.Cleanup(func() {
		// Its configuration is: a forwarded frontend looks images up by itself.
		for _, image := range env.Registry.ReadImage(t, env.Registry.Ref(evilBase)) {
			for _, layer := range image.Layers {
				require.NotContains(t, env.Registry.BlobsPulled("evil/base"), layer, "the image was pulled")
			}
		}
	})
}

func TestForwardedBuildsUnderRulesAreTheSame(t *testing.T) {
	t.Parallel()
	sites := newBuildSites(t)
	us, them := under(t, sites.policy("")), direct(t)
	secret := filepath.Join(t.TempDir(), "secret")
	require.NoError(t, os.WriteFile(secret, []byte("x"), 0o600))
	for name, tc := range map[string]struct {
		file, unconverted string
		files             map[string]string
		args              []string
	}{
		"stages with commands and a secret": {
			file: "FROM busybox AS a\nRUN --mount=type=secret,id=npm-token wc -c < /run/secrets/npm-token > /one\nFROM good/base:1\nCOPY --from=a /one /\nUSER app\n",
			args: []string{"--secret=id=npm-token,src=" + secret},
		},
		"two platforms":                     {file: "FROM busybox\nCOPY hello /\nUSER app\n", files: map[string]string{"hello": "x"}, args: []string{"--platform=linux/amd64,linux/arm64"}},
		"one platform of an image for each": {file: "ARG TARGETARCH\nFROM plat/${TARGETARCH}:1\nUSER app\n"},
		"a download and a git repository":   {file: "FROM scratch\nADD " + sites.files + "/file /a\nADD " + sites.git + "#" + sites.commit + " /b\nADD " + sites.git + " /c\nUSER app\n"},
		"a folder as named context":         {file: "FROM scratch\nCOPY --from=more hello /\nUSER app\n", files: map[string]string{"sub/hello": "x"}, args: []string{"--build-context=more=sub"}},
		"nothing at all":                    {file: "FROM scratch\nUSER app\n"},
		"an image that stands for another":  {file: "FROM old/base:1\nRUN echo ran > /out\nUSER app\n", unconverted: "FROM good/base:1\nRUN echo ran > /out\nUSER app\n"},
		"a stage of which nothing is used":  {file: "FROM evil/base:1 AS unused\nRUN false\nFROM busybox\nUSER app\n"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			build := func(s side, file string) string {
				out := outFile(t)
				s.buildx(t, withSyntax(t, file, tc.files), append([]string{"--provenance=false", "--output", comparableOutput(out)}, tc.args...)...).RequireSuccess(t)
				return out
			}
			want := tc.file
			if tc.unconverted != "" {
				want = tc.unconverted
			}
			requireSameResult(t, build(them, want), build(us, tc.file))
		})
	}
}

func TestAClientsSourcePolicyIsHeldToWhatWasJudged(t *testing.T) {
	t.Parallel()
	sites := newBuildSites(t)
	us := under(t, sites.policy(""))
	pinned := "docker-image://docker.io/library/busybox:latest@" + digestOf(t, "library/busybox:latest")
	for name, tc := range map[string]struct {
		file, from, to string
		attrs          string
		want           string // empty if it is built
	}{
		"a base image that is converted to a refused one":       {file: "FROM busybox\nUSER app\n", from: "docker-image://docker.io/library/busybox*", to: "docker-image://docker.io/" + evilBase, want: "the image evil/base:1"},
		"a base image that is converted behind the resolve":     {file: "FROM busybox\nUSER app\n", from: "docker-image://docker.io/library/busybox:latest@*", to: "docker-image://docker.io/" + evilBase, want: "denied by policy"},
		"a base image that is converted to an allowed one":      {file: "FROM busybox\nRUN true\nUSER app\n", from: pinned, to: "docker-image://docker.io/" + goodBase, want: "denied by policy"},
		"an image that the policy converted, converted back":    {file: "FROM old/base:1\nUSER app\n", from: "docker-image://docker.io/good/base*", to: "docker-image://docker.io/" + evilBase, want: "denied by policy"},
		"a base image that is pinned to the digest that it has": {file: "FROM busybox\nRUN true\nUSER app\n", from: "docker-image://docker.io/library/busybox:latest", to: pinned},
		"a download that is converted":                          {file: "FROM busybox\nADD " + sites.files + "/file /\nUSER app\n", from: sites.files + "/file", to: sites.evilFiles + "/file", want: "denied by policy"},
		"a git repository that is converted":                    {file: "FROM busybox\nADD " + sites.git + "#" + sites.commit + " /\nUSER app\n", from: "git://*", to: strings.Replace(sites.evilGit, "http://", "git://", 1), want: "denied by policy"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			policy := filepath.Join(t.TempDir(), "source-policy.json")
			doc := fmt.Sprintf(`{"rules": [{"action": "CONVERT", "selector": {"identifier": %q, "matchType": "WILDCARD"}, "updates": {"identifier": %q}}]}`, tc.from, tc.to)
			require.NoError(t, os.WriteFile(policy, []byte(doc), 0o600))
			out := filepath.Join(t.TempDir(), "out")
			c := us.BuildxCommand(withSyntax(t, tc.file, nil), byBuildx(us.syntax, "-o", out)...)
			c.Env = []string{"EXPERIMENTAL_BUILDKIT_SOURCE_POLICY=" + policy}
			o := us.Run(t, c)
			if tc.want == "" {
				o.RequireSuccess(t)
				require.DirExists(t, out)
				return
			}
			o.RequireFailure(t, tc.want)
			require.NoDirExists(t, out, "something was exported")
		})
	}
}

func TestForwardedBuildsThatWouldBeRefusedAreWarnedOf(t *testing.T) {
	t.Parallel()
	sites := newBuildSites(t)
	us := under(t, sites.policy("mode: warn"))
	dir := withSyntax(t, "FROM plat/arm64:1\nRUN true\nUSER app\n", nil)
	metadata := filepath.Join(t.TempDir(), "metadata.json")
	out := filepath.Join(t.TempDir(), "out")
	us.buildx(t, dir, "-o", out, "--metadata-file", metadata).RequireSuccess(t)
	require.DirExists(t, out)
	var decision string
	require.NoError(t, json.Unmarshal(harness.ReadMetadata(t, metadata)["frontend.policy.decision"], &decision))
	require.Contains(t, decision, `"verdict":"warn"`)
	require.Contains(t, decision, "would be refused: ")
	require.Contains(t, decision, "the image plat/arm64:1")
}

// What an inner frontend imports as cache, and the attestations that it makes, are
// part of what is solved again.
func TestForwardedBuildsUnderRulesKeepCacheAndAttestations(t *testing.T) {
	t.Parallel()
	env.Needs(t, "v0.28.0", "its provenance is of SLSA v0.2")
	sites := newBuildSites(t)
	scanner := env.Frontend(t, harness.SBOMScanner)
	policy := strings.Replace(sites.policy(""), `"good/**"`, `"good/**", "`+strings.Split(scanner, ":")[0]+`"`, 1)
	dir := withSyntax(t, "FROM busybox AS b\nRUN head -c 32 /dev/urandom | sha256sum > /random\nFROM scratch\nCOPY --from=b /random /\nUSER app\n", nil)
	cache := t.TempDir()
	build := func(s side, args ...string) (images []harness.OCIImage, progress string) {
		file := outFile(t)
		o := s.buildx(t, dir, append([]string{"--output", "type=oci,dest=" + file, "--attest=type=provenance,mode=max", "--attest=type=sbom,generator=" + scanner}, args...)...).RequireSuccess(t)
		return harness.ReadOCI(t, file), o.Text()
	}
	syntax := env.WithPolicy(t, policy)
	first, _ := build(under(t, policy), "--cache-to=type=local,mode=max,dest="+cache)
	second, progress := build(under(t, policy), "--cache-from=type=local,src="+cache)
	require.True(t, cached(t, progress, "RUN head"), "%s", progress)
	require.Equal(t, first[0].Layers, second[0].Layers)
	ours := "pkg:docker/" + env.Repository() + "@" + syntax[strings.LastIndex(syntax, ":")+1:]
	digest := func(ref string) string { return strings.TrimPrefix(digestOf(t, ref), "sha256:") }
	for _, images := range [][]harness.OCIImage{first, second} {
		require.Len(t, images, 2)
		require.True(t, images[1].Attestation)
		statements := map[string]json.RawMessage{}
		for _, st := range images[1].Statements(t) {
			statements[st.PredicateType] = st.Predicate
		}
		require.Contains(t, string(statements[predicateSBOM]), "./random")

		// What is solved again is ours: the provenance has the client's own request, and
		// names our image beside the inner one.
		var p provenance
		require.NoError(t, json.Unmarshal(statements[predicateProvenance], &p))
		require.Equal(t, syntax, p.BuildDefinition.ExternalParameters.Request.Args["source"])
		require.NotEmpty(t, p.BuildDefinition.InternalParameters.BuildConfig.LLB)
		require.NotEmpty(t, p.materials()[ours])
		require.Equal(t, map[string]string{
			"pkg:docker/busybox@latest":                           digest("library/busybox:latest"),
			"pkg:docker/docker/dockerfile@1":                      digest(inner),
			"pkg:docker/" + strings.Replace(scanner, ":", "@", 1): digest(scanner),
			ours: p.materials()[ours],
		}, p.materials())
	}
}

// A subrequest builds nothing, so that there is nothing to refuse.
func TestSubrequestsUnderRulesAreAnswered(t *testing.T) {
	t.Parallel()
	us := under(t, newBuildSites(t).policy(""))
	dir := withSyntax(t, "FROM busybox AS first\nFROM first AS second\n", nil)
	for call, want := range map[string]string{"targets": "second", "outline": "TARGET:", "check": "Check complete"} {
		require.Contains(t, us.buildx(t, dir, "--call="+call).RequireSuccess(t).Text(), want)
	}
}
