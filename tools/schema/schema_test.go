package main

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"github.com/stretchr/testify/require"
	"go.yaml.in/yaml/v3"

	"github.com/policy-frontend/policy-frontend/internal/opcheck"
	"github.com/policy-frontend/policy-frontend/internal/policytest"
	"github.com/policy-frontend/policy-frontend/internal/record"
	"github.com/policy-frontend/policy-frontend/policy"
)

func TestCheckedInSchemaIsTheGeneratedOne(t *testing.T) {
	t.Parallel()
	want, err := generated()
	require.NoError(t, err)
	require.Equal(t, string(want[target]), string(policy.Schema()), "run make schema")
	require.Equal(t, string(want[operations]), string(opcheck.Schema()), "run make schema")
	require.Equal(t, string(want[cases]), string(policytest.Schema()), "run make schema")
	require.Equal(t, string(want[entries]), string(record.Schema()), "run make schema")
}

func TestTheTableOfFieldsIsTheGeneratedOne(t *testing.T) {
	t.Parallel()
	tables := map[string]string{}
	for page, reflect := range pages() {
		have, err := os.ReadFile(page)
		require.NoError(t, err)
		want, err := withFields(string(have), reflect)
		require.NoError(t, err)
		require.Equal(t, want, string(have), "run make schema")
		tables[filepath.Base(page)] = want
	}
	require.Contains(t, tables["record.md"], "| `sources[].digest` | string |")
	require.Contains(t, tables["record.md"], "| `began` | time |")
	want := tables["policy.md"]
	require.Contains(t, want, "| `frontends[].options.strip` | list of strings |")
	require.Contains(t, want, "| `frontends[].build` | fields of `build` |")
	require.Contains(t, want, "| `build.exec.ulimits` | map of integers |")
	require.Contains(t, want, "| `limits.nesting` | integer |")
	require.NotContains(t, want, "`frontends[].build.")
}

func TestEveryFieldIsDescribed(t *testing.T) {
	t.Parallel()
	described := 0
	var walk func(path string, schema map[string]any)
	walk = func(path string, schema map[string]any) {
		properties, _ := schema["properties"].(map[string]any)
		for name, p := range properties {
			p := p.(map[string]any)
			require.NotEmpty(t, p["description"], path+name)
			described++
			walk(path+name+".", p)
			if items, ok := p["items"].(map[string]any); ok {
				walk(path+name+"[].", items)
			}
		}
	}
	for _, schema := range [][]byte{policy.Schema(), record.Schema()} {
		var root map[string]any
		require.NoError(t, json.Unmarshal(schema, &root))
		walk("", root)
	}
	require.GreaterOrEqual(t, described, 15)
}

// decode reads a policy as an editor's validator does.
func decode(t *testing.T, data []byte) any {
	t.Helper()
	var doc any
	require.NoError(t, yaml.Unmarshal(data, &doc))
	asJSON, err := json.Marshal(doc)
	require.NoError(t, err)
	value, err := jsonschema.UnmarshalJSON(bytes.NewReader(asJSON))
	require.NoError(t, err)
	return value
}

func compile(t *testing.T, id string, schema []byte) *jsonschema.Schema {
	t.Helper()
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(schema))
	require.NoError(t, err)
	c := jsonschema.NewCompiler()
	require.NoError(t, c.AddResource(id, doc))
	s, err := c.Compile(id)
	require.NoError(t, err)
	return s
}

func TestExamplesAreValid(t *testing.T) {
	t.Parallel()
	s := compile(t, schemaID, policy.Schema())
	policies, err := filepath.Glob("../../examples/*/policy.yaml")
	require.NoError(t, err)
	overlays, err := filepath.Glob("../../examples/*/overlay.yaml")
	require.NoError(t, err)
	require.NotEmpty(t, policies)
	require.NotEmpty(t, overlays)
	for _, file := range append(policies, overlays...) {
		data, err := os.ReadFile(file)
		require.NoError(t, err)
		require.NoError(t, s.Validate(decode(t, data)), file)
		_, err = policy.Parse(file, data)
		require.NoError(t, err)
	}
	for _, file := range overlays {
		data, err := os.ReadFile(file)
		require.NoError(t, err)
		_, err = policy.ParseOverlay(file, data)
		require.NoError(t, err)
	}
}

func TestSchemaRefusesWhatParseRefuses(t *testing.T) {
	t.Parallel()
	s := compile(t, schemaID, policy.Schema())
	for name, doc := range map[string]string{
		"a missing version":          "id: x",
		"another version":            "version: 2",
		"an unknown field":           "{version: 1, frontend: []}",
		"an unknown field of a rule": "{version: 1, frontends: [{match: [a], tag: [b]}]}",
		"a rule without match":       "{version: 1, frontends: [{name: a}]}",
		"an empty match":             "{version: 1, frontends: [{match: []}]}",
		"an invalid action":          "{version: 1, default: maybe}",
		"an invalid overlay":         "{version: 1, overlay: {accept: signed}}",
		"a text for a list":          "{version: 1, frontends: [{match: a}]}",
		"an over-long id":            "{version: 1, id: " + string(bytes.Repeat([]byte("x"), 257)) + "}",
		"an unknown kind":            "{version: 1, build: {image: {deny: [a]}}}",
		"a kind that is allowed":     "{version: 1, build: {http: allow}}",
		"an agent that is a text":    "{version: 1, build: {exec: {ssh: default}}}",
		"an unknown dispatch":        "{version: 1, frontends: [{match: [a], dispatch: direct}]}",
		"a ulimit that is a text":    "{version: 1, build: {exec: {ulimits: {core: \"1\"}}}}",
		"too deep nesting":           "{version: 1, limits: {nesting: 17}}",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			require.Error(t, s.Validate(decode(t, []byte(doc))))
			_, err := policy.Parse("p", []byte(doc))
			require.Error(t, err)
		})
	}
}

func TestSchemaTakesRulesOnBuilds(t *testing.T) {
	t.Parallel()
	const build = `{images: {allow: ["a/**"], requireDigest: true, pins: {"a:1": "sha256:` + "1111111111111111111111111111111111111111111111111111111111111111" + `"}, convert: [{from: a, to: b}]},
		exec: {ulimits: {core: -1}, ssh: true, devices: [gpu], deny: {networks: [host], ssh: true}}, http: deny, git: {allow: []}, others: deny,
		containers: allow, config: {user: {forbid: ["", root]}, labels: {require: [a], values: {b: c}}}}`
	doc := []byte("{version: 1, dispatch: mediate, limits: {timeout: 1h, nesting: 2}, build: " + build + ", frontends: [{match: [a], build: " + build + "}]}")
	require.NoError(t, compile(t, schemaID, policy.Schema()).Validate(decode(t, doc)))
	_, err := policy.Parse("p", doc)
	require.NoError(t, err)
}

func TestSchemaTakesNumbersForTexts(t *testing.T) {
	t.Parallel()
	doc := []byte("{version: 1, id: 7, frontends: [{match: [a], tags: [1, 1.4], versions: 1.4, expires: 2027}]}")
	require.NoError(t, compile(t, schemaID, policy.Schema()).Validate(decode(t, doc)))
	doc = []byte("{version: 1, frontends: [{match: [a], tags: [1, 1.4], versions: 1.4}]}")
	_, err := policy.Parse("p", doc)
	require.NoError(t, err)
}

// The schemas of operations and of cases take what their parsers take, and refuse what a person
// easily gets wrong.
func TestSchemasOfOtherDocuments(t *testing.T) {
	t.Parallel()
	ops := compile(t, operationsID, opcheck.Schema())
	suite := compile(t, casesID, policytest.Schema())
	const head = "{policy: p.yaml, cases: [{name: a, "
	for _, tt := range []struct {
		name   string
		schema *jsonschema.Schema
		parse  func([]byte) error
		doc    string
		valid  bool
	}{
		{"operations", ops, parseOperations, "[{image: a}, {exec: {network: host}}, {git: {url: 'https://a.example/x'}}]", true},
		{"no operation", ops, parseOperations, "[]", false},
		{"an operation of no kind", ops, parseOperations, "[{}]", false},
		{"two operations in one entry", ops, parseOperations, "[{image: a, local: b}]", false},
		{"an unknown kind of operation", ops, parseOperations, "[{imgae: a}]", false},
		{"a case", suite, parseCases, head + "request: a, expect: {verdict: deny, rule: x}}]}", true},
		{"short forms", suite, parseCases, head + "request: [a, b], expect: allow, build: [{image: a}, {image: b, expect: deny}]}]}", true},
		{"a Dockerfile with all of its fields", suite, parseCases, head + "request: a, expect: allow, build: [{dockerfile: d, target: t, args: {A: b}, expect: deny}]}]}", true},
		{"exports", suite, parseCases, head + "expect: allow, exports: [{client: oci, annotations: [k], expect: deny}, {push: a, expect: {verdict: deny, messages: [m]}}, {store: [a, b]}]}]}", true},
		{"caches", suite, parseCases, head + "expect: allow, caches: [{import: registry, ref: a, expect: deny}, {export: local}]}]}", true},
		{"LLB of a client's own", suite, parseCases, head + "ownLLB: true, expect: {verdict: deny, rule: llb}}]}", true},
		{"an export to nowhere", suite, parseCases, head + "expect: allow, exports: [{}]}]}", false},
		{"an unknown exporter", suite, parseCases, head + "expect: allow, exports: [{client: image}]}]}", false},
		{"a cache of no kind", suite, parseCases, head + "expect: allow, caches: [{}]}]}", false},
		{"no request", suite, parseCases, head + "expect: deny}]}", true},
		{"no expectation", suite, parseCases, head + "request: a}]}", false},
		{"another verdict", suite, parseCases, head + "request: a, expect: refuse}]}", false},
		{"no policy", suite, parseCases, "{cases: [{name: a, request: a, expect: deny}]}", false},
		{"no case", suite, parseCases, "{policy: p.yaml, cases: []}", false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			require.Equal(t, tt.valid, tt.schema.Validate(decode(t, []byte(tt.doc))) == nil)
			require.Equal(t, tt.valid, tt.parse([]byte(tt.doc)) == nil)
		})
	}
	data, err := os.ReadFile("../../examples/judged/policy.test.yaml")
	require.NoError(t, err)
	require.NoError(t, suite.Validate(decode(t, data)))
}

// What policy-guard writes is as the schema says, which refuses what the reader refuses.
func TestTheSchemaOfARecord(t *testing.T) {
	t.Parallel()
	s := compile(t, recordID, record.Schema())
	data, err := os.ReadFile("../../internal/record/testdata/complete.jsonl")
	require.NoError(t, err)
	require.NoError(t, s.Validate(decode(t, data)))
	for from, to := range map[string]string{
		`"version":1`:       `"version":2`,
		`"version":1,`:      `"version":1,"user":"x",`,
		`"identity":`:       `"name":`,
		`"event":"ended"`:   `"event":"paused"`,
		`"outcome":"done"`:  `"outcome":"fine"`,
		`"verdict":"warn"`:  `"verdict":"yes"`,
		`"verdict":"allow"`: `"verdict":"yes"`,
		`"id":"0a0a`:        `"id":"b1`,
	} {
		require.Contains(t, string(data), from)
		changed := strings.Replace(string(data), from, to, 1)
		require.Error(t, s.Validate(decode(t, []byte(changed))), to)
		_, err := record.Parse([]byte(changed))
		require.Error(t, err, to)
	}
}

func parseOperations(doc []byte) error {
	_, err := opcheck.Parse("f", doc)
	return err
}

func parseCases(doc []byte) error {
	_, err := policytest.Parse("f", doc)
	return err
}
