package policy

import (
	"fmt"
	"math/rand/v2"
	"reflect"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"go.yaml.in/yaml/v3"

	"github.com/policy-frontend/policy-frontend/policy/clients"
)

func TestWhichResultsAClientGets(t *testing.T) {
	t.Parallel()
	const some = `exports:
  client: [{allow: [oci, docker]}, {clients: ["cn:ci-*"], allow: [local]}, {clients: ["cn:*-x"], deny: [oci]}]
  annotations: [{allow: ["org.*"]}, {clients: ["uid:1"], allow: ["com.*"]}, {clients: ["uid:2"], deny: ["ORG.a*"]}]`
	to := func(kind string, keys ...string) Export { return Export{Type: kind, Annotations: keys} }
	for name, tt := range map[string]struct {
		policy, overlay, client string
		export                  Export
		want                    string // "" if it is allowed
	}{
		"what all can have":   {some, "", "", to("docker"), ""},
		"what some can have":  {some, "", "cn:ci-1", to("local"), ""},
		"not what nobody can": {some, "", "cn:ci-1", to("tar"), "type tar: it allows only oci, docker or local (exports.client.allow)"},
		"not what others can have": {
			some, "", "cn:a", to("local"),
			"the policy refuses a result for the client of the type local, which is only for cn:ci-*, not " +
				"for cn:a (exports.client.clients)",
		},
		"not what is denied to it": {
			some, "", "cn:ci-x", to("oci"),
			"a result for the client of the type oci for cn:ci-x (exports.client.deny: oci)",
		},
		"not what is denied to some, for a client that nobody knows": {
			some, "", "", to("oci"),
			"type oci for cn:*-x, and it isn't known who builds (exports.client.deny: oci)",
		},
		"a key that all can set":  {some, "", "uid:3", to("docker", "org.a"), ""},
		"a key that some can set": {some, "", "uid:1", to("docker", "com.a"), ""},
		"not a key that others can set": {
			some, "", "uid:3", to("docker", "com.a"),
			"the annotation com.a, which is only for uid:1, not for uid:3 (exports.annotations.clients)",
		},
		"not a key that is denied in other letters": {
			some, "", "uid:2", to("docker", "org.abc"),
			"the annotation org.abc for uid:2 (exports.annotations.deny: ORG.a*)",
		},
		"a key that isn't denied to it": {some, "", "uid:2", to("docker", "org.b"), ""},
		"no mark of attestations": {
			`exports: {annotations: [{clients: ["uid:1"], allow: ["*"]}]}`, "", "uid:1",
			to("oci", "vnd.docker.reference.type"), "marks attestations",
		},
		"fields in place of a list": {
			`exports: {client: {clients: ["uid:1"], allow: [tar]}}`, "", "uid:1", to("tar"), "",
		},
		"a denial in fields": {
			`exports: {client: {allow: [tar, oci], deny: [oci]}}`, "", "", to("oci"),
			"type oci (exports.client.deny: oci)",
		},
		"every exporter without a list": {`exports: {annotations: ["*"]}`, "", "nobody", to("tar"), ""},
		"what an overlay leaves": {
			some, `exports: {client: {clients: ["cn:a"], allow: [docker]}}`, "cn:a", to("docker"), "",
		},
		"not what an overlay allows to others": {
			some, `exports: {client: {clients: ["cn:a"], allow: [docker]}}`, "cn:b", to("docker"),
			"the overlay refuses a result for the client of the type docker, which is only for cn:a, not " +
				"for cn:b (exports.client.clients)",
		},
		"not what only an overlay allows": {
			`exports: {client: [{clients: ["cn:a"], allow: [oci]}]}`, "exports: {client: [oci]}", "cn:b",
			to("oci"), "the policy refuses a result for the client of the type oci, which is only for cn:a",
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			l := stackOf(t, tt.policy, tt.overlay).For(named(t, tt.client))
			requireRuling(t, ExportsRule, tt.want, l.DecideExport(tt.export))
		})
	}
}

func TestWhoHasAPermission(t *testing.T) {
	t.Parallel()
	local := func(export bool) func(Layers) Ruling {
		return func(l Layers) Ruling {
			return l.DecideCache(CacheUse{Export: export, Type: CacheLocal})
		}
	}
	const hers = `{clients: ["uid:1", "spiffe://a/*"]}`
	for _, of := range []struct {
		rule, field, what string
		doc               func(permission string) string
		ask               func(Layers) Ruling
	}{
		{
			DebugRule, "debug", "containers that a client runs by itself",
			func(p string) string { return "debug: " + p }, Layers.DecideDebug,
		},
		{
			CachesRule, "caches.imports.local", "importing a build cache in a directory of the client",
			func(p string) string { return "caches: {imports: {local: " + p + "}}" }, local(false),
		},
		{
			CachesRule, "caches.exports.local", "exporting a build cache in a directory of the client",
			func(p string) string { return "caches: {exports: {local: " + p + "}}" }, local(true),
		},
	} {
		for name, tt := range map[string]struct{ policy, overlay, client, want string }{
			"a client in the list": {hers, "", "uid:1", ""},
			"not another one": {
				hers, "", "uid:2", "the policy refuses " + of.what + ": it allows that only for uid:1 and " +
					"spiffe://a/*, not for uid:2 (" + of.field + ".clients)",
			},
			"not one below what a pattern is for": {hers, "", "spiffe://a/b/c", "not for spiffe://a/b/c"},
			"not an unknown one":                  {hers, "", "", "and it isn't known who builds"},
			"everybody":                           {"allow", "", "", ""},
			"nobody":                              {"deny", "", "uid:1", "the policy refuses " + of.what},
			"an overlay that allows it to more":   {hers, "allow", "uid:1", ""},
			"not what only an overlay allows":     {hers, "allow", "uid:2", "the policy refuses"},
			"not what an overlay refuses":         {hers, "deny", "uid:1", "the overlay refuses " + of.what},
			"not one that the overlay leaves out": {
				hers, `{clients: ["uid:3"]}`, "uid:1",
				"the overlay refuses " + of.what + ": it allows that only for uid:3, not for uid:1",
			},
		} {
			overlay := ""
			if tt.overlay != "" {
				overlay = of.doc(tt.overlay)
			}
			l := stackOf(t, of.doc(tt.policy), overlay).For(named(t, tt.client))
			requireRuling(t, of.rule, tt.want, of.ask(l))
			require.Equal(t, tt.want == "", of.ask(l).Reason == "", of.field+": "+name)
		}
	}
	refused := stackOf(t, "debug: "+hers, "").For(named(t, "uid:2"))
	require.Equal(t, []string{
		"run the command in a step of the build, or have them allowed to this client by debug.clients",
	}, refused.DecideDebug().Messages)
}

func TestExplainShowsWhomResultsAreFor(t *testing.T) {
	t.Parallel()
	l := stackOf(t, `frontends: [{match: [a]}]
exports:
  client: [{allow: [oci]}, {clients: ["uid:1"], allow: [local]}]
  annotations: {clients: ["uid:2"], allow: ["org.*"], deny: [org.a]}
caches: {imports: {local: {clients: ["uid:3"]}}, exports: {local: allow}}
debug: {clients: ["uid:4"]}`, "")
	shown := map[StepKind]string{}
	for _, s := range Explain(l, Request{Reference: refs(t, "a")[0]}).Steps {
		shown[s.Kind] = strings.TrimPrefix(s.Reason, "policy-guard lets ")
	}
	require.Equal(t, "results go only there: the client (oci; local (for uid:1)); with annotations org.*, "+
		"but not org.a (for uid:2)", shown[StepExports])
	require.Equal(t, "builds use only these caches: imported from a directory of the client (for uid:3); "+
		"exported to a directory of the client", shown[StepCaches])
	require.Equal(t, "clients run containers of their own (for uid:4)", shown[StepDebug])
}

func TestMistakesInWhatClientsCanDo(t *testing.T) {
	t.Parallel()
	for doc, want := range map[string]string{
		"debug: {}":                           "debug is empty",
		"debug: {clients: []}":                "clients is empty",
		"debug: {clients: [a]}":               `clients: "a" is of no known kind`,
		"caches: {imports: {local: {}}}":      "local is empty",
		"caches: {imports: {local: [a]}}":     "local must be a mapping of fields",
		"exports: {client: oci}":              `client must be a list, not "oci"`,
		"exports: {client: true}":             `client must be a list, not "true"`,
		"exports: {client: [oci, {}]}":        "client[1] must be a string",
		"exports: {client: [{}, oci]}":        "client[1] must be a mapping of fields",
		"exports: {client: [{}]}":             "the rule has neither allow nor deny",
		"exports: {client: {}}":               "client has no allow, so nothing is allowed; write the exporters",
		"exports: {client: {allow: [image]}}": `allow: "image" isn't one of the exporters`,
		"exports: {client: [{deny: [x]}]}":    `deny: "x" isn't one of the exporters`,
		"exports: {annotations: {deny: [a]}}": "annotations has no allow, so nothing is allowed; write the " +
			"keys in allow, or * for all",
		"exports: {annotations: [{allow: [a=b]}]}":                `allow: "a=b" isn't a key`,
		`exports: {annotations: {clients: ["uid:1"], rules: []}}`: "annotations has no rules",
	} {
		_, err := Parse("p", []byte("version: 1\n"+doc+"\n"))
		require.ErrorContains(t, err, want, doc)
	}
}

func TestWhatClientsCanDoIsWrittenAsItWas(t *testing.T) {
	t.Parallel()
	for _, doc := range []string{
		"debug: deny", `debug: {clients: ["uid:1"]}`, "caches: {exports: {local: allow}}",
		`caches: {imports: {local: {clients: ["uid:1"]}}}`, "exports: {client: []}",
		"exports: {annotations: true}", "exports: {annotations: false}",
		`exports: {client: [{allow: []}, {clients: ["uid:1"], allow: [oci], deny: [tar]}]}`,
	} {
		before := stackOf(t, doc, "").embedded.Document()
		out, err := yaml.Marshal(before)
		require.NoError(t, err)
		after, err := Parse("p", out)
		require.NoError(t, err, string(out))
		again, err := yaml.Marshal(after.Document())
		require.NoError(t, err)
		require.Equal(t, string(out), string(again), doc)
	}
}

// A rule for clients decides as the rule without that, or as no rule. What it allows and what it
// denies can be for different clients.
func TestWhatIsForClientsIsForAllOrNone(t *testing.T) {
	t.Parallel()
	r := rand.New(rand.NewPCG(3, 4))
	one := func(list ...string) string { return list[r.IntN(len(list))] }
	counts := map[Verdict]int{}
	for range 3000 {
		client := named(t, one("", "nobody", "uid:1", "uid:1 gid:2", "cn:a", "cn:A", "cn:ab dns:b.a",
			"spiffe://a/b", "spiffe://a/b/c"))
		list := func() (string, clients.Pattern) {
			text := one("uid:1", "gid:2", "cn:a", "cn:a*", "dns:*.a", "spiffe://a/*", "spiffe://a/b")
			p, err := clients.ParsePattern(text)
			require.NoError(t, err)
			return `clients: ["` + text + `"]`, p
		}
		permission := func() (some, plain string) {
			text, p := list()
			if p.Match(client) {
				return "{" + text + "}", "allow"
			}
			return "{" + text + "}", "deny"
		}
		choices := func(entries ...string) (some, plain string) {
			var with, without []string
			for range 1 + r.IntN(3) {
				text, p := list()
				allow, deny := "allow: ["+one(entries...)+"]", "deny: ["+one(entries...)+"]"
				with = append(with, "{"+text+", "+allow+", "+deny+"}")
				if p.Match(client) {
					without = append(without, "{"+allow+"}")
				}
				if p.MayMatch(client) {
					without = append(without, "{"+deny+"}")
				}
			}
			if len(without) == 0 {
				without = []string{"{allow: []}"}
			}
			return "[" + strings.Join(with, ", ") + "]", "[" + strings.Join(without, ", ") + "]"
		}
		var docs [2]string
		debug, debugPlain := permission()
		imports, importsPlain := permission()
		exports, exportsPlain := permission()
		to, toPlain := choices("oci", "tar", "docker, local")
		keys, keysPlain := choices("a", `"a*"`, "B", `"*"`)
		const doc = "debug: %s\ncaches: {imports: {local: %s}, exports: {local: %s}}\n" +
			"exports: {client: %s, annotations: %s}"
		docs[0] = fmt.Sprintf(doc, debug, imports, exports, to, keys)
		docs[1] = fmt.Sprintf(doc, debugPlain, importsPlain, exportsPlain, toPlain, keysPlain)
		some, plain := stackOf(t, docs[0], "").For(client), stackOf(t, docs[1], "")
		export := Export{Type: one("oci", "tar", "docker", "local")}
		if r.IntN(2) == 0 {
			export.Annotations = []string{one("a", "ab", "b", "c")}
		}
		for _, ask := range []func(Layers) Ruling{
			Layers.DecideDebug,
			func(l Layers) Ruling { return l.DecideCache(CacheUse{Type: CacheLocal}) },
			func(l Layers) Ruling { return l.DecideCache(CacheUse{Type: CacheLocal, Export: true}) },
			func(l Layers) Ruling { return l.DecideExport(export) },
		} {
			require.Equal(t, ask(plain).Verdict, ask(some).Verdict, "%s\n%s\n%s", docs[0], docs[1], client)
			counts[ask(some).Verdict]++
		}
	}
	require.Greater(t, counts[Allow], 300, "else the property says nothing")
	require.Greater(t, counts[Deny], 300, "else the property says nothing")
}

// Each field that only policy-guard applies can be for some clients, and those that look for
// clients find it.
func TestEachFieldForPolicyGuardKnowsClients(t *testing.T) {
	t.Parallel()
	doc := Document{
		LLB: &Permission{}, Debug: &Permission{}, Exports: &Exports{}, SBOM: &SBOM{},
		Caches: &Caches{Imports: &CacheRules{}, Exports: &CacheRules{}},
	}
	want := []string{"llb", "debug"}
	for name, part := range map[string]any{
		"exports": doc.Exports, "caches.imports": doc.Caches.Imports,
		"caches.exports": doc.Caches.Exports, "sbom": doc.SBOM,
	} {
		fields := reflect.ValueOf(part).Elem()
		for i := range fields.NumField() {
			key, _, _ := strings.Cut(fields.Type().Field(i).Tag.Get("yaml"), ",")
			fields.Field(i).Set(reflect.New(fields.Field(i).Type().Elem()))
			want = append(want, name+"."+key)
		}
	}
	var got []string
	doc.Permissions(func(field string, _ *Permission) { got = append(got, field) })
	doc.choices(func(field string, _ *Choices) { got = append(got, field) })
	require.ElementsMatch(t, want, got)
}
