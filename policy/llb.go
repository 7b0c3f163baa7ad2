package policy

import (
	"fmt"
	"slices"
	"time"

	"go.yaml.in/yaml/v3"

	"github.com/policy-frontend/policy-frontend/policy/buildrules"
	"github.com/policy-frontend/policy-frontend/policy/clients"
)

// LLBRule is the rule of decisions on LLB that no frontend made; see [Layers.LLB]. No rule of a
// policy can have this name.
const LLBRule = "llb"

// LLB returns the decision on LLB that a client sends by itself, instead of asking for a frontend.
// Every layer has to allow it to the client (llb: allow), and an overlay that doesn't say anything
// about it leaves it to the embedded policy. The zero [Layers] deny it.
//
// [Decision.Check] applies the build rules of each whole policy to what the LLB asks for. A policy
// that has none for the whole may have rules on frontends with build rules of their own. All of
// these apply then, so LLB may do what every such frontend may do. They convert no images, because
// a conversion of one would replace what another has checked.
func (l Layers) LLB(now time.Time) Decision {
	d := l.Refuse("", "")
	d.Rule, d.llb, d.at = LLBRule, true, now
	if l.embedded == nil {
		d.Reason = "there is no policy, so nothing is allowed"
		return d
	}
	if !l.embedded.doc.LLB.AllowsSome() {
		d.Reason = "the policy lets clients build by frontends only (llb: deny, which is the default)"
		return d
	}
	for _, layer := range slices.Backward(l.each()) { // the policy is the first to say why
		switch a := layer.policy.doc.LLB; {
		case a == nil: // an overlay, which leaves it to the policy
		case a.Denied:
			d.Layer, d.Reason = layer.name, "the overlay decided: it refuses LLB (llb: deny)"
			return d
		case !a.clients.Has(l.client):
			d.Layer, d.Reason = layer.name, a.only(layer.name, l.client)
			return d
		}
	}
	for _, layer := range l.each() {
		rules := layer.policy.llbRules()
		for _, r := range rules {
			c, _ := layer.policy.constrain(layer.name, outcome{holds: r}, l.Contact())
			d.constraints = append(d.constraints, c)
			d.Obligations.Build = append(d.Obligations.Build, c.obligations()...)
		}
		d.converted = d.converted || len(rules) > 1
	}
	d.Verdict, d.Allowed = Allow, nil
	d.Reason = "the policy allows LLB (llb: allow)"
	d.Timeout, d.Nesting, d.Memory = l.bounds()
	return d
}

// ExplainLLB answers as [Layers.LLB] does, and says how the answer came about.
func (l Layers) ExplainLLB(now time.Time) Trace {
	t := recorder{steps: []Step{}}
	d := l.LLB(now)
	for _, layer := range l.each() {
		s := Step{Kind: StepLayer, Layer: layer.name, Rule: LLBRule, Verdict: Allow}
		switch a := layer.policy.doc.LLB; {
		case a == nil:
			s.Reason = "it says nothing about LLB, so it leaves it to the policy"
		case a.Denied:
			s.Verdict, s.Reason = Deny, "it refuses LLB (llb: deny, which is a policy's default)"
		case !a.clients.Has(l.client):
			s.Verdict, s.Reason = Deny, "it allows LLB "+a.clients.Only(l.client)+" (llb.clients)"
		case len(a.clients) > 0:
			s.Reason = "it allows LLB for this client (llb.clients)"
		default:
			s.Reason = "it allows LLB (llb: allow)"
		}
		t.add(s)
	}
	t.rules(d)
	t.results(l, d)
	return Trace{Decision: d, Steps: t.steps}
}

// Exportable reports whether the result of an allowed build may go anywhere. A result of LLB that
// no frontend made has no configuration, so rules on configurations refuse that.
func (d Decision) Exportable() bool {
	return d.Verdict.Permits() && (!d.llb || !d.Restricts(buildrules.KindConfig))
}

// llbRules returns the rules whose build rules bind LLB; nil stands for those of the whole policy.
// Rules that have expired are among them, or LLB could do more then.
func (p *Policy) llbRules() []*Rule {
	if p.doc.Build != nil {
		return []*Rule{nil}
	}
	var rules []*Rule
	seen := map[*buildrules.Rules]bool{}
	for i := range p.doc.Frontends {
		r := &p.doc.Frontends[i]
		if r.Action != ActionDeny && r.Build != nil && !seen[r.Build] {
			seen[r.Build] = true
			rules = append(rules, r)
		}
	}
	if len(rules) == 0 {
		return []*Rule{nil}
	}
	return rules
}

// LLB says which clients can send LLB that no frontend made.
type LLB struct {
	// Clients that can send it, in the form of administration.clients. The default is all clients.
	Clients []string `yaml:"clients,omitempty" jsonschema:"minItems=1"`

	// Allowed and Denied say that the document has allow or deny in place of the fields.
	Allowed bool `yaml:"-" scalar:"allow"`
	Denied  bool `yaml:"-" scalar:"deny"`

	clients clients.List
}

// AllowsSome reports whether any client can send LLB. It is false for nil.
func (a *LLB) AllowsSome() bool { return a != nil && !a.Denied }

// For returns the compiled patterns of the clients. Callers don't change them.
func (a *LLB) For() clients.List { return a.clients }

// only says why a layer doesn't let the client send LLB.
func (a *LLB) only(layer string, c clients.Client) string {
	by := "the policy allows"
	if layer == LayerOverlay {
		by = "the overlay decided: it allows"
	}
	return by + " LLB " + a.clients.Only(c) + " (llb.clients)"
}

// MarshalYAML returns what the document has: a word or the fields.
func (a *LLB) MarshalYAML() (any, error) {
	type fields LLB
	switch {
	case a.Allowed:
		return ActionAllow, nil
	case a.Denied:
		return ActionDeny, nil
	}
	return (*fields)(a), nil
}

// llb checks the field of that name. An overlay that doesn't have it leaves it to the policy.
func (v *validator) llb(k role) {
	n, a := child(v.root, "llb"), v.policy.doc.LLB
	if n == nil {
		if k != overlaid {
			v.policy.doc.LLB = &LLB{Denied: true}
		}
		return
	}
	if a == nil {
		return // It is a problem already.
	}
	v.report().Filled(n, "llb")
	if n.Kind == yaml.MappingNode {
		a.clients = v.clients(child(n, "clients"), a.Clients)
	}
}

// debug checks the field of that name. An overlay that doesn't have it leaves it to the policy.
func (v *validator) debug(k role) {
	missing := ActionDeny
	if k == overlaid {
		missing = ""
	}
	v.action(v.root, "debug", &v.policy.doc.Debug, missing)
}

// llbHeadline is the first line of a decision on LLB.
func (d Decision) llbHeadline() string {
	return fmt.Sprintf("LLB that no frontend made %s: %s", d.Verdict.Text(), d.Reason)
}
