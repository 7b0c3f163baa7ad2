package diff

import (
	"fmt"
	"slices"
	"strings"

	"github.com/policy-frontend/policy-frontend/policy"
	"github.com/policy-frontend/policy-frontend/policy/buildrules"
)

// maxDetails is how many things of one kind of change are told of what a frontend may
// build.
const maxDetails = 8

// built is what changes in how a frontend runs and what it may build.
type built struct {
	loosened, tightened, rerouted []string
	widens                        bool // what is read instead was not allowed
}

// builds compares how a frontend runs that both policies allow, and what it may build.
// That is the same for all requests that the same rules decide.
func (c *comparison) builds(before, after policy.Decision) built {
	key := heldBy(before) + "\x00" + heldBy(after)
	if known, ok := c.built[key]; ok {
		return known
	}
	var b built
	b.dispatch(before.Dispatch, after.Dispatch)
	if before.Dispatch != policy.DispatchForward && after.Dispatch != policy.DispatchForward {
		b.bound("limits.timeout", int(before.Timeout), int(after.Timeout), before.Timeout, after.Timeout)
		b.bound("limits.nesting", before.Nesting, after.Nesting, before.Nesting, after.Nesting)
	}
	if writtenBuild(before) != writtenBuild(after) || before.Dispatch != after.Dispatch {
		c.operations(&b, before, after)
	}
	for _, list := range []*[]string{&b.loosened, &b.tightened, &b.rerouted} {
		if more := len(*list) - maxDetails; more > 0 {
			*list = append((*list)[:maxDetails], fmt.Sprintf("and %d more", more))
		}
	}
	c.built[key] = b
	return b
}

// heldBy is the same for decisions with the same rules on builds.
func heldBy(d policy.Decision) string {
	parts := []string{d.Rule, string(d.Dispatch)}
	for _, o := range d.Obligations.Build {
		parts = append(parts, o.Rule, string(o.Mode))
	}
	return strings.Join(parts, "\x01")
}

// writtenBuild is the rules on builds as a text to compare.
func writtenBuild(d policy.Decision) string {
	var parts []string
	for _, o := range d.Obligations.Build {
		parts = append(parts, string(o.Mode), marshal(o.Build))
	}
	return strings.Join(parts, "\x01")
}

// dispatch compares how a frontend runs. Forward sees least of what it does; built in,
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

// bound compares a limit on frontends that don't run by forward.
func (b *built) bound(name string, before, after int, was, is any) {
	text := fmt.Sprintf("%s: %v, before %v", name, is, was)
	switch {
	case after > before:
		b.loosened = append(b.loosened, text)
	case after < before:
		b.tightened = append(b.tightened, text)
	}
}

// operations compares what becomes of examples of what a frontend may build. Of those that
// are alike, one is told for each change.
func (c *comparison) operations(b *built, before, after policy.Decision) {
	for _, alike := range c.probes(before, after) {
		told := map[*[]string]bool{}
		for _, f := range alike {
			if !c.spend(requestWork) {
				return
			}
			if list, text := b.compare(f, before, after); list != nil && !told[list] {
				told[list] = true
				if !slices.Contains(*list, text) {
					*list = append(*list, text)
				}
			}
		}
	}
}

// compare says what changes for an operation, and to which list that belongs; nil if nothing
// does.
func (b *built) compare(f buildrules.Operation, before, after policy.Decision) (list *[]string, text string) {
	was, is := ruling(before, f), ruling(after, f)
	what := f.Describe()
	switch denied := was.Verdict == policy.Deny; {
	case denied && is.Verdict != policy.Deny:
		return &b.loosened, "no longer refused in a build: " + what
	case !denied && is.Verdict == policy.Deny:
		return &b.tightened, "now refused in a build: " + what
	case !denied && was.Image != is.Image:
		b.widens = b.widens || newlyRead(before, is)
		return &b.rerouted, fmt.Sprintf("in a build, %s is read as %s, before as %s", what, reads(is), reads(was))
	}
	return nil, ""
}

// seen reports whether forward sees the operation, which a result has to show then.
func seen(f buildrules.Operation) bool {
	k, err := f.Kind()
	return err != nil || k.InResult()
}

// ruling is what becomes of an operation: forward doesn't see containers and other frontends.
func ruling(d policy.Decision, f buildrules.Operation) policy.Ruling {
	if d.Dispatch == policy.DispatchForward && !seen(f) {
		return policy.Ruling{Verdict: policy.Allow}
	}
	return d.Check(f)
}

func reads(r policy.Ruling) string {
	if r.Image.Name() == "" {
		return "it is asked for"
	}
	return r.Image.Familiar()
}

// newlyRead reports whether the first policy refuses the image that is read now.
func newlyRead(before policy.Decision, now policy.Ruling) bool {
	if now.Image.Name() == "" {
		return true // The first policy had it read as another one.
	}
	r := before.Check(buildrules.Operation{Image: now.Image.String()})
	return r.Verdict == policy.Deny || r.Image.Name() != "" && r.Image != now.Image
}
