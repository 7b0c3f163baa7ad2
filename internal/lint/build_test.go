package lint_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/policy-frontend/policy-frontend/internal/lint"
	"github.com/policy-frontend/policy-frontend/policy"
)

// dockerfile is a policy with one rule for docker/dockerfile. The rest is put into that rule.
func dockerfile(rest string) string {
	return head + "- {name: a, match: [docker/dockerfile], " + rest + "}\n"
}

func TestCheckBuildRules(t *testing.T) {
	t.Parallel()
	mediated := func(build string) string {
		return dockerfile(
			"dispatch: mediate, build: {" + build + "}")
	}
	const at = " a p:5:3"
	tests := []struct {
		name, doc string
		want      []string // code, rule and position
	}{
		{
			"hosts that end alike in a build", mediated("images: {allow: [\"*corp.example/**\"]}"),
			[]string{"prefix-runs-on" + at},
		},
		{
			"hosts that begin alike in a build", mediated("ociLayout: {allow: [\"mirror.example*/**\"]}"),
			[]string{"prefix-runs-on" + at},
		},
		{
			"images of every host", mediated("images: {allow: [\"**/library/*\"]}"),
			[]string{"build-allows-any" + at},
		},
		{
			"a conversion of a directory that allow lists is fine",
			mediated("images: {allow: [\"mirror.example/hub/**\"], convert: " +
				"[{from: \"docker.io/library\", to: \"mirror.example/hub\"}]}"), nil,
		},
		{
			"a conversion of a directory that allow doesn't list",
			mediated("images: {allow: [\"mirror.example/other/**\"], convert: " +
				"[{from: \"docker.io/library\", to: \"mirror.example/hub\"}]}"),
			[]string{"convert-refused" + at},
		},
		{
			"a conversion of a directory after one of a repository is fine",
			mediated("images: {convert: [{from: \"q.example/a\", to: \"m.example/a\"}, " +
				"{from: \"q.example/**\", to: \"m.example/**\"}]}"), nil,
		},
		{
			"a denied organisation that allow doesn't list",
			mediated("images: {allow: [\"m.example/**\"], deny: [bitnami]}"),
			[]string{"build-deny-without-effect" + at},
		},
		{
			"a denied port of an allowed host is fine",
			mediated("images: {allow: [\"m.example:*/**\"], deny: [\"m.example:80/**\"]}"), nil,
		},
		{
			"rules that mediate can hold a frontend to",
			mediated(
				"images: {allow: [\"m.example/**\"], requireDigest: true, convert: [{from: \"docker.io/**\", to: \"m.example/hub/**\"}]}, containers: allow, exec: {ssh: true}"), nil,
		},
		{
			"containers that forward doesn't see", dockerfile("build: {containers: deny}"),
			[]string{"unseen-by-forward" + at},
		},
		{
			"digests that forward sees when they are there",
			dockerfile("build: {images: {requireDigest: true}}"),
			[]string{"unseen-by-forward" + at},
		},
		{
			"a conversion that forward makes too late",
			dockerfile("build: {images: {convert: [{from: a, to: b}]}}"),
			[]string{"unseen-by-forward" + at},
		},
		{
			"what forward sees is fine",
			dockerfile(
				"build: {images: {allow: [\"m.example/**\"]}, git: {requireCommit: true}, http: {requireChecksum: true}, exec: {ssh: true}, config: {user: {forbid: [root]}}}"), nil,
		},
		{
			"rules of the whole policy that one of its rules has by forward",
			top +
				"build: {containers: deny}\ndispatch: mediate\nfrontends:\n- {name: a, match: [a]}\n- {name: b, match: [b], dispatch: forward}\n",
			[]string{"unseen-by-forward  p:0:0"},
		},
		{
			"rules of the whole policy that none of its rules has by forward is fine",
			top +
				"build: {containers: deny}\ndispatch: mediate\nfrontends:\n- {name: a, match: [a]}\n- {name: b, match: [b], action: deny}\n", nil,
		},

		{
			"a builtin for another name",
			head + "- {name: a, match: [docker/dockerfile-upstream], dispatch: builtin}\n",
			[]string{"builtin-refuses" + at},
		},
		{
			"a builtin for a folder of names",
			head + "- {name: a, match: [\"m.example/**\"], dispatch: builtin}\n",
			[]string{"builtin-refuses" + at},
		},
		{
			"a builtin for mirrors is fine",
			head +
				"- {name: a, match: [\"m.example/**/docker/dockerfile\", docker/dockerfile], dispatch: builtin}\n", nil,
		},
		{
			"a builtin for digests", dockerfile("dispatch: builtin, digests: [\"" + digestA + "\"]"),
			[]string{"builtin-refuses" + at},
		},
		{
			"a builtin for what must have a digest", dockerfile("dispatch: builtin, requireDigest: true"),
			[]string{"builtin-refuses" + at},
		},
		{
			"a builtin for pinned tags",
			top + "aliases:\n- {from: docker/dockerfile, to: docker/dockerfile, pins: {\"1\": \"" + digestA +
				"\"}}\nfrontends:\n- {name: a, match: [docker/dockerfile], dispatch: builtin}\n",
			[]string{"builtin-refuses a p:7:3"},
		},
		{
			"a builtin of the whole policy for another name",
			top + "dispatch: builtin\nfrontends:\n- {name: a, match: [x]}\n",
			[]string{"builtin-refuses a p:6:3"},
		},
		{
			"a builtin for versions that it doesn't have",
			dockerfile("dispatch: builtin, versions: \">=1.29\""),
			[]string{"builtin-refuses" + at},
		},
		{
			"a builtin for a tag that it doesn't have", dockerfile("dispatch: builtin, tags: [\"1.29\"]"),
			[]string{"builtin-refuses" + at},
		},
		{
			"a builtin for a tag that it has", dockerfile("dispatch: builtin, tags: [\"1.28.0-labs\"]"),
			nil,
		},
		{
			"a builtin for a late patch that it has", dockerfile("dispatch: builtin, tags: [\"1.7.77\"]"),
			nil,
		},
		{
			"a builtin for a patch that it doesn't have",
			dockerfile("dispatch: builtin, tags: [\"1.28.1\"]"),
			[]string{"builtin-refuses" + at},
		},
		{
			"a builtin for versions of which it has some",
			dockerfile("dispatch: builtin, versions: \">=1.27.15\""), nil,
		},
		{"a builtin for its own labs", dockerfile("dispatch: builtin, tags: [\"*labs\"]"), nil},

		{
			"a default that is held to nothing beside rules that are",
			top + "default: allow\nfrontends:\n- {name: a, match: [a], build: {exec: {ssh: true}}}\n",
			[]string{"default-allow  p:0:0", "default-unjudged  p:0:0"},
		},
		{
			"a default that is held to the rules of the whole policy",
			top + "default: allow\nbuild: {exec: {ssh: true}}\n",
			[]string{"default-allow  p:0:0"},
		},

		{
			"a rule that repeats the whole policy's",
			top +
				"build: {exec: {ssh: true}, local: {deny: [x]}}\nfrontends:\n- {name: a, match: [a], build: {exec: {ssh: true}, local: {deny: [y]}}}\n",
			[]string{"build-repeated a p:6:3"},
		},

		{"every image allowed", mediated("images: {allow: [\"**\"]}"), []string{"build-allows-any" + at}},
		{"every image allowed but some is fine", mediated("images: {allow: [\"**\"], deny: [x]}"), nil},
		{
			"every image allowed by digest is fine",
			mediated("images: {allow: [\"**\"], requireDigest: true}"), nil,
		},
		{"every blob allowed", mediated("blob: {allow: [\"**\"]}"), []string{"build-allows-any" + at}},
		{"every folder allowed", mediated("local: {allow: [\"*\"]}"), []string{"build-allows-any" + at}},
		{
			"every host allowed", mediated("http: {allow: [\"https://**/**\"]}"),
			[]string{"build-allows-any" + at},
		},
		{"one host allowed is fine", mediated("http: {allow: [\"https://a.example/**\"]}"), nil},

		{
			"an image denied that isn't allowed",
			mediated("images: {allow: [\"m.example/**\"], deny: [x, \"**/y\"]}"),
			[]string{"build-deny-without-effect" + at},
		},
		{"an image denied where all others are allowed is fine", mediated("images: {deny: [x]}"), nil},
		{
			"a repository denied that isn't allowed",
			mediated(
				"git: {allow: [\"https://a.example/**\"], deny: [\"https://b.example/**\", \"https://A.example:443/x.git\"]}"),
			[]string{"build-deny-without-effect" + at},
		},

		{
			"a conversion after one that takes all of it",
			mediated("images: {convert: [{from: \"a/**\", to: \"b/**\"}, {from: a/x, to: c}]}"),
			[]string{"convert-shadowed" + at},
		},
		{
			"a conversion to what isn't allowed",
			mediated("images: {allow: [\"m.example/**\"], convert: [{from: a, to: b}]}"),
			[]string{"convert-refused" + at},
		},
		{
			"a conversion to what is denied",
			mediated("images: {deny: [\"docker.io/**\"], convert: [{from: a, to: b}]}"),
			[]string{"convert-refused" + at},
		},

		{
			"a pin of what isn't allowed",
			mediated("images: {allow: [\"m.example/**\"], pins: {\"a:1\": \"" + digestA + "\"}}"),
			[]string{"build-pin-refused" + at},
		},
		{
			"a pin of what is converted",
			mediated("images: {convert: [{from: a, to: b}], pins: {\"a:1\": \"" + digestA + "\"}}"),
			[]string{"build-pin-refused" + at},
		},
		{
			"a pin of what it is converted to is fine",
			mediated(
				"images: {allow: [b], convert: [{from: a, to: b}], pins: {\"b:1\": \"" + digestA + "\"}}"),
			nil,
		},

		{
			"another frontend that no rule allows", mediated("frontends: {allow: [docker/dockerfile, x]}"),
			[]string{"nested-not-allowed" + at},
		},
		{
			"another frontend that an expired rule allows",
			head +
				"- {name: a, match: [docker/dockerfile], dispatch: mediate, build: {frontends: {allow: [x]}}}\n- {name: b, match: [x], expires: 2027-01-01}\n",
			[]string{"nested-not-allowed" + at, "expired b p:6:3"},
		},
		{
			"other frontends to which aliases may lead are fine",
			top +
				"aliases:\n- {from: x, to: docker/dockerfile}\nfrontends:\n- {name: a, match: [docker/dockerfile], dispatch: mediate, build: {frontends: {allow: [x]}}}\n", nil,
		},

		{
			"a download that anybody can replace", mediated("http: {allow: [\"http://a.example/**\"]}"),
			[]string{"plain-http" + at},
		},
		{
			"a download that nobody can replace is fine",
			mediated("http: {allow: [\"http://a.example/**\"], requireChecksum: true}"), nil,
		},
		{
			"repositories that anybody can replace",
			mediated(
				"git: {allow: [\"git://a.example/**\", \"http://a.example/**\", \"ssh://a.example/**\"]}"),
			[]string{"plain-http" + at, "plain-http" + at},
		},
		{"the network of the host", mediated("exec: {networks: [host]}"), []string{"host-network" + at}},
		{"no sandbox", mediated("exec: {insecure: true}"), []string{"insecure-exec" + at}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			p, err := policy.Parse("p", []byte(tt.doc))
			require.NoError(t, err)
			require.Equal(t, tt.want, list(lint.Check("p", p, lint.Options{Time: day()})))
		})
	}
}
