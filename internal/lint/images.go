package lint

import (
	"maps"
	"slices"

	"github.com/policy-frontend/policy-frontend/internal/globs"
	"github.com/policy-frontend/policy-frontend/policy/buildrules"
	"github.com/policy-frontend/policy-frontend/policy/imageref"
)

// conversions checks build.images.convert.
func (c *checker) conversions(r *buildrules.ImageRules, tell tell) {
	var before []names
	for i := range r.Convert {
		from, to := r.Convert[i].Names()
		switch reason := refusedImage(r, globs.ParseImage(to)); {
		case anyCovers(before, globs.ParseImage(from)):
			tell(ConvertShadowed, "build.images.convert from %s is never used, because an earlier one "+
				"matches first; put the narrower one first, or remove one of them", from)
		case reason != "":
			tell(ConvertRefused, "build.images.convert leads from %s to %s, which %s; allow it, or "+
				"remove the conversion", from, to, reason)
		}
		before = append(before, globs.ParseImage(from))
	}
}

// buildPins checks build.images.pins.
func (c *checker) buildPins(r *buildrules.ImageRules, tell tell) {
	var from, to []names
	for i := range r.Convert {
		f, t := r.Convert[i].Names()
		from, to = append(from, globs.ParseImage(f)), append(to, globs.ParseImage(t))
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
	switch {
	case anyCovers(parseAll(deny), n):
		return "deny refuses"
	case len(allow) > 0 && !anyOverlaps(parseAll(allow), n):
		return "allow doesn't list"
	}
	return ""
}
