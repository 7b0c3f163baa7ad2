package policy

import (
	"fmt"
	"strings"

	"github.com/policy-frontend/policy-frontend/internal/dockerfileversions"
	"github.com/policy-frontend/policy-frontend/policy/imageref"
)

// Dispatch says how an allowed frontend runs.
type Dispatch string

// The dispatchers.
const (
	// DispatchForward has the daemon run the frontend's image. What it builds can be
	// judged when it has returned its result, and no earlier.
	DispatchForward Dispatch = "forward"
	// DispatchMediate runs the frontend's image in a container of the policy frontend's,
	// and judges each of its calls before the daemon sees it.
	DispatchMediate Dispatch = "mediate"
	// DispatchBuiltin runs the Dockerfile frontend that is a part of the policy
	// frontend instead of an image, and judges each of its calls.
	DispatchBuiltin Dispatch = "builtin"
)

// WrittenDispatch returns the dispatch that the rule or else the policy writes, "" if neither does.
// The rule is nil for a frontend that no rule matches.
func (d *Document) WrittenDispatch(r *Rule) Dispatch {
	if r != nil && r.Dispatch != "" {
		return r.Dispatch
	}
	return d.Dispatch
}

// DispatchOf returns how a frontend runs that the rule allows. The rule is nil for a frontend that
// no rule matches. If neither the rule nor the policy writes a dispatch, a frontend with build
// rules is mediated, because forward checks some of its operations too late.
func (d *Document) DispatchOf(r *Rule) Dispatch {
	if written := d.WrittenDispatch(r); written != "" {
		return written
	}
	if d.Build != nil || r != nil && r.Build != nil {
		return DispatchMediate
	}
	return DispatchForward
}

// underBuiltin returns the outcome for a frontend that runs under [DispatchBuiltin]. It is o unless
// the built-in frontend can't stand in for the reference, which is the one after aliases and pins.
//
// Each layer answers for itself. An overlay that has the frontend mediated doesn't change what the
// embedded policy answers, or it would allow what that refuses.
func underBuiltin(o outcome, ref imageref.Reference) outcome {
	reason := unserved(ref, o.obligations)
	if reason == "" {
		return o
	}
	return outcome{
		verdict: Deny, rule: o.holds,
		reason: "the policy runs the built-in Dockerfile frontend instead (dispatch: builtin)" + reason,
	}
}

// unserved returns why the built-in frontend can't stand in for the reference, or "".
func unserved(ref imageref.Reference, o Obligations) string {
	switch {
	case !strings.HasSuffix(ref.Name(), dockerfileversions.Name):
		return ", which serves only docker/dockerfile and mirrors of that name"
	case ref.Digest() != "" || len(o.Digests) > 0: // no image runs that would have one
		return ", which has no digest; ask for a tag alone"
	case !dockerfileversions.Serves(ref.Tag()):
		return fmt.Sprintf(", which serves the versions 1.0 to %s; ask for one of these",
			dockerfileversions.Newest)
	}
	return ""
}

// builtinRefuses reports whether the candidate's rule runs the built-in frontend, and that can't
// stand in for its name.
func (p *Policy) builtinRefuses(c candidate) bool {
	return p.dispatch(c.rule) == DispatchBuiltin && !c.pattern.IsOpen() &&
		!strings.HasSuffix(c.pattern.String(), dockerfileversions.Name)
}
