package buildrules

import (
	"fmt"
	"slices"
	"strings"

	"github.com/policy-frontend/policy-frontend/internal/globs"
	"github.com/policy-frontend/policy-frontend/internal/safetext"
	"github.com/policy-frontend/policy-frontend/internal/urlmatch"
	"github.com/policy-frontend/policy-frontend/policy/imageref"
	"github.com/policy-frontend/policy-frontend/policy/imagerules"
)

// Check returns how the operation breaks the rules, most important violation first. Rules for
// images also rewrite the reference: the operation that Check returns has the reference that is
// read instead. An error completes "it asks for"; the operation is denied then.
func (r *Rules) Check(n Normalized) (Normalized, []Violation, error) {
	n.unverified, n.byTag = false, false
	n, found, err := r.check(n)
	for i := range found {
		if row := found[i].Kind().row(); row != nil && row.field.mode(r) == imagerules.ModeWarn {
			found[i].Warns = true
		}
	}
	return n, found, err
}

func (r *Rules) check(n Normalized) (Normalized, []Violation, error) {
	switch row := n.row; {
	case !r.Restricts(row.kind):
		return n, nil, nil
	case row.field.denied(r):
		return n, []Violation{denial(n, string(row.kind))}, nil
	case r.closes(row):
		if row.kind == KindLocal && slices.Contains(ownDirectories(), n.name) {
			return n, nil, nil
		}
		return n, []Violation{violationf("others", "%s: no rule allows %s", n.what(), row.kind)}, nil
	case row.rewrite != nil:
		return row.rewrite(r, n)
	}
	return n, n.row.check(r, n), nil
}

// denial is the violation of rules that are deny, which is written as a whole.
func denial(n Normalized, rule string) Violation {
	return violationf(rule, "%s: %s is denied", n.what(), rule)
}

// what names the operation in a violation.
func (n Normalized) what() string {
	switch {
	case n.ref.Name() != "":
		return n.subject + " " + n.ref.Familiar()
	case n.subject != "":
		return n.urlName()
	case n.process.what != "":
		return n.process.what
	}
	return "the client's directory " + safetext.Quote(n.name)
}

// checkContainer checks a container that the frontend starts.
func (r *Rules) checkContainer(n Normalized) []Violation {
	if r.Containers != ActionAllow {
		return []Violation{violationf("containers", "a container that the frontend starts")}
	}
	if r.Exec != nil && r.Exec.Denied {
		return []Violation{denial(n, string(KindExec))}
	}
	return r.Exec.check(n)
}

// matchPatterns checks a name with patterns of names.
func matchPatterns(
	k Kind, what func() string, name imageref.Pattern, allow, deny []imageref.Pattern,
	written List,
) []Violation {
	matches := func(p imageref.Pattern) bool { return p.Covers(name) }
	if i := slices.IndexFunc(deny, matches); i >= 0 {
		return []Violation{violationf(string(k)+".deny: "+deny[i].Meaning(), "%s", what())}
	}
	if written != nil && !slices.ContainsFunc(allow, matches) {
		meanings := imageref.Meanings(allow)
		return []Violation{violationf(string(k)+".allow", "%s: %s", what(), allows(meanings))}
	}
	return nil
}

func (r *PatternRules) check(n Normalized) []Violation {
	if r == nil {
		return nil
	}
	what := func() string { return n.subject + " " + n.ref.Familiar() }
	return matchPatterns(n.row.kind, what, n.ref.Pattern(), r.allow, r.deny, r.Allow)
}

func (r *GitRules) check(n Normalized) []Violation {
	found := r.urls.check(n, r.Allow)
	if r.RequireCommit && !n.isFixed {
		found = append(found,
			violationf("git.requireCommit", "%s without a commit: ask for one by all of its digits",
				n.urlName()))
	}
	return found
}

func (r *HTTPRules) check(n Normalized) []Violation {
	found := r.urls.check(n, r.Allow)
	if r.RequireChecksum && !n.isFixed {
		found = append(found,
			violationf("http.requireChecksum", "%s without a checksum: give its sha256:…", n.urlName()))
	}
	return found
}

func (r *DownloadRules) check(n Normalized) []Violation { return r.urls.check(n, r.Allow) }

func (r urlRules) check(n Normalized, written List) []Violation {
	if p, as, denied := urlmatch.Denied(r.deny, n.url); denied {
		return []Violation{
			violationf(fmt.Sprintf("%s.deny: %s", n.row.kind, safetext.Printable(p.Written())), "%s",
				n.urlName()+n.readAs(as)),
		}
	}
	if as, outside := urlmatch.Outside(r.allow, n.url); written != nil && outside {
		return []Violation{
			violationf(string(n.row.kind)+".allow", "%s: %s", n.urlName()+n.readAs(as),
				allows(urlMeanings(r.allow))),
		}
	}
	return nil
}

// readAs says how a program can read the URL, if that isn't as it is written.
func (n Normalized) readAs(l urlmatch.Location) string {
	if l.String() == n.url.String() {
		return ""
	}
	return ", which can be read as " + safetext.Printable(l.String())
}

// urlName names the source for a person. It leaves out the query, which may be a secret.
func (n Normalized) urlName() string {
	name := n.subject + " " + safetext.Printable(n.url.String())
	if n.url.HasQuery() {
		name += "?…"
	}
	return name
}

func (r *NameRules) check(n Normalized) []Violation {
	name := n.name
	if g := firstFolded(r.Deny, name); g != "" {
		return []Violation{
			violationf("local.deny: "+safetext.Printable(g), "the client's directory %s",
				safetext.Quote(name)),
		}
	}
	if r.Allow != nil && globs.First(r.Allow, name) == "" {
		return []Violation{
			violationf("local.allow", "the client's directory %s: %s", safetext.Quote(name),
				allows(r.Allow)),
		}
	}
	return nil
}

// firstFolded returns the first of the globs that matches s in any letter case, or "". What is
// denied is denied in any case.
func firstFolded(denied []string, s string) string {
	i := slices.IndexFunc(denied, func(g string) bool {
		return globs.Match(strings.ToLower(g), strings.ToLower(s))
	})
	if i < 0 {
		return ""
	}
	return denied[i]
}
