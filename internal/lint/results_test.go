package lint_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/policy-frontend/policy-frontend/internal/lint"
	"github.com/policy-frontend/policy-frontend/policy"
)

func TestFindingsInExportsAndCaches(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		fields string
		want   []string // codes and the beginnings of messages
	}{
		"a field for policy-guard": {
			"exports: {client: [oci]}", []string{"needs-guard: exports has no effect in the gateway image"},
		},
		"both fields": {
			"exports: {client: [oci]}\ncaches: {exports: {local: allow}}",
			[]string{"needs-guard: exports has", "needs-guard: caches has"},
		},
		"what makes SBOMs": {
			`sbom: {generators: {allow: ["**"]}}`,
			[]string{
				"needs-guard: sbom has no effect in the gateway image",
				"build-allows-any: sbom.generators.allow has **",
			},
		},
		"summaries of warned builds alone": {
			"attest: [warned]", []string{"needs-guard: attest has no effect in the gateway image"},
		},
		"summaries in images":                       {"attest: true", nil},
		"summaries in images, of warned builds too": {"attest: [image, warned]", nil},
		"a kind of summaries that is there twice": {
			"attest: [image, image]", []string{"entry-repeated: attest has image, and image"},
		},
		"a name that is there twice": {
			`exports: {push: {allow: ["a.example/**", a.example/b]}}`,
			[]string{"needs-guard: ", "entry-repeated: exports.push.allow has a.example/b, and a.example/**"},
		},
		"a denied name that isn't allowed": {
			`exports: {store: {allow: ["a.example/**"], deny: [b.example/c]}}`,
			[]string{"needs-guard: ", "build-deny-without-effect: exports.store.deny has b.example/c"},
		},
		"an allowed name that is denied": {
			`caches: {imports: {registry: {allow: [a.example/b], deny: ["a.example/**"]}}}`,
			[]string{"needs-guard: ", "build-allow-refused: caches.imports.registry.allow has a.example/b"},
		},
		"every name": {
			`caches: {exports: {registry: {allow: ["**"]}}}`,
			[]string{"needs-guard: ", "build-allows-any: caches.exports.registry.allow has **"},
		},
		"a name that runs on": {
			`exports: {push: {allow: ["a.example/b*"]}}`,
			[]string{"needs-guard: ", "prefix-runs-on: exports.push.allow has a.example/b*"},
		},
		"an annotation that is there twice": {
			`exports: {annotations: ["a*", ab]}`,
			[]string{"needs-guard: ", "entry-repeated: exports.annotations has ab"},
		},
		"an annotation that is denied in other letters": {
			`exports: {annotations: {allow: ["org.*"], deny: [ORG.a]}}`, []string{"needs-guard: "},
		},
		"an annotation that is denied, and isn't allowed": {
			`exports: {annotations: {allow: ["org.*"], deny: [com.a]}}`,
			[]string{"needs-guard: ", "build-deny-without-effect: exports.annotations.deny has com.a"},
		},
		"an exporter that is denied": {
			`exports: {client: {allow: [oci, tar], deny: [tar]}}`,
			[]string{"needs-guard: ", "build-allow-refused: exports.client.allow has tar"},
		},
		"a cache of some clients": {
			`caches: {imports: {local: {clients: ["uid:1"]}}}`, []string{"needs-guard: ", "needs-guard: "},
		},
		"an annotation that marks attestations": {
			"exports: {annotations: [vnd.docker.reference.type]}",
			[]string{"needs-guard: ", "entry-without-effect: exports.annotations has vnd.docker.reference.type, by which"},
		},
		"an annotation where no result goes": {
			"exports: {client: [], store: {allow: []}, annotations: [a]}",
			[]string{"needs-guard: ", "entry-without-effect: exports.annotations has a, and exports lets no result"},
		},
		"a denied name where nothing is allowed": {
			"exports: {push: {allow: [], deny: [a.example/b]}}",
			[]string{"needs-guard: ", "build-deny-without-effect: exports.push.deny has a.example/b, and allow lists nothing"},
		},
		"a denied name that other entries deny together": {
			`caches: {exports: {registry: {allow: ["a.example/**"], deny: ["*.example/b/**", "a.example/b"]}}}`,
			[]string{"needs-guard: ", "entry-repeated: caches.exports.registry.deny has a.example/b, and"},
		},
		"an entry that others decide": {
			`exports: {push: {allow: ["a.example/*"], deny: ["a.*/b", "*.example/b"]}}`,
			[]string{"needs-guard: ", "entry-without-effect: exports.push.deny has a.*/b, and no request was found"},
		},
		"LLB": {
			"llb: allow\nbuild: {others: deny}",
			[]string{"needs-guard: llb has no effect in the gateway image"},
		},
		"containers of clients": {
			"debug: allow", []string{"needs-guard: debug has no effect in the gateway image"},
		},
		"no containers of clients": {"debug: deny", nil},
		"a cache of the client": {
			"caches: {imports: {local: allow}}",
			[]string{"needs-guard: ", "cache-by-client: caches.imports.local lets each client"},
		},
		"administrators": {
			`administration: {clients: ["uid:0", "cn:release-*", "spiffe://corp/**"]}`,
			[]string{"needs-guard: administration has no effect in the gateway image"},
		},
		"an administrator who is there twice": {
			`administration: {clients: ["spiffe://corp/a/b", "gid:0", "spiffe://corp/a/*"]}`,
			[]string{
				"needs-guard: ",
				"entry-repeated: administration.clients has spiffe://corp/a/b, and spiffe://corp/a/*",
			},
		},
		"a name that each certificate has": {
			`administration: {clients: ["cn:*"]}`,
			[]string{"needs-guard: ", "clients-any: administration.clients has cn:*, which is each client"},
		},
		"a DNS name of stars": {
			`administration: {clients: ["dns:*.*"]}`,
			[]string{"needs-guard: ", "clients-any: administration.clients has dns:*.*"},
		},
	} {
		doc := "version: 1\nid: x\ncontact: y\n" + tt.fields +
			"\nfrontends: [{name: a, match: [docker/dockerfile], versions: \">=1 <2\"}]\n"
		p, err := policy.Parse("p", []byte(doc))
		require.NoError(t, err, name)
		found := lint.Check("p", p, lint.Options{
			Time: time.Unix(0, 0), Source: func(string) ([]byte, error) { return []byte(doc), nil },
		})
		require.Len(t, found, len(tt.want), "%s: %v", name, found)
		for i, f := range found {
			require.Contains(t, string(f.Code)+": "+f.Message, tt.want[i], name)
			require.GreaterOrEqual(t, f.Line, 4, "%s: it is at its field", name)
		}
	}
}
