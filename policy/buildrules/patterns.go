package buildrules

import "fmt"

// Patterns returns the rules' patterns in the form in which they are compared, see
// Rule.Patterns.
func (r *ImageRules) Patterns() (allow, deny []string) {
	return writtenPatterns(r.allow), writtenPatterns(r.deny)
}

// Patterns returns the rules' patterns in the form in which they are compared, see
// Rule.Patterns.
func (r *PatternRules) Patterns() (allow, deny []string) {
	return writtenPatterns(r.allow), writtenPatterns(r.deny)
}

// Patterns returns the rules' patterns in the form in which URLs are compared: host
// in lower case, no default port, and of git no .git at the end.
func (r *GitRules) Patterns() (allow, deny []string) { return r.urls.patterns() }

// Patterns returns the rules' patterns in the form in which URLs are compared, see
// GitRules.Patterns.
func (r *HTTPRules) Patterns() (allow, deny []string) { return r.urls.patterns() }

func (r urlRules) patterns() (allow, deny []string) {
	return writtenPatterns(r.allow), writtenPatterns(r.deny)
}

// Names returns the conversion's two names in the form in which they are compared,
// see Rule.Patterns.
func (c *Conversion) Names() (from, to string) { return c.from.String(), c.to.String() }

// globs returns the names of the rules' conversions and pins.
func (r *ImageRules) globs() []string {
	var all []string
	for i := range r.Convert {
		from, to := r.Convert[i].Names()
		all = append(all, from, to)
	}
	for pin := range r.Pins {
		all = append(all, pin)
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
