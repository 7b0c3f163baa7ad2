package lint

import (
	"slices"
	"strings"

	"github.com/containerd/platforms"

	"github.com/policy-frontend/policy-frontend/policy"
)

// platformOption is the option that a rule's platforms are compared with.
const platformOption = "platform"

// noPlatform says why a rule with platforms refuses every build, or returns "". A rule that only
// warns doesn't refuse.
func (c *checker) noPlatform(r *rule) string {
	o := &r.Options
	if len(r.Platforms) == 0 || r.Mode == policy.ModeWarn || c.doc.Mode == policy.ModeWarn {
		return ""
	}
	forced, isForced := o.Force[platformOption]
	switch {
	case isForced && !slices.ContainsFunc(strings.Split(forced, ","), func(s string) bool {
		return !slices.Contains(normal(r.Platforms), normal([]string{s})[0])
	}):
		return ""
	case isForced:
		return "platforms doesn't have " + forced + ", which options.force sets"
	case anyGlobCovers(o.Strip, platformOption):
		return "platforms needs the option platform, which options.strip removes"
	case anyGlobCovers(o.Deny, platformOption):
		return "platforms needs the option platform, which options.deny refuses"
	case len(o.Only) > 0 && !anyGlobCovers(o.Only, platformOption):
		return "platforms needs the option platform, which options.only doesn't list"
	}
	return ""
}

// idlePlatforms looks for platforms that a build can't be for, because the rule sets another one.
func idlePlatforms(r *rule, tell tell) {
	forced, ok := r.Options.Force[platformOption]
	if !ok {
		return
	}
	set := normal(strings.Split(forced, ","))
	for i, p := range normal(r.Platforms) {
		if !slices.Contains(set, p) {
			tell(EntryWithoutEffect, "platforms has %s, and options.force sets platform to %s; remove it",
				r.Platforms[i], forced)
		}
	}
}

// normal returns platforms in the spelling in which a policy compares them.
func normal(all []string) []string {
	out := make([]string, len(all))
	for i, s := range all {
		out[i] = s
		if p, err := platforms.Parse(s); err == nil && strings.Contains(s, "/") {
			out[i] = platforms.FormatAll(platforms.Normalize(p))
		}
	}
	return out
}
