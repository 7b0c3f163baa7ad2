package policy

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/policy-frontend/policy-frontend/internal/optionkeys"
	"github.com/policy-frontend/policy-frontend/internal/safetext"
	"github.com/policy-frontend/policy-frontend/policy/imageref"
)

// InvariantRule is the rule of decisions that no policy can change. Some keep clients from
// bypassing a policy. Others refuse invalid requests. No rule of a policy can have this name.
const InvariantRule = "invariant"

// invariant returns why the request is refused under any policy, or "".
//
// The policy frontend runs an inner frontend by overriding its own reference with a named context.
// If it ran itself, it would never end. If a client overrode the policy frontend's reference, the
// client would choose what runs.
//
// An attestation has several spellings. If a request has two of them, the daemon uses one at random
// (frontend/attestations/parse.go), so nobody can check which.
func (r Request) invariant() string {
	if a, b := r.ambiguousAttestation(); a != "" {
		return fmt.Sprintf(
			"the options %s and %s ask for the same attestation with different values, and BuildKit uses either; send one of them",
			safetext.Quote(a), safetext.Quote(b))
	}
	if r.Self.Name() == "" {
		return ""
	}
	if r.Reference.SameRepository(r.Self) {
		return selfDispatch(r.Self)
	}
	for _, name := range r.NamedContexts {
		ref, err := imageref.Parse(name)
		if err == nil && ref.SameRepository(r.Self) && isStandIn(ref.Tag()) {
			return fmt.Sprintf("this image is a copy of the policy frontend, which %s runs as if it were "+
				"another frontend: name the frontend to run instead of the copy", r.Self.Name())
		}
		if err == nil && ref.SameRepository(r.Self) {
			return fmt.Sprintf(
				"the named context %s would replace the policy frontend (%s): build without it, or give it another name", safetext.Quote(name), r.Self.Name())
		}
	}
	return ""
}

// isStandIn reports whether a tag in the policy frontend's repository is one that no registry has.
// A policy frontend runs another frontend under such a tag, with a named context over it.
func isStandIn(tag string) bool {
	digits, ok := strings.CutPrefix(tag, StandInPrefix)
	return ok && len(digits) == StandInDigits && strings.Trim(digits, "0123456789abcdef") == ""
}

// A policy frontend runs another one under a tag of its own repository. The tag is StandInPrefix
// and the first StandInDigits hexadecimal digits of the image's digest.
const (
	StandInPrefix = "inner-"
	StandInDigits = 16
)

// ambiguousAttestation returns two options that ask for one attestation in two ways, or "".
func (r Request) ambiguousAttestation() (first, second string) {
	spelled := map[string]string{}
	for _, key := range slices.Sorted(maps.Keys(r.Options)) {
		kind, ok := optionkeys.Attestation(key)
		if !ok {
			continue
		}
		if other, twice := spelled[kind]; twice && r.Options[other] != r.Options[key] {
			return other, key
		}
		spelled[kind] = key
	}
	return "", ""
}

func selfDispatch(self imageref.Reference) string {
	return fmt.Sprintf(
		"it asks the policy frontend to run itself (%s): name the frontend to run instead", self.Name())
}

// forcedContext returns why an option that a policy forces is refused, or "". Such an
// option can't override the policy frontend's reference either.
func (r Request) forcedContext(o Obligations) string {
	for _, key := range slices.Sorted(maps.Keys(o.Force)) {
		name, ok := optionkeys.NamedContext(key)
		if !ok {
			continue
		}
		if ref, err := imageref.Parse(name); err == nil && r.Self.Name() != "" &&
			ref.SameRepository(r.Self) {
			return fmt.Sprintf(
				"a policy forces the named context %s, which would replace the policy frontend (%s)",
				safetext.Quote(name), r.Self.Name())
		}
	}
	return ""
}

// refuse is [Layers.Refuse] with a step for the recorder.
func (l Layers) refuse(r Request, reason string, t *recorder) Decision {
	t.add(Step{Kind: StepInvariant, Verdict: Deny, Reason: reason})
	return l.Refuse(r.Requested, reason)
}

// Refuse returns the denial of a request that isn't valid, for example one that isn't an
// image reference. Its Rule is [InvariantRule]. If there is a policy, the decision suggests
// what it allows instead.
func (l Layers) Refuse(requested, reason string) Decision {
	d := Decision{
		Verdict:   Deny,
		Requested: requested,
		Image:     requested,
		Rule:      InvariantRule,
		Reason:    reason,
		Messages:  []string{},
		Layer:     LayerPolicy,
		Contact:   l.Contact(),
		client:    l.client,
	}
	if l.embedded == nil {
		return d
	}
	d.Policy = l.embedded.Identity()
	if l.overlay != nil {
		id := l.overlay.Identity()
		d.Overlay = &id
	}
	// If it isn't a reference, the suggestions are in the policy's order.
	ref, _ := imageref.Parse(requested)
	var s subject
	s.Ref, s.Client = ref, l.client
	d.Allowed, _ = l.embedded.allowed(s, l.overlay, false)
	return d
}
