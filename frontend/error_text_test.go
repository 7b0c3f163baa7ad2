package frontend

import (
	"errors"
	"fmt"
	"testing"

	"github.com/moby/buildkit/solver/errdefs"
	"github.com/moby/buildkit/solver/pb"
	"github.com/moby/buildkit/util/grpcerrors"
	"github.com/stretchr/testify/require"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

func TestTheWholeTextOfAnErrorReachesTheDaemon(t *testing.T) {
	t.Parallel()
	ofDaemon := func(code codes.Code) error {
		return grpcerrors.FromGRPC(status.Error(code, "not found"))
	}
	unknown, missing := ofDaemon(codes.Unknown), ofDaemon(codes.NotFound)
	refusal := &DenialError{Cause: unknown}
	// The receiver says what it is again.
	typed := grpcerrors.FromGRPC(grpcerrors.ToGRPC(t.Context(),
		errdefs.NewUnsupportedSubrequestError("x")))
	for name, tt := range map[string]struct {
		err  error
		text string
		code codes.Code
	}{
		"an error of our own":    {errors.New("a"), "a", codes.Unknown},
		"an error of the daemon": {missing, "not found", codes.NotFound},
		"a typed error of the daemon": {
			typed, "unsupported request x", codes.Unknown,
		},
		"an error around the daemon's": {fmt.Errorf("a: %w", unknown), "a: not found", codes.Unknown},
		"one with a code": {
			fmt.Errorf("a: %w", missing), "a: NotFound: not found", codes.NotFound,
		},
		"a refusal around the daemon's": {refusal, refusal.Error(), codes.Unknown},
		"one with a line": {
			errdefs.WithSource(fmt.Errorf("a: %w", unknown), &errdefs.Source{Info: &pb.SourceInfo{}}),
			"a: not found", codes.Unknown,
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			err := withWholeText(tt.err)
			require.ErrorIs(t, err, tt.err)
			st, ok := status.FromError(grpcerrors.ToGRPC(t.Context(), err))
			require.True(t, ok)
			require.Equal(t, tt.text, st.Message())
			require.Equal(t, tt.code, st.Code())
			require.Len(t, errdefs.Sources(grpcerrors.FromGRPC(st.Err())), len(errdefs.Sources(tt.err)))
		})
	}
	require.NoError(t, withWholeText(nil))
}
