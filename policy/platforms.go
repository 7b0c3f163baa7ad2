package policy

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/containerd/platforms"

	"github.com/policy-frontend/policy-frontend/internal/safetext"
)

// platformOption is the option with the platforms that a build is for, with commas between them
// (frontend/dockerui/config.go, keyTargetPlatform).
const platformOption = "platform"

// normalizePlatform returns the one spelling in which platforms are compared. It refuses a platform
// without its system, which programs on different machines complete in different ways.
func normalizePlatform(s string) (string, error) {
	if !strings.Contains(s, "/") {
		return "", fmt.Errorf("%s isn't a platform; write its system and its architecture, as in "+
			"linux/amd64", safetext.Quote(s))
	}
	p, err := platforms.Parse(s)
	if err != nil {
		return "", fmt.Errorf("%s isn't a platform; write one such as linux/amd64", safetext.Quote(s))
	}
	return platforms.FormatAll(platforms.Normalize(p)), nil
}

// refusesPlatforms returns why the rule refuses a build with this value of the option; "" is one
// without it. It returns "" if the rule doesn't.
func (r *Rule) refusesPlatforms(value string) string {
	if len(r.Platforms) == 0 {
		return ""
	}
	only := safetext.Printable(safetext.Or(r.Platforms))
	if value == "" {
		return fmt.Sprintf("allows only builds for %s, and the build names no platform, so it is for "+
			"that of the builder, which isn't known here: build with --platform", only)
	}
	for _, s := range strings.Split(value, ",") {
		if p, err := normalizePlatform(s); err != nil || !slices.Contains(r.platforms, p) {
			return fmt.Sprintf("allows only builds for %s, and not for %s", only, safetext.Quote(s))
		}
	}
	return ""
}

// targets returns the value of the platform option that the frontend gets under the rule.
func (r *Rule) targets(s subject) string {
	if forced, ok := r.Options.Force[platformOption]; ok {
		return forced
	}
	if r.Options.strips(platformOption) {
		return ""
	}
	return s.options[platformOption]
}

// platform checks and compiles an entry of platforms.
func (r *Rule) platform(s string) error {
	p, err := normalizePlatform(s)
	if err == nil && slices.Contains(r.platforms, p) {
		err = errors.New(safetext.Quote(s) + " is in the list already")
	}
	r.platforms = append(r.platforms, p)
	return err
}
