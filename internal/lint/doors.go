package lint

import (
	"slices"
	"strings"

	"github.com/policy-frontend/policy-frontend/policy/buildrules"
)

// openDoors looks for kinds of sources that aren't restricted where images are: a build can get
// from them what it could get from an image. b are the rules that bind a frontend. It reports
// whether there are any.
func openDoors(b *buildrules.Rules, tell tell) bool {
	any := func(pattern string) bool { return !isNoStar(pattern) }
	if b.Images == nil ||
		!b.Images.Denied && (b.Images.Allow == nil || slices.ContainsFunc(b.Images.Allow, any)) {
		return false
	}
	var open []string
	for _, k := range buildrules.Kinds() {
		if k.IsSource() && !b.Restricts(k) {
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

// layoutNames looks for rules on the names of OCI layouts, which a client chooses.
func layoutNames(b *buildrules.Rules, tell tell) {
	r := b.OCILayout
	if r == nil || r.Denied || len(r.Deny) == 0 && !slices.ContainsFunc(r.Allow, isNoStar) {
		return
	}
	tell(LayoutName, "build.ociLayout compares names that the client chooses, which prove nothing of "+
		"what is in a layout; write ociLayout: deny, or allow [\"**\"] to say that any layout can be used")
}

func isNoStar(pattern string) bool { return strings.Trim(pattern, "*/") != "" }
