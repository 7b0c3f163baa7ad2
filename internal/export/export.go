// Package export converts a policy to formats that other programs enforce: BuildKit's
// source policies, buildkitd's configuration and buildx's Rego policies.
//
// No format can express a whole policy, so an export comes with notes about the
// differences. If a format can't express a condition, the export refuses more where that
// is still useful, and allows more otherwise. With [Options].Strict, it never allows more
// than the policy.
package export

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/policy-frontend/policy-frontend/internal/safetext"
	"github.com/policy-frontend/policy-frontend/policy"
)

// Format is a format to export to.
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
	// Time is when the export is made. Rules that have expired by then are omitted. At the
	// zero time, every allow rule with an expiry has expired, and no deny rule.
	Time time.Time
	// Strict omits rules that the format can't fully express.
	Strict bool
	// Images are patterns, in the form of a rule's match, for the images that a build may
	// use in addition to frontends. They are only for [Rego], which can't tell the two apart.
	Images []string
}

// Effect is the effect of a difference between a policy and its export.
type Effect string

// The effects.
const (
	// RefusesMore: the export refuses something that the policy allows.
	RefusesMore Effect = "refuses more"
	// AllowsMore: the export allows something that the policy refuses. With
	// [Options].Strict, there is no such note.
	AllowsMore Effect = "allows more"
	// Different: neither of the two, but a message or an action is missing.
	Different Effect = "differs"
)

// Note is one difference between a policy and its export.
type Note struct {
	Effect Effect
	// Rule is the name of the rule that the note is about. File and Line are where this rule
	// or an alias begins. They are empty and 0 for the whole policy.
	Rule string
	File string
	Line int
	// Message is one sentence for a person.
	Message string
}

// Result is an export.
type Result struct {
	// Data is the text of the export. If the format has comments, it begins with one for each
	// note that says AllowsMore.
	Data []byte
	// Notes are in the order of the policy. Those about the whole policy come first.
	Notes []Note
}

// Export converts the policy, which must come from [policy.Parse] or [policy.Load], to the
// format. It fails for an unknown format, for a policy that was made in another way, and
// for [Options].Images that are invalid or that are given for another format than [Rego].
func Export(p *policy.Policy, f Format, o Options) (Result, error) {
	if p == nil || p.Digest() == "" {
		return Result{}, errors.New("the policy must come from policy.Parse or policy.Load")
	}
	if len(o.Images) > 0 && f != Rego {
		return Result{}, fmt.Errorf("additional images are only for the format %s; %s doesn't restrict "+
			"them", Rego, f)
	}
	e := newExporter(p.WithMode(policy.ModeEnforce), o)
	e.wholePolicy(p.Document())
	if f != Buildkitd { // a list of names has no default
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
		return Result{}, fmt.Errorf("the format must be %s, %s or %s, not %q", SourcePolicy, Buildkitd,
			Rego, f)
	}
	if err != nil {
		return Result{}, err
	}
	slices.SortStableFunc(e.notes, func(a, b Note) int {
		return cmp.Or(cmp.Compare(a.File, b.File), cmp.Compare(a.Line, b.Line))
	})
	notes := slices.Compact(e.notes)
	if f != SourcePolicy { // JSON has no comments
		data = append(losses(notes), data...)
	}
	return Result{Data: data, Notes: notes}, nil
}

// Looser reports whether the export allows something that the policy refuses.
func (r Result) Looser() bool {
	return slices.ContainsFunc(r.Notes, func(n Note) bool { return n.Effect == AllowsMore })
}

// losses returns comments about what the export allows and the policy refuses.
func losses(notes []Note) []byte {
	var out []byte
	for _, n := range notes {
		if n.Effect != AllowsMore {
			continue
		}
		rule := ""
		if n.Rule != "" {
			rule = "rule " + safetext.Quote(n.Rule) + ": "
		}
		out = fmt.Appendf(out, "# This allows more than the policy: %s%s\n", rule,
			safetext.Printable(n.Message))
	}
	if out != nil {
		out = append(out, '\n')
	}
	return out
}

// exporter is the state of one export.
type exporter struct {
	policy  *policy.Policy  // all modes are enforce, because an export can't warn
	doc     policy.Document // its fields
	options Options
	notes   []Note
}

func newExporter(p *policy.Policy, o Options) *exporter {
	return &exporter{policy: p, doc: p.Document(), options: o}
}

// wholePolicy adds notes about fields that no format has.
func (e *exporter) wholePolicy(p policy.Document) {
	if p.Mode == policy.ModeWarn {
		e.note(nil, RefusesMore, "the policy only warns (mode: warn); the export refuses")
	}
	if p.DefaultFrontend != "" {
		e.note(nil, Different, "defaultFrontend is not exported: a build that names no frontend "+
			"doesn't get this one")
	}
	for _, field := range []struct {
		name    string
		written bool
	}{
		{"llb", p.LLB.AllowsSome()},
		{"debug", p.Debug.AllowsSome()},
		{"exports", p.Exports != nil},
		{"caches", p.Caches != nil},
		{"administration", p.Administration != nil},
		{"sbom", p.SBOM != nil},
	} {
		if field.written {
			e.note(nil, Different, "%s is not exported: only policy-guard applies it", field.name)
		}
	}
	if len(p.Attest) > 0 {
		e.note(nil, Different, "attest is not exported: only policy-frontend makes summaries")
	}
	for i := range p.Frontends {
		r := &p.Frontends[i]
		if len(r.Clients) > 0 && r.Action == policy.ActionDeny {
			e.note(r, RefusesMore, "clients is not exported, because only policy-guard knows who builds: "+
				"the export denies for all clients")
		}
		if r.Mode == policy.ModeWarn {
			e.note(r, RefusesMore, "the rule only warns (mode: warn); the export refuses")
		}
		if r.WarnAfter != "" {
			e.note(r, Different, "warnAfter is not exported: there is no warning")
		}
	}
}

// note adds a note about a rule, or about the whole policy if r is nil.
func (e *exporter) note(r *policy.Rule, effect Effect, format string, args ...any) {
	n := Note{Effect: effect, Message: fmt.Sprintf(format, args...)}
	if r != nil {
		n.Rule, n.File, n.Line = r.Name, r.File(), r.Line()
	}
	e.notes = append(e.notes, n)
}

// refusesAlias adds a note about an alias that isn't exported.
func (e *exporter) refusesAlias(a *policy.Alias, format string, args ...any) {
	e.notes = append(e.notes, Note{
		Effect: RefusesMore, File: a.File(), Line: a.Line(), Message: fmt.Sprintf(format, args...),
	})
}

// current reports whether the rule matches at the time of the export. It adds a note about
// the rule's expiry.
func (e *exporter) current(r *policy.Rule) bool {
	end := r.ExpiryTime()
	switch {
	case end.IsZero():
		return true
	case r.Action == policy.ActionDeny:
		if !e.options.Time.IsZero() && !e.options.Time.Before(end) {
			e.note(r, Different, "the rule expired on %s and is omitted", r.Expires)
			return false
		}
		e.note(r, RefusesMore, "expires is not exported: the export still denies after %s", r.Expires)
		return true
	case e.options.Time.IsZero() || !e.options.Time.Before(end):
		e.note(r, Different, "the rule expired on %s and is omitted", r.Expires)
		return false
	}
	return e.lose(r, "expires is not exported: export the policy again on %s", r.Expires)
}

// lose adds a note that the format can't express a condition of an allow rule. It reports
// whether the rule is exported nevertheless.
func (e *exporter) lose(r *policy.Rule, format string, args ...any) bool {
	reason := fmt.Sprintf(format, args...)
	if e.options.Strict {
		e.note(r, RefusesMore, "the rule is omitted: %s", reason)
		return false
	}
	e.note(r, AllowsMore, "%s", reason)
	return true
}

// optionConditions names the fields of the rule's options that can refuse a build.
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
		{"platforms", len(r.Platforms) > 0},
	} {
		if c.has {
			names = append(names, c.name)
		}
	}
	return safetext.And(names)
}
