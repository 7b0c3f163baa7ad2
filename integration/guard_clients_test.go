package integration

import (
	"encoding/base64"
	"encoding/json"
	"maps"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/policy-frontend/policy-frontend/integration/harness"
	"github.com/policy-frontend/policy-frontend/integration/harness/registry"
	"github.com/policy-frontend/policy-frontend/policy"
)

// guardForEach runs a test with a guard for each way through it. The guard may hand over.
func guardForEach(t *testing.T, test func(t *testing.T, g *harness.Guarded, w way)) {
	t.Helper()
	for _, w := range guardedWays() {
		t.Run(w.name, func(t *testing.T) {
			t.Parallel()
			test(t, mediatingGuard(t, w.policy(corpPolicy)), w)
		})
	}
}

// The metadata of a build is the same as without a guard, and has the decision. What names the one
// build differs.
func TestGuardLeavesTheMetadataAsItIs(t *testing.T) {
	t.Parallel()
	plain := env.Plain(t)
	dir := withSyntax(t, "FROM busybox\nARG WHO\nCOPY hello /\nLABEL a=b who=$WHO\n",
		map[string]string{"hello": "hello\n"})
	build := func(t *testing.T, d *harness.Daemon, args ...string) map[string]json.RawMessage {
		t.Helper()
		file := filepath.Join(t.TempDir(), "metadata.json")
		comparableBuild(t, d, dir, append([]string{
			"--provenance=false", "--build-arg=WHO=me", "--metadata-file", file,
		}, args...)...)
		metadata := harness.ReadMetadata(t, file)
		require.Contains(t, metadata, "buildx.build.ref")
		delete(metadata, "buildx.build.ref")
		return metadata
	}
	provenances := func(t *testing.T, metadata map[string]json.RawMessage) map[string]any {
		t.Helper()
		found := map[string]any{}
		for key, value := range maps.Clone(metadata) {
			if strings.HasPrefix(key, "buildx.build.provenance") {
				found[key] = requestIn(t, value)
				delete(metadata, key)
			}
		}
		require.NotEmpty(t, found)
		return found
	}
	guardForEach(t, func(t *testing.T, g *harness.Guarded, w way) {
		for name, args := range map[string][]string{
			"one platform": nil, "two platforms": {"--platform=linux/amd64,linux/arm64"},
			"an image with names": {"-t", "a/b:1", "-t", "a/b:2"},
		} {
			t.Run(name, func(t *testing.T) {
				want, got := build(t, plain, args...), build(t, g.Daemon, args...)
				const decision = "frontend.policy.decision"
				require.Contains(t, got, decision)
				delete(got, decision)
				asked, through := provenances(t, want), provenances(t, got)
				if w.build == "" { // what is handed over has further arguments
					require.Equal(t, asked, through)
				}
				require.Equal(t, texts(want), texts(got))
			})
		}
	})
}

// requestIn returns the client's request in a provenance. It has neither what asks for the
// frontend, nor policy-guard's own option, nor what only the daemon's own frontend says about
// itself.
func requestIn(t *testing.T, text json.RawMessage) map[string]any {
	t.Helper()
	var p struct {
		Invocation struct {
			Parameters struct {
				Args   map[string]any   `json:"args"`
				Locals []map[string]any `json:"locals"`
			} `json:"parameters"`
			Environment map[string]any `json:"environment"`
		} `json:"invocation"`
	}
	require.NoError(t, json.Unmarshal(text, &p))
	request := p.Invocation.Parameters
	require.Equal(t, "me", request.Args["build-arg:WHO"])
	delete(request.Args, "source")
	delete(request.Args, "cmdline")
	delete(request.Args, "build-arg:BUILDKIT_CACHE_MOUNT_NS")
	delete(p.Invocation.Environment, "dockerfileVersion")
	return map[string]any{
		"args": request.Args, "locals": request.Locals, "environment": p.Invocation.Environment,
	}
}

func texts(m map[string]json.RawMessage) map[string]string {
	all := map[string]string{}
	for key, value := range m {
		all[key] = string(value)
	}
	return all
}

// The record of a build says the same to its client as to the daemon's administrator.
func TestGuardShowsTheHistoryAsItIs(t *testing.T) {
	t.Parallel()
	g := env.Guard(t, harness.DaemonConfig{}, guardPolicy)
	good := withSyntax(t, "FROM busybox\nRUN echo said\n", nil)
	broken := withSyntax(t, "FROM busybox\nRUN exit 7\n", nil)
	g.Buildx(t, good, "build", "--provenance=mode=max", ".").RequireSuccess(t)
	g.Buildx(t, broken, "build", ".").RequireFailure(t)

	by := func(d *harness.Daemon, args ...string) harness.Output {
		return d.Buildx(t, good, append([]string{"history"}, args...)...)
	}
	refs := func(d *harness.Daemon) []string {
		out := by(d, "ls", "--format={{.Ref}}").RequireSuccess(t).Stdout
		refs := strings.Fields(out)
		for i := range refs {
			refs[i] = path.Base(refs[i])
		}
		return refs
	}
	ours, daemons := refs(g.Daemon), refs(g.Behind)
	require.Len(t, ours, 2)
	require.Len(t, daemons, 2)
	for i, ref := range ours { // the newest first
		both := func(args ...string) (want, got string) {
			want = by(g.Behind, append(args, daemons[i])...).RequireSuccess(t).Text()
			got = by(g.Daemon, append(args, ref)...).RequireSuccess(t).Text()
			return strings.ReplaceAll(want, daemons[i], ref), got
		}
		same := func(args ...string) string {
			want, got := both(args...)
			require.Equal(t, want, got, "%v", args)
			return got
		}
		want, inspected := both("inspect", "--format=json")
		require.Equal(t, inspectedRecord(t, want), inspectedRecord(t, inspected))
		logs := same("logs", "--progress=rawjson")
		if i == 0 {
			require.Contains(t, inspected, "exit code: 7")
			continue
		}
		require.Contains(t, logs, base64.StdEncoding.EncodeToString([]byte("said\n")))
		require.Contains(t, same("inspect", "attachment", "--type=provenance"), "buildDefinition")
		for _, d := range []*harness.Daemon{g.Behind, g.Daemon} {
			name := map[*harness.Daemon]string{g.Behind: daemons[i], g.Daemon: ref}[d]
			file := filepath.Join(t.TempDir(), "build.dockerbuild")
			by(d, "export", "-o", file, name).RequireSuccess(t)
			require.FileExists(t, file)
		}
	}
	by(g.Daemon, "rm", ours[0]).RequireSuccess(t)
	require.Equal(t, ours[1:], refs(g.Daemon))
	require.Equal(t, daemons[1:], refs(g.Behind))
}

// inspectedRecord returns what buildx shows of a record, without what it knows from its own files.
func inspectedRecord(t *testing.T, text string) map[string]any {
	t.Helper()
	var r map[string]any
	require.NoError(t, json.Unmarshal([]byte(text), &r))
	delete(r, "Name")
	delete(r, "Context")
	if e, ok := r["Error"].(map[string]any); ok {
		delete(e, "Stack")
	}
	return r
}

// The provenance is that of a build without a guard, if the daemon runs the frontend.
func TestGuardLeavesTheProvenanceAsItIs(t *testing.T) {
	t.Parallel()
	dir := harness.WriteContext(t, dockerfile(inner))
	of := func(t *testing.T, d *harness.Daemon) (image string, p provenance) {
		t.Helper()
		file := comparableBuild(t, d, dir, "--provenance=mode=max")
		images := registry.ReadOCI(t, file)
		require.Len(t, images, 2)
		require.NoError(t, json.Unmarshal(images[1].Statements(t)[0].Predicate, &p))
		return images[0].Digest, p
	}
	wantImage, want := of(t, env.Plain(t))
	guardForEach(t, func(t *testing.T, g *harness.Guarded, w way) {
		if w.build != "" {
			t.Skip("what is handed over has a test of its own")
		}
		image, got := of(t, g.Daemon)
		require.Equal(t, wantImage, image)
		materials := maps.Clone(want.materials())
		request := got.BuildDefinition.ExternalParameters.Request
		if w.dispatch == policy.DispatchBuiltin {
			delete(materials, innerMaterial)
			require.Equal(t, "dockerfile.v0", request.Frontend)
		} else {
			require.Equal(t, "gateway.v0", request.Frontend)
		}
		require.Equal(t, materials, got.materials())
		require.Equal(t, want.BuildDefinition.InternalParameters.BuildConfig.LLB,
			got.BuildDefinition.InternalParameters.BuildConfig.LLB)
	})
}

// Ctrl-C ends a build and all that it runs, as it does at the daemon.
func TestGuardAndCtrlC(t *testing.T) {
	t.Parallel()
	env.NeedsOwnDaemon(t, "it counts the daemon's containers")
	guardForEach(t, func(t *testing.T, g *harness.Guarded, w way) {
		n := slices.IndexFunc(guardedWays(), func(o way) bool { return o.name == w.name })
		for i, client := range []string{"buildx", "buildctl", "bake"} {
			second := "3153800" + string(rune('0'+3*n+i))
			dir := harness.WriteContext(t, map[string]string{
				"Dockerfile":      "FROM busybox\nRUN [\"sleep\", \"" + second + "\"]\n",
				"docker-bake.hcl": "target \"default\" {}\n",
			})
			command := map[string]harness.Command{
				"buildx":   g.BuildxCommand(dir, "build", "--progress=plain", "."),
				"buildctl": g.BuildctlCommand(byBuildctl(dir, inner)...),
				"bake":     g.BuildxCommand(dir, "bake", "--progress=plain"),
			}[client]
			p := g.Start(t, command)
			require.True(t, harness.Poll(time.Minute, func() bool {
				return len(processesWith(second)) > 0
			}), "%s: %s", client, p.Output())
			p.Interrupt(t)
			p.Wait(t).RequireFailure(t)
			require.True(t, harness.Poll(time.Minute, func() bool {
				return len(processesWith(second)) == 0 && len(g.Behind.Containers()) == 0
			}), "%s: containers %v", client, g.Behind.Containers())
		}
		out := t.TempDir()
		g.Buildx(t, harness.WriteContext(t, dockerfile(inner)), "build", "-o", out, ".").RequireSuccess(t)
		require.Equal(t, "ran\n", read(t, filepath.Join(out, "out")))
	})
}

// composeFile is a project of two services. One builds on the other one.
const composeFile = `services:
  base:
    build: {context: base}
    image: composed/base:1
  app:
    image: composed/app:1
    build:
      context: .
      args: {WHO: me}
      additional_contexts: {base: "service:base"}
      secrets: [token]
secrets:
  token: {file: ./token.txt}
`

func composeProject(t *testing.T) string {
	t.Helper()
	return harness.WriteContext(t, map[string]string{
		"compose.yaml": composeFile, "token.txt": "hunter2\n",
		"base/Dockerfile": "FROM busybox\nRUN echo base > /base\n",
		"Dockerfile": "FROM base\nARG WHO\n" +
			"RUN --mount=type=secret,id=token rev /run/secrets/token > /token && echo $WHO >> /token\n",
	})
}

// Bake reads a compose file. `docker compose build` hands such a bake file to buildx.
func TestGuardServesBakeOfComposeFiles(t *testing.T) {
	t.Parallel()
	plain, dir := env.Plain(t), composeProject(t)
	build := func(t *testing.T, d *harness.Daemon) string {
		t.Helper()
		file := outFile(t)
		c := d.BuildxCommand(dir, "bake", "--progress=plain", "--allow=fs=*", "--provenance=false", "-f",
			"compose.yaml", "--set=app.output="+comparableOutput(file), "app")
		c.Env = []string{"SOURCE_DATE_EPOCH=" + epoch}
		d.Run(t, c).RequireSuccess(t)
		return file
	}
	want := build(t, plain)
	require.Equal(t, "2retnuh\nme\n", registry.ReadOCI(t, want)[0].File(t, "token"))
	guardForEach(t, func(t *testing.T, g *harness.Guarded, _ way) {
		requireSameResult(t, want, build(t, g.Daemon))
		for _, call := range []string{"check", "outline", "targets"} {
			args := []string{"bake", "--allow=fs=*", "-f", "compose.yaml", "--call=" + call, "app"}
			wanted, got := plain.Buildx(t, dir, args...), g.Buildx(t, dir, args...)
			require.Equal(t, stable(wanted.Stdout), stable(got.Stdout), call)
			require.Equal(t, wanted.ExitCode, got.ExitCode, call)
		}
	})
}

// sessionIDs matches what names a session.
var sessionIDs = regexp.MustCompile(`\b[0-9a-z]{25}\b`)

func stable(text string) string { return sessionIDs.ReplaceAllString(text, "ID") }
