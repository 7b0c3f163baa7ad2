package policy

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.yaml.in/yaml/v3"

	"github.com/policy-frontend/policy-frontend/policy/buildrules"
	"github.com/policy-frontend/policy-frontend/policy/clients"
)

// named returns the client with these names, which are separated by spaces; the unknown one for "".
func named(t *testing.T, names string) clients.Client {
	t.Helper()
	if names == "nobody" {
		return clients.Certificate{}.Client()
	}
	c, err := clients.Parse(strings.Fields(names))
	require.NoError(t, err)
	return c
}

func TestWhoCanRunAFrontend(t *testing.T) {
	t.Parallel()
	const (
		allows = `frontends: [{name: ci, match: [a], clients: ["cn:ci-*", "uid:7"]}]`
		denies = `default: allow
frontends: [{name: no, match: [a], action: deny, clients: ["cn:ci-*", "uid:7"]}]`
	)
	for name, tt := range map[string]struct {
		policy, client string
		verdict        Verdict
		reason         string
	}{
		"a client in the list can": {allows, "cn:ci-1", Allow, `rule "ci" allows a`},
		"another one can't": {
			allows, "uid:8 gid:7", Deny,
			`rule "ci" would allow it, but only for cn:ci-* and uid:7, not for uid:8 and gid:7`,
		},
		"an unknown one can't": {
			allows, "", Deny,
			`rule "ci" would allow it, but only for cn:ci-* and uid:7, and it isn't known who builds`,
		},
		"one without a name can't": {
			allows, "nobody", Deny, `rule "ci" would allow it, but only for cn:ci-* and uid:7, not for ` +
				`a client without a name that a policy can know`,
		},
		"a denied one can't": {
			denies, "uid:7", Deny, `rule "no" denies a for cn:ci-* and uid:7, and this is uid:7`,
		},
		"one that isn't denied can": {
			denies, "uid:8", Allow, "no rule matches a, and the default is to allow",
		},
		"one that surely isn't denied can, although it has no name": {
			denies, "nobody", Allow, "no rule matches a, and the default is to allow",
		},
		"where some are denied, an unknown one is": {
			denies, "", Deny, `rule "no" denies a for cn:ci-* and uid:7, and it isn't known who builds`,
		},
		"what is denied is denied in each letter case": {
			denies, "cn:CI-1", Deny,
			`rule "no" denies a for cn:ci-* and uid:7, and this can be one of them: cn:CI-1`,
		},
		"a rule for others leaves it to the next one": {
			allows[:len(allows)-1] + `, {name: all, match: [a], tags: ["2"]}]`, "uid:1", Deny,
			`rule "ci" would allow it, but only for cn:ci-* and uid:7, not for uid:1`,
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			l := stackOf(t, tt.policy, "").For(named(t, tt.client))
			r := Request{Reference: refs(t, "a:1")[0], Requested: "a:1"}
			d := Decide(l, r)
			require.Equal(t, tt.verdict, d.Verdict)
			require.Equal(t, tt.reason, strings.ReplaceAll(d.Reason, "a:1", "a"))
			require.Equal(t, d, Explain(l, r).Decision)
		})
	}
}

func TestOneWhoseNamesCantBeReadIsDenied(t *testing.T) {
	t.Parallel()
	l := stackOf(t, `default: allow
frontends: [{name: no, match: [a], action: deny, clients: ["spiffe://corp/x/*"]}]`, "")
	decide := func(c clients.Certificate) string {
		return Decide(l.For(c.Client()), Request{Reference: refs(t, "a")[0]}).Reason
	}
	require.Contains(t, decide(clients.Certificate{URIs: []string{"spiffe://corp/%78/y"}}),
		"this can be one of them: a client without a name that a policy can know")
	require.NotContains(t, decide(clients.Certificate{URIs: []string{"spiffe://corp/y"}}), "denies")
}

func TestARefusedClientIsTold(t *testing.T) {
	t.Parallel()
	l := stackOf(t, `contact: "#builds"
frontends:
- {name: release, match: [docker/dockerfile], clients: ["cn:release-*"], message: "ask for a certificate"}
- {name: other, match: [corp/x]}`, "").For(named(t, "uid:1000 gid:1000"))
	d := Decide(l, Request{
		Requested: "docker/dockerfile:1", Reference: refs(t, "docker/dockerfile:1")[0],
		Time: time.Unix(0, 0),
	})
	require.Equal(t, `frontend docker/dockerfile:1 is refused: rule "release" would allow it, but only for `+
		`cn:release-*, not for uid:1000 and gid:1000
  image:        docker.io/docker/dockerfile:1
  rule:         default
  policy:       `+l.embedded.Digest().String()+`
  allowed:      corp/x
  contact:      #builds`, d.Text(""))
}

func TestWhichImagesAClientCanRead(t *testing.T) {
	t.Parallel()
	l := stackOf(t, `dispatch: mediate
build:
  images:
  - {name: ci, match: ["m.example/**"], clients: ["cn:ci"]}
  - {name: no, match: ["m.example/secret"], action: deny, clients: ["cn:c*"]}
frontends: [{match: [a]}]`, "")
	for name, tt := range map[string]struct{ client, image, want string }{
		"a client in the list can": {"cn:ci", "m.example/x", ""},
		"another one can't": {
			"cn:x", "m.example/x", `the policy refuses the image m.example/x:latest: rule "ci" would allow it, but ` +
				`only for cn:ci, not for cn:x (build.images.rules: ci)`,
		},
		"a denied one can't": {
			"cn:ci", "m.example/secret", `the policy refuses the image m.example/secret:latest: rule "no" denies it ` +
				`for cn:c*, and this is cn:ci (build.images.rules: no)`,
		},
		"an unknown one can't": {
			"", "m.example/secret", `the policy refuses the image m.example/secret:latest: rule "no" denies it ` +
				`for cn:c*, and it isn't known who builds (build.images.rules: no) (and 1 more)`,
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d := Decide(l.For(named(t, tt.client)), Request{Reference: refs(t, "a")[0]})
			require.Equal(t, Allow, d.Verdict, d.Reason)
			r := d.Check(buildrules.Operation{Image: tt.image})
			require.Equal(t, tt.want, r.Reason)
			require.Equal(t, tt.want == "", r.Verdict == Allow)
		})
	}
	// Rules for other clients are rules still: without them, each image would be allowed.
	d := Decide(l.For(named(t, "cn:x")), Request{Reference: refs(t, "a")[0]})
	require.Equal(t, Deny, d.Check(buildrules.Operation{Image: "q.example/y"}).Verdict)
}

func TestWhereResultsOfAClientCanGo(t *testing.T) {
	t.Parallel()
	const prod = `exports:
  push:
  - {clients: ["cn:release-*"], allow: ["r.example/prod/**"]}
  - {allow: ["r.example/dev/**"]}
  - {clients: ["uid:7"], deny: ["r.example/dev/x"]}
  store: {clients: ["uid:1"], allow: [b]}`
	push := func(name string) func(l Layers) Ruling {
		return func(l Layers) Ruling {
			return l.DecideExport(Export{Type: ExportImage, Push: true, Names: refs(t, name)})
		}
	}
	store := func(names string) func(l Layers) Ruling {
		return func(l Layers) Ruling {
			return l.DecideExport(Export{Type: ExportImage, Names: refs(t, names)})
		}
	}
	for name, tt := range map[string]struct {
		policy, overlay, client string
		ask                     func(Layers) Ruling
		want                    string
	}{
		"to what its rule allows":   {prod, "", "cn:release-1", push("r.example/prod/a"), ""},
		"to what all are allowed":   {prod, "", "cn:release-1", push("r.example/dev/a"), ""},
		"an unknown one, as others": {prod, "", "", push("r.example/dev/a"), ""},
		"not to what others are allowed": {
			prod, "", "uid:1", push("r.example/prod/a"),
			"pushing to r.example/prod/a:latest, which is only for cn:release-*, not for uid:1 " +
				"(exports.push.clients)",
		},
		"not to what nobody is allowed": {
			prod, "", "uid:1", push("q.example/a"),
			"pushing to q.example/a:latest: it allows only r.example/dev/** (exports.push.allow)",
		},
		"not to what it is denied": {
			prod, "", "uid:7", push("r.example/dev/x"),
			"pushing to r.example/dev/x:latest for uid:7 (exports.push.deny: r.example/dev/x)",
		},
		"an unknown one not to what some are denied": {
			prod, "", "", push("r.example/dev/x"), "pushing to r.example/dev/x:latest for uid:7, and it " +
				"isn't known who builds (exports.push.deny: r.example/dev/x)",
		},
		"a store of its own": {prod, "", "uid:1", store("b"), ""},
		"a store without a name if it has one": {
			prod, "", "uid:2", store(""),
			"an image in the builder's own image store, which is only for uid:1, not for uid:2 " +
				"(exports.store)",
		},
		"not to what the overlay allows others": {
			prod, `exports: {push: {clients: ["uid:9"], allow: ["**"]}}`, "uid:1", push("r.example/dev/a"),
			"the overlay refuses pushing to r.example/dev/a:latest, which is only for uid:9, not for " +
				"uid:1 (exports.push.clients)",
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			requireRuling(t, ExportsRule, tt.want,
				tt.ask(stackOf(t, tt.policy, tt.overlay).For(named(t, tt.client))))
		})
	}
}

func TestWhichCachesAndScannersAClientCanUse(t *testing.T) {
	t.Parallel()
	l := stackOf(t, `caches: {exports: {registry: {clients: ["cn:ci"], allow: ["r.example/**"]}}}
sbom: {generators: {clients: ["cn:ci"], allow: [s/s]}}`, "")
	use := CacheUse{Export: true, Type: CacheRegistry, Name: refs(t, "r.example/c")[0]}
	for client, want := range map[string]Verdict{"cn:ci": Allow, "cn:x": Deny, "": Deny} {
		by := l.For(named(t, client))
		require.Equal(t, want, by.DecideCache(use).Verdict, client)
		require.Equal(t, want, by.DecideGenerator(refs(t, "s/s")[0]).Verdict, client)
	}
}

func TestWhoCanSendLLB(t *testing.T) {
	t.Parallel()
	const some = `llb: {clients: ["uid:1", "uid:2"]}`
	for name, tt := range map[string]struct{ policy, overlay, client, want string }{
		"a client in the list": {some, "", "uid:1", ""},
		"not another one": {
			some, "", "uid:3", "the policy allows LLB only for uid:1 and uid:2, not for uid:3 (llb.clients)",
		},
		"not an unknown one": {
			some, "", "", "the policy allows LLB only for uid:1 and uid:2, and it isn't known who builds " +
				"(llb.clients)",
		},
		"not one that the overlay doesn't list": {
			some, `llb: {clients: ["uid:2"]}`, "uid:1",
			"the overlay decided: it allows LLB only for uid:2, not for uid:1 (llb.clients)",
		},
		"not one that only the overlay lists": {
			some, `llb: {clients: ["uid:3"]}`, "uid:3",
			"the policy allows LLB only for uid:1 and uid:2, not for uid:3 (llb.clients)",
		},
		"an overlay that allows all leaves it": {some, "llb: allow", "uid:1", ""},
		"everybody":                            {"llb: allow", "", "", ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			l := stackOf(t, tt.policy, tt.overlay).For(named(t, tt.client))
			d := l.LLB(time.Unix(0, 0))
			if tt.want == "" {
				require.Equal(t, Allow, d.Verdict, d.Reason)
			} else {
				require.Equal(t, Deny, d.Verdict)
				require.Equal(t, tt.want, d.Reason)
			}
			require.Equal(t, d, l.ExplainLLB(time.Unix(0, 0)).Decision)
		})
	}
}

func TestExplainShowsWhomWhatIsFor(t *testing.T) {
	t.Parallel()
	l := stackOf(t, `frontends:
- {name: no, match: [a], action: deny, clients: ["uid:2"]}
- {name: yes, match: [a], clients: ["uid:1"]}
exports: {push: [{clients: ["uid:1"], allow: [x]}, {allow: [y], deny: [z]}, {clients: ["uid:3"], deny: [y]}]}`,
		"").For(named(t, "uid:1"))
	shown := map[string]string{}
	for _, s := range Explain(l, Request{Reference: refs(t, "a")[0]}).Steps {
		shown[string(s.Kind)+s.Rule] = s.Reason
	}
	require.Equal(t, "it is only for uid:2, not for uid:1", shown["ruleno"])
	require.Equal(t, "it allows a:latest", shown["ruleyes"])
	require.Equal(t, "policy-guard lets results go only there: the client (local, tar, oci, docker); "+
		"pushed to x (for uid:1); y, but not z; not y (for uid:3)", shown["exports"])
}

func TestTheFieldLLBIsWrittenAsItWas(t *testing.T) {
	t.Parallel()
	for _, text := range []string{"llb: allow", "llb: deny", "llb:\n    clients:\n        - uid:1"} {
		doc := stackOf(t, text, "").embedded.Document()
		out, err := yaml.Marshal(doc)
		require.NoError(t, err)
		require.Contains(t, string(out), text+"\n")
	}
}

// A rule for a client gives it an entitlement, and a build that turns out to run under another one
// is refused.
func TestAnEntitlementByTheRuleForAClient(t *testing.T) {
	t.Parallel()
	l := stackOf(t, `dispatch: mediate
frontends:
- {name: gpu, match: [a], clients: ["uid:1"], build: {exec: {insecure: true}}}
- {name: all, match: [a]}`, "")
	e, err := buildrules.ParseEntitlement("security.insecure")
	require.NoError(t, err)
	r := Request{Reference: refs(t, "a")[0]}
	one, two := l.For(named(t, "uid:1")), l.For(named(t, "uid:2"))
	require.Equal(t, Allow, one.DecideEntitlement(e).Verdict)
	require.Equal(t, Allow, Decide(one, r).CheckEntitlement(e).Verdict)
	require.Equal(t, "the policy refuses the entitlement security.insecure, because the build rules for "+
		`rule "gpu" list it only for uid:1, not for uid:2 (build.exec.insecure)`,
		two.DecideEntitlement(e).Reason)
	require.Equal(t, Deny, Decide(two, r).CheckEntitlement(e).Verdict)
}

func TestABuildFileIsReadUnderTheRulesForItsClient(t *testing.T) {
	t.Parallel()
	l := stackOf(t, `frontends:
- {match: [a], clients: ["uid:1"], build: {git: {allow: ["g.example"]}}}
- {match: [a], build: {git: deny}}`, "")
	git := buildrules.Operation{Git: &buildrules.Git{URL: "https://g.example/x"}}
	for client, want := range map[string]bool{"uid:1": true, "uid:2": false, "": false} {
		allowed := false
		for _, d := range l.For(named(t, client)).Readers(time.Unix(0, 0))[0] {
			allowed = allowed || d.Check(git).Verdict == Allow
		}
		require.Equal(t, want, allowed, client)
	}
}

func TestWhereClientsAreKnownAlone(t *testing.T) {
	t.Parallel()
	for fields, want := range map[string]string{
		`frontends: [{match: [a]}, {match: [b], clients: ["uid:1"]}]`: "frontends[1].clients",
		`build: {images: [{match: [a]}, {match: [a], clients: ["uid:1"]}]}`: "build.images.rules[1]." +
			"clients",
		`frontends: [{match: [a], build: {images: [{match: [a], clients: ["uid:1"]}]}}]`: "frontends[0]." +
			"build.images.rules[0].clients",
		`llb: {clients: ["uid:1"]}`:                                         "llb.clients",
		`exports: {push: {clients: ["uid:1"], allow: [a]}}`:                 "exports.push.clients",
		`exports: {store: [{allow: [a]}, {clients: ["uid:1"], deny: [b]}]}`: "exports.store.rules[1].clients",
		`caches: {imports: {registry: [{clients: ["uid:1"], allow: [a]}]}}`: "caches.imports.registry." +
			"rules[0].clients",
		`caches: {exports: {registry: {clients: ["uid:1"], allow: [a]}}}`: "caches.exports.registry." +
			"clients",
		`sbom: {generators: {clients: ["uid:1"], allow: [a]}}`: "sbom.generators.clients",
		`administration: {clients: ["uid:1"]}`:                 "",
		`default: allow`:                                       "",
	} {
		l := stackOf(t, "id: corp\n"+fields, "")
		require.Equal(t, want, l.embedded.NamesClients())
		require.Equal(t, want != "", l.NamesClients())
		require.NoError(t, l.For(named(t, "nobody")).CheckClient())
		if want == "" {
			require.NoError(t, l.CheckClient())
			require.Empty(t, l.embedded.ClientConditions())
			continue
		}
		require.EqualError(t, l.CheckClient(), `this policy "corp" names clients (`+want+`), and only `+
			"policy-guard knows who builds: build through policy-guard, or have clients removed")
		require.Len(t, l.embedded.ClientConditions(), 1)
		require.ErrorContains(t, stackOf(t, "id: x", fields).CheckClient(),
			"the overlay names clients ("+want+")")
	}
}

func TestMistakesInClients(t *testing.T) {
	t.Parallel()
	for doc, want := range map[string]string{
		"frontends: [{match: [a], clients: []}]":            "clients is empty",
		`frontends: [{match: [a], clients: [alice]}]`:       `clients: "alice" is of no known kind`,
		`build: {images: [{match: [a], clients: ["cn:"]}]}`: "clients: \"cn:\" has an empty name",
		"llb: {}":                               "llb is empty",
		"llb: {clients: []}":                    "clients is empty",
		"llb: {mode: allow}":                    "unknown field",
		`exports: {push: {clients: ["uid:1"]}}`: "push has no allow",
		`exports: {push: {clients: ["uid:1"], rules: [{allow: [a]}]}}`: "clients has no allow and no deny " +
			"beside it",
		"exports: {push: []}":                       "push has no rules",
		`exports: {push: [{clients: ["uid:1"]}]}`:   "the rule has neither allow nor deny",
		`exports: {push: [{allow: [a], deny: []}]}`: "deny is empty",
		"exports: {push: [~]}":                      "has no value",
	} {
		_, err := Parse("p", []byte("version: 1\n"+doc+"\n"))
		require.ErrorContains(t, err, want, doc)
	}
}

// What a condition on clients means is what the policy without it means, or the policy without the
// rule.
func TestAConditionOnClientsIsARuleOrNone(t *testing.T) {
	t.Parallel()
	r := rand.New(rand.NewPCG(1, 2))
	one := func(list ...string) string { return list[r.IntN(len(list))] }
	names := []string{
		"", "nobody", "uid:1", "uid:2", "uid:1 gid:2", "cn:a", "cn:A", "cn:ab dns:b.a", "spiffe://a/b",
		"spiffe://a/b/c",
	}
	patterns := func() string {
		return one("uid:1", "gid:2", "cn:a", "cn:a*", "dns:*.a", "spiffe://a/*", "spiffe://a/b")
	}
	for range 3000 {
		client := named(t, one(names...))
		var with, without, image, plain []string
		allowsImage := false
		for i := range 1 + r.IntN(3) {
			rule := fmt.Sprintf(`{name: r%d, match: [%s]`, i, one("a", "b", `"**"`))
			if r.IntN(3) == 0 {
				rule += ", action: deny"
			}
			if r.IntN(4) == 0 {
				rule += ", mode: warn"
			}
			list, pattern := "", patterns()
			p, err := clients.ParsePattern(pattern)
			require.NoError(t, err)
			isDeny := strings.Contains(rule, "deny")
			applies := p.Match(client)
			if isDeny {
				applies = p.MayMatch(client)
			}
			if r.IntN(2) == 0 {
				list = fmt.Sprintf(`, clients: ["%s"]`, pattern)
			} else {
				applies = true
			}
			with = append(with, rule+list+"}")
			if applies {
				without = append(without, rule+"}")
			}
			if strings.Contains(rule, "mode") && !isDeny {
				continue // An allow rule on images has no mode.
			}
			image = append(image, rule+list+"}")
			allowsImage = allowsImage || !isDeny
			if applies {
				plain = append(plain, rule+"}")
			}
		}
		fields := one("default: allow", "default: deny", "mode: warn") + "\ndispatch: mediate\n"
		say := fields + strings.Join(with, "\n") + client.String()
		a := stackOf(t, fields+"frontends: ["+strings.Join(with, ", ")+"]", "").For(client)
		b := stackOf(t, fields+"frontends: ["+strings.Join(without, ", ")+"]", "")
		q := Request{Reference: refs(t, one("a", "b", "c"))[0], Time: time.Unix(0, 0)}
		was, is := Decide(a, q), Decide(b, q)
		require.Equal(t, is.Verdict, was.Verdict, say)
		require.Equal(t, is.Rule, was.Rule, say)
		require.Len(t, was.Warnings, len(is.Warnings), say)

		if allowsImage { // Else there would be no rule that restricts images.
			plain = append(plain, `{name: last, match: ["never.example/x"]}`)
		}
		if len(image) == 0 || len(plain) == 0 {
			continue
		}
		rules := func(list []string) string {
			return "default: allow\ndispatch: mediate\nbuild: {images: [" + strings.Join(list, ", ") + "]}"
		}
		o := buildrules.Operation{Image: one("a", "b", "c")}
		require.Equal(t,
			Decide(stackOf(t, rules(plain), ""), q).Check(o).Verdict,
			Decide(stackOf(t, rules(image), "").For(client), q).Check(o).Verdict,
			strings.Join(image, "\n")+client.String())
	}
}
