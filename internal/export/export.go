// Package export writes what it can of a policy in the languages of those who
// enforce by themselves: BuildKit's source policies, buildkitd's configuration and
// buildx's Rego policies.
//
// None of them can hold all of a policy, so an export comes with notes. Where a
// condition is lost it is dropped to the refusing side if that leaves anything
// useful; a note says so either way. With Options.Strict nothing is let through
// that the policy refuses: what can't be held is left out.
package export

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/policy-frontend/policy-frontend/policy"
)

// Format is a language to export to.
type Format string

// The formats.
const (
	// SourcePolicy is the JSON form of BuildKit's source policies
	// (sourcepolicy/pb/policy.proto), for buildctl --source-policy-file and buildx's
	// EXPERIMENTAL_BUILDKIT_SOURCE_POLICY.
	SourcePolicy Format = "source-policy"
	// Buildkitd is a part of buildkitd.toml.
	Buildkitd Format = "buildkitd"
	// Rego is a policy for buildx build --policy (buildx's policy/types.go).
	Rego Format = "rego"
)

// Options say what to export.
type Options struct {
	// Time is when the export is made: what has expired then is not exported. At the
	// zero time every allow rule that expires has, and no deny rule.
	Time time.Time
	// Strict leaves out what the format can't hold fully.
	Strict bool
	// Images are patterns, in the form of a rule's match, of the images that a build
	// may use besides frontends. For Rego only, which can't tell the one from the other.
	Images []string
}

// Effect is what the difference between a policy and its export does.
type Effect string

// The effects.
const (
	// RefusesMore: the export refuses what the policy allows.
	RefusesMore Effect = "refuses more"
	// AllowsMore: the export lets through what the policy refuses. There is no such
	// note with Options.Strict.
	AllowsMore Effect = "allows more"
	// Different: neither, but something is not said or not done.
	Different Effect = "differs"
)

// Note is one difference between a policy and its export.
type Note struct {
	Effect Effect
	// Rule is the name of the rule that it is about, File and Line are where that or
	// an alias begins; empty and 0 for the whole policy.
	Rule string
	File string
	Line int
	// Message is one sentence for a person.
	Message string
}

// Result is an export.
type Result struct {
	// Data is the text of the export.
	Data []byte
	// Notes are ordered as the policy is, those of the whole policy first.
	Notes []Note
}

// Export writes the policy, which must come from policy.Parse or policy.Load, in a
// format. It fails for a format that isn't one, for Options.Images that are no
// patterns or are given for another format than Rego, and for a policy that was
// made otherwise.
func Export(p *policy.Policy, f Format, o Options) (Result, error) {
	if p == nil || p.Digest() == "" {
		return Result{}, errors.New("the policy must come from policy.Parse or policy.Load")
	}
	if len(o.Images) > 0 && f != Rego {
		return Result{}, fmt.Errorf("images besides frontends are for the format %s only; %s doesn't restrict them", Rego, f)
	}
	e := exporter{policy: enforcing(p), options: o}
	e.wholePolicy(p)
	if f != Buildkitd { // which has no default
		e.unjudgedDefault()
	}
	var data []byte
	var err error
	switch f {
	case SourcePolicy:
		data, err = e.sourcePolicy()
	case Buildkitd:
		data = e.buildkitd()
	case Rego:
		data, err = e.rego()
	default:
		return Result{}, fmt.Errorf("the format must be %s, %s or %s, not %q", SourcePolicy, Buildkitd, Rego, f)
	}
	if err != nil {
		return Result{}, err
	}
	slices.SortStableFunc(e.notes, func(a, b Note) int {
		return cmp.Or(cmp.Compare(a.File, b.File), cmp.Compare(a.Line, b.Line))
	})
	return Result{Data: data, Notes: slices.Compact(e.notes)}, nil
}

// exporter is one export under way.
type exporter struct {
	policy  *policy.Policy // with all modes enforce
	options Options
	notes   []Note
}

// enforcing returns the policy with every mode set to enforce: an export can't warn,
// so it refuses.
func enforcing(p *policy.Policy) *policy.Policy {
	q := *p
	q.Mode = policy.ModeEnforce
	q.Frontends = slices.Clone(p.Frontends)
	for i := range q.Frontends {
		q.Frontends[i].Mode = ""
	}
	return &q
}

// wholePolicy notes what no format holds.
func (e *exporter) wholePolicy(p *policy.Policy) {
	if p.Mode == policy.ModeWarn {
		e.note(nil, RefusesMore, "the policy only warns (mode: warn); the export refuses")
	}
	if p.DefaultFrontend != "" {
		e.note(nil, Different, "defaultFrontend is not exported: a build that names no frontend gets no other one")
	}
	for i := range p.Frontends {
		r := &p.Frontends[i]
		if r.Mode == policy.ModeWarn {
			e.note(r, RefusesMore, "the rule only warns (mode: warn); the export refuses")
		}
		if r.WarnAfter != "" {
			e.note(r, Different, "warnAfter is not exported: nobody is warned")
		}
	}
}

// note adds a note about a rule, or about the whole policy if it is nil.
func (e *exporter) note(r *policy.Rule, effect Effect, format string, args ...any) {
	n := Note{Effect: effect, Message: fmt.Sprintf(format, args...)}
	if r != nil {
		n.Rule, n.File, n.Line = r.Name, r.File(), r.Line()
	}
	e.notes = append(e.notes, n)
}

// refusesAlias adds a note about an alias that isn't exported.
func (e *exporter) refusesAlias(a *policy.Alias, format string, args ...any) {
	e.notes = append(e.notes, Note{Effect: RefusesMore, File: a.File(), Line: a.Line(), Message: fmt.Sprintf(format, args...)})
}

// current reports whether the rule matches at the time of the export, and notes
// what will become of it.
func (e *exporter) current(r *policy.Rule) bool {
	end := r.ExpiryTime()
	switch {
	case end.IsZero():
		return true
	case r.Action == policy.ActionDeny:
		if !e.options.Time.IsZero() && !e.options.Time.Before(end) {
			e.note(r, Different, "the rule expired on %s and is left out", r.Expires)
			return false
		}
		e.note(r, RefusesMore, "expires is not exported: the export goes on to deny after %s", r.Expires)
		return true
	case e.options.Time.IsZero() || !e.options.Time.Before(end):
		e.note(r, Different, "the rule expired on %s and is left out", r.Expires)
		return false
	}
	return e.lose(r, "expires is not exported: from %s on, make the export anew", r.Expires)
}

// lose notes that a condition of an allow rule can't be held, and reports whether
// the rule is exported all the same.
func (e *exporter) lose(r *policy.Rule, format string, args ...any) bool {
	reason := fmt.Sprintf(format, args...)
	if e.options.Strict {
		e.note(r, RefusesMore, "the rule is left out: %s", reason)
		return false
	}
	e.note(r, AllowsMore, "%s", reason)
	return true
}

// conditions names the rule's options that can refuse a build, "" if there are none.
func optionConditions(r *policy.Rule) string {
	o := r.Options
	var names []string
	for _, c := range []struct {
		name string
		has  bool
	}{
		{"deny", len(o.Deny) > 0},
		{"strip", len(o.Strip) > 0},
		{"force", len(o.Force) > 0},
		{"only", len(o.Only) > 0},
		{"inputs: deny", o.Inputs == policy.ActionDeny},
	} {
		if c.has {
			names = append(names, c.name)
		}
	}
	switch len(names) {
	case 0:
		return ""
	case 1:
		return names[0]
	}
	last := len(names) - 1
	out := names[0]
	for _, n := range names[1:last] {
		out += ", " + n
	}
	return out + " and " + names[last]
}
