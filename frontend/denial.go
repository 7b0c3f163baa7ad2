package frontend

import (
	"context"

	"github.com/moby/buildkit/solver/errdefs"
	"github.com/moby/buildkit/sourcepolicy/policysession"

	"github.com/policy-frontend/policy-frontend/policy"
)

// DenialError is the refusal of a build, written for the person whose build it
// is: what was asked and where, which rule of which policy decided and why, what
// is allowed instead, and whom to ask.
type DenialError struct {
	Decision policy.Decision
	// AskedBy is the place that asked for the frontend, such as "line 1 of
	// Dockerfile"; empty if no place did.
	AskedBy string
	// Cause is the error that stands behind a refusal by no rule, such as a
	// registry's, with its type; nil for a decision of the policy.
	Cause error
}

func (e *DenialError) Error() string { return statement(e.Decision, e.AskedBy) }

// Unwrap returns the Cause.
func (e *DenialError) Unwrap() error { return e.Cause }

// refusal is a decision against a build, on its way to becoming a DenialError.
type refusal struct {
	origin   origin
	decision policy.Decision
	cause    error
}

func (r *refusal) Error() string { return r.decision.Reason }

// refuse makes a refusal of what is no matter of a policy's rules, or can't be
// brought before them.
func (b *build) refuse(r request, reason error) *refusal {
	return &refusal{origin: r.origin, decision: b.layers.Refuse(r.written, legible(reason.Error()))}
}

// deny makes the error that carries a refusal to the client: buildctl and buildx
// print the snippet of the build file and the reason by themselves, other
// clients at least the text.
func (b *build) deny(ctx context.Context, r *refusal) error {
	from, src := r.origin.locate(ctx, b.file)
	var err error = &DenialError{Decision: r.decision, AskedBy: from.String(), Cause: r.cause}
	if r.cause == nil {
		err = policysession.WrapDenyMessages(err, []*policysession.DenyMessage{{Message: r.decision.Reason}})
	}
	if src != nil {
		err = errdefs.WithSource(err, src)
	}
	return err
}
