package diff

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/opencontainers/go-digest"

	"github.com/policy-frontend/policy-frontend/internal/globs"
	"github.com/policy-frontend/policy-frontend/internal/optionkeys"
	"github.com/policy-frontend/policy-frontend/policy"
	"github.com/policy-frontend/policy-frontend/policy/imageref"
)

// differences are the changes found so far. Similar changes are one difference.
type differences struct {
	byKey map[string]*Difference
	order []string
}

func (d *differences) add(n Difference) {
	key := strings.Join(append([]string{
		string(n.Change), n.Pattern, n.Before.Rule, n.After.Rule,
		string(n.Before.Verdict), string(n.After.Verdict), fmt.Sprint(n.Widens),
	}, n.Details...), "\x00")
	if d.byKey == nil {
		d.byKey = map[string]*Difference{}
	}
	known, ok := d.byKey[key]
	if !ok {
		n.Count = 1
		d.byKey[key] = &n
		d.order = append(d.order, key)
		return
	}
	known.Count++
	if complexity(n.Request) < complexity(known.Request) {
		known.Request, known.Before, known.After = n.Request, n.Before, n.After
	}
}

// complexity orders requests by their length for a reader.
func complexity(r Request) int {
	return len(r.Reference) + 100*(len(r.Options)+len(r.Inputs))
}

// list returns the differences: first those that widen, then in the order of [Change].
func (d *differences) list() []Difference {
	out := make([]Difference, 0, len(d.order))
	for _, key := range d.order {
		out = append(out, *d.byKey[key])
	}
	sortDifferences(out)
	return out
}

// sortDifferences puts those that widen first.
func sortDifferences(out []Difference) {
	order := []Change{Allowed, Loosened, Rerouted, Refused, Tightened}
	slices.SortStableFunc(out, func(a, b Difference) int {
		if a.Widens != b.Widens {
			if a.Widens {
				return -1
			}
			return 1
		}
		return cmp.Compare(slices.Index(order, a.Change), slices.Index(order, b.Change))
	})
}

// compare adds the differences between the answers to one request. plain has the answers to
// the same request without options and inputs.
func (c *comparison) compare(w witness, r policy.Request, points digest.Digest, before,
	after policy.Decision, plain [2]policy.Decision,
) {
	add := func(change Change, widens bool, details ...string) {
		if !before.Verdict.Permits() {
			before = askFully(c.a, r, points)
		}
		if !after.Verdict.Permits() {
			after = askFully(c.b, r, points)
		}
		c.found.add(Difference{
			Change: change, Widens: widens, Pattern: w.pattern, Details: details,
			Request: request(r, points), Before: answer(before), After: answer(after),
		})
	}
	extra := len(r.Options)+len(r.Inputs) > 0 && plain[0].Verdict.Permits() &&
		plain[1].Verdict.Permits()
	switch was, is := before.Verdict.Permits(), after.Verdict.Permits(); {
	case !was && !is:
	case !was && extra:
		add(Loosened, true, "no longer refused: "+extras(r))
	case !was:
		add(Allowed, true)
	case !is && extra:
		add(Tightened, false, "now refused: "+extras(r))
	case !is:
		add(Refused, false)
	default:
		if before.Image != after.Image {
			add(Rerouted, c.newlyRuns(r, points, before, after))
		}
		if lost := missing(before.Obligations, after.Obligations); len(lost) > 0 {
			add(Loosened, true, prefixed("no longer required: ", lost)...)
		}
		if gained := missing(after.Obligations, before.Obligations); len(gained) > 0 {
			add(Tightened, false, prefixed("now required: ", gained)...)
		}
		b := c.builds(r, points, before, after)
		if len(b.rerouted) > 0 {
			add(Rerouted, b.widens, b.rerouted...)
		}
		if len(b.loosened) > 0 {
			add(Loosened, true, b.loosened...)
		}
		if len(b.tightened) > 0 {
			add(Tightened, false, b.tightened...)
		}
	}
}

func prefixed(prefix string, texts []string) []string {
	out := make([]string, len(texts))
	for i, t := range texts {
		out[i] = prefix + t
	}
	return out
}

// newlyRuns reports whether the image that now runs in place of another is one that the first
// policy doesn't say can run in its place: one with another name, or one that the first policy
// refuses. A digest that a tag of the same image gets is none.
func (c *comparison) newlyRuns(r policy.Request, points digest.Digest,
	before, after policy.Decision,
) bool {
	if before.Reference.Name() != after.Reference.Name() {
		return true
	}
	r.Reference = after.Reference
	d := ask(c.a, r, points)
	return !d.Verdict.Permits() || d.Reference.Name() != after.Reference.Name()
}

// extras names the options and inputs of a request.
func extras(r policy.Request) string {
	var parts []string
	for _, k := range slices.Sorted(maps.Keys(r.Options)) {
		parts = append(parts, "option "+k)
	}
	for range r.Inputs {
		parts = append(parts, "inputs from other builds")
	}
	return strings.Join(parts, ", ")
}

func request(r policy.Request, points digest.Digest) Request {
	out := Request{Reference: r.Requested, Options: r.Options, Inputs: r.Inputs, Time: r.Time}
	if r.Reference.Tag() != "" {
		out.Digest = points.String()
	}
	return out
}

func answer(d policy.Decision) Answer { return Answer{d.Verdict, d.Rule, d.Reason, d.Image} }

// missing describes the obligations that are looser in after than in before.
func missing(before, after policy.Obligations) []string {
	var out []string
	addf := func(format string, args ...any) { out = append(out, fmt.Sprintf(format, args...)) }
	if len(before.Digests) > 0 && (len(after.Digests) == 0 || !subset(after.Digests, before.Digests)) {
		addf("digests: only %s", strings.Join(before.Digests, ", "))
	}
	if before.RequireDigest && !after.RequireDigest {
		addf("requireDigest")
	}
	for _, k := range before.Strip {
		if _, forced := after.Force[k]; !forced && !slices.Contains(after.Strip, k) {
			addf("options.strip: %s", k)
		}
	}
	for _, k := range slices.Sorted(maps.Keys(before.Force)) {
		if v, ok := after.Force[k]; !ok || v != before.Force[k] {
			addf("options.force: %s=%s", k, before.Force[k])
		}
	}
	for _, g := range before.Deny {
		by := func(o string) bool { return globs.Covers(o, g) || sameOption(o, g) }
		let := func(o string) bool { return globs.Overlaps(o, g) }
		if !slices.ContainsFunc(after.Deny, by) && (len(after.Only) == 0 ||
			slices.ContainsFunc(after.Only, let)) {
			addf("options.deny: %s", g)
		}
	}
	if len(before.Only) > 0 && (len(after.Only) == 0 || !coveredBy(after.Only, before.Only)) {
		addf("options.only: %s", strings.Join(before.Only, ", "))
	}
	if before.Inputs != "" && after.Inputs == "" {
		addf("options.inputs: %s", before.Inputs)
	}
	return out
}

// sameOption reports whether two entries of deny are for the same options, in other spellings. One
// for a named context is for it with each platform.
func sameOption(a, b string) bool {
	return !globs.Open(a) && !globs.Open(b) && optionkeys.Canonical(a) == optionkeys.Canonical(b)
}

func subset(a, b []string) bool {
	return !slices.ContainsFunc(a, func(s string) bool { return !slices.Contains(b, s) })
}

func coveredBy(list, by []string) bool {
	return !slices.ContainsFunc(list, func(g string) bool {
		return !slices.ContainsFunc(by, func(o string) bool { return globs.Covers(o, g) })
	})
}

// defaultFrontend compares the answers to a build that names no frontend.
func (c *comparison) defaultFrontend() {
	before, after := c.namesNone(c.a), c.namesNone(c.b)
	var change Change
	var widens bool
	switch was, is := before.Verdict.Permits(), after.Verdict.Permits(); {
	case !was && is:
		change, widens = Allowed, true
	case was && !is:
		change = Refused
	case was && before.Image != after.Image:
		r := policy.Request{Reference: after.Reference, Time: c.at}
		change, widens = Rerouted, c.newlyRuns(r, c.other, before, after)
	default:
		return
	}
	c.found.add(Difference{
		Change: change, Widens: widens, Request: Request{Time: c.at}, Before: answer(before),
		After: answer(after),
	})
}

// namesNone returns one policy's answer to a build that names no frontend.
func (c *comparison) namesNone(s *side) policy.Decision {
	ref, err := imageref.Parse(s.DefaultFrontend)
	if err != nil {
		return s.layers.Refuse("", "the build names no frontend, and the policy has no defaultFrontend")
	}
	c.asked++
	r := policy.Request{Requested: s.DefaultFrontend, Reference: ref, Time: c.at}
	return askFully(s, r, c.other)
}
