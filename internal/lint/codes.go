package lint

import "slices"

// Code names a kind of finding. Codes are stable, and docs/lint.md has a section for
// each.
type Code string

// The codes.
const (
	// Invalid: the document isn't a valid policy. [Check] never returns this code, because
	// it needs a policy. Reports use it to list such errors together with findings.
	Invalid Code = "invalid"
	// DefaultAllow: frontends that no rule matches are allowed.
	DefaultAllow Code = "default-allow"
	// WarnMode: the whole policy only warns.
	WarnMode Code = "warn-mode"
	// AllowsNothing: every build is refused.
	AllowsNothing Code = "allows-nothing"
	// MissingID: messages can't name the policy.
	MissingID Code = "missing-id"
	// MissingContact: a refused user isn't told whom to ask.
	MissingContact Code = "missing-contact"
	// DefaultFrontendRefused: the policy refuses its own defaultFrontend.
	DefaultFrontendRefused Code = "default-frontend-refused"
	// UnusedInclude: an included file adds nothing.
	UnusedInclude Code = "unused-include"
	// AliasShadowed: an earlier alias matches all names of this one.
	AliasShadowed Code = "alias-shadowed"
	// AliasWithoutEffect: an alias changes nothing.
	AliasWithoutEffect Code = "alias-without-effect"
	// AliasNotAllowed: no rule allows the name that the alias leads to.
	AliasNotAllowed Code = "alias-not-allowed"
	// PinRefused: the policy refuses an image that an alias pins.
	PinRefused Code = "pin-refused"
	// UnnamedRule: messages can name a rule only by its position.
	UnnamedRule Code = "unnamed-rule"
	// MatchEverything: an allow rule without digests matches any repository on any host.
	MatchEverything Code = "match-everything"
	// PrefixRunsOn: an allow rule's pattern also matches longer names.
	PrefixRunsOn Code = "prefix-runs-on"
	// AnyTag: an allow rule has the tag "*", which matches every tag.
	AnyTag Code = "any-tag"
	// UnboundedTag: an allow rule has a tag without a version, and no digest.
	UnboundedTag Code = "unbounded-tag"
	// TagsAndDigests: an allow rule has tags although its digests determine the image.
	TagsAndDigests Code = "tags-and-digests"
	// PartialBound: a bound of a rule's versions can be read in two ways.
	PartialBound Code = "partial-bound"
	// ZeroPaddedTag: a pattern for tags misses another spelling of what it matches.
	ZeroPaddedTag Code = "zero-padded-tag"
	// OpenRange: an allow rule's range of versions has no upper end.
	OpenRange Code = "open-range"
	// NeverMatches: a rule's conditions contradict each other.
	NeverMatches Code = "never-matches"
	// Expired: a rule has expired.
	Expired Code = "expired"
	// WarnAfterExpiry: a rule would start to warn only after it has expired.
	WarnAfterExpiry Code = "warn-after-expiry"
	// Shadowed: a rule never decides, because another matches everything that it matches.
	Shadowed Code = "shadowed"
	// AliasedAway: aliases rename everything that a rule matches before rules are evaluated.
	AliasedAway Code = "aliased-away"
	// OutsideLimits: an allow rule matches only names that the limits refuse.
	OutsideLimits Code = "outside-limits"
	// EntryRepeated: another entry of a list is for all that an entry is for.
	EntryRepeated Code = "entry-repeated"
	// EntryWithoutEffect: another rule or field keeps an entry from mattering.
	EntryWithoutEffect Code = "entry-without-effect"
	// EntriesNotTried: the policy is too intricate to try the effect of each entry.
	EntriesNotTried Code = "entries-not-tried"
	// EntryAliased: aliases rename one of the names that a rule matches.
	EntryAliased Code = "entry-aliased"
	// DenyWithoutEffect: a deny rule matches a name that no rule allows.
	DenyWithoutEffect Code = "deny-without-effect"
	// ExceptWithoutEffect: a rule excepts a tag that it doesn't match anyway, or conditions on images
	// a target that they aren't for.
	ExceptWithoutEffect Code = "except-without-effect"
	// OptionName: an option's name is one that no client sends.
	OptionName Code = "option-name"
	// OptionWithoutEffect: builds are refused for an option before it could be removed.
	OptionWithoutEffect Code = "option-without-effect"
	// OptionsContradict: an allow rule refuses every build that it matches.
	OptionsContradict Code = "options-contradict"
	// UnseenByForward: a build rule is about something that dispatch: forward can't see, or
	// sees too late.
	UnseenByForward Code = "unseen-by-forward"
	// LateUnderForward: dispatch: forward applies build rules when the frontend has returned, and
	// not to what it read or ran by then.
	LateUnderForward Code = "late-under-forward"
	// BuiltinRefuses: dispatch: builtin can't serve what a rule allows.
	BuiltinRefuses Code = "builtin-refuses"
	// DefaultUnjudged: no build rules apply to frontends that default: allow runs, although
	// rules have some.
	DefaultUnjudged Code = "default-unjudged"
	// LLBUnjudged: clients may send any LLB, and no build rules apply to it.
	LLBUnjudged Code = "llb-unjudged"
	// BuildRepeated: a rule repeats the policy's build rules.
	BuildRepeated Code = "build-repeated"
	// BuildAllowsAny: build rules allow everything of a kind.
	BuildAllowsAny Code = "build-allows-any"
	// BuildDenyWithoutEffect: build rules deny something that they don't allow anyway.
	BuildDenyWithoutEffect Code = "build-deny-without-effect"
	// BuildDenyLeavesScheme: build rules deny URLs of a host, and those of another scheme reach
	// the same.
	BuildDenyLeavesScheme Code = "build-deny-leaves-scheme"
	// BuildAllowRefused: a rule allows something that the whole policy's build rules deny.
	BuildAllowRefused Code = "build-allow-refused"
	// ConfigContradicts: conditions on images refuse every image.
	ConfigContradicts Code = "config-contradicts"
	// EntryRefused: one of the required users is forbidden.
	EntryRefused Code = "entry-refused"
	// ConfigByTarget: conditions on images are for some targets only.
	ConfigByTarget Code = "config-by-target"
	// TargetExcepted: conditions on images are for a target that they except.
	TargetExcepted Code = "target-excepted"
	// ConvertShadowed: an earlier conversion matches all names of this one.
	ConvertShadowed Code = "convert-shadowed"
	// ConvertRefused: a conversion leads to an image that is refused.
	ConvertRefused Code = "convert-refused"
	// BuildPinRefused: a pin is for an image that is refused or never read.
	BuildPinRefused Code = "build-pin-refused"
	// NestedNotAllowed: build rules allow a nested frontend that no rule allows.
	NestedNotAllowed Code = "nested-not-allowed"
	// PlainHTTP: build rules allow data that anybody on the network path can replace.
	PlainHTTP Code = "plain-http"
	// OpenDoors: images are restricted, and other sources of the same files aren't.
	OpenDoors Code = "open-doors"
	// LayoutName: rules rely on a name that the client chooses.
	LayoutName Code = "layout-name"
	// HostNetwork: commands can reach everything that the daemon's machine can.
	HostNetwork Code = "host-network"
	// ExecAllowsAny: commands can use everything of a kind.
	ExecAllowsAny Code = "exec-allows-any"
	// ContainersAllowed: the frontend can run any image.
	ContainersAllowed Code = "containers-allowed"
	// NeedsGuard: only policy-guard applies a field.
	NeedsGuard Code = "needs-guard"
	// CacheByClient: each client can fill the build cache of all clients.
	CacheByClient Code = "cache-by-client"
	// ClientsAny: a pattern of clients is for each client that has a name.
	ClientsAny Code = "clients-any"
	// IgnoreInvalid: a comment that should accept a finding can't.
	IgnoreInvalid Code = "ignore-invalid"
	// IgnoreUnused: a comment accepts a finding that isn't there.
	IgnoreUnused Code = "ignore-unused"
	// InsecureExec: commands can run without the sandbox.
	InsecureExec Code = "insecure-exec"
)

// Codes returns all codes in the order of docs/lint.md.
func Codes() []Code {
	return []Code{
		Invalid,
		DefaultAllow, WarnMode, AllowsNothing, MissingID, MissingContact, DefaultFrontendRefused,
		UnusedInclude,
		AliasShadowed, AliasWithoutEffect, AliasNotAllowed, PinRefused,
		UnnamedRule, MatchEverything, PrefixRunsOn, AnyTag, UnboundedTag, TagsAndDigests,
		PartialBound, ZeroPaddedTag, OpenRange,
		NeverMatches, Expired, WarnAfterExpiry, Shadowed, AliasedAway, OutsideLimits,
		EntryRepeated, EntryWithoutEffect, EntriesNotTried, EntryAliased, DenyWithoutEffect,
		ExceptWithoutEffect, OptionName, OptionWithoutEffect, OptionsContradict,
		UnseenByForward, LateUnderForward, BuiltinRefuses, DefaultUnjudged, LLBUnjudged,
		BuildRepeated, BuildAllowsAny,
		BuildDenyWithoutEffect, BuildDenyLeavesScheme, BuildAllowRefused, ConfigContradicts,
		EntryRefused, ConfigByTarget, TargetExcepted, ConvertShadowed, ConvertRefused,
		BuildPinRefused, NestedNotAllowed, PlainHTTP, OpenDoors, LayoutName, HostNetwork, InsecureExec,
		ExecAllowsAny, ContainersAllowed, NeedsGuard, CacheByClient, ClientsAny,
		IgnoreInvalid, IgnoreUnused,
	}
}

// Level is how serious a finding is.
type Level string

// The levels, named as in SARIF 2.1.0 (section 3.27.10).
const (
	// Error: the file can't be used as a policy.
	Error Level = "error"
	// Warning: the policy behaves differently from what it seems to say.
	Warning Level = "warning"
	// Note: information is missing or redundant.
	Note Level = "note"
)

// AtLeast reports whether the level is as serious as the other, or more.
func (l Level) AtLeast(other Level) bool {
	levels := []Level{Note, Warning, Error}
	return slices.Index(levels, l) >= slices.Index(levels, other)
}

// Level returns how serious findings with this code are.
func (c Code) Level() Level {
	switch {
	case c == Invalid:
		return Error
	case slices.Contains([]Code{
		MissingID, MissingContact, UnnamedRule, UnusedInclude, BuildRepeated, EntryRepeated,
		EntryWithoutEffect, EntriesNotTried, EntryAliased, DenyWithoutEffect, ExceptWithoutEffect,
		ExecAllowsAny, ContainersAllowed, ConfigByTarget, OpenRange, NeedsGuard,
	}, c):
		return Note
	}
	return Warning
}
