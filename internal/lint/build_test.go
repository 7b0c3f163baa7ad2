package lint_test

import (
	"slices"
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
			"hosts that begin alike in a build", mediated("blob: {allow: [\"mirror.example*/**\"]}"),
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
				"images: {allow: [\"m.example/**\"], requireDigest: true, convert: [{from: \"docker.io/**\", to: \"m.example/hub/**\"}]}, containers: allow, exec: {ssh: [default]}"),
			[]string{"containers-allowed" + at},
		},
		{
			"containers that forward doesn't see",
			dockerfile("dispatch: forward, build: {containers: deny}"),
			[]string{"unseen-by-forward" + at},
		},
		{
			"digests that forward sees when they are there",
			dockerfile("dispatch: forward, build: {images: {requireDigest: true}}"),
			[]string{"late-under-forward" + at, "unseen-by-forward" + at},
		},
		{
			"a conversion that forward makes too late",
			dockerfile("dispatch: forward, build: {images: {convert: [{from: a, to: b}]}}"),
			[]string{"late-under-forward" + at, "unseen-by-forward" + at},
		},
		{
			"the configuration of an image, which forward sees in time, is fine",
			dockerfile("dispatch: forward, build: {config: {user: {forbid: [root]}}}"), nil,
		},
		{
			"what forward sees late",
			dockerfile("dispatch: forward, build: {exec: {ssh: [default]}, local: {allow: [context]}}"),
			[]string{"late-under-forward" + at},
		},
		{
			"rules without a dispatch, which are mediated, are fine",
			dockerfile("build: {images: {allow: [\"m.example/**\"], requireDigest: true}, exec: {ssh: [default]}}"), nil,
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
			[]string{"pin-refused  p:5:3", "builtin-refuses a p:7:3"},
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
			top + "default: allow\nfrontends:\n- {name: a, match: [a], build: {exec: {ssh: [default]}}}\n",
			[]string{"default-allow  p:0:0", "default-unjudged  p:0:0"},
		},
		{
			"a default that is held to the rules of the whole policy",
			top + "default: allow\nbuild: {exec: {ssh: [default]}}\n",
			[]string{"default-allow  p:0:0"},
		},

		{
			"a rule that repeats the whole policy's",
			top +
				"build: {exec: {ssh: [default]}, local: {deny: [x]}}\nfrontends:\n- {name: a, match: [a], build: {exec: {ssh: [default]}, local: {deny: [y]}}}\n",
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
		{
			"every host allowed without a path", mediated("http: {allow: [\"https://**\"]}"),
			[]string{"build-allows-any" + at},
		},
		{
			"every URL allowed", mediated("http: {allow: [\"**\"]}"),
			[]string{"plain-http" + at, "build-allows-any" + at},
		},
		{"one host allowed is fine", mediated("http: {allow: [\"https://a.example/**\"]}"), nil},
		{
			"a star before a host that others can have",
			mediated("http: {allow: [\"https://*corp.example/**\"]}"),
			[]string{"prefix-runs-on" + at},
		},
		{
			"a star at the end of a host", mediated("http: {allow: [\"https://corp.*/**\"]}"),
			[]string{"prefix-runs-on" + at},
		},
		{
			"a star at the end of a directory", mediated("git: {allow: [\"https://github.com/org*/**\"]}"),
			[]string{"prefix-runs-on" + at},
		},
		{
			"stars that stay with one owner are fine",
			mediated("git: {allow: [\"https://*-git.corp.example/org/app*\", \"https://*.other.example\", \"https://10.1.*.*\"]}"),
			nil,
		},

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
			"a repository denied on each port of an allowed host is fine",
			mediated("git: {allow: [\"https://a.example\"], deny: [\"*.example/secret\"]}"), nil,
		},
		{
			"an allowed repository inside a denied host's",
			mediated("git: {allow: [\"https://a.example/x\"], deny: [\"ssh://a.example\"]}"),
			[]string{"build-deny-without-effect" + at},
		},
		{
			"a host denied by one scheme of several", mediated("git: {deny: [\"https://github.com/evil/**\"]}"),
			[]string{"build-deny-leaves-scheme" + at},
		},
		{
			"a host denied in the form of scp", mediated("git: {deny: [\"git@github.com:evil/*\"]}"),
			[]string{"build-deny-leaves-scheme" + at},
		},
		{
			"a download denied by https, of a host that http reaches",
			mediated("http: {deny: [\"https://evil.example\"]}"),
			[]string{"build-deny-leaves-scheme" + at},
		},
		{
			"a host denied by each scheme is fine",
			mediated("http: {deny: [\"https://evil.example\", \"http://evil.example\", other.example]}"), nil,
		},
		{
			"a host denied by the only scheme that is allowed is fine",
			mediated("git: {allow: [\"https://github.com\"], deny: [\"https://github.com/evil\"]}"), nil,
		},
		{"a scheme denied for every host is fine", mediated("http: {deny: [\"http://**\"]}"), nil},
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
			// TestOpenDoors has this finding, which most of these short policies get.
			found := slices.DeleteFunc(check("p", p, lint.Options{Time: day()}),
				func(f lint.Finding) bool { return f.Code == lint.OpenDoors })
			require.Equal(t, tt.want, list(found))
		})
	}
}

func TestARuleThatAllowsWhatThePolicyDenies(t *testing.T) {
	t.Parallel()
	const at = " a p:6:3"
	for name, tt := range map[string]struct {
		whole, rule string
		want        []string
	}{
		"a kind that is denied": {"http: deny", `http: {allow: ["https://a.example/**"]}`, []string{"build-allow-refused" + at}},
		"a kind that both deny": {"http: deny", "http: deny", []string{"build-repeated" + at}},
		"denied containers": {
			"containers: deny", "containers: allow", []string{"build-allow-refused" + at},
		},
		"a name that is denied": {
			`blob: {deny: ["x/**"]}`, "blob: {allow: [x/y, z/y]}", []string{"build-allow-refused" + at},
		},
		"a URL that is denied":       {`git: {deny: ["a.example/**"]}`, `git: {allow: ["https://a.example/b"]}`, []string{"build-allow-refused" + at}},
		"other names are fine":       {`blob: {deny: [x/y]}`, `blob: {allow: ["x/**"]}`, nil},
		"an empty allow is fine":     {`http: {allow: []}`, `http: {allow: ["https://a.example/**"]}`, nil},
		"a directory that is denied": {"local: {deny: [home]}", "local: {allow: [home, context]}", []string{"build-allow-refused" + at}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			doc := "version: 1\nid: x\ncontact: y\nbuild: {" + tt.whole + "}\nfrontends:\n" +
				"- {name: a, match: [docker/dockerfile], dispatch: mediate, build: {" + tt.rule + "}}\n"
			p, err := policy.Parse("p", []byte(doc))
			require.NoError(t, err)
			require.Equal(t, tt.want, list(check("p", p, lint.Options{Time: day()})))
		})
	}
}

func TestOpenDoors(t *testing.T) {
	t.Parallel()
	const images = `images: {allow: ["m.example/**"]}`
	tests := []struct {
		name, whole, rule string
		want              []string
	}{
		{"images alone", images, "", []string{"open-doors  p:0:0"}},
		{"images alone in a rule", "", images, []string{"open-doors a p:7:3"}},
		{"images alone in both", images, images, []string{"open-doors  p:0:0", "build-repeated a p:7:3"}},
		{"images in a rule, and the doors in the policy, is fine", "others: deny", images, nil},
		{"the others closed is fine", images + ", others: deny", "", nil},
		{
			"some doors open", images + ", http: deny, git: deny, blob: deny", "",
			[]string{"open-doors  p:0:0"},
		},
		{
			"each door closed by itself is fine", images +
				", http: deny, git: deny, blob: deny, ociLayout: deny, local: {allow: [context, dockerfile]}",
			"", nil,
		},
		{"images that only deny is fine", "images: {deny: [x]}", "", nil},
		{"no image at all", "images: deny", "", []string{"open-doors  p:0:0"}},
		{"every image is fine", `images: {allow: ["**"], deny: [x]}`, "", nil},
		{"layouts by name", `ociLayout: {allow: ["m.example/**"]}`, "", []string{"layout-name  p:0:0"}},
		{"layouts but for some names", `ociLayout: {deny: [x]}`, "", []string{"layout-name  p:0:0"}},
		{"no layout is fine", `ociLayout: deny`, "", nil},
		{"no layout by an empty list is fine", `ociLayout: {allow: []}`, "", nil},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			doc := "version: 1\nid: x\ncontact: y\n"
			build := func(b string) string {
				if b == "" {
					b = "containers: deny"
				}
				return "{" + b + "}"
			}
			doc += "dispatch: mediate\nbuild: " + build(tt.whole) + "\nfrontends:\n" +
				"- {name: a, match: [docker/dockerfile]"
			if tt.rule != "" {
				doc += ", build: " + build(tt.rule)
			}
			p, err := policy.Parse("p", []byte(doc+"}\n"))
			require.NoError(t, err)
			require.Equal(t, tt.want, list(check("p", p, lint.Options{Time: day()})))
		})
	}
}
