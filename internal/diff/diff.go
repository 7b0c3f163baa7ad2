// Package diff says what changes between two policies: what becomes allowed, what
// becomes refused, and which obligations loosen.
//
// It doesn't compare texts. It makes examples of requests from the conditions of both
// policies, asks both, and compares the answers.
//
// # What it sees
//
// From each pattern, and from what each two patterns of the two policies have in
// common, it makes a name that is in as few other patterns as possible, with the names
// that aliases turn into it. For each name, it takes the tags, the digests, the options
// and the times from the rules that are for it: what they spell out, an example of each
// glob and of each two globs' common part, the ends of ranges of versions and their
// neighbours in several spellings, what no rule names, and each moment at which a rule
// begins to warn or expires from the given time on.
//
// Where both policies let a frontend run, it compares how it runs and what becomes of
// examples of what it may build: of images, repositories, downloads and other names
// from the patterns in the rules on builds, and of commands, containers and
// configurations that use one thing each.
//
// # What it can't see
//
// The examples are many, but they are examples. A change can hide where three or more
// globs meet, in tags that are versions in a spelling that isn't tried, and in
// patterns that hold every letter and digit so that no name stands outside of them.
// A registry is taken to have the same image under a tag before and after an alias.
// What overlays and the policy frontend's own name do isn't looked at.
package diff

import (
	"slices"
	"time"

	"github.com/policy-frontend/policy-frontend/policy"
)

// Change is what becomes of a request.
type Change string

// The changes.
const (
	// Allowed: it was refused and may run.
	Allowed Change = "allowed"
	// Loosened: it may run under fewer obligations, or with an option or input that was
	// refused, or build what it couldn't.
	Loosened Change = "loosened"
	// Rerouted: something else runs, or is read in a build.
	Rerouted Change = "rerouted"
	// Refused: it could run and is refused.
	Refused Change = "refused"
	// Tightened: it may run under more obligations, or an option or input is refused.
	Tightened Change = "tightened"
)

// Report is what changes between two policies.
type Report struct {
	// Widened reports whether the second policy allows anything that the first doesn't,
	// or whether there is too much to compare to say that it doesn't.
	Widened bool `json:"widened"`
	// Complete reports whether all examples were compared.
	Complete bool `json:"complete"`
	// Requests is how many requests were compared.
	Requests int `json:"requests"`
	// Differences are in the answers; those that widen come first. Never nil.
	Differences []Difference `json:"differences"`
	// Statements are about what the policies say, whatever comes of it. Never nil.
	Statements []Statement `json:"statements"`
}

// Difference is a change for requests that are alike: decided by the same rules, from
// the same pattern.
type Difference struct {
	Change Change `json:"change"`
	// Widens reports whether this is something that was not allowed.
	Widens bool `json:"widens"`
	// Pattern is the match of a rule from which the requests were made.
	Pattern string `json:"pattern"`
	// Details say which obligations differ, how the frontend runs and what becomes of
	// what it builds; only for loosened, tightened and rerouted.
	Details []string `json:"details,omitempty"`
	// Request is the simplest of the requests.
	Request Request `json:"request"`
	// Before and After are the answers to it.
	Before Answer `json:"before"`
	After  Answer `json:"after"`
	// Count is how many requests there were.
	Count int `json:"count"`
}

// Request is what both policies were asked.
type Request struct {
	// Reference is as a build asks for it; "" is a build that names no frontend.
	Reference string `json:"reference"`
	// Digest is what the tag points to.
	Digest  string            `json:"digest,omitempty"`
	Options map[string]string `json:"options,omitempty"`
	Inputs  []string          `json:"inputs,omitempty"`
	Time    time.Time         `json:"time"`
}

// Answer is one policy's answer to a request.
type Answer struct {
	Verdict policy.Verdict `json:"verdict"`
	Rule    string         `json:"rule"`
	Reason  string         `json:"reason"`
	Source  string         `json:"source"`
}

// Statement is about one thing that the policies say differently.
type Statement struct {
	// Widens reports whether it by itself allows what was not.
	Widens bool   `json:"widens"`
	Text   string `json:"text"`
}

// Compare says what changes from policy a to policy b, from the given time on. Both
// come from package policy.
func Compare(a, b *policy.Policy, at time.Time) Report {
	return newComparison(a, b, at).report()
}

func (c *comparison) report() Report {
	c.defaultFrontend()
	c.names()
	r := Report{Complete: c.complete, Requests: c.asked, Differences: c.found.list(), Statements: statements(c.a, c.b)}
	r.Widened = !r.Complete ||
		slices.ContainsFunc(r.Differences, func(d Difference) bool { return d.Widens }) ||
		slices.ContainsFunc(r.Statements, func(s Statement) bool { return s.Widens })
	return r
}
