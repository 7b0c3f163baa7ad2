package buildrules

import (
	"iter"
	"slices"

	"github.com/policy-frontend/policy-frontend/internal/globs"
	"github.com/policy-frontend/policy-frontend/policy/imageref"
	"github.com/policy-frontend/policy-frontend/policy/imagerules"
)

// ruleList is a list of rules on images, or its deny rules. Each list has one index, which all
// combinations of it share.
type ruleList struct {
	rules       []*imagerules.Rule
	index       globs.Index
	onlyDenials bool
}

// newRuleLists returns the list as the only one; none if it is empty.
func newRuleLists(rules []*imagerules.Rule) []ruleList {
	if len(rules) == 0 {
		return nil
	}
	index := imagerules.NewIndex(func(yield func(int, *imagerules.Rule) bool) {
		for i, rule := range rules {
			if rule != nil && !yield(i, rule) { // A document with a nil rule isn't valid.
				return
			}
		}
	})
	return []ruleList{{rules: rules, index: index}}
}

// covering returns the rules that are for the name, in order.
func (r *ImageRules) covering(name imageref.Pattern) iter.Seq[*imagerules.Rule] {
	return func(yield func(*imagerules.Rule) bool) {
		for _, l := range r.lists {
			for _, i := range l.index.Find(name.String()) {
				rule := l.rules[i]
				if (!l.onlyDenials || !isAllow(rule)) && rule.Covers(name) && !yield(rule) {
					return
				}
			}
		}
	}
}

func isAllow(rule *imagerules.Rule) bool { return rule.Action != imagerules.ActionDeny }

// denials returns the deny rules.
func denials(rules []*imagerules.Rule) []*imagerules.Rule {
	return slices.DeleteFunc(slices.Clone(rules), isAllow)
}

// denialsOf returns the lists without their allow rules.
func denialsOf(lists []ruleList) []ruleList {
	out := slices.Clone(lists)
	for i := range out {
		out[i].onlyDenials = true
	}
	return out
}
