package frontend

import (
	"errors"

	"github.com/moby/buildkit/util/grpcerrors"
	"google.golang.org/grpc/status"
)

// withWholeText returns the error in a form whose whole text reaches the daemon. Of an error that
// wraps one of the daemon's, [grpcerrors.ToGRPC] sends only the daemon's words
// (errorHasMoreContext). An error that adds no words is returned as it is.
func withWholeText(err error) error {
	var wrapped interface {
		error
		GRPCStatus() *status.Status
	}
	if !errors.As(err, &wrapped) || wrapped.Error() == err.Error() || isRepeated(err) {
		return err
	}
	return &wholeTextError{err}
}

// isRepeated reports whether the words that an error adds are those of a typed error. Who receives
// such an error adds them again (util/grpcerrors, FromGRPC).
func isRepeated(err error) bool {
	for inner := errors.Unwrap(err); inner != nil; inner = errors.Unwrap(err) {
		if inner.Error() != err.Error() {
			_, typed := err.(grpcerrors.TypedError)
			return typed
		}
		err = inner
	}
	return false
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
