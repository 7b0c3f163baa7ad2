package policy

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/policy-frontend/policy-frontend/internal/safetext"
	"github.com/policy-frontend/policy-frontend/policy/buildrules"
)

// Text describes the decision to a person. The first line says what was decided and why.
// The lines after it name the image, the rule and the policy, what the build must keep
// to, and whom to ask.
//
// The argument says where the frontend was requested, for example "line 1 of Dockerfile",
// or is "". The result is safe for a terminal and has no line break at its end.
func (d Decision) Text(requestedBy string) string {
	var t textLines
	t.WriteString(d.headline())
	for _, m := range d.Messages {
		t.line("message", m)
	}
	for _, w := range d.Warnings {
		t.line("warning", w)
	}
	t.line("requested by", requestedBy)
	if d.Verdict.Permits() || d.Image != d.Requested {
		t.line("image", d.Image)
	}
	t.line("rule", d.Rule)
	t.line("policy", d.Policy.text())
	if d.Overlay != nil {
		t.line("overlay", d.Overlay.text())
	}
	if d.Dispatch != "" && (d.Dispatch != DispatchForward || len(d.Obligations.Build) > 0) {
		t.line("dispatch", string(d.Dispatch))
	}
	d.Obligations.lines(&t)
	switch d.Verdict {
	case Deny:
		// An empty list doesn't mean that nothing is allowed: it may be that only some things are denied.
		if len(d.Allowed) > 0 {
			t.line("allowed", strings.Join(d.Allowed, ", "))
		}
	case Undecidable:
		t.line("to decide", "the digest of the image must be known")
	}
	if d.Verdict != Allow {
		t.line("contact", d.Contact)
	}
	return t.String()
}

// DenialMark is in the text of each refused build, once. BuildKit says the same of the sources that
// its own policies refuse, so programs that look for it find both.
const DenialMark = "denied by policy"

// Denial returns [Decision.Text] for a refused build. It has a line with [DenialMark], unless the
// reason has it.
func (d Decision) Denial(requestedBy string) string {
	var t textLines
	t.WriteString(d.Text(requestedBy))
	if !strings.Contains(t.String(), DenialMark) {
		t.line("outcome", DenialMark)
	}
	return t.String()
}

func (d Decision) headline() string {
	if d.llb {
		return d.llbHeadline()
	}
	subject := "every frontend"
	if d.Requested != "" {
		subject = "frontend " + safetext.Plain(d.Requested)
	}
	return fmt.Sprintf("%s %s: %s", subject, d.Verdict.Text(), d.Reason)
}

// Text returns the verdict as the end of a sentence about its subject, for example "is
// allowed".
func (v Verdict) Text() string {
	switch v {
	case Allow:
		return "is allowed"
	case Warn:
		return "is allowed with a warning"
	case Undecidable:
		return "can't be decided"
	}
	return "is refused"
}

func (id Identity) text() string { return strings.TrimSpace(id.ID + " " + id.Digest.String()) }

// lines adds a line for each condition.
func (o Obligations) lines(t *textLines) {
	t.line("digests", strings.Join(o.Digests, "\n"))
	if o.RequireDigest {
		t.line("requires", "a digest in the reference")
	}
	for _, k := range o.Strip {
		t.line("removes", safetext.Plain(k)) // A client wrote it.
	}
	for _, k := range slices.Sorted(maps.Keys(o.Force)) {
		t.line("sets", k+"="+safetext.Plain(o.Force[k]))
	}
	t.line("refuses", strings.Join(o.Deny, "\n"))
	t.line("accepts only", strings.Join(o.Only, "\n"))
	if o.Inputs == ActionDeny {
		t.line("inputs", "none")
	}
	for _, b := range o.Build {
		text := fmt.Sprintf("under the %s's rules on %s", b.Layer, boundBy(&b.Build))
		if b.Mode == ModeWarn {
			text += ", which only warn"
		}
		t.line("builds", text)
	}
}

// boundBy names what build rules are about, for a person; "" if they are about nothing.
func boundBy(b *buildrules.Rules) string {
	kinds := b.Kinds()
	if b.Others == buildrules.ActionDeny {
		kinds = append(kinds, "all other sources")
	}
	return safetext.And(kinds)
}

// textLines collects lines of a label and a text.
type textLines struct{ strings.Builder }

// labelWidth is the width of a label with its colon; "requested by:" is the longest.
const labelWidth = 13

// line adds a line, unless the text is empty. Further lines of the text are indented.
func (t *textLines) line(label, text string) {
	if text = strings.TrimSpace(text); text == "" {
		return
	}
	indented := strings.ReplaceAll(text, "\n", "\n"+strings.Repeat(" ", labelWidth+3))
	fmt.Fprintf(t, "\n  %-*s %s", labelWidth, label+":", indented)
}
