package policy

import (
	"fmt"
	"slices"

	"github.com/policy-frontend/policy-frontend/policy/buildrules"
)

// DownloadRules returns the first field that has rules on what commands download, such as
// "frontends[0].build.exec.downloads"; "" if there is none. Rules that have expired count too.
//
// The daemon has to be told before a build begins that it should ask about each request of a
// command. So it is asked for every build of a policy with such rules, whichever rule is for it.
func (p *Policy) DownloadRules() string {
	if p == nil {
		return ""
	}
	field := "build." + string(buildrules.KindDownloads)
	if b := p.doc.Build; b != nil && b.Has(buildrules.KindDownloads) {
		return field
	}
	for i := range p.doc.Frontends {
		if b := p.doc.Frontends[i].Build; b != nil && b.Has(buildrules.KindDownloads) {
			return fmt.Sprintf("frontends[%d].%s", i, field)
		}
	}
	return ""
}

// requestsHeldBy reports whether the outer decision refuses each request of a command that the
// decision's rules refuse.
func (d Decision) requestsHeldBy(outer Decision) bool {
	return !slices.ContainsFunc(d.constraints, func(c *constraints) bool {
		return !c.warnOnly && c.build.Enforces(buildrules.KindDownloads) &&
			!slices.ContainsFunc(outer.constraints, func(o *constraints) bool {
				return !o.warnOnly && o.build.Enforces(buildrules.KindDownloads) &&
					o.build.Exec.Downloads.Covers(c.build.Exec.Downloads)
			})
	})
}

// HasDownloads reports whether a layer has rules on what commands download.
func (l Layers) HasDownloads() bool {
	return l.embedded.DownloadRules() != "" || l.overlay.DownloadRules() != ""
}
