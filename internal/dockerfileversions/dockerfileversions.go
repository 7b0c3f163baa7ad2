// Package dockerfileversions knows which tags of docker/dockerfile the built-in
// Dockerfile frontend can stand for.
package dockerfileversions

import (
	"fmt"
	"strings"

	"github.com/Masterminds/semver/v3"
)

const (
	// Newest is the version of the built-in Dockerfile frontend
	// (frontend/dockerfile/version of the BuildKit that the program is built with).
	Newest = "1.28"
	// Name is the end of the name of each repository that it can stand for:
	// docker/dockerfile, wherever it is mirrored.
	Name = "/docker/dockerfile"

	oldest = "1.0"
	labs   = "-labs"
	// experimental is what labs was called up to 1.2.
	experimental = "-experimental"
)

// maxPatch is how many patch releases of each version Tags lists. None had as many.
const maxPatch = 20

// Serves reports whether the built-in frontend can stand for the tag. It stands for
// latest and labs, for the versions from 1.0 to [Newest], and for those with "-labs" or
// "-experimental". A partial version such as 1 or 1.7 counts as its first release.
func Serves(tag string) bool {
	tag = strings.TrimSuffix(strings.TrimSuffix(tag, labs), experimental)
	if tag == "latest" || tag == "labs" {
		return true
	}
	v, err := semver.NewVersion(tag)
	return err == nil && !v.LessThan(semver.MustParse(oldest)) &&
		!v.GreaterThan(semver.MustParse(Newest))
}

// Tags returns the tags that docker/dockerfile has or may have and that the built-in
// frontend serves.
func Tags() []string {
	tags := []string{"latest", "labs", "1"}
	for minor := range semver.MustParse(Newest).Minor() + 1 {
		tags = append(tags, fmt.Sprintf("1.%d", minor))
		for patch := range maxPatch {
			tags = append(tags, fmt.Sprintf("1.%d.%d", minor, patch))
		}
	}
	served := tags[:0:0]
	for _, t := range tags {
		for _, t := range []string{t, t + labs} {
			if Serves(t) {
				served = append(served, t)
			}
		}
	}
	return served
}
