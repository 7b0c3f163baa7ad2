package main

import (
	"cmp"
	"fmt"
	"regexp"
	"strconv"
	"strings"
)

// version is a release tag of Semantic Versioning, such as v1.2.3 or v1.3.0-rc.1. It has no build
// metadata, because an image tag can't contain a plus sign.
type version struct {
	major, minor, patch int
	pre                 string // the part behind the hyphen, or ""
}

var versionForm = regexp.MustCompile(
	`^v(0|[1-9]\d*)\.(0|[1-9]\d*)\.(0|[1-9]\d*)(?:-([0-9A-Za-z.-]+))?$`)

func parseVersion(tag string) (version, error) {
	parts := versionForm.FindStringSubmatch(tag)
	if parts == nil {
		return version{}, fmt.Errorf("%q is not a release tag; write one such as v1.2.3", tag)
	}
	v := version{pre: parts[4]}
	for i, number := range []*int{&v.major, &v.minor, &v.patch} {
		n, err := strconv.Atoi(parts[i+1])
		if err != nil {
			return version{}, fmt.Errorf("%q: %w", tag, err)
		}
		*number = n
	}
	return v, nil
}

// compare orders versions without their pre-release parts.
func (v version) compare(o version) int {
	return cmp.Or(
		cmp.Compare(v.major, o.major), cmp.Compare(v.minor, o.minor), cmp.Compare(v.patch, o.patch))
}

// movingTags returns the tags of the image that a release moves to itself. A final release moves
// the tag of its minor line (1.2) and of its major line (1), unless the line already has a newer
// final release among the Git tags in existing, one a line.
func movingTags(tag, existing string) ([]string, error) {
	v, err := parseVersion(tag)
	if err != nil || v.pre != "" {
		return nil, err
	}
	newestMinor, newestMajor := true, true
	for _, other := range strings.Fields(existing) {
		// Git tags that aren't final releases don't count.
		o, err := parseVersion(other)
		if err != nil || o.pre != "" || o.major != v.major || o.compare(v) <= 0 {
			continue
		}
		newestMajor = false
		newestMinor = newestMinor && o.minor != v.minor
	}
	var tags []string
	if newestMinor {
		tags = append(tags, fmt.Sprintf("%d.%d", v.major, v.minor))
	}
	// Before 1.0.0, minor versions may be incompatible, so a tag "0" would promise too much.
	if newestMajor && v.major > 0 {
		tags = append(tags, strconv.Itoa(v.major))
	}
	return tags, nil
}

// releaseNotes returns the section of a version from a changelog in the form of
// https://keepachangelog.com, without its heading. A section without any entry is an error.
func releaseNotes(changelog, tag string) (string, error) {
	if _, err := parseVersion(tag); err != nil {
		return "", err
	}
	heading := "## [" + strings.TrimPrefix(tag, "v") + "]"
	var notes []string
	inside, entries := false, false
	for line := range strings.Lines(changelog) {
		line = strings.TrimRight(line, " \r\n")
		switch {
		case strings.HasPrefix(line, "## "):
			if inside {
				return finish(notes, entries, tag)
			}
			inside = line == heading || strings.HasPrefix(line, heading+" ")
		case inside && isLinkDefinition(line):
		case inside:
			notes = append(notes, line)
			entries = entries || strings.HasPrefix(line, "- ")
		}
	}
	if !inside {
		return "", fmt.Errorf("CHANGELOG.md has no section %q", heading)
	}
	return finish(notes, entries, tag)
}

func finish(notes []string, entries bool, tag string) (string, error) {
	if !entries {
		return "", fmt.Errorf("the section of %s in CHANGELOG.md has no entry", tag)
	}
	return strings.TrimSpace(strings.Join(notes, "\n")), nil
}

// isLinkDefinition tells whether the line says where a link such as [1.2.0] leads. A changelog has
// these at its end, so they would belong to the notes of its last section.
func isLinkDefinition(line string) bool {
	return strings.HasPrefix(line, "[") && strings.Contains(line, "]: ")
}
