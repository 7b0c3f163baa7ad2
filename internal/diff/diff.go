// Package diff compares two policies. It reports what becomes allowed, what becomes refused,
// and which obligations loosen or tighten.
//
// It doesn't compare the texts. It makes sample requests from the conditions in both policies,
// evaluates each with both, and compares the answers.
//
// # Samples
//
// Sample names come from each pattern and from the overlap of each pair of patterns. Each is in
// as few other patterns as possible. The names that aliases turn into a sample name are samples
// too, and so are pinned names on other ports and hosts of their registry.
//
// For each name, the rules that match it give the tags, digests, options, platforms and times:
//
//   - the literals in the rules, and a value that no rule has;
//   - an example of each glob and of the overlap of each pair of globs;
//   - the ends of version ranges and the versions next to them, in several spellings;
//   - the platforms in the rules, and one that no rule has;
//   - the given time, and each later time at which a rule begins to warn or expires.
//
// If rules are for some clients, Compare does all this for samples of clients: one for each way in
// which a pattern, or two of them together, have clients, and the unknown client.
//
// If both policies let a frontend run, Compare also compares how it runs and the rulings on
// sample operations. Sample images come from the rules on images in the same way as frontends.
// Sample repositories, downloads and other names come from the patterns in the build rules. Sample
// commands, containers and configurations use one feature each.
//
// # Limits
//
// Where the second policy refuses all samples that a change is about, another condition may hide
// the change. Unless Compare can prove that nothing of the kind is allowed, it reports what it
// couldn't compare.
//
// Samples can miss a change: where three or more globs or patterns of clients overlap, in an
// unusual spelling of a version. Compare assumes that a name and its alias have the same image
// under each tag. It ignores overlays and the policy frontend's own name.
package diff

import (
	"slices"
	"time"

	"github.com/policy-frontend/policy-frontend/policy"
	"github.com/policy-frontend/policy-frontend/policy/clients"
)

// Change is how the answer to a request changes.
type Change string

// The changes.
const (
	// Allowed: the request was refused and is allowed.
	Allowed Change = "allowed"
	// Loosened: the frontend may run under fewer obligations, with an option or input that was
	// refused, or may build something that was refused.
	Loosened Change = "loosened"
	// Rerouted: another image runs, or is read in a build. That widens if the image has another
	// name, even one that the first policy allows: who asked for the one now gets the other. It
	// also widens if the first policy refuses the new digest, and not if a tag gets a digest.
	Rerouted Change = "rerouted"
	// Refused: the request was allowed and is refused.
	Refused Change = "refused"
	// Tightened: the frontend may run under more obligations, or an option, an input or an
	// operation is refused.
	Tightened Change = "tightened"
)

// Report has the changes between two policies.
type Report struct {
	// Widened reports whether the second policy allows anything that the first doesn't. It is
	// also true if the comparison isn't complete or something wasn't compared.
	Widened bool `json:"widened"`
	// Complete reports whether all samples were compared.
	Complete bool `json:"complete"`
	// Uncompared names what changed without a sample that could show the effect, as the end of
	// "not compared: …". Never nil.
	Uncompared []string `json:"uncompared"`
	// Requests is the number of requests that were compared.
	Requests int `json:"requests"`
	// Differences are the changed answers. Those that widen come first. Never nil.
	Differences []Difference `json:"differences"`
	// Statements are the differences in the policies themselves. Never nil.
	Statements []Statement `json:"statements"`
}

// Difference is a change for similar requests. The same rules decide them, and they come from
// the same pattern.
type Difference struct {
	Change Change `json:"change"`
	// Widens reports whether this allows something that was not allowed.
	Widens bool `json:"widens"`
	// Pattern is the rule's pattern from which the requests were made.
	Pattern string `json:"pattern"`
	// Details describe differences in obligations, in how the frontend runs, and in what it may
	// build. There are some only for Loosened, Tightened and Rerouted.
	Details []string `json:"details,omitempty"`
	// Request is the simplest of the requests.
	Request Request `json:"request"`
	// Before and After are the answers to Request.
	Before Answer `json:"before"`
	After  Answer `json:"after"`
	// Count is the number of similar requests.
	Count int `json:"count"`
}

// Request is a request that was evaluated with both policies.
type Request struct {
	// Reference is the frontend that a build requests; "" for a build that names none.
	Reference string `json:"reference"`
	// Digest is the digest to which the tag points.
	Digest  string            `json:"digest,omitempty"`
	Options map[string]string `json:"options,omitempty"`
	Inputs  []string          `json:"inputs,omitempty"`
	Time    time.Time         `json:"time"`
	// Client is one of those for whom the answer changes; "" if it changes for all.
	Client string `json:"client,omitempty"`
}

// Answer is one policy's answer to a request.
type Answer struct {
	Verdict policy.Verdict `json:"verdict"`
	Rule    string         `json:"rule"`
	Reason  string         `json:"reason"`
	Source  string         `json:"source"`
}

// Statement is one difference in the policies themselves.
type Statement struct {
	// Widens reports whether this difference alone allows something that was not allowed.
	Widens bool   `json:"widens"`
	Text   string `json:"text"`
	// Examples show the effect on what only policy-guard sees. There is at most one of each Change,
	// and none for other differences.
	Examples []Example `json:"examples,omitempty"`
}

// Example is something that a build wants besides its frontend, and that only one policy allows.
type Example struct {
	// Change is Allowed or Refused.
	Change Change `json:"change"`
	// Asked describes what the build wants.
	Asked string `json:"asked"`
	// Before and After are the answers of the policies.
	Before RulingAnswer `json:"before"`
	After  RulingAnswer `json:"after"`
}

// RulingAnswer is one policy's answer to an [Example].
type RulingAnswer struct {
	Verdict policy.Verdict `json:"verdict"`
	Rule    string         `json:"rule"`
	// Reason is empty for Allow.
	Reason string `json:"reason,omitempty"`
}

// Compare returns the changes from policy a to policy b, at the given time and later. Both must
// come from package policy.
func Compare(a, b *policy.Policy, at time.Time) Report {
	m := merged{
		Report: Report{
			Complete: true, Uncompared: []string{}, Differences: []Difference{}, Statements: []Statement{},
		},
		seen: map[string]*counted{},
	}
	eachClient(newSide(a), newSide(b), at, maxWork, func(c *comparison, by clients.Client) bool {
		m.add(c.report(), by)
		return true
	})
	return m.report()
}

func (c *comparison) report() Report {
	c.defaultFrontend()
	c.names()
	llb := c.llb()
	r := Report{
		Complete: c.complete, Requests: c.asked, Differences: c.found.list(),
		Statements: append(c.statements(), llb...), Uncompared: append([]string{}, c.uncompared...),
	}
	r.Widened = !r.Complete || len(r.Uncompared) > 0 ||
		slices.ContainsFunc(r.Differences, func(d Difference) bool { return d.Widens }) ||
		slices.ContainsFunc(r.Statements, func(s Statement) bool { return s.Widens })
	return r
}
