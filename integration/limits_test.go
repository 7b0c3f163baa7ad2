package integration

import (
	"bytes"
	"fmt"
	"io"
	"path/filepath"
	"strings"
	"testing"

	"github.com/moby/buildkit/client/llb"
	"github.com/stretchr/testify/require"

	"github.com/policy-frontend/policy-frontend/integration/harness"
	"github.com/policy-frontend/policy-frontend/integration/harness/registry"
)

// docs/threat-model.md says that a client with these means gets around any gateway image, because
// the daemon never starts it. These tests keep the document true. If one fails, BuildKit has closed
// that way, and the document can say so.
func TestWhatTheImageCannotStop(t *testing.T) {
	t.Parallel()
	us := env.WithPolicy(t, corpPolicy)
	env.Frontend(t, harness.EvilFrontend)
	// This test has a name of its own, because other tests check that evil was never pulled.
	const other = "frontends/unstoppable:1"
	require.NoError(t, env.Registry.Tag(env.Registry.Ref(evil), env.Registry.Ref(other)))
	d := env.SolePermitted(t)

	t.Run("a named context over our own reference", func(t *testing.T) {
		t.Parallel()
		for _, key := range []string{us, us + "::linux/amd64"} {
			dir, out := harness.WriteContext(t, map[string]string{"Dockerfile": goodFile}), t.TempDir()
			d.Buildctl(t, byBuildctl(dir, us, "--opt", "context:"+key+"=docker-image://"+other, "--output",
				"type=local,dest="+out)...).RequireSuccess(t)
			require.FileExists(t, filepath.Join(out, "opts.json"), "the other frontend ran")
		}
	})
	t.Run("a source policy that converts our own image", func(t *testing.T) {
		t.Parallel()
		dir, out := harness.WriteContext(t, map[string]string{"Dockerfile": goodFile}), t.TempDir()
		c := d.BuildxCommand(dir, byBuildx(us, "-o", out)...)
		c.Env = []string{sourcePolicy(t,
			convertRule("docker-image://"+us+"*", "docker-image://docker.io/"+other))}
		d.Run(t, c).RequireSuccess(t)
		require.FileExists(t, filepath.Join(out, "opts.json"), "the other frontend ran")
	})
	t.Run("a source policy in a file beside the Dockerfile, which buildx sends by itself",
		func(t *testing.T) {
			t.Parallel()
			env.Needs(t, regoPolicies, "it asks no client about sources")
			const open = "version: 1\ndefault: allow\n"
			rego := fmt.Sprintf(`package docker
default allow := false
ours if { input.image; contains(input.image.ref, "policy-frontend") }
allow if not ours
allow if { ours; pin_image(input.image, %q) }
decision := {"allow": allow}
`, digest(t, strings.TrimPrefix(env.WithPolicy(t, open), env.Registry.Host()+"/")))
			dir, out := harness.WriteContext(t, map[string]string{
				"Dockerfile":      "# syntax=" + other + "\nFROM scratch\n",
				"Dockerfile.rego": rego,
			}), t.TempDir()
			d.Buildx(t, dir, byBuildx(us, "-o", out)...).RequireSuccess(t)
			require.FileExists(t, filepath.Join(out, "opts.json"),
				"the other frontend ran, under another policy of ours")
			d.Buildx(t, dir, byBuildx(us, "--policy=disabled=true")...).RequireFailure(t,
				"no rule allows "+other)
		})
	t.Run("a bake file with a named context over our own reference", func(t *testing.T) {
		t.Parallel()
		bake := fmt.Sprintf("target \"default\" {\n  contexts = { %q = %q }\n}\n", us,
			"docker-image://"+other)
		dir, out := harness.WriteContext(t, map[string]string{
			"Dockerfile":      goodFile,
			"docker-bake.hcl": bake,
		}), t.TempDir()
		d.Buildx(t, dir, "bake", "--allow=fs.write="+out, "--set=*.args.BUILDKIT_SYNTAX="+us,
			"--set=*.output="+out).RequireSuccess(t)
		require.FileExists(t, filepath.Join(out, "opts.json"), "the other frontend ran")
	})
	t.Run("raw LLB without any frontend", func(t *testing.T) {
		t.Parallel()
		out := t.TempDir()
		c := d.BuildctlCommand("build", "--output", "type=local,dest="+out)
		c.Stdin = rawLLB(t)
		d.Run(t, c).RequireSuccess(t)
		require.FileExists(t, filepath.Join(out, "raw"))
	})
}

// The inner frontend runs under a name in the policy frontend's repository that is in no registry.
// If a build file could write that name, `FROM` the policy frontend would give the inner frontend's
// image.
func TestABuildFromOurOwnImage(t *testing.T) {
	t.Parallel()
	us := env.WithPolicy(t, corpPolicy)
	dir, out := harness.WriteContext(t, map[string]string{
		"Dockerfile": goodSyntax + "FROM " + us + "\nCOPY --from=" + us + " /policy-frontend /again\n",
	}), t.TempDir()
	env.SolePermitted(t).Buildx(t, dir, byBuildx(us, "-o", out)...).RequireSuccess(t)
	require.FileExists(t, filepath.Join(out, "policy-frontend"))
	require.FileExists(t, filepath.Join(out, "again"))
	require.Equal(t, corpPolicy, read(t, filepath.Join(out, "etc/policy-frontend/policy.yaml")))
}

// Without such means, the daemon itself refuses what avoids the policy frontend.
func TestWhatTheDaemonRefuses(t *testing.T) {
	t.Parallel()
	d := env.SolePermitted(t)
	dir := harness.WriteContext(t, map[string]string{"Dockerfile": goodFile})
	d.Buildx(t, dir, byBuildx("docker/dockerfile:1")...).RequireFailure(t,
		"'docker/dockerfile:1' is not an allowed gateway source")
	d.Buildx(t, dir, "build", ".").RequireFailure(t, "dockerfile.v0")
}

// docs/threat-model.md lists what no dispatcher sees. These tests keep the list true.
func TestWhatNoDispatcherSees(t *testing.T) {
	t.Parallel()
	const head = "version: 1\nid: corp-ci\nfrontends: [{match: [docker/dockerfile]}]\n"
	d := env.StartDaemon(t, harness.DaemonConfig{
		DockerfileOff: true, AllowedRepositories: []string{env.Repository()}, Entitlements: grantable(),
	})
	noRoot := env.WithPolicy(t, head+"build: {config: {user: {forbid: [root]}}}\n")

	t.Run("a configuration among the attributes of an exporter", func(t *testing.T) {
		t.Parallel()
		dir, file := withSyntax(t, "FROM busybox\nUSER app\n", nil), outFile(t)
		const config = `{"architecture": "amd64", "os": "linux", "config": {"User": "root"}}`
		d.Buildctl(t, byBuildctl(dir, noRoot, "--output", "type=oci,dest="+file+
			`,"containerimage.config=`+strings.ReplaceAll(config, `"`, `""`)+`"`)...).RequireSuccess(t)
		require.Equal(t, "root", registry.ReadOCI(t, file)[0].Config.Config.User)
	})
	t.Run("an answer that is exported as an empty image", func(t *testing.T) {
		t.Parallel()
		for file, request := range map[string]string{
			syntaxLine + "FROM busybox\nUSER app\n": "frontend.lint", evilFile: "frontend.policy",
		} {
			dir, out := harness.WriteContext(t, map[string]string{"Dockerfile": file}), outFile(t)
			d.Buildctl(t, byBuildctl(dir, noRoot, "--opt", "requestid="+request, "--output",
				"type=oci,dest="+out)...).RequireSuccess(t)
			images := registry.ReadOCI(t, out)
			require.Empty(t, images[0].Layers)
			require.Empty(t, images[0].Config.Config.User)
		}
	})
	t.Run("what is in a layout that the client names", func(t *testing.T) {
		t.Parallel()
		dir := withSyntax(t, "FROM registry.example/base\nUSER app\n", map[string]string{
			"own": goodSyntax + "FROM scratch\nCOPY Dockerfile /own\n",
		})
		layout := filepath.Join(t.TempDir(), "layout")
		open := env.WithPolicy(t, head)
		d.Buildx(t, dir, byBuildx(open, "-f", "own", "--provenance=false", "--output",
			"type=oci,tar=false,dest="+layout)...).RequireSuccess(t)
		context := "--build-context=registry.example/base=oci-layout://" + layout + "@" +
			registry.ReadOCI(t, layout)[0].Digest
		for rules, refused := range map[string]bool{
			``: false, `, ociLayout: {allow: ["registry.example/**"]}`: false, `, ociLayout: deny`: true,
		} {
			us := env.WithPolicy(t, head+"build: {images: {allow: [\"registry.example/**\"]}"+rules+"}\n")
			out := filepath.Join(t.TempDir(), "out")
			o := d.Buildx(t, dir, byBuildx(us, context, "-o", out)...)
			if refused {
				o.RequireFailure(t, "refuses the image in an OCI layout registry.example/base@")
				continue
			}
			o.RequireSuccess(t)
			require.FileExists(t, filepath.Join(out, "own"))
		}
	})
	t.Run("what commands download through the daemon's build proxy", func(t *testing.T) {
		t.Parallel()
		env.Needs(t, "v0.31.0", "it has no build proxy")
		us := env.WithPolicy(t, head+"build: {http: deny, exec: {networks: [host]}}\n")
		url, asked := harness.WatchedServer(t)
		build := func(step string) harness.Output {
			dir := withSyntax(t, "FROM busybox\n"+step+"\n", nil)
			return d.Buildctl(t, byBuildctl(dir, us, "--proxy-network", "--allow", "network.host")...)
		}
		build("ADD "+url+"/added /x").RequireFailure(t, "refuses the download "+url+"/added")
		o := build("RUN --network=host wget -O /x " + url + "/ran").RequireSuccess(t)
		require.Contains(t, o.Text(), "- GET "+url+"/ran -> 200", "the proxy tells what it passed on")
		require.Equal(t, []string{"/ran"}, asked())
	})
}

func rawLLB(t *testing.T) io.Reader {
	t.Helper()
	def, err := llb.Scratch().File(llb.Mkfile("/raw", 0o644, nil)).Marshal(t.Context())
	require.NoError(t, err)
	var b bytes.Buffer
	require.NoError(t, llb.WriteTo(def, &b))
	return &b
}
