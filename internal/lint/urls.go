package lint

import (
	"slices"
	"strings"

	"github.com/policy-frontend/policy-frontend/internal/globs"
	"github.com/policy-frontend/policy-frontend/internal/safetext"
	"github.com/policy-frontend/policy-frontend/internal/urlmatch"
	"github.com/policy-frontend/policy-frontend/policy/buildrules"
)

// urls are the rules on URLs of one kind.
type urls struct {
	kind        buildrules.Kind
	allow, deny []urlmatch.Pattern
	denied      []urlmatch.Form
}

func newURLs(b *buildrules.Rules, k buildrules.Kind) urls {
	u := urls{kind: k}
	u.allow, u.deny = b.URLs(k)
	for _, p := range u.deny {
		u.denied = append(u.denied, p.Forms()...)
	}
	return u
}

// check checks the rules. fixed reports whether they demand a commit or a checksum, and replaced
// whether a rule may allow something else.
func (u urls) check(fixed, replaced bool, tell tell) {
	u.repeated(tell)
	for _, p := range u.allow {
		if !fixed {
			u.plain(p, tell)
		}
		if slices.ContainsFunc(p.Forms(), urlmatch.Form.IsEverywhere) && !fixed && len(u.deny) == 0 {
			tell(BuildAllowsAny, "build.%s.allow has %s, which matches every host; name the hosts, or "+
				"deny something", u.kind, p)
		}
		u.runsOn(p, tell)
		if !slices.ContainsFunc(p.Forms(), func(f urlmatch.Form) bool { return !u.denies(f) }) {
			tell(BuildAllowRefused, "build.%s.allow has %s, which deny refuses; remove one of the two",
				u.kind, p)
		}
	}
	for _, p := range u.deny {
		if !replaced && len(u.allow) > 0 && !slices.ContainsFunc(p.Forms(), u.overlapsAllow) {
			tell(BuildDenyWithoutEffect, "build.%s.deny has %s, which allow doesn't list anyway; remove "+
				"it", u.kind, p)
			continue
		}
		u.leaves(p, tell)
	}
}

// plain looks for data that isn't protected on the network.
func (u urls) plain(p urlmatch.Pattern, tell tell) {
	for _, f := range p.Forms() {
		if !slices.Contains(f.Schemes(), "http") && !slices.Contains(f.Schemes(), "git") {
			continue
		}
		need := "set requireChecksum: true"
		switch u.kind {
		case buildrules.KindGit:
			need = "set requireCommit: true"
		case buildrules.KindDownloads:
			need = "accept this where the tool checks signatures, as apt and apk do"
		}
		tell(PlainHTTP, "build.%s.allow has %s, where anybody on the network path can replace the "+
			"data; use https, or %s", u.kind, p, need)
	}
}

// runsOn looks for stars by which a pattern also matches what belongs to others.
func (u urls) runsOn(p urlmatch.Pattern, tell tell) {
	f := p.Forms()[0]
	labels, path := f.Labels(), f.Path()
	if host := strings.Join(labels, "."); !f.IsForIPv4() {
		for _, label := range labels[max(len(labels)-2, 0):] {
			if strings.Trim(label, "*") != "" && globs.Open(label) {
				tell(PrefixRunsOn, "build.%s.allow has %s, which also matches the hosts of others, such as "+
					"%s; write the host in full, or a star as a whole label before a dot", u.kind, p,
					safetext.Printable(globs.Example(host, "evil")))
				break
			}
		}
		if last := len(labels) - 1; last > 0 && strings.Trim(labels[last], "*") == "" {
			tell(PrefixRunsOn, "build.%s.allow has %s, whose host can end in any way; write its end in full",
				u.kind, p)
		}
	}
	for _, c := range path[:max(len(path)-1, 0)] {
		if prefix, open := strings.CutSuffix(c, "*"); open && strings.Trim(prefix, "*") != "" {
			tell(PrefixRunsOn, "build.%s.allow has %s, which matches every directory that begins with %s, "+
				"such as %s-evil; write the names in full", u.kind, p, prefix, prefix)
		}
	}
}

func (u urls) overlapsAllow(f urlmatch.Form) bool {
	return slices.ContainsFunc(u.allow, func(p urlmatch.Pattern) bool {
		return slices.ContainsFunc(p.Forms(), f.Overlaps)
	})
}

func (u urls) denies(f urlmatch.Form) bool {
	return slices.ContainsFunc(u.denied, func(d urlmatch.Form) bool { return d.Covers(f) })
}

// leaves looks for other schemes by which what the pattern denies can be reached. A pattern for
// every host is about the scheme itself.
func (u urls) leaves(p urlmatch.Pattern, tell tell) {
	if slices.ContainsFunc(p.Forms(), urlmatch.Form.IsEverywhere) {
		return
	}
	var open []string
	for _, scheme := range p.OtherSchemes() {
		if slices.ContainsFunc(p.Forms(), func(f urlmatch.Form) bool {
			f = f.WithScheme(scheme)
			return !u.denies(f) &&
				(len(u.allow) == 0 || u.overlapsAllow(f))
		}) {
			open = append(open, scheme)
		}
	}
	if len(open) > 0 {
		tell(BuildDenyLeavesScheme, "build.%s.deny has %s, and %s can reach the same; leave out the "+
			"scheme", u.kind, p, safetext.And(open))
	}
}
