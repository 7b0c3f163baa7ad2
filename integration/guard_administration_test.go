package integration

import (
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	controlapi "github.com/moby/buildkit/api/services/control"
	"github.com/stretchr/testify/require"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/policy-frontend/policy-frontend/integration/harness"
	"github.com/policy-frontend/policy-frontend/policy/clients"
)

// administered is a policy with the administrators, who are known by their certificates.
const administered = guardPolicy + `administration:
  clients: ["spiffe://corp.example/ops/*", "cn:release-*"]
`

// cacheMounts has a build that leaves a cache mount, by which others than administrators are found
// out: what else the daemon keeps is other tests' too.
const cacheMounts = `FROM busybox
RUN --mount=type=cache,target=/kept echo administrators see this > /kept/out
`

// kept returns the records of cache mounts that the daemon has, when no build uses them any more.
// The daemon gives a mount back after it has answered the build, and prunes none that is in use.
func kept(t *testing.T, g *harness.Guarded) []string {
	t.Helper()
	daemon := controlapi.NewControlClient(clientOf(t, g.Behind, 0))
	var ids []string
	require.Eventually(t, func() bool {
		usage, err := daemon.DiskUsage(withHeaders(t),
			&controlapi.DiskUsageRequest{Filter: []string{"type==exec.cachemount"}})
		if err != nil {
			t.Log(err)
			return false
		}
		ids = nil
		for _, r := range usage.Record {
			if r.InUse {
				return false
			}
			ids = append(ids, r.ID)
		}
		return true
	}, time.Minute, 10*time.Millisecond)
	slices.Sort(ids)
	return ids
}

// groups returns those of the tests' process, the main one first.
func groups(t *testing.T) []uint32 {
	t.Helper()
	others, err := os.Getgroups()
	require.NoError(t, err)
	all := []uint32{uint32(os.Getgid())}
	for _, gid := range others {
		all = append(all, uint32(gid))
	}
	return all
}

// Disk usage and pruning are for administrators, over a Unix socket and by certificate.
func TestGuardLetsAdministratorsPrune(t *testing.T) {
	t.Parallel()
	c := newCertificates(t)
	c.issue(t, "guard")
	c.issue(t, "ops", "spiffe://corp.example/ops/alice")
	c.issue(t, "release-1")
	c.issue(t, "dev", "spiffe://corp.example/dev/bob")
	c.issue(t, "bob")
	g, address := c.guard(t, administered)
	for _, name := range []string{"ops", "release-1", "dev", "bob"} {
		c.createBuilder(t, g, address, name)
	}
	dir := harness.WriteContext(t, map[string]string{"Dockerfile": goodSyntax + cacheMounts})
	build := func() {
		t.Helper()
		g.Buildx(t, dir, "build", "--no-cache", ".").RequireSuccess(t)
		require.NotEmpty(t, kept(t, g))
	}

	// commands returns the commands of a client, by whether they prune. "" is the user of the tests.
	commands := func(name string) map[bool][]func() harness.Output {
		var to, builder []string
		if name != "" {
			to, builder = c.flags(address, name), []string{"--builder=" + name}
		}
		buildctl := func(args ...string) func() harness.Output {
			return func() harness.Output { return g.Buildctl(t, slices.Concat(to, args)...) }
		}
		buildx := func(args ...string) func() harness.Output {
			return func() harness.Output { return g.Buildx(t, dir, slices.Concat(builder, args)...) }
		}
		return map[bool][]func() harness.Output{
			false: {buildctl("du", "--verbose"), buildx("du", "--verbose")},
			true: {
				buildctl("prune", "--filter", "type==exec.cachemount"),
				buildx("prune", "--force", "--filter", "type=exec.cachemount"),
			},
		}
	}
	administrates := func(name string) {
		t.Helper()
		build()
		for _, du := range commands(name)[false] {
			require.Contains(t, du().RequireSuccess(t).Stdout, "administrators see this")
		}
		for _, prune := range commands(name)[true] {
			build()
			before := kept(t, g)
			require.Contains(t, prune().RequireSuccess(t).Stdout, before[0])
			require.Empty(t, kept(t, g))
		}
	}
	// The whole refusal, but for the client and the policy.
	refusal := func(what, client string) []string {
		return []string{
			"the policy refuses " + what + " for " + client + ": it allows only " +
				"spiffe://corp.example/ops/* or cn:release-* (administration.clients)\n" +
				"  message:      it concerns all clients, so ask an administrator, or have this client " +
				"listed in administration.clients\n" +
				"  policy:       corp-ci sha256:",
			"\n  allowed:      spiffe://corp.example/ops/*, cn:release-*\n" +
				"  contact:      #build-help\n  outcome:      denied by policy",
		}
	}
	isRefused := func(name, client string) {
		t.Helper()
		build()
		before := kept(t, g)
		for prunes, all := range commands(name) {
			what := map[bool]string{false: "disk usage", true: "pruning"}[prunes]
			for _, command := range all {
				command().RequireFailure(t, refusal(what, client)...)
			}
		}
		require.Equal(t, before, kept(t, g))
	}

	administrates("ops")
	administrates("release-1")
	isRefused("dev", "spiffe://corp.example/dev/bob")
	isRefused("bob", "cn:bob and dns:localhost")
	isRefused("", clients.Peer(0, groups(t)...).String())

	// Root becomes an administrator. Another user with the same groups doesn't.
	require.NoError(t, os.WriteFile(g.Policy,
		[]byte(strings.Replace(administered, `"cn:release-*"`, `"uid:0"`, 1)), 0o600))
	administrates("")
	build()
	before := kept(t, g)
	for uid, want := range map[int]codes.Code{0: codes.OK, 1234: codes.PermissionDenied} {
		_, err := controlapi.NewControlClient(clientOf(t, g.Daemon, uid)).DiskUsage(withHeaders(t),
			&controlapi.DiskUsageRequest{})
		require.Equal(t, want, status.Code(err), "%v", err)
	}
	require.Equal(t, before, kept(t, g))
	require.Contains(t, g.Log(), "msg=administered client=uid:0 names=\"uid:0")
	require.Contains(t, g.Log(),
		"names=spiffe://corp.example/ops/alice what=/moby.buildkit.v1.Control/Prune")
}
