package frontend

import (
	"context"
	"testing"

	"github.com/moby/buildkit/frontend/gateway/client"
	"github.com/stretchr/testify/require"
	fstypes "github.com/tonistiigi/fsutil/types"
)

// noting is a daemon whose files note what is read of them.
type noting struct {
	*fakeClient
	asked *[]string
}

func (c noting) Solve(ctx context.Context, req client.SolveRequest) (*client.Result, error) {
	res, err := c.fakeClient.Solve(ctx, req)
	if err == nil {
		res.SetRef(notedFile{res.Ref, c.asked})
	}
	return res, err
}

type notedFile struct {
	client.Reference
	asked *[]string
}

func (r notedFile) StatFile(ctx context.Context, req client.StatRequest) (*fstypes.Stat, error) {
	*r.asked = append(*r.asked, "stat "+req.Path)
	return r.Reference.StatFile(ctx, req)
}

func (r notedFile) ReadFile(ctx context.Context, req client.ReadRequest) ([]byte, error) {
	*r.asked = append(*r.asked, "read "+req.Filename)
	return r.Reference.ReadFile(ctx, req)
}

func TestOnlyTheBuildFileItselfIsRead(t *testing.T) {
	t.Parallel()
	var asked []string
	c := noting{newFake(t, "# syntax=docker/dockerfile:1\n", nil), &asked}
	src, err := newBuildFile(c).load(t.Context())
	require.NoError(t, err)
	require.Equal(t, "# syntax=docker/dockerfile:1\n", string(src.Data))
	require.Equal(t, []string{"stat Dockerfile", "read Dockerfile"}, asked)

	asked = nil
	c = noting{newFake(t, "", nil), &asked}
	_, err = newBuildFile(c).load(t.Context())
	require.ErrorContains(t, err, "no such file")
	require.Equal(t, []string{
		"stat Dockerfile", "read Dockerfile", "stat dockerfile", "read dockerfile",
	}, asked)
}
