package diff

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/policy-frontend/policy-frontend/policy"
)

func TestWhereResultsGoIsCompared(t *testing.T) {
	t.Parallel()
	read := func(fields string) *policy.Policy {
		p, err := policy.Parse("p", []byte("version: 1\n"+fields+"\n"))
		require.NoError(t, err)
		return p
	}
	for name, tt := range map[string]struct {
		before, after string
		widens        bool
		want          string // the statements; "" for none
	}{
		"the defaults, written": {
			"", "exports: {client: [local, tar, oci, docker], push: {allow: []}}", false, "",
		},
		"a new name for pushes": {
			"", "exports: {push: {allow: [x/y]}}", true,
			"exports.push: docker.io/x/y, before none",
		},
		"a name for pushes is gone": {
			"exports: {push: {allow: [x/y]}}", "", false, "exports.push: none, before docker.io/x/y",
		},
		"a narrower name": {
			`exports: {push: {allow: ["a.example/**"]}}`, "exports: {push: {allow: [a.example/x]}}", false,
			"exports.push: a.example/x, before a.example/**",
		},
		"a wider name": {
			"exports: {push: {allow: [a.example/x]}}", `exports: {push: {allow: ["a.example/**"]}}`, true,
			"exports.push: a.example/**, before a.example/x",
		},
		"a denial is gone": {
			`exports: {push: {allow: ["a.example/**"], deny: [a.example/x]}}`,
			`exports: {push: {allow: ["a.example/**"]}}`, true, "exports.push: ",
		},
		"a denial of nothing that is allowed is gone": {
			`exports: {push: {allow: ["a.example/**"], deny: [b.example/x]}}`,
			`exports: {push: {allow: ["a.example/**"]}}`, false, "exports.push: ",
		},
		"a new denial": {
			`exports: {push: {allow: ["a.example/**"]}}`,
			`exports: {push: {allow: ["a.example/**"], deny: [a.example/x]}}`, false, "exports.push: ",
		},
		"a new name that is denied": {
			`exports: {push: {allow: [a.example/x]}}`,
			`exports: {push: {allow: [a.example/x, b.example/x], deny: [b.example/x]}}`, false,
			"exports.push: ",
		},
		"fewer exporters": {"", "exports: {client: [oci]}", false, "exports.client: oci, before"},
		"more exporters":  {"exports: {client: []}", "exports: {client: [oci]}", true, "exports.client: oci"},
		"all exporters":   {"exports: {client: []}", "", true, "exports.client: local"},
		"a new annotation": {
			"exports: {annotations: [a]}", "exports: {annotations: [a*]}", true, "exports.annotations: a*",
		},
		"what makes SBOMs": {
			"", "sbom: {generators: {allow: [x/y]}}", true, "sbom.generators: docker.io/x/y, before none",
		},
		"what makes no more SBOMs": {
			"sbom: {generators: {allow: [x/y]}}", "", false, "sbom.generators: none, before docker.io/x/y",
		},
		"a new store":             {"", "exports: {store: {allow: [x]}}", true, "exports.store: "},
		"imports from the client": {"", "caches: {imports: {local: allow}}", true, "caches.imports.local: allow, before none"},
		"exports to the client no more": {
			"caches: {exports: {local: allow}}", "caches: {exports: {local: deny}}", false,
			"caches.exports.local: none, before allow",
		},
		"a cache in a registry": {
			"", "caches: {exports: {registry: {allow: [x]}}}", true,
			"caches.exports.registry: docker.io/library/x, before none",
		},
		"containers of clients": {
			"", "debug: allow", true, "debug: allow, before none",
		},
		"no containers of clients any more": {
			"debug: allow", "debug: deny", false, "debug: none, before allow",
		},
		"summaries of warned builds": {
			"attest: true", "attest: [image, warned]", true, "attest: image, warned, before image",
		},
		"no summaries any more": {"attest: true", "", false, "attest: none, before image"},
		"an administrator": {
			"", "administration: {clients: [\"uid:0\"]}", true, "administration.clients: uid:0, before none",
		},
		"administrators are gone": {
			`administration: {clients: ["uid:0", "cn:a"]}`, `administration: {clients: ["cn:a"]}`, false,
			"administration.clients: cn:a, before uid:0, cn:a",
		},
		"administrators in another order": {
			`administration: {clients: ["uid:0", "cn:a"]}`, `administration: {clients: ["cn:a", "uid:0"]}`,
			false, "administration.clients: ",
		},
		"a narrower name of administrators": {
			`administration: {clients: ["spiffe://a/**"]}`, `administration: {clients: ["spiffe://a/b/*"]}`,
			false, "administration.clients: ",
		},
		"a wider name of administrators": {
			`administration: {clients: ["spiffe://a/*"]}`, `administration: {clients: ["spiffe://a/**"]}`,
			true, "administration.clients: ",
		},
	} {
		r := Compare(read(tt.before), read(tt.after), time.Unix(0, 0))
		require.Equal(t, tt.widens, r.Widened, name)
		var texts []string
		for _, s := range r.Statements {
			require.Equal(t, tt.widens, s.Widens, name)
			texts = append(texts, s.Text)
		}
		require.Equal(t, tt.want == "", len(texts) == 0, name)
		require.True(t, strings.HasPrefix(strings.Join(texts, "\n"), tt.want), "%s: %v", name, texts)
	}
}

func TestWhatChangesForResultsHasExamples(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		before, after string
		want          []string
	}{
		"both directions": {
			`exports: {push: {allow: ["a.example/**"], deny: [a.example/x]}}`,
			`exports: {push: {allow: ["a.example/**"], deny: [a.example/y]}}`,
			[]string{
				"allowed: a push to a.example/x: deny exports, allow ",
				"refused: a push to a.example/y: allow , deny exports",
			},
		},
		"an exporter": {
			"exports: {client: [oci]}", "exports: {client: [oci, tar]}",
			[]string{"allowed: a result for the client of the type tar: deny exports, allow "},
		},
		"a store": {
			"", "exports: {store: {allow: [x/y]}}",
			[]string{"allowed: an image in the builder's own image store as docker.io/x/y: deny exports, allow "},
		},
		"an annotation": {
			"exports: {annotations: ['a*']}", "exports: {annotations: [ab]}",
			[]string{"refused: a result with the annotation aother: allow , deny exports"},
		},
		"caches of the client": {
			"caches: {imports: {local: allow}}", "caches: {exports: {local: allow}}",
			[]string{
				"refused: the import of a build cache in a directory of the client: allow , deny caches",
				"allowed: the export of a build cache in a directory of the client: deny caches, allow ",
			},
		},
		"a cache in a registry": {
			"", "caches: {imports: {registry: {allow: [x.example/y]}}}",
			[]string{"allowed: the import of the build cache x.example/y: deny caches, allow "},
		},
		"what has no effect": {
			`exports: {push: {allow: ["a.example/**", a.example/b]}}`, `exports: {push: {allow: ["a.example/**"]}}`,
			nil,
		},
	} {
		var got []string
		for _, s := range Compare(parse(t, "version: 1\n"+tt.before+"\n"),
			parse(t, "version: 1\n"+tt.after+"\n"), time.Unix(0, 0)).Statements {
			for _, e := range s.Examples {
				got = append(got, fmt.Sprintf("%s: %s: %s %s, %s %s", e.Change, e.Asked, e.Before.Verdict,
					ruleOf(e.Before), e.After.Verdict, ruleOf(e.After)))
			}
		}
		require.Equal(t, tt.want, got, name)
	}
}

// ruleOf returns the rule of a denial.
func ruleOf(a RulingAnswer) string {
	if a.Reason == "" {
		return ""
	}
	return a.Rule
}
