package policy

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func at(s string) time.Time {
	t, err := time.Parse(time.RFC3339, s)
	if err != nil {
		panic(err)
	}
	return t
}

func TestModeWarnOfThePolicy(t *testing.T) {
	t.Parallel()
	l := mustStack(t, `version: 1
mode: warn
limits: {match: ["docker.io/**"]}
frontends:
- {name: a, match: [a], digests: ["`+digestA+`"], options: {deny: [x], strip: [s], force: {f: "1"}}}
- {name: b, match: [b], action: deny}
- {name: hard, match: [c, d], action: deny, mode: enforce}
- {name: soft-c, match: [c], action: deny}
- {name: late, match: [e], action: deny, mode: enforce, digests: ["`+digestA+`"]}
- {name: hard-options, match: [f], mode: enforce, options: {deny: [x]}}
`, "")
	with := func(r Request, key string) Request {
		r.Options = map[string]string{key: "1"}
		return r
	}
	tests := []struct {
		name     string
		r        Request
		verdict  Verdict
		rule     string
		warnings []string
	}{
		{"what is allowed is allowed", request(t, "a", digestA), Allow, "a", nil},
		{
			"a denial by default warns", request(t, "z"), Warn, DefaultRule,
			[]string{"would be refused: no rule allows z:latest"},
		},
		{
			"a denial by a rule warns", request(t, "b"), Warn, "b",
			[]string{`would be refused: rule "b" denies b:latest`},
		},
		{
			"a refused option warns", with(request(t, "a", digestA), "x"), Warn, "a",
			[]string{`would be refused: rule "a" refuses the option "x" (options.deny: x)`},
		},
		{
			"a digest that is missed warns", request(t, "a", digestB), Warn, DefaultRule,
			[]string{
				`would be refused: rule "a" would allow it, but only with the digest ` + digestA + ", not " +
					digestB,
			},
		},
		{"the digest is still to be resolved", request(t, "a"), Undecidable, "a", nil},
		{"a rule that enforces denies", request(t, "d"), Deny, "hard", nil},
		{"a rule that enforces denies whatever stands around it", request(t, "c"), Deny, "hard", nil},
		{"a rule that enforces waits for the digest", request(t, "e"), Undecidable, "late", nil},
		{"and then denies", request(t, "e", digestA), Deny, "late", nil},
		{
			"or not", request(t, "e", digestB), Warn, DefaultRule,
			[]string{"would be refused: no rule allows e:latest"},
		},
		{
			"options of a rule that enforces are refused", with(request(t, "f"), "x"), Deny, "hard-options",
			nil,
		},
		{"limits are not softened", request(t, "q.example/x"), Deny, LimitsRule, nil},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			d := Decide(l, tt.r)
			require.Equal(t, tt.verdict, d.Verdict, d.Reason)
			require.Equal(t, tt.rule, d.Rule)
			require.Equal(t, tt.warnings, d.Warnings)
			if d.Verdict == Warn {
				require.Equal(t, Obligations{}, d.Obligations, "a denial that only warns obliges to nothing")
			}
		})
	}
	r := request(t, "z")
	r.Self = mustRef(t, "z")
	require.Equal(t, Deny, Decide(l, r).Verdict, "what is built in is not softened")
	require.Equal(t, Deny, Decide(l, Request{}).Verdict)
	require.Equal(t, Deny, Decide(l, request(t, "z", "sha256:x")).Verdict)
}

func TestModeWarnOfARule(t *testing.T) {
	t.Parallel()
	l := mustStack(t, `version: 1
frontends:
- {name: soon, match: [a, b], tags: ["1"], action: deny, mode: warn}
- {name: a, match: [a]}
- {name: options, match: [c], mode: warn, digests: ["`+digestA+
		`"], options: {deny: [x], only: [s, x], strip: [s], force: {f: "1", g: "2"}, inputs: deny}}
- {name: never, match: [d], action: deny}
- {name: too, match: [d], action: deny, mode: warn}
`, "")
	d := Decide(l, request(t, "a:1"))
	require.Equal(t, Warn, d.Verdict)
	require.Equal(t, "a", d.Rule, "the other rules still decide")
	require.Equal(t, []string{`would be refused: rule "soon" denies a:1`}, d.Warnings)
	require.Equal(t, Allow, Decide(l, request(t, "a:2")).Verdict)
	d = Decide(l, request(t, "b:1"))
	require.Equal(t, Deny, d.Verdict, "a deny rule that warns allows nothing")
	require.Empty(t, d.Warnings)
	require.Equal(t, "never", Decide(l, request(t, "d")).Rule)

	r := request(t, "c", digestA)
	r.Options = map[string]string{"f": "other", "s": "1", "x": "1", "y": "1", "source": "self"}
	r.Inputs = []string{"base"}
	d = Decide(l, r)
	require.Equal(t, Warn, d.Verdict)
	require.Equal(t, []string{
		`would be refused: rule "options" sets the option "f" to "1", and the build sets another value; leave it out`,
		`would be refused: rule "options" refuses the option "x" (options.deny: x)`,
		`would be refused: rule "options" refuses the option "y": it is none of those that it lets pass: s or x (options.only)`,
		`would be refused: rule "options" refuses frontend inputs (options.inputs: deny), and the build has "base"`,
	}, d.Warnings)
	require.Equal(t,
		Obligations{Digests: []string{digestA}, Strip: []string{"s"}, Force: map[string]string{"g": "2"}},
		d.Obligations,
		"what was sent passes; the rest of the rule holds")
}

func TestADenialThatOnlyWarns(t *testing.T) {
	t.Parallel()
	const soft = `version: 1
mode: warn
frontends:
- {name: a, match: [a], options: {deny: [x], strip: ["y*"]}}
- {name: hard, match: [b], tags: ["2"], action: deny, mode: enforce}
`
	l := mustStack(t, soft,
		`{version: 1, frontends: [{name: o, match: [a], options: {force: {y: "1"}}}]}`)
	d := Decide(l, withOptions(request(t, "a"), map[string]string{"x": ""}))
	require.Equal(t, Warn, d.Verdict, "a rule that obliges to nothing is in nobody's way: %s",
		d.Reason)
	require.Equal(t, Obligations{Force: map[string]string{"y": "1"}}, d.Obligations)
	require.Equal(t, Deny, Decide(l, request(t, "a")).Verdict, "with its options in order, it holds")

	l = mustStack(t, soft, "")
	d = Decide(l, request(t, "b:1@"+digestA))
	require.Equal(t, Warn, d.Verdict)
	require.True(t, d.TagUnverified, "only its tag keeps it from the rule that enforces")
	require.Equal(t, Deny, Decide(l, request(t, "b:1@"+digestA, digestA, digestB)).Verdict)
}

func TestADenialOnTrialTakesNothingOffARuleThatEnforces(t *testing.T) {
	t.Parallel()
	const allow = `version: 1
mode: warn
frontends:
- {name: ok, match: [a], mode: enforce, options: {force: {x: "1"}}, build: {images: {allow: [good]}}}
`
	const deny = "- {name: no-labs, match: [a], tags: [\"*-labs\"], action: deny}\n"
	for name, doc := range map[string]string{"without the denial": allow, "with it": allow + deny} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d := Decide(mustStack(t, doc, ""), request(t, "a:1-labs"))
			require.Equal(t, doc != allow, d.Verdict == Warn, d.Reason)
			require.Equal(t, map[string]string{"x": "1"}, d.Obligations.Force)
			require.Equal(t, Deny, d.Check(image("evil")).Verdict)
			require.Equal(t, Allow, d.Check(image("good")).Verdict)
		})
	}
}

func TestModeWarnOfOneLayerSoftensNoOther(t *testing.T) {
	t.Parallel()
	const strict, soft = "{version: 1, frontends: [{name: a, match: [a]}]}",
		"{version: 1, id: soft, mode: warn, frontends: [{name: b, match: [b]}]}"
	d := Decide(mustStack(t, strict, soft), request(t, "a"))
	require.Equal(t, Warn, d.Verdict)
	require.Equal(t, []string{"the overlay says: would be refused: no rule allows a:latest"},
		d.Warnings)
	require.Equal(t, "a", d.Rule)
	d = Decide(mustStack(t, strict, soft), request(t, "b"))
	require.Equal(t, Deny, d.Verdict)
	require.Equal(t, LayerPolicy, d.Layer)
	d = Decide(mustStack(t, soft, strict), request(t, "b"))
	require.Equal(t, Deny, d.Verdict)
	require.Equal(t, LayerOverlay, d.Layer)
	d = Decide(mustStack(t, soft, strict), request(t, "a"))
	require.Equal(t, Warn, d.Verdict)
	require.Equal(t, []string{"would be refused: no rule allows a:latest"}, d.Warnings)
}

func TestTimes(t *testing.T) {
	t.Parallel()
	l := mustStack(t, `version: 1
contact: "#help"
frontends:
- {name: leaving, match: [a], warnAfter: 2027-01-01, expires: 2027-03-01T00:00:00+01:00, message: "use\nv2", contact: "#a"}
- {name: noted, match: [b], warnAfter: 2027-01-01T12:00:00Z}
- {name: ban, match: [c], action: deny, expires: 2027-01-01}
- {name: c, match: [c]}
`, "")
	const leaving = `rule "leaving" warns since 2027-01-01 and no longer allows this from 2027-03-01T00:00:00+01:00 on: use v2`
	tests := []struct {
		name, ref, time string
		verdict         Verdict
		reason          string
		warnings        []string
	}{
		{"a day before", "a", "2026-12-31T23:59:59Z", Allow, `rule "leaving" allows a:latest`, nil},
		{
			"a day begins at midnight in UTC", "a", "2027-01-01T00:00:00Z", Warn,
			`rule "leaving" allows a:latest`,
			[]string{leaving},
		},
		{
			"midnight elsewhere is not it", "a", "2027-01-01T00:00:00+01:00", Allow,
			`rule "leaving" allows a:latest`, nil,
		},
		{
			"the last moment", "a", "2027-02-28T22:59:59Z", Warn, `rule "leaving" allows a:latest`,
			[]string{leaving},
		},
		{
			"the end", "a", "2027-02-28T23:00:00Z", Deny,
			`rule "leaving" expired on 2027-03-01T00:00:00+01:00`, nil,
		},
		{
			"at no known time it has ended", "a", "", Deny,
			`rule "leaving" would allow it until 2027-03-01T00:00:00+01:00, and the time is not known`, nil,
		},
		{
			"before a warning without an end", "b", "2027-01-01T11:59:59Z", Allow,
			`rule "noted" allows b:latest`, nil,
		},
		{
			"after it", "b", "2027-01-01T12:00:00Z", Warn, `rule "noted" allows b:latest`,
			[]string{`rule "noted" warns since 2027-01-01T12:00:00Z`},
		},
		{
			"at no known time it warns", "b", "", Warn, `rule "noted" allows b:latest`,
			[]string{`rule "noted" warns since 2027-01-01T12:00:00Z`},
		},
		{"a ban", "c", "2026-12-31T23:59:59Z", Deny, `rule "ban" denies c:latest`, nil},
		{"a ban that has ended", "c", "2027-01-01T00:00:00Z", Allow, `rule "c" allows c:latest`, nil},
		{"at no known time a ban has not", "c", "", Deny, `rule "ban" denies c:latest`, nil},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			r := request(t, tt.ref)
			if tt.time != "" {
				r.Time = at(tt.time)
			}
			d := Decide(l, r)
			require.Equal(t, tt.verdict, d.Verdict)
			require.Equal(t, tt.reason, d.Reason)
			require.Equal(t, tt.warnings, d.Warnings)
			if d.Rule == "leaving" {
				require.Equal(t, "#a", d.Contact, "the rule's contact comes before the policy's")
			} else {
				require.Equal(t, "#help", d.Contact)
			}
		})
	}
}

func TestLimits(t *testing.T) {
	t.Parallel()
	const embedded = `version: 1
default: allow
aliases: [{from: docker.io/**, to: mirror.example/**}]
limits: {match: ["mirror.example/**", q.example/x]}
`
	l := mustStack(t, embedded, "")
	require.Equal(t, Allow, Decide(l, request(t, "alpine")).Verdict,
		"the name after the aliases counts")
	d := Decide(l, request(t, "q.example/y:1"))
	require.Equal(t, Deny, d.Verdict)
	require.Equal(t, LimitsRule, d.Rule)
	require.Equal(t, LayerPolicy, d.Layer)
	require.Equal(t,
		"q.example/y:1 is outside the limits: only names like mirror.example/** or q.example/x can be allowed", d.Reason)

	l = mustStack(t, embedded,
		"{version: 1, contact: us, default: allow, limits: {match: [q.example/x]}}")
	require.Equal(t, Allow, Decide(l, request(t, "q.example/x")).Verdict)
	d = Decide(l, request(t, "alpine"))
	require.Equal(t, Deny, d.Verdict)
	require.Equal(t, LimitsRule, d.Rule)
	require.Equal(t, LayerOverlay, d.Layer)
	require.Equal(t, "us", d.Contact)
	require.Equal(t,
		"the overlay decided: mirror.example/library/alpine:latest is outside the limits: only names like q.example/x can be allowed", d.Reason)
}
