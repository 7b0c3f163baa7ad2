package policy

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/policy-frontend/policy-frontend/policy/buildrules"
	"github.com/policy-frontend/policy-frontend/policy/imageref"
)

func TestRulesOfARuleComeBeforeThoseOfThePolicy(t *testing.T) {
	t.Parallel()
	const doc = `version: 1
default: allow
dispatch: mediate
build: {images: {allow: [x]}, exec: {ssh: true}, containers: allow}
frontends:
- {match: [a], build: {exec: {insecure: true}, local: {allow: [context]}}}
- {match: [b], build: {containers: deny}}
`
	l := mustStack(t, doc, "")
	a, b, other := Decide(l, request(t, "a")), Decide(l, request(t, "b")), Decide(l, request(t, "c"))
	for _, tt := range []struct {
		name      string
		decision  Decision
		operation buildrules.Operation
		want      string
	}{
		{
			"a kind of the policy holds for a rule that doesn't have it", a, image("y"),
			"the policy refuses the image y:latest: it allows only x (build.images.allow)",
		},
		{
			"a kind of the rule replaces the policy's", a,
			buildrules.Operation{Exec: &buildrules.Exec{SSH: []string{"default"}}},
			`rule "frontends[0]" refuses a command with the client's ssh agent "default": it allows none (build.exec.ssh)`,
		},
		{
			"what the rule's kind allows is allowed", a,
			buildrules.Operation{Exec: &buildrules.Exec{Insecure: true}},
			"",
		},
		{
			"a kind of the rule alone", a,
			buildrules.Operation{Local: "x"},
			`rule "frontends[0]" refuses the client's directory "x": it allows only context (build.local.allow)`,
		},
		{"containers of the policy", a, buildrules.Operation{Container: &buildrules.Exec{}}, ""},
		{
			"containers of the rule", b,
			buildrules.Operation{Container: &buildrules.Exec{}},
			`rule "frontends[1]" refuses a container that the frontend starts (build.containers)`,
		},
		{"a kind that only another rule has", b, buildrules.Operation{Local: "x"}, ""},
		{
			"rules of the policy hold for what no rule is for", other, image("y"),
			"the policy refuses the image y:latest: it allows only x (build.images.allow)",
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			require.Equal(t, tt.want, tt.decision.Check(tt.operation).Reason)
		})
	}
	require.True(t, a.Restricts(buildrules.KindLocal))
	require.False(t, other.Restricts(buildrules.KindLocal))
	require.False(t, other.Restricts(buildrules.KindGit))
	require.True(t, b.Restricts(buildrules.KindContainers))
	require.True(t, allowing(t, "{local: {deny: [x]}}").Restricts(buildrules.KindContainers),
		"where nothing is said, none may be started")
	require.False(t, allowing(t, "{containers: allow}").Restricts(buildrules.KindContainers))
	require.True(t,
		allowing(t, "{containers: allow, exec: {ssh: true}}").Restricts(buildrules.KindContainers),
		"a container is a command too")
	require.Equal(t,
		[]BuildObligation{
			{Layer: LayerPolicy, Rule: DefaultRule, Mode: ModeEnforce, Build: *l.embedded.doc.Build},
		}, other.Obligations.Build)
}

func TestWhatIsRefusedMayDoNothing(t *testing.T) {
	t.Parallel()
	l := mustStack(t, "{version: 1, frontends: [{match: [a], digests: [\""+digestA+"\"]}]}", "")
	for name, d := range map[string]Decision{
		"a denial":                       Decide(l, request(t, "b")),
		"what can't be decided yet":      Decide(l, request(t, "a")),
		"no decision":                    {},
		"a decision that nobody came to": {Verdict: Allow},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			require.Equal(t, Deny, d.Check(image("alpine")).Verdict)
			require.True(t, d.Restricts(buildrules.KindImages))
			require.True(t, d.Enforces(buildrules.KindImages))
			require.Empty(t, d.Dispatch)
			require.Zero(t, d.Timeout)
		})
	}
}

func TestRulingsOfTwoLayersMeet(t *testing.T) {
	t.Parallel()
	const (
		embedded = `{version: 1, contact: us, frontends: [{name: e, match: [a], dispatch: mediate, message: from e, build: {images: {allow: ["m.example/**"], deny: ["**/bad"], convert: [{from: "docker.io/library/**", to: "m.example/**"}], pins: {"m.example/x:1": "` + digestA + `"}}, exec: {secrets: [a, b]}, containers: allow}}]}`
		overlay  = `{version: 1, contact: them, frontends: [{name: o, match: [a], message: from o, build: {images: {allow: [x, "m.example/**"], convert: [{from: y, to: x}, {from: z, to: m.example/bad}], pins: {"y:1": "` + digestB + `", "x:2": "` + digestB + `"}}, exec: {secrets: [b, c]}, containers: allow}}]}`
	)
	d := decided(t, embedded, overlay)
	for _, tt := range []struct {
		name, image, want, layer, read string
	}{
		{"both allow it", "m.example/a:1", "", "", ""},
		{
			"the overlay converts first, the policy what comes out", "y:1", "", "",
			"m.example/x:1@" + digestA,
		},
		{"each pins what it judges", "x:2", "", "", "m.example/x:2@" + digestB},
		{
			"the overlay's pin against the policy's", "x:1@" + digestB,
			`rule "e" refuses the image m.example/x:1@` + digestB + ` (asked for as x:1@` + digestB +
				`): it pins m.example/x:1 to ` + digestA + ` (build.images.pins)`, LayerPolicy, "",
		},
		{
			"only the overlay denies it", "alpine:1",
			`the overlay decided: rule "o" refuses the image alpine:1: it allows only x or m.example/** (build.images.allow)`, LayerOverlay, "",
		},
		{
			"the overlay converts to what the policy denies", "z",
			`rule "e" refuses the image m.example/bad:latest (build.images.deny: **/bad)`, LayerPolicy, "",
		},
		{
			"both deny it", "q.example/a",
			`rule "e" refuses the image q.example/a:latest: it allows only m.example/** (build.images.allow)`, LayerPolicy, "",
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			r := d.Check(image(tt.image))
			require.Equal(t, tt.want, r.Reason)
			if tt.want == "" {
				require.Equal(t, Allow, r.Verdict)
				if tt.read == "" {
					require.Equal(t, imageref.Reference{}, r.Image)
				} else {
					require.Equal(t, tt.read, r.Image.String())
				}
				return
			}
			require.Equal(t, Deny, r.Verdict)
			require.Equal(t, tt.layer, r.Layer)
			want := map[string]Ruling{
				LayerPolicy: {
					Rule: "e", Messages: []string{"from e"}, Contact: "us",
					Allowed: []string{"m.example/**"},
				},
				LayerOverlay: {
					Rule: "o", Messages: []string{"from o"}, Contact: "them",
					Allowed: []string{"x", "m.example/**"},
				},
			}[tt.layer]
			require.Equal(t, want.Messages, r.Messages)
			require.Equal(t, want.Contact, r.Contact)
			require.Equal(t, want.Allowed, r.Allowed)
			require.Equal(t, want.Rule, r.Rule)
		})
	}
	secret := func(s string) Verdict {
		return d.Check(buildrules.Operation{Exec: &buildrules.Exec{Secrets: []string{s}}}).Verdict
	}
	require.Equal(t, []Verdict{Deny, Allow, Deny}, []Verdict{secret("a"), secret("b"), secret("c")})
	require.Equal(t, Allow, d.Check(buildrules.Operation{Container: &buildrules.Exec{}}).Verdict)
	require.Len(t, d.Obligations.Build, 2)

	silent := decided(t, embedded, "{version: 1, default: allow}")
	r := silent.Check(buildrules.Operation{Container: &buildrules.Exec{}})
	require.Equal(t,
		"the overlay decided: the overlay refuses a container that the frontend starts (build.containers)", r.Reason, "each document decides by itself")
	require.Equal(t, BuildRule, r.Rule)
	require.Equal(t, Allow, silent.Check(image("m.example/a")).Verdict)
}

func TestModeWarnOfRulesOnBuilds(t *testing.T) {
	t.Parallel()
	const build = `build: {images: {allow: [x], pins: {"x:1": "` + digestA + `"}}}`
	refused := `refuses the image y:latest: it allows only x (build.images.allow)`
	for _, tt := range []struct {
		name, embedded, overlay string
		verdict                 Verdict
		rule, reason            string
	}{
		{
			"of the policy, for a rule",
			"{version: 1, mode: warn, frontends: [{match: [a], name: a, " + build + "}]}", "", Warn, "a",
			`would be refused: rule "a" ` + refused,
		},
		{
			"of the policy, for its own rules", "{version: 1, mode: warn, default: allow, " + build + "}",
			"", Warn, BuildRule, `would be refused: the policy ` + refused,
		},
		{
			"of the rule", "{version: 1, frontends: [{match: [a], name: a, mode: warn, " + build + "}]}", "",
			Warn, "a", `would be refused: rule "a" ` + refused,
		},
		{
			"of the rule, for the policy's",
			"{version: 1, frontends: [{match: [a], name: a, mode: warn}], " + build + "}", "", Warn,
			BuildRule, `would be refused: the policy ` + refused,
		},
		{
			"of the policy, but not of the rule",
			"{version: 1, mode: warn, frontends: [{match: [a], name: a, mode: enforce, " + build + "}]}", "",
			Deny, "a", `rule "a" ` + refused,
		},
		{
			"for a frontend that would be refused",
			"{version: 1, mode: warn, " + build + ", frontends: [{match: [a], name: a, action: deny}]}", "",
			Warn, BuildRule, `would be refused: the policy ` + refused,
		},
		{
			"of the overlay only", "{version: 1, default: allow, " + build + "}",
			"{version: 1, mode: warn, default: allow, " + build + "}", Deny, BuildRule,
			`the policy ` + refused,
		},
		{
			"of the policy only", "{version: 1, mode: warn, default: allow, " + build + "}",
			"{version: 1, default: allow, " + build + "}", Deny, BuildRule,
			`the overlay decided: the overlay ` + refused,
		},
		{
			"of an overlay that alone refuses", "{version: 1, default: allow}",
			"{version: 1, mode: warn, default: allow, " + build + "}", Warn, BuildRule,
			`the overlay says: would be refused: the overlay ` + refused,
		},
		{
			"of both", "{version: 1, mode: warn, default: allow, " + build + "}",
			"{version: 1, mode: warn, default: allow, " + build + "}", Warn, BuildRule,
			`would be refused: the policy ` + refused,
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			d := decided(t, tt.embedded, tt.overlay)
			r := d.Check(image("y"))
			require.Equal(t, tt.verdict, r.Verdict)
			require.Equal(t, tt.reason, r.Reason)
			require.Equal(t, tt.rule, r.Rule)
			require.True(t, d.Restricts(buildrules.KindImages), "it has to be judged to be warned of")
			require.Equal(t, tt.verdict == Deny, d.Enforces(buildrules.KindImages))
			require.Equal(t, "docker.io/library/x:1@"+digestA, d.Check(image("x:1")).Image.String(),
				"pins hold")
			require.Equal(t, Deny, d.Check(buildrules.Operation{Unknown: "x"}).Verdict,
				"what nobody can judge is refused in every mode")
			require.Equal(t, Deny, d.Check(image("X")).Verdict, "and so is what can't be read")
			d.Nesting = 0
			require.Equal(t, Deny, d.Check(buildrules.Operation{Frontend: "x"}).Verdict,
				"and so is what the limits refuse")
		})
	}
	d := decided(t,
		"{version: 1, mode: warn, "+build+", dispatch: mediate, frontends: [{match: [a], action: deny}]}",
		"")
	require.Equal(t, Warn, d.Verdict)
	require.Equal(t, DispatchMediate, d.Dispatch)
	require.Equal(t, ModeWarn, d.Obligations.Build[0].Mode)

	l := mustStack(t,
		"{version: 1, mode: warn, dispatch: forward, build: {local: {deny: [x]}}, frontends: [{match: [a], dispatch: mediate, options: {deny: [k]}, build: {images: {deny: [x]}}}]}", "")
	d = Decide(l, withOptions(request(t, "a"), map[string]string{"k": ""}))
	require.Equal(t, Warn, d.Verdict)
	require.Equal(t, DispatchForward, d.Dispatch,
		"a rule that would refuse the frontend has no say in how it runs")
	require.Equal(t, Allow, d.Check(image("x")).Verdict)
	require.Equal(t, Warn, d.Check(buildrules.Operation{Local: "x"}).Verdict)
}

// What nobody can read is refused in every mode, but such a URL has readings.
func TestModeWarnOfAURLWithTwoReadings(t *testing.T) {
	t.Parallel()
	d := decided(t, "{version: 1, mode: warn, default: allow, "+
		"build: {http: {allow: [\"https://x.example/a/**\"]}}}", "")
	for url, want := range map[string]Verdict{
		"https://x.example/a/b%2Fc": Allow, "https://x.example/a//b": Allow,
		"https://x.example/a/..%2Fb": Warn, "https://x.example//a/b": Warn,
		"https://x.example/%00": Deny,
	} {
		o := buildrules.Operation{HTTP: &buildrules.HTTP{URL: url}}
		require.Equal(t, want, d.Check(o).Verdict, url)
	}
}

func TestDispatchOfTwoLayers(t *testing.T) {
	t.Parallel()
	const f, m, b = DispatchForward, DispatchMediate, DispatchBuiltin
	rule := func(d Dispatch) string {
		return "{version: 1, frontends: [{match: [docker/dockerfile], dispatch: " + string(d) + "}]}"
	}
	top := func(d Dispatch) string {
		return "{version: 1, default: allow, dispatch: " + string(d) +
			"}"
	}
	for _, tt := range []struct {
		name, embedded, overlay string
		want                    Dispatch
	}{
		{"nothing is said", "{version: 1, default: allow}", "", f},
		{"the policy's", top(m), "", m},
		{
			"the rule's before the policy's",
			"{version: 1, dispatch: mediate, frontends: [{match: [docker/dockerfile], dispatch: builtin}]}", "", b,
		},
		{"an overlay's mediate over forward", rule(f), rule(m), m},
		{"an overlay's mediate over builtin", rule(b), top(m), m},
		{"no overlay's forward over mediate", rule(m), rule(f), m},
		{"no overlay's builtin over mediate", top(m), rule(b), m},
		{"no overlay's builtin over forward", top(f), rule(b), f},
		{"no overlay's forward over builtin", top(b), top(f), b},
		{
			"an overlay's rule before its document", rule(f),
			"{version: 1, dispatch: mediate, frontends: [{match: [docker/dockerfile], dispatch: forward}]}", f,
		},
		{
			"what forward can't judge is mediated", rule(f),
			"{version: 1, default: allow, dispatch: builtin, build: {frontends: {allow: [b]}}}", m,
		},
		{
			"a frontend with build rules", "{version: 1, default: allow, build: {local: {deny: [x]}}}", "", m,
		},
		{
			"a rule with build rules",
			"{version: 1, frontends: [{match: [docker/dockerfile], build: {local: {deny: [x]}}}]}", "", m,
		},
		{
			"a rule beside one with build rules",
			"{version: 1, frontends: [{match: [docker/dockerfile]}, {match: [b], build: {local: {deny: [x]}}}]}",
			"", f,
		},
		{
			"forward that is written beside build rules",
			"{version: 1, dispatch: forward, default: allow, build: {local: {deny: [x]}}}", "", f,
		},
		{
			"an overlay's build rules over forward", rule(f),
			"{version: 1, default: allow, build: {local: {deny: [x]}}}", m,
		},
		{
			"an overlay that writes forward beside them", rule(f),
			"{version: 1, dispatch: forward, default: allow, build: {local: {deny: [x]}}}", f,
		},
		{
			"an overlay's build rules over builtin", rule(b),
			"{version: 1, default: allow, build: {local: {deny: [x]}}}", b,
		},
		{
			"builtin can judge it", rule(b),
			"{version: 1, default: allow, dispatch: builtin, build: {frontends: {allow: [b]}}}", b,
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			l := mustStack(t, tt.embedded, tt.overlay)
			require.Equal(t, tt.want, Decide(l, request(t, "docker/dockerfile")).Dispatch)
		})
	}
}

func TestBoundsOfTwoLayers(t *testing.T) {
	t.Parallel()
	limits := func(s string) string { return "{version: 1, default: allow, limits: {" + s + "}}" }
	const none = "{version: 1, default: allow}"
	for _, tt := range []struct {
		name, embedded, overlay string
		timeout                 time.Duration
		nesting                 int
		memory                  int64
	}{
		{"the defaults", none, "", time.Hour, 4, 512 << 20},
		{
			"the policy's", limits("timeout: 2h, nesting: 16, memory: 1GiB"), "",
			2 * time.Hour, 16, 1 << 30,
		},
		{
			"an overlay without any", limits("timeout: 2h, nesting: 16, memory: 1GiB"), none,
			2 * time.Hour, 16, 1 << 30,
		},
		{
			"a tighter overlay", limits("timeout: 2h, nesting: 16, memory: 1GiB"),
			limits("timeout: 90m, nesting: 1, memory: 512MiB"), 90 * time.Minute, 1, 512 << 20,
		},
		{
			"a looser overlay", limits("timeout: 2m, nesting: 1, memory: 64MiB"),
			limits("timeout: 90m, nesting: 3, memory: 2GiB"), 2 * time.Minute, 1, 64 << 20,
		},
		{
			"an overlay that is looser than the defaults", none,
			limits("timeout: 24h, nesting: 16, memory: 64GiB"), time.Hour, 4, 512 << 20,
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			d := decided(t, tt.embedded, tt.overlay)
			require.Equal(t, tt.timeout, d.Timeout)
			require.Equal(t, tt.timeout, mustStack(t, tt.embedded, tt.overlay).Timeout())
			require.Equal(t, tt.nesting, d.Nesting)
			require.Equal(t, tt.memory, d.Memory)
		})
	}
	require.Equal(t, Allow, decided(t, limits("nesting: 2"), "").Verdict,
		"limits without match leave all names")
}

func TestTheTimeoutWithoutAPolicy(t *testing.T) {
	t.Parallel()
	require.Equal(t, time.Hour, Layers{}.Timeout())
}

func TestWithin(t *testing.T) {
	t.Parallel()
	l := mustStack(t, `version: 1
dispatch: mediate
limits: {timeout: 10m, nesting: 2}
frontends:
- {name: a, match: [a], build: {images: {allow: ["m.example/**", b], convert: [{from: "docker.io/library/**", to: "m.example/**"}]}, exec: {secrets: [x, y]}, containers: allow}}
- {name: b, match: [b], build: {images: {allow: ["docker.io/**"], deny: [bad]}, exec: {secrets: [y, z]}, containers: allow}}
- {name: c, match: [c], mode: warn, build: {images: {deny: [q.example/x]}}}
`, "")
	a, b, c := Decide(l, request(t, "a")), Decide(l, request(t, "b")), Decide(l, request(t, "c"))
	outer := a
	outer.Timeout, outer.Memory = time.Minute, 64<<20
	inner := b.Within(outer)
	require.Equal(t, time.Minute, inner.Timeout)
	require.Equal(t, int64(64<<20), inner.Memory)
	require.Equal(t, []int{2, 1}, []int{a.Nesting, inner.Nesting})
	require.Equal(t, 2, b.Nesting, "the decision itself is left alone")
	require.Len(t, b.constraints, 1)

	require.Equal(t, "m.example/alpine:latest", inner.Check(image("alpine")).Image.String(),
		"the outer rules convert what the inner ones allow")
	require.Equal(t, `rule "b" refuses the image bad:latest (build.images.deny: bad)`,
		inner.Check(image("bad")).Reason)
	require.Equal(t,
		`rule "b" refuses the image m.example/x:latest: it allows only docker.io/** (build.images.allow)`,
		inner.Check(image("m.example/x")).Reason)
	secret := func(s string) Verdict {
		return inner.Check(buildrules.Operation{Exec: &buildrules.Exec{Secrets: []string{s}}}).Verdict
	}
	require.Equal(t, []Verdict{Deny, Allow, Deny}, []Verdict{secret("x"), secret("y"), secret("z")})
	require.Equal(t, Allow, inner.Check(buildrules.Operation{Container: &buildrules.Exec{}}).Verdict)
	require.Equal(t, "a", c.Within(a).Check(image("q.example/x")).Rule,
		"a rule that warns loosens none that encloses it")
	require.Equal(t, Deny, a.Within(c).Check(image("q.example/x")).Verdict)
	require.Equal(t, Deny,
		b.Within(c).Check(buildrules.Operation{Container: &buildrules.Exec{Network: "?"}}).Verdict)

	innermost := c.Within(inner)
	require.Equal(t, 0, innermost.Nesting)
	require.True(t, innermost.Restricts(buildrules.KindFrontends))
	require.True(t, innermost.Enforces(buildrules.KindFrontends), "no mode softens limits")
	require.False(t, inner.Restricts(buildrules.KindFrontends))
	require.Equal(t, Warn, c.Check(buildrules.Operation{Container: &buildrules.Exec{}}).Verdict)
	r := innermost.Check(buildrules.Operation{Frontend: "a"})
	require.Equal(t, Deny, r.Verdict)
	require.Equal(t, LimitsRule, r.Rule)
	require.Equal(t,
		"it asks for another frontend, and frontends run others no deeper than that (limits.nesting)",
		r.Reason)

	const deep, refused = "it is run by a frontend that is nested as deep as may be (limits.nesting)",
		"it is run by a frontend that is refused"
	for _, tt := range []struct {
		name         string
		inner, outer Decision
		reason       string
	}{
		{"too deep", a, innermost, deep},
		{"in what is refused", a, Decide(l, request(t, "z")), refused},
		{"in what nobody decided", a, Decision{}, refused},
		{"in what was overruled", a, b.Overrule(r), refused},
		{"what is refused", Decide(l, request(t, "z")), a, "no rule allows z:latest"},
		{"what was overruled", b.Overrule(r), a, r.Reason},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			d := tt.inner.Within(tt.outer)
			require.Equal(t, Deny, d.Verdict)
			require.Equal(t, tt.reason, d.Reason)
			require.Equal(t, Deny, d.Check(image("b")).Verdict)
		})
	}
}

// Else the client would put something in the place of what the inner rule judged.
func TestAnOverlayConvertsBeforeTheRulesOfNestedFrontends(t *testing.T) {
	t.Parallel()
	l := mustStack(t, `version: 1
dispatch: mediate
frontends:
- {name: outer, match: [a]}
- {name: inner, match: [b], build: {images: {deny: [evil.example/x], convert: [{from: q.example/x, to: m.example/x}]}}}
`,
		`{version: 1, frontends: [{match: [a, b], build: {images: {convert: [{from: m.example/x, to: evil.example/x}]}}}]}`)
	r := Decide(l, request(t, "b")).Within(Decide(l, request(t, "a"))).Check(image("q.example/x"))
	require.Equal(t, Allow, r.Verdict, r.Reason)
	require.Equal(t, "m.example/x:latest", r.Image.String())
}

func TestOverruleAndWithWarnings(t *testing.T) {
	t.Parallel()
	d := decided(t,
		`{version: 1, contact: us, frontends: [{name: a, match: [a], warnAfter: 2020-01-01, options: {deny: [x]}, message: see, contact: me, build: {images: {allow: [x, b]}}}]}`, "")
	require.Equal(t, Warn, d.Verdict)
	over := d.Overrule(d.Check(image("y")))
	require.Equal(t, Decision{
		Verdict: Deny, Requested: d.Requested, Image: d.Image, Reference: d.Reference, Policy: d.Policy,
		Layer: LayerPolicy, Rule: "a",
		Reason:   `rule "a" refuses the image y:latest: it allows only x or b (build.images.allow)`,
		Messages: []string{"see"}, Allowed: []string{"x", "b"}, Contact: "me",
	}, over)
	require.Equal(t, over, over.WithWarnings("w"), "a denial stays one")

	d = decided(t, "{version: 1, default: allow}", "")
	require.Equal(t, d, d.WithWarnings())
	warned := d.WithWarnings("w", "v", "w")
	require.Equal(t, Warn, warned.Verdict)
	require.Equal(t, []string{"w", "v"}, warned.Warnings)
	require.Equal(t, []string{"w", "v", "u"}, warned.WithWarnings("v", "u").Warnings)
	require.Equal(t, Allow, d.Verdict)
}

func TestABuildThatTakesTooMuchMemory(t *testing.T) {
	t.Parallel()
	for _, size := range []string{"96MiB", "2GiB"} {
		d := decided(t, "{version: 1, default: allow, contact: us, limits: {memory: "+size+"}}", "")
		over := d.OutOfMemory()
		require.Equal(t, Deny, over.Verdict)
		require.Equal(t, LimitsRule, over.Rule)
		require.Equal(t, "us", over.Contact)
		require.Contains(t, over.Reason, "more than "+size+" of memory")
		require.Contains(t, over.Reason, "limits.memory")
	}
}
