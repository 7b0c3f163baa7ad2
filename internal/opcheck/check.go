// Package opcheck checks operations without a build. The operations come from a file that
// somebody wrote, or from LLB.
//
//	operations, err := opcheck.Parse("operations.yaml", data)
//	decision := policy.Decide(layers, request)
//	answer := opcheck.Check(layers, request, decision, operations[0].Operation)
package opcheck

import (
	"fmt"
	"slices"
	"time"

	"github.com/policy-frontend/policy-frontend/internal/optionkeys"
	"github.com/policy-frontend/policy-frontend/policy"
	"github.com/policy-frontend/policy-frontend/policy/buildrules"
	"github.com/policy-frontend/policy-frontend/policy/imageref"
)

// Answer is a policy's answer to an operation. The command line prints it as JSON.
type Answer struct {
	// Verdict is Allow, Warn or Deny. It is Undecidable if it depends on a digest whether the frontend
	// may run.
	Verdict policy.Verdict `json:"verdict"`
	// Asked describes the operation; see [buildrules.Operation.Describe].
	Asked string `json:"asked"`
	// Index is the operation's place in a file of operations, from 1, and Line is where it begins
	// there. Both are 0 if it comes from elsewhere.
	Index int `json:"index,omitempty"`
	Line  int `json:"line,omitempty"`
	// At is where the operation comes from, such as "line 3 of Dockerfile", or "".
	At string `json:"at,omitempty"`
	// Rule and Layer say what decided, as in [policy.Ruling]. They are empty for Allow.
	Rule  string `json:"rule,omitempty"`
	Layer string `json:"layer,omitempty"`
	// Reason is one sentence for a person. It is empty for Allow.
	Reason string `json:"reason,omitempty"`
	// Messages are those of the rules, and a note about what a build can't check. They are never nil.
	Messages []string `json:"messages"`
	// Allowed has up to five names that the rules for this kind allow.
	Allowed []string `json:"allowed,omitempty"`
	// Contact says whom to ask, or is "".
	Contact string `json:"contact,omitempty"`
	// Image is the image that is read instead of the requested one, or "".
	Image string `json:"image,omitempty"`
	// Steps are the entries of build rules that were compared. Only [Explain] gives them.
	Steps []policy.CheckStep `json:"steps,omitempty"`
}

// Explain returns the answer of [Check] and says how it came about.
func Explain(
	l policy.Layers, r policy.Request, d policy.Decision, op buildrules.Operation,
) Answer {
	a := Check(l, r, d, op)
	a.Steps = d.ExplainCheck(inBuild(l, r, d, op))
	return a
}

// inBuild returns the operation as a build has it. The configuration of an image for which no
// target is written has the target that the frontend gets. The daemon's own Dockerfile frontend is
// the one that it stands for.
func inBuild(
	l policy.Layers, r policy.Request, d policy.Decision, op buildrules.Operation,
) buildrules.Operation {
	if op.Config != nil && op.Config.Target == "" {
		config := *op.Config
		config.Target = d.Obligations.Value(optionkeys.Target, r.Options)
		op.Config = &config
	}
	if op.Frontend == policy.DaemonDockerfile {
		op.Frontend = l.DockerfileFrontend()
	}
	return op
}

// Check returns the answer to an operation. The decision is about the request of the frontend that
// asks for it. A nested frontend must be allowed both by the build rules and by the policy's rules,
// as in a build. Its options and the digest of its tag are unknown.
func Check(
	l policy.Layers, request policy.Request, d policy.Decision, op buildrules.Operation,
) Answer {
	asked := op.Frontend
	op = inBuild(l, request, d, op)
	a := Answer{Verdict: policy.Undecidable, Asked: op.Describe(), Messages: []string{}}
	if asked != op.Frontend { // a person knows it by what is written
		a.Asked = buildrules.Operation{Frontend: asked}.Describe()
	}
	if d.Verdict == policy.Undecidable {
		a.Reason = "whether the frontend may run depends on its digest"
		return a
	}
	r := d.Check(op)
	switch note := l.NoteOn(asked); {
	case asked == "":
	case r.Verdict != policy.Deny:
		r = nested(l, request.Time, d, asked, r)
	case note != "":
		r.Messages = append(slices.Clip(r.Messages), note)
	}
	a.Verdict, a.Rule, a.Reason, a.Messages = r.Verdict, r.Rule, r.Reason,
		append(a.Messages, r.Messages...)
	if r.Verdict != policy.Allow {
		a.Layer, a.Allowed, a.Contact = r.Layer, r.Allowed, r.Contact
	}
	if r.Image.Name() != "" {
		a.Image = r.Image.String()
	}
	if k, err := op.Kind(); err == nil && d.Dispatch == policy.DispatchForward && k.IsUnseen() {
		a.Messages = append(a.Messages, "with dispatch: forward, a build doesn't see this operation, "+
			"so it allows it")
	}
	return a
}

// nested decides on a nested frontend that the build rules allow.
func nested(
	l policy.Layers, at time.Time, outer policy.Decision, requested string, r policy.Ruling,
) policy.Ruling {
	ref, err := imageref.Parse(requested)
	if err != nil {
		return policy.Ruling{
			Verdict: policy.Deny, Rule: policy.InvariantRule, Layer: policy.LayerPolicy,
			Reason: fmt.Sprintf("it asks for a frontend that can't be checked: %v", err),
		}
	}
	d := policy.Decide(l, l.StandIn(policy.Request{
		Requested: requested, Reference: ref, Nested: true, Time: at,
	})).Within(outer)
	switch d.Verdict {
	case policy.Deny, policy.Undecidable:
		return policy.Ruling{
			Verdict: d.Verdict, Rule: d.Rule, Layer: d.Layer, Reason: d.Reason,
			Messages: d.Messages, Allowed: d.Allowed, Contact: d.Contact,
		}
	case policy.Warn:
		if r.Verdict != policy.Warn {
			return policy.Ruling{
				Verdict: policy.Warn, Rule: d.Rule, Layer: d.Layer, Reason: d.Warnings[0],
				Messages: d.Messages, Contact: d.Contact,
			}
		}
	}
	return r
}
