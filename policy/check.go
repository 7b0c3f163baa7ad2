package policy

import (
	"cmp"
	"fmt"
	"slices"

	"github.com/opencontainers/go-digest"

	"github.com/policy-frontend/policy-frontend/internal/safetext"
	"github.com/policy-frontend/policy-frontend/policy/buildrules"
	"github.com/policy-frontend/policy-frontend/policy/imageref"
)

// Ruling is the answer of [Decision.Check].
type Ruling struct {
	// Verdict is Allow, Warn or Deny.
	Verdict Verdict
	// Rule and Layer say which build rules decided.
	Rule  string
	Layer string
	// Reason is one sentence for a person. It says why the operation is denied, or for Warn, why it
	// would be. It is empty for Allow.
	Reason string
	// Messages are the messages of the rule, and what to do about a refusal. They are never nil.
	Messages []string
	// Allowed lists at most five names that the rules allow for this kind.
	Allowed []string
	// Contact says whom to ask.
	Contact string
	// Image is the image to read instead of the operation's. It has the digest that it is pinned to.
	// It is zero if the operation's own image is read.
	Image imageref.Reference
	// TagUnverified is set if the ruling relies on the tag of an image that has a digest too. Look up
	// the digest of the tag of the image that is read, and ask [Decision.CheckTag] before the image is
	// read.
	TagUnverified bool
	// ByTag is set if the ruling depends on the tag or the digest of the image. Then the image must be
	// read with the reference that was checked. No digest may be added to it.
	ByTag bool
}

// Check applies build rules to an operation of the frontend that the decision allows. These are the
// rules of all layers and of the frontends that run this one; see [Decision.Within]. The strictest
// result wins.
//
// Check never fails. It denies an operation that it can't interpret, even in mode warn. It denies
// every operation if the decision doesn't allow the frontend.
//
// Rules rewrite images as aliases rewrite frontends. The overlay's conversions and pins come first,
// then those of the embedded policy. Each layer checks the image that its own rules return. So the
// embedded policy checks the image that is read.
//
// The image from which the frontend itself runs, by its digest, needs no allow, and rules don't
// convert it. What denies images still denies it.
//
// The time is that of the request. Several goroutines may call Check at the same time.
func (d Decision) Check(o buildrules.Operation) Ruling { return d.CheckTag(o, "") }

// CheckTag is [Decision.Check] for an image of which it is known to which digest the tag points.
// The tag is that of the image that is read: of [Ruling].Image, or of the operation's own. If
// points is "", the tag was not looked up.
func (d Decision) CheckTag(o buildrules.Operation, points digest.Digest) Ruling {
	if !d.goesOn() {
		return d.deny(InvariantRule,
			"it asks for something, and nothing is allowed to a frontend that is refused")
	}
	kind, err := o.Kind()
	if err != nil {
		return d.deny(InvariantRule, err.Error())
	}
	if kind == buildrules.KindFrontends && d.Nesting < 1 {
		return d.deny(LimitsRule,
			"it asks for another frontend, and frontends run others no deeper than that (limits.nesting)")
	}
	if !d.Restricts(kind) {
		return Ruling{Verdict: Allow, Layer: LayerPolicy, Messages: []string{}}
	}
	n, err := d.normalize(kind, o, points)
	if err != nil {
		return d.deny(InvariantRule, "it asks for "+err.Error())
	}
	return d.check(n)
}

// WithoutConversions returns the decision for images that its own conversions resulted in. Its
// Check converts no image, so a conversion isn't followed by another one. All other rules stay.
func (d Decision) WithoutConversions() Decision {
	d.converted = true
	return d
}

// normalize is [buildrules.Operation.Normalize] for an operation of the decision's frontend.
func (d Decision) normalize(
	k buildrules.Kind, o buildrules.Operation, points digest.Digest,
) (buildrules.Normalized, error) {
	n, err := o.Normalize(k)
	if err == nil && k == buildrules.KindImages && d.runs(n.Reference()) {
		n = n.AsOwn()
	}
	if d.converted {
		n = n.AsConverted()
	}
	return n.At(d.at, points).By(d.client), err
}

// runs reports whether the reference is the image from which the frontend runs: its repository and
// its digest, with no other tag. The built-in frontend has no image.
func (d Decision) runs(ref imageref.Reference) bool {
	own := d.Reference
	return d.Dispatch != DispatchBuiltin && own.Digest() != "" && ref.Digest() == own.Digest() &&
		ref.SameRepository(own) && (ref.Tag() == "" || ref.Tag() == own.Tag())
}

// check asks all layers. If several deny, the ruling is that of the last, which is the embedded
// policy.
func (d Decision) check(n buildrules.Normalized) Ruling {
	requested := n.Reference()
	strictest := Ruling{Verdict: Allow, Layer: LayerPolicy, Messages: []string{}}
	unverified, byTag := false, false
	for _, c := range d.constraints {
		var found []buildrules.Violation
		var err error
		if n, found, err = c.build.Check(n); err != nil {
			return d.deny(InvariantRule, "it asks for "+err.Error())
		}
		if !c.warnOnly && c.build.Enforces(buildrules.KindImages) {
			unverified, byTag = unverified || n.TagUnverified(), byTag || n.ByTag()
		}
		if len(found) == 0 {
			continue
		}
		if r := c.ruling(n, found); r.Verdict == Deny || strictest.Verdict != Deny {
			strictest = r
		}
	}
	if strictest.Verdict != Deny && n.Reference() != requested {
		strictest.Image = n.Reference()
	}
	strictest.ByTag = byTag
	if unverified && strictest.Verdict != Deny {
		ref := n.Reference()
		strictest.TagUnverified = true
		strictest.Messages = append(strictest.Messages, fmt.Sprintf(
			"the tag %s is not looked up here; in a build it must point to %s", ref.Tag(), ref.Digest()))
	}
	return strictest
}

// deny is the ruling on an operation that no build rule can allow.
func (d Decision) deny(rule, reason string) Ruling {
	return Ruling{
		Verdict: Deny, Rule: rule, Layer: LayerPolicy, Reason: reason, Messages: []string{},
		Contact: d.Contact,
	}
}

func (d Decision) goesOn() bool {
	return d.Verdict.Permits() && len(d.constraints) > 0
}

// Restricts reports whether operations of the kind have to be checked because some rule restricts
// them. Containers are restricted unless a rule allows them.
func (d Decision) Restricts(k buildrules.Kind) bool { return d.restricts(k, false) }

// Enforces reports whether a rule that does more than warn restricts operations of the kind. If so,
// only checked operations may happen.
func (d Decision) Enforces(k buildrules.Kind) bool { return d.restricts(k, true) }

func (d Decision) restricts(k buildrules.Kind, enforcing bool) bool {
	if !d.goesOn() || k == buildrules.KindFrontends && d.Nesting < 1 {
		return true
	}
	return slices.ContainsFunc(d.constraints, func(c *constraints) bool {
		if enforcing {
			return c.build.Enforces(k) && !c.warnOnly
		}
		return c.build.Restricts(k)
	})
}

// Within returns the decision for a nested frontend, which the frontend of the outer decision
// runs. The build rules of both bind it. Image names are rewritten by all overlays first, then
// by d's rules, then by the outer decision's.
//
// The result's Nesting is one less than the outer's, and its Timeout and Memory are the
// outer's. The result is a denial if the outer frontend is refused or may run no other.
func (d Decision) Within(outer Decision) Decision {
	switch {
	case !d.Verdict.Permits():
		return d
	case !outer.goesOn():
		return d.Overrule(outer.deny(InvariantRule, "it is run by a frontend that is refused"))
	case outer.Nesting < 1:
		return d.Overrule(
			outer.deny(LimitsRule,
				"it is run by a frontend that is nested as deep as may be (limits.nesting)"))
	}
	d.constraints = slices.Concat(d.constraints, outer.constraints)
	// The embedded policy's rules come last. If an overlay's conversion came after one of them, it
	// would replace what that rule had checked.
	slices.SortStableFunc(d.constraints,
		func(a, b *constraints) int { return cmp.Compare(rank(a.layer), rank(b.layer)) })
	d.Timeout, d.Nesting, d.Memory = outer.Timeout, outer.Nesting-1, outer.Memory
	return d
}

// rank returns the position of a layer in the order in which layers rewrite images.
func rank(layer string) int {
	if layer == LayerOverlay {
		return 0
	}
	return 1
}

// Overrule returns the decision after an operation was denied. Its Verdict is Deny. Its Rule,
// Layer, Reason, Messages, Allowed and Contact are the ruling's.
func (d Decision) Overrule(r Ruling) Decision {
	d.Verdict, d.Rule, d.Reason, d.Messages = Deny, r.Rule, r.Reason, r.Messages
	d.Layer, d.Allowed, d.Contact = r.Layer, r.Allowed, r.Contact
	d.Obligations, d.Warnings = Obligations{}, nil
	d.Dispatch, d.Timeout, d.Nesting, d.Memory, d.constraints = "", 0, 0, 0, nil
	d.TagUnverified = false
	return d
}

// TimedOut returns the decision for a frontend that d allowed and that didn't end within
// d.Timeout. It is a denial by [LimitsRule].
func (d Decision) TimedOut() Decision {
	return d.Overrule(d.deny(LimitsRule, fmt.Sprintf(
		"%s did not end within %s, which is as long as the limits allow", d.Reference.Familiar(),
		d.Timeout)))
}

// OutOfMemory returns the decision for a frontend that d allowed and whose build needs more than
// d.Memory. It is a denial by [LimitsRule].
func (d Decision) OutOfMemory() Decision {
	return d.Overrule(d.deny(LimitsRule, fmt.Sprintf(
		"%s makes the policy frontend take more than %s of memory, which is as much as the limits "+
			"allow (limits.memory); split the build, or have the limit raised",
		d.Reference.Familiar(), FormatSize(d.Memory))))
}

// WithWarnings returns the decision with further warnings, each once. If there are any,
// its Verdict is [Warn]. It changes no decision that doesn't permit the build.
func (d Decision) WithWarnings(reasons ...string) Decision {
	warnings := slices.Clone(d.Warnings)
	for _, r := range reasons {
		if !slices.Contains(warnings, r) {
			warnings = append(warnings, r)
		}
	}
	if d.goesOn() && len(warnings) > 0 {
		d.Verdict, d.Warnings = Warn, warnings
	}
	return d
}

// ruling words how an operation breaks the constraints. It names the rule if its own build rules
// refuse the operation, and the policy otherwise. A rule on images is named itself.
func (c *constraints) ruling(n buildrules.Normalized, found []buildrules.Violation) Ruling {
	refused := slices.DeleteFunc(slices.Clone(found),
		func(v buildrules.Violation) bool { return v.Warns })
	warns := c.warnOnly || len(refused) == 0
	if len(refused) == 0 {
		refused = found
	}
	first := refused[0]
	r := Ruling{
		Verdict: Deny, Rule: BuildRule, Layer: c.layer, Messages: []string{},
		Contact: c.contact,
	}
	r.Allowed = c.build.Allowed(first.Kind(), maxAllowed)
	by := "the " + c.layer
	if c.rule != nil && c.rule.Build != nil && c.rule.Build.Owns(n, first) {
		r.Rule, by = c.rule.Name, "rule "+safetext.Quote(c.rule.Name)
	}
	if c.rule != nil && c.rule.Message != "" {
		r.Messages = append(r.Messages, c.rule.Message)
	}
	if image := first.By; image != nil {
		r.Rule, r.Contact = image.Name, cmp.Or(image.Contact, r.Contact)
		if image.Message != "" {
			r.Messages = append(r.Messages, image.Message)
		}
	}
	if first.Hint != "" {
		r.Messages = append(r.Messages, first.Hint)
	}
	r.Reason = fmt.Sprintf("%s refuses %s (build.%s)", by, first.What,
		first.Rule) + andMore(len(refused)-1)
	if warns {
		r.Verdict, r.Reason = Warn, wouldBeRefused(r.Reason)
	}
	if first.Notice {
		r.Reason = first.What
	}
	switch overlay := c.layer == LayerOverlay; {
	case overlay && warns:
		r.Reason = "the overlay says: " + r.Reason
	case overlay:
		r.Reason = "the overlay decided: " + r.Reason
	}
	return r
}

// andMore returns the end of a reason that names only the first of several violations.
func andMore(more int) string {
	if more < 1 {
		return ""
	}
	return fmt.Sprintf(" (and %d more)", more)
}
