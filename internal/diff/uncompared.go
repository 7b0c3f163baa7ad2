package diff

import (
	"slices"

	"github.com/policy-frontend/policy-frontend/internal/globs"
	"github.com/policy-frontend/policy-frontend/internal/urlmatch"
	"github.com/policy-frontend/policy-frontend/policy"
	"github.com/policy-frontend/policy-frontend/policy/buildrules"
	"github.com/policy-frontend/policy-frontend/policy/clients"
	"github.com/policy-frontend/policy-frontend/policy/imagerules"
)

// Samples show that nothing widens only where the second policy accepts some of them. If it refuses
// all samples that a change is about, another condition may hide the change.

// leaveOut notes something that changed and couldn't be compared.
func (c *comparison) leaveOut(what string) {
	if !slices.Contains(c.uncompared, what) {
		c.uncompared = append(c.uncompared, what)
	}
}

// unshown notes the kinds for which the rules on builds differ and the second decision accepts no
// sample, unless it provably accepts nothing.
func (c *comparison) unshown(before, after policy.Decision, accepted map[buildrules.Kind]bool) {
	for _, k := range buildrules.Kinds() {
		if !accepted[k] && kindText(before, k) != kindText(after, k) &&
			(before.Restricts(k) || after.Restricts(k)) && !c.closed(after, k) {
			c.allRefused(after, k)
		}
	}
}

// allRefused notes that the second decision accepts no sample that could show a change.
func (c *comparison) allRefused(after policy.Decision, k buildrules.Kind) {
	c.leaveOut("build." + string(k) + " for the frontends of " + ruleText(after.Rule) +
		", because all samples are refused")
}

func ruleText(name string) string {
	if name == policy.DefaultRule {
		return "default: allow"
	}
	return "rule " + name
}

// closed reports whether the decision provably accepts nothing of a kind of which it refuses all
// samples.
func (c *comparison) closed(d policy.Decision, k buildrules.Kind) bool {
	switch k {
	case buildrules.KindExec, buildrules.KindContainers:
		return true // The samples have the plainest command with each network.
	case buildrules.KindFrontends:
		if d.Nesting < 1 {
			return true
		}
	}
	return slices.ContainsFunc(d.Obligations.Build, func(o policy.BuildObligation) bool {
		return o.Mode != policy.ModeWarn && listsNothing(&o.Build, k, c.b.client)
	})
}

// listsNothing reports whether the rules for a kind allow a client nothing, or deny all that they
// allow.
func listsNothing(b *buildrules.Rules, k buildrules.Kind, by clients.Client) bool {
	_, isList := allowList(b, k)
	switch {
	case b.Denies(k):
		return true
	case !isList:
		return false
	case !b.Has(k):
		return b.Restricts(k)
	case k == buildrules.KindGit || k == buildrules.KindHTTP:
		return deniesURLs(b, k, !allowsListed(b, k))
	}
	allow, deny := b.Patterns(k)
	if k == buildrules.KindImages {
		for _, r := range b.Images.Rules {
			switch {
			case !r.Admits(by):
			case r.Action == policy.ActionAllow:
				allow = slices.Concat(allow, r.Patterns())
			case deniesAlways(r):
				deny = slices.Concat(deny, r.Patterns())
			}
		}
	}
	if !allowsListed(b, k) {
		allow = []string{"**"}
	}
	return !slices.ContainsFunc(allow, func(p string) bool {
		return !slices.ContainsFunc(deny, func(d string) bool {
			if k == buildrules.KindLocal {
				return globs.Covers(globs.FoldASCII(d), globs.FoldASCII(p))
			}
			return globs.ParseImage(d).Covers(globs.ParseImage(p))
		})
	})
}

// deniesAlways reports whether a deny rule denies each image of its names, now and later.
func deniesAlways(r *imagerules.Rule) bool {
	return r.Action == policy.ActionDeny && r.Mode != policy.ModeWarn && !r.TagConditional() &&
		len(r.Digests) == 0 && r.Expires == ""
}

// allowsListed reports whether the rules for a kind allow only what they list.
func allowsListed(b *buildrules.Rules, k buildrules.Kind) bool {
	list, _ := allowList(b, k)
	return list != nil || k == buildrules.KindImages && b.Has(k) &&
		slices.ContainsFunc(b.Images.Rules,
			func(r *imagerules.Rule) bool { return r.Action == policy.ActionAllow })
}

func deniesURLs(b *buildrules.Rules, k buildrules.Kind, allowsAny bool) bool {
	allow, deny := b.URLs(k)
	var allowed, denied []urlmatch.Form
	for _, p := range allow {
		allowed = append(allowed, p.Forms()...)
	}
	if allowsAny {
		allowed = append(allowed, urlmatch.Everything(protocolOf(k)))
	}
	for _, p := range deny {
		denied = append(denied, p.Forms()...)
	}
	return !slices.ContainsFunc(allowed, func(f urlmatch.Form) bool {
		return !slices.ContainsFunc(denied, func(d urlmatch.Form) bool { return d.Covers(f) })
	})
}

func protocolOf(k buildrules.Kind) urlmatch.Protocol {
	if k == buildrules.KindGit {
		return urlmatch.Git
	}
	return urlmatch.HTTP
}

// allowList returns the allow of a kind, nil if the rules have none. It is false for a kind that
// has no such list.
func allowList(b *buildrules.Rules, k buildrules.Kind) (list buildrules.List, ok bool) {
	if !b.Has(k) {
		return nil, k.IsSource() || k == buildrules.KindFrontends
	}
	switch k {
	case buildrules.KindImages:
		return b.Images.Allow, true
	case buildrules.KindGit:
		return b.Git.Allow, true
	case buildrules.KindHTTP:
		return b.HTTP.Allow, true
	case buildrules.KindLocal:
		return b.Local.Allow, true
	case buildrules.KindOCILayout:
		return b.OCILayout.Allow, true
	case buildrules.KindBlob:
		return b.Blob.Allow, true
	case buildrules.KindFrontends:
		return b.Frontends.Allow, true
	}
	return nil, false
}

// unmatched notes the rules with the action that the other ruleset lacks and that matched no
// sample. what is the kind of rule.
func (c *comparison) unmatched(s, o *ruleset, action policy.Action, what string) {
	changed := s.changed(o, false)
	for i := range s.entries {
		r := s.entries[i].rule
		if r == nil || r.Action != action || !changed(i) || c.matched[r] {
			continue
		}
		if end := r.ExpiryTime(); end.IsZero() || end.After(c.at) {
			c.leaveOut(what + r.Name + ", because it matches no sample")
		}
	}
}

// matching notes that the rules match one of the tags.
func (c *comparison) matching(rules []*imagerules.Rule, tags []string) {
	for _, r := range rules {
		if !c.matched[r] {
			// A deny rule always matches the sample that has only a digest.
			c.matched[r] = r.Action == policy.ActionDeny || !r.TagConditional() ||
				slices.ContainsFunc(tags, r.MatchesTag)
		}
	}
}
