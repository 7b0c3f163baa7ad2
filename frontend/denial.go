package frontend

import (
	"context"
	"fmt"
	"strings"

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

func (e *DenialError) Error() string {
	d := e.Decision
	var b strings.Builder
	if d.Requested == "" {
		fmt.Fprintf(&b, "every frontend is refused: %s", d.Reason)
	} else {
		fmt.Fprintf(&b, "frontend %s is refused: %s", printable(d.Requested), d.Reason)
	}
	line := func(label, text string) {
		if text != "" {
			fmt.Fprintf(&b, "\n  %-9s %s", label+":", text)
		}
	}
	for _, m := range d.Messages {
		line("message", strings.ReplaceAll(strings.TrimSpace(m), "\n", "\n            "))
	}
	line("asked by", e.AskedBy)
	if d.Source != "" && d.Source != d.Requested {
		line("meaning", d.Source)
	}
	line("rule", d.Rule)
	line("policy", identity(d.Policy))
	if d.Overlay != nil {
		line("overlay", identity(*d.Overlay))
	}
	if len(d.Allowed) > 0 {
		line("allowed", strings.Join(d.Allowed, ", "))
	} else {
		line("allowed", "nothing")
	}
	line("contact", d.Contact)
	return b.String()
}

func identity(id policy.Identity) string {
	return strings.TrimSpace(id.ID + " " + id.Digest.String())
}

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
	denial := &DenialError{Decision: r.decision}
	if from.kind != fromNowhere {
		denial.AskedBy = from.String()
	}
	err := policysession.WrapDenyMessages(denial, []*policysession.DenyMessage{{Message: r.decision.Reason}})
	if src != nil {
		err = errdefs.WithSource(err, src)
	}
	return err
}
