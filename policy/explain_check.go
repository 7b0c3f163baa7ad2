package policy

import "github.com/policy-frontend/policy-frontend/policy/buildrules"

// CheckStep is an entry of build rules that was compared with an operation.
type CheckStep struct {
	// Layer is LayerPolicy or LayerOverlay.
	Layer string `json:"layer"`
	// Rule is the rule that has the entry, or [BuildRule] for the build rules of the whole layer.
	Rule string `json:"rule"`
	// Entry is the field and the entry, such as "build.http.deny: http://a.example/**".
	Entry string `json:"entry"`
	// Result is Matched or Missed.
	Result Result `json:"result"`
	// Reason is one sentence for a person, without its end.
	Reason string `json:"reason"`
}

// ExplainCheck says which entries of build rules [Decision.Check] compares with the operation, and
// why each of them matches or not. It returns nothing if no list of names or URLs, and no
// set of conditions for some results, is for the operation.
func (d Decision) ExplainCheck(o buildrules.Operation) []CheckStep {
	kind, err := o.Kind()
	if err != nil || !d.goesOn() || !d.Restricts(kind) {
		return nil
	}
	n, err := d.normalize(kind, o, "")
	if err != nil {
		return nil
	}
	var out []CheckStep
	for _, c := range d.constraints {
		if !c.build.Restricts(kind) {
			continue
		}
		rule := BuildRule
		if c.rule != nil && c.rule.Build != nil && c.rule.Build.Has(kind) {
			rule = c.rule.Name
		}
		for _, t := range c.build.Explain(n) {
			step := CheckStep{
				Layer: c.layer, Rule: rule, Entry: "build." + t.Entry, Result: Missed, Reason: t.Reason,
			}
			if t.Matched {
				step.Result = Matched
			}
			out = append(out, step)
		}
		if n, _, err = c.build.Check(n); err != nil {
			return out
		}
	}
	return out
}
