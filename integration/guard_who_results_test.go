package integration

import (
	"io"
	"testing"

	"github.com/moby/buildkit/client"
	"github.com/moby/buildkit/solver/pb"
	"github.com/stretchr/testify/require"

	"github.com/policy-frontend/policy-frontend/integration/harness"
)

// whoGetsPolicy says which clients get which results, use which caches, and have containers.
const whoGetsPolicy = `version: 1
id: corp-ci
contact: "#build-help"
build: {exec: {networks: [none]}}
llb: allow
debug: {clients: ["uid:0"]}
exports:
  client: [{allow: [oci, tar]}, {clients: ["uid:1000"], allow: [docker]}, {clients: ["uid:1000"], deny: [tar]}]
  annotations: [{clients: ["uid:0"], allow: ["org.*"]}]
caches:
  imports: {local: {clients: ["uid:0"]}}
  exports: {local: {clients: ["uid:0", "uid:1001"]}}
`

func TestGuardKnowsWhoGetsWhat(t *testing.T) {
	t.Parallel()
	g := env.Guard(t, harness.DaemonConfig{}, whoGetsPolicy)
	quiet := ownLLB{image: "busybox", quiet: true} // commands would have to be kept apart
	def := quiet.marshal(t)
	to := func(kind string, attrs map[string]string) client.SolveOpt {
		return client.SolveOpt{Exports: []client.ExportEntry{{
			Type: kind, Attrs: attrs,
			Output: func(map[string]string) (io.WriteCloser, error) { return noClose{io.Discard}, nil },
		}}}
	}
	dir := t.TempDir()
	write := client.SolveOpt{CacheExports: []client.CacheOptionsEntry{{
		Type: "local", Attrs: map[string]string{"dest": dir},
	}}}
	read := client.SolveOpt{CacheImports: []client.CacheOptionsEntry{{
		Type: "local", Attrs: map[string]string{"src": dir},
	}}}
	for _, tt := range []struct {
		name  string
		opt   client.SolveOpt
		may   int // the user who may
		other int // one who may not
		want  string
	}{
		{
			"an exporter that one more client has", to("docker", nil), 1000, 0,
			"the policy refuses a result for the client of the type docker, which is only for uid:1000, not " +
				"for uid:0 and gid:0 (exports.client.clients)",
		},
		{
			"an exporter that one client doesn't have", to("tar", nil), 0, 1000,
			"a result for the client of the type tar for uid:1000 and gid:",
		},
		{
			"an annotation", to("oci", map[string]string{"annotation.org.a": "b"}), 0, 1000,
			"the annotation org.a, which is only for uid:0, not for uid:1000 and gid:",
		},
		{
			"a cache that the client writes", write, 0, 1000,
			"exporting a build cache in a directory of the client: it allows that only for uid:0 and " +
				"uid:1001, not for uid:1000 and gid:",
		},
		{
			"a cache that the client reads", read, 0, 1001,
			"importing a build cache in a directory of the client: it allows that only for uid:0, not for " +
				"uid:1001 and gid:",
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			solve := func(uid int) error {
				ctx, c := asUser(t, g.Daemon, uid)
				_, err := c.Solve(ctx, def, tt.opt, nil)
				return err
			}
			require.NoError(t, solve(tt.may))
			err := solve(tt.other)
			require.ErrorContains(t, err, tt.want)
			require.ErrorContains(t, err, "#build-help")
		})
	}

	t.Run("containers", func(t *testing.T) {
		own := inContainer{
			solve: quiet.result(t), command: sayAndMake, stdin: "typed\n", network: pb.NetMode_NONE,
		}
		out, err := own.run(t, g.Daemon, client.SolveOpt{})
		require.NoError(t, err)
		require.Equal(t, "own\ntyped\n", out)
		own.uid = 1000
		_, err = own.run(t, g.Daemon, client.SolveOpt{})
		require.ErrorContains(t, err, "the policy refuses containers that a client runs by itself: it "+
			"allows that only for uid:0, not for uid:1000 and gid:")
		require.ErrorContains(t, err, "allowed to this client by debug.clients")
	})
}
