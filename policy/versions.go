package policy

import (
	"cmp"
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"

	"github.com/Masterminds/semver/v3"

	"github.com/policy-frontend/policy-frontend/internal/safetext"
)

// maxVersions is the largest length of a versions condition, in bytes.
const maxVersions = 512

// version is the version of a release. It has no prerelease part.
type version struct{ major, minor, patch uint64 }

func (v version) compare(o version) int {
	return cmp.Or(cmp.Compare(v.major, o.major), cmp.Compare(v.minor, o.minor),
		cmp.Compare(v.patch, o.patch))
}

func (v version) semver() *semver.Version { return semver.New(v.major, v.minor, v.patch, "", "") }

// interval is all releases from min to max, inclusive.
type interval struct{ min, max version }

func (i interval) inside(o interval) bool {
	return i.min.compare(o.min) >= 0 && i.max.compare(o.max) <= 0
}

func (i interval) overlaps(o interval) bool {
	return i.min.compare(o.max) <= 0 && i.max.compare(o.min) >= 0
}

// tagVersion is the version that a tag names. A partial version such as 1.7 stands for every 1.7.x.
// A prerelease such as 1.7.0-rc1 stands for itself.
type tagVersion struct {
	interval
	prerelease *semver.Version // nil for releases
}

// parseTagVersion reads a tag as a version, with or without a leading "v". It returns false for a
// tag that isn't a version, such as latest. It also does so for 1.7-rc1, because only a full
// version can have a prerelease part.
func parseTagVersion(tag string) (tagVersion, bool) {
	s := strings.TrimPrefix(tag, "v")
	if strings.Contains(s, "-") {
		v, err := semver.StrictNewVersion(s)
		if err != nil {
			return tagVersion{}, false
		}
		return tagVersion{prerelease: v}, true
	}
	parts := strings.Split(s, ".")
	if len(parts) > 3 {
		return tagVersion{}, false
	}
	low, high := [3]uint64{}, [3]uint64{math.MaxUint64, math.MaxUint64, math.MaxUint64}
	for i, p := range parts {
		n, err := strconv.ParseUint(p, 10, 64)
		if err != nil || p != strconv.FormatUint(n, 10) {
			return tagVersion{}, false
		}
		low[i], high[i] = n, n
	}
	return tagVersion{
		interval: interval{version{low[0], low[1], low[2]}, version{high[0], high[1], high[2]}},
	}, true
}

// versionRange is a compiled versions condition.
type versionRange struct{ alternatives []alternative }

// alternative is one side of "||". The releases that it contains form an interval. So a partial
// version is inside if its first and last releases are.
type alternative struct {
	interval
	empty bool                // it contains prereleases only
	exact *semver.Constraints // the library's reading: prereleases only where one is named
	wide  *semver.Constraints // prereleases too, by their order
}

// parseVersions parses a versions condition. Its grammar is that of github.com/Masterminds/semver
// without "!=".
func parseVersions(s string) (*versionRange, error) {
	if len(s) > maxVersions {
		return nil, fmt.Errorf("it has %d bytes, more than %d", len(s), maxVersions)
	}
	if strings.Contains(s, "!") {
		return nil,
			fmt.Errorf("%s leaves a version out; write the range without it, and the tag under exceptTags",
				safetext.Quote(s))
	}
	var r versionRange
	for a := range strings.SplitSeq(s, "||") {
		alt, err := parseAlternative(a)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", safetext.Quote(s), err)
		}
		r.alternatives = append(r.alternatives, alt)
	}
	return &r, nil
}

func parseAlternative(s string) (alternative, error) {
	if strings.TrimSpace(s) == "" {
		return alternative{}, errors.New("there is nothing on one side of ||; write * for any version")
	}
	exact, err := semver.NewConstraint(s)
	if err != nil || isOddRange(s) {
		return alternative{},
			fmt.Errorf("%s is not a range of versions; write one like >=1.4.0 <2.0.0, ~1.7 or 1.x",
				safetext.Quote(strings.TrimSpace(s)))
	}
	wide := *exact
	wide.IncludePrerelease = true
	a := alternative{exact: exact, wide: &wide, empty: true}
	// The library doesn't export its bounds. A bound is a version in the text, or a version next to
	// it. Check tells which of them the range contains.
	for _, v := range boundaries(s) {
		if !exact.Check(v.semver()) {
			continue
		}
		if a.empty || v.compare(a.min) < 0 {
			a.min = v
		}
		if a.empty || v.compare(a.max) > 0 {
			a.max = v
		}
		a.empty = false
	}
	if a.empty && !strings.Contains(s, "-") {
		return alternative{}, fmt.Errorf("no version is %s", safetext.Quote(strings.TrimSpace(s)))
	}
	return a, nil
}

// isOddRange reports whether the library reads the range in a way that nobody means. It takes
// "~0.0.0" for any version, ">*" for all but one, and "<=*" for the first few.
func isOddRange(s string) bool {
	s = strings.NewReplacer("v", "", "=", "", "X", "x", "*",
		"x").Replace(strings.Join(strings.Fields(s), ""))
	return strings.Contains(s, "~0.0.0") || strings.Contains(s, "~>0.0.0") ||
		strings.Contains(s, "<x") || strings.Contains(s, ">x")
}

// boundaries returns the versions at which the range in this text can begin or end.
func boundaries(s string) []version {
	const last = math.MaxUint64
	out := []version{{}, {last, last, last}}
	for _, word := range strings.FieldsFunc(s,
		func(r rune) bool { return (r < '0' || r > '9') && r != '.' }) {
		var n [3]uint64
		for i, p := range strings.SplitN(word, ".", 4)[:min(3, 1+strings.Count(word, "."))] {
			n[i], _ = strconv.ParseUint(p, 10, 64) // an x counts as 0
		}
		major, minor, patch := n[0], n[1], n[2]
		out = append(out, version{major, minor, patch}, version{major, minor, last},
			version{major, last, last})
		if patch < last {
			out = append(out, version{major, minor, patch + 1})
		}
		if minor < last {
			out = append(out, version{major, minor + 1, 0})
		}
		if major < last {
			out = append(out, version{major + 1, 0, 0})
		}
		switch {
		case patch > 0:
			out = append(out, version{major, minor, patch - 1})
		case minor > 0:
			out = append(out, version{major, minor - 1, last})
		case major > 0:
			out = append(out, version{major - 1, last, last})
		}
	}
	return out
}

// contains reports whether one alternative contains every version that the tag stands for.
func (r *versionRange) contains(v tagVersion) bool {
	for _, a := range r.alternatives {
		if v.prerelease != nil && a.exact.Check(v.prerelease) || v.prerelease == nil && !a.empty &&
			v.inside(a.interval) {
			return true
		}
	}
	return false
}

// touches reports whether the range contains some version that the tag stands for, including
// prereleases.
func (r *versionRange) touches(v tagVersion) bool {
	for _, a := range r.alternatives {
		if v.prerelease != nil && a.wide.Check(v.prerelease) || v.prerelease == nil && !a.empty &&
			v.overlaps(a.interval) {
			return true
		}
	}
	return false
}
