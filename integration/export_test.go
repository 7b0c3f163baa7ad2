package integration

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/moby/buildkit/cmd/buildkitd/config"
	"github.com/stretchr/testify/require"

	"github.com/policy-frontend/policy-frontend/integration/harness"
	"github.com/policy-frontend/policy-frontend/internal/export"
	"github.com/policy-frontend/policy-frontend/policy"
)

// These tests have repositories of their own, because other tests check that nothing of the evil
// frontend's repository was pulled.
const (
	exportEvil      = "export/evil:1"
	exportEvilAfter = "docker/dockerfile-of-export:1"
	exportEvilBelow = "docker/dockerfile/of-export:1"
	exportByDigest  = "export/by-digest"
	exportDigested  = "export/needs-digest"
)

// exportPolicy returns a policy with each kind of rule that a format can have.
func exportPolicy(t *testing.T) string {
	t.Helper()
	return fmt.Sprintf(`version: 1
id: exported
contact: "#build-help"
frontends:
  - {name: dockerfile, match: [docker/dockerfile], versions: ">=1 <2"}
  - {name: by-digest, match: [%s], digests: ["%s"]}
  - {name: digested, match: [%s], requireDigest: true}
  - {name: yaml, match: ["frontends/yaml*"]}
  - {name: all-of-export, match: ["export/evil"]}
  - {name: no-evil, match: ["**/evil"], action: deny, message: "evil is not reviewed"}
`, exportByDigest, digest(t, "docker/dockerfile:1"), exportDigested)
}

// exported writes an export to a file.
func exported(
	t *testing.T, doc string, format export.Format, o export.Options,
) (string, []export.Note) {
	t.Helper()
	p, err := policy.Parse("policy.yaml", []byte(doc))
	require.NoError(t, err)
	if o.Time.IsZero() {
		o.Time = time.Now()
	}
	out, err := export.Export(p, format, o)
	require.NoError(t, err)
	name := map[export.Format]string{
		export.SourcePolicy: "source-policy.json",
		export.Buildkitd:    "buildkitd.toml",
		export.Rego:         "policy.rego",
	}[format]
	file := filepath.Join(t.TempDir(), name)
	require.NoError(t, os.WriteFile(file, out.Data, 0o600))
	return file, out.Notes
}

// frontendCase is a frontend that a build asks for, and whether it may run.
type frontendCase struct {
	frontend string
	want     string // text of the refusal; empty if the frontend runs
}

// runExported builds with each frontend, once with buildctl and once with a syntax line. Then it
// checks in the registry's log that no refused image was pulled.
func runExported(
	t *testing.T, cases map[string]frontendCase, refusal string,
	build func(t *testing.T, dir, out string) harness.Output,
) {
	t.Helper()
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := harness.WriteContext(t, map[string]string{
				"Dockerfile": "# syntax=" + c.frontend +
					"\nFROM busybox AS b\nRUN echo ran > /out\nFROM scratch\nCOPY --from=b /out /\n",
			})
			out := filepath.Join(t.TempDir(), "out")
			o := build(t, dir, out)
			if c.want != "" {
				o.RequireFailure(t, refusal)
				require.NoDirExists(t, out)
				return
			}
			o.RequireSuccess(t)
			require.Equal(t, "ran\n", read(t, filepath.Join(out, "out")))
		})
	}
	t.Cleanup(func() { requireEvilNotRun(t) })
}

// requireEvilNotRun fails the test if more of the evil frontend than its configuration was pulled.
// BuildKit pulls the configuration before a policy can tell a frontend from a base image.
func requireEvilNotRun(t *testing.T) {
	t.Helper()
	ref, err := name.ParseReference(env.Registry.Ref(evil))
	require.NoError(t, err)
	image, err := remote.Image(ref)
	require.NoError(t, err)
	configuration, err := image.ConfigName()
	require.NoError(t, err)
	for _, ref := range []string{exportEvil, exportEvilAfter, exportEvilBelow} {
		repo, _, _ := strings.Cut(ref, ":")
		for _, blob := range env.Registry.BlobsPulled(repo) {
			require.Equal(t, configuration.String(), blob, "%s was pulled", repo)
		}
	}
}

// BuildKit refuses with these words, for a source policy and for a client's policy.
const (
	sourceDenied = "denied by policy"
	regoDenied   = "not allowed by policy"

	refusedByExport = "refused"
)

// exportCases returns the frontends for which both a source policy and a Rego policy can decide.
func exportCases(t *testing.T) map[string]frontendCase {
	t.Helper()
	return map[string]frontendCase{
		"a frontend in the range of versions": {frontend: "docker/dockerfile:1"},
		"a frontend outside of the range": {
			frontend: "docker/dockerfile:999",
			want:     refusedByExport,
		},
		"a frontend without a tag": {
			frontend: "docker/dockerfile",
			want:     refusedByExport,
		},
		"a name that goes on where the rule's ends": {frontend: exportEvilAfter, want: refusedByExport},
		"a name below the rule's":                   {frontend: exportEvilBelow, want: refusedByExport},
		"a frontend that a rule denies":             {frontend: exportEvil, want: refusedByExport},
		"a digest that is one of the rule's":        {frontend: exportByDigest + ":1"},
		"a digest that isn't one of the rule's": {
			frontend: exportByDigest + ":2",
			want:     refusedByExport,
		},
		"a frontend that needs a digest and has one": {
			frontend: exportDigested + ":1@" + digest(t, "docker/dockerfile:1"),
		},
		"a frontend that needs a digest and has none": {
			frontend: exportDigested + ":1",
			want:     refusedByExport,
		},
	}
}

// pushExportCases pushes the frontends of the cases to the registry.
func pushExportCases(t *testing.T) {
	t.Helper()
	env.Frontend(t, harness.EvilFrontend)
	const good = "docker/dockerfile:1"
	for to, from := range map[string]string{
		"docker/dockerfile:999": good, exportByDigest + ":1": good, exportDigested + ":1": good,
		"exported/dockerfile:1": good,
		exportEvil:              evil, exportEvilAfter: evil, exportEvilBelow: evil,
		exportByDigest + ":2": evil,
	} {
		require.NoError(t, env.Registry.Tag(env.Registry.Ref(from), env.Registry.Ref(to)))
	}
}

func TestExportedSourcePolicyWithBuildctl(t *testing.T) {
	t.Parallel()
	pushExportCases(t)
	file, _ := exported(t, exportPolicy(t), export.SourcePolicy, export.Options{})
	d := env.Plain(t)
	runExported(t, exportCases(t), sourceDenied, func(t *testing.T, dir, out string) harness.Output {
		t.Helper()
		return d.Buildctl(t, "build", "--progress=plain", "--frontend=dockerfile.v0", "--local",
			"context="+dir, "--local", "dockerfile="+dir,
			"--source-policy-file", file, "--output", "type=local,dest="+out)
	})
}

func TestExportedSourcePolicyWithBuildx(t *testing.T) {
	t.Parallel()
	pushExportCases(t)
	file, _ := exported(t, exportPolicy(t), export.SourcePolicy, export.Options{Strict: true})
	d := env.Plain(t)
	runExported(t, exportCases(t), sourceDenied, func(t *testing.T, dir, out string) harness.Output {
		t.Helper()
		c := d.BuildxCommand(dir, "build", "--progress=plain", "-o", out, ".")
		c.Env = []string{"EXPERIMENTAL_BUILDKIT_SOURCE_POLICY=" + file}
		return d.Run(t, c)
	})
}

// regoPolicies is the first BuildKit version for which buildx evaluates Rego policies. For older
// versions, buildx refuses strict policies and ignores the others.
const regoPolicies = "v0.27.0"

// byRego builds with a Rego policy. buildx reads the policy from its working directory.
func byRego(t *testing.T, d *harness.Daemon, dir, file string, args ...string) harness.Output {
	t.Helper()
	require.NoError(t, os.WriteFile(filepath.Join(dir, "policy.rego"), []byte(read(t, file)), 0o600))
	line := append([]string{
		"build", "--progress=plain", "--policy", "filename=policy.rego,strict=true",
	}, args...)
	return d.Buildx(t, dir, append(line, ".")...)
}

func TestExportedRegoPolicy(t *testing.T) {
	t.Parallel()
	env.Needs(t, regoPolicies, "buildx has no Rego policies for it")
	pushExportCases(t)
	file, _ := exported(t, exportPolicy(t), export.Rego, export.Options{Images: []string{"library/*"}})
	d := env.Plain(t)
	runExported(t, exportCases(t), regoDenied, func(t *testing.T, dir, out string) harness.Output {
		t.Helper()
		return byRego(t, d, dir, file, "-o", out)
	})
}

var regoBlock = regexp.MustCompile("(?s)```rego\n(.*?)```")

// docs/export.md has the lines for a repository whose own policy denies by default.
func TestARepositorysOwnRegoNeedsTwoLines(t *testing.T) {
	t.Parallel()
	env.Needs(t, regoPolicies, "buildx has no Rego policies for it")
	shown := regoBlock.FindStringSubmatch(docsPage(t, "export.md"))
	require.NotNil(t, shown)
	lines := strings.ReplaceAll(shown[1], "registry.example/policy-frontend", env.Repository())
	const own = "package docker\n\ndefault allow := false\n\nallow if input.local\n\n" +
		"allow if input.image.fullRepo == \"docker.io/library/busybox\"\n\n" +
		"decision := {\"allow\": allow}\n"
	us, d := env.WithPolicy(t, corpPolicy), env.SolePermitted(t)
	build := func(rego string) harness.Output {
		files := dockerfile(inner)
		files["Dockerfile.rego"] = rego
		return d.Buildx(t, harness.WriteContext(t, files),
			byBuildx(us, "-o", filepath.Join(t.TempDir(), "out"))...)
	}
	build(own).RequireFailure(t, regoDenied)
	build(strings.Replace(own, "decision :=", lines+"\ndecision :=", 1)).RequireSuccess(t)
}

// A Rego policy also expresses tags by pattern and their exceptions, limits, aliases, denied tags,
// digests without a tag, and hosts in another spelling.
func TestExportedRegoPolicyConditions(t *testing.T) {
	t.Parallel()
	env.Needs(t, regoPolicies, "buildx has no Rego policies for it")
	pushExportCases(t)
	const good = "docker/dockerfile:1"
	pinned := digest(t, good)
	for _, ref := range []string{
		"rego/tagged:1.7", "rego/tagged:1.5", "rego/tagged:1.bad", "rego/replaced:1",
		"rego/beyond/limits:1", "rego/any:1", "rego/upstream:1",
	} {
		require.NoError(t, env.Registry.Tag(env.Registry.Ref(good), env.Registry.Ref(ref)))
	}
	file, _ := exported(t, `version: 1
aliases: [{from: rego/replaced, to: rego/any}]
frontends:
  - {name: tagged, match: [rego/tagged], tags: ["1.*"], exceptTags: ["1.5"]}
  - {name: "no bad ones", match: [rego/tagged], tags: ["*bad"], action: deny}
  - {name: rest, match: ["rego/**"], requireDigest: true}
  - {name: any, match: [rego/any, rego/replaced, rego/beyond/limits, rego/upstream]}
  - {name: no-upstream, match: ["**/upstream"], action: deny}
limits: {match: ["rego/*"]}
`, export.Rego, export.Options{Images: []string{"library/*"}})
	d := env.Plain(t)
	runExported(t, map[string]frontendCase{
		"a tag of the pattern":   {frontend: "rego/tagged:1.7"},
		"a tag that is excepted": {frontend: "rego/tagged:1.5", want: refusedByExport},
		"a tag that is denied":   {frontend: "rego/tagged:1.bad", want: refusedByExport},
		"a digest where a tag could be denied": {
			frontend: "rego/tagged@" + pinned,
			want:     refusedByExport,
		},
		"a name that an alias replaces": {frontend: "rego/replaced:1", want: refusedByExport},
		"a name beyond the limits":      {frontend: "rego/beyond/limits:1", want: refusedByExport},
		"any tag":                       {frontend: "rego/any:1"},
		"a digest alone":                {frontend: "rego/any@" + pinned},
		"a name that is denied":         {frontend: "rego/upstream:1", want: refusedByExport},
		"a host in another case":        {frontend: "DOCKER.IO/rego/any:1", want: refusedByExport},
	}, regoDenied, func(t *testing.T, dir, out string) harness.Output {
		t.Helper()
		return byRego(t, d, dir, file, "-o", out)
	})
}

// A Rego policy refuses a base image that it doesn't name. A source policy doesn't.
func TestExportsAndBaseImages(t *testing.T) {
	t.Parallel()
	env.Needs(t, regoPolicies, "buildx has no Rego policies for it")
	pushExportCases(t)
	d := env.Plain(t)
	dir := harness.WriteContext(t, map[string]string{
		"Dockerfile": "# syntax=docker/dockerfile:1\nFROM exported/dockerfile:1\n",
	})
	file, _ := exported(t, exportPolicy(t), export.Rego, export.Options{Images: []string{"library/*"}})
	byRego(t, d, dir, file).RequireFailure(t,
		"no rule allows the image docker.io/exported/dockerfile:1", "ask #build-help")

	file, _ = exported(t, exportPolicy(t), export.SourcePolicy, export.Options{Strict: true})
	c := d.BuildxCommand(dir, "build", "--progress=plain", ".")
	c.Env = []string{"EXPERIMENTAL_BUILDKIT_SOURCE_POLICY=" + file}
	d.Run(t, c).RequireSuccess(t)
}

// A source policy runs the image that an alias names, from another registry and with the pinned
// digest.
func TestExportedSourcePolicyCarriesAliases(t *testing.T) {
	t.Parallel()
	env.Frontend(t, harness.EvilFrontend)
	mirror := env.Registry.Ref("mirror-of-export/dockerfile")
	require.NoError(t, env.Registry.Tag(env.Registry.Ref("docker/dockerfile:1"), mirror+":1"))
	pinned, err := env.Registry.Digest(mirror + ":1")
	require.NoError(t, err)
	// The tag moves to another image; the pin stays.
	require.NoError(t, env.Registry.Tag(env.Registry.Ref(string(harness.EvilFrontend)), mirror+":1"))
	doc := fmt.Sprintf("version: 1\naliases:\n"+
		"  - {from: exported/only-by-alias, to: %q, pins: {\"1\": %q}}\n"+
		"frontends:\n  - {name: mirror, match: [%q], tags: [\"1\"]}\n",
		mirror, pinned, mirror)
	file, _ := exported(t, doc, export.SourcePolicy, export.Options{Strict: true})
	d := env.Plain(t)
	build := func(frontend string) harness.Output {
		dir := harness.WriteContext(t, map[string]string{
			"Dockerfile": "# syntax=" + frontend + "\nFROM scratch\nCOPY Dockerfile /\n",
		})
		c := d.BuildxCommand(dir, "build", "--progress=plain", ".")
		c.Env = []string{"EXPERIMENTAL_BUILDKIT_SOURCE_POLICY=" + file}
		return d.Run(t, c)
	}
	build("exported/only-by-alias:1").RequireSuccess(t)
	require.NotEmpty(t, env.Registry.BlobsPulled("mirror-of-export/dockerfile"))
	build("exported/only-by-alias:2").RequireFailure(t, "mirror-of-export/dockerfile:2")
	build("exported/only-by-alias:1@"+digest(t, evil)).RequireFailure(t, sourceDenied)
}

// A Rego policy pins a tag as an alias to the same name does.
func TestExportedRegoPolicyPins(t *testing.T) {
	t.Parallel()
	env.Needs(t, regoPolicies, "buildx has no Rego policies for it")
	pushExportCases(t)
	repository := env.Registry.Ref("pinned-by-rego/dockerfile")
	require.NoError(t, env.Registry.Tag(env.Registry.Ref("docker/dockerfile:1"), repository+":1"))
	pinned, err := env.Registry.Digest(repository + ":1")
	require.NoError(t, err)
	require.NoError(t, env.Registry.Tag(env.Registry.Ref(evil), repository+":1"))
	doc := fmt.Sprintf("version: 1\naliases:\n"+
		"  - {from: %[1]q, to: %[1]q, pins: {\"1\": %[2]q}}\n"+
		"frontends:\n  - {name: pinned, match: [%[1]q], tags: [\"1\"]}\n",
		repository, pinned)
	file, notes := exported(t, doc, export.Rego, export.Options{Strict: true})
	require.False(t, slices.ContainsFunc(notes,
		func(n export.Note) bool { return n.Effect == export.AllowsMore }))
	d := env.Plain(t)
	build := func(frontend string) harness.Output {
		dir := harness.WriteContext(t, map[string]string{
			"Dockerfile": "# syntax=" + frontend + "\nFROM scratch\nCOPY Dockerfile /\n",
		})
		return byRego(t, d, dir, file)
	}
	build(repository + ":1").RequireSuccess(t)
	build(repository+":1@"+digest(t, evil)).RequireFailure(t, "an alias pins the tag of")
}

// buildkitd reads the fragment itself, and then allows only the listed names. It would ignore keys
// that it doesn't know.
func TestExportedBuildkitdFragment(t *testing.T) {
	t.Parallel()
	pushExportCases(t)
	file, notes := exported(t, exportPolicy(t), export.Buildkitd, export.Options{})
	cfg, err := config.Load(strings.NewReader(read(t, file)))
	require.NoError(t, err)
	require.NotNil(t, cfg.Frontends.Dockerfile.Enabled)
	require.False(t, *cfg.Frontends.Dockerfile.Enabled)
	require.True(t, *cfg.Frontends.Gateway.Enabled)
	require.Equal(t, []string{
		"docker.io/docker/dockerfile", "docker.io/" + exportByDigest, "docker.io/" + exportDigested,
	}, cfg.Frontends.Gateway.AllowedRepositories)
	require.True(t, slices.ContainsFunc(notes, func(n export.Note) bool {
		return n.Rule == "yaml" && n.Effect == export.RefusesMore && strings.Contains(n.Message,
			"frontends/yaml*")
	}), "%v", notes)

	d := env.StartDaemon(t, harness.DaemonConfig{
		DockerfileOff:       !*cfg.Frontends.Dockerfile.Enabled,
		AllowedRepositories: cfg.Frontends.Gateway.AllowedRepositories,
	})
	const refused = "is not an allowed gateway source"
	for _, c := range []frontendCase{
		{frontend: "docker/dockerfile:1"},
		{frontend: "frontends/yamlfrontend:1", want: refused},
		{frontend: exportEvilAfter, want: refused},
		{frontend: exportEvil, want: refused},
	} {
		dir := harness.WriteContext(t, map[string]string{
			"Dockerfile": "FROM scratch\nCOPY Dockerfile /\n",
		})
		o := d.Buildctl(t, byBuildctl(dir, c.frontend)...)
		if c.want != "" {
			o.RequireFailure(t, c.want)
		} else {
			o.RequireSuccess(t)
		}
	}
	requireEvilNotRun(t)
}

// If a policy allows no name that the fragment can list, the fragment switches gateway.v0 off. An
// empty list would allow every frontend.
func TestExportedBuildkitdFragmentOfNothing(t *testing.T) {
	t.Parallel()
	file, _ := exported(t, "version: 1\nfrontends: [{match: [\"**\"]}]\n", export.Buildkitd,
		export.Options{})
	cfg, err := config.Load(strings.NewReader(read(t, file)))
	require.NoError(t, err)
	require.NotNil(t, cfg.Frontends.Gateway.Enabled)
	require.False(t, *cfg.Frontends.Gateway.Enabled)
}
