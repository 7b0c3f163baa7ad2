package diff

import "github.com/policy-frontend/policy-frontend/policy"

// llb compares what LLB may do that clients send by themselves.
func (c *comparison) llb() []Statement {
	before, after := c.a.layers.LLB(c.at), c.b.layers.LLB(c.at)
	switch was, is := before.Verdict.Permits(), after.Verdict.Permits(); {
	case !was && !is:
		return nil
	case !was:
		return []Statement{{
			Widens: true, Text: "llb: allow, before deny: builds of LLB that no frontend made",
		}}
	case !is:
		return []Statement{{Text: "llb: deny, before allow: builds of LLB that no frontend made"}}
	}
	if writtenBuild(before) != writtenBuild(after) && len(changes(
		append(rulesOnImages(before), rulesOnImages(after)...), c.at)) > 0 {
		c.leaveOut("llb: rules on images that change later")
	}
	b := c.builds(policy.Request{Time: c.at}, "", before, after)
	var out []Statement
	for _, list := range []struct {
		widens bool
		texts  []string
	}{{true, b.loosened}, {b.widens, b.rerouted}, {false, b.tightened}} {
		for _, text := range list.texts {
			out = append(out, Statement{Widens: list.widens, Text: "llb: " + text})
		}
	}
	return out
}
