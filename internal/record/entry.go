// Package record is the form of policy-guard's record of builds: a file with one JSON object on
// each line. docs/record.md describes it for people, and [Schema] for programs.
//
//	line, err := entry.Line()
//
//	lines := record.NewReader(file)
//	for {
//		entry, err := lines.Next()
//		…
//	}
//
// A build has a line when it begins, and one with everything when it has ended. The package knows
// nothing of BuildKit or of policies: others say what happened, and ask a policy about it.
package record

import "time"

// Version is the version of the form. Entries of another one are refused.
const Version = 1

// Event is what an entry is written for.
type Event string

const (
	// Begun is for a build that begins. It says what was asked for by then.
	Begun Event = "begun"
	// Ended is for a build that has ended, or that was refused before it began. It says everything.
	Ended Event = "ended"
)

// Outcome is how a build has ended.
type Outcome string

const (
	// Done is a build that succeeded.
	Done Outcome = "done"
	// Refused is a build that failed, and in which something was refused.
	Refused Outcome = "refused"
	// Failed is a build that failed for another reason.
	Failed Outcome = "failed"
	// Canceled is a build that its client has ended.
	Canceled Outcome = "canceled"
	// BrokenOff is a build that was under way when policy-guard ended or was killed.
	BrokenOff Outcome = "broken-off"
)

// Outcomes returns all outcomes.
func Outcomes() []Outcome { return []Outcome{Done, Refused, Failed, Canceled, BrokenOff} }

// Entry is one line of a record.
//
// The comments of its fields are the descriptions in the schema and in docs/record.md.
type Entry struct {
	// Version of this form: 1.
	Version int `json:"version" jsonschema:"enum=1"`
	// Why the line was written: a build has begun, or it has ended. A build that was refused before it
	// began has only ended.
	Event Event `json:"event" jsonschema:"enum=begun,enum=ended"`
	// What the lines of a build have in common: 32 random hexadecimal digits.
	ID string `json:"id" jsonschema:"pattern=^[0-9a-f]{32}$"`
	// When the line was written.
	Time time.Time `json:"time"`
	// When the client asked for the build.
	Began time.Time `json:"began"`
	// Who builds.
	Client Client `json:"client"`
	// The client's own name of the build, as in the history and in the log.
	Build string `json:"build"`
	// The policy in force when the build began.
	Policy Document `json:"policy"`
	// What the client asked for.
	Asked Asked `json:"asked"`

	// How the build has ended: done, refused if something was refused and it failed, failed for
	// another reason, canceled by its client, or broken-off if policy-guard ended before it.
	Outcome Outcome `json:"outcome,omitempty" jsonschema:"enum=done,enum=refused,enum=failed,enum=canceled,enum=broken-off"`
	// How long the build took, in seconds. It isn't known of a build that was broken off.
	Seconds float64 `json:"seconds,omitempty"`
	// The gRPC code of the error with which the build ended, such as Unknown. The error's text isn't
	// recorded, because commands and secrets can be in it.
	Code string `json:"code,omitempty"`
	// The policy's decision on the frontend, or on LLB of the client's own. There is none if the
	// client only looked something up, or if the build ended before the decision.
	Decision *Decision `json:"decision,omitempty"`
	// What the daemon asked about before it read it, in that order.
	Sources []Source `json:"sources,omitempty"`
	// What was refused, in that order.
	Refusals []Refusal `json:"refusals,omitempty"`
	// The warnings of the policy.
	Warnings []string `json:"warnings,omitempty"`
	// Where the result went, if the build is done.
	Exported []Exported `json:"exported,omitempty"`
	// How many items the line doesn't have because there were too many, by the name of the field, and
	// how many builds of this client since the last one have no line.
	Omitted map[string]int `json:"omitted,omitempty"`
}

// Client is who builds.
type Client struct {
	// What builds, sessions and the history belong to, such as uid:1000.
	Identity string `json:"identity"`
	// The names by which a policy knows the client, such as uid:1000, gid:1000 or cn:alice.
	Names []string `json:"names,omitempty"`
	// Names that the client may have: a rule that denies counts them, and no other one does.
	Claimed []string `json:"claimed,omitempty"`
	// Kinds of names of which the client may have any, such as cn.
	Unclear []string `json:"unclear,omitempty"`
}

// Document is a policy or an overlay.
type Document struct {
	// Its id, if it has one.
	ID string `json:"id,omitempty"`
	// The digest of its text.
	Digest string `json:"digest"`
}

// Asked is what a client asked for.
type Asked struct {
	// The daemon's frontend in the client's request: gateway.v0 for an image, or dockerfile.v0. It is
	// known when the client has asked for it, which may be after the build has begun.
	Frontend string `json:"frontend,omitempty"`
	// Whether the client sent LLB of its own.
	LLB bool `json:"llb,omitempty"`
	// The option platform.
	Platform string `json:"platform,omitempty"`
	// The option target.
	Target string `json:"target,omitempty"`
	// The names of all options, such as build-arg:VERSION. Their values aren't recorded.
	Options []string `json:"options,omitempty"`
	// Results of other builds that the frontend gets.
	Inputs []Input `json:"inputs,omitempty"`
	// Where the result has to go.
	Exports []Export `json:"exports,omitempty"`
	// Build caches.
	Caches []Cache `json:"caches,omitempty"`
	// Entitlements, such as network.host.
	Entitlements []string `json:"entitlements,omitempty"`
	// The image that makes an SBOM.
	SBOM string `json:"sbom,omitempty"`
	// Whether the history of the daemon leaves the build out, as the client may ask for builds that
	// only look something up.
	Hidden bool `json:"hidden,omitempty"`
}

// Input is a frontend input.
type Input struct {
	// Its name.
	Name string `json:"name"`
	// The kind of source that it is, such as local or git. There is none if it is the result of steps.
	Kind string `json:"kind,omitempty"`
}

// Export is where a result has to go.
type Export struct {
	// The exporter: image, or one to the client, such as local or oci.
	Type string `json:"type"`
	// Whether the image is pushed.
	Push bool `json:"push,omitempty"`
	// The names of the image.
	Names []string `json:"names,omitempty"`
	// The keys of annotations that the client sets.
	Annotations []string `json:"annotations,omitempty"`
}

// Cache is a build cache.
type Cache struct {
	// Its type: registry, local or inline.
	Type string `json:"type"`
	// Whether it is written. Otherwise, it is read.
	Export bool `json:"export,omitempty"`
	// Where it is, for a registry.
	Name string `json:"name,omitempty"`
}

// Decision is a policy's decision on a frontend, or on LLB of the client's own.
type Decision struct {
	// The verdict: allow, warn or deny.
	Verdict string `json:"verdict" jsonschema:"enum=allow,enum=warn,enum=deny"`
	// Whether it is about LLB of the client's own, and no frontend.
	LLB bool `json:"llb,omitempty"`
	// The frontend as the client or the build file wrote it.
	Requested string `json:"requested,omitempty"`
	// The frontend's full reference after aliases and pins.
	Image string `json:"image,omitempty"`
	// The digest of the frontend's image. There is none if the daemon's own frontend serves the build.
	Digest string `json:"digest,omitempty"`
	// How the frontend runs: forward, mediate or builtin.
	Dispatch string `json:"dispatch,omitempty"`
	// The rule that decided.
	Rule string `json:"rule"`
	// The layer of that rule: policy or overlay.
	Layer string `json:"layer" jsonschema:"enum=policy,enum=overlay"`
	// Why, as one sentence.
	Reason string `json:"reason"`
	// The overlay that the client sent.
	Overlay *Document `json:"overlay,omitempty"`
}

// Source is something that the daemon asked about before it read it.
type Source struct {
	// Its kind: image, git, http, local, ociLayout, blob, or other for one that policy-guard can't
	// read.
	Kind string `json:"kind" jsonschema:"enum=image,enum=git,enum=http,enum=local,enum=ociLayout,enum=blob,enum=other"`
	// The reference, URL or name, without the user and the query of a URL.
	Name string `json:"name"`
	// The branch, tag or commit of a git repository.
	Ref string `json:"ref,omitempty"`
	// The checksum that a git repository or a download must have.
	Checksum string `json:"checksum,omitempty"`
	// The image that was read instead, because the policy converts or pins it.
	Read string `json:"read,omitempty"`
	// The digest of the image that was read. Of git repositories and downloads without a checksum, the
	// daemon doesn't tell it.
	Digest string `json:"digest,omitempty"`
	// Names of secrets of the client that the frontend chose for reading it.
	Secrets []string `json:"secrets,omitempty"`
	// Names of SSH agents of the client that the frontend chose for reading it.
	SSH []string `json:"ssh,omitempty"`
	// Why it was read, unless the build itself wanted it: frontend for an image that also runs as a
	// frontend, and request for what policy-guard alone read, to find out which frontend is meant.
	For string `json:"for,omitempty" jsonschema:"enum=frontend,enum=request"`
	// Whether it could be read: allow or deny.
	Verdict string `json:"verdict" jsonschema:"enum=allow,enum=deny"`
}

// Refusal is something that was refused.
type Refusal struct {
	// What was refused, as in the log: a method of BuildKit's API, or "a source".
	What string `json:"what"`
	// The rule of the policy, or (guard) if policy-guard refuses it under every policy. It isn't known
	// of a refusal by the policy's image.
	Rule string `json:"rule,omitempty"`
	// Why.
	Reason string `json:"reason"`
}

// Exported is where a result went.
type Exported struct {
	Export
	// The digest of the image. It isn't known if several exporters made an image, or if the result is
	// no image.
	Digest string `json:"digest,omitempty"`
}
