package lint

import (
	"maps"
	"slices"

	"github.com/policy-frontend/policy-frontend/internal/globs"
	"github.com/policy-frontend/policy-frontend/policy"
	"github.com/policy-frontend/policy-frontend/policy/buildrules"
	"github.com/policy-frontend/policy-frontend/policy/imageref"
)

// renamed returns the names that a conversion replaces, and the names that it leads to.
func renamed(c *buildrules.Conversion) (from, to []names) {
	f, t := c.Names()
	from, to = []names{globs.ParseImage(f)}, []names{globs.ParseImage(t)}
	if f, t = c.Directories(); f != "" {
		from, to = append(from, globs.ParseImage(f)), append(to, globs.ParseImage(t))
	}
	return from, to
}

// conversions checks build.images.convert.
func (c *checker) conversions(r *buildrules.ImageRules, tell tell) {
	var before []names
	for i := range r.Convert {
		from, to := renamed(&r.Convert[i])
		reason := ""
		for _, n := range to {
			if reason = refusedImage(r, n); reason == "" {
				break
			}
		}
		replaced := func(n names) bool { return anyCovers(before, n) }
		switch {
		case !slices.ContainsFunc(from, func(n names) bool { return !replaced(n) }):
			tell(ConvertShadowed, "build.images.convert from %s is never used, because an earlier one "+
				"matches first; put the narrower one first, or remove one of them", r.Convert[i].From)
		case reason != "":
			tell(ConvertRefused, "build.images.convert leads from %s to %s, which %s; allow it, or "+
				"remove the conversion", r.Convert[i].From, r.Convert[i].To, reason)
		}
		before = append(before, from...)
	}
}

// buildPins checks build.images.pins.
func (c *checker) buildPins(r *buildrules.ImageRules, tell tell) {
	var from, to []names
	for i := range r.Convert {
		f, t := renamed(&r.Convert[i])
		from, to = append(from, f...), append(to, t...)
	}
	for _, pin := range slices.Sorted(maps.Keys(r.Pins)) {
		ref, err := imageref.Parse(pin)
		if err != nil {
			continue // A policy can't have such a pin.
		}
		n := globs.ParseImage(ref.Name())
		switch reason := refusedImage(r, n); {
		case reason != "":
			tell(BuildPinRefused, "build.images.pins has %s, which %s; allow it, or remove the pin", pin,
				reason)
		case anyCovers(from, n) && !anyOverlaps(to, n):
			tell(BuildPinRefused, "build.images.pins has %s, which convert replaces first; pin the name "+
				"that it leads to", pin)
		}
	}
}

// refusedImage returns a relative clause that says why no image of these names can be
// read, or "".
func refusedImage(r *buildrules.ImageRules, n names) string {
	allow, deny := r.Patterns()
	for _, rule := range r.Rules {
		if rule.Action == policy.ActionAllow {
			allow = append(allow, rule.Patterns()...)
		}
	}
	switch {
	case anyCovers(parseAll(deny), n):
		return "deny refuses"
	case len(allow) > 0 && !anyOverlaps(parseAll(allow), n):
		return "allow doesn't list"
	}
	return ""
}
