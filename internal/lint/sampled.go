package lint

import (
	"maps"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/policy-frontend/policy-frontend/internal/diff"
	"github.com/policy-frontend/policy-frontend/policy"
)

const (
	// maxSampled is how many entries a policy has at most for its entries to be tried.
	maxSampled = 200
	// sampleWork is the work for all entries of a policy, in units of package diff.
	sampleWork = 4_000_000
	// entryWork is the work for one entry.
	entryWork = 400_000
)

// sampler looks for entries that the other checks miss. It removes them one by one, and compares
// the decisions on sample requests. What has a finding is removed for good, so that of two entries
// that do the same, only one gets a finding.
type sampler struct {
	*checker
	doc  policy.Document // without what has a finding
	base []diff.Base     // the same; also with each denial enforced if some only warn
	work int
}

// sampled looks for entries that matter for no sample request. It needs the other findings.
func (c *checker) sampled(p *policy.Policy) {
	s := sampler{checker: c, doc: p.Document(), work: sampleWork}
	s.doc.Include, s.doc.DefaultFrontend = nil, ""
	// Only a frontend that is forwarded gets other options for its build rules.
	forwards := s.doc.Dispatch == policy.DispatchForward || slices.ContainsFunc(s.doc.Frontends,
		func(r policy.Rule) bool { return r.Dispatch == policy.DispatchForward })
	if !forwards {
		s.doc.Build = nil
	}
	n := 0
	for i := range s.doc.Frontends {
		r := &s.doc.Frontends[i]
		if !forwards {
			r.Build = nil
		}
		for _, l := range lists(r) {
			n += len(l.entries())
		}
	}
	for i := range s.doc.Aliases {
		n += 1 + len(s.doc.Aliases[i].Pins)
	}
	if n > maxSampled || !s.rebase(s.doc) {
		return
	}
	s.removeFound()
	for i := range c.rules {
		s.rule(c.rules[i].Rule)
	}
	for i := len(c.aliases) - 1; i >= 0; i-- {
		s.alias(i)
	}
}

// list is a list of entries, or a mapping whose keys are the entries.
type list struct {
	field   string
	entries func() []string
	remove  func(entry string)
}

// lists returns the lists of a rule.
func lists(r *policy.Rule) []list {
	var out []list
	for _, l := range []struct {
		field string
		list  *[]string
	}{
		{"match", &r.Match},
		{"tags", &r.Tags},
		{"exceptTags", &r.ExceptTags},
		{"variants", &r.Variants},
		{"digests", &r.Digests},
		{"platforms", &r.Platforms},
		{"options.deny", &r.Options.Deny},
		{"options.strip", &r.Options.Strip},
		{"options.only", &r.Options.Only},
	} {
		out = append(out, list{
			l.field, func() []string { return slices.Clone(*l.list) },
			func(entry string) {
				if i := slices.Index(*l.list, entry); i >= 0 {
					*l.list = slices.Delete(*l.list, i, i+1)
				}
			},
		})
	}
	return append(out, list{
		"options.force", func() []string { return slices.Sorted(maps.Keys(r.Options.Force)) },
		func(entry string) { delete(r.Options.Force, entry) },
	})
}

// copied returns a copy of the document whose lists can be changed.
func (s *sampler) copied() policy.Document {
	d := s.doc
	d.Frontends, d.Aliases = slices.Clone(d.Frontends), slices.Clone(d.Aliases)
	for i := range d.Frontends {
		r := &d.Frontends[i]
		for _, l := range []*[]string{
			&r.Match, &r.Tags, &r.ExceptTags, &r.Variants, &r.Digests, &r.Platforms,
			&r.Options.Deny, &r.Options.Strip, &r.Options.Only,
		} {
			*l = slices.Clone(*l)
		}
		r.Options.Force = maps.Clone(r.Options.Force)
	}
	for i := range d.Aliases {
		d.Aliases[i].Pins = maps.Clone(d.Aliases[i].Pins)
	}
	return d
}

// parsed returns the policies of a document: as it is, and with each denial enforced if some only
// warn. It is false if the document isn't valid.
func (s *sampler) parsed(d policy.Document) ([]*policy.Policy, bool) {
	text, err := yaml.Marshal(d)
	if err != nil {
		return nil, false
	}
	p, err := policy.Parse(s.file, text)
	if err != nil {
		return nil, false
	}
	out := []*policy.Policy{p}
	if d.Mode == policy.ModeWarn ||
		slices.ContainsFunc(d.Frontends, func(r policy.Rule) bool { return r.Mode == policy.ModeWarn }) {
		out = append(out, p.WithMode(policy.ModeEnforce))
	}
	return out, true
}

// rebase makes a document the one that others are compared with. It is false if that isn't valid.
func (s *sampler) rebase(d policy.Document) bool {
	all, ok := s.parsed(d)
	if !ok {
		return false
	}
	s.doc, s.base = d, nil
	for _, p := range all {
		s.base = append(s.base, diff.NewBase(p, s.time()))
	}
	return true
}

// removeFound removes the rules and the entries that have a finding which says that they have no
// effect.
func (s *sampler) removeFound() {
	gone := map[string]bool{}
	for _, f := range s.found {
		switch f.Code {
		case Expired, NeverMatches, Shadowed, OutsideLimits:
			gone[f.Rule] = gone[f.Rule] || !f.inner
		}
	}
	d := s.copied()
	d.Frontends = slices.DeleteFunc(d.Frontends, func(r policy.Rule) bool { return gone[r.Name] })
	s.rebase(d)
	for i := range s.rules {
		r := s.find(s.rules[i].Name, &s.doc)
		if r == nil {
			continue
		}
		for _, l := range lists(r) {
			for _, entry := range l.entries() {
				if s.says(r.Name, l.field, entry) {
					d := s.copied()
					remove(s.find(r.Name, &d), l.field, entry)
					s.rebase(d)
				}
			}
		}
	}
	d = s.copied()
	d.Aliases = slices.DeleteFunc(d.Aliases, func(a policy.Alias) bool { return s.saysAlias(&a) })
	s.rebase(d)
}

func (s *sampler) find(name string, d *policy.Document) *policy.Rule {
	i := slices.IndexFunc(d.Frontends, func(r policy.Rule) bool { return r.Name == name })
	if i < 0 {
		return nil
	}
	return &d.Frontends[i]
}

func remove(r *policy.Rule, field, entry string) {
	for _, l := range lists(r) {
		if l.field == field {
			l.remove(entry)
		}
	}
}

// says reports whether a finding says that an entry of a rule has no effect.
func (s *sampler) says(rule, field, entry string) bool {
	return slices.ContainsFunc(s.found, func(f located) bool {
		rest, ok := strings.CutPrefix(f.Message, field)
		return ok && f.Rule == rule && !f.inner && isIdle(f.Code) &&
			slices.ContainsFunc(writtenAs(entry), func(form string) bool { return follows(rest, form) })
	})
}

func isIdle(c Code) bool {
	switch c {
	case EntryRepeated, EntryWithoutEffect, EntryAliased, DenyWithoutEffect, ExceptWithoutEffect,
		OptionWithoutEffect:
		return true
	}
	return false
}

// saysAlias reports whether a finding says that an alias has no effect.
func (s *sampler) saysAlias(a *policy.Alias) bool {
	return slices.ContainsFunc(s.found, func(f located) bool {
		return f.File == a.File() && f.owner == a.Line() && f.Rule == "" &&
			(f.Code == AliasShadowed && len(a.Pins) == 0 || f.Code == AliasWithoutEffect)
	})
}

// idle reports whether a document decides all sample requests as the base does. If so, it becomes
// the base.
func (s *sampler) idle(d policy.Document) bool {
	all, ok := s.parsed(d)
	if !ok || len(all) != len(s.base) {
		return false
	}
	for i, p := range all {
		work := min(entryWork, s.work)
		found, searched, left := s.base[i].Find(p, work, matters)
		s.work -= work - left
		if found || !searched {
			return false
		}
	}
	return s.rebase(d)
}

// matters reports whether a difference between two decisions is one that a build can notice. Which
// of several rules refuses it isn't, but for the message.
func matters(before, after policy.Decision) bool {
	if before.Verdict != after.Verdict || before.Contact != after.Contact ||
		!slices.Equal(before.Messages, after.Messages) {
		return true
	}
	if !before.Verdict.Permits() {
		return false
	}
	was, is := &before.Obligations, &after.Obligations
	return before.Rule != after.Rule || before.Image != after.Image ||
		before.Dispatch != after.Dispatch || !slices.Equal(was.Strip, is.Strip) ||
		!maps.Equal(was.Force, is.Force)
}

// rule tries a rule and its entries.
func (s *sampler) rule(r *policy.Rule) {
	if s.find(r.Name, &s.doc) == nil {
		return
	}
	const why = "no request was found for which it matters, because other rules or fields decide them"
	d := s.copied()
	d.Frontends = slices.DeleteFunc(d.Frontends, func(o policy.Rule) bool { return o.Name == r.Name })
	if s.idle(d) {
		code := EntryWithoutEffect
		if r.Action == policy.ActionDeny {
			code = DenyWithoutEffect
		}
		s.addRule(code, r, "the rule has no effect: %s; remove it, or put it first", why)
		return
	}
	for _, l := range lists(r) {
		for _, entry := range l.entries() {
			d := s.copied()
			of := s.find(r.Name, &d)
			remove(of, l.field, entry)
			if l.field == "match" && len(of.Match) == 0 || s.says(r.Name, l.field, entry) || !s.idle(d) {
				continue
			}
			code := EntryWithoutEffect
			switch {
			case l.field == "exceptTags":
				code = ExceptWithoutEffect
			case l.field == "match" && r.Action == policy.ActionDeny:
				code = DenyWithoutEffect
			}
			s.addRule(code, r, "%s has %s, and %s; remove it", l.field, entry, why)
		}
	}
}

// alias tries an alias and its pins.
func (s *sampler) alias(i int) {
	a := s.aliases[i].Alias
	at := slices.IndexFunc(s.doc.Aliases, func(o policy.Alias) bool {
		return o.File() == a.File() && o.Line() == a.Line() && o.Column() == a.Column()
	})
	if at < 0 {
		return
	}
	const why = "no request was found for which it matters"
	d := s.copied()
	d.Aliases = slices.Delete(d.Aliases, at, at+1)
	if s.idle(d) {
		s.addAlias(EntryWithoutEffect, a, "the alias from %s to %s has no effect: %s; remove it", a.From, a.To,
			why)
		return
	}
	for _, tag := range slices.Sorted(maps.Keys(a.Pins)) {
		d := s.copied()
		delete(d.Aliases[at].Pins, tag)
		if s.idle(d) {
			s.addAlias(EntryWithoutEffect, a, "pins has %s, and %s; remove it", tag, why)
		}
	}
}
