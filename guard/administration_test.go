package guard

import (
	"context"
	"errors"
	"io"
	"os"
	"strings"
	"testing"
	"time"

	controlapi "github.com/moby/buildkit/api/services/control"
	"github.com/stretchr/testify/require"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/encoding/protowire"

	"github.com/policy-frontend/policy-frontend/policy/clients"
)

// administered is a policy with administrators.
const administered = forwarding +
	"id: corp\nadministration: {clients: [\"uid:7\", \"spiffe://corp/ops/*\"]}\n"

// controlOf returns a client of the guard that has the names.
func controlOf(
	t *testing.T, g *Guard, who Identity, names clients.Client,
) controlapi.ControlClient {
	t.Helper()
	return controlapi.NewControlClient(
		dial(t, listen(t, g.Server(known(caller{id: who, client: names})))))
}

// pruned returns the records that a client gets when it prunes.
func pruned(
	ctx context.Context, c controlapi.ControlClient, req *controlapi.PruneRequest,
) ([]string, error) {
	s, err := c.Prune(ctx, req)
	if err != nil {
		return nil, err
	}
	var ids []string
	for {
		r, err := s.Recv()
		if errors.Is(err, io.EOF) {
			return ids, nil
		}
		if err != nil {
			return ids, err
		}
		ids = append(ids, r.ID)
	}
}

func TestAnAdministratorSeesTheDiskUsageAndPrunes(t *testing.T) {
	t.Parallel()
	for _, names := range []clients.Client{
		clients.Peer(7, 7), clients.Certificate{URIs: []string{"spiffe://corp/ops/alice"}}.Client(),
	} {
		d, g := newDaemonFor(t, administered, "")
		var log *logged
		g.log, log = textLog()
		c := controlOf(t, g, "uid:7", names)
		usage, err := c.DiskUsage(of(t), &controlapi.DiskUsageRequest{Filter: []string{"id==a"}, AgeLimit: 5})
		require.NoError(t, err)
		require.Equal(t, "kept", usage.Record[0].ID)
		got := d.last(t).request.(*controlapi.DiskUsageRequest)
		require.Equal(t, []string{"id==a"}, got.Filter)
		require.Equal(t, int64(5), got.AgeLimit)

		ids, err := pruned(of(t), c, &controlapi.PruneRequest{
			Filter: []string{"type==exec.cachemount"}, All: true, KeepDuration: int64(time.Hour),
			ReservedSpace: 1, MaxUsedSpace: 2, MinFreeSpace: 3,
		})
		require.NoError(t, err)
		require.Equal(t, []string{"pruned"}, ids)
		req := d.last(t).request.(*controlapi.PruneRequest)
		require.True(t, req.All)
		require.Equal(t, []int64{int64(time.Hour), 1, 2, 3},
			[]int64{req.KeepDuration, req.ReservedSpace, req.MaxUsedSpace, req.MinFreeSpace})

		text := log.String()
		require.Equal(t, 2, strings.Count(text, "msg=administered client=uid:7 names="), text)
		require.Contains(t, text, "what=/moby.buildkit.v1.Control/Prune policy=sha256:")
		require.Contains(t, text, "filters=\"type==exec.cachemount\" all=true keep=1h0m0s "+
			"reserved-space=1 max-used-space=2 min-free-space=3")
	}
}

func TestOthersNeitherSeeTheDiskUsageNorPrune(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		policy string
		names  clients.Client
		want   string
	}{
		"without administrators": {
			forwarding, clients.Peer(0, 0),
			"the policy refuses pruning for uid:0 and gid:0 (administration.clients)\n",
		},
		"another user": {
			administered, clients.Peer(8, 7),
			"the policy refuses pruning for uid:8 and gid:7: it allows only uid:7 or " +
				"spiffe://corp/ops/* (administration.clients)\n  message:      it concerns all clients, ",
		},
		"another certificate": {
			administered, clients.Certificate{URIs: []string{"spiffe://corp/dev/alice"}}.Client(),
			"the policy refuses pruning for spiffe://corp/dev/alice: it allows only",
		},
		"a client whose identity looks like an administrator": {
			administered, clients.Client{}, "the policy refuses pruning for a client without a name that a policy can know",
		},
	} {
		d, g := newDaemonFor(t, tc.policy, "")
		var log *logged
		g.log, log = textLog()
		o := &observed{}
		g.observe = o
		c := controlOf(t, g, "uid:7", tc.names)
		_, err := pruned(of(t), c, &controlapi.PruneRequest{})
		requireCode(t, codes.PermissionDenied, err)
		require.Contains(t, status.Convert(err).Message(),
			"policy-guard refuses /moby.buildkit.v1.Control/Prune: "+tc.want, name)
		_, err = c.DiskUsage(of(t), &controlapi.DiskUsageRequest{})
		requireCode(t, codes.PermissionDenied, err)
		require.Contains(t, err.Error(), "the policy refuses disk usage for "+tc.names.String(), name)
		require.Empty(t, d.all(), name)
		require.Equal(t, []string{"administration Prune", "administration DiskUsage"}, o.refusals, name)
		require.Contains(t, log.String(),
			"msg=refused client=uid:7 what=/moby.buildkit.v1.Control/Prune rule=administration why=", name)
		require.NotContains(t, log.String(), "administered", name)
	}
}

func TestWhatAnAdministratorCanAskForIsBounded(t *testing.T) {
	t.Parallel()
	d, g := newDaemonFor(t, administered, "")
	c := controlOf(t, g, "uid:7", clients.Peer(7))
	_, err := c.DiskUsage(of(t), &controlapi.DiskUsageRequest{
		Filter: []string{strings.Repeat("a", maxFilter), "b"},
	})
	require.ErrorContains(t, err, "the filters have more than 4096 bytes")
	_, err = pruned(of(t), c, &controlapi.PruneRequest{Filter: []string{strings.Repeat("a", maxFilter+1)}})
	require.ErrorContains(t, err, "the filters have more than 4096 bytes")
	req := &controlapi.PruneRequest{}
	req.ProtoReflect().SetUnknown(protowire.AppendVarint(
		protowire.AppendTag(nil, 99, protowire.VarintType), 1))
	_, err = pruned(of(t), c, req)
	require.ErrorContains(t, err, "PruneRequest has fields that this version doesn't know")
	require.Empty(t, d.all())
}

func TestPruningEndsWithTheClient(t *testing.T) {
	t.Parallel()
	d, g := newDaemonFor(t, administered, "")
	d.endless = true
	ctx, cancel := context.WithCancel(of(t))
	s, err := controlOf(t, g, "uid:7", clients.Peer(7)).Prune(ctx, &controlapi.PruneRequest{})
	require.NoError(t, err)
	_, err = s.Recv()
	require.NoError(t, err)
	cancel()
	select {
	case <-d.canceled:
	case <-time.After(20 * time.Second):
		t.Fatal("the daemon goes on pruning")
	}
}

func TestTheAdministratorsAreThoseOfThePolicyInForce(t *testing.T) {
	t.Parallel()
	_, g := newDaemonFor(t, administered, "")
	c := controlOf(t, g, "uid:7", clients.Peer(7))
	use := func() error {
		_, err := c.DiskUsage(of(t), &controlapi.DiskUsageRequest{})
		return err
	}
	require.NoError(t, use())
	require.NoError(t, os.WriteFile(g.policy.path, []byte(forwarding), 0o600))
	requireCode(t, codes.PermissionDenied, use())
	require.NoError(t, os.WriteFile(g.policy.path, []byte("x"), 0o600))
	requireCode(t, codes.PermissionDenied, use())
	require.NoError(t, os.WriteFile(g.policy.path, []byte(administered), 0o600))
	require.NoError(t, use())
}
