package frontend

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// The daemon can notice the deadline of a frontend before this process does. The build is then
// refused for the timeout, and doesn't fail with the daemon's error.
func TestADeadlineThatTheDaemonNoticesFirst(t *testing.T) {
	t.Parallel()
	exceeded := &innerError{cause: status.Error(codes.DeadlineExceeded, "context deadline exceeded")}
	for name, tc := range map[string]struct {
		left time.Duration // until the deadline
		err  error
		ends bool
	}{
		"the daemon says so a moment before": {10 * time.Millisecond, exceeded, true},
		"the daemon says so long before":     {time.Hour, exceeded, false},
		"the frontend is killed without a word": {
			10 * time.Millisecond, &innerError{cause: errNoResult}, true,
		},
		"the deadline has passed":      {-time.Second, nil, true},
		"the frontend fails by itself": {10 * time.Millisecond, errors.New("it failed"), false},
		"the frontend returns":         {10 * time.Millisecond, nil, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				late := errors.New("late")
				ctx, cancel := context.WithTimeoutCause(t.Context(), tc.left, late)
				defer cancel()
				awaitDeadline(ctx, nil, tc.err)
				if tc.ends {
					require.Equal(t, late, context.Cause(ctx))
				} else {
					require.NoError(t, ctx.Err())
				}
			})
		})
	}
}
