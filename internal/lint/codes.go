package lint

import "slices"

// Code names a kind of finding. Codes are stable; docs/lint.md has a section for
// each.
type Code string

// The codes.
const (
	// Invalid: the document is no policy. Check never returns it, because there is
	// no policy then; it is for reports that list findings and such problems together.
	Invalid Code = "invalid"
	// DefaultAllow: what no rule matches is allowed.
	DefaultAllow Code = "default-allow"
	// WarnMode: the whole policy only warns.
	WarnMode Code = "warn-mode"
	// MissingID: messages can't name the policy.
	MissingID Code = "missing-id"
	// MissingContact: a refused person isn't told whom to ask.
	MissingContact Code = "missing-contact"
	// DefaultFrontendRefused: the policy refuses its own defaultFrontend.
	DefaultFrontendRefused Code = "default-frontend-refused"
	// UnusedInclude: an included file adds nothing.
	UnusedInclude Code = "unused-include"
	// AliasShadowed: an earlier alias takes all names of this one.
	AliasShadowed Code = "alias-shadowed"
	// AliasWithoutEffect: an alias changes nothing.
	AliasWithoutEffect Code = "alias-without-effect"
	// AliasNotAllowed: no rule allows what the alias leads to.
	AliasNotAllowed Code = "alias-not-allowed"
	// PinRefused: the policy refuses what an alias pins a tag to.
	PinRefused Code = "pin-refused"
	// UnnamedRule: messages can name a rule only by its place.
	UnnamedRule Code = "unnamed-rule"
	// MatchEverything: an allow rule without digests takes any repository of any host.
	MatchEverything Code = "match-everything"
	// PrefixRunsOn: an allow rule's pattern also takes names that only begin alike.
	PrefixRunsOn Code = "prefix-runs-on"
	// AnyTag: an allow rule has the tag "*", which is no condition on the tag.
	AnyTag Code = "any-tag"
	// UnboundedTag: an allow rule has a tag that names no version, and no digest.
	UnboundedTag Code = "unbounded-tag"
	// TagsAndDigests: an allow rule has tags beside digests that say it all.
	TagsAndDigests Code = "tags-and-digests"
	// NeverMatches: a rule's conditions exclude each other.
	NeverMatches Code = "never-matches"
	// Expired: a rule has expired.
	Expired Code = "expired"
	// WarnAfterExpiry: a rule would begin to warn when it has expired.
	WarnAfterExpiry Code = "warn-after-expiry"
	// Shadowed: a rule never decides, because another takes all that it does.
	Shadowed Code = "shadowed"
	// AliasedAway: aliases rename everything that a rule is for before it is asked.
	AliasedAway Code = "aliased-away"
	// OutsideLimits: an allow rule is for names that the limits refuse.
	OutsideLimits Code = "outside-limits"
	// OptionName: an option looks like a build-arg without its prefix.
	OptionName Code = "option-name"
	// OptionWithoutEffect: an option is removed after builds with it were refused.
	OptionWithoutEffect Code = "option-without-effect"
	// UnseenByForward: a rule on builds is for what dispatch: forward can't see, or sees
	// too late.
	UnseenByForward Code = "unseen-by-forward"
	// BuiltinRefuses: dispatch: builtin can't serve what a rule allows.
	BuiltinRefuses Code = "builtin-refuses"
	// DefaultUnjudged: what default: allow lets run is held to no rules on builds,
	// whereas rules are.
	DefaultUnjudged Code = "default-unjudged"
	// BuildRepeated: a rule repeats the policy-wide rules on builds.
	BuildRepeated Code = "build-repeated"
	// BuildAllowsAny: rules on builds allow whatever there is of a kind.
	BuildAllowsAny Code = "build-allows-any"
	// BuildDenyWithoutEffect: rules on builds deny what they don't allow anyway.
	BuildDenyWithoutEffect Code = "build-deny-without-effect"
	// ConvertShadowed: an earlier conversion takes all names of this one.
	ConvertShadowed Code = "convert-shadowed"
	// ConvertRefused: a conversion leads to an image that is refused.
	ConvertRefused Code = "convert-refused"
	// BuildPinRefused: a pin is for an image that is refused, or never read.
	BuildPinRefused Code = "build-pin-refused"
	// NestedNotAllowed: rules on builds let pass another frontend that no rule allows.
	NestedNotAllowed Code = "nested-not-allowed"
	// PlainHTTP: rules on builds allow what anybody on the way can replace.
	PlainHTTP Code = "plain-http"
	// HostNetwork: commands can reach all that the daemon's machine can.
	HostNetwork Code = "host-network"
	// InsecureExec: commands can run without the sandbox.
	InsecureExec Code = "insecure-exec"
)

// Codes returns all codes in the order of docs/lint.md.
func Codes() []Code {
	return []Code{
		Invalid,
		DefaultAllow, WarnMode, MissingID, MissingContact, DefaultFrontendRefused, UnusedInclude,
		AliasShadowed, AliasWithoutEffect, AliasNotAllowed, PinRefused,
		UnnamedRule, MatchEverything, PrefixRunsOn, AnyTag, UnboundedTag, TagsAndDigests,
		NeverMatches, Expired, WarnAfterExpiry, Shadowed, AliasedAway, OutsideLimits,
		OptionName, OptionWithoutEffect,
		UnseenByForward, BuiltinRefuses, DefaultUnjudged, BuildRepeated, BuildAllowsAny, BuildDenyWithoutEffect,
		ConvertShadowed, ConvertRefused, BuildPinRefused, NestedNotAllowed, PlainHTTP, HostNetwork, InsecureExec,
	}
}

// Level is how much a finding matters.
type Level string

// The levels, named as in SARIF 2.1.0 (section 3.27.10).
const (
	// Error: there is no policy.
	Error Level = "error"
	// Warning: the policy does something else than it seems to.
	Warning Level = "warning"
	// Note: people will miss something.
	Note Level = "note"
)

// Level returns how much findings with the code matter.
func (c Code) Level() Level {
	switch {
	case c == Invalid:
		return Error
	case slices.Contains([]Code{MissingID, MissingContact, UnnamedRule, UnusedInclude, BuildRepeated}, c):
		return Note
	}
	return Warning
}
