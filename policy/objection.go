package policy

import (
	"cmp"
	"fmt"
	"strings"

	"github.com/policy-frontend/policy-frontend/internal/safetext"
)

// objection is why one layer refuses something that isn't about a frontend.
type objection struct {
	what    string   // it completes "the policy refuses …"
	field   string   // that refuses it, below the rule; "" if what says it, or no policy can allow it
	hint    string   // what to do, or ""
	allowed []string // what the field allows
}

// rule asks all layers. If several refuse, the ruling is that of the embedded policy.
func (l Layers) rule(rule string, ask func(p *Policy, overlay bool) *objection) Ruling {
	r := Ruling{Verdict: Allow, Rule: rule, Layer: LayerPolicy, Messages: []string{}}
	if l.embedded == nil {
		r.Verdict, r.Reason = Deny, "there is no policy, so nothing is allowed"
		return r
	}
	o := ask(l.embedded, false)
	by, contact := "the policy", l.Contact()
	if o == nil && l.overlay != nil {
		if o = ask(l.overlay, true); o != nil {
			by, r.Layer = "the overlay decided: the overlay", LayerOverlay
			contact = cmp.Or(l.overlay.doc.Contact, contact)
		}
	}
	if o == nil {
		return r
	}
	r.Verdict, r.Contact = Deny, contact
	r.Reason = by + " refuses " + o.what
	if o.field != "" {
		r.Reason += fmt.Sprintf(" (%s.%s)", rule, o.field)
	}
	if o.hint != "" {
		r.Messages = append(r.Messages, o.hint)
	}
	r.Allowed = o.allowed[:min(len(o.allowed), maxAllowed)]
	return r
}

// inLayer returns a field of the whole policy as a layer applies it: nil if it restricts nothing.
// An overlay without the field leaves it to the policy. A policy without it has the default, which
// is its zero value.
func inLayer[T any](field *T, overlay bool) *T {
	if field == nil && !overlay {
		return new(T)
	}
	return field
}

// Denial describes a ruling of [Layers.DecideExport] or one of its siblings that refuses something
// to a person, as [Decision.Denial] does.
func (l Layers) Denial(r Ruling) string {
	var t textLines
	t.WriteString(r.Reason)
	for _, m := range r.Messages {
		t.line("message", m)
	}
	if l.embedded != nil {
		t.line("policy", l.embedded.Identity().text())
	}
	if l.overlay != nil {
		t.line("overlay", l.overlay.Identity().text())
	}
	t.line("allowed", strings.Join(r.Allowed, ", "))
	t.line("contact", r.Contact)
	t.line("outcome", DenialMark)
	return t.String()
}

// allowsOnly ends what an objection refuses with what is allowed instead.
func allowsOnly(items []string) string {
	const most = 3
	shown := items[:min(len(items), most)]
	switch {
	case len(items) == 0:
		return ""
	case len(shown) < len(items):
		return ": it allows only " + strings.Join(shown, ", ") + " and others"
	}
	return ": it allows only " + safetext.Or(shown)
}
