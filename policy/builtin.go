package policy

import (
	"fmt"
	"maps"
	"slices"

	"github.com/policy-frontend/policy-frontend/internal/optionkeys"
	"github.com/policy-frontend/policy-frontend/internal/safetext"
	"github.com/policy-frontend/policy-frontend/policy/imageref"
)

// BuiltinRule is the name under which a decision reports what no policy can
// change: the rules that keep a policy from being walked around, and requests that
// can't be brought before a policy at all. No rule can have it.
const BuiltinRule = "builtin"

// builtin returns why the request is refused whatever the policy says, or "".
//
// The policy frontend runs an inner frontend by putting it, as a named context,
// in the place of its own reference. Running itself would go round in circles, and
// a client's named context over its repository would choose what runs.
func (r Request) builtin() string {
	if r.Self.Name() == "" {
		return ""
	}
	if r.Reference.SameRepository(r.Self) {
		return selfDispatch(r.Self)
	}
	for _, name := range r.NamedContexts {
		ref, err := imageref.Parse(name)
		if err == nil && ref.SameRepository(r.Self) {
			return fmt.Sprintf("the named context %s would replace the policy frontend (%s): build without it, or give it another name", safetext.Quote(name), r.Self.Name())
		}
	}
	return ""
}

func selfDispatch(self imageref.Reference) string {
	return fmt.Sprintf("it asks the policy frontend to run itself (%s): name the frontend to run instead", self.Name())
}

// forcedContext returns why a policy's own forced options are refused, or "": they
// can't do either what a client's named context can't.
func (r Request) forcedContext(o Obligations) string {
	for _, key := range slices.Sorted(maps.Keys(o.Force)) {
		name, ok := optionkeys.NamedContext(key)
		if !ok {
			continue
		}
		if ref, err := imageref.Parse(name); err == nil && r.Self.Name() != "" && ref.SameRepository(r.Self) {
			return fmt.Sprintf("a policy forces the named context %s, which would replace the policy frontend (%s)", safetext.Quote(name), r.Self.Name())
		}
	}
	return ""
}

// refuse is Refuse for a request that got as far as a decision.
func (l Layers) refuse(r Request, reason string, t *recorder) Decision {
	t.add(Step{Kind: StepBuiltin, Verdict: Deny, Reason: reason})
	return l.Refuse(r.Requested, reason)
}

// Refuse returns the decision against a request that can't be brought before the
// rules, such as one that is no image reference. It says what the policy allows
// instead, as far as there is a policy.
func (l Layers) Refuse(requested, reason string) Decision {
	d := Decision{
		Verdict:   Deny,
		Requested: requested,
		Source:    requested,
		Rule:      BuiltinRule,
		Reason:    reason,
		Messages:  []string{},
		Layer:     LayerPolicy,
		Contact:   l.Contact(),
	}
	if l.embedded == nil {
		return d
	}
	d.Policy = l.embedded.Identity()
	if l.overlay != nil {
		id := l.overlay.Identity()
		d.Overlay = &id
	}
	// The zero Reference is as near to one allowed name as to another.
	ref, _ := imageref.Parse(requested)
	d.Allowed, _ = l.embedded.allowed(subject{ref: ref}, l.overlay, false)
	return d
}
