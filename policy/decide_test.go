package policy

import (
	"encoding/json"
	"testing"

	"github.com/opencontainers/go-digest"
	"github.com/stretchr/testify/require"

	"github.com/policy-frontend/policy-frontend/policy/imageref"
)

const testPolicy = `version: 1
id: corp
contact: "#help"
frontends:
  - name: dockerfile
    match: [docker/dockerfile]
    tags: ["1.*", "1"]
  - name: pinned
    match: [docker/pinned]
    tags: ["2"]
    digests: ["` + digestA + `"]
  - name: blubber
    match: ["wiki.example/blubber/**"]
    requireDigest: true
    message: use v2 soon
  - name: open
    match: ["open.example/**"]
  - name: no-labs
    match: ["**"]
    tags: ["*-labs"]
    action: deny
    message: labs are not for production
  - name: no-b
    match: ["open.example/b"]
    digests: ["` + digestB + `"]
    action: deny
`

func request(tb testing.TB, ref string, digests ...digest.Digest) Request {
	tb.Helper()
	r := Request{Requested: ref, Reference: mustRef(tb, ref)}
	if len(digests) > 0 {
		r.Digest = digests[0]
	}
	if len(digests) > 1 {
		r.TagDigest = digests[1]
	}
	return r
}

const (
	digestA = "sha256:aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
	digestB = "sha256:bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb"
)

func mustRef(tb testing.TB, s string) imageref.Reference {
	tb.Helper()
	r, err := imageref.Parse(s)
	require.NoError(tb, err)
	return r
}

func mustStack(tb testing.TB, embedded, overlay string) Layers {
	tb.Helper()
	var o *Policy
	if overlay != "" {
		var err error
		o, err = ParseOverlay("overlay", []byte(overlay))
		require.NoError(tb, err)
	}
	l, err := Stack(mustParse(tb, embedded), o)
	require.NoError(tb, err)
	return l
}

func TestDecide(t *testing.T) {
	t.Parallel()
	l := mustStack(t, testPolicy, "")
	tests := []struct {
		name, ref         string
		digest, tagDigest digest.Digest
		verdict           Verdict
		rule, reason      string
	}{
		{
			"a tag that a glob accepts is allowed", "docker/dockerfile:1.7", "", "", Allow, "dockerfile",
			`rule "dockerfile" allows docker/dockerfile:1.7`,
		},
		{
			"another spelling of the host is the same", "INDEX.docker.io:443/docker/dockerfile:1", "", "",
			Allow, "dockerfile", `rule "dockerfile" allows docker/dockerfile:1`,
		},
		{
			"a tag that no glob accepts is a near miss", "docker/dockerfile:2", "", "", Deny, "default",
			`rule "dockerfile" would allow it, but only with the tags 1.* or 1, not 2`,
		},
		{
			"a missing tag is latest", "docker/dockerfile", "", "", Deny, "default",
			`rule "dockerfile" would allow it, but only with the tags 1.* or 1, not latest`,
		},
		{
			"a look-alike is denied", "docker/dockerfile-upstream:1", "", "", Deny, "default",
			"no rule allows docker/dockerfile-upstream:1",
		},
		{
			"a repository below is denied", "docker/dockerfile/x:1", "", "", Deny, "default",
			"no rule allows docker/dockerfile/x:1; did you mean docker/dockerfile?",
		},
		{
			"the same path on another host is denied", "evil.example/docker/dockerfile:1", "", "", Deny,
			"default", "no rule allows evil.example/docker/dockerfile:1",
		},

		{
			"a deny rule wins over an allow rule before it", "docker/dockerfile:1.7-labs", "", "", Deny,
			"no-labs", `rule "no-labs" denies docker/dockerfile:1.7-labs`,
		},

		{
			"a pinned rule is undecidable without the digest", "docker/pinned:2", "", "", Undecidable,
			"pinned",
			`rule "pinned" allows only the digest ` + digestA +
				`, and the digest of docker/pinned:2 is not known`,
		},
		{
			"a pinned rule allows its digest", "docker/pinned:2", digestA, "", Allow, "pinned",
			`rule "pinned" allows docker/pinned:2`,
		},
		{
			"a pinned rule misses another digest", "docker/pinned:2", digestB, "", Deny, "default",
			`rule "pinned" would allow it, but only with the digest ` + digestA + `, not ` + digestB,
		},
		{
			"a digest in the reference counts by itself", "docker/pinned:2@" + digestA, "", "", Allow,
			"pinned", `rule "pinned" allows docker/pinned:2@` + digestA,
		},
		{
			"a pinned rule with a missed tag is denied without the digest", "docker/pinned:3", "", "", Deny,
			"default", `rule "pinned" would allow it, but only with the tag 2, not 3`,
		},

		{
			"a required digest that is missing is a near miss", "wiki.example/blubber/buildkit:v1", "", "",
			Deny, "default",
			`rule "blubber" would allow it, but the reference must carry a digest: write wiki.example/blubber/buildkit:v1@sha256:…`,
		},
		{
			"a resolved digest is not a required one", "wiki.example/blubber/buildkit:v1", digestA, "", Deny,
			"default",
			`rule "blubber" would allow it, but the reference must carry a digest: write wiki.example/blubber/buildkit:v1@sha256:…`,
		},
		{
			"a required digest that is there is enough", "wiki.example/blubber/buildkit:v1@" + digestA, "",
			digestA, Allow, "blubber", `rule "blubber" allows wiki.example/blubber/buildkit:v1@` + digestA,
		},

		{
			"a tag beside a digest is believed until it is looked up", "docker/dockerfile:1@" + digestA, "",
			"", Allow, "dockerfile", `rule "dockerfile" allows docker/dockerfile:1@` + digestA,
		},
		{
			"a tag that points to the digest is fine", "docker/dockerfile:1@" + digestA, digestA, digestA,
			Allow, "dockerfile", `rule "dockerfile" allows docker/dockerfile:1@` + digestA,
		},
		{
			"a tag that points elsewhere is no tag for an allow rule", "docker/dockerfile:1@" + digestA,
			digestA, digestB, Deny, "no-labs",
			`rule "no-labs" denies the tag *-labs, and the tag 1 that would rule it out points to ` +
				digestB + `, not to ` + digestA,
		},
		{
			"a tag that moved after it was resolved is no tag", "docker/dockerfile:1", digestA, digestB,
			Deny, "no-labs",
			`rule "no-labs" denies the tag *-labs, and the tag 1 that would rule it out points to ` +
				digestB + `, not to ` + digestA,
		},
		{
			"a digest alone doesn't get past a deny rule on tags", "open.example/a@" + digestA, "", "", Deny,
			"no-labs",
			`rule "no-labs" denies the tag *-labs, and the reference has none that would rule it out: write the tag as well as the digest`,
		},
		{
			"a false tag doesn't get past a deny rule on tags", "open.example/a:1@" + digestA, digestA,
			digestB, Deny, "no-labs",
			`rule "no-labs" denies the tag *-labs, and the tag 1 that would rule it out points to ` +
				digestB + `, not to ` + digestA,
		},
		{
			"a denied tag stays denied when it points elsewhere", "open.example/a:x-labs@" + digestA,
			digestA, digestB, Deny, "no-labs", `rule "no-labs" denies open.example/a:x-labs@` + digestA,
		},

		{
			"a deny rule on digests is undecidable without the digest", "open.example/b:1", "", "",
			Undecidable, "no-b",
			`rule "no-b" denies only the digest ` + digestB +
				`, and the digest of open.example/b:1 is not known`,
		},
		{
			"a deny rule on digests denies its digest", "open.example/b:1", digestB, "", Deny, "no-b",
			`rule "no-b" denies open.example/b:1`,
		},
		{
			"a deny rule on digests passes another digest", "open.example/b:1", digestA, "", Allow, "open",
			`rule "open" allows open.example/b:1`,
		},

		{
			"a digest that contradicts the reference is denied", "open.example/a:1@" + digestA, digestB, "",
			Deny, "default",
			"open.example/a:1@" + digestA + " can't get the digest " + digestB + " beside its own",
		},
		{
			"an invalid digest is denied", "open.example/a:1", "sha256:x", "", Deny, "default",
			`"sha256:x" is not a digest; write sha256: and 64 lower-case hexadecimal digits, or sha512: and 128`,
		},
		{
			"a tag's digest that is none is denied", "open.example/a:1", "", "x", Deny, "default",
			`what the tag points to: "x" is not a digest; write sha256: and 64 lower-case hexadecimal digits, or sha512: and 128`,
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			d := Decide(l, request(t, tt.ref, tt.digest, tt.tagDigest))
			require.Equal(t, tt.verdict, d.Verdict)
			require.Equal(t, tt.rule, d.Rule)
			require.Equal(t, tt.reason, d.Reason)
			require.Equal(t, LayerPolicy, d.Layer)
			require.Equal(t, "#help", d.Contact)
			require.Equal(t, "corp", d.Policy.ID)
			require.NotNil(t, d.Messages)
		})
	}
}

func TestDecideWithoutADenyRuleOnTags(t *testing.T) {
	t.Parallel()
	l := mustStack(t,
		"version: 1\nfrontends:\n- {name: a, match: [x.example/a], tags: [\"*\"]}\n- {name: p, match: [x.example/p], tags: [\"*\"], digests: [\""+digestA+"\"]}\n", "")
	tests := []struct {
		name, ref string
		tagDigest digest.Digest
		verdict   Verdict
		reason    string
	}{
		{
			"a digest alone satisfies no tags, not even any", "x.example/a@" + digestA, "", Deny,
			`rule "a" would allow it, but only with the tag *, and the reference has none: write the tag as well as the digest`,
		},
		{
			"a tag that points elsewhere is a near miss", "x.example/a:1@" + digestA, digestB, Deny,
			`rule "a" would allow the tag 1, but that tag points to ` + digestB + `, not to ` + digestA,
		},
		{
			"a rule with digests rests on them and not on the tag", "x.example/p:1@" + digestA, digestB,
			Allow, `rule "p" allows x.example/p:1@` + digestA,
		},
		{
			"a tag that points to the digest is allowed", "x.example/a:1@" + digestA, digestA, Allow,
			`rule "a" allows x.example/a:1@` + digestA,
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			d := Decide(l, request(t, tt.ref, "", tt.tagDigest))
			require.Equal(t, tt.verdict, d.Verdict)
			require.Equal(t, tt.reason, d.Reason)
		})
	}
}

func TestDecideOrder(t *testing.T) {
	t.Parallel()
	const pinnedThenOpen = `version: 1
frontends:
- {name: pinned, match: [a], digests: ["` + digestA + `"]}
- {name: open, match: [a], message: hello}
`
	l := mustStack(t, pinnedThenOpen, "")
	d := Decide(l, request(t, "a"))
	require.Equal(t, Undecidable, d.Verdict,
		"which rule allows, and with what obligations, depends on the digest")
	require.Equal(t, "pinned", d.Rule)
	require.Equal(t, "pinned", Decide(l, request(t, "a", digestA)).Rule)
	d = Decide(l, request(t, "a", digestB))
	require.Equal(t, "open", d.Rule)
	require.Equal(t, []string{"hello"}, d.Messages, "an allow rule's message is said too")

	l = mustStack(t, pinnedThenOpen+`- {name: never, match: [a], action: deny}`, "")
	require.Equal(t, "never", Decide(l, request(t, "a")).Rule, "a certain deny needs no digest")

	l = mustStack(t,
		`{version: 1, frontends: [{name: d, match: [a], action: deny, digests: ["`+digestA+`"]}]}`, "")
	d = Decide(l, request(t, "a"))
	require.Equal(t, Deny, d.Verdict, "nothing can allow it, whatever the digest")
	require.Equal(t, "default", d.Rule)
}

func TestDecideDefaultAllow(t *testing.T) {
	t.Parallel()
	l := mustStack(t,
		`{version: 1, default: allow, frontends: [{name: d, match: [a], action: deny, tags: [bad]}, {name: e, match: [e], action: deny, digests: ["`+digestA+`"]}]}`, "")
	d := Decide(l, request(t, "b"))
	require.Equal(t, Allow, d.Verdict)
	require.Equal(t, "default", d.Rule)
	require.Equal(t, "no rule matches b:latest, and the default is to allow", d.Reason)
	require.False(t, d.TagUnverified)

	d = Decide(l, request(t, "a:good@"+digestA))
	require.Equal(t, Allow, d.Verdict)
	require.True(t, d.TagUnverified, "only its tag keeps it from the deny rule")
	require.Equal(t, Undecidable, Decide(l, request(t, "e")).Verdict)
}

func TestTagUnverified(t *testing.T) {
	t.Parallel()
	l := mustStack(t, `version: 1
frontends:
- {name: tagged, match: [a], tags: ["1"]}
- {name: any, match: [b]}
- {name: pinned, match: [c], tags: ["1"], digests: ["`+digestA+`"]}
`, "")
	tests := []struct {
		name string
		r    Request
		want bool
	}{
		{"a rule on tags believes a tag beside a digest", request(t, "a:1@"+digestA), true},
		{"a rule on tags knows a tag that was looked up", request(t, "a:1@"+digestA, "", digestA), false},
		{"a rule on tags knows a tag that is alone", request(t, "a:1", digestA), false},
		{"a rule without tags doesn't rest on one", request(t, "b:1@"+digestA), false},
		{"a rule with digests doesn't rest on a tag", request(t, "c:1@"+digestA), false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			d := Decide(l, tt.r)
			require.Equal(t, Allow, d.Verdict)
			require.Equal(t, tt.want, d.TagUnverified)
			if tt.want {
				require.Equal(t,
					[]string{"the tag 1 is not looked up here; in a build it must point to " + digestA},
					d.Messages)
			} else {
				require.Empty(t, d.Messages)
			}
		})
	}
}

func TestDecideWithoutPolicyOrReference(t *testing.T) {
	t.Parallel()
	d := Decide(Layers{}, request(t, "a"))
	require.Equal(t, Deny, d.Verdict)
	require.Equal(t, "there is no policy, so nothing is allowed", d.Reason)

	d = Decide(mustStack(t, "{version: 1, default: allow}", ""), Request{})
	require.Equal(t, Deny, d.Verdict)
	require.Equal(t, "the request names no frontend", d.Reason)
}

func TestDecisionJSON(t *testing.T) {
	t.Parallel()
	l := mustStack(t, testPolicy, "")
	d := Decide(l, request(t, "docker/pinned:2", digestA))
	out, err := json.Marshal(d)
	require.NoError(t, err)
	require.JSONEq(t,
		`{"verdict":"allow","requested":"docker/pinned:2","source":"docker.io/docker/pinned:2@`+digestA+
			`","rule":"pinned",
		"reason":"rule \"pinned\" allows docker/pinned:2","messages":[],"policy":{"id":"corp","digest":"`+d.Policy.Digest.String()+`"},
		"obligations":{"digests":["`+digestA+`"]},"dispatch":"forward","contact":"#help"}`, string(out))

	out, err = json.Marshal(Decide(Layers{}, Request{}))
	require.NoError(t, err)
	require.Contains(t, string(out), `"messages":[]`)
	require.Contains(t, string(out), `"obligations":{}`)
}

func TestAllowedIsNearestFirstAndBounded(t *testing.T) {
	t.Parallel()
	l := mustStack(t, `version: 1
frontends:
- {match: ["wiki.example/blubber/**"], requireDigest: true}
- {match: [docker/dockerfile], tags: ["2.*", "1.*", "1"]}
- {match: [docker/pinned], digests: ["`+digestA+`"]}
- {match: [docker/never], action: deny}
- {match: ["docker.io/**/x", dockerfile]}
`, "")
	d := Decide(l, request(t, "docker/dockerfile-upstream:1.7"))
	require.Equal(t, []string{
		"docker/dockerfile:1.*", "docker/dockerfile:1", "docker/dockerfile:2.*", "dockerfile",
		"docker/pinned@" + digestA,
	}, d.Allowed)
	d = Decide(l, request(t, "wiki.example/blubber/buildkit:1"))
	require.Equal(t, "wiki.example/blubber/**@sha256:…", d.Allowed[0])
	require.Len(t, d.Allowed, 5)
	require.Empty(t, Decide(l, request(t, "dockerfile")).Allowed, "an allowed build needs no list")
}

func TestWhatNoPolicyCanChange(t *testing.T) {
	t.Parallel()
	l := mustStack(t, "{version: 1, mode: warn, default: allow}", "")
	self := mustRef(t, "corp.example/policy-frontend:2")
	tests := []struct {
		name, ref string
		contexts  []string
		reason    string
	}{
		{
			"itself", "corp.example/policy-frontend", nil,
			"it asks the policy frontend to run itself (corp.example/policy-frontend)",
		},
		{
			"itself in another version", "corp.example/policy-frontend@" + digestA, nil,
			"it asks the policy frontend to run itself",
		},
		{
			"itself in another spelling", "CORP.example:443/policy-frontend:1", nil,
			"it asks the policy frontend to run itself",
		},
		{
			"a named context over itself", "a",
			[]string{"base", "corp.example/policy-frontend:2"},
			`the named context "corp.example/policy-frontend:2" would replace the policy frontend`,
		},
		{
			"a named context over itself in another spelling", "a",
			[]string{"Corp.Example:0443/policy-frontend"},
			"would replace the policy frontend",
		},
		{
			"a copy of itself under another name", "a",
			[]string{"corp.example/policy-frontend:inner-0123456789abcdef"},
			"this image is a copy of the policy frontend, which corp.example/policy-frontend runs",
		},
		{
			"a named context over a tag of itself that is like a copy's", "a",
			[]string{"corp.example/policy-frontend:inner-0123"},
			"would replace the policy frontend",
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			r := request(t, tt.ref)
			r.Self, r.NamedContexts = self, tt.contexts
			d := Decide(l, r)
			require.Equal(t, Deny, d.Verdict)
			require.Equal(t, InvariantRule, d.Rule)
			require.Contains(t, d.Reason, tt.reason)
			r.Self = imageref.Reference{}
			require.Equal(t, Allow, Decide(l, r).Verdict, "outside of a build there is nothing to replace")
		})
	}
	r := request(t, "a")
	r.Self, r.NamedContexts = self, []string{"base", "corp.example/other", "UPPER", ""}
	require.Equal(t, Allow, Decide(l, r).Verdict)
}

func TestBriefDecisionsHaveNoSuggestions(t *testing.T) {
	t.Parallel()
	l := mustStack(t, "version: 1\nfrontends:\n- {name: a, match: [docker/dockerfile]}\n", "")
	full := Decide(l, request(t, "docker/dockerfil:1"))
	require.NotEmpty(t, full.Allowed)
	require.Contains(t, full.Reason, "did you mean")
	brief := Decide(l.Brief(), request(t, "docker/dockerfil:1"))
	require.Empty(t, brief.Allowed)
	require.NotContains(t, brief.Reason, "did you mean")
	require.Equal(t, full.Verdict, brief.Verdict)
}
