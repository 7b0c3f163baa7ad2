package lock

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/opencontainers/go-digest"

	"github.com/policy-frontend/policy-frontend/policy"
	"github.com/policy-frontend/policy-frontend/policy/buildrules"
	"github.com/policy-frontend/policy-frontend/policy/imageref"
)

// Skipped is a rule that can't be pinned, or can't be pinned fully.
type Skipped struct {
	// Rule is the rule's name. File and Line are where it begins. They are zero for the build rules of
	// the whole policy.
	Rule   string
	File   string
	Line   int
	Reason string
}

// finder looks for pins in one policy.
type finder struct {
	doc     policy.Document
	layers  policy.Layers
	now     time.Time
	pins    []Pin
	skipped []Skipped
}

// Find returns the policy's pins and the pins that can be added: for literal tags in allow
// rules for one literal repository. It skips rules with patterns or versions, rules that
// have expired before now, and tags that the policy denies. It fails for a policy that
// [policy.Parse] or [policy.Load] didn't make.
func Find(p *policy.Policy, now time.Time) ([]Pin, []Skipped, error) {
	layers, err := policy.Stack(p, nil)
	if err != nil {
		return nil, nil, err
	}
	f := finder{doc: p.Document(), layers: layers, now: now}
	for i := range f.doc.Aliases {
		a := &f.doc.Aliases[i]
		for _, tag := range slices.Sorted(maps.Keys(a.Pins)) {
			f.add(Pin{Alias: a, From: a.From, To: a.To, Tag: tag, Old: digest.Digest(a.Pins[tag])})
		}
	}
	for i := range f.doc.Frontends {
		r := &f.doc.Frontends[i]
		if r.Action == policy.ActionAllow {
			f.rule(r)
		}
		f.images(r.Build, Skipped{Rule: r.Name, File: r.File(), Line: r.Line()})
	}
	f.images(f.doc.Build, Skipped{})
	return f.pins, f.skipped, nil
}

// images notes that the pins of images that builds read stay as they are.
func (f *finder) images(b *buildrules.Rules, at Skipped) {
	if b != nil && b.Images != nil && len(b.Images.Pins) > 0 {
		at.Reason = "only the pins of aliases are updated, and build.images.pins stay as they are"
		f.skipped = append(f.skipped, at)
	}
}

// add adds a pin unless it is already there.
func (f *finder) add(p Pin) {
	if !slices.ContainsFunc(f.pins, func(o Pin) bool {
		return o.Alias == p.Alias && o.From == p.From &&
			o.Tag == p.Tag
	}) {
		f.pins = append(f.pins, p)
	}
}

func (f *finder) skip(r *policy.Rule, format string, args ...any) {
	f.skipped = append(f.skipped, Skipped{r.Name, r.File(), r.Line(), fmt.Sprintf(format, args...)})
}

// rule adds the pins for the tags of an allow rule.
func (f *finder) rule(r *policy.Rule) {
	end := r.ExpiryTime()
	patterns := slices.Compact(slices.Sorted(slices.Values(r.Patterns())))
	switch {
	case !end.IsZero() && !f.now.Before(end):
		f.skip(r, "it expired on %s", r.Expires)
		return
	case len(r.Digests) > 0:
		f.skip(r, "its digests already determine which images may run")
		return
	case len(patterns) > 1:
		f.skip(r, "it matches more than one repository")
		return
	case strings.Contains(patterns[0], "*"):
		f.skip(r, "its match is a pattern")
		return
	case r.Versions != "":
		f.skip(r, "its versions are a range; only literal tags can be pinned")
	case len(r.Tags) == 0:
		f.skip(r, "it matches every tag; only literal tags can be pinned")
		return
	}
	places, ok := f.places(patterns[0])
	if !ok {
		f.skip(r, "an alias replaces %s, so the rule never sees this name", patterns[0])
		return
	}
	for _, tag := range r.Tags {
		if strings.Contains(tag, "*") {
			f.skip(r, "its tag %s is a pattern", tag)
			continue
		}
		for _, place := range places {
			place.Tag = tag
			if reason := f.denied(place); reason != "" {
				f.skip(r, "%s", reason)
				continue
			}
			f.add(place)
		}
	}
}

// denied returns the reason why the policy refuses the pin's name and tag, or "".
func (f *finder) denied(p Pin) string {
	ref, err := imageref.Parse(p.From + ":" + p.Tag)
	if err != nil {
		return err.Error()
	}
	if d := policy.Decide(f.layers, policy.Request{
		Reference: ref,
		Time:      f.now,
	}); d.Verdict == policy.Deny {
		return d.Reason
	}
	return ""
}

// places returns pins without a tag for the aliases to which a repository's pins belong. It
// is false if no build can get this repository.
func (f *finder) places(repository string) ([]Pin, bool) {
	var out []Pin
	for i := range f.doc.Aliases {
		a := &f.doc.Aliases[i]
		from, to := a.Names()
		if to == repository && f.first(from) == a {
			out = append(out, Pin{Alias: a, From: a.From, To: a.To})
		}
	}
	if len(out) > 0 {
		return out, true
	}
	for i := range f.doc.Aliases {
		a := &f.doc.Aliases[i]
		from, to := a.Names()
		folder, ok := strings.CutSuffix(to, "**")
		rest, below := strings.CutPrefix(repository, folder)
		if !ok || !below || rest == "" {
			continue
		}
		name := strings.TrimSuffix(from, "**") + rest
		if f.first(name) == a {
			// A directory alias can't have pins. A new alias for this name goes before it.
			out = append(out, Pin{From: familiar(name), To: familiar(repository), Before: a})
		}
	}
	if len(out) > 0 {
		return out, true
	}
	if f.first(repository) != nil {
		return nil, false
	}
	return []Pin{{From: familiar(repository), To: familiar(repository)}}, true
}

// first returns the alias that applies to the name, or nil.
func (f *finder) first(name string) *policy.Alias {
	for i := range f.doc.Aliases {
		a := &f.doc.Aliases[i]
		if _, ok := a.Rename(name); ok {
			return a
		}
	}
	return nil
}

// familiar returns a name in familiar form, as in Docker commands.
func familiar(name string) string {
	p, err := imageref.ParsePattern(name)
	if err != nil {
		return name
	}
	return p.Familiar()
}
