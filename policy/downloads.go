package policy

import (
	"fmt"

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

// HasDownloads reports whether a layer has rules on what commands download.
func (l Layers) HasDownloads() bool {
	return l.embedded.DownloadRules() != "" || l.overlay.DownloadRules() != ""
}

// CheckDownloads fails if a layer has rules on what commands download that nobody would apply. by is
// the layer that is policy-guard's own policy: [LayerPolicy] where policy-guard decides,
// [LayerOverlay] where an image decides by its policy and by policy-guard's, and "" where
// policy-guard takes no part.
//
// An overlay on policy-guard's policy needs such rules in the policy. Without them, the daemon was
// told to ask about no request before the overlay was known.
func (l Layers) CheckDownloads(by string) error {
	own, over := l.embedded.DownloadRules(), l.overlay.DownloadRules()
	policy := "this policy" + l.embedded.label()
	switch {
	case by != LayerPolicy && own != "":
		return fmt.Errorf("%s has rules on what commands download (%s), and only policy-guard's own "+
			"policy can have them: write them there, or have them removed", policy, own)
	case by == "" && over != "":
		return fmt.Errorf("the overlay has rules on what commands download (%s), and only policy-guard's "+
			"own policy can have them: build without them", over)
	case by == LayerPolicy && over != "" && own == "":
		return fmt.Errorf("the overlay has rules on what commands download (%s), and %s has none, so "+
			"nobody is asked about a download: build without them, or have some added to the policy",
			over, policy)
	}
	return nil
}
