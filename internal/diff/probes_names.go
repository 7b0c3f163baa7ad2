package diff

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/policy-frontend/policy-frontend/internal/globs"
	"github.com/policy-frontend/policy-frontend/policy"
	"github.com/policy-frontend/policy-frontend/policy/buildrules"
	"github.com/policy-frontend/policy-frontend/policy/imageref"
)

// images adds images with each tag and digest on which the rules may differ, as those for a
// frontend are made.
func (p *prober) images([]buildrules.Rules) {
	byDigest := requiresDigest(p.before) || requiresDigest(p.after)
	a, b := imageRules(p.before), imageRules(p.after)
	p.names(a, b, func(s subject) []probe {
		points := p.c.digests(s)
		var out []probe
		for _, ref := range p.c.references(s, points, byDigest) {
			for _, d := range points {
				if ref.Tag() == "" && d != points[0] {
					break // Without a tag, the digest in the reference is the only one.
				}
				out = append(out, probe{buildrules.Operation{Image: ref.String()}, d})
			}
		}
		slices.SortStableFunc(out, func(x, y probe) int { // Those with a tag alone are the simplest.
			return cmp.Compare(strings.Count(x.Image, "@"), strings.Count(y.Image, "@"))
		})
		return out
	})
	if p.c.complete {
		p.c.unmatched(a, b, policy.ActionDeny, "build.images.rules: ")
		p.c.unmatched(b, a, policy.ActionAllow, "build.images.rules: ")
	}
}

// requiresDigest reports whether images need a digest.
func requiresDigest(d policy.Decision) bool {
	return slices.ContainsFunc(d.Obligations.Build, func(o policy.BuildObligation) bool {
		return o.Build.Images != nil && o.Build.Images.RequireDigest
	})
}

// imageRules returns the rules on images that bind a frontend.
func imageRules(d policy.Decision) *ruleset {
	s := namedRules(d, buildrules.KindImages)
	for _, o := range d.Obligations.Build {
		r := o.Build.Images
		if r == nil {
			continue
		}
		for _, rule := range r.Rules {
			s.add(rule, writtenConditions(*rule), rule.Patterns()...)
		}
		for i := range r.Convert {
			s.rename(r.Convert[i].Names())
			if from, to := r.Convert[i].Directories(); from != "" {
				s.rename(from, to)
			}
		}
		for key, d := range r.Pins {
			if ref, err := imageref.Parse(key); err == nil { // A policy has no other keys.
				s.pin(ref.Name(), map[string]string{ref.Tag(): d})
			}
		}
		s.global += "\x00" + marshal(buildrules.ImageRules{
			RequireDigest: r.RequireDigest, Pins: r.Pins, Convert: r.Convert, Mode: r.Mode,
		})
	}
	s.complete()
	return s
}

// namedRules returns the patterns in the rules for a kind. What is global is whether there are
// rules, and whether they allow only what they list.
func namedRules(d policy.Decision, k buildrules.Kind) *ruleset {
	s := &ruleset{}
	for _, o := range d.Obligations.Build {
		allow, deny := o.Build.Patterns(k)
		for _, p := range allow {
			s.add(nil, "allow "+p, p)
		}
		for _, p := range deny {
			s.add(nil, "deny "+p, p)
		}
		s.global += fmt.Sprint(o.Mode, o.Build.Others, o.Build.Denies(k), o.Build.Enforces(k),
			allowsListed(&o.Build, k))
	}
	return s
}

// names adds samples of names for two rulesets. Those of one repository under different ports and
// hosts of a registry are one list, the plainest first.
func (p *prober) names(a, b *ruleset, probes func(subject) []probe) {
	var order []string
	groups := map[string][]subject{}
	search := p.c.newSearch(a, b, func(s subject, _ string) bool {
		plain := usualName(s.name)
		if _, ok := groups[plain]; !ok {
			order = append(order, plain)
		}
		if s.name == plain {
			groups[plain] = slices.Insert(groups[plain], 0, s)
		} else {
			groups[plain] = append(groups[plain], s)
		}
		return true
	})
	global := p.before.Dispatch != p.after.Dispatch || search.differsGlobally()
	var patterns []globs.Name
	for _, r := range []*ruleset{a, b} {
		for i := range r.entries {
			patterns = append(patterns, r.entries[i].names...)
		}
	}
	search.example(p.c.outside(patterns, globs.ParseImage), "**")
	search.run(global)
	shown := false
	emit := func() {
		for _, plain := range order {
			var alike []probe
			for _, s := range groups[plain] {
				alike = append(alike, probes(s)...)
			}
			shown = shown || slices.ContainsFunc(alike,
				func(f probe) bool { return ruling(p.after, f).Verdict != policy.Deny })
			p.operations = append(p.operations, alike)
		}
		order, groups = nil, map[string][]subject{}
	}
	emit()
	// Samples of what hasn't changed show that not all is refused.
	sets, _ := b.sets(func(int) bool { return true }, true)
	for _, set := range sets {
		if shown || global || !search.examples(set.names, set.pattern) {
			return
		}
		emit()
	}
}

// patterns adds a kind whose rules are only about names.
func (p *prober) patterns(k buildrules.Kind, operation func(name string) buildrules.Operation) {
	a, b := namedRules(p.before, k), namedRules(p.after, k)
	a.complete()
	b.complete()
	p.names(a, b, func(s subject) []probe { return []probe{{Operation: operation(s.name)}} })
}
