package buildrules

import (
	"fmt"
	"iter"
	"slices"

	"github.com/policy-frontend/policy-frontend/internal/urlmatch"
)

// Patterns returns the patterns of allow and deny in canonical form, as [imageref.Pattern.String]
// does. Those of the list of rules are [imagerules.Rule.Patterns].
func (r *ImageRules) Patterns() (allow, deny []string) {
	return writtenPatterns(r.allow), writtenPatterns(r.deny)
}

// Patterns returns the rules' patterns in canonical form, as [imageref.Pattern.String] does.
func (r *PatternRules) Patterns() (allow, deny []string) {
	return writtenPatterns(r.allow), writtenPatterns(r.deny)
}

// Patterns returns what the rules' patterns mean, in canonical form: with the host in lower case,
// with a path, and without .git at the end. An allowed pattern has a scheme.
func (r *GitRules) Patterns() (allow, deny []string) { return r.urls.patterns() }

// Patterns returns what the rules' patterns mean, in canonical form: with the host in lower case
// and with a path. An allowed pattern has a scheme.
func (r *HTTPRules) Patterns() (allow, deny []string) { return r.urls.patterns() }

// Patterns returns what the rules' patterns mean, as [HTTPRules.Patterns] does.
func (r *DownloadRules) Patterns() (allow, deny []string) { return r.urls.patterns() }

func (r urlRules) patterns() (allow, deny []string) {
	return urlMeanings(r.allow), urlMeanings(r.deny)
}

// allowed returns what the allowed patterns mean, as patterns does.
func (r urlRules) allowed() iter.Seq[string] { return slices.Values(urlMeanings(r.allow)) }

// urlMeanings is [imageref.Meanings] for patterns of URLs, which can have several.
func urlMeanings(patterns []urlmatch.Pattern) []string {
	out := make([]string, 0, len(patterns))
	for _, p := range patterns {
		out = append(out, p.Meanings()...)
	}
	return out
}

// URLs returns the rules' patterns of URLs for a kind. There are none for a kind that has no
// such patterns.
func (r *Rules) URLs(k Kind) (allow, deny []urlmatch.Pattern) {
	switch {
	case k == KindGit && r.Git != nil:
		return r.Git.urls.allow, r.Git.urls.deny
	case k == KindHTTP && r.HTTP != nil:
		return r.HTTP.urls.allow, r.HTTP.urls.deny
	case k == KindDownloads && r.Has(k):
		return r.Exec.Downloads.urls.allow, r.Exec.Downloads.urls.deny
	}
	return nil, nil
}

// Names returns the conversion's two names in canonical form.
func (c *Conversion) Names() (from, to string) { return c.from.String(), c.to.String() }

// Directories returns the directories that the conversion replaces too, as patterns in canonical
// form. They are "" if its names end in /** themselves.
func (c *Conversion) Directories() (from, to string) {
	if c.fromDirectory == "" {
		return "", ""
	}
	return c.fromDirectory + "**", c.toDirectory + "**"
}

// globs returns the names of the rules' conversions and pins, and the names and tags of the list
// of rules.
func (r *ImageRules) globs() []string {
	var all []string
	for i := range r.Convert {
		from, to := r.Convert[i].Names()
		all = append(all, from, to)
		if from, to := r.Convert[i].Directories(); from != "" {
			all = append(all, from, to)
		}
	}
	for pin := range r.Pins {
		all = append(all, pin)
	}
	for _, rule := range r.Rules {
		all = slices.Concat(all, rule.Patterns(), rule.Tags, rule.ExceptTags)
	}
	return all
}

func writtenPatterns[P fmt.Stringer](patterns []P) []string {
	out := make([]string, len(patterns))
	for i, p := range patterns {
		out[i] = p.String()
	}
	return out
}
