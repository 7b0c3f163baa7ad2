// Package replay asks a policy what it would refuse of builds that were recorded.
//
//	result := replay.Ask(layers, entry)
//
// Package policy decides, by what the record has. What it doesn't have, the result names.
package replay

import (
	"encoding/json"
	"fmt"
	"slices"

	"github.com/opencontainers/go-digest"

	"github.com/policy-frontend/policy-frontend/internal/opcheck"
	"github.com/policy-frontend/policy-frontend/internal/optionkeys"
	"github.com/policy-frontend/policy-frontend/internal/record"
	"github.com/policy-frontend/policy-frontend/policy"
	"github.com/policy-frontend/policy-frontend/policy/buildrules"
	"github.com/policy-frontend/policy-frontend/policy/clients"
	"github.com/policy-frontend/policy-frontend/policy/imageref"
)

// Result is what a policy says about a recorded build.
type Result struct {
	// Verdict is Deny if the policy would refuse anything. It is Undecidable if that depends on a
	// digest that isn't recorded.
	Verdict policy.Verdict `json:"verdict"`
	// Refusals are what it would refuse. They are never nil.
	Refusals []Refusal `json:"refusals"`
	// Unknown is what the policy wasn't asked about, because it isn't recorded. It is never nil.
	Unknown []string `json:"unknown"`
}

// Refusal is something that a policy would refuse.
type Refusal struct {
	// Asked describes it.
	Asked string `json:"asked"`
	// Rule and Layer say what decided, as in [policy.Ruling].
	Rule  string `json:"rule"`
	Layer string `json:"layer"`
	// Reason is one sentence for a person.
	Reason string `json:"reason"`
}

// Ask asks a policy about a build, at the time at which it began.
func Ask(l policy.Layers, e *record.Entry) Result {
	q := question{entry: e, result: Result{
		Verdict: policy.Allow, Refusals: []Refusal{}, Unknown: []string{},
	}}
	by, err := clientOf(e.Client)
	if err != nil {
		q.unknown("who built: %v", err)
	}
	q.layers = l.For(by)
	if q.decide() {
		q.sources()
		q.downloads()
		q.entitlements()
	}
	q.wishes()
	q.missing()
	return q.result
}

// clientOf returns the client of a build. If its names can't be read, it is the unknown client.
func clientOf(c record.Client) (by clients.Client, err error) {
	list := func(of []string) []string { return append([]string{}, of...) }
	names, err := json.Marshal(map[string][]string{
		"names": list(c.Names), "claimed": list(c.Claimed), "unclear": list(c.Unclear),
	})
	if err == nil {
		err = json.Unmarshal(names, &by)
	}
	return by, err
}

// question is a policy, a build, and what is known about both by now.
type question struct {
	layers   policy.Layers
	entry    *record.Entry
	request  policy.Request
	decision policy.Decision
	result   Result
}

// unknown notes something that isn't recorded, once.
func (q *question) unknown(format string, args ...any) {
	text := fmt.Sprintf(format, args...)
	if !slices.Contains(q.result.Unknown, text) {
		q.result.Unknown = append(q.result.Unknown, text)
	}
}

// note notes a verdict on something that was asked for.
func (q *question) note(v policy.Verdict, asked, rule, layer, reason string) {
	switch v {
	case policy.Deny:
		q.result.Verdict = policy.Deny
		q.result.Refusals = append(q.result.Refusals, Refusal{asked, rule, layer, reason})
	case policy.Undecidable:
		if q.result.Verdict != policy.Deny {
			q.result.Verdict = v
		}
		q.unknown("the digest on which the answer to %s depends", asked)
	case policy.Warn:
		if q.result.Verdict == policy.Allow {
			q.result.Verdict = v
		}
	}
}

func (q *question) ruling(asked string, r policy.Ruling) {
	q.note(r.Verdict, asked, r.Rule, r.Layer, r.Reason)
}

// decide decides on the frontend, or on LLB of the client's own. It reports whether the build goes
// on with it.
func (q *question) decide() bool {
	before := q.entry.Decision
	if before == nil {
		q.unknown("a frontend: the build ended before one was chosen, or needed none")
		return false
	}
	asked := "LLB of the client's own"
	if before.LLB {
		q.request = policy.Request{Time: q.entry.Began}
		q.decision = q.layers.LLB(q.entry.Began)
	} else {
		asked = "the frontend " + before.Requested
		ref, err := imageref.Parse(before.Requested)
		if err != nil {
			q.unknown("the name of the frontend, which can't be read")
			return false
		}
		q.request = q.requestOf(ref)
		q.decision = policy.Decide(q.layers, q.request)
		q.addDigest()
	}
	d := q.decision
	q.note(d.Verdict, asked, d.Rule, d.Layer, d.Reason)
	return d.Verdict.Permits()
}

// requestOf returns the request for the frontend, with empty values for options whose values aren't
// recorded.
func (q *question) requestOf(ref imageref.Reference) policy.Request {
	asked := &q.entry.Asked
	r := policy.Request{
		Requested: q.entry.Decision.Requested, Reference: ref, Options: map[string]string{},
		InputSources: map[string]buildrules.Kind{}, Time: q.entry.Began,
	}
	for _, key := range asked.Options {
		if name, ok := optionkeys.NamedContext(key); ok {
			r.NamedContexts = append(r.NamedContexts, name)
		}
		if !optionkeys.IsOwn(key) {
			r.Options[key] = ""
		}
	}
	for key, value := range map[string]string{
		"platform": asked.Platform, optionkeys.Target: asked.Target,
	} {
		if value != "" {
			r.Options[key] = value
		}
	}
	for _, in := range asked.Inputs {
		r.Inputs = append(r.Inputs, in.Name)
		if in.Kind != "" {
			r.InputSources[in.Name] = buildrules.Kind(in.Kind)
		}
	}
	return q.layers.StandIn(r)
}

// addDigest decides again with the recorded digest, if it is that of the image that would run now.
func (q *question) addDigest() {
	recorded, err := imageref.Parse(q.entry.Decision.Image)
	points := digest.Digest(q.entry.Decision.Digest)
	now := q.decision.Reference
	if err != nil || points == "" || q.decision.Verdict == policy.Deny ||
		now.Tagged() != recorded.Tagged() {
		return
	}
	switch {
	case now.Digest() == "":
		q.request.Digest = points
	case q.decision.TagUnverified:
		q.request.TagDigest = points
	default:
		return
	}
	q.decision = policy.Decide(q.layers, q.request)
}

// sources asks about what the build read, or would have read.
func (q *question) sources() {
	if !q.decision.RestrictsSources() {
		return
	}
	for _, s := range q.entry.Sources {
		if s.For != "" { // no build rule is about it
			continue
		}
		for _, op := range s.Operations() {
			r := q.source(s, op)
			q.ruling(op.Describe(), r)
		}
	}
}

// source asks about one operation of a source. That an image has a digest counts for what is read,
// and not for what was asked for.
func (q *question) source(s record.Source, op buildrules.Operation) policy.Ruling {
	d := q.decision
	if op.Image == "" {
		return d.Check(op)
	}
	points := digest.Digest(s.Digest)
	r := d.CheckTag(op, points)
	if !r.Verdict.Permits() {
		if q.mayRun(s.Name) {
			q.unknown("whether %s ran as a frontend, which is allowed, or was read as an image", s.Name)
			return policy.Ruling{Verdict: policy.Allow}
		}
		return r
	}
	read, err := imageref.Parse(s.Name)
	if r.Image.Name() != "" {
		read = r.Image
	}
	was := s.Name
	if s.Read != "" {
		was = s.Read
	}
	recorded, wrong := imageref.Parse(was)
	if err != nil || wrong != nil || points == "" || read.Tagged() != recorded.Tagged() {
		if read.Digest() == "" {
			q.unknown("the digest of %s", read.Familiar())
		}
		return r
	}
	pinned, err := read.WithDigest(points)
	if err != nil {
		return r
	}
	if again := d.WithoutConversions().CheckTag(buildrules.Operation{Image: pinned.String()},
		points); again.Verdict == policy.Deny || r.Verdict == policy.Allow {
		return again
	}
	return r
}

// mayRun reports whether an image may be read because the frontend may run it as another one.
func (q *question) mayRun(name string) bool {
	if q.decision.Dispatch != policy.DispatchMediate {
		return false
	}
	op := buildrules.Operation{Frontend: name}
	return opcheck.Check(q.layers, q.request, q.decision, op).Verdict.Permits()
}

// downloads asks about what commands requested.
func (q *question) downloads() {
	for _, d := range q.entry.Downloads {
		op := buildrules.Operation{Download: d.URL}
		q.ruling(op.Describe(), q.decision.Check(op))
	}
}

// entitlements asks about the entitlements of the build.
func (q *question) entitlements() {
	for _, text := range q.entry.Asked.Entitlements {
		e, err := buildrules.ParseEntitlement(text)
		if err != nil {
			continue // it was refused
		}
		r := q.layers.DecideEntitlement(e)
		if r.Verdict == policy.Allow {
			r = q.decision.CheckEntitlement(e)
		}
		q.ruling("the entitlement "+text, r)
	}
}

// wishes asks about what the build wanted besides its frontend.
func (q *question) wishes() {
	var wishes []opcheck.Wish
	parse := func(name string) imageref.Reference {
		ref, err := imageref.Parse(name)
		if err != nil {
			q.unknown("the name %s, which can't be read", name)
		}
		return ref
	}
	for _, x := range q.entry.Asked.Exports {
		e := policy.Export{Type: x.Type, Push: x.Push, Annotations: x.Annotations}
		for _, name := range x.Names {
			e.Names = append(e.Names, parse(name))
		}
		wishes = append(wishes, opcheck.WishExport(e))
	}
	for _, c := range q.entry.Asked.Caches {
		use := policy.CacheUse{Type: c.Type, Export: c.Export}
		if c.Name != "" {
			use.Name = parse(c.Name)
		}
		wishes = append(wishes, opcheck.WishCache(use))
	}
	if q.entry.Asked.SBOM != "" {
		wishes = append(wishes, opcheck.WishSBOM(parse(q.entry.Asked.SBOM)))
	}
	for _, w := range wishes {
		a := w.Check(q.layers, q.decision)
		q.note(a.Verdict, a.Asked, a.Rule, a.Layer, a.Reason)
	}
}

// missing notes on what the policy has rules that couldn't be asked.
func (q *question) missing() {
	lists := []string{
		"options", "inputs", "exports", "caches", "entitlements", "sources", "downloads",
	}
	for _, list := range lists {
		if n := q.entry.Omitted[list]; n > 0 {
			q.unknown("%d more %s", n, list)
		}
	}
	if q.entry.Decision != nil && q.entry.Decision.Overlay != nil {
		q.unknown("the overlay of the client")
	}
	if len(q.decision.Obligations.Build) == 0 {
		return
	}
	for _, k := range buildrules.Kinds() {
		asked := k.IsSource() || k == buildrules.KindContainers ||
			k == buildrules.KindDownloads && len(q.entry.Downloads) > 0
		if !asked && q.decision.Restricts(k) {
			q.unknown("what build.%s is about", k)
		}
	}
}
