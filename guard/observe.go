package guard

import (
	"context"
	"errors"
	"regexp"
	"strings"
	"sync"
	"time"

	gwpb "github.com/moby/buildkit/frontend/gateway/pb"
	spb "github.com/moby/buildkit/sourcepolicy/pb"
	"github.com/moby/buildkit/sourcepolicy/policysession"

	"github.com/policy-frontend/policy-frontend/frontend"
	"github.com/policy-frontend/policy-frontend/internal/safetext"
	"github.com/policy-frontend/policy-frontend/policy"
)

// Observer is told what a guard does, for metrics. Its methods are called from several goroutines
// at once, and must return soon.
type Observer interface {
	// Decided is called for each decision about a frontend, with the time that it took. That includes
	// reading the build file and looking up the image.
	Decided(d policy.Decision, took time.Duration)
	// Refused is called for each refused call, build or source. The rule is that of the policy, as
	// [RuleOf] names it, or [GuardsRule]. What is the name of a method that a daemon has, "source",
	// "download", "connection", or "other".
	Refused(rule, what string)
	// Answered is called for each answer to the daemon's question about a source, with the time that
	// the answer took.
	Answered(allowed bool, took time.Duration)
	// PolicyRead is called when the policy was read, at the start and after each change. problem is
	// why the newest policy isn't in force, or nil.
	PolicyRead(inForce *Policy, problem error)
}

const (
	// GuardsRule stands for a rule where the guard itself refuses, whatever the policy says.
	GuardsRule = "(guard)"
	// OverlaysRule stands for the rules of overlays. Clients choose their names.
	OverlaysRule = "(overlay)"
)

// RuleOf returns the name of the policy's rule that decided. A rule of an overlay has no name of
// its own here, so the number of names is bounded by the policy.
func RuleOf(d policy.Decision) string { return boundedRule(d.Layer, d.Rule) }

func boundedRule(layer, rule string) string {
	if layer == policy.LayerOverlay {
		return OverlaysRule
	}
	return rule
}

// ruleBehind returns the rule behind a refusal, or GuardsRule.
func ruleBehind(why error) string {
	var d denial
	if errors.As(why, &d) {
		return d.rule
	}
	if decision, ok := frontend.DecisionOf(why); ok {
		return RuleOf(decision)
	}
	return GuardsRule
}

// unobserved is the Observer of a guard without one.
type unobserved struct{}

func (unobserved) Decided(policy.Decision, time.Duration) {}
func (unobserved) Refused(string, string)                 {}
func (unobserved) Answered(bool, time.Duration)           {}
func (unobserved) PolicyRead(*Policy, error)              {}

// logText makes a text from elsewhere fit for a log: it is one line of bounded length, without
// control characters. URLs lose what may be a secret in them: the user and the query.
func logText(s string) string {
	return urls.ReplaceAllStringFunc(safetext.OneLine(safetext.Lines(s)), safetext.WithoutSecrets)
}

// urls finds URLs, with everything up to a space or a quote.
var urls = regexp.MustCompile(`[A-Za-z][A-Za-z0-9+.-]*://[^\s"'<>]*`)

// aSource is what a refusal is about when the daemon asked about a source.
const aSource = "a source"

// logRefusal notes a refusal. what is a method of the table, [aSource] or [aDownload].
func (g *Guard) logRefusal(who Identity, what string, why error) {
	g.noteRefusal(who, what, shortName(what), ruleBehind(why), why.Error())
}

// shortName returns the name of a method without its service.
func shortName(what string) string {
	switch what {
	case aSource:
		return "source"
	case aDownload:
		return "download"
	}
	return what[strings.LastIndexByte(what, '/')+1:]
}

// noteRefusal notes a refusal. short is what for the observer. more are names and values for
// the log.
func (g *Guard) noteRefusal(who Identity, what, short, rule, why string, more ...any) {
	g.observe.Refused(rule, short)
	omitted, ok := g.refusals.admit(who)
	if !ok {
		return
	}
	if omitted > 0 {
		more = append(more, "omitted", omitted)
	}
	g.log.Warn("refused", append([]any{
		"client", safetext.Printable(string(who)), "what", safetext.Printable(what), "rule",
		logText(rule), "why", logText(why),
	}, more...)...)
}

// noteDecision notes a decision on a build's frontend.
func (b *build) noteDecision(d policy.Decision, took time.Duration) {
	b.guard.observe.Decided(d, took)
	b.guard.log.Info("decided", "client", safetext.Printable(string(b.who)), "build", b.client,
		"verdict", d.Verdict, "frontend", logText(d.Requested), "image", logText(d.Image),
		"rule", logText(d.Rule), "reason", logText(d.Reason), "dispatch", string(d.Dispatch),
		"policy", d.Policy.Digest, "took", took.Round(time.Microsecond))
}

// noteDenial notes that the policy refuses a build's frontend.
func (b *build) noteDenial(method string, d policy.Decision) {
	b.record.denied(method, d)
	b.guard.noteRefusal(b.who, method, shortName(method), RuleOf(d), d.Reason,
		"build", b.client, "frontend", logText(d.Requested), "policy", string(d.Policy.Digest))
}

// observedAnswer is [build.answer], whose time is measured.
func (b *build) observedAnswer(
	ctx context.Context, req *policysession.CheckPolicyRequest,
) (res *policysession.DecisionResponse, ask *gwpb.ResolveSourceMetaRequest, err error) {
	defer b.guard.contain(b.who, aSource, &err)
	began := time.Now()
	res, ask, err = b.answer(ctx, req)
	denied := err != nil || res.GetAction() == spb.PolicyAction_DENY
	b.guard.observe.Answered(!denied, time.Since(began))
	return res, ask, err
}

// Bounds of the log. A client may have calls refused as fast as it can make them.
const (
	maxRefusalLines = 20 // of one identity in a refusalPeriod
	refusalPeriod   = time.Second
)

// refusals bounds the lines about refusals.
type refusals struct {
	mu    sync.Mutex
	of    map[Identity]*refusalCount
	clock func() time.Time
}

type refusalCount struct {
	since          time.Time
	lines, omitted int
}

func newRefusals() *refusals {
	return &refusals{of: map[Identity]*refusalCount{}, clock: time.Now}
}

// admit reports whether there may be a line about a refusal, and how many there weren't before it.
func (r *refusals) admit(who Identity) (omitted int, ok bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	c := r.of[who]
	if c == nil {
		c = &refusalCount{}
		r.of[who] = c
	}
	if now := r.clock(); now.Sub(c.since) >= refusalPeriod {
		c.since, c.lines = now, 0
	}
	if c.lines >= maxRefusalLines {
		c.omitted++
		return 0, false
	}
	c.lines++
	omitted, c.omitted = c.omitted, 0
	return omitted, true
}

// takeOmitted returns how many lines of a client were left out since the last one that said so.
func (r *refusals) takeOmitted(who Identity) (omitted int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if c := r.of[who]; c != nil {
		omitted, c.omitted = c.omitted, 0
	}
	return omitted
}
