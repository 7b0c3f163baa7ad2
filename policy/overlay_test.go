package policy

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func TestStack(t *testing.T) {
	t.Parallel()
	p := mustParse(t, "{version: 1, id: corp, contact: them, defaultFrontend: a}")
	none := mustParse(t, "{version: 1, id: corp, overlay: {accept: none}}")
	o, err := ParseOverlay("o", []byte("{version: 1, contact: us, defaultFrontend: b}"))
	require.NoError(t, err)

	_, err = Stack(nil, nil)
	require.EqualError(t, err, "there is no policy")
	_, err = Stack(&Policy{doc: Document{Version: 1, Default: ActionAllow}}, nil)
	require.ErrorContains(t, err, "must come from Parse")
	_, err = Stack(p, &Policy{doc: Document{Version: 1, Default: ActionAllow}})
	require.ErrorContains(t, err, "must come from Parse")
	_, err = Stack(none, o)
	require.EqualError(t, err,
		`the policy "corp" accepts no overlay (overlay: {accept: none}); build without one`)
	_, err = Stack(none, nil)
	require.NoError(t, err)

	alone, err := Stack(p, nil)
	require.NoError(t, err)
	require.Equal(t, "a", alone.DefaultFrontend())
	require.Equal(t, "them", alone.Contact())
	both, err := Stack(p, o)
	require.NoError(t, err)
	require.Equal(t, "b", both.DefaultFrontend(), "the overlay chooses")
	require.Equal(t, "them", both.Contact(), "a client can't send people elsewhere")
	require.Empty(t, Layers{}.DefaultFrontend())
	require.Empty(t, Layers{}.Contact())
}

func TestOverlay(t *testing.T) {
	t.Parallel()
	const embedded = `version: 1
id: corp
contact: them
frontends:
- {name: d, match: [docker/dockerfile], message: from corp}
- {name: pins, match: [docker/pins], digests: ["` + digestA + `", "` + digestB + `"]}
- {name: late, match: [docker/late], digests: ["` + digestA + `"]}
- {name: no, match: [docker/no], action: deny, message: never}
`
	const overlay = `version: 1
id: team
contact: us
frontends:
- {name: ours, match: ["docker/**"], tags: ["1"], message: from the team}
- {name: none, match: [docker/late], action: deny}
- {name: pins, match: [docker/pins], digests: ["` + digestA + `"], requireDigest: true}
`
	l := mustStack(t, embedded, overlay)
	tests := []struct {
		name, ref     string
		verdict       Verdict
		layer, rule   string
		reason        string
		messages      []string
		obligations   Obligations
		contact       string
		tagUnverified bool
	}{
		{
			"what both allow is allowed, with the messages of both", "docker/dockerfile:1", Allow,
			LayerPolicy, "d",
			`rule "d" allows docker/dockerfile:1`,
			[]string{"from corp", "from the team"},
			Obligations{},
			"them", false,
		},
		{
			"what the overlay doesn't allow is denied by it", "docker/dockerfile:2", Deny, LayerOverlay,
			"default",
			`the overlay decided: rule "ours" would allow it, but only with the tag 1, not 2`,
			[]string{},
			Obligations{},
			"us", false,
		},
		{
			"what the embedded policy denies stays denied", "docker/no:1", Deny, LayerPolicy, "no",
			`rule "no" denies docker/no:1`,
			[]string{"never"},
			Obligations{},
			"them", false,
		},
		{
			"what the embedded policy doesn't know stays denied", "docker/other:1", Deny, LayerPolicy,
			"default",
			"no rule allows docker/other:1",
			[]string{},
			Obligations{},
			"them", false,
		},
		{
			"a deny of the overlay doesn't wait for the digest", "docker/late:1", Deny, LayerOverlay, "none",
			`the overlay decided: rule "none" denies docker/late:1`,
			[]string{},
			Obligations{},
			"us", false,
		},
		{
			"what the embedded policy can't decide is undecidable", "docker/pins:1", Undecidable,
			LayerPolicy, "pins",
			`rule "pins" allows only the digests ` + digestA + ` or ` + digestB +
				`, and the digest of docker/pins:1 is not known`,
			[]string{},
			Obligations{},
			"them", false,
		},
		{
			"obligations meet", "docker/pins:2@" + digestA, Allow, LayerPolicy, "pins",
			`rule "pins" allows docker/pins:2@` + digestA,
			[]string{},
			Obligations{Digests: []string{digestA}, RequireDigest: true},
			"them", false,
		},
		{
			"a tag that only the overlay believes is unverified too", "docker/dockerfile:1@" + digestA,
			Allow, LayerPolicy, "d",
			`rule "d" allows docker/dockerfile:1@` + digestA,
			[]string{
				"from corp", "the tag 1 is not looked up here; in a build it must point to " + digestA,
				"from the team",
			},
			Obligations{},
			"them", true,
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			d := Decide(l, request(t, tt.ref))
			require.Equal(t, tt.verdict, d.Verdict)
			require.Equal(t, tt.layer, d.Layer)
			require.Equal(t, tt.rule, d.Rule)
			require.Equal(t, tt.reason, d.Reason)
			require.Equal(t, tt.messages, d.Messages)
			require.Equal(t, tt.obligations, d.Obligations)
			require.Equal(t, tt.contact, d.Contact)
			require.Equal(t, tt.tagUnverified, d.TagUnverified)
			require.Equal(t, "corp", d.Policy.ID, "the embedded policy is named whichever layer decided")
			require.Equal(t, "team", d.Overlay.ID)
		})
	}
}

func TestOverlayThatCannotDecide(t *testing.T) {
	t.Parallel()
	l := mustStack(t, "{version: 1, default: allow}",
		`{version: 1, frontends: [{name: p, match: [a], digests: ["`+digestA+`"]}]}`)
	d := Decide(l, request(t, "a"))
	require.Equal(t, Undecidable, d.Verdict)
	require.Equal(t, LayerOverlay, d.Layer)
	require.Equal(t, Allow, Decide(l, request(t, "a", digestA)).Verdict)
	require.Equal(t, Deny, Decide(l, request(t, "a", digestB)).Verdict)
}

func TestAllowedLeavesOutWhatTheOtherLayerHasNoRuleFor(t *testing.T) {
	t.Parallel()
	const embedded = "version: 1\nfrontends:\n- {match: [docker/*, a]}\n"
	const overlay = "version: 1\nfrontends:\n- {match: [docker/dockerfile, \"quay.io/**\", \"**/a\", docker/never]}\n- {match: [b], action: deny}\n"
	l := mustStack(t, embedded, overlay)
	d := Decide(l, request(t, "docker/x"))
	require.Equal(t, LayerOverlay, d.Layer)
	require.Equal(t, []string{"docker/never", "docker/dockerfile", "**/a"}, d.Allowed)
	d = Decide(l, request(t, "b"))
	require.Equal(t, LayerPolicy, d.Layer)
	require.Equal(t, []string{"a", "docker/*"}, d.Allowed)

	l = mustStack(t, "{version: 1, default: allow}", overlay)
	require.Contains(t, Decide(l, request(t, "docker/x")).Allowed, "quay.io/**",
		"a default that allows has a place for all")
}

func TestObligationsMeet(t *testing.T) {
	t.Parallel()
	pins := func(d ...string) Obligations { return Obligations{Digests: d} }
	tests := []struct {
		name    string
		a, b, m Obligations
		ok      bool
	}{
		{"nothing meets nothing", Obligations{}, Obligations{}, Obligations{}, true},
		{"digests of one side stay", pins("a"), Obligations{}, pins("a"), true},
		{"digests of the other side stay", Obligations{}, pins("a"), pins("a"), true},
		{"digests of both sides intersect", pins("a", "b"), pins("c", "b"), pins("b"), true},
		{"an empty intersection allows nothing", pins("a"), pins("b"), pins(), false},
		{
			"a required digest of one side stays",
			Obligations{RequireDigest: true},
			Obligations{},
			Obligations{RequireDigest: true},
			true,
		},
		{
			"a required digest of the other side stays",
			Obligations{},
			Obligations{RequireDigest: true},
			Obligations{RequireDigest: true},
			true,
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			m, why := tt.a.meet(tt.b, subject{})
			require.Equal(t, tt.ok, why == "")
			require.Equal(t, tt.m, m)
		})
	}
}

func TestObligationsMeetLeavesItsSidesAlone(t *testing.T) {
	t.Parallel()
	a, b := Obligations{Force: map[string]string{"x": "1"}},
		Obligations{Force: map[string]string{"y": "1"}}
	m, why := a.meet(b, subject{})
	require.Empty(t, why)
	require.Len(t, m.Force, 2)
	require.Len(t, a.Force, 1)
	require.Len(t, b.Force, 1)
}
