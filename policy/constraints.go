package policy

import (
	"cmp"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/policy-frontend/policy-frontend/policy/buildrules"
)

// BuildRule is the name under which a [Ruling] reports the build rules of the whole policy. No
// rule can have this name.
const BuildRule = "build"

const (
	defaultTimeout = time.Hour
	maxTimeout     = 24 * time.Hour
	defaultNesting = 4
	maxNesting     = 16
	defaultMemory  = 512 << 20
	minMemory      = 64 << 20
	maxMemory      = 64 << 30
)

// parseSize reads a number of bytes, such as 256MiB or 1GiB.
func parseSize(text string) (bytes int64, ok bool) {
	for unit, size := range map[string]int64{"MiB": 1 << 20, "GiB": 1 << 30} {
		if number, found := strings.CutSuffix(text, unit); found {
			n, err := strconv.ParseUint(number, 10, 31)
			return int64(n) * size, err == nil && number[0] != '0'
		}
	}
	return 0, false
}

// FormatSize writes a size in bytes, of whole MiB, as the policy writes limits.memory.
func FormatSize(bytes int64) string {
	if bytes%(1<<30) == 0 {
		return fmt.Sprintf("%dGiB", bytes>>30)
	}
	return fmt.Sprintf("%dMiB", bytes>>20)
}

// constraints are the build rules that bind one frontend in one layer. Decisions share them, and
// nothing changes them.
type constraints struct {
	layer    string
	rule     *Rule            // nil if no rule decided
	build    buildrules.Rules // those of the rule under those of the whole policy
	warnOnly bool
	contact  string // whom to ask
}

// effective returns the build rules that bind a frontend: those of the rule, which may be nil,
// under those of the whole policy.
func (p *Policy) effective(r *Rule) buildrules.Rules {
	var build buildrules.Rules
	if r != nil && r.Build != nil {
		build = *r.Build
	}
	if p.doc.Build != nil {
		build = build.Under(p.doc.Build)
	}
	return build
}

// dispatch returns how a frontend runs that the rule allows; nil for the default.
func (p *Policy) dispatch(r *Rule) Dispatch { return p.doc.DispatchOf(r) }

// restrictsFrontends reports whether build rules say which frontends the rule's may run.
func (p *Policy) restrictsFrontends(r *Rule) bool {
	has := func(b *buildrules.Rules) bool { return b != nil && b.Frontends != nil }
	return has(r.Build) || has(p.doc.Build)
}

// constrain returns the constraints under an outcome that allows the frontend, and how the
// frontend runs.
func (p *Policy) constrain(layer string, o outcome, contact string) (*constraints, Dispatch) {
	rule := o.holds
	c := &constraints{
		layer: layer, rule: rule, warnOnly: p.severity(rule) != enforce,
		contact: contact,
	}
	if layer == LayerOverlay {
		c.contact = cmp.Or(p.doc.Contact, contact)
	}
	if rule != nil {
		c.contact = cmp.Or(rule.Contact, c.contact)
	}
	c.build = p.effective(rule)
	return c, p.dispatch(rule)
}

// bounds returns the tightest timeout, nesting and memory of all layers. The embedded policy has
// defaults; an overlay without limits adds none.
func (l Layers) bounds() (timeout time.Duration, nesting int, memory int64) {
	timeout = cmp.Or(l.embedded.doc.Limits.timeout, defaultTimeout)
	nesting = cmp.Or(l.embedded.doc.Limits.Nesting, defaultNesting)
	memory = cmp.Or(l.embedded.doc.Limits.memory, defaultMemory)
	if l.overlay != nil {
		timeout = min(timeout, cmp.Or(l.overlay.doc.Limits.timeout, timeout))
		nesting = min(nesting, cmp.Or(l.overlay.doc.Limits.Nesting, nesting))
		memory = min(memory, cmp.Or(l.overlay.doc.Limits.memory, memory))
	}
	return timeout, nesting, memory
}

// Timeout returns how long a frontend may take that the layers allow. It is the default if there is
// no policy.
func (l Layers) Timeout() time.Duration {
	if l.embedded == nil {
		return defaultTimeout
	}
	timeout, _, _ := l.bounds()
	return timeout
}

// obligations returns the constraints as a decision reports them, nil if there are no rules.
func (c *constraints) obligations() []BuildObligation {
	if boundBy(&c.build) == "" {
		return nil
	}
	o := BuildObligation{Layer: c.layer, Rule: DefaultRule, Mode: ModeEnforce, Build: c.build}
	if c.rule != nil {
		o.Rule = c.rule.Name
	}
	if c.warnOnly {
		o.Mode = ModeWarn
	}
	return []BuildObligation{o}
}

// dispatchUnder returns how a frontend runs that both layers allow. The embedded policy says it.
// An overlay that writes mediate has the frontend mediated. So has an overlay with build rules,
// unless it writes forward: they are met early only if each call is checked. The built-in frontend
// is checked in that way, so such an overlay leaves it.
func dispatchUnder(embedded, overlay outcome, written Dispatch) Dispatch {
	early := overlay.dispatch != DispatchForward && boundBy(&overlay.constraints.build) != ""
	if written == DispatchMediate || early && embedded.dispatch == DispatchForward {
		return DispatchMediate
	}
	return embedded.dispatch
}
