package policy

import (
	"fmt"
	"slices"
	"strings"

	"github.com/policy-frontend/policy-frontend/internal/safetext"
)

// What the field attest can have.
const (
	// AttestImage: the policy frontend adds a summary to each image that it returns.
	AttestImage = "image"
	// AttestWarned: builds that the policy warns about have summaries too.
	AttestWarned = "warned"
)

// Attests reports whether the policy has an entry in attest: [AttestImage] or [AttestWarned]. It is
// false for nil.
func (p *Policy) Attests(entry string) bool {
	return p != nil && slices.Contains(p.doc.Attest, entry)
}

// Attests is [Policy.Attests] of the embedded policy. An overlay has no such field, because a
// client could have it say more than the policy does.
func (l Layers) Attests(entry string) bool { return l.embedded.Attests(entry) }

// attests says for a person which builds have summaries; "" for what doesn't depend on the policy.
func (d *Document) attests() string {
	var parts []string
	if slices.Contains(d.Attest, AttestImage) {
		parts = append(parts, "each image gets an unsigned summary of the decision (attest: image)")
	}
	if slices.Contains(d.Attest, AttestWarned) {
		parts = append(parts, "builds that the policy warns about have summaries too (attest: warned)")
	}
	return strings.Join(parts, "; ")
}

// attest checks the field of that name.
func (v *validator) attest(k role) {
	n := child(v.root, "attest")
	if k == overlaid && n != nil {
		v.addf(n, "an overlay can't say which builds have summaries; remove attest")
		return
	}
	v.report().Entries(n, "attest", v.policy.doc.Attest, func(s string) error {
		if s == AttestImage || s == AttestWarned {
			return nil
		}
		return fmt.Errorf("%s is neither %s nor %s", safetext.Quote(s), AttestImage, AttestWarned)
	})
}
