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
	for name, tt := range map[string]struct {
		err  error
		text string
		code codes.Code
	}{
		"an error of our own":           {errors.New("a"), "a", codes.Unknown},
		"an error of the daemon":        {ofDaemon(codes.NotFound), "not found", codes.NotFound},
		"an error around the daemon's":  {fmt.Errorf("a: %w", ofDaemon(codes.Unknown)), "a: not found", codes.Unknown},
		"one with a code":               {fmt.Errorf("a: %w", ofDaemon(codes.NotFound)), "a: NotFound: not found", codes.NotFound},
		"a refusal around the daemon's": {&DenialError{Cause: ofDaemon(codes.Unknown)}, (&DenialError{Cause: errors.New("")}).Error(), codes.Unknown},
		"one with a line": {
			errdefs.WithSource(fmt.Errorf("a: %w", ofDaemon(codes.Unknown)), &errdefs.Source{Info: &pb.SourceInfo{}}),
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
			require.Equal(t, len(errdefs.Sources(tt.err)), len(errdefs.Sources(grpcerrors.FromGRPC(st.Err()))))
		})
	}
	require.NoError(t, withWholeText(nil))
	require.Equal(t, ofDaemon(codes.NotFound).Error(), withWholeText(ofDaemon(codes.NotFound)).Error())
}
