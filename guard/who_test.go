package guard

import (
	"context"
	"testing"

	controlapi "github.com/moby/buildkit/api/services/control"
	"github.com/moby/buildkit/client/llb"
	gwpb "github.com/moby/buildkit/frontend/gateway/pb"
	"github.com/stretchr/testify/require"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"

	"github.com/policy-frontend/policy-frontend/policy/clients"
)

// forGroup is a policy with rules for members of a group.
const forGroup = `version: 1
frontends: [{name: r, match: [docker/dockerfile], clients: ["gid:8"]}]
exports: {push: [{clients: ["gid:8"], allow: ["r.example/**"]}]}
llb: {clients: ["gid:8"]}
`

// asClient connects to the guard as the user 7 with these names.
func asClient(t *testing.T, g *Guard, names clients.Client) *grpc.ClientConn {
	t.Helper()
	return dial(t, listen(t, g.Server(known(caller{id: "uid:7", client: names}))))
}

func TestWhatIsOnlyForSomeClients(t *testing.T) {
	t.Parallel()
	push := &controlapi.SolveRequest{Ref: "b", Session: "s", Exporters: []*controlapi.Exporter{{
		Type: "image", Attrs: map[string]string{"push": "true", "name": "r.example/a"},
	}}}
	for name, tt := range map[string]struct {
		names clients.Client
		push  string // why it is refused
		run   string
		own   string
	}{
		"a client of whom it is": {names: clients.Peer(7, 8)},
		"another client": {
			names: clients.Peer(7, 7),
			push: "pushing to r.example/a:latest, which is only for gid:8, not for uid:7 and gid:7 " +
				"(exports.push.clients)",
			run: `rule "r" would allow it, but only for gid:8, not for uid:7 and gid:7`,
			own: "the policy allows LLB only for gid:8, not for uid:7 and gid:7 (llb.clients)",
		},
		"one whose names can't be read": {
			names: clients.Unreadable(),
			push:  "which is only for gid:8, not for a client without a name that a policy can know",
			run:   "but only for gid:8, not for a client without a name that a policy can know",
			own:   "only for gid:8, not for a client without a name that a policy can know",
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			is := func(err error, why string) {
				t.Helper()
				if why == "" {
					require.NoError(t, err)
					return
				}
				require.ErrorContains(t, err, why)
				require.ErrorContains(t, err, "denied by policy")
			}
			d, g := newDaemonFor(t, forGroup, "")
			conn := asClient(t, g, tt.names)
			ctx, cancel := context.WithCancel(of(t))
			t.Cleanup(cancel)
			begin := func(req *controlapi.SolveRequest) chan error {
				done := make(chan error, 1)
				go func() {
					_, err := controlapi.NewControlClient(conn).Solve(ctx, req)
					done <- err
				}()
				return done
			}
			if done := begin(push); tt.push != "" {
				is(<-done, tt.push)
				begin(&controlapi.SolveRequest{Ref: "b", Session: "s1"})
			}
			d.await(t, "Solve")
			c := gwpb.NewLLBBridgeClient(conn)
			_, err := c.Solve(of(t, buildIDHeader, "b"), asking("docker/dockerfile:1"))
			is(err, tt.run)

			begin(&controlapi.SolveRequest{Ref: "own", Session: "s2"})
			d.await(t, "Solve")
			made := llb.Image("busybox").File(llb.Mkdir("/a", 0o755))
			_, err = c.Solve(of(t, buildIDHeader, "own"), solving(definition(t, made)))
			is(err, tt.own)
			if tt.run != "" {
				return
			}
			// The result would be others' too.
			_, err = c.Solve(of(t, buildIDHeader, "own"), solving(command(t, "busybox")))
			is(err, "it asks for commands in LLB that no frontend made")
		})
	}
}

// A user has several processes, and their groups can differ. A build is that of the one that began
// it.
func TestABuildIsOnlyForTheNamesThatBeganIt(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		policy, why string
	}{
		"with rules for some": {
			forGroup, "the build was begun by uid:7 and gid:8, and this is uid:7 and gid:7",
		},
		"with the same rules for all": {forwarding, ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d, g := newDaemonFor(t, tt.policy, "")
			ctx, cancel := context.WithCancel(of(t))
			t.Cleanup(cancel)
			first := controlapi.NewControlClient(asClient(t, g, clients.Peer(7, 8)))
			go func() {
				_, _ = first.Solve(ctx, &controlapi.SolveRequest{Ref: "b", Session: "s1"})
			}()
			d.await(t, "Solve")
			_, err := gwpb.NewLLBBridgeClient(asClient(t, g, clients.Peer(7, 7))).Solve(
				of(t, buildIDHeader, "b"), asking("docker/dockerfile:1"))
			if tt.why == "" {
				require.NoError(t, err)
				return
			}
			requireCode(t, codes.PermissionDenied, err)
			require.ErrorContains(t, err, tt.why)
		})
	}
}
