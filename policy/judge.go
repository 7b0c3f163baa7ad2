package policy

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/policy-frontend/policy-frontend/internal/safetext"
)

// Judge says whether the frontend that the decision allows may do what the fact
// says: the meet of what the build rules of all layers say, and of the frontends
// that run it (see Within). It never fails: what can't be made sense of is denied
// in every mode, as is everything by a decision that allows nothing.
//
// Images are rewritten as frontends are by aliases: the overlay's conversions and
// pins first, then those of the embedded policy. Each layer judges what comes out
// of its own, and the embedded policy's judges what is read.
//
// Judge may be called by several goroutines at the same time.
func (d Decision) Judge(f Fact) Ruling {
	if !d.goesOn() {
		return d.deny(BuiltinRule, "it asks for something, and nothing is allowed to a frontend that is refused")
	}
	row, err := f.kind()
	if err != nil {
		return d.deny(BuiltinRule, err.Error())
	}
	if row.kind == KindFrontends && d.Nesting < 1 {
		return d.deny(LimitsRule, "it asks for another frontend, and frontends run others no deeper than that (limits.nesting)")
	}
	if !d.Restricts(row.kind) {
		return Ruling{Verdict: Allow, Layer: LayerPolicy, Messages: []string{}}
	}
	c, err := row.read(f)
	if err != nil {
		return d.deny(BuiltinRule, "it asks for "+err.Error())
	}
	return d.judge(row, c)
}

// judge asks all layers and takes the meet: what denies, else what warns. Of several layers,
// the last that was asked is heard: it is the embedded policy. Each layer judges an image as
// the layers before it and its own rules rewrite it.
func (d Decision) judge(row *kindRow, c claim) Ruling {
	asked := c.ref
	met := Ruling{Verdict: Allow, Layer: LayerPolicy, Messages: []string{}}
	for _, h := range d.held {
		ref, found, err := h.object(row, c)
		if err != nil {
			return d.deny(BuiltinRule, "it asks for "+err.Error())
		}
		c.ref = ref
		if len(found) == 0 {
			continue
		}
		if r := h.ruling(found); r.Verdict == Deny || met.Verdict != Deny {
			met = r
		}
	}
	if met.Verdict != Deny && c.ref != asked {
		met.Image = c.ref
	}
	return met
}

// deny is the ruling on what no rule on builds can allow.
func (d Decision) deny(rule, reason string) Ruling {
	return Ruling{Verdict: Deny, Rule: rule, Layer: LayerPolicy, Reason: reason, Messages: []string{}, Contact: d.Contact}
}

func (d Decision) goesOn() bool {
	return (d.Verdict == Allow || d.Verdict == Warn) && len(d.held) > 0
}

// Restricts reports whether some rule restricts facts of the kind, so that they
// have to be judged. Containers are restricted where no rule allows them.
func (d Decision) Restricts(k Kind) bool { return d.restricts(k, false) }

// Enforces reports whether some rule restricts facts of the kind and does more
// than warn, so that nothing but what was judged may be read.
func (d Decision) Enforces(k Kind) bool { return d.restricts(k, true) }

func (d Decision) restricts(k Kind, enforcing bool) bool {
	return !d.goesOn() || k == KindFrontends && d.Nesting < 1 || slices.ContainsFunc(d.held, func(h *held) bool {
		return h.build.restricts(k) && (!enforcing || !h.soft)
	})
}

// Within returns the decision for a frontend that the frontend of the outer
// decision runs: what it does has to be allowed by the build rules of both, and of
// an image, its own rules rewrite the name before the outer's do, after all overlays. The result's Nesting is one less
// than the outer's, and its Timeout is the outer's. Inside of a frontend that is
// refused or can run no other, it is a denial.
func (d Decision) Within(outer Decision) Decision {
	switch {
	case d.Verdict == Deny || d.Verdict == Undecidable:
		return d
	case !outer.goesOn():
		return d.Overrule(outer.deny(BuiltinRule, "it is run by a frontend that is refused"))
	case outer.Nesting < 1:
		return d.Overrule(outer.deny(LimitsRule, "it is run by a frontend that is nested as deep as may be (limits.nesting)"))
	}
	d.held = slices.Concat(d.held, outer.held)
	// An overlay's conversion after a rule of the embedded policy would put something in
	// place of what that rule judged.
	slices.SortStableFunc(d.held, func(a, b *held) int { return cmp.Compare(rank(a.layer), rank(b.layer)) })
	d.Timeout, d.Nesting = outer.Timeout, outer.Nesting-1
	return d
}

// rank orders layers as they rewrite.
func rank(layer string) int {
	if layer == LayerOverlay {
		return 0
	}
	return 1
}

// Overrule returns the decision after a fact was denied: the Verdict is Deny, and
// rule, reason, messages, contact and what is allowed instead are the ruling's.
func (d Decision) Overrule(r Ruling) Decision {
	d.Verdict, d.Rule, d.Reason, d.Messages = Deny, r.Rule, r.Reason, r.Messages
	d.Layer, d.Allowed, d.Contact = r.Layer, r.Allowed, r.Contact
	d.Obligations, d.Warnings = Obligations{}, nil
	d.Dispatch, d.Timeout, d.Nesting, d.held = "", 0, 0, nil
	d.TagUnverified = false
	return d
}

// Caution returns the decision after facts were let through with a warning: the
// Verdict is Warn, and Warnings has the reasons too, each once. Rulings that don't
// warn change nothing.
func (d Decision) Caution(rulings []Ruling) Decision {
	warnings := slices.Clone(d.Warnings)
	for _, r := range rulings {
		if r.Verdict == Warn && !slices.Contains(warnings, r.Reason) {
			warnings = append(warnings, r.Reason)
		}
	}
	if d.goesOn() && len(warnings) > 0 {
		d.Verdict, d.Warnings = Warn, warnings
	}
	return d
}

// objection is one thing that rules on builds have against a fact.
type objection struct {
	what string // what is refused, and why
	by   string // the field of Build that does, and the entry
}

func objectf(by, format string, args ...any) objection {
	return objection{what: fmt.Sprintf(format, args...), by: by}
}

// allows completes an objection by what would be allowed.
func allows(items []string) string {
	if len(items) == 0 {
		return "it allows none"
	}
	return "it allows " + safetext.Printable(list("only", "only", items))
}

// ruling words what the layer has against a fact.
func (h *held) ruling(found []objection) Ruling {
	kind, _, _ := strings.Cut(found[0].by, ".")
	r := Ruling{Verdict: Deny, Rule: BuildRule, Layer: h.layer, Messages: []string{}, Allowed: h.build.allowed(Kind(kind)), Contact: h.contact}
	by := "the " + h.layer
	if h.rule != nil && h.rule.Build != nil && h.rule.Build.names(Kind(kind)) {
		r.Rule, by = h.rule.Name, "rule "+safetext.Quote(h.rule.Name)
	}
	if h.rule != nil && h.rule.Message != "" {
		r.Messages = append(r.Messages, h.rule.Message)
	}
	r.Reason = fmt.Sprintf("%s refuses %s (build.%s)", by, found[0].what, found[0].by)
	if more := len(found) - 1; more > 0 {
		r.Reason += fmt.Sprintf(" (and %d more)", more)
	}
	overlay := h.layer == LayerOverlay
	switch {
	case h.soft && overlay:
		r.Verdict, r.Reason = Warn, "the overlay says: would be refused: "+r.Reason
	case h.soft:
		r.Verdict, r.Reason = Warn, "would be refused: "+r.Reason
	case overlay:
		r.Reason = "the overlay decided: " + r.Reason
	}
	return r
}
