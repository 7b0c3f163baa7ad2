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
	// resultWork is the work for one entry about results or build caches.
	resultWork = 50_000
)

// sampler looks for entries that the other checks miss. It removes them one by one, and compares
// the decisions on sample requests. An entry has to be idle in the policy as it is, and also
// without all that has a finding: of two entries that do the same, only one gets a finding.
type sampler struct {
	*checker
	whole, rest version // rest is without what has a finding
	work        int
	cut         int // entries for which the work didn't suffice
}

// version is a document and what others are compared with.
type version struct {
	doc policy.Document
	// base is the policy; and also that with each denial enforced, if some only warn.
	base []diff.Base
}

// sampled looks for entries that matter for no sample request. It needs the other findings.
func (c *checker) sampled(p *policy.Policy) {
	nothing := func(f located) bool { return f.Code == AllowsNothing }
	if c.size() > maxSampled || slices.ContainsFunc(c.found, nothing) {
		return // Where nothing is allowed, nothing else matters.
	}
	s := sampler{checker: c, work: sampleWork}
	d := p.Document()
	d.Include, d.DefaultFrontend = nil, ""
	// Only a frontend that is forwarded gets other options for its build rules.
	forwards := func(r policy.Rule) bool { return r.Dispatch == policy.DispatchForward }
	if d.Dispatch != policy.DispatchForward && !slices.ContainsFunc(d.Frontends, forwards) {
		d.Build = nil
		for i := range d.Frontends {
			d.Frontends[i].Build = nil
		}
	}
	if !s.read(d, &s.whole) {
		return
	}
	s.rest = s.whole
	s.removeFound()
	for i := range c.rules {
		s.rule(c.rules[i].Rule)
	}
	for i := len(c.aliases) - 1; i >= 0; i-- {
		s.alias(c.aliases[i].Alias)
	}
	if s.cut > 0 {
		c.addf(EntriesNotTried, "the policy is too intricate to try whether each rule, alias and entry "+
			"matters: %d may have no effect and no finding", s.cut)
	}
}

// size returns how many entries the policy has. Once there are more than maxSampled, it stops.
func (c *checker) size() int {
	n := len(c.rules) + len(c.aliases)
	for i := 0; i < len(c.rules) && n <= maxSampled; i++ {
		for _, l := range lists(c.rules[i].Rule) {
			n += len(l.entries())
		}
	}
	for i := 0; i < len(c.aliases) && n <= maxSampled; i++ {
		n += len(c.aliases[i].Pins)
	}
	return n
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
		{"clients", &r.Clients},
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

// copied returns a copy of a document whose lists can be changed.
func copied(d policy.Document) policy.Document {
	d.Frontends, d.Aliases = slices.Clone(d.Frontends), slices.Clone(d.Aliases)
	for i := range d.Frontends {
		r := &d.Frontends[i]
		for _, l := range []*[]string{
			&r.Match, &r.Tags, &r.ExceptTags, &r.Variants, &r.Digests, &r.Clients, &r.Platforms,
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

// read compiles a document. It is false, and changes nothing, if the document isn't valid.
func (s *sampler) read(d policy.Document, into *version) bool {
	all, ok := s.parsed(d)
	if !ok {
		return false
	}
	*into = version{doc: d}
	for _, p := range all {
		into.base = append(into.base, diff.NewBase(p, s.time()))
	}
	return true
}

// removal takes something out of a document.
type removal func(d *policy.Document)

// leaveOut takes something out of what others are compared with, if the rest is valid.
func (s *sampler) leaveOut(what removal) {
	d := copied(s.rest.doc)
	what(&d)
	s.read(d, &s.rest)
}

// removeFound leaves out the rules and the entries that have a finding which says that they have no
// effect.
func (s *sampler) removeFound() {
	for _, f := range s.found {
		switch f.Code {
		case Expired, NeverMatches, Shadowed, OutsideLimits, AliasedAway:
			r := find(f.Rule, &s.whole.doc)
			if f.Code == AliasedAway && r != nil && r.Action == policy.ActionDeny {
				continue // It is still for other ports.
			}
			if !f.inner {
				s.leaveOut(ruleNamed(f.Rule))
			}
		}
	}
	for i := range s.rules {
		r := s.rules[i].Rule
		for _, l := range lists(r) {
			for _, entry := range l.entries() {
				if s.says(r.Name, l.field, entry) {
					s.leaveOut(entryOf(r.Name, l.field, entry))
				}
			}
		}
	}
	for i := range s.aliases {
		if a := s.aliases[i].Alias; s.saysAlias(a) {
			s.leaveOut(aliasAt(a))
		}
	}
}

func ruleNamed(name string) removal {
	return func(d *policy.Document) {
		d.Frontends = slices.DeleteFunc(d.Frontends, func(o policy.Rule) bool { return o.Name == name })
	}
}

func entryOf(rule, field, entry string) removal {
	return func(d *policy.Document) {
		if r := find(rule, d); r != nil {
			for _, l := range lists(r) {
				if l.field == field {
					l.remove(entry)
				}
			}
		}
	}
}

func aliasAt(a *policy.Alias) removal {
	return func(d *policy.Document) {
		d.Aliases = slices.DeleteFunc(d.Aliases, func(o policy.Alias) bool { return samePlace(&o, a) })
	}
}

func pinOf(a *policy.Alias, tag string) removal {
	return func(d *policy.Document) {
		for i := range d.Aliases {
			if samePlace(&d.Aliases[i], a) {
				delete(d.Aliases[i].Pins, tag)
			}
		}
	}
}

func samePlace(a, b *policy.Alias) bool {
	return a.File() == b.File() && a.Line() == b.Line() && a.Column() == b.Column()
}

func find(name string, d *policy.Document) *policy.Rule {
	i := slices.IndexFunc(d.Frontends, func(r policy.Rule) bool { return r.Name == name })
	if i < 0 {
		return nil
	}
	return &d.Frontends[i]
}

// says reports whether a finding says that an entry of a rule has no effect.
func (s *sampler) says(rule, field, entry string) bool {
	return slices.ContainsFunc(s.found, func(f located) bool {
		rest, ok := strings.CutPrefix(f.Message, field)
		return ok && f.Rule == rule && !f.inner && isIdle(f.Code) &&
			(strings.HasPrefix(rest, " lists every ") || // It is about all of them.
				slices.ContainsFunc(writtenAs(entry), func(form string) bool { return follows(rest, form) }))
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

// refuses reports whether a finding says that the policy refuses what an alias leads to, or one of
// its pins.
func (s *sampler) refuses(a *policy.Alias, tag string) bool {
	return slices.ContainsFunc(s.found, func(f located) bool {
		return f.File == a.File() && f.owner == a.Line() && f.Rule == "" &&
			(f.Code == AliasNotAllowed ||
				f.Code == PinRefused && follows(strings.TrimPrefix(f.text, "pins"), tag))
	})
}

// idle reports whether all sample requests have the same decisions without something. If so, that
// is left out from then on.
func (s *sampler) idle(what removal) bool {
	for _, v := range []version{s.whole, s.rest} {
		same, searched := s.same(v, what)
		if !searched {
			s.cut++
		}
		if !same || !searched {
			return false
		}
	}
	s.leaveOut(what)
	return true
}

// same reports whether a document decides all sample requests in the same way without something.
// searched is false if the work didn't suffice to find that out.
func (s *sampler) same(v version, what removal) (same, searched bool) {
	d := copied(v.doc)
	what(&d)
	all, ok := s.parsed(d)
	if !ok {
		return false, true
	}
	for i, b := range v.base {
		// Where nothing only warns any more, all is enforced.
		p := all[min(i, len(all)-1)]
		work := min(entryWork, s.work)
		found, searched, left := b.Find(p, work, matters)
		s.work -= work - left
		if found || !searched {
			return false, found
		}
	}
	return true, true
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
	refused := func(f located) bool { return f.Rule == r.Name && f.Code == BuiltinRefuses }
	if find(r.Name, &s.rest.doc) == nil || slices.ContainsFunc(s.found, refused) {
		return
	}
	const why = "no request was found for which it matters, because other rules or fields decide them"
	if s.idle(ruleNamed(r.Name)) {
		code := EntryWithoutEffect
		if r.Action == policy.ActionDeny {
			code = DenyWithoutEffect
		}
		s.addRule(code, r, "the rule has no effect: %s; remove it, or put it first", why)
		return
	}
	for _, l := range lists(r) {
		for _, entry := range l.entries() {
			if s.says(r.Name, l.field, entry) || !s.idle(entryOf(r.Name, l.field, entry)) {
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
func (s *sampler) alias(a *policy.Alias) {
	if s.saysAlias(a) || s.refuses(a, "") {
		return
	}
	const why = "no request was found for which it matters"
	if s.idle(aliasAt(a)) {
		s.addAlias(EntryWithoutEffect, a, "the alias from %s to %s has no effect: %s; remove it", a.From, a.To,
			why)
		return
	}
	for _, tag := range slices.Sorted(maps.Keys(a.Pins)) {
		if !s.refuses(a, tag) && s.idle(pinOf(a, tag)) {
			s.addAlias(EntryWithoutEffect, a, "pins has %s, and %s; remove it", tag, why)
		}
	}
}
