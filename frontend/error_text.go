package frontend

import (
	"context"
	"errors"

	"github.com/moby/buildkit/util/grpcerrors"
	"google.golang.org/grpc/status"
)

// withWholeText returns the error in a form whose whole text reaches the daemon. Of an error that
// wraps one of the daemon's, [grpcerrors.ToGRPC] sends only the daemon's words
// (errorHasMoreContext). An error that arrives with all its words is returned as it is.
func withWholeText(ctx context.Context, err error) error {
	var wrapped interface {
		error
		GRPCStatus() *status.Status
	}
	if !errors.As(err, &wrapped) {
		return err
	}
	if arrives := grpcerrors.FromGRPC(grpcerrors.ToGRPC(ctx, err)); arrives.Error() == err.Error() {
		return err
	}
	return &wholeTextError{err}
}

// wholeTextError is an error with a status of its own, see [withWholeText].
type wholeTextError struct{ error }

func (e *wholeTextError) Unwrap() error { return e.error }

// GRPCStatus returns the status of the wrapped error, with the whole text.
func (e *wholeTextError) GRPCStatus() *status.Status {
	st, _ := grpcerrors.AsGRPCStatus(e.error)
	p := st.Proto()
	p.Message = e.Error()
	return status.FromProto(p)
}
