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
}

func (e *DenialError) Error() string { return statement(e.Decision, e.AskedBy) }

// refusal is a decision against a build, on its way to becoming a DenialError.
type refusal struct {
	origin   origin
	decision policy.Decision
}

func (r *refusal) Error() string { return r.decision.Reason }

// refuse makes a refusal of what is no matter of a policy's rules, or can't be
// brought before them.
func (b *build) refuse(r request, reason error) error {
	return &refusal{origin: r.origin, decision: b.layers.Refuse(r.written, reason.Error())}
}

// deny makes the error that carries a refusal to the client: buildctl and buildx
// print the snippet of the build file and the reason by themselves, other
// clients at least the text.
func (b *build) deny(ctx context.Context, r *refusal) error {
	from, src := r.origin.locate(ctx, b.file)
	denial := &DenialError{Decision: r.decision, AskedBy: from.String()}
	err := policysession.WrapDenyMessages(denial, []*policysession.DenyMessage{{Message: r.decision.Reason}})
	if src != nil {
		err = errdefs.WithSource(err, src)
	}
	return err
}
