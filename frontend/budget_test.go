package frontend

import (
	"context"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	gwpb "github.com/moby/buildkit/frontend/gateway/pb"
	"github.com/moby/buildkit/solver/pb"
	"github.com/stretchr/testify/require"
	"google.golang.org/grpc"

	"github.com/policy-frontend/policy-frontend/internal/llbops"
)

func TestABudgetIsSharedByAllAccounts(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := newBudget(64 << 20) // 32 MiB without what is reserved
		one, other := b.open(), b.open()
		ctx := t.Context()
		require.NoError(t, one.take(ctx, 20<<20))
		began := time.Now()
		require.ErrorIs(t, other.take(ctx, 20<<20), errBudget)
		require.Equal(t, budgetPatience, time.Since(began))
		require.ErrorIs(t, other.take(ctx, 33<<20), errBudget)
		require.Equal(t, budgetPatience, time.Since(began), "what never fits waits for nothing")

		go func() {
			<-time.After(time.Second)
			one.give(10 << 20)
		}()
		require.NoError(t, other.take(ctx, 20<<20), "it waits for what others give back")
		one.close()
		one.give(10 << 20) // of an answer that is written late
		require.NoError(t, other.take(ctx, 12<<20))
		require.ErrorIs(t, one.take(ctx, 1), errBudget)
	})
}

func TestDefinitionsAreAQuarterOfTheBudget(t *testing.T) {
	t.Parallel()
	b := newBudget(64 << 20)
	one, other := b.open(), b.open()
	require.True(t, one.keepDefinition(8<<20))
	require.False(t, other.keepDefinition(1))
	one.close()
	require.True(t, other.keepDefinition(8<<20))
}

// Frontends wait for those that they run, so a bound for all levels together could be a deadlock.
func TestNestedFrontendsAtATime(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := newBudget(64 << 20)
		var leave func()
		for range maxNestedAtOnce {
			var err error
			leave, err = b.level(t.Context(), 4)
			require.NoError(t, err)
			_, err = b.level(t.Context(), 3)
			require.NoError(t, err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		_, err := b.level(ctx, 4)
		require.ErrorIs(t, err, context.DeadlineExceeded)
		leave()
		_, err = b.level(t.Context(), 4)
		require.NoError(t, err)
	})
}

func TestWarningsOfAFrontendAreBounded(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		sent, size, shown int
		report            string
	}{
		"as many as a person reads": {maxShown, 100, maxShown, ""},
		"too many":                  {maxShown + 7, 100, maxShown, "policy: 7 more warnings"},
		"too large":                 {20, 1 << 20, 15, "policy: 5 more warnings"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := serveBroker(t, mediated)
			for range tc.sent {
				_, err := s.broker.Warn(t.Context(), &gwpb.WarnRequest{
					Short: []byte(strings.Repeat("w", tc.size)),
				})
				require.NoError(t, err)
			}
			require.Len(t, s.daemon.passed, tc.shown)
			s.broker.monitor.reportDropped(t.Context())
			said := s.broker.monitor.build.client.(*fakeClient).warned
			if tc.report == "" {
				require.Empty(t, said)
				return
			}
			require.Len(t, said, 1)
			require.Contains(t, said[0], tc.report)
		})
	}
}

func TestAWarningAtALineOfALargeFileHasNoFile(t *testing.T) {
	t.Parallel()
	s := serveBroker(t, mediated)
	_, err := s.Warn(t.Context(), &gwpb.WarnRequest{
		Short: []byte("w"), Info: &pb.SourceInfo{Data: make([]byte, llbops.MaxSource+1)},
	})
	require.NoError(t, err)
	passed, ok := s.daemon.passed[0].(*gwpb.WarnRequest)
	require.True(t, ok)
	require.Nil(t, passed.Info)
}

// slowReleases takes a second to release a container, and never releases the one named stuck.
type slowReleases struct {
	gwpb.LLBBridgeClient
	released atomic.Int32
}

func (d *slowReleases) ReleaseContainer(
	ctx context.Context, req *gwpb.ReleaseContainerRequest, _ ...grpc.CallOption,
) (*gwpb.ReleaseContainerResponse, error) {
	if req.ContainerID == "stuck" {
		<-ctx.Done()
		return nil, ctx.Err()
	}
	<-time.After(time.Second)
	d.released.Add(1)
	return &gwpb.ReleaseContainerResponse{}, nil
}

func TestContainersLeftBehindAreReleasedTogether(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		d := &slowReleases{}
		s := &Containers{of: map[string]*Container{"stuck": {ID: "stuck"}}}
		for i := range 100 {
			id := strings.Repeat("c", i+1)
			s.of[id] = &Container{ID: id}
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		<-ctx.Done()
		began := time.Now()
		s.ReleaseAll(ctx, d)
		require.Equal(t, releaseTimeout, time.Since(began), "the one that is stuck")
		require.EqualValues(t, 100, d.released.Load())

		s.of = map[string]*Container{"stuck": {ID: "stuck"}}
		s.ReleaseAll(ctx, d)
		require.Equal(t, releaseTimeout, time.Since(began), "what follows has no time of its own")
	})
}
