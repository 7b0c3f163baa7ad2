package diff

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/opencontainers/go-digest"

	"github.com/policy-frontend/policy-frontend/policy"
	"github.com/policy-frontend/policy-frontend/policy/buildrules"
	"github.com/policy-frontend/policy-frontend/policy/imageref"
	"github.com/policy-frontend/policy-frontend/policy/imagerules"
)

// maxDetails is the number of details that a difference shows for each kind of change to what
// a frontend may build.
const maxDetails = 8

// built describes changes in how a frontend runs and in what it may build.
type built struct {
	loosened, tightened, rerouted []string
	widens                        bool // whether an image is now read that wasn't allowed
}

// builds compares how a frontend runs that both policies allow, and what it may build, now and when
// rules on images change. The result is the same for all requests with the same build rules.
func (c *comparison) builds(r policy.Request, points digest.Digest, before, after policy.Decision,
) built {
	later := changes(slices.Concat(rulesOnImages(before), rulesOnImages(after)), r.Time)
	was, is := c.a.buildOf(before), c.b.buildOf(after)
	key := fmt.Sprint(was, "\x00", is, "\x00", len(later))
	if known, ok := c.built[key]; ok {
		return known
	}
	var b built
	b.dispatch(before.Dispatch, after.Dispatch)
	if before.Dispatch != policy.DispatchForward && after.Dispatch != policy.DispatchForward {
		b.bound("limits.timeout", int(before.Timeout), int(after.Timeout), before.Timeout, after.Timeout)
		b.bound("limits.memory", int(before.Memory>>20), int(after.Memory>>20),
			policy.FormatSize(before.Memory), policy.FormatSize(after.Memory))
		b.bound("limits.nesting", before.Nesting, after.Nesting, before.Nesting, after.Nesting)
	}
	// Containers are refused even without rules, unless the policy only warns.
	const alone = buildrules.KindContainers
	if was != is && (writtenBuild(before) != writtenBuild(after) ||
		before.Dispatch != after.Dispatch || before.Enforces(alone) != after.Enforces(alone)) {
		probes := c.probes(before, after)
		accepted := map[buildrules.Kind]bool{}
		c.operations(&b, probes, before, after, "", accepted)
		for _, r.Time = range later {
			was, is := ask(c.a, r, points), ask(c.b, r, points)
			if was.Verdict.Permits() && is.Verdict.Permits() && heldBy(was) == heldBy(before) &&
				heldBy(is) == heldBy(after) {
				c.operations(&b, ofImages(probes), was, is, " from "+r.Time.UTC().Format(time.RFC3339),
					accepted)
			}
		}
		c.unshown(before, after, accepted)
	}
	for _, list := range []*[]string{&b.loosened, &b.tightened, &b.rerouted} {
		if more := len(*list) - maxDetails; more > 0 {
			*list = append((*list)[:maxDetails], fmt.Sprintf("and %d more", more))
		}
	}
	c.built[key] = b
	return b
}

func ofImages(probes [][]probe) [][]probe {
	return slices.DeleteFunc(slices.Clone(probes),
		func(alike []probe) bool { return len(alike) == 0 || alike[0].Image == "" })
}

// rulesOnImages returns the rules on images that bind a frontend.
func rulesOnImages(d policy.Decision) []*imagerules.Rule {
	var out []*imagerules.Rule
	for _, o := range d.Obligations.Build {
		if o.Build.Images != nil {
			out = append(out, o.Build.Images.Rules...)
		}
	}
	return out
}

// buildOf returns a text that is the same for decisions with the same build rules, under which
// frontends run in the same way.
func (s *side) buildOf(d policy.Decision) string {
	out := fmt.Sprint(d.Dispatch, d.Timeout, d.Nesting, d.Memory,
		d.Enforces(buildrules.KindContainers))
	for _, o := range d.Obligations.Build {
		out += fmt.Sprint(o.Mode, s.built[o.Rule], s.built[policy.BuildRule])
	}
	return out
}

// heldBy is the same for decisions with the same rules on builds.
func heldBy(d policy.Decision) string {
	parts := []string{d.Rule, string(d.Dispatch)}
	for _, o := range d.Obligations.Build {
		parts = append(parts, o.Rule, string(o.Mode))
	}
	return strings.Join(parts, "\x01")
}

// writtenBuild returns the build rules as text, for comparison.
func writtenBuild(d policy.Decision) string {
	var parts []string
	for _, o := range d.Obligations.Build {
		parts = append(parts, string(o.Mode), marshal(o.Build))
	}
	return strings.Join(parts, "\x01")
}

// dispatch compares how a frontend runs. forward sees the least of a frontend. With builtin,
// another program runs.
func (b *built) dispatch(before, after policy.Dispatch) {
	text := fmt.Sprintf("dispatch: %s, before %s", after, before)
	switch {
	case before == after:
	case after == policy.DispatchForward:
		b.loosened = append(b.loosened, text)
	case before == policy.DispatchForward:
		b.tightened = append(b.tightened, text)
	default:
		b.rerouted = append(b.rerouted, text)
	}
}

// bound compares a limit on frontends under mediate or builtin.
func (b *built) bound(name string, before, after int, was, is any) {
	text := fmt.Sprintf("%s: %v, before %v", name, is, was)
	switch {
	case after > before:
		b.loosened = append(b.loosened, text)
	case after < before:
		b.tightened = append(b.tightened, text)
	}
}

// operations compares the rulings on samples of operations. Of similar ones, it adds one for each
// change. suffix says when they are made. It notes the kinds of those that the second decision
// accepts.
func (c *comparison) operations(b *built, probes [][]probe, before, after policy.Decision,
	suffix string, accepted map[buildrules.Kind]bool,
) {
	for _, alike := range probes {
		told := map[*[]string]bool{}
		for _, f := range alike {
			if !c.spend(requestWork) {
				return
			}
			is := ruling(after, f)
			if k, err := f.Kind(); err == nil && is.Verdict != policy.Deny {
				accepted[k] = true
			}
			list, text := b.compare(f, before, is)
			if list == nil || told[list] {
				continue
			}
			told[list] = true
			if !slices.Contains(*list, text) && !slices.Contains(*list, text+suffix) {
				*list = append(*list, text+suffix)
			}
		}
	}
}

// compare describes the change for an operation, and returns the list to which it belongs. The
// list is nil if nothing changes. The second policy's ruling is given.
func (b *built) compare(f probe, before policy.Decision, is policy.Ruling) (
	list *[]string, text string,
) {
	was := ruling(before, f)
	what := f.Describe()
	switch denied := was.Verdict == policy.Deny; {
	case denied && is.Verdict != policy.Deny:
		return &b.loosened, "no longer refused in a build: " + what
	case !denied && is.Verdict == policy.Deny:
		return &b.tightened, "now refused in a build: " + what
	case !denied && was.Image != is.Image:
		b.widens = b.widens || newlyRead(before, f, was, is)
		return &b.rerouted, fmt.Sprintf("in a build, %s becomes %s, before %s", what, reads(is),
			reads(was))
	}
	return nil, ""
}

// seen reports whether forward leaves the operation to a check: by what the result shows, or by the
// daemon's question.
func seen(f buildrules.Operation) bool {
	k, err := f.Kind()
	return err != nil || !k.IsUnseen()
}

// ruling is what becomes of an operation: forward checks no containers and other frontends. As in
// a build, the tag of an image is looked up if the ruling relies on it.
func ruling(d policy.Decision, f probe) policy.Ruling {
	if d.Dispatch == policy.DispatchForward && !seen(f.Operation) {
		return policy.Ruling{Verdict: policy.Allow}
	}
	r := d.Check(f.Operation)
	if r.TagUnverified {
		r = d.CheckTag(f.Operation, f.points)
	}
	return r
}

func reads(r policy.Ruling) string {
	if r.Image.Name() == "" {
		return "the requested image"
	}
	return r.Image.Familiar()
}

// newlyRead is [comparison.newlyRuns] for an image that a build reads.
func newlyRead(before policy.Decision, f probe, was, is policy.Ruling) bool {
	requested, err := imageref.Parse(f.Image)
	if err != nil || is.Image.Name() == "" {
		return true // The first policy replaced this image.
	}
	if cmp.Or(was.Image.Name(), requested.Name()) != is.Image.Name() {
		return true
	}
	f.Image = is.Image.String()
	r := ruling(before, f)
	return r.Verdict == policy.Deny || r.Image.Name() != "" && r.Image != is.Image
}
