package policy

import (
	"slices"

	"github.com/policy-frontend/policy-frontend/policy/buildrules"
)

// RestrictsSources reports whether rules restrict what the daemon reads, or the secrets and agents
// of the client that it uses for that. If not, it may read anything.
func (d Decision) RestrictsSources() bool {
	return slices.ContainsFunc(buildrules.Kinds(), func(k buildrules.Kind) bool {
		return (k.IsSource() || k == buildrules.KindExec) && d.Restricts(k)
	})
}
