package survey

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/moby/buildkit/frontend/dockerfile/parser"

	"github.com/policy-frontend/policy-frontend/internal/buildfiles"
	"github.com/policy-frontend/policy-frontend/internal/gatewayopts"
	"github.com/policy-frontend/policy-frontend/internal/opcheck"
	"github.com/policy-frontend/policy-frontend/internal/optionkeys"
	"github.com/policy-frontend/policy-frontend/internal/safetext"
	"github.com/policy-frontend/policy-frontend/policy"
	"github.com/policy-frontend/policy-frontend/policy/buildrules"
	"github.com/policy-frontend/policy-frontend/policy/imageref"
)

// MaxTime bounds the time for one build.
const MaxTime = 30 * time.Second

// KindFrontend is the kind of a finding about the frontend that a build asks for. All other kinds
// are those of build rules.
const KindFrontend = "frontend"

// Build is a build that somebody could start.
type Build = buildfiles.Build

// missing says why there is no build file.
func missing(b Build) string {
	return cmp.Or(b.Missing, "the build file can't be read offline")
}

// Syntax reports whether a file begins with a syntax line that names a frontend. A word that isn't
// the name of an image in a directory is some other program's.
func Syntax(data []byte) bool {
	_, cmdline, _, ok := parser.DetectSyntax(data)
	if !ok {
		return false
	}
	name, _, _ := strings.Cut(cmdline, " ")
	_, err := imageref.Parse(name)
	return err == nil && strings.Contains(name, "/")
}

// Survey has the policy and the time of its decisions.
type Survey struct {
	Layers policy.Layers
	// Policies are the documents of the layers.
	Policies []*policy.Policy
	Time     time.Time

	timeout time.Duration // MaxTime if it is 0
	convert func(context.Context, Build, map[string]string) converted
}

// Finding is something that the policy doesn't simply allow.
type Finding struct {
	// Verdict is Deny, Warn or Undecidable.
	Verdict policy.Verdict `json:"verdict"`
	// File and Line are where the build file asks for it. Line is 0 if no line does.
	File string `json:"file"`
	Line int    `json:"line,omitempty"`
	// Kind is [KindFrontend], or the kind of the build rules.
	Kind string `json:"kind"`
	// Asked describes what is asked for.
	Asked string `json:"asked"`
	// Image is the canonical name of the image or the frontend, or "".
	Image string `json:"image,omitempty"`
	// Rule and Layer decided. They are empty if nothing did.
	Rule  string `json:"rule,omitempty"`
	Layer string `json:"layer,omitempty"`
	// Reason is one sentence for a person.
	Reason string `json:"reason"`
	// Messages, Allowed and Contact are those of the decision.
	Messages []string `json:"messages,omitempty"`
	Allowed  []string `json:"allowed,omitempty"`
	Contact  string   `json:"contact,omitempty"`
	// Target is the target of the build file that asks for it. It is "" for the default one.
	Target string `json:"target,omitempty"`
	// Build says which part of another file describes the build, or is "".
	Build string `json:"build,omitempty"`
}

// Key is equal for findings that tell a person the same. The configurations of two targets differ
// in what is asked for, and the answer is what counts.
func (f Finding) Key() string {
	asked := f.Asked
	if f.Kind == string(buildrules.KindConfig) {
		asked = ""
	}
	return fmt.Sprintf("%s\x00%d\x00%s\x00%s\x00%s", f.File, f.Line, f.Verdict, asked, f.Reason)
}

// Result is the answer to one build.
type Result struct {
	File  string `json:"file"`
	Build string `json:"build,omitempty"`
	// Verdict is the worst verdict of the findings, or Allow.
	Verdict policy.Verdict `json:"verdict"`
	// Frontend is the frontend as the build asks for it, or "".
	Frontend string `json:"frontend,omitempty"`
	// Targets are the targets that were checked. "" is the default one.
	Targets []string `json:"targets,omitempty"`
	// Images are the images that a build would look up, those of FROM and of COPY --from. What their
	// tags point to when a build runs can't be known offline, nor can the ONBUILD instructions of
	// base images.
	Images   []string  `json:"images,omitempty"`
	Findings []Finding `json:"findings,omitempty"`
	// Error says why the build can't be checked, at line Line if that isn't 0.
	Error string `json:"error,omitempty"`
	Line  int    `json:"line,omitempty"`

	uses []Use // see [Survey.Uses]
}

// Check answers one build. It takes at most [MaxTime].
func (s *Survey) Check(ctx context.Context, b Build) Result {
	return s.within(ctx, b, (*check).run)
}

// CheckWith answers one build whose frontend has been decided on, whatever its file asks for. The
// frontend is taken for one that reads Dockerfiles. It takes at most [MaxTime].
func (s *Survey) CheckWith(ctx context.Context, b Build, d policy.Decision) Result {
	return s.within(ctx, b, func(c *check, ctx context.Context) {
		c.convert(ctx, d, d.Reference.String())
	})
}

// within returns the result of a check, or that it took too long.
func (s *Survey) within(
	ctx context.Context, b Build, run func(*check, context.Context),
) Result {
	limit := cmp.Or(s.timeout, MaxTime)
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	c := check{survey: s, build: b, seen: map[string]bool{}}
	c.result = Result{File: b.File, Build: b.Origin}
	done := make(chan Result, 1)
	go func() {
		defer func() {
			if p := recover(); p != nil {
				done <- c.failed(fmt.Sprintf("internal: the check stopped: %v", p))
			}
		}()
		run(&c, ctx)
		done <- c.result
	}()
	select {
	case r := <-done:
		r.Verdict = worst(r.Findings)
		return r
	case <-ctx.Done(): // the goroutine goes on; nothing can stop it
		return Result{
			File: b.File, Build: b.Origin, Verdict: policy.Allow,
			Error: fmt.Sprintf("the check took longer than %s", limit),
		}
	}
}

// worst returns the worst verdict of the findings.
func worst(findings []Finding) policy.Verdict {
	for _, v := range []policy.Verdict{policy.Deny, policy.Undecidable, policy.Warn} {
		if slices.ContainsFunc(findings, func(f Finding) bool { return f.Verdict == v }) {
			return v
		}
	}
	return policy.Allow
}

// check is the check of one build.
type check struct {
	survey *Survey
	build  Build
	result Result
	seen   map[string]bool // findings, so that each is there once
}

func (c *check) failed(why string) Result {
	return Result{File: c.build.File, Build: c.build.Origin, Error: safetext.Lines(why)}
}

func (c *check) run(ctx context.Context) {
	wish, ok := c.wish()
	if !ok {
		return
	}
	c.result.Frontend = wish.written
	d, ok := c.decide(wish)
	if !ok {
		return
	}
	if !readsDockerfiles(wish.ref) && !readsDockerfiles(d.Reference) {
		c.addForeign(wish, d)
		return
	}
	c.convert(ctx, d, wish.written)
}

// convert answers what the Dockerfile frontend asks for. cmdline is the reference as it is written.
func (c *check) convert(ctx context.Context, d policy.Decision, cmdline string) {
	opts := c.options().Inner(d.Obligations)
	opts[optionkeys.Source], opts[optionkeys.Cmdline] = d.Reference.String(), cmdline
	run := convert
	if c.survey.convert != nil { // in tests
		run = c.survey.convert
	}
	found := run(ctx, c.build, opts)
	c.result.Targets, c.result.Images = found.targets, found.images
	for _, a := range found.asked {
		for _, part := range c.parts(d, a) {
			c.addAsked(d, part)
		}
	}
	if p := found.problem; p != nil {
		c.addProblem(p)
	}
}

// wish is the frontend that a build asks for.
type wish struct {
	written string // the reference
	ref     imageref.Reference
	line    int // of the build file
}

func (c *check) options() gatewayopts.Options { return gatewayopts.Parse(c.build.Options) }

// wish returns the frontend that the build asks for: that of BUILDKIT_SYNTAX, of the file's syntax
// line, or the policy's default, in this order. The name of the policy frontend itself is skipped,
// as package frontend does. ok is false if there is none.
func (c *check) wish() (w wish, ok bool) {
	value, line := dropSelf(c.build.Options[optionkeys.Source], c.build.Options[optionkeys.Syntax]), 0
	if value == "" && c.build.Data == nil {
		c.addProblem(&problem{message: missing(c.build), unknown: true})
		return w, false
	}
	if value == "" {
		if _, cmdline, at, ok := parser.DetectSyntax(c.build.Data); ok {
			value = dropSelf(c.build.Options[optionkeys.Source], cmdline)
			line = 1
			if len(at) > 0 {
				line = max(1, at[0].Start.Line)
			}
		}
	}
	if value == "" {
		value, line = c.survey.Layers.DefaultFrontend(), 0
	}
	f := Finding{Verdict: policy.Deny, Kind: KindFrontend, Line: line, Rule: policy.InvariantRule}
	if value == "" {
		f.Asked, f.Line = "no frontend", 1
		f.Reason = "the build asks for no frontend: begin the build file with `# syntax=REFERENCE`, " +
			"or give --build-arg BUILDKIT_SYNTAX=REFERENCE"
		c.add(f)
		return w, false
	}
	written, _, _ := strings.Cut(value, " ")
	ref, err := imageref.Parse(written)
	if err != nil {
		f.Asked, f.Reason = "the frontend "+safetext.Plain(written), safetext.Lines(err.Error())
		c.add(f)
		return w, false
	}
	r := c.survey.Layers.StandIn(policy.Request{Requested: written, Reference: ref})
	return wish{written, r.Reference, line}, true
}

// dropSelf returns the part of a directive that names another frontend than the policy frontend.
func dropSelf(self, directive string) string {
	directive = strings.TrimSpace(directive)
	name, rest, _ := strings.Cut(directive, " ")
	own, err := imageref.Parse(self)
	if err != nil {
		return directive
	}
	if ref, err := imageref.Parse(name); err == nil && ref.SameRepository(own) {
		return strings.TrimSpace(rest)
	}
	return directive
}

// decide decides on the frontend. ok is false if the build doesn't get further.
func (c *check) decide(w wish) (d policy.Decision, ok bool) {
	o := c.options()
	self, _ := o.Self() // without one, it stays zero
	d = policy.Decide(c.survey.Layers, policy.Request{
		Requested: w.written, Reference: w.ref, Self: self, NamedContexts: o.NamedContexts(),
		Options: o.Visible(), Inputs: c.build.Inputs, Time: c.survey.Time,
	})
	f := Finding{
		Verdict: d.Verdict, Line: w.line, Kind: KindFrontend, Asked: "the frontend " + w.written,
		Image: w.ref.String(), Rule: d.Rule, Layer: d.Layer, Reason: d.Reason, Messages: d.Messages,
		Allowed: d.Allowed, Contact: d.Contact,
	}
	switch d.Verdict {
	case policy.Deny, policy.Undecidable:
		c.add(f)
		return d, false
	case policy.Warn:
		for _, warning := range d.Warnings {
			f.Reason = warning
			c.add(f)
		}
	}
	if d.TagUnverified {
		f.Verdict, f.Reason = policy.Undecidable, "the rule depends on the tag, and only a build can "+
			"look up whether the tag points to that digest"
		c.add(f)
	}
	return d, true
}

// readsDockerfiles reports whether the frontend's name says that it reads Dockerfiles: the last
// part of docker/dockerfile, docker/dockerfile-upstream and mirrors of them.
func readsDockerfiles(ref imageref.Reference) bool {
	name := ref.Name()
	name = name[strings.LastIndexByte(name, '/')+1:]
	return name == "dockerfile" || name == "dockerfile-upstream"
}

// addForeign says that another frontend's operations can't be known, if rules restrict any.
func (c *check) addForeign(w wish, d policy.Decision) {
	for _, k := range buildrules.Kinds() {
		ownOnly := k == buildrules.KindContainers || k == buildrules.KindFrontends
		if ownOnly || !d.Restricts(k) {
			continue
		}
		c.add(Finding{
			Verdict: policy.Undecidable, Line: w.line, Kind: KindFrontend,
			Asked: "the frontend " + w.written, Image: w.ref.String(),
			Reason: "the policy restricts what a build may use, and what this frontend makes of the " +
				"file can't be known offline",
		})
		return
	}
}

// addAsked adds a finding for an operation that isn't simply allowed.
func (c *check) addAsked(d policy.Decision, a asked) {
	if a.early && d.Dispatch == policy.DispatchForward {
		return // a forwarded frontend reads and looks up without being checked
	}
	answer := c.answer(d, a)
	if answer.Verdict == policy.Allow {
		return
	}
	f := Finding{
		Verdict: answer.Verdict, Line: a.line, Kind: "unknown", Asked: answer.Asked, Rule: answer.Rule,
		Layer: answer.Layer, Reason: answer.Reason, Messages: answer.Messages, Allowed: answer.Allowed,
		Contact: answer.Contact, Target: a.target,
	}
	if k, err := a.Kind(); err == nil {
		f.Kind = string(k)
	} else if len(a.may) > 0 {
		f.Kind = string(a.may[0])
	}
	f.Image = a.Image
	c.add(f)
}

// parts splits a command that is refused into what it uses, so that each refusal is told. They are
// the whole command if its parts alone are allowed.
func (c *check) parts(d policy.Decision, a asked) []asked {
	if a.Exec == nil || c.answer(d, a).Verdict == policy.Allow {
		return []asked{a}
	}
	var out []asked
	add := func(e buildrules.Exec) {
		part := a
		part.Exec = &e
		if c.answer(d, part).Verdict != policy.Allow {
			out = append(out, part)
		}
	}
	e := a.Exec
	add(buildrules.Exec{Network: e.Network})
	add(buildrules.Exec{Insecure: e.Insecure})
	for _, id := range e.SSH {
		add(buildrules.Exec{SSH: []string{id}})
	}
	for _, id := range e.Secrets {
		add(buildrules.Exec{Secrets: []string{id}})
	}
	for _, name := range e.Devices {
		add(buildrules.Exec{Devices: []string{name}})
	}
	for _, name := range e.Hosts {
		add(buildrules.Exec{Hosts: []string{name}})
	}
	add(buildrules.Exec{Ulimits: e.Ulimits})
	add(buildrules.Exec{CgroupParent: e.CgroupParent})
	if len(out) == 0 {
		return []asked{a}
	}
	return out
}

// answer returns the policy's answer to an operation, or Undecidable if it depends on something
// that isn't known offline.
func (c *check) answer(d policy.Decision, a asked) opcheck.Answer {
	if a.Config != nil && a.Config.Platform != "" {
		return c.anyPlatform(d, a)
	}
	return c.onePlatform(d, a)
}

// anyPlatform answers for a configuration without naming its platform, if the platform makes no
// difference.
func (c *check) anyPlatform(d policy.Decision, a asked) opcheck.Answer {
	config := *a.Config
	config.Platform = ""
	general := a
	general.Config = &config
	answer, without := c.onePlatform(d, a), c.onePlatform(d, general)
	if answer.Verdict == without.Verdict {
		return without
	}
	return answer
}

// onePlatform answers for the operation as it is.
func (c *check) onePlatform(d policy.Decision, a asked) opcheck.Answer {
	switch {
	case len(a.may) > 0:
		return c.perhaps(d, a)
	case a.Config != nil && a.base:
		return c.uncertain(d, a, c.survey.config(d, *a.Config))
	}
	return c.uncertain(d, a, opcheck.Check(c.survey.Layers, c.survey.request(), d, a.Operation))
}

// addProblem says why the file, or the rest of it, can't be checked.
func (c *check) addProblem(p *problem) {
	if !p.unknown {
		c.result.Error, c.result.Line = p.message, c.line(p.line)
		return
	}
	c.add(Finding{
		Verdict: policy.Undecidable, Line: p.line, Kind: "file", Asked: "the build file",
		Reason: p.message,
	})
}

// add adds a finding whose line is one of the build file's data. It adds each one once, however
// many targets and platforms have it.
func (c *check) add(f Finding) {
	f.File, f.Line, f.Build = c.build.File, c.line(f.Line), c.build.Origin
	key := f.Key()
	if c.seen[key] {
		return
	}
	c.seen[key] = true
	c.result.Findings = append(c.result.Findings, f)
}

// line converts a line of the data to one of the file.
func (c *check) line(n int) int {
	if n > 0 && c.build.FirstLine > 1 {
		n += c.build.FirstLine - 1
	}
	return n
}

// plain returns the error in one line.
func plain(err error) string {
	return strings.ReplaceAll(safetext.Lines(err.Error()), "\n", " ")
}
