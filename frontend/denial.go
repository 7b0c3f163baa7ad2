package frontend

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/moby/buildkit/solver/errdefs"
	"github.com/moby/buildkit/sourcepolicy/policysession"

	"github.com/policy-frontend/policy-frontend/internal/safetext"
	"github.com/policy-frontend/policy-frontend/policy"
)

// DenialError is the refusal of a build, written for the build's user. It says which frontend was
// requested and where, which rule of which policy decided and why, what is allowed instead, and
// whom to ask.
type DenialError struct {
	Decision policy.Decision
	// AskedBy is the place that asked for the frontend, such as "line 1 of
	// Dockerfile"; empty if no place did.
	AskedBy string
	// Cause is the error behind a refusal that no rule made, such as a registry's error,
	// with its type. It is nil for a decision of the policy.
	Cause error
}

// Error returns the whole refusal. It has [policy.DenialMark] unless there is a Cause.
func (e *DenialError) Error() string {
	if e.Cause != nil {
		return e.Decision.Text(e.AskedBy)
	}
	return e.Decision.Denial(e.AskedBy)
}

// Unwrap returns the Cause.
func (e *DenialError) Unwrap() error { return e.Cause }

// refusal is a decision against a build that [build.deny] turns into a DenialError.
type refusal struct {
	origin   origin
	decision policy.Decision
	cause    error
	goesOn   bool // the inner frontend may go on, see [monitor.refuseLookup]
}

func (r *refusal) Error() string { return r.decision.Reason }

// DecisionOf returns the decision of a refusal by the policy, such as that of [Frontend.Choose] or
// [Choice.Judge]. ok is false for other errors.
func DecisionOf(err error) (d policy.Decision, ok bool) {
	var r *refusal
	if errors.As(err, &r) {
		return r.decision, true
	}
	var denial *DenialError
	if errors.As(err, &denial) {
		return denial.Decision, true
	}
	return policy.Decision{}, false
}

// refuse makes a refusal for a reason that isn't a rule's.
func (b *build) refuse(r request, reason error) *refusal {
	d := b.layers.Refuse(r.written, safetext.Lines(reason.Error()))
	if r.note != "" { // a rule's decision has it already
		d.Messages = append(slices.Clip(d.Messages), r.note)
	}
	return &refusal{origin: r.origin, decision: d}
}

// locateTimeout bounds the time to read a build file only to show its line.
const locateTimeout = 10 * time.Second

// deny makes the error that carries a refusal to the client. buildctl and buildx print the snippet
// of the build file and the reason. Other clients show at least the text.
func (b *build) deny(ctx context.Context, r *refusal) error {
	ctx, cancel := context.WithTimeout(ctx, locateTimeout)
	defer cancel()
	return r.denial(r.origin.locate(ctx, b.file))
}

// denial makes the error of [build.deny] for a place that is known. src is nil if no line is.
func (r *refusal) denial(from origin, src *errdefs.Source) error {
	var err error = &DenialError{Decision: r.decision, AskedBy: from.String(), Cause: r.cause}
	if r.cause == nil {
		reason := &policysession.DenyMessage{Message: r.decision.Reason}
		err = policysession.WrapDenyMessages(err, []*policysession.DenyMessage{reason})
	}
	if src != nil {
		err = errdefs.WithSource(err, src)
	}
	return err
}
