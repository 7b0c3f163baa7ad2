package globs

import (
	"slices"
	"strings"
)

// Name is a pattern of names, as components. A "**" at the end of the written pattern
// is kept as "*" and "**", since it stands for at least one component.
type Name []string

// ParseName splits a pattern, or a name, into its components.
func ParseName(pattern string) Name { return NewName(strings.Split(pattern, "/")) }

// NewName returns the pattern with these components. There must be at least one. It doesn't change
// the slice.
func NewName(components []string) Name {
	if last := len(components) - 1; components[last] == "**" {
		components = append(components[:last:last], "*", "**")
	}
	return components
}

// String returns the pattern as it would be written.
func (n Name) String() string {
	if last := len(n) - 1; last > 0 && n[last] == "**" && n[last-1] == "*" {
		n = append(slices.Clone(n[:last-1]), "**")
	}
	return strings.TrimPrefix(strings.Join(n, "/"), hostMark)
}

// Open reports whether the set can have more than one name.
func (n Name) Open() bool { return slices.ContainsFunc(n, Open) }

// Overlaps reports whether some name is in both.
func (n Name) Overlaps(o Name) bool { return overlaps(n, o, anyDepth, overlapComponents) }

// Meet returns sets that together have the names that are in both. It is false if
// there are more than MaxForms of them.
func (n Name) Meet(o Name) ([]Name, bool) { return n.meet(o, meetComponents) }

func (n Name) meet(o Name, one func(a, b string) ([]string, bool)) ([]Name, bool) {
	forms, all := meet(n, o, oneStar(anyDepth), one)
	out := make([]Name, len(forms))
	for i, f := range forms {
		out[i] = f
	}
	return out, all
}

// MeetFold is [Name.Meet] for a name that matches without regard to the case of ASCII letters. It
// has to be in lower case. What comes out has the letters of o.
func (n Name) MeetFold(o Name) ([]Name, bool) {
	return n.meet(o, func(a, b string) ([]string, bool) {
		return meetTexts(a, b, func(a, b string) int { return strings.Compare(a, FoldASCII(b)) })
	})
}

// Example returns a name that is in the set: with fill for each "*", and depth times
// fill for each "**". A host that is left open gets a dot, without which it would be
// no host. A port that is left open is there unless depth is 0. What comes out is no valid
// name if the set has none with such parts.
func (n Name) Example(fill string, depth int) string {
	var out []string
	for _, c := range n {
		if host, ok := cutHost(c); ok {
			out = append(out, exampleHost(host, fill, depth))
			continue
		}
		if c == "**" {
			out = append(out, slices.Repeat([]string{fill}, depth)...)
			continue
		}
		out = append(out, Example(c, fill))
	}
	_, isHost := cutHost(n[0])
	if !isHost && Open(n[0]) && len(out) > 0 && !strings.ContainsAny(out[0], ".:") {
		if n[0] == "**" && depth == 0 {
			out = append([]string{fill}, out...)
		}
		out[0] += "." + fill
	}
	return strings.Join(out, "/")
}
