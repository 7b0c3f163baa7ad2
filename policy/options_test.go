package policy

import (
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func withOptions(r Request, options map[string]string, inputs ...string) Request {
	r.Options, r.Inputs = options, inputs
	return r
}

func TestOptions(t *testing.T) {
	t.Parallel()
	l := mustStack(t, `version: 1
frontends:
- name: a
  match: [a]
  options:
    deny: ["context:*", "build-arg:BUILDKIT_*", add-hosts]
    strip: ["build-arg:DEBUG*", "*:secret"]
    force: {"build-arg:SANDBOX": "yes", target: release}
- {name: only, match: [b], options: {only: [filename, "build-arg:*", "label:*", "platform"], force: {target: release}, inputs: deny}}
- {name: everything, match: [c], options: {deny: ["*"]}}
- {name: nothing, match: [d], options: {strip: ["*"]}}
- {name: fall, match: [a]}
- {name: inputs, match: [e], options: {inputs: allow}}
- {name: pinned, match: [f], digests: ["`+digestA+`"], options: {deny: [x]}}
- {name: ban, match: [g], digests: ["`+digestA+`"], action: deny}
- {name: g, match: [g], options: {deny: [x]}}
`, "")
	force := map[string]string{"build-arg:SANDBOX": "yes", "target": "release"}
	deny := []string{"add-hosts", "build-arg:BUILDKIT_*", "context:*"}
	carries := map[string]string{
		"source": "self", "cmdline": "self x", "frontend.caps": "y", "build-arg:BUILDKIT_SYNTAX": "self",
		"local-sessionid:context": "1",
	}
	tests := []struct {
		name        string
		r           Request
		verdict     Verdict
		reason      string
		obligations Obligations
	}{
		{
			"options that no condition is for",
			withOptions(request(t, "a"), map[string]string{"filename": "x"}), Allow,
			`rule "a" allows a:latest`,
			Obligations{Force: force, Deny: deny},
		},
		{
			"an option that is refused",
			withOptions(request(t, "a"), map[string]string{"context:base": "x"}), Deny,
			`rule "a" refuses the option "context:base" (options.deny: context:*)`,
			Obligations{},
		},
		{
			"a refused option falls through to no other rule",
			withOptions(request(t, "a"), map[string]string{"add-hosts": ""}), Deny,
			`rule "a" refuses the option "add-hosts" (options.deny: add-hosts)`,
			Obligations{},
		},
		{
			"several options that are refused",
			withOptions(request(t, "a"),
				map[string]string{"add-hosts": "", "build-arg:BUILDKIT_X": "", "context:b": ""}), Deny,
			`rule "a" refuses the option "add-hosts" (options.deny: add-hosts) (and 2 more)`,
			Obligations{},
		},
		{
			"options that are removed",
			withOptions(request(t, "a"),
				map[string]string{
					"build-arg:DEBUG": "1", "build-arg:DEBUG_X": "1", "build-arg:X": "1",
					"a:secret": "",
				}), Allow, "",
			Obligations{
				Strip: []string{"a:secret", "build-arg:DEBUG", "build-arg:DEBUG_X"}, Force: force,
				Deny: deny,
			},
		},
		{
			"an option that is set to the forced value anyway",
			withOptions(request(t, "a"), map[string]string{"target": "release"}), Allow, "",
			Obligations{Force: force, Deny: deny},
		},
		{
			"an option that is set to another value",
			withOptions(request(t, "a"), map[string]string{"target": "debug"}), Deny,
			`rule "a" sets the option "target" to "release", and the build sets another value; leave it out`,
			Obligations{},
		},
		{
			"an option that is set to nothing",
			withOptions(request(t, "a"), map[string]string{"target": ""}), Deny,
			`and the build sets another value`,
			Obligations{},
		},
		{
			"options in another case are others",
			withOptions(request(t, "a"), map[string]string{"ADD-HOSTS": "1"}), Allow, "",
			Obligations{Force: force, Deny: deny},
		},

		{
			"options that are let pass",
			withOptions(request(t, "b"),
				map[string]string{"filename": "x", "build-arg:": "", "target": "release"}), Allow, "",
			Obligations{
				Force: map[string]string{"target": "release"},
				Only:  []string{"build-arg:*", "filename", "label:*", "platform"}, Inputs: ActionDeny,
			},
		},
		{
			"an option that isn't", withOptions(request(t, "b"), map[string]string{"filenames": "x"}), Deny,
			`rule "only" refuses the option "filenames": it is none of those that it lets pass: filename, build-arg:*, label:* and others (options.only)`,
			Obligations{},
		},
		{
			"what carries the build is always let pass", withOptions(request(t, "b"), carries), Allow, "",
			Obligations{
				Force: map[string]string{"target": "release"},
				Only:  []string{"build-arg:*", "filename", "label:*", "platform"}, Inputs: ActionDeny,
			},
		},
		{
			"what carries the build is never refused", withOptions(request(t, "c"), carries), Allow, "",
			Obligations{Deny: []string{"*"}},
		},
		{
			"everything else is", withOptions(request(t, "c"), map[string]string{"local-session": ""}), Deny,
			`refuses the option "local-session"`,
			Obligations{},
		},
		{
			"what carries the build is never removed", withOptions(request(t, "d"), carries), Allow, "",
			Obligations{},
		},
		{
			"everything else is removed",
			withOptions(request(t, "d"), map[string]string{"x": "", "source": ""}), Allow, "",
			Obligations{Strip: []string{"x"}},
		},

		{
			"inputs that are refused", withOptions(request(t, "b"), nil, "z", "base"), Deny,
			`rule "only" refuses frontend inputs (options.inputs: deny), and the build has "base"`,
			Obligations{},
		},
		{
			"inputs that no condition is for", withOptions(request(t, "a"), nil, "base"), Allow, "",
			Obligations{Force: force, Deny: deny},
		},
		{"inputs that are allowed", withOptions(request(t, "e"), nil, "base"), Allow, "", Obligations{}},

		{
			"a name that is too long to compare",
			withOptions(request(t, "a"), map[string]string{strings.Repeat("x", 4097): ""}), Deny,
			"its name has 4097 bytes, more than 4096",
			Obligations{},
		},
		{
			"a name that can't be printed",
			withOptions(request(t, "a"), map[string]string{"context:\x1b[2J": ""}), Deny,
			`rule "a" refuses the option "context:\x1b[2J" (options.deny: context:*)`,
			Obligations{},
		},

		{
			"options wait for the digest that says whether the rule is for it",
			withOptions(request(t, "f"), map[string]string{"x": ""}), Undecidable, "",
			Obligations{},
		},
		{
			"and are refused then", withOptions(request(t, "f", digestA), map[string]string{"x": ""}), Deny,
			`rule "pinned" refuses the option "x"`,
			Obligations{},
		},
		{
			"options that are refused whatever the digest don't wait",
			withOptions(request(t, "g"), map[string]string{"x": ""}), Deny,
			`rule "g" refuses the option "x"`,
			Obligations{},
		},
		{
			"options that are in order do", withOptions(request(t, "g"), nil), Undecidable, "",
			Obligations{},
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			d := Decide(l, tt.r)
			require.Equal(t, tt.verdict, d.Verdict, d.Reason)
			require.Contains(t, d.Reason, tt.reason)
			require.NotContains(t, d.Reason, "\x1b")
			require.Equal(t, tt.obligations, d.Obligations)
		})
	}
}

func TestOptionsOfTwoLayers(t *testing.T) {
	t.Parallel()
	rule := func(options string) string {
		return "{version: 1, frontends: [{name: a, match: [a], options: " + options + "}]}"
	}
	tests := []struct {
		name, embedded, overlay string
		options                 map[string]string
		verdict                 Verdict
		reason                  string
		obligations             Obligations
	}{
		{
			"what either removes is removed", `{strip: [x, y]}`, `{strip: [y, z]}`,
			map[string]string{"x": "", "y": "", "z": ""},
			Allow, "",
			Obligations{Strip: []string{"x", "y", "z"}},
		},
		{
			"what either refuses is refused", `{deny: [x]}`, `{deny: [y]}`, nil, Allow, "",
			Obligations{Deny: []string{"x", "y"}},
		},
		{
			"the overlay refuses", `{deny: [x]}`, `{deny: [y]}`,
			map[string]string{"y": ""},
			Deny,
			`the overlay decided: rule "a" refuses the option "y"`,
			Obligations{},
		},
		{
			"what both let pass passes", `{only: ["build-arg:*", x]}`,
			`{only: ["build-arg:A*", "build-arg:B", y]}`,
			map[string]string{"build-arg:AA": ""},
			Allow, "",
			Obligations{Only: []string{"build-arg:A*", "build-arg:B"}},
		},
		{
			"what globs of both let pass passes", `{only: ["*A", x]}`, `{only: ["B*", x]}`,
			map[string]string{"BA": ""},
			Allow, "",
			Obligations{Only: []string{"BA", "x"}},
		},
		{
			"nothing that both let pass", `{only: [x]}`, `{only: [y]}`, nil, Deny,
			"have no allowed option in common",
			Obligations{},
		},
		{
			"inputs of one side", `{inputs: deny}`, `{inputs: allow}`, nil, Allow, "",
			Obligations{Inputs: ActionDeny},
		},
		{
			"what both force is forced", `{force: {x: "1", y: "1"}}`, `{force: {y: "1", z: "1"}}`, nil,
			Allow, "",
			Obligations{Force: map[string]string{"x": "1", "y": "1", "z": "1"}},
		},
		{
			"different values", `{force: {x: "1"}}`, `{force: {x: "2"}}`, nil, Deny,
			`force different values of the option "x"`,
			Obligations{},
		},
		{
			"an overlay that forces what the policy refuses", `{deny: ["context:*"]}`,
			`{force: {"context:base": "docker-image://evil.example/x"}}`, nil, Deny,
			`the overlay forces the option "context:base", and the policy refuses it`,
			Obligations{},
		},
		{
			"an overlay that forces what the policy doesn't let pass", `{only: [x]}`, `{force: {y: "1"}}`,
			nil, Deny, `the overlay forces the option "y", and the policy doesn't let it pass`,
			Obligations{},
		},
		{
			"an overlay that forces what the policy removes", `{strip: [x]}`, `{force: {x: "1"}}`, nil, Deny,
			`the overlay forces the option "x", and the policy removes it`,
			Obligations{},
		},
		{
			"a policy that forces what the overlay refuses", `{force: {x: "1"}}`, `{deny: [x]}`, nil, Deny,
			`the policy forces the option "x", and the overlay refuses it`,
			Obligations{},
		},
		{
			"an overlay that forces what the policy forces and lets pass", `{force: {x: "1"}, only: [y]}`,
			`{force: {x: "1"}}`, nil, Allow, "",
			Obligations{Force: map[string]string{"x": "1"}, Only: []string{"y"}},
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			d := Decide(mustStack(t, rule(tt.embedded), rule(tt.overlay)),
				withOptions(request(t, "a"), tt.options))
			require.Equal(t, tt.verdict, d.Verdict, d.Reason)
			require.Contains(t, d.Reason, tt.reason)
			require.Equal(t, tt.obligations, d.Obligations)
			if tt.verdict == Deny {
				require.Equal(t, LayerOverlay, d.Layer)
			}
		})
	}
}

func TestNoPolicyForcesAContextOverThePolicyFrontend(t *testing.T) {
	t.Parallel()
	const anything = "version: 1\ndefault: allow\n"
	forcing := func(key string) string {
		return fmt.Sprintf(
			"version: 1\nfrontends: [{match: [a], options: {force: {%q: docker-image://evil.example/x}}}]\n",
			key)
	}
	for _, tt := range []struct{ name, self, key string }{
		{"a DNS host", "self.example/us:1", "context:self.example/us:inner-0123456789abcdef"},
		{
			"a DNS host for a platform", "self.example/us:1",
			"context:self.example/us:inner-0123456789abcdef::linux/amd64",
		},
		{"a DNS host in another spelling", "self.example/us:1", "context:SELF.example/us::linux/amd64"},
		{
			"an IPv6 host", "[2001:db8::1]:5000/us:1",
			"context:[2001:db8::1]:5000/us:inner-0123456789abcdef",
		},
		{
			"an IPv6 host for a platform", "[2001:db8::1]:5000/us:1",
			"context:[2001:db8::1]:5000/us:inner-0123456789abcdef::linux/amd64",
		},
		{
			"an IPv6 host in another spelling", "[2001:db8::1]:5000/us:1",
			"context:[2001:DB8::1]:5000/us::windows(10.0.1)/amd64",
		},
		{"an IPv6 host without a port", "[::1]/us:1", "context:[::1]/us::linux/arm/v7"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			for layer, l := range map[string]Layers{
				LayerPolicy:  mustStack(t, forcing(tt.key), ""),
				LayerOverlay: mustStack(t, anything, forcing(tt.key)),
			} {
				r := request(t, "a")
				require.Equal(t, Allow, Decide(l, r).Verdict, layer)
				r.Self = mustRef(t, tt.self)
				d := Decide(l, r)
				require.Equal(t, Deny, d.Verdict, layer)
				require.Equal(t, InvariantRule, d.Rule)
				require.Contains(t, d.Reason, "a policy forces the named context")
			}
			r := request(t, "a")
			r.Self = mustRef(t, "[2001:db8::2]:5000/other:1")
			require.Equal(t, Allow, Decide(mustStack(t, forcing(tt.key), ""), r).Verdict,
				"over another image")
		})
	}
}
