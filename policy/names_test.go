package policy

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/policy-frontend/policy-frontend/policy/buildrules"
)

// A registry without a path is an error wherever a name can stand, and so is docker.io/*.
func TestParseRefusesNamesThatMeanSomethingElse(t *testing.T) {
	t.Parallel()
	places := map[string]string{
		"an allow rule":              "frontends: [{match: [NAME]}]",
		"a deny rule":                "frontends: [{action: deny, match: [NAME]}]",
		"the limits":                 "limits: {match: [NAME]}",
		"an alias":                   "aliases: [{from: NAME, to: a}]",
		"the target of an alias":     "aliases: [{from: a, to: NAME}]",
		"allowed images":             "build: {images: {allow: [NAME]}}",
		"denied images":              "build: {images: {deny: [NAME]}}",
		"a conversion":               "build: {images: {convert: [{from: NAME, to: a}]}}",
		"the target of a conversion": "build: {images: {convert: [{from: a, to: NAME}]}}",
		"allowed layouts":            "build: {ociLayout: {allow: [NAME]}}",
		"denied blobs":               "build: {blob: {deny: [NAME]}}",
		"nested frontends":           "dispatch: mediate\nbuild: {frontends: {deny: [NAME]}}",
	}
	for name, doc := range places {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for _, host := range []string{"quay.io", "docker.io", "public.ecr.aws", "localhost"} {
				_, err := Parse("p", []byte("version: 1\n"+strings.ReplaceAll(doc, "NAME", host)+"\n"))
				require.ErrorContains(t, err, `"`+host+`" is a registry; write `+host+"/** for all that it has")
			}
			_, err := Parse("p",
				[]byte("version: 1\n"+strings.ReplaceAll(doc, "NAME", `"localhost:5000"`)+"\n"))
			require.ErrorContains(t, err, "is a registry; write localhost:5000/**")
			_, err = Parse("p", []byte("version: 1\n"+strings.ReplaceAll(doc, "NAME", `"docker.io/*"`)+"\n"))
			require.Error(t, err)
		})
	}
}

func TestParseSaysWhereATagBelongs(t *testing.T) {
	t.Parallel()
	for doc, want := range map[string]string{
		"frontends: [{match: [\"a/b:1\"]}]":               "write a/b, and the tag under tags",
		"frontends: [{match: [\"a/b@" + digestA + "\"]}]": "write a/b, and the digest under digests",
		"build: {images: {deny: [\"**:latest\"]}}":        "a pattern is for names only; write **",
		"aliases: [{from: \"a/b:1\", to: c/d}]":           "a pattern is for names only; write a/b",
	} {
		_, err := Parse("p", []byte("version: 1\n"+doc+"\n"))
		require.ErrorContains(t, err, want)
		require.NotContains(t, err.Error(), "use tags")
	}
}

// What a rule denies, it denies in every reading of its words: as a frontend, as an image, in a
// layout and as a nested frontend.
func TestDeniedNames(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name, pattern string
		denied        []string
		passes        []string
	}{
		{
			"a registry", "quay.io/**",
			[]string{"quay.io/x/y", "quay.io:80/x", "quay.io:8080/x/y"},
			[]string{"quay.example/x"},
		},
		{"this machine", "localhost/**", []string{"localhost:5000/x"}, []string{"localhost.example/x"}},
		{
			"an organisation", "bitnami",
			[]string{
				"bitnami/redis", "bitnami", "registry-1.docker.io/bitnami/redis",
				"docker.io:80/bitnami/a",
			},
			[]string{"quay.io/bitnami/redis"},
		},
		{"an organisation and its host", "docker.io/bitnamilegacy", []string{"bitnamilegacy/redis"}, nil},
		{
			"a directory", "quay.io/org/**",
			[]string{"quay.io/org", "quay.io/org/x"},
			[]string{"quay.io/or"},
		},
		{"hosts", "*.evil.example/**", []string{"a.b.evil.example:5000/x"}, []string{"evil.example/x"}},
		{"addresses", "10.*/**", []string{"10.1.2.3:5000/x"}, []string{"110.1.2.3/x"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			l := mustStack(t, "version: 1\ndefault: allow\nfrontends: [{action: deny, match: [\""+
				tt.pattern+"\"]}]\n", "")
			b := mustStack(t, "version: 1\ndispatch: mediate\ndefault: allow\nbuild: {images: {deny: [\""+
				tt.pattern+"\"]}, ociLayout: {deny: [\""+tt.pattern+"\"]}, blob: {deny: [\""+tt.pattern+"\"]}}\n", "")
			d := Decide(b, request(t, "a"))
			check := func(name string, want Verdict) {
				require.Equal(t, want, Decide(l, request(t, name)).Verdict, name)
				for _, o := range []buildrules.Operation{
					{Image: name}, {OCILayout: name + "@" + digestA}, {Blob: name + "@" + digestA},
				} {
					require.Equal(t, want, d.Check(o).Verdict, "%+v", o)
				}
			}
			for _, name := range tt.denied {
				check(name, Deny)
			}
			for _, name := range tt.passes {
				check(name, Allow)
			}
		})
	}
}

// What is allowed has to hold in every reading.
func TestAllowedNames(t *testing.T) {
	t.Parallel()
	l := mustStack(t, "version: 1\nfrontends: [{match: [\"10.*.*.*/**\", \"*.corp.example/**\", "+
		"\"any.example:*/**\", bitnami, q.example/org]}]\n", "")
	for name, want := range map[string]Verdict{
		"10.1.2.3/x": Allow, "10.evil.example.com/x": Deny, "10.1.2.com/x": Deny, "10.1.2.3:80/x": Deny,
		"a.corp.example/x": Allow, "a.b.corp.example/x": Deny, "a.corp.example:5000/x": Deny,
		"any.example/x": Allow, "any.example:5000/x": Allow, "bitnami": Allow, "bitnami/redis": Deny,
		"q.example/org": Allow, "q.example/org/x": Deny,
	} {
		require.Equal(t, want, Decide(l, request(t, name)).Verdict, name)
	}
	d := Decide(mustStack(t, "version: 1\ndefault: allow\nlimits: {match: [docker.io/docker]}\n", ""),
		request(t, "docker/dockerfile:1"))
	require.Equal(t,
		"docker/dockerfile:1 is outside the limits: only names like docker.io/library/docker can be allowed",
		d.Reason)
}
