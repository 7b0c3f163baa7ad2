package integration

import (
	"context"
	"errors"
	"path/filepath"
	"strings"
	"testing"

	controlapi "github.com/moby/buildkit/api/services/control"
	gwpb "github.com/moby/buildkit/frontend/gateway/pb"
	"github.com/stretchr/testify/require"

	"github.com/policy-frontend/policy-frontend/integration/harness"
)

// resultsPolicy lets builds push below results/open, and not to results/open/base.
func resultsPolicy() string {
	host := env.Registry.Host()
	return guardBuiltin + `exports:
  push: {allow: ["` + host + `/results/open/**"], deny: ["**/base"]}
  annotations: [org.*]
`
}

func TestGuardLetsPushesThroughAsThePolicySays(t *testing.T) {
	t.Parallel()
	g := env.Guard(t, harness.DaemonConfig{}, resultsPolicy())
	dir := harness.WriteContext(t, dockerfile(""))
	ref := func(name string) string { return env.Registry.Ref("results/" + name) }
	pushed := func(name string) bool {
		_, err := env.Registry.Digest(ref(name))
		return err == nil
	}

	for name, tc := range map[string]struct {
		output string // NAME stands for the registry
		// pushes are those that the registry has on the bare daemon, and through the guard if want is "".
		pushes []string
		want   string
	}{
		"one name": {"type=image,push=true,name=NAME/open/a:1", []string{"open/a:1"}, ""},
		"several names": {
			`type=image,push=true,"name=NAME/open/b:1,NAME/open/c:2"`, []string{"open/b:1", "open/c:2"}, "",
		},
		"a name with an annotation": {
			"type=image,push=true,name=NAME/open/d,annotation.org.a=b", []string{"open/d:latest"}, "",
		},
		"a name that isn't listed": {
			"type=image,push=true,name=NAME/closed/a",
			[]string{"closed/a:latest"},
			"closed/a:latest: it allows only " + env.Registry.Host() +
				"/results/open/** (exports.push.allow)",
		},
		"a denied name among allowed ones": {
			`type=image,push=true,"name=NAME/open/e,NAME/open/base,NAME/open/f"`,
			[]string{"open/e:latest", "open/base:latest", "open/f:latest"},
			"(exports.push.deny: **/base)",
		},
		"a name for the digest": {
			"type=image,push=true,name=NAME/open/g,dangling-name-prefix=NAME/closed/g",
			[]string{"open/g:latest"},
			"pushing to " + ref("closed/g"),
		},
		"an annotation that isn't listed": {
			"type=image,push=true,name=NAME/open/h,annotation-manifest.com.a=b",
			[]string{"open/h:latest"},
			"the annotation com.a: it allows only org.*",
		},
	} {
		t.Run(name, func(t *testing.T) {
			output := strings.ReplaceAll(tc.output, "NAME", env.Registry.Ref("results"))
			build := func(d *harness.Daemon) harness.Output {
				return d.Buildctl(t, byBuildctl(dir, "docker/dockerfile:1", "--output", output)...)
			}
			o := build(g.Daemon)
			if tc.want != "" {
				o.RequireFailure(t, tc.want, "denied by policy", "#build-help")
				for _, name := range tc.pushes {
					require.False(t, pushed(name), name)
				}
				build(g.Behind).RequireSuccess(t)
			} else {
				o.RequireSuccess(t)
			}
			for _, name := range tc.pushes {
				require.True(t, pushed(name), name)
			}
		})
	}

	t.Run("buildx --push", func(t *testing.T) {
		g.Buildx(t, dir, "build", "--push", "-t", ref("open/x:1"), "-t", ref("open/x:2"), ".").
			RequireSuccess(t)
		require.True(t, pushed("open/x:1") && pushed("open/x:2"))
		g.Buildx(t, dir, "build", "--push", "-t", ref("open/y:1"), "-t", ref("closed/y:1"), ".").
			RequireFailure(t, "the policy refuses pushing to "+ref("closed/y:1"))
		require.False(t, pushed("open/y:1") || pushed("closed/y:1"))
	})
	t.Run("buildx with push-by-digest", func(t *testing.T) {
		file := filepath.Join(t.TempDir(), "metadata.json")
		g.Buildx(t, dir, "build", "--metadata-file", file, "--output",
			"type=image,push=true,push-by-digest=true,name="+ref("open/z"), ".").RequireSuccess(t)
		digest := strings.Trim(string(harness.ReadMetadata(t, file)["containerimage.digest"]), `"`)
		require.True(t, pushed("open/z@"+digest))
		require.False(t, pushed("open/z:latest"))
	})
	t.Run("the fields of old clients", func(t *testing.T) {
		solve := func(d *harness.Daemon, name string) error {
			ctx, cancel := context.WithCancel(withHeaders(t))
			defer cancel()
			id := "old" + strings.NewReplacer("/", "", ":", "").Replace(name)
			c := clientOf(t, d, 0)
			ended := make(chan error, 1)
			go func() {
				_, err := controlapi.NewControlClient(c).Solve(ctx, &controlapi.SolveRequest{
					Ref: id, Cache: &controlapi.CacheOptions{}, ExporterDeprecated: "image",
					ExporterAttrsDeprecated: map[string]string{"name": ref(name), "push": "true"},
				})
				ended <- err
			}()
			_, err := gwpb.NewLLBBridgeClient(c).Return(withHeaders(t, headerBuildID, id),
				&gwpb.ReturnRequest{Result: &gwpb.Result{Result: &gwpb.Result_Ref{Ref: &gwpb.Ref{}}}})
			if err != nil {
				cancel()
			}
			return errors.Join(err, <-ended)
		}
		require.ErrorContains(t, solve(g.Daemon, "closed/old:1"), "pushing to "+ref("closed/old:1"))
		require.False(t, pushed("closed/old:1"))
		require.NoError(t, solve(g.Behind, "closed/old:1"))
		require.True(t, pushed("closed/old:1"))
		// The name is allowed, but the empty result comes from no frontend.
		require.ErrorContains(t, solve(g.Daemon, "open/old:1"), "no frontend made it")
		require.False(t, pushed("open/old:1"))
	})
}

// A name on Docker Hub, in each spelling, is the same to the policy. No daemon reaches Docker Hub
// here: a mirror stands for it, and mirrors are never pushed to.
func TestGuardJudgesEachSpellingOfAName(t *testing.T) {
	t.Parallel()
	g := env.Guard(t, harness.DaemonConfig{}, guardBuiltin+`exports:
  push: {allow: ["docker.io/corp/**"], deny: [docker.io/library/base]}
`)
	dir := harness.WriteContext(t, dockerfile(""))
	for _, name := range []string{
		"base", "library/base:1", "docker.io/base", "docker.io/library/base", "index.docker.io/base:2",
		"docker.io:443/library/base", "DOCKER.io/library/base", "docker.io:5000/library/base",
	} {
		g.Buildctl(t, byBuildctl(dir, "docker/dockerfile:1", "--output",
			"type=image,push=true,name="+name)...).RequireFailure(t, "the policy refuses pushing to ")
	}
}

func TestGuardLetsCachesThroughAsThePolicySays(t *testing.T) {
	t.Parallel()
	host := env.Registry.Host()
	g := env.Guard(t, harness.DaemonConfig{}, guardBuiltin+`caches:
  imports: {registry: {allow: ["`+host+`/results/cache/**"]}, local: allow}
  exports: {registry: {allow: ["`+host+`/results/cache/**"]}}
`)
	open, closed := env.Registry.Ref("results/cache/a:1"), env.Registry.Ref("results/other/a:1")
	files := map[string]string{"Dockerfile": `FROM busybox AS b
RUN head -c 32 /dev/urandom | sha256sum > /random
FROM scratch
COPY --from=b /random /
`}
	dir := harness.WriteContext(t, files)
	build := func(d *harness.Daemon, args ...string) (harness.Output, string) {
		out := t.TempDir()
		args = append([]string{"build", "--progress=plain", "--output", out}, args...)
		return d.Buildx(t, dir, append(args, ".")...), filepath.Join(out, "random")
	}
	folder := t.TempDir()

	o, file := build(g.Daemon, "--cache-to=type=registry,mode=max,ref="+open)
	o.RequireSuccess(t)
	want := read(t, file)
	o, _ = build(g.Daemon, "--cache-to=type=registry,mode=max,ref="+closed)
	o.RequireFailure(t, "the policy refuses exporting the build cache to "+closed)
	_, err := env.Registry.Digest(closed)
	require.Error(t, err)
	o, _ = build(g.Daemon, "--cache-to=type=local,dest="+folder)
	o.RequireFailure(t, "exporting a build cache in a directory of the client")
	for _, to := range []string{
		"type=registry,mode=max,ref=" + closed, "type=local,mode=max,dest=" + folder,
	} {
		o, _ = build(g.Behind, "--cache-to="+to)
		o.RequireSuccess(t)
	}

	for name, from := range map[string]string{
		"a registry": "type=registry,ref=" + open, "a directory": "type=local,src=" + folder,
	} {
		// A new daemon doesn't have it in its own cache.
		other := env.Guard(t, harness.DaemonConfig{}, read(t, g.Policy))
		o, file := build(other.Daemon, "--cache-from="+from)
		o.RequireSuccess(t)
		require.Equal(t, want, read(t, file), name)
		require.True(t, cached(t, o.Text(), "RUN head"), o.Text())
	}
	o, _ = build(g.Daemon, "--cache-from=type=registry,ref="+closed)
	o.RequireFailure(t, "the policy refuses importing the build cache "+closed)
	for _, option := range []string{
		"cache-from=" + open + "," + closed,
		`cache-imports=[{"type":"registry","attrs":{"ref":"` + closed + `"}}]`,
	} {
		args := byBuildctl(dir, "docker/dockerfile:1", "--opt", option)
		g.Behind.Buildctl(t, args...).RequireSuccess(t)
		g.Buildctl(t, args...).RequireFailure(t, "the policy refuses importing the build cache "+closed)
	}
	g.Buildctl(t, byBuildctl(dir, "docker/dockerfile:1", "--opt", "cache-from="+open)...).
		RequireSuccess(t)

	// The daemon would ask an address that the client chooses.
	g.Buildctl(t, byBuildctl(dir, "docker/dockerfile:1", "--import-cache",
		"type=s3,region=a,bucket=b,endpoint_url=http://127.0.0.1:1")...).
		RequireFailure(t, "importing a build cache of the type s3")
	for _, c := range []*controlapi.CacheOptions{
		{ImportRefsDeprecated: []string{closed}},
		{ExportRefDeprecated: closed, ExportAttrsDeprecated: map[string]string{"ref": open}},
	} {
		_, err := controlapi.NewControlClient(clientOf(t, g.Daemon, 0)).Solve(withHeaders(t),
			&controlapi.SolveRequest{Ref: "oldcache", Cache: c})
		require.ErrorContains(t, err, "the build cache")
		require.ErrorContains(t, err, closed)
	}
}
