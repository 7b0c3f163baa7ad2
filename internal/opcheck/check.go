// Package opcheck judges what a frontend would build, without a build: operations that
// somebody writes down, or that were read from LLB.
//
//	operations, err := opcheck.Parse("operations.yaml", data)
//	decision := policy.Decide(layers, request)
//	answer := opcheck.Check(layers, request.Time, decision, operations[0])
package opcheck

import (
	"fmt"
	"time"

	"github.com/policy-frontend/policy-frontend/policy"
	"github.com/policy-frontend/policy-frontend/policy/buildrules"
	"github.com/policy-frontend/policy-frontend/policy/imageref"
)

// Answer is what a policy says of an operation. As JSON it is what the command line
// prints.
type Answer struct {
	// Verdict is Allow, Warn, Deny, or Undecidable where it isn't known whether a
	// frontend may run.
	Verdict policy.Verdict `json:"verdict"`
	// Asked names the operation, see [buildrules.Operation.Describe].
	Asked string `json:"asked"`
	// At is where the operation comes from, such as "Dockerfile:3", or "".
	At string `json:"at,omitempty"`
	// Rule and Layer are those that decided, as in policy.Ruling; empty for Allow.
	Rule  string `json:"rule,omitempty"`
	Layer string `json:"layer,omitempty"`
	// Reason is one sentence for a person; empty for Allow.
	Reason string `json:"reason,omitempty"`
	// Messages are those of the rules, and what a build can't see. Never nil.
	Messages []string `json:"messages"`
	// Allowed is what the rules allow of this kind, at most five.
	Allowed []string `json:"allowed,omitempty"`
	// Contact is whom to ask about a denial, or "".
	Contact string `json:"contact,omitempty"`
	// Image is what is read instead of the image that was asked for, or "".
	Image string `json:"image,omitempty"`
}

// Check says what becomes of the operation in a build whose frontend got the decision. A
// nested frontend has to be allowed by the rules on builds and, as in a build, by
// the policy as a frontend of its own; its options and the digest of its tag aren't
// known.
func Check(l policy.Layers, at time.Time, d policy.Decision, f buildrules.Operation) Answer {
	a := Answer{Verdict: policy.Undecidable, Asked: f.Describe(), Messages: []string{}}
	if d.Verdict == policy.Undecidable {
		a.Reason = "whether the frontend may run depends on its digest"
		return a
	}
	r := d.Check(f)
	if f.Frontend != "" && r.Verdict != policy.Deny {
		r = nested(l, at, d, f.Frontend, r)
	}
	a.Verdict, a.Rule, a.Reason, a.Messages = r.Verdict, r.Rule, r.Reason, append(a.Messages, r.Messages...)
	if r.Verdict != policy.Allow {
		a.Layer, a.Allowed, a.Contact = r.Layer, r.Allowed, r.Contact
	}
	if r.Image.Name() != "" {
		a.Image = r.Image.String()
	}
	if k, err := f.Kind(); err == nil && d.Dispatch == policy.DispatchForward && !k.InResult() {
		a.Messages = append(a.Messages, "a build doesn't see this with dispatch: forward, whatever is said of it here")
	}
	return a
}

// nested decides on a frontend that another one runs, which the rules on builds let
// pass.
func nested(l policy.Layers, at time.Time, outer policy.Decision, requested string, r policy.Ruling) policy.Ruling {
	ref, err := imageref.Parse(requested)
	if err != nil {
		return policy.Ruling{Verdict: policy.Deny, Rule: policy.InvariantRule, Layer: policy.LayerPolicy, Reason: fmt.Sprintf("it asks for a frontend that can't be checked: %v", err)}
	}
	d := policy.Decide(l, policy.Request{Requested: requested, Reference: ref, Time: at}).Within(outer)
	switch d.Verdict {
	case policy.Deny, policy.Undecidable:
		return policy.Ruling{Verdict: d.Verdict, Rule: d.Rule, Layer: d.Layer, Reason: d.Reason, Messages: d.Messages, Allowed: d.Allowed, Contact: d.Contact}
	case policy.Warn:
		if r.Verdict != policy.Warn {
			return policy.Ruling{Verdict: policy.Warn, Rule: d.Rule, Layer: d.Layer, Reason: d.Warnings[0], Messages: d.Messages, Contact: d.Contact}
		}
	}
	return r
}
