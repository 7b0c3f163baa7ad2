package integration

import (
	"bytes"
	"context"
	"path/filepath"
	"testing"
	"time"

	"github.com/moby/buildkit/client"
	"github.com/moby/buildkit/client/llb"
	"github.com/moby/buildkit/client/llb/sourceresolver"
	gateway "github.com/moby/buildkit/frontend/gateway/client"
	"github.com/moby/buildkit/solver/pb"
	"github.com/stretchr/testify/require"

	"github.com/policy-frontend/policy-frontend/integration/harness"
)

// llbPolicy allows LLB that no frontend made, on busybox and without network.
const llbPolicy = guardPolicy + `llb: allow
build:
  images: {allow: ["busybox"]}
  git: {allow: ["http://localhost:*/**", "http://127.0.0.1:*/**"]}
  exec: {networks: ["none"]}
`

// ownLLB is what a client builds without a frontend.
type ownLLB struct {
	image   string
	network pb.NetMode
	quiet   bool // it runs no command
}

func (o ownLLB) marshal(t *testing.T) *llb.Definition {
	t.Helper()
	st := llb.Image(o.image).Run(llb.Shlex("sh -c 'echo own > /out'"), llb.Network(o.network)).Root()
	if o.quiet {
		st = llb.Image(o.image).File(llb.Mkfile("/out", 0o644, []byte("own\n")))
	}
	def, err := st.Marshal(t.Context())
	require.NoError(t, err)
	return def
}

// waysOfLLB are the ways in which a client can have LLB built that no frontend made.
var waysOfLLB = map[string]func(*testing.T, *harness.Daemon, *llb.Definition) error{
	"Control.Solve": func(t *testing.T, d *harness.Daemon, def *llb.Definition) error {
		ctx, c := buildkitClient(t, d)
		_, err := c.Solve(ctx, def, client.SolveOpt{}, nil)
		return err
	},
	"LLBBridge.Solve": func(t *testing.T, d *harness.Daemon, def *llb.Definition) error {
		ctx, c := buildkitClient(t, d)
		_, err := c.Build(ctx, client.SolveOpt{}, "", func(
			ctx context.Context, c gateway.Client,
		) (*gateway.Result, error) {
			return c.Solve(ctx, gateway.SolveRequest{Definition: def.ToPB(), Evaluate: true})
		}, nil)
		return err
	},
}

// buildkitClient returns BuildKit's own client, as programs use it.
func buildkitClient(
	t *testing.T, d *harness.Daemon, opts ...client.ClientOpt,
) (context.Context, *client.Client) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	t.Cleanup(cancel)
	c, err := client.New(ctx, d.Addr, opts...)
	require.NoError(t, err)
	t.Cleanup(func() { c.Close() })
	return ctx, c
}

// byStdin has buildctl build LLB, and export the result.
func byStdin(
	t *testing.T, d *harness.Daemon, def *llb.Definition, out string, args ...string,
) harness.Output {
	t.Helper()
	var stdin bytes.Buffer
	require.NoError(t, llb.WriteTo(def, &stdin))
	c := d.BuildctlCommand(append([]string{
		"build", "--progress=plain", "--output", "type=local,dest=" + out,
	}, args...)...)
	c.Stdin = &stdin
	return d.Run(t, c)
}

func TestGuardJudgesLLBThatNoFrontendMade(t *testing.T) {
	t.Parallel()
	allowed := ownLLB{image: "busybox", network: pb.NetMode_NONE}
	t.Run("refused by default", func(t *testing.T) {
		t.Parallel()
		g := env.Guard(t, harness.DaemonConfig{}, guardPolicy)
		const why = "LLB that no frontend made is refused: the policy lets clients build by frontends only"
		for name, build := range waysOfLLB {
			require.NoError(t, build(t, g.Behind, allowed.marshal(t)), name)
			require.ErrorContains(t, build(t, g.Daemon, allowed.marshal(t)), why, name)
		}
		byStdin(t, g.Behind, allowed.marshal(t), t.TempDir()).RequireSuccess(t)
		byStdin(t, g.Daemon, allowed.marshal(t), t.TempDir()).RequireFailure(t, why, "#build-help")
	})
	t.Run("llb: allow", func(t *testing.T) {
		t.Parallel()
		g := env.Guard(t, harness.DaemonConfig{}, llbPolicy)
		for name, build := range waysOfLLB {
			require.NoError(t, build(t, g.Daemon, allowed.marshal(t)), name)
			for why, other := range map[string]ownLLB{
				"refuses the image docker/dockerfile:1": {
					image: "docker/dockerfile:1", network: pb.NetMode_NONE,
				},
				"with the network default": {image: "busybox"},
			} {
				require.ErrorContains(t, build(t, g.Daemon, other.marshal(t)), why, name)
			}
		}
		out := t.TempDir()
		byStdin(t, g.Daemon, allowed.marshal(t), out).RequireSuccess(t)
		require.Equal(t, "own\n", read(t, filepath.Join(out, "out")))
		byStdin(t, g.Daemon, ownLLB{image: "busybox"}.marshal(t), out).
			RequireFailure(t, "with the network default")
	})
}

// What a client sends to the daemon by an older form of the API means the same.
func TestGuardServesClientsThatAskForAFrontendAtOnce(t *testing.T) {
	t.Parallel()
	g := env.Guard(t, harness.DaemonConfig{}, guardPolicy)
	solve := func(
		d *harness.Daemon, frontend, syntax string, attrs map[string]string,
	) (string, error) {
		ctx, c := buildkitClient(t, d)
		out := t.TempDir()
		_, err := c.Solve(ctx, nil, client.SolveOpt{
			Frontend: frontend, FrontendAttrs: attrs,
			LocalMounts: mountsOf(t, harness.WriteContext(t, dockerfile(syntax))),
			Exports:     []client.ExportEntry{{Type: client.ExporterLocal, OutputDir: out}},
		}, nil)
		return filepath.Join(out, "out"), err
	}
	for name, tc := range map[string]struct {
		frontend, syntax string
		attrs            map[string]string
	}{
		"dockerfile.v0": {"dockerfile.v0", "docker/dockerfile:1", nil},
		"an image": {
			"gateway.v0", "docker/dockerfile:1", map[string]string{"source": "docker/dockerfile:1"},
		},
	} {
		out, err := solve(g.Daemon, tc.frontend, tc.syntax, tc.attrs)
		require.NoError(t, err, name)
		require.Equal(t, "ran\n", read(t, out))
	}
	env.Frontend(t, harness.EchoFrontend)
	for name, tc := range map[string]struct {
		frontend, syntax string
		attrs            map[string]string
	}{
		"a syntax line": {"dockerfile.v0", forbidden, nil},
		"an image":      {"gateway.v0", "docker/dockerfile:1", map[string]string{"source": forbidden}},
	} {
		_, err := solve(g.Behind, tc.frontend, tc.syntax, tc.attrs)
		require.NoError(t, err, "%s on the bare daemon", name)
		_, err = solve(g.Daemon, tc.frontend, tc.syntax, tc.attrs)
		require.ErrorContains(t, err, "frontend "+forbidden+" is refused", name)
	}
}

// Clients read remote contexts and build files by LLB of their own, with one source.
func TestGuardLetsClientsReadRemoteBuildFiles(t *testing.T) {
	t.Parallel()
	file := map[string]string{
		"Dockerfile":       goodFile,
		"docker-bake.json": `{"target": {"default": {}}}`,
	}
	repo, _ := harness.GitServer(t, file)
	served := harness.ServeFiles(t, map[string][]byte{"Dockerfile": []byte(goodFile)})
	dir := harness.WriteContext(t, file)
	for name, tc := range map[string]struct {
		args []string
		deny string // build rules that refuse it
		why  string
	}{
		"a git context": {
			[]string{"build", "--progress=plain", repo + "#main"}, "git: deny", "git is denied",
		},
		"a remote bake file": {
			[]string{"bake", "--progress=plain", repo + "#main"}, "git: deny", "git is denied",
		},
		"a build file by URL": {
			[]string{"build", "--progress=plain", "-f", served + "/Dockerfile", "."},
			"http: deny",
			"http is denied",
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			g := env.Guard(t, harness.DaemonConfig{}, guardPolicy)
			g.Buildx(t, dir, tc.args...).RequireSuccess(t)
			refusing := env.Guard(t, harness.DaemonConfig{}, guardPolicy+"build: {"+tc.deny+"}\n")
			refusing.Buildx(t, dir, tc.args...).RequireFailure(t, tc.why)
		})
	}
}

func TestGuardLetsClientsLookUpWhatABuildMayRead(t *testing.T) {
	t.Parallel()
	g := env.Guard(t, harness.DaemonConfig{}, guardPolicy+"build: {images: {allow: [busybox]}}\n")
	lookUp := func(d *harness.Daemon, image string) error {
		ctx, c := buildkitClient(t, d)
		_, err := c.Build(ctx, client.SolveOpt{}, "", func(
			ctx context.Context, c gateway.Client,
		) (*gateway.Result, error) {
			_, _, _, err := c.ResolveImageConfig(ctx, image, sourceresolver.Opt{})
			return gateway.NewResult(), err
		}, nil)
		return err
	}
	const other = "docker.io/docker/dockerfile:1"
	require.NoError(t, lookUp(g.Behind, other))
	require.NoError(t, lookUp(g.Daemon, "docker.io/library/busybox:latest"))
	require.ErrorContains(t, lookUp(g.Daemon, other), "refuses the image docker/dockerfile:1")
}

// The daemon evaluates the source policies of a definition again after an answer has changed a
// source: it has named its session, left out submodules, or replaced or pinned an image.
func TestGuardAnswersByTheBuildRules(t *testing.T) {
	t.Parallel()
	repo, _ := harness.GitServer(t, map[string]string{"cloned": "cloned\n"})
	dir := harness.WriteContext(t, map[string]string{"sent": "sent\n"})
	g := env.Guard(t, harness.DaemonConfig{}, guardPolicy+`llb: allow
build:
  images:
    rules: [{name: bases, match: ["docker.io/library/*"], tags: ["latest"]}]
    convert: [{from: nowhere.example/library, to: docker.io/library}]
  git: {allow: ["http://127.0.0.1:*/**", "http://localhost:*/**"]}
  local: {allow: ["context"]}
  exec: {networks: ["none"]}
  others: deny
`)
	build := func(d *harness.Daemon, image, local string) (harness.Output, string) {
		st := llb.Image(image).Run(llb.Shlex("sh -c 'echo own > /out'"), llb.Network(pb.NetMode_NONE)).
			Root().File(llb.Copy(llb.Local(local), "sent", "/")).
			File(llb.Copy(llb.Git(repo, "main"), "cloned", "/"))
		def, err := st.Marshal(t.Context())
		require.NoError(t, err)
		out := t.TempDir()
		return byStdin(t, d, def, out, "--local", local+"="+dir), out
	}
	digest := digestOf(t, "library/busybox:latest")
	for _, image := range []string{
		"nowhere.example/library/busybox:latest", "busybox:latest", "busybox:latest@" + digest,
	} {
		o, out := build(g.Daemon, image, "context")
		o.RequireSuccess(t)
		for file, text := range map[string]string{"out": "own\n", "sent": "sent\n", "cloned": "cloned\n"} {
			require.Equal(t, text, read(t, filepath.Join(out, file)), image)
		}
	}
	other := "busybox:latest@" + digestOf(t, "docker/dockerfile:1")
	o, _ := build(g.Daemon, other, "context")
	o.RequireFailure(t, "busybox:latest", "LLB that no frontend made is refused")
	o, _ = build(g.Daemon, "busybox:latest", "other")
	o.RequireFailure(t, "the client's directory")
}
