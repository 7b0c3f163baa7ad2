package buildrules

import "fmt"

// Patterns returns the rules' patterns in canonical form, as [imageref.Pattern.String] does.
func (r *ImageRules) Patterns() (allow, deny []string) {
	return writtenPatterns(r.allow), writtenPatterns(r.deny)
}

// Patterns returns the rules' patterns in canonical form, as [imageref.Pattern.String] does.
func (r *PatternRules) Patterns() (allow, deny []string) {
	return writtenPatterns(r.allow), writtenPatterns(r.deny)
}

// Patterns returns the rules' patterns in canonical form: with the host in lower case, without a
// default port, and without .git at the end.
func (r *GitRules) Patterns() (allow, deny []string) { return r.urls.patterns() }

// Patterns returns the rules' patterns in canonical form: with the host in lower case and without a
// default port.
func (r *HTTPRules) Patterns() (allow, deny []string) { return r.urls.patterns() }

func (r urlRules) patterns() (allow, deny []string) {
	return writtenPatterns(r.allow), writtenPatterns(r.deny)
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

// globs returns the names of the rules' conversions and pins.
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
	return all
}

func writtenPatterns[P fmt.Stringer](patterns []P) []string {
	out := make([]string, len(patterns))
	for i, p := range patterns {
		out[i] = p.String()
	}
	return out
}
