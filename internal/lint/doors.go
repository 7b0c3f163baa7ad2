package lint

import (
	"slices"
	"strings"

	"github.com/policy-frontend/policy-frontend/policy/buildrules"
)

// openDoors looks for kinds of sources that aren't restricted where images are: a build can get
// from them what it could get from an image. The rules bind a frontend together, those of a rule
// before those of the whole policy. It reports whether there are any.
func openDoors(tell tell, rules ...*buildrules.Rules) bool {
	if !restrictsImages(rules) {
		return false
	}
	var open []string
	for _, k := range buildrules.Kinds() {
		closed := func(b *buildrules.Rules) bool { return b.Restricts(k) }
		if k.IsSource() && !slices.ContainsFunc(rules, closed) {
			open = append(open, string(k))
		}
	}
	if len(open) == 0 {
		return false
	}
	tell(OpenDoors, "build.images says which images a build can have, and the same files can come by "+
		"%s, also as a named context; write others: deny, or rules for them",
		strings.Join(open, ", "))
	return true
}

// restrictsImages reports whether some images can't be used because no allow lists them. The first
// allow is the one that holds.
func restrictsImages(rules []*buildrules.Rules) bool {
	for _, b := range rules {
		switch {
		case b.Images == nil:
		case b.Images.Denied:
			return true
		case b.Images.Allow != nil:
			return !slices.ContainsFunc(b.Images.Allow, isAny)
		}
	}
	return false
}

// layoutNames looks for rules on the names of OCI layouts, which a client chooses.
func layoutNames(b *buildrules.Rules, tell tell) {
	r := b.OCILayout
	if r == nil || r.Denied {
		return
	}
	if anyone := len(r.Allow) == 0 || slices.ContainsFunc(r.Allow, isAny); anyone && len(r.Deny) == 0 {
		return
	}
	tell(LayoutName, "build.ociLayout compares names that the client chooses, which prove nothing of "+
		"what is in a layout; write ociLayout: deny, or allow [\"**\"] to say that any layout can be used")
}

// isAny reports whether a pattern of names consists of stars alone.
func isAny(pattern string) bool { return strings.Trim(pattern, "*/") == "" }
