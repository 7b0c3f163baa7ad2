package diff

import (
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/policy-frontend/policy-frontend/internal/globs"
	"github.com/policy-frontend/policy-frontend/policy"
	"github.com/policy-frontend/policy-frontend/policy/buildrules"
)

// The fields of a configuration for which there are rules. Rules judge each field by itself.
const (
	fieldUser = iota
	fieldLabels
	fieldEnv
	fieldPorts
	fieldVolumes
	fields
)

// fieldNames are the names of the fields in rules.
func fieldNames() [fields]string {
	return [fields]string{"user", "labels", "env", "ports", "volumes"}
}

// item is one value in a field. Only labels have a value of their own.
type item struct{ text, value string }

// sample is a configuration. It has at most one user.
type sample [fields][]item

// scene is a kind of results for which sets of conditions can be.
type scene struct {
	target   string
	runnable bool
}

// operation returns the sample as a result of that kind.
func (in scene) operation(s sample) buildrules.Operation {
	f := buildrules.Config{Target: in.target}
	if in.runnable {
		f.Cmd = []string{"x"}
	}
	for _, i := range s[fieldUser] {
		f.User = i.text
	}
	for _, i := range s[fieldLabels] {
		if f.Labels == nil {
			f.Labels = map[string]string{}
		}
		f.Labels[i.text] = i.value
	}
	for field, list := range map[int]*[]string{
		fieldEnv: &f.Env, fieldPorts: &f.Ports, fieldVolumes: &f.Volumes,
	} {
		for _, i := range s[field] {
			*list = append(*list, i.text)
		}
	}
	return buildrules.Operation{Config: &f}
}

// without returns the sample without what the field has under this text.
func (s sample) without(field int, text string) sample {
	s[field] = slices.DeleteFunc(slices.Clone(s[field]), func(i item) bool { return i.text == text })
	return s
}

// with returns the sample with the item in the field, in place of one with the same text.
func (s sample) with(field int, i item) sample {
	if field == fieldUser {
		s[field] = []item{i}
		return s
	}
	s = s.without(field, i.text)
	s[field] = append(s[field], i)
	return s
}

// config adds configurations that one of the policies accepts, if there are any, and variants
// with one value less, one more, or one in place of another. It does so for each kind of results
// that sets of conditions distinguish.
func (p *prober) config(rules []buildrules.Rules) {
	var sets []*buildrules.ConfigSet
	for _, b := range rules {
		if b.Config != nil {
			sets = append(sets, b.Config.All()...)
		}
	}
	if len(sets) == 0 {
		return
	}
	items := p.items(sets)
	for _, in := range p.scenes(sets) {
		fits := p.accepted(in, p.after, items)
		p.around(in, fits, items)
		p.around(in, p.accepted(in, p.before, items), items)
		const k = buildrules.KindConfig
		if kindText(p.before, k) != kindText(p.after, k) &&
			ruling(p.after, probe{Operation: in.operation(fits)}).Verdict == policy.Deny {
			p.c.allRefused(p.after, k) // Samples for other results may be accepted.
		}
	}
}

// around adds a configuration and variants of it.
func (p *prober) around(in scene, base sample, items [fields][]item) {
	p.add(in.operation(base))
	for field, list := range items {
		alike := []buildrules.Operation{in.operation(base)}
		for _, i := range base[field] {
			alike = append(alike, in.operation(base.without(field, i.text)))
		}
		for _, i := range list {
			alike = append(alike, in.operation(base.with(field, i)))
		}
		for _, i := range base[field] {
			for _, o := range list {
				alike = append(alike, in.operation(base.without(field, i.text).with(field, o)))
			}
		}
		p.add(alike...)
	}
}

// scenes returns the kinds of results that the sets distinguish.
func (p *prober) scenes(sets []*buildrules.ConfigSet) []scene {
	var targets []string
	runnable := []bool{false}
	for _, s := range sets {
		for _, t := range slices.Concat(s.Targets, s.ExceptTargets) {
			targets = append(targets, globs.FoldASCII(t))
		}
		if s.Results == buildrules.ResultsRunnable {
			runnable = []bool{false, true}
		}
	}
	names := []string{""}
	if len(targets) > 0 {
		names = append(names, p.textsOf(targets)...)
		// A target is a name only if it begins with a letter.
		p.c.complete = p.c.complete && strings.Trim(p.c.fresh[:1], "0123456789") != ""
	}
	var out []scene
	for _, t := range names {
		for _, r := range runnable {
			out = append(out, scene{t, r})
		}
	}
	return out
}

// accepted returns a configuration of the items that the decision accepts, or one that it nearly
// accepts if there is none.
func (p *prober) accepted(in scene, d policy.Decision, items [fields][]item) sample {
	var s sample
	for field, list := range items {
		open := p.missing(in, d, s, field)
		for _, i := range list {
			if open == 0 {
				break
			}
			if n := p.missing(in, d, s.with(field, i), field); n >= 0 && (open < 0 || n < open) {
				s, open = s.with(field, i), n
			}
		}
	}
	return s
}

// missing returns how many things the field lacks that the decision requires, or -1 if the
// decision forbids something that the field has.
func (p *prober) missing(in scene, d policy.Decision, s sample, field int) int {
	var only sample
	only[field] = s[field]
	n, err := in.operation(only).Normalize(buildrules.KindConfig)
	if err != nil || !p.c.spend(requestWork) {
		return -1
	}
	count := 0
	prefix := "config." + fieldNames()[field] + "."
	for _, o := range d.Obligations.Build {
		if o.Mode == policy.ModeWarn {
			continue
		}
		_, found, _ := o.Build.Check(n) // Only rules on images have errors.
		for _, v := range found {
			rest, ok := strings.CutPrefix(v.Rule, prefix)
			switch {
			case !ok:
			case strings.HasPrefix(rest, "forbid"):
				return -1
			default:
				count++
			}
		}
	}
	return count
}

// items returns examples of all entries of each field, and one that no entry matches.
func (p *prober) items(sets []*buildrules.ConfigSet) [fields][]item {
	var entries [fields][]string
	values := map[string][]string{} // of labels
	for _, s := range sets {
		for i, of := range []*buildrules.Demand{
			fieldUser: s.User, fieldLabels: nil, fieldEnv: s.Env,
			fieldPorts: s.Ports, fieldVolumes: s.Volumes,
		} {
			if of != nil {
				entries[i] = slices.Concat(entries[i], of.Require, of.Forbid)
			}
		}
		if l := s.Labels; l != nil {
			entries[fieldLabels] = slices.Concat(entries[fieldLabels], l.Require, l.Forbid)
			for key, value := range l.Values {
				values[key] = append(values[key], value)
			}
		}
	}
	var out [fields][]item
	for _, key := range slices.Sorted(maps.Keys(values)) {
		for _, value := range append(p.textsOf(values[key]), "") {
			out[fieldLabels] = append(out[fieldLabels], item{key, value})
		}
		entries[fieldLabels] = append(entries[fieldLabels], key)
	}
	for i := range fields {
		var texts []string
		switch i {
		case fieldUser:
			texts = p.users(entries[i])
		case fieldPorts:
			texts = p.ports(entries[i])
		default:
			texts = p.textsOf(entries[i])
		}
		for _, t := range texts {
			if _, ok := values[t]; !ok || i != fieldLabels {
				out[i] = append(out[i], item{text: t})
			}
		}
	}
	return out
}

// users returns users in and next to the entries. The empty one is root.
func (p *prober) users(entries []string) []string {
	var globs []string
	var out []string
	add := func(number string, by int) {
		if n, err := strconv.Atoi(number); err == nil && n+by > 0 {
			out = append(out, strconv.Itoa(n+by))
		}
	}
	for _, e := range entries {
		from, to, ok := strings.Cut(e, "-")
		if !ok || strings.Trim(from+to, "0123456789") != "" {
			globs = append(globs, e)
			continue
		}
		for _, by := range []int{0, -1, 1} {
			add(from, by)
			add(to, by)
		}
		globs = append(globs, from) // and what globs have in common with it
	}
	for _, s := range slices.Concat(p.textsOf(globs), p.filled(globs)) {
		out = append(out, s)
		add(s, 1)
	}
	return distinct(append(out, ""))
}

// filled returns the globs with numbers in place of their stars.
func (p *prober) filled(entries []string) []string {
	var out []string
	for _, e := range entries {
		if !globs.Open(e) {
			continue
		}
		for _, fill := range strings.Fields("1 2 3 4 5 6 7 8 9 0 00 000 500 999") {
			out = append(out, globs.Example(e, fill))
		}
	}
	return out
}

// ports returns a port for each combination of entries that have its number, with each protocol.
func (p *prober) ports(entries []string) []string {
	numbers, protocols := []string{}, []string{"tcp", "udp", "sctp", p.c.fresh}
	for _, e := range entries {
		number, protocol, _ := strings.Cut(strings.ToLower(e), "/")
		numbers = append(numbers, number)
		if protocol != "" {
			protocols = append(protocols, globs.Example(protocol, ""), globs.Example(protocol, p.c.fresh))
		}
	}
	slices.Sort(numbers)
	var out []string
	for _, n := range p.c.portNumbers(slices.Compact(numbers)) {
		for _, protocol := range protocols {
			if protocol != "" {
				out = append(out, strconv.Itoa(n)+"/"+protocol)
			}
		}
	}
	return distinct(out)
}

// portNumbers returns a port for each combination of the conditions that it meets: numbers, ranges
// and globs. It looks at all ports if there are globs, and else at the ends of ranges.
func (c *comparison) portNumbers(conditions []string) []int {
	key := strings.Join(conditions, ",")
	if known, ok := c.portsOf[key]; ok {
		return known
	}
	try := []int{1, 1<<16 - 1}
	if slices.ContainsFunc(conditions, func(s string) bool { return globs.Open(s) && s != "*" }) {
		try = try[:0]
		for n := range 1<<16 - 1 {
			try = append(try, n+1)
		}
	} else {
		for _, s := range conditions {
			for end := range strings.SplitSeq(s, "-") {
				if n, err := strconv.Atoi(end); err == nil {
					try = append(try, n, n-1, n+1)
				}
			}
		}
	}
	seen := map[string]bool{}
	var out []int
	for _, n := range try {
		if n < 1 || n >= 1<<16 || !c.spend(len(conditions)) {
			continue
		}
		met := make([]byte, len(conditions))
		for i, s := range conditions {
			if isPort(s, n) {
				met[i] = 1
			}
		}
		if !seen[string(met)] {
			seen[string(met)] = true
			out = append(out, n)
		}
	}
	c.portsOf[key] = out
	return out
}

// isPort reports whether the port meets a condition: a number, a range or a glob.
func isPort(condition string, port int) bool {
	low, high, ok := strings.Cut(condition, "-")
	if !ok {
		high = low
	}
	from, errFrom := strconv.Atoi(low)
	to, errTo := strconv.Atoi(high)
	if errFrom == nil && errTo == nil {
		return from <= port && port <= to
	}
	return globs.Match(condition, strconv.Itoa(port))
}

// distinct returns the texts without repetitions, in their order.
func distinct(texts []string) []string {
	seen := map[string]bool{}
	return slices.DeleteFunc(texts, func(s string) bool {
		was := seen[s]
		seen[s] = true
		return was
	})
}
