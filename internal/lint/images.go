package lint

import (
	"maps"
	"slices"

	"github.com/policy-frontend/policy-frontend/internal/globs"
	"github.com/policy-frontend/policy-frontend/policy"
)

// conversions looks at where images are read from instead.
func (c *checker) conversions(r *policy.ImageRules, tell tell) {
	var before []names
	for i := range r.Convert {
		from, to := r.Convert[i].Names()
		switch reason := refusedImage(r, globs.ParseName(to)); {
		case anyCovers(before, globs.ParseName(from)):
			tell(ConvertShadowed, "build.images.convert from %s is never used, because one before it takes it; put the narrower one first, or remove one of them", from)
		case reason != "":
			tell(ConvertRefused, "build.images.convert leads from %s to %s, which %s; allow it, or remove the conversion", from, to, reason)
		}
		before = append(before, globs.ParseName(from))
	}
}

// buildPins looks at the digests of images.
func (c *checker) buildPins(r *policy.ImageRules, tell tell) {
	var from, to []names
	for i := range r.Convert {
		f, t := r.Convert[i].Names()
		from, to = append(from, globs.ParseName(f)), append(to, globs.ParseName(t))
	}
	for _, pin := range slices.Sorted(maps.Keys(r.Pins)) {
		ref, err := policy.ParseReference(pin)
		if err != nil {
			continue // There is no policy with such a pin.
		}
		n := globs.ParseName(ref.Name())
		switch reason := refusedImage(r, n); {
		case reason != "":
			tell(BuildPinRefused, "build.images.pins has %s, which %s; allow it, or remove the pin", pin, reason)
		case anyCovers(from, n) && !anyOverlaps(to, n):
			tell(BuildPinRefused, "build.images.pins has %s, which convert makes another image first; pin the one that it leads to", pin)
		}
	}
}

// refusedImage returns why no image of the names can be read, or "".
func refusedImage(r *policy.ImageRules, n names) string {
	allow, deny := r.Patterns()
	switch {
	case anyCovers(parseAll(deny), n):
		return "deny refuses"
	case len(allow) > 0 && !anyOverlaps(parseAll(allow), n):
		return "allow doesn't have"
	}
	return ""
}
