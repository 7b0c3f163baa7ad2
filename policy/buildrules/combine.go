package buildrules

import (
	"cmp"
	"fmt"
	"maps"
	"slices"

	"github.com/policy-frontend/policy-frontend/internal/globs"
	"github.com/policy-frontend/policy-frontend/internal/safetext"
	"github.com/policy-frontend/policy-frontend/policy/imagerules"
)

// A rule's build stands under that of the whole policy. What the policy denies, forbids, requires
// or pins holds for all rules, so a rule can only add to it. What the policy allows is a default: a
// rule that allows something of a kind replaces what the policy allows of that kind.

// part is what [Rules] have for one kind.
type part[T any] interface {
	comparable
	// under returns a rule's part under the policy's. Neither is zero, and neither changes.
	under(policy T) T
	// closed returns a part that allows nothing that is listed nowhere else. It is zero for a kind
	// that [Rules.Others] doesn't close.
	closed() T
	// denied reports whether nothing of the kind is allowed, whatever the fields are.
	denied() bool
	// mode says what a violation does.
	mode() imagerules.Mode
}

// field is the field of Rules that has the rules of a kind.
type field struct {
	isSet  func(*Rules) bool
	denied func(*Rules) bool
	mode   func(*Rules) imagerules.Mode
	only   func(r, from *Rules) // sets the field to that of from
	// under puts the field under the policy's. With others, a side without rules of the kind allows
	// nothing if its others is deny.
	under func(r, policy *Rules, others bool)
}

func rulesOf[T part[T]](of func(*Rules) *T) field {
	var zero T
	return field{
		isSet:  func(r *Rules) bool { return *of(r) != zero },
		denied: func(r *Rules) bool { return *of(r) != zero && (*of(r)).denied() },
		mode: func(r *Rules) imagerules.Mode {
			if *of(r) == zero {
				return ""
			}
			return (*of(r)).mode()
		},
		only: func(r, from *Rules) { *of(r) = *of(from) },
		under: func(r, policy *Rules, others bool) {
			own, above := *of(r), *of(policy)
			if own == zero && above != zero && others && r.Others == ActionDeny {
				own = zero.closed()
			}
			if above == zero && own != zero && others && policy.Others == ActionDeny {
				above = zero.closed()
			}
			switch {
			case own == zero:
				own = above
			case above != zero:
				own = own.under(above)
			}
			*of(r) = own
		},
	}
}

// usesOfCommands is the field of the rules on what commands use. Those on what they request are
// below it, and it puts both under the policy's.
func usesOfCommands() field {
	f := rulesOf(func(r *Rules) **ExecRules { return &r.Exec })
	f.isSet = func(r *Rules) bool { return r.Exec.restrictsUse() }
	f.only = func(r, from *Rules) {
		if from.Exec.restrictsUse() {
			uses := *from.Exec
			uses.Downloads = nil
			r.Exec = &uses
		}
	}
	return f
}

// requestsOfCommands is the field of the rules on what commands request.
func requestsOfCommands() field {
	return field{
		isSet:  func(r *Rules) bool { return r.Exec != nil && r.Exec.Downloads != nil },
		denied: func(r *Rules) bool { return r.Exec != nil && r.Exec.Downloads.denied() },
		mode: func(r *Rules) imagerules.Mode {
			if r.Exec == nil || r.Exec.Downloads == nil {
				return ""
			}
			return r.Exec.Downloads.Mode
		},
		only: func(r, from *Rules) {
			if from.Exec != nil && from.Exec.Downloads != nil {
				r.Exec = &ExecRules{Downloads: from.Exec.Downloads}
			}
		},
		under: func(*Rules, *Rules, bool) {}, // as usesOfCommands says
	}
}

// Under returns the rules of a rule, r, under those of the whole policy. Neither changes; the
// result shares lists with both.
//
//   - Lists of deny and forbid, conditions (require…) and pins add up.
//   - An allow of r replaces the policy's. Without one, the policy's stays.
//   - Conversions of r come before the policy's.
//   - What commands can use by r replaces what they can use by the policy. If r doesn't name
//     networks, the policy's stay.
//   - Sets of conditions on configurations add up, and each is for the same results as before.
//   - deny in place of a kind's rules stays.
//   - others: deny of either side is like an empty allow for each kind of source that the side
//     doesn't name.
func (r *Rules) Under(policy *Rules) Rules {
	out := *r
	for i := range kinds {
		kinds[i].field.under(&out, policy, !kinds[i].noSource)
	}
	if out.Others == "" || policy.Others == ActionDeny {
		out.Others = policy.Others
	}
	return out
}

// Conflict returns why no image could satisfy both r and the policy's rules, as a sentence without
// its end; "" if it finds no reason.
func (r *Rules) Conflict(policy *Rules) string {
	if r.Images != nil && policy.Images != nil {
		for _, key := range slices.Sorted(maps.Keys(r.Images.pins)) {
			if d, ok := policy.Images.pins[key]; ok && d != r.Images.pins[key] {
				return fmt.Sprintf("images.pins: the policy's build pins %s to another digest, "+
					"and both pins hold; remove one of them", safetext.Printable(key))
			}
		}
	}
	if r.Config != nil && policy.Config != nil {
		return r.Config.conflict(policy.Config)
	}
	return ""
}

func (r *ConfigRules) conflict(p *ConfigRules) string {
	for _, own := range r.All() {
		for _, above := range p.All() {
			if !own.SameScope(above) {
				continue
			}
			if why := own.conflict(above); why != "" {
				return why
			}
		}
	}
	return ""
}

func (s *ConfigSet) conflict(p *ConfigSet) string {
	if s.User != nil && p.User != nil && len(s.User.require) > 0 && len(p.User.require) > 0 &&
		len(meetUsers(s.User.require, p.User.require)) == 0 {
		return "config.user.require: the policy's build requires other users, and an image has to " +
			"satisfy both; remove one of them"
	}
	if s.Labels == nil || p.Labels == nil {
		return ""
	}
	for _, key := range slices.Sorted(maps.Keys(s.Labels.Values)) {
		if above, ok := p.Labels.Values[key]; ok && !globs.Overlaps(above, s.Labels.Values[key]) {
			return fmt.Sprintf("config.labels.values: the policy's build requires another value of "+
				"the label %s, and an image has to satisfy both; remove one of them",
				safetext.Printable(key))
		}
	}
	return ""
}

// Owns reports whether the rules by themselves have the violation, which rules that r was put
// under or into found. The operation is the one that [Rules.Check] returned.
func (r *Rules) Owns(n Normalized, v Violation) bool {
	switch {
	case r.closes(n.row):
		return true
	case !r.Has(v.Kind()):
		return false
	}
	own := *r
	if own.Images != nil && len(own.Images.Convert) > 0 {
		images := *own.Images
		images.Convert = nil // The operation has the name after all conversions.
		own.Images = &images
	}
	_, found, err := own.Check(n)
	return err == nil &&
		slices.ContainsFunc(found, func(o Violation) bool { return o.Rule == v.Rule })
}

// plus returns what both lists have, without changing them. It is nil if both are empty.
func plus[T any](a, b []T) []T {
	switch {
	case len(a) == 0:
		return b
	case len(b) == 0:
		return a
	}
	return slices.Concat(a, b)
}

// merged returns the entries of both maps, without changing them. Those of a win.
func merged[K comparable, V any](a, b map[K]V) map[K]V {
	switch {
	case len(a) == 0:
		return b
	case len(b) == 0:
		return a
	}
	all := maps.Clone(b)
	maps.Copy(all, a)
	return all
}

// stricter returns the mode of rules that hold together. They only warn if both do.
func stricter(a, b imagerules.Mode) imagerules.Mode {
	if a == imagerules.ModeWarn && b == imagerules.ModeWarn {
		return a
	}
	return ""
}

func (r *ImageRules) under(p *ImageRules) *ImageRules {
	c := *r
	kept, lists := p.Rules, p.lists
	if r.allows() {
		kept, lists = denials(p.Rules), denialsOf(p.lists)
	} else {
		c.Allow, c.allow = p.Allow, p.allow
	}
	c.Rules, c.lists = plus(r.Rules, kept), plus(r.lists, lists)
	c.Deny, c.deny = plus(r.Deny, p.Deny), plus(r.deny, p.deny)
	c.RequireDigest = r.RequireDigest || p.RequireDigest
	c.Pins, c.pins = merged(r.Pins, p.Pins), merged(r.pins, p.pins)
	c.Convert = plus(r.Convert, p.Convert)
	c.Mode = stricter(r.Mode, p.Mode)
	c.Denied = r.Denied || p.Denied
	return &c
}

func (r *ImageRules) closed() *ImageRules   { return &ImageRules{Allow: List{}} }
func (r *ImageRules) denied() bool          { return r.Denied }
func (r *ImageRules) mode() imagerules.Mode { return r.Mode }

func (r urlRules) under(p urlRules, keep bool) urlRules {
	c := urlRules{allow: r.allow, deny: plus(r.deny, p.deny)}
	if keep {
		c.allow = p.allow
	}
	return c
}

func (r *GitRules) under(p *GitRules) *GitRules {
	c := *r
	if r.Allow == nil {
		c.Allow = p.Allow
	}
	c.urls = r.urls.under(p.urls, r.Allow == nil)
	c.Deny = plus(r.Deny, p.Deny)
	c.RequireCommit = r.RequireCommit || p.RequireCommit
	c.Mode = stricter(r.Mode, p.Mode)
	c.Denied = r.Denied || p.Denied
	return &c
}

func (r *GitRules) closed() *GitRules     { return &GitRules{Allow: List{}} }
func (r *GitRules) denied() bool          { return r.Denied }
func (r *GitRules) mode() imagerules.Mode { return r.Mode }

func (r *HTTPRules) under(p *HTTPRules) *HTTPRules {
	c := *r
	if r.Allow == nil {
		c.Allow = p.Allow
	}
	c.urls = r.urls.under(p.urls, r.Allow == nil)
	c.Deny = plus(r.Deny, p.Deny)
	c.RequireChecksum = r.RequireChecksum || p.RequireChecksum
	c.Mode = stricter(r.Mode, p.Mode)
	c.Denied = r.Denied || p.Denied
	return &c
}

func (r *HTTPRules) closed() *HTTPRules    { return &HTTPRules{Allow: List{}} }
func (r *HTTPRules) denied() bool          { return r.Denied }
func (r *HTTPRules) mode() imagerules.Mode { return r.Mode }

func (r *NameRules) under(p *NameRules) *NameRules {
	c := *r
	if r.Allow == nil {
		c.Allow = p.Allow
	}
	c.Deny = plus(r.Deny, p.Deny)
	c.Mode = stricter(r.Mode, p.Mode)
	c.Denied = r.Denied || p.Denied
	return &c
}

// ownDirectories are the names under which clients send the context of a build and the directory
// of its build file (frontend/dockerui/context.go, DefaultLocalName…). Without them, nothing can be
// built.
func ownDirectories() List { return List{mainContext, "dockerfile"} }

func (r *NameRules) closed() *NameRules    { return &NameRules{Allow: ownDirectories()} }
func (r *NameRules) denied() bool          { return r.Denied }
func (r *NameRules) mode() imagerules.Mode { return r.Mode }

func (r *PatternRules) under(p *PatternRules) *PatternRules {
	c := *r
	if r.Allow == nil {
		c.Allow, c.allow = p.Allow, p.allow
	}
	c.Deny, c.deny = plus(r.Deny, p.Deny), plus(r.deny, p.deny)
	c.Mode = stricter(r.Mode, p.Mode)
	c.Denied = r.Denied || p.Denied
	return &c
}

func (r *PatternRules) closed() *PatternRules { return &PatternRules{Allow: List{}} }
func (r *PatternRules) denied() bool          { return r.Denied }
func (r *PatternRules) mode() imagerules.Mode { return r.Mode }

// allowsNothing reports whether no field says what commands can use.
func (r *ExecRules) allowsNothing() bool {
	return r.Networks == nil && !r.Insecure && r.SSH == nil && r.Secrets == nil &&
		r.Devices == nil && r.Hosts == nil && r.Ulimits == nil && r.CgroupParents == nil
}

// restrictsUse reports whether the rules are about what commands use. Those that are only about
// what commands request aren't. It is false for nil.
func (r *ExecRules) restrictsUse() bool {
	return r != nil && (r.Denied || r.Deny != nil || !r.allowsNothing())
}

// onlyDenies reports whether commands can use everything that isn't denied. [Rules.Validate] gives
// rules that allow nothing and don't deny an empty list.
func (r *ExecRules) onlyDenies() bool { return r.Deny != nil && r.allowsNothing() }

func (r *ExecRules) under(p *ExecRules) *ExecRules {
	c := *r
	switch {
	case !r.restrictsUse():
		c = *p
	case !p.restrictsUse():
	default:
		if r.onlyDenies() {
			c = *p
		} else if r.Networks == nil {
			c.Networks = p.Networks
		}
		c.Deny = r.Deny.plus(p.Deny)
		c.Mode = stricter(r.Mode, p.Mode)
		c.Denied = r.Denied || p.Denied
	}
	c.Downloads = r.Downloads.under(p.Downloads)
	return &c
}

func (r *ExecRules) closed() *ExecRules    { return nil }
func (r *ExecRules) denied() bool          { return r.Denied }
func (r *ExecRules) mode() imagerules.Mode { return r.Mode }

// under is that of a [part] for rules that may be nil.
func (r *DownloadRules) under(p *DownloadRules) *DownloadRules {
	if r == nil || p == nil {
		return cmp.Or(r, p)
	}
	c := *r
	if r.Allow == nil {
		c.Allow = p.Allow
	}
	c.urls = r.urls.under(p.urls, r.Allow == nil)
	c.Deny = plus(r.Deny, p.Deny)
	c.Mode = stricter(r.Mode, p.Mode)
	c.Denied = r.Denied || p.Denied
	return &c
}

// Covers reports whether the rules are as strict as the others at least. It compares what is
// written, so rules that mean the same can differ.
func (r *DownloadRules) Covers(o *DownloadRules) bool {
	same := r.Denied == o.Denied && (r.Allow == nil) == (o.Allow == nil) &&
		slices.Equal(r.Allow, o.Allow) && slices.Equal(r.Deny, o.Deny)
	return r.Denied || same
}

func (r *DownloadRules) denied() bool { return r != nil && r.Denied }

func (d *ExecDenials) plus(p *ExecDenials) *ExecDenials {
	if d == nil || p == nil {
		return cmp.Or(d, p)
	}
	return &ExecDenials{
		Networks: plus(d.Networks, p.Networks), Insecure: d.Insecure || p.Insecure,
		SSH: plus(d.SSH, p.SSH), Secrets: plus(d.Secrets, p.Secrets),
		Devices: plus(d.Devices, p.Devices), Hosts: plus(d.Hosts, p.Hosts),
		Ulimits:       plus(d.Ulimits, p.Ulimits),
		CgroupParents: plus(d.CgroupParents, p.CgroupParents),
		hosts:         plus(d.hosts, p.hosts), ulimits: plus(d.ulimits, p.ulimits),
		cgroupParents: plus(d.cgroupParents, p.cgroupParents),
	}
}

func (a Action) under(p Action) Action {
	if p == ActionDeny {
		return p
	}
	return a
}

func (a Action) closed() Action { return "" }
func (a Action) denied() bool   { return false }

func (a Action) mode() imagerules.Mode { return "" }

func (r *ConfigRules) under(p *ConfigRules) *ConfigRules {
	c := &ConfigRules{
		ConfigSet: r.ConfigSet, Sets: plus(r.Sets, p.Sets), Mode: stricter(r.Mode, p.Mode),
	}
	switch own := &r.ConfigSet; {
	case own.isEmpty():
		c.ConfigSet = p.ConfigSet
	case own.SameScope(&p.ConfigSet):
		c.ConfigSet = *own.Plus(&p.ConfigSet)
	default:
		c.Sets = plus(r.Sets, p.All())
	}
	return c
}

func (r *ConfigRules) closed() *ConfigRules { return nil }
func (r *ConfigRules) denied() bool         { return false }

func (r *ConfigRules) mode() imagerules.Mode { return r.Mode }

func (d *Demand) plus(p *Demand) *Demand {
	if d == nil || p == nil {
		return cmp.Or(d, p)
	}
	return &Demand{
		Require: plus(d.Require, p.Require), Forbid: plus(d.Forbid, p.Forbid),
		require: plus(d.require, p.require), forbid: plus(d.forbid, p.forbid),
	}
}

func (d *LabelDemand) plus(p *LabelDemand) *LabelDemand {
	if d == nil || p == nil {
		return cmp.Or(d, p)
	}
	c := &LabelDemand{
		Demand: *d.Demand.plus(&p.Demand), Values: maps.Clone(d.Values),
		values: plus(d.values, p.values),
	}
	if c.Values == nil {
		c.Values = map[string]string{}
	}
	for key, value := range p.Values {
		// Both hold. Of two that one image can satisfy, the narrower one says all.
		if own, ok := c.Values[key]; !ok || !globs.Covers(value, own) {
			c.Values[key] = value
		}
	}
	if len(c.Values) == 0 {
		c.Values = nil
	}
	return c
}

// underUser is plus for the user. One entry of require is enough for a user, so the result requires
// the entries that both require.
func (d *Demand) underUser(p *Demand) *Demand {
	c := d.plus(p)
	if d == nil || p == nil || len(d.require) == 0 || len(p.require) == 0 {
		return c
	}
	c.require = meetUsers(d.require, p.require)
	if len(c.require) == 0 {
		c.require = []entry{nothing}
	}
	c.Require = nil
	for _, e := range c.require {
		c.Require = append(c.Require, e.String())
	}
	return c
}

// meetUsers returns entries for the users in both lists. Where the overlap of two entries can't be
// written, it is left out.
func meetUsers(a, b []entry) []entry {
	var both []entry
	for _, x := range a {
		for _, y := range b {
			for _, e := range x.meet(y) {
				if !slices.Contains(both, e) {
					both = append(both, e)
				}
			}
		}
	}
	return both
}
