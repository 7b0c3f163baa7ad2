package buildrules

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/policy-frontend/policy-frontend/internal/globs"
	"github.com/policy-frontend/policy-frontend/internal/safetext"
	"github.com/policy-frontend/policy-frontend/internal/urlmatch"
	"github.com/policy-frontend/policy-frontend/policy/imageref"
	"github.com/policy-frontend/policy-frontend/policy/imagerules"
)

// Tried is an entry of a list of rules that was compared with an operation.
type Tried struct {
	// Entry is the field and the entry, such as "http.deny: http://a.example/**".
	Entry string
	// Matched reports whether the entry is for the operation.
	Matched bool
	// Reason is one sentence without its end for a person. It is safe for a terminal.
	Reason string

	near bool // only one part of it misses
}

const (
	// maxTried is how many entries of one list [Rules.Explain] returns in any case.
	maxTried = 10
	// maxNear is how many entries that nearly match it returns beyond those.
	maxNear = 5
)

// Explain says of each entry in the lists for the operation's kind whether it matches, and if not,
// which part of the operation it misses. From long lists, it returns the entries that match and
// those that miss one part only.
//
// It explains [Rules.Check] and doesn't decide. Of commands and images, it returns the entries that
// are about what they use or have. Of sets of conditions on configurations, it says which ones are
// for the operation.
func (r *Rules) Explain(n Normalized) []Tried {
	kind := string(n.row.kind)
	switch {
	case n.row.field.denied(r):
		return []Tried{{Entry: kind, Matched: true, Reason: "it denies all " + kind}}
	case r.closes(n.row) && n.row.kind == KindLocal && slices.Contains(ownDirectories(), n.name):
		return []Tried{{Entry: "others", Reason: "it permits the build's own directories"}}
	case r.closes(n.row):
		return []Tried{{Entry: "others", Matched: true, Reason: "there are no rules on " + kind}}
	}
	switch n.row.kind {
	case KindImages:
		return r.Images.explain(n)
	case KindGit:
		return explainURLs(n, r.Git.urls, r.Git.Allow, r.Git.Deny)
	case KindHTTP:
		return explainURLs(n, r.HTTP.urls, r.HTTP.Allow, r.HTTP.Deny)
	case KindLocal:
		return slices.Concat(explainGlobs("local.deny", r.Local.Deny, n.name),
			explainGlobs("local.allow", r.Local.Allow, n.name))
	case KindOCILayout:
		return r.OCILayout.explain(n)
	case KindBlob:
		return r.Blob.explain(n)
	case KindFrontends:
		return r.Frontends.explain(n)
	case KindConfig:
		return r.Config.explain(n)
	case KindExec:
		return r.Exec.explain(&n.process)
	case KindContainers:
		t := Tried{Entry: "containers", Matched: r.Containers == ActionAllow}
		t.Reason = "without allow, no container is allowed"
		if t.Matched {
			t.Reason = "containers are allowed, under the rules on exec"
		}
		return append([]Tried{t}, r.Exec.explain(&n.process)...)
	}
	return nil
}

func (r *ImageRules) explain(n Normalized) []Tried {
	asked := n.ref
	if n.own {
		t := Tried{Entry: string(KindImages), Matched: true, Reason: asked.Familiar() +
			" is the frontend's own image, so it needs no allow and isn't converted"}
		return slices.Concat([]Tried{t}, r.explainPins(asked), r.explainRules(n, asked),
			explainNames("images.deny", r.deny, asked))
	}
	ref, err := r.convert(asked)
	if err != nil {
		return nil // [ImageRules.check] reports it.
	}
	var out []Tried
	if len(r.Convert) > 0 {
		t := Tried{Entry: "images.convert", Reason: "no conversion is for " + asked.Name()}
		if !ref.SameRepository(asked) {
			t.Matched, t.Reason = true, fmt.Sprintf("%s becomes %s", asked.Name(), ref.Name())
		}
		out = append(out, t)
	}
	return slices.Concat(out, r.explainPins(ref), r.explainRules(n, ref),
		explainNames("images.deny", r.deny, ref),
		explainNames("images.allow", r.allow, ref))
}

// explainRules explains the list of rules.
func (r *ImageRules) explainRules(n Normalized, ref imageref.Reference) []Tried {
	_, pin := r.pinOf(ref)
	if pinned, err := ref.WithDigest(pin); pin != "" && err == nil {
		ref = pinned
	}
	s := imagerules.Subject{
		Ref: ref, Name: ref.Pattern(), Digest: ref.Digest(), TagDigest: cmp.Or(pin, n.tagDigest),
		Now: n.now, Client: n.client,
	}
	var out []Tried
	for _, rule := range r.Rules {
		if n.own && isAllow(rule) {
			continue
		}
		m := rule.Apply(s)
		t := Tried{
			Entry:   "images.rules: " + safetext.Printable(rule.Name),
			Matched: m.Result == imagerules.Yes, Reason: m.Reason,
		}
		t.near = rule.Covers(s.Name)
		switch {
		case t.Reason != "":
		case t.Matched:
			t.Reason = "it matches " + ref.Familiar()
		case m.Result == imagerules.Unknown:
			t.Matched = rule.Action == imagerules.ActionDeny
			t.Reason = "the digest is not known"
		case t.near:
			t.Reason = "its conditions don't hold for " + ref.Familiar()
		default:
			t.Reason = "it is for " + safetext.Printable(safetext.List("only", "only",
				imageref.Meanings(rule.Names())))
		}
		out = append(out, t)
	}
	return shorten(out, "images.rules")
}

// explainPins explains the pins of the image's repository.
func (r *ImageRules) explainPins(ref imageref.Reference) []Tried {
	var out []Tried
	of, _ := r.pinOf(ref)
	for pin, p := range r.pins {
		pinned, err := imageref.Parse(pin)
		if err != nil || !imageref.DefaultHost(pinned).SameRepository(imageref.DefaultHost(ref)) {
			continue
		}
		t := Tried{
			Entry: "images.pins: " + pin, Matched: slices.Contains(of, pin), near: true,
			Reason: fmt.Sprintf("the tag is another one: %s", orNoTag(ref.Tag())),
		}
		if t.Matched {
			t.Reason = "it must be " + string(p.digest)
		}
		out = append(out, t)
	}
	slices.SortFunc(out, func(a, b Tried) int { return strings.Compare(a.Entry, b.Entry) })
	return shorten(out, "images.pins")
}

func orNoTag(tag string) string {
	if tag == "" {
		return "none"
	}
	return tag
}

func (r *PatternRules) explain(n Normalized) []Tried {
	kind := string(n.row.kind)
	return slices.Concat(explainNames(kind+".deny", r.deny, n.ref),
		explainNames(kind+".allow", r.allow, n.ref))
}

// segment is a part of a name or a URL, as the pattern has it and as the operation has it.
type segment struct{ what, pattern, asked string }

// explainNames compares a name with patterns of names. Patterns that were written as one entry
// follow each other, and are explained as one.
func explainNames(list string, patterns []imageref.Pattern, ref imageref.Reference) []Tried {
	var out []Tried
	last := ""
	for _, p := range patterns {
		t := explainName(list, p, ref)
		switch {
		case len(out) == 0 || p.Meaning() != last:
			out = append(out, t)
		case t.Matched || t.near && !out[len(out)-1].Matched && !out[len(out)-1].near:
			out[len(out)-1] = t
		}
		last = p.Meaning()
	}
	return shorten(out, list)
}

func explainName(list string, p imageref.Pattern, ref imageref.Reference) Tried {
	t := Tried{Entry: list + ": " + safetext.Printable(p.Meaning())}
	means := meaning(p.Meaning(), strings.Replace(p.String(), ":*/", "/", 1))
	if t.Matched = p.Match(ref); t.Matched {
		t.Reason = "it matches " + ref.Name() + means
		return t
	}
	t.Reason, t.near = missed(nameParts(p.String(), ref.Name()), means, func(parts []segment) bool {
		q, err := imageref.ParsePattern(joinName(parts))
		return err == nil && q.Match(ref)
	})
	return t
}

func nameParts(pattern, name string) []segment {
	hostP, pathP, _ := strings.Cut(pattern, "/")
	hostN, pathN, _ := strings.Cut(name, "/")
	if pathP == "" { // A pattern such as ** is host and path at once.
		return []segment{{"name", pattern, name}}
	}
	hostP, portP := cutPort(hostP)
	hostN, portN := cutPort(hostN)
	return []segment{{"host", hostP, hostN}, {"port", portP, portN}, {"path", pathP, pathN}}
}

func joinName(parts []segment) string {
	if len(parts) == 1 {
		return parts[0].pattern
	}
	return parts[0].pattern + withColon(parts[1].pattern) + "/" + parts[2].pattern
}

// explainURLs compares a URL with patterns of URLs.
func explainURLs(n Normalized, r urlRules, allow, deny []string) []Tried {
	list := func(name string, purpose urlmatch.Purpose, patterns []urlmatch.Pattern, written []string,
		matches func([]urlmatch.Pattern) bool,
	) []Tried {
		out := make([]Tried, len(patterns))
		for i, p := range patterns {
			t := Tried{Entry: name + ": " + safetext.Printable(written[i])}
			means := meaning(written[i], p.String())
			if t.Matched = matches(patterns[i : i+1]); t.Matched {
				t.Reason = "it matches " + safetext.Printable(n.url.String()) + means
			} else {
				parts := urlParts(plainForm(p), n.url.String())
				t.Reason, t.near = missed(parts, means, func(parts []segment) bool {
					q, err := urlmatch.ParsePattern(joinURL(parts), n.row.kind.protocol(), purpose)
					return err == nil && matches([]urlmatch.Pattern{q})
				})
			}
			out[i] = t
		}
		return shorten(out, name)
	}
	kind := string(n.row.kind)
	return slices.Concat(
		list(kind+".deny", urlmatch.Deny, r.deny, deny, func(p []urlmatch.Pattern) bool {
			_, _, denied := urlmatch.Denied(p, n.url)
			return denied
		}),
		list(kind+".allow", urlmatch.Allow, r.allow, allow, func(p []urlmatch.Pattern) bool {
			_, outside := urlmatch.Outside(p, n.url)
			return !outside
		}))
}

// plainForm returns the pattern as it was written, or what it means if that is in the form of scp.
func plainForm(p urlmatch.Pattern) string {
	if written := p.Written(); strings.Contains(written, "://") || !strings.Contains(written, "@") {
		return written
	}
	return p.Meanings()[0]
}

func urlParts(pattern, url string) []segment {
	schemeP, hostP, portP, pathP := cutURL(pattern)
	schemeU, hostU, portU, pathU := cutURL(url)
	return []segment{
		{"scheme", schemeP, schemeU},
		{"host", hostP, hostU},
		{"port", portP, portU},
		{"path", pathP, pathU},
	}
}

func cutURL(s string) (scheme, host, port, path string) {
	if before, rest, ok := strings.Cut(s, "://"); ok {
		scheme, s = before, rest
	}
	host, path, _ = strings.Cut(s, "/")
	host, port = cutPort(host)
	return scheme, host, port, "/" + path
}

func joinURL(parts []segment) string {
	scheme := parts[0].pattern
	if scheme != "" {
		scheme += "://"
	}
	return scheme + parts[1].pattern + withColon(parts[2].pattern) + parts[3].pattern
}

// cutPort splits a host from its port. An IPv6 address is in brackets.
func cutPort(s string) (host, port string) {
	if i := strings.LastIndexByte(s, ':'); i > strings.LastIndexByte(s, ']') {
		return s[:i], s[i+1:]
	}
	return s, ""
}

func withColon(port string) string {
	if port == "" {
		return ""
	}
	return ":" + port
}

// missed says which parts of an operation a pattern misses. To judge a part, it asks whether a
// pattern would match that has the operation's own text in all other parts.
func missed(
	parts []segment, means string, matches func([]segment) bool,
) (reason string, near bool) {
	var misses []string
	for i, p := range parts {
		only := slices.Clone(parts)
		for j := range only {
			if j != i {
				only[j].pattern = only[j].asked
			}
		}
		if p.pattern != p.asked && !matches(only) {
			misses = append(misses, fmt.Sprintf("the %s is %s, and not %s", p.what, orNone(p.asked),
				orNone(p.pattern)))
		}
	}
	if len(misses) == 0 {
		return "it doesn't match" + means, false
	}
	return safetext.Printable(strings.Join(misses, "; ")) + means, len(misses) == 1
}

func orNone(s string) string {
	if s == "" {
		return "the default"
	}
	return s
}

// meaning adds what a pattern stands for if its author wrote it in another way.
func meaning(written, canonical string) string {
	if written == canonical {
		return ""
	}
	return " (it means " + safetext.Printable(canonical) + ")"
}

func explainGlobs(list string, patterns []string, name string) []Tried {
	out := make([]Tried, len(patterns))
	for i, g := range patterns {
		t := Tried{Entry: list + ": " + safetext.Printable(g), Matched: globs.Match(g, name)}
		t.Reason = "the name is " + safetext.Quote(name)
		out[i] = t
	}
	return shorten(out, list)
}

// shorten leaves out entries of a long list that don't match and aren't near.
func shorten(tried []Tried, list string) []Tried {
	if len(tried) <= maxTried {
		return tried
	}
	var out []Tried
	near := 0
	for _, t := range tried {
		switch {
		case t.Matched:
		case t.near && near < maxNear:
			near++
		default:
			continue
		}
		out = append(out, t)
	}
	if omitted := len(tried) - len(out); omitted > 0 {
		reason := fmt.Sprintf("%d other entries don't match", omitted)
		out = append(out, Tried{Entry: list, Reason: reason})
	}
	return out
}
