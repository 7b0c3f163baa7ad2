package guard

import (
	"os"
	"testing"

	gwpb "github.com/moby/buildkit/frontend/gateway/pb"
	"github.com/moby/buildkit/solver/pb"
	"github.com/stretchr/testify/require"
	"google.golang.org/grpc/codes"
)

// A build that only began can't keep an old policy for later.
func TestABuildDecidesOnlyByThePolicyInForce(t *testing.T) {
	t.Parallel()
	const stricter = "version: 1\nfrontends: [{name: other, match: [corp/other]}]\n"
	change := func(t *testing.T, g *Guard, text string) {
		t.Helper()
		require.NoError(t, os.WriteFile(g.policy.path, []byte(text), 0o600))
	}
	look := &gwpb.ResolveSourceMetaRequest{
		Source: &pb.SourceOp{Identifier: "docker-image://docker.io/library/busybox:latest"},
	}

	t.Run("a frontend is refused", func(t *testing.T) {
		t.Parallel()
		d, g, c, ctx := begun(t)
		change(t, g, stricter)
		_, err := c.Solve(ctx, asking("docker/dockerfile:1"))
		requireCode(t, codes.PermissionDenied, err)
		require.ErrorContains(t, err, "the policy has changed since the build began; build again")
		require.Empty(t, frontendRuns(d))
	})

	t.Run("so is a look-up", func(t *testing.T) {
		t.Parallel()
		_, g, c, ctx := begunUnder(t, forwarding+"llb: allow\n")
		change(t, g, stricter)
		_, err := c.ResolveSourceMeta(ctx, look)
		requireCode(t, codes.PermissionDenied, err)
		require.ErrorContains(t, err, "the policy has changed since the build began")
	})

	t.Run("a look-up alone keeps no policy", func(t *testing.T) {
		t.Parallel()
		_, g, c, ctx := begunUnder(t, forwarding+"llb: allow\ndebug: allow\n")
		_, err := c.ResolveSourceMeta(ctx, look)
		require.NoError(t, err)
		change(t, g, stricter)
		_, err = c.ResolveSourceMeta(ctx, look)
		require.ErrorContains(t, err, "the policy has changed since the build began")
		_, err = c.Solve(ctx, solving(command(t, "corp.example/base:1")))
		require.ErrorContains(t, err, "the policy has changed since the build began")
		_, err = c.NewContainer(ctx, &gwpb.NewContainerRequest{ContainerID: "c"})
		require.ErrorContains(t, err, "the policy has changed since the build began")
	})

	t.Run("LLB that was built keeps it", func(t *testing.T) {
		t.Parallel()
		_, g, c, ctx := begunUnder(t, forwarding+"llb: allow\n")
		_, err := c.Solve(ctx, solving(command(t, "corp.example/base:1")))
		require.NoError(t, err)
		change(t, g, stricter)
		_, err = c.Solve(ctx, solving(command(t, "corp.example/base:1")))
		require.NoError(t, err)
	})

	t.Run("a decision that was made stays", func(t *testing.T) {
		t.Parallel()
		d, g, c, ctx := begun(t)
		_, err := c.Solve(ctx, asking("docker/dockerfile:1"))
		require.NoError(t, err)
		change(t, g, stricter)
		_, err = c.Solve(ctx, asking("docker/dockerfile:1"))
		require.NoError(t, err)
		require.Len(t, frontendRuns(d), 2)
	})

	t.Run("an invalid policy isn't in force", func(t *testing.T) {
		t.Parallel()
		_, g, c, ctx := begun(t)
		change(t, g, "version: 1\n- x")
		_, err := c.Solve(ctx, asking("docker/dockerfile:1"))
		require.NoError(t, err)
	})
}
