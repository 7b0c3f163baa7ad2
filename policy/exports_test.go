package policy

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/policy-frontend/policy-frontend/policy/imageref"
)

// refs parses references, which are separated by commas.
func refs(t *testing.T, list string) []imageref.Reference {
	t.Helper()
	var out []imageref.Reference
	for s := range strings.SplitSeq(list, ",") {
		if s == "" {
			continue
		}
		ref, err := imageref.Parse(s)
		require.NoError(t, err)
		out = append(out, ref)
	}
	return out
}

func TestWhereAResultCanGo(t *testing.T) {
	t.Parallel()
	const corp = `exports: {push: {allow: ["corp.example/**"], deny: ["**/base"]}}`
	to := func(kind string) Export { return Export{Type: kind} }
	push := func(names string) Export {
		return Export{Type: ExportImage, Push: true, Names: refs(t, names)}
	}
	store := func(names string) Export { return Export{Type: ExportImage, Names: refs(t, names)} }
	annotated := func(keys ...string) Export { return Export{Type: "oci", Annotations: keys} }
	for name, tt := range map[string]struct {
		policy, overlay string // fields
		export          Export
		want            string // "" if it is allowed
	}{
		"a result goes to the client by default": {"", "", to("local"), ""},
		"each exporter to the client is allowed": {"", "", to("docker"), ""},
		"a push needs a list": {
			"", "", push("a/b"),
			"pushing to docker.io/a/b:latest (exports.push)",
		},
		"a store needs a list": {
			"", "", store("a/b"),
			"image store as docker.io/a/b:latest (exports.store)",
		},
		"an unknown exporter is refused": {
			"", "", to("future"),
			"of the type future: there are only",
		},
		"a list of exporters has no others": {
			"exports: {client: [oci]}", "", to("tar"),
			"tar: it allows only oci (exports.client)",
		},
		"a list of exporters allows its own": {
			"exports: {client: [oci]}", "", to("oci"),
			"",
		},
		"an empty list of exporters allows none": {
			"exports: {client: []}", "", to("oci"),
			"type oci (exports.client)",
		},
		"a list for pushes leaves the client": {corp, "", to("oci"), ""},
		"a name in the list is pushed":        {corp, "", push("corp.example/a:1"), ""},
		"each name is compared": {
			corp, "", push("corp.example/a,x.example/a"),
			"pushing to x.example/a:latest: it allows only corp.example/** (exports.push.allow)",
		},
		"another port is another registry": {
			corp, "", push("corp.example:5000/a"),
			"exports.push.allow",
		},
		"the usual port is none": {
			corp, "", push("corp.example:443/a"),
			"",
		},
		"a denial wins": {
			corp, "", push("corp.example/base"),
			"(exports.push.deny: **/base)",
		},
		"a denial is for all that is below": {
			corp, "", push("corp.example/base/x"),
			"(exports.push.deny: **/base)",
		},
		"a push without a name is refused": {
			corp, "", push(""),
			"an image without a name",
		},
		"a list for pushes is none for the store": {
			corp, "", store("corp.example/a"),
			"(exports.store)",
		},
		"an image without a name needs a store too": {
			corp, "", store(""),
			"own image store (exports.store)",
		},
		"a store for some name can have an image without one": {
			"exports: {store: {allow: [a/b]}}", "", store(""),
			"",
		},
		"a store that allows nothing has no image without a name either": {
			"exports: {store: {allow: []}}", "", store(""),
			"own image store (exports.store)",
		},
		"a list for the store is none for pushes": {
			"exports: {store: {allow: [a/b]}}", "", push("a/b"),
			"(exports.push)",
		},
		"a name in the list for the store is stored": {
			"exports: {store: {allow: [a/b]}}", "", store("a/b:2"),
			"",
		},
		"another spelling of Docker Hub is denied too": {
			`exports: {push: {allow: ["**"], deny: [a/b]}}`, "", push("registry-1.docker.io/a/b"),
			"exports.push.deny",
		},
		"another spelling of Docker Hub is not allowed": {
			"exports: {push: {allow: [a/b]}}", "", push("registry-1.docker.io/a/b"),
			"exports.push.allow",
		},
		"a name without a host is on Docker Hub": {
			"exports: {push: {allow: [docker.io/library/a]}}", "", push("a"),
			"",
		},
		"annotations need a list": {
			"", "", annotated("k"),
			"the annotation k (exports.annotations)",
		},
		"an annotation in the list is set": {
			"exports: {annotations: [org.*]}", "", annotated("org.a"),
			"",
		},
		"each annotation is compared": {
			"exports: {annotations: [org.*]}", "", annotated("org.a", "com.b"),
			"com.b: it allows only org.*",
		},
		"true is for all annotations": {
			"exports: {annotations: true}", "", annotated("x"),
			"",
		},
		"no list has the marks of attestations": {
			"exports: {annotations: true}", "", annotated("vnd.docker.Reference.type"),
			"marks attestations",
		},
		"a mode doesn't weaken it": {
			"mode: warn", "", push("a/b"),
			"(exports.push)",
		},
		"an overlay without exports restricts nothing": {
			corp, "id: x", push("corp.example/a"),
			"",
		},
		"an overlay with exports has to allow it too": {
			corp, "exports: {client: [oci]}", push("corp.example/a"),
			"the overlay decided: the overlay refuses pushing to corp.example/a:latest " +
				"(exports.push)",
		},
		"an overlay can't add a name": {
			corp, `exports: {push: {allow: ["**"]}}`, push("x.example/a"),
			"the policy refuses pushing to x.example/a",
		},
		"an overlay can't add annotations": {
			"", "exports: {annotations: true}", annotated("x"),
			"the policy refuses the annotation x",
		},
		"an overlay can't bring back what isn't written": {
			"", `exports: {push: {allow: ["**"]}}`, push("a"),
			"the policy refuses",
		},
		"a name that both allow is pushed": {
			corp, `exports: {push: {allow: ["corp.example/a"]}}`, push("corp.example/a"),
			"",
		},
		"an unsafe name of an exporter is shown in quotes": {
			"", "", to("a\x1b[31m\nb"),
			`a\x1b[31m\nb`,
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			l := stackOf(t, tt.policy, tt.overlay)
			requireRuling(t, ExportsRule, tt.want, l.DecideExport(tt.export))
		})
	}
}

func TestWhichCachesCanBeUsed(t *testing.T) {
	t.Parallel()
	const corp = `caches: {imports: {registry: {allow: ["corp.example/cache/**"], deny: ["**/tmp"]}}}`
	use := func(kind, name string, export bool) CacheUse {
		u := CacheUse{Type: kind, Export: export}
		if name != "" {
			u.Name = refs(t, name)[0]
		}
		return u
	}
	for name, tt := range map[string]struct {
		policy, overlay string
		use             CacheUse
		want            string
	}{
		"an inline export is a part of the result": {"", "", use("inline", "", true), ""},
		"an overlay leaves inline exports": {
			"", "caches: {imports: {local: deny}}", use("inline", "", true),
			"",
		},
		"an inline import doesn't exist": {
			"", "", use("inline", "", false),
			"importing a build cache of the type inline: there are only registry and local",
		},
		"an import needs a list": {
			"", "", use("registry", "a", false),
			"importing the build cache docker.io/library/a:latest (caches.imports.registry)",
		},
		"an export needs a list": {
			"", "", use("registry", "a", true),
			"exporting the build cache to docker.io/library/a:latest (caches.exports.registry)",
		},
		"a name in the list is imported": {
			corp, "", use("registry", "corp.example/cache/a:x", false),
			"",
		},
		"another name isn't": {
			corp, "", use("registry", "corp.example/a", false),
			"it allows only corp.example/cache/** (caches.imports.registry.allow)",
		},
		"a denied name isn't": {
			corp, "", use("registry", "corp.example/cache/tmp", false),
			"(caches.imports.registry.deny: **/tmp)",
		},
		"a list for imports is none for exports": {
			corp, "", use("registry", "corp.example/cache/a", true),
			"(caches.exports.registry)",
		},
		"a list is none for directories": {
			corp, "", use("local", "", false),
			"a directory of the client (caches.imports.local)",
		},
		"a directory can be allowed": {
			"caches: {exports: {local: allow}}", "", use("local", "", true),
			"",
		},
		"a directory for exports is none for imports": {
			"caches: {exports: {local: allow}}", "", use("local", "", false), "(caches.imports.local)",
		},
		"no policy allows another type": {
			`caches: {imports: {registry: {allow: ["**"]}, local: allow}}`, "", use("s3", "", false),
			"of the type s3: there are only registry and local",
		},
		"an overlay without caches restricts nothing": {
			corp, "id: x", use("registry", "corp.example/cache/a", false),
			"",
		},
		"an overlay with caches has to allow it too": {
			corp, "caches: {imports: {local: allow}}", use("registry", "corp.example/cache/a", false),
			"the overlay decided: the overlay refuses importing",
		},
		"an overlay can't add a directory": {
			corp, "caches: {imports: {local: allow}}", use("local", "", false),
			"the policy refuses importing",
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			requireRuling(t, CachesRule, tt.want, stackOf(t, tt.policy, tt.overlay).DecideCache(tt.use))
		})
	}
}

// stackOf makes layers of the fields of a policy and of an overlay, which can be "".
func stackOf(t *testing.T, embedded, overlay string) Layers {
	t.Helper()
	p, err := Parse("p", []byte("version: 1\n"+embedded+"\n"))
	require.NoError(t, err)
	var o *Policy
	if overlay != "" {
		o, err = ParseOverlay("o", []byte("version: 1\n"+overlay+"\n"))
		require.NoError(t, err)
	}
	l, err := Stack(p, o)
	require.NoError(t, err)
	return l
}

func requireRuling(t *testing.T, rule, want string, r Ruling) {
	t.Helper()
	require.Equal(t, rule, r.Rule)
	require.NotNil(t, r.Messages)
	if want == "" {
		require.Equal(t, Allow, r.Verdict, r.Reason)
		return
	}
	require.Equal(t, Deny, r.Verdict)
	require.Contains(t, r.Reason, want)
}

func TestNoPolicyAllowsNoResultAndNoCache(t *testing.T) {
	t.Parallel()
	require.Equal(t, Deny, Layers{}.DecideExport(Export{Type: "local"}).Verdict)
	require.Equal(t, Deny, Layers{}.DecideCache(CacheUse{Type: CacheInline, Export: true}).Verdict)
	require.Contains(t, Layers{}.Denial(Layers{}.DecideExport(Export{})), DenialMark)
}

func TestMistakesInExportsAndCaches(t *testing.T) {
	t.Parallel()
	for doc, want := range map[string]string{
		"exports: {}":                                "p:2:10: exports is empty; give it a field or remove it",
		"exports: {client: [image]}":                 "image\" isn't one of the exporters to the client, which are local, tar, oci and docker; write push or store",
		"exports: {client: [x]}":                     "\"x\" isn't one of the exporters to the client",
		"exports: {push: {}}":                        "push has no allow, so nothing is allowed",
		"exports: {push: {deny: [a]}}":               "push has no allow, so nothing is allowed",
		"exports: {push: {allow: [a], deny: []}}":    "deny is empty",
		"exports: {push: {allow: [quay.io]}}":        "allow: \"quay.io\" is a registry",
		"exports: {push: {allow: [a], mode: warn}}":  "mode",
		"exports: {push: {allow: [\"A/b\"]}}":        "allow: ",
		"exports: {store: {allow: [a:1]}}":           "allow: ",
		"exports: {annotations: [a=b]}":              "isn't a key; write what is before the =",
		"exports: {types: [image]}":                  "types",
		"caches: {}":                                 "caches is empty",
		"caches: {imports: {}}":                      "imports is empty",
		"caches: {imports: {local: maybe}}":          "local must be a mapping of fields, allow or deny",
		"caches: {imports: {s3: allow}}":             "s3",
		"caches: {exports: {registry: {deny: [a]}}}": "registry has no allow",
		"exports: ~":                                 "exports has no value",
		"caches: ~":                                  "caches has no value",
	} {
		_, err := Parse("p", []byte("version: 1\n"+doc+"\n"))
		require.ErrorContains(t, err, want, doc)
	}
}

// A whole refusal, as its user sees it.
func TestTheTextOfARefusedResult(t *testing.T) {
	t.Parallel()
	l := stackOf(t, `id: corp
contact: "#build-help"
exports: {push: {allow: ["corp.example/**", "x.example/**"]}}
caches: {imports: {registry: {allow: ["corp.example/cache"]}}}`, "")
	digest := l.embedded.Digest().String()
	require.Equal(t, `the policy refuses pushing to docker.io/library/a:latest: it allows only corp.example/** or x.example/** (exports.push.allow)
  message:      build with -o type=oci,dest=FILE and push the file, or have the name allowed in exports.push
  policy:       corp `+digest+`
  allowed:      corp.example/**, x.example/**
  contact:      #build-help
  outcome:      denied by policy`,
		l.Denial(l.DecideExport(Export{Type: ExportImage, Push: true, Names: refs(t, "a")})))
	require.Equal(t, `the policy refuses importing the build cache docker.io/library/a:latest: it allows only corp.example/cache (caches.imports.registry.allow)
  message:      build without it, or have it allowed in caches.imports
  policy:       corp `+digest+`
  allowed:      corp.example/cache
  contact:      #build-help
  outcome:      denied by policy`,
		l.Denial(l.DecideCache(CacheUse{Type: CacheRegistry, Name: refs(t, "a")[0]})))
}

// Whatever both layers let through, each of them lets through alone if it says anything about it.
func TestAnOverlayNeverWidensWhereResultsGo(t *testing.T) {
	t.Parallel()
	r := rand.New(rand.NewPCG(1, 2))
	one := func(of ...string) string { return of[r.IntN(len(of))] }
	list := func() string {
		names := []string{
			`"**"`, `"a.example/**"`, `"*.example/x"`, "x/y", `"a.example:5000/**"`, `"**/x"`,
		}
		s := "{allow: [" + strings.TrimSuffix(strings.Repeat(one(names...)+", ", r.IntN(3)), ", ") + "]"
		if r.IntN(2) == 0 {
			s += ", deny: [" + one(names...) + "]"
		}
		return s + "}"
	}
	field := func() string {
		return one(
			"", "id: x", "mode: warn", "exports: {push: "+list()+"}", "exports: {store: "+list()+"}",
			"exports: {client: ["+one("", "oci", "tar, local")+"], push: "+list()+"}",
			"exports: {annotations: "+one("true", "[k]", "['k*']")+"}",
			"caches: {imports: {registry: "+list()+"}}",
			"caches: {exports: {registry: "+list()+", local: "+one("allow", "deny")+"}}",
			"caches: {imports: {local: allow}}",
		)
	}
	for range 3000 {
		e, o := field(), field()
		names := refs(t, one("", "x/y", "a.example/x", "a.example/z:1", "b.example/x,x/y",
			"a.example:5000/q"))
		export := Export{
			Type: one("image", "image", "oci", "tar", "future"), Push: r.IntN(2) == 0, Names: names,
		}
		if r.IntN(3) == 0 {
			export.Annotations = []string{one("k", "kk", "z")}
		}
		use := CacheUse{Type: one("registry", "local", "inline", "s3"), Export: r.IntN(2) == 0}
		use.Name = append(names, refs(t, "x/y")...)[0]
		say := fmt.Sprintf("%s\n%s\n%+v\n%+v", e, o, export, use)
		if o == "" {
			o = "contact: y"
		}
		both, alone, overlay := stackOf(t, e, o), stackOf(t, e, ""), stackOf(t, o, "")
		decided, cached := both.DecideExport(export).Verdict, both.DecideCache(use).Verdict
		neutral := func(has bool, v Verdict) bool { return !has || v == Allow }
		require.Equal(t, decided == Allow, alone.DecideExport(export).Verdict == Allow &&
			neutral(overlay.embedded.doc.Exports != nil, overlay.DecideExport(export).Verdict), say)
		require.Equal(t, cached == Allow, alone.DecideCache(use).Verdict == Allow &&
			neutral(overlay.embedded.doc.Caches != nil, overlay.DecideCache(use).Verdict), say)
	}
}

func TestExplainShowsWhereResultsCanGo(t *testing.T) {
	t.Parallel()
	l := stackOf(t, `frontends: [{match: [docker/dockerfile]}]
exports: {client: [oci], push: {allow: ["corp.example/**"], deny: ["**/base"]}, annotations: true}
caches: {imports: {registry: {allow: [corp.example/cache]}}, exports: {local: allow}}`,
		`frontends: [{match: ["**"]}]
exports: {client: []}
caches: {imports: {local: deny}}`)
	steps := Explain(l, Request{Reference: refs(t, "docker/dockerfile")[0]}).Steps
	var shown []string
	for _, s := range steps {
		if s.Kind == StepExports || s.Kind == StepCaches {
			shown = append(shown, s.Layer+": "+s.Reason)
		}
	}
	require.Equal(t, []string{
		"overlay: policy-guard lets results go only there: none",
		"overlay: policy-guard lets builds use only these caches: none",
		"policy: policy-guard lets results go only there: the client (oci); pushed to corp.example/**, " +
			"but not **/base; with annotations *",
		"policy: policy-guard lets builds use only these caches: imported from corp.example/cache; " +
			"exported to a directory of the client",
	}, shown)
	for _, s := range Explain(l, Request{Reference: refs(t, "a/b")[0]}).Steps {
		require.NotEqual(t, StepExports, s.Kind, "a refused frontend has no results")
	}
}
