package integration

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/containerd/containerd/v2/core/content"
	"github.com/containerd/containerd/v2/plugins/content/local"
	controlapi "github.com/moby/buildkit/api/services/control"
	"github.com/moby/buildkit/client"
	"github.com/moby/buildkit/client/llb"
	"github.com/moby/buildkit/client/llb/sourceresolver"
	"github.com/moby/buildkit/exporter/containerimage/exptypes"
	gateway "github.com/moby/buildkit/frontend/gateway/client"
	gwpb "github.com/moby/buildkit/frontend/gateway/pb"
	"github.com/moby/buildkit/solver/pb"
	spb "github.com/moby/buildkit/sourcepolicy/pb"
	"github.com/moby/buildkit/sourcepolicy/policysession"
	"github.com/stretchr/testify/require"
	"github.com/tonistiigi/fsutil"

	"github.com/policy-frontend/policy-frontend/integration/harness"
)

// echoed is a file that only results of the frontend that guardPolicy doesn't allow have.
const echoed = "opts.json"

// outputOf returns the directory with the result of a client's build, and the error.
func outputOf(
	t *testing.T, d *harness.Daemon, opt client.SolveOpt, build gateway.BuildFunc,
) (string, error) {
	t.Helper()
	ctx, c := buildkitClient(t, d)
	return exportedBy(ctx, t, c, opt, build)
}

func exportedBy(
	ctx context.Context, t *testing.T, c *client.Client, opt client.SolveOpt, build gateway.BuildFunc,
) (string, error) {
	t.Helper()
	out := t.TempDir()
	opt.Exports = []client.ExportEntry{{Type: client.ExporterLocal, OutputDir: out}}
	_, err := c.Build(ctx, opt, "", build, nil)
	return out, err
}

// mountsOf returns the directories of a build whose context is in dir.
func mountsOf(t *testing.T, dir string) map[string]fsutil.FS {
	t.Helper()
	f, err := fsutil.NewFS(dir)
	require.NoError(t, err)
	return map[string]fsutil.FS{"context": f, "dockerfile": f}
}

// byImage asks for docker/dockerfile with further options.
func byImage(
	opts map[string]string, inputs map[string]*pb.Definition,
) func(context.Context, gateway.Client) (*gateway.Result, error) {
	return func(ctx context.Context, c gateway.Client) (*gateway.Result, error) {
		all := map[string]string{"source": inner}
		maps.Copy(all, opts)
		return c.Solve(ctx, gateway.SolveRequest{
			Frontend: "gateway.v0", FrontendOpt: all, FrontendInputs: inputs,
		})
	}
}

// A named context replaces a frontend by whatever it names, under each name of the frontend. Those
// spellings that don't work on the bare daemon may be allowed, and then they replace nothing.
func TestGuardLetsNoNamedContextReplaceTheFrontend(t *testing.T) {
	t.Parallel()
	env.Frontend(t, harness.EchoFrontend)
	g := env.Guard(t, harness.DaemonConfig{}, guardPolicy)
	dir := harness.WriteContext(t, dockerfile(""))

	// The same image as an OCI layout and as LLB.
	layout := t.TempDir()
	from := harness.WriteContext(t, map[string]string{"Dockerfile": "FROM " + forbidden + "\n"})
	g.Behind.Buildctl(t, byBuildctl(from, inner, "--output",
		"type=oci,tar=false,dest="+layout)...).RequireSuccess(t)
	store, err := local.NewStore(layout)
	require.NoError(t, err)
	var index struct{ Manifests []struct{ Digest string } }
	require.NoError(t, json.Unmarshal([]byte(read(t, filepath.Join(layout, "index.json"))), &index))
	config, err := pullImage(t, env.Registry.Ref(forbidden)).RawConfigFile()
	require.NoError(t, err)
	metadata, err := json.Marshal(map[string][]byte{exptypes.ExporterImageConfigKey: config})
	require.NoError(t, err)
	def, err := llb.Image("docker.io/" + forbidden).Marshal(t.Context())
	require.NoError(t, err)

	build := func(d *harness.Daemon, key, value string) (string, error) {
		opts, inputs := map[string]string{key: value}, map[string]*pb.Definition{}
		if value == "input:evil" {
			opts["input-metadata:evil"], inputs["evil"] = string(metadata), def.ToPB()
		}
		return outputOf(t, d, client.SolveOpt{
			LocalMounts: mountsOf(t, dir),
			OCIStores:   map[string]content.Store{"layout": store},
		}, byImage(opts, inputs))
	}
	values := map[string]string{
		"an image":      "docker-image://docker.io/" + forbidden,
		"an OCI layout": "oci-layout://layout@" + index.Manifests[0].Digest,
		"an input":      "input:evil",
	}
	replaces := func(out string, err error) bool {
		_, missing := os.Stat(filepath.Join(out, echoed))
		return err == nil && missing == nil
	}
	for what, value := range values {
		for _, key := range []string{"context:" + inner, "context:" + inner + "::linux/amd64"} {
			out, err := build(g.Behind, key, value)
			require.NoError(t, err, "%s under %s on the bare daemon", what, key)
			require.True(t, replaces(out, err), "%s under %s on the bare daemon", what, key)
			_, err = build(g.Daemon, key, value)
			want := "would replace the frontend"
			if what == "an input" { // which the client made itself
				want = "isn't what a build of this client has returned"
			}
			require.ErrorContains(t, err, want, "%s under %s", what, key)
		}
	}
	for _, name := range []string{
		"docker.io/" + inner, "index.docker.io/" + inner, "DOCKER.io/" + inner,
		"docker/dockerfile", "docker/dockerfile:latest", inner + "@" + digestOf(t, inner),
		inner + "::linux/arm64", inner + ":: linux/amd64", " " + inner,
	} {
		out, err := build(g.Daemon, "context:"+name, values["an image"])
		require.False(t, replaces(out, err), name)
	}
}

// A client's source policy converts nothing, whatever selects the source.
func TestGuardLetsNoSourcePolicyReplaceTheFrontend(t *testing.T) {
	t.Parallel()
	env.Frontend(t, harness.EchoFrontend)
	g := env.Guard(t, harness.DaemonConfig{}, guardPolicy)
	dir := harness.WriteContext(t, dockerfile(""))
	const repository = "docker-image://docker.io/docker/dockerfile"
	for name, selector := range map[string]*spb.Selector{
		"an exact name": {
			Identifier: "docker-image://docker.io/" + inner, MatchType: spb.MatchType_EXACT,
		},
		"a wildcard": {Identifier: repository + "*", MatchType: spb.MatchType_WILDCARD},
		"a regular expression": {
			Identifier: "^" + repository + ".*$", MatchType: spb.MatchType_REGEX,
		},
		"the pinned image": {
			Identifier: "docker-image://docker.io/" + inner + "@" + digestOf(t, inner),
			MatchType:  spb.MatchType_EXACT,
		},
	} {
		source := inner
		if name == "the pinned image" {
			source += "@" + digestOf(t, inner)
		}
		build := func(d *harness.Daemon) (string, error) {
			return outputOf(t, d, client.SolveOpt{
				LocalMounts: mountsOf(t, dir),
				SourcePolicy: &spb.Policy{Version: 1, Rules: []*spb.Rule{{
					Action: spb.PolicyAction_CONVERT, Selector: selector,
					Updates: &spb.Update{Identifier: "docker-image://docker.io/" + forbidden},
				}}},
			}, byImage(map[string]string{"source": source}, nil))
		}
		out, err := build(g.Behind)
		require.NoError(t, err, name)
		require.FileExists(t, filepath.Join(out, echoed), name)
		_, err = build(g.Daemon)
		require.ErrorContains(t, err, "its source policy converts sources", name)
	}
}

// A session policy may answer the daemon's second question about a source in another way.
func TestGuardLetsNoSessionPolicyReplaceTheFrontend(t *testing.T) {
	t.Parallel()
	env.Frontend(t, harness.EchoFrontend)
	g := env.Guard(t, harness.DaemonConfig{}, guardPolicy)
	dir := harness.WriteContext(t, dockerfile(""))
	build := func(d *harness.Daemon) (string, error) {
		var mu sync.Mutex
		asked := 0
		return outputOf(t, d, client.SolveOpt{
			LocalMounts: mountsOf(t, dir),
			SourcePolicyProvider: policysession.NewPolicyProvider(func(
				_ context.Context, req *policysession.CheckPolicyRequest,
			) (*policysession.DecisionResponse, *gwpb.ResolveSourceMetaRequest, error) {
				mu.Lock()
				defer mu.Unlock()
				allow := &policysession.DecisionResponse{Action: spb.PolicyAction_ALLOW}
				if !strings.Contains(req.GetSource().GetSource().GetIdentifier(), "docker/dockerfile") {
					return allow, nil, nil
				}
				if asked++; asked == 1 {
					return allow, nil, nil
				}
				return &policysession.DecisionResponse{
					Action: spb.PolicyAction_CONVERT,
					Update: &pb.SourceOp{Identifier: "docker-image://docker.io/" + forbidden},
				}, nil, nil
			}),
		}, func(ctx context.Context, c gateway.Client) (*gateway.Result, error) {
			// The first question is that of somebody who looks what will run.
			_, _, _, err := c.ResolveImageConfig(ctx, "docker.io/"+inner, sourceresolver.Opt{})
			if err != nil {
				return nil, err
			}
			return byImage(nil, nil)(ctx, c)
		})
	}
	out, err := build(g.Behind)
	require.NoError(t, err)
	require.FileExists(t, filepath.Join(out, echoed))
	_, err = build(g.Daemon)
	require.ErrorContains(t, err, "it has a session policy of its own")
}

// The gateway hands options to a frontend in environment variables: what is before the first "=" of
// the variable is the key.
func TestGuardLetsNoOptionReachTheFrontendUnderAnotherName(t *testing.T) {
	t.Parallel()
	g := env.Guard(t, harness.DaemonConfig{}, guardPolicy+"    options: {deny: [\"build-arg:A\"]}\n")
	dir := harness.WriteContext(t, map[string]string{
		"Dockerfile": "FROM busybox\nARG A\nARG B\nRUN echo \"a=$A b=$B\" > /out\n",
	})
	build := func(d *harness.Daemon, key, value string) (string, error) {
		out, err := outputOf(t, d, client.SolveOpt{LocalMounts: mountsOf(t, dir)},
			byImage(map[string]string{key: value}, nil))
		if err != nil {
			return "", err
		}
		return read(t, filepath.Join(out, "out")), nil
	}
	got, err := build(g.Behind, "build-arg:A=smuggled", "")
	require.NoError(t, err)
	require.Equal(t, "a=smuggled= b=\n", got)
	_, err = build(g.Daemon, "build-arg:A=smuggled", "")
	require.ErrorContains(t, err, "would reach the frontend under another name")
	_, err = build(g.Daemon, "build-arg:A", "denied")
	require.ErrorContains(t, err, "build-arg:A")
	for _, key := range []string{"build-arg:B\x00build-arg:A", "build-arg:B\x00"} {
		// No variable can have a NUL, so the container of the frontend fails on the bare daemon.
		_, err = build(g.Behind, key, "x")
		require.ErrorContains(t, err, "exit code: 1", "%q", key)
		_, err = build(g.Daemon, key, "x")
		require.ErrorContains(t, err, "would reach the frontend under another name", "%q", key)
	}
	got, err = build(g.Daemon, "build-arg:B", "a=b")
	require.NoError(t, err)
	require.Equal(t, "a= b=a=b\n", got)
}

// A client returns what a frontend made of the build, and nothing else.
func TestGuardLetsNoClientForgeAResult(t *testing.T) {
	t.Parallel()
	g := env.Guard(t, harness.DaemonConfig{}, guardPolicy)
	dir := harness.WriteContext(t, dockerfile(""))
	for name, forge := range map[string]func(context.Context, gateway.Client, *gateway.Result) error{
		"another configuration of the image": func(
			_ context.Context, _ gateway.Client, res *gateway.Result,
		) error {
			res.AddMeta(exptypes.ExporterImageConfigKey,
				[]byte(`{"os":"linux","architecture":"amd64","config":{"User":"root"}}`))
			return nil
		},
		"no reference": func(_ context.Context, _ gateway.Client, res *gateway.Result) error {
			res.Ref = nil
			return nil
		},
		"another platform": func(_ context.Context, _ gateway.Client, res *gateway.Result) error {
			res.AddRef("linux/arm64", res.Ref)
			res.Ref = nil
			return nil
		},
	} {
		build := func(d *harness.Daemon) error {
			ctx, c := buildkitClient(t, d)
			_, err := c.Build(ctx, client.SolveOpt{
				LocalMounts: mountsOf(t, dir),
				Exports: []client.ExportEntry{{
					Type: client.ExporterOCI,
					Output: func(map[string]string) (io.WriteCloser, error) {
						return os.Create(filepath.Join(t.TempDir(), "image.tar"))
					},
				}},
			}, "", func(ctx context.Context, c gateway.Client) (*gateway.Result, error) {
				res, err := byImage(nil, nil)(ctx, c)
				if err != nil {
					return nil, err
				}
				return res, forge(ctx, c, res)
			}, nil)
			return err
		}
		require.NoError(t, build(g.Behind), "%s on the bare daemon", name)
		require.ErrorContains(t, build(g.Daemon), "isn't one that a frontend returned", name)
	}
}

// asUser returns BuildKit's own client of a user.
func asUser(t *testing.T, d *harness.Daemon, uid int) (context.Context, *client.Client) {
	t.Helper()
	return buildkitClient(t, d, client.WithContextDialer(dialerOf(d, uid)))
}

// A client that knows the name of another's build, and of a result in it, reads nothing.
func TestGuardShowsNobodyAnothersResults(t *testing.T) {
	t.Parallel()
	g := env.Guard(t, harness.DaemonConfig{}, guardPolicy)
	served := harness.ServeFiles(t, map[string][]byte{
		"Dockerfile": []byte("FROM busybox AS b\nRUN echo ran > /out\n" +
			"FROM scratch\nCOPY --from=b /out /\n"),
	})
	// begin begins a build that goes on until the test ends.
	begin := func(d *harness.Daemon, uid int, id string) gwpb.LLBBridgeClient {
		c := clientOf(t, d, uid)
		go func() {
			_, _ = controlapi.NewControlClient(c).Solve(t.Context(),
				&controlapi.SolveRequest{Ref: id, Cache: &controlapi.CacheOptions{}})
		}()
		return gwpb.NewLLBBridgeClient(c)
	}
	// steal returns what he reads of her result when he names her build, and then one of his own.
	steal := func(d *harness.Daemon) (data []byte, ofHers, ofHis error) {
		alice := begin(d, 0, "hers")
		res, err := alice.Solve(withHeaders(t, headerBuildID, "hers"), &gwpb.SolveRequest{
			Frontend:          "gateway.v0",
			FrontendOpt:       map[string]string{"source": inner, "context": served + "/Dockerfile"},
			AllowResultReturn: true, AllowResultArrayRef: true,
		})
		require.NoError(t, err)
		file := &gwpb.ReadFileRequest{Ref: res.GetResult().GetRef().GetId(), FilePath: "/out"}
		resp, err := alice.ReadFile(withHeaders(t, headerBuildID, "hers"), file)
		require.NoError(t, err)
		require.Equal(t, "ran\n", string(resp.GetData()), "her own result")
		his := begin(d, bob, "his")
		resp, ofHers = his.ReadFile(withHeaders(t, headerBuildID, "hers"), file)
		_, ofHis = his.ReadFile(withHeaders(t, headerBuildID, "his"), file)
		return resp.GetData(), ofHers, ofHis
	}
	data, ofHers, _ := steal(g.Behind)
	require.NoError(t, ofHers)
	require.Equal(t, "ran\n", string(data), "on the bare daemon, he reads her result")
	_, ofHers, ofHis := steal(g.Daemon)
	require.ErrorContains(t, ofHers, "there is no such build")
	require.ErrorContains(t, ofHis, "the reference isn't one that a frontend returned in this build")
}

// The daemon takes a directory that was sent under the same key for what it has already, by the
// names, sizes and times of its files.
func TestGuardMixesNoDirectoriesOfClients(t *testing.T) {
	t.Parallel()
	g := env.Guard(t, harness.DaemonConfig{}, guardPolicy)
	at := time.Unix(1_600_000_000, 0)
	build := func(d *harness.Daemon, uid int, project, text string) string {
		dir := harness.WriteContext(t, map[string]string{
			"Dockerfile": "FROM scratch\nCOPY f /\n", "f": text,
		})
		for _, name := range []string{"f", "Dockerfile", "."} {
			require.NoError(t, os.Chtimes(filepath.Join(dir, name), at, at))
		}
		ctx, c := asUser(t, d, uid)
		out, err := exportedBy(ctx, t, c,
			client.SolveOpt{LocalMounts: mountsOf(t, dir), SharedKey: project}, byImage(nil, nil))
		require.NoError(t, err)
		return read(t, filepath.Join(out, "f"))
	}
	// The daemon lets go of her directory shortly after it has answered. Until then, he gets another.
	got := ""
	for try := 0; try < 5 && got != "secret of alice"; try++ {
		project := fmt.Sprint("project ", try)
		require.Equal(t, "secret of alice", build(g.Behind, 0, project, "secret of alice"))
		got = build(g.Behind, bob, project, "fifteen letters")
	}
	require.Equal(t, "secret of alice", got, "on the bare daemon, he gets her file")
	require.Equal(t, "secret of carol", build(g.Daemon, 0, "the project", "secret of carol"))
	require.Equal(t, "fifteen letters", build(g.Daemon, bob, "the project", "fifteen letters"))
}

// A build without the cache empties its cache mounts, for everybody who has them.
func TestGuardLetsNobodyEmptyAnothersCacheMounts(t *testing.T) {
	t.Parallel()
	for name, doc := range map[string]string{
		"forward": guardPolicy, "builtin": guardBuiltin, "kept apart": guardBuiltin + forAlice,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			g := env.Guard(t, harness.DaemonConfig{}, doc)
			build := func(d *harness.Daemon, uid int, command string, opts map[string]string) string {
				dir := harness.WriteContext(t, map[string]string{"Dockerfile": fmt.Sprintf(
					"FROM busybox\nRUN --mount=type=cache,target=/kept %s; ls /kept > /out\n", command)})
				ctx, c := asUser(t, d, uid)
				out, err := exportedBy(ctx, t, c, client.SolveOpt{LocalMounts: mountsOf(t, dir)},
					byImage(opts, nil))
				require.NoError(t, err)
				return read(t, filepath.Join(out, "out"))
			}
			empty := map[string]string{"no-cache": ""}
			for _, d := range []*harness.Daemon{g.Behind, g.Daemon} {
				require.Equal(t, "hers\n", build(d, 0, "touch /kept/hers", nil))
				build(d, bob, "true", empty)
			}
			require.Empty(t, build(g.Behind, 0, "echo again", nil),
				"on the bare daemon, he has emptied it")
			require.Equal(t, "hers\n", build(g.Daemon, 0, "echo again", nil))
		})
	}
}

// What a policy denies isn't asked for, whoever would read it: a frontend while it converts the
// build file (SOURCE_DATE_EPOCH names a stage), or the guard itself for the build file.
func TestGuardReadsNothingThatIsDenied(t *testing.T) {
	t.Parallel()
	for name, doc := range map[string]string{
		"forward": "    dispatch: forward\n", "mediate": "    dispatch: mediate\n",
		"builtin": "    dispatch: builtin\n",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			g := mediatingGuard(t, guardPolicy+doc+"    build: {http: deny, git: deny}\n")
			for what, build := range map[string]func(d *harness.Daemon, url string) harness.Output{
				"a stage for the time": func(d *harness.Daemon, url string) harness.Output {
					dir := harness.WriteContext(t, map[string]string{
						"Dockerfile": "ARG SOURCE_DATE_EPOCH=leak\nFROM scratch AS leak\nADD " + url +
							"/x.git /\nFROM scratch\nCOPY Dockerfile /\n",
					})
					return d.Buildctl(t, byBuildctl(dir, inner)...)
				},
				"the context": func(d *harness.Daemon, url string) harness.Output {
					return d.Buildctl(t, "build", "--progress=plain", "--frontend=dockerfile.v0",
						"--opt", "context="+url+"/context.txt")
				},
				"a git context": func(d *harness.Daemon, url string) harness.Output {
					return d.Buildctl(t, "build", "--progress=plain", "--frontend=dockerfile.v0",
						"--opt", "context="+url+"/context.git")
				},
			} {
				url, asked := harness.WatchedServer(t)
				build(g.Behind, url)
				require.NotEmpty(t, asked(), "%s on the bare daemon", what)
				url, asked = harness.WatchedServer(t)
				o := build(g.Daemon, url)
				require.Empty(t, asked(), what)
				if what != "a stage for the time" {
					o.RequireFailure(t, "is denied", "#build-help")
				}
			}
		})
	}
}
