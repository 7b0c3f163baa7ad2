package diff

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/policy-frontend/policy-frontend/policy"
	"github.com/policy-frontend/policy-frontend/policy/buildrules"
	"github.com/policy-frontend/policy-frontend/policy/imageref"
)

func TestCompareBuilds(t *testing.T) {
	t.Parallel()
	a := func(build string) string {
		return head + "- {name: a, match: [a], dispatch: mediate, build: {" + build + "}}\n"
	}
	none := head + "- {name: a, match: [a], dispatch: mediate}\n"
	tests := []struct {
		name, a, b string
		want       []string
	}{
		{"the same", a("images: {allow: [x, y]}"), a("images: {allow: [x, y]}"), nil},
		{"the same in another order", a("images: {allow: [x, y]}"), a("images: {allow: [y, docker.io/library/x]}"), nil},
		{"the same said for the whole policy", a("images: {allow: [x]}"), "build: {images: {allow: [x]}}\n" + none, nil},
		{"an image more", a("images: {allow: [x]}"), a("images: {allow: [x, \"m.example/*\"]}"), []string{
			"+loosened a:latest; no longer refused in a build: the image m.example/other:other",
		}},
		{
			"rules on images where none were", none, a("images: {deny: [m/x]}"),
			[]string{"-tightened a:latest; now refused in a build: the image docker.io/m/x:other"},
		},
		{
			"a digest no longer required", a("images: {requireDigest: true}"), a("images: {deny: [m/x]}"),
			[]string{"+loosened a:latest; no longer refused in a build: the image " +
				"other.example/other:other", "-tightened a:latest; now refused in a build: the image " +
				"docker.io/m/x@sha256:be4cc88815324b6e41ac1c624f84f23d37472f9e14de293dc5a1d35402e9c716"},
		},
		{
			"a denied port and a denied directory less", a("images: {deny: [q.example/m]}"),
			a("images: {deny: [\"q.example:80/m\", \"q.example:80/m/**\"]}"),
			[]string{"+loosened a:latest; no longer refused in a build: the image q.example/m:other; no " +
				"longer refused in a build: the image q.example/m/other:other; no longer refused in a " +
				"build: the image q.example:49151/m/other/other:other; no longer refused in a build: the " +
				"image q.example:49151/m/other/other/other/other/other:other"},
		},
		{"rules for another whole policy", "build: {local: {allow: [a]}}\n" + none, "build: {local: {allow: [a, b]}}\n" + none, []string{
			"+loosened a:latest; no longer refused in a build: the client's directory b",
		}},
		{
			"another mode", a("local: {allow: [a]}"),
			head + "- {name: a, match: [a], mode: warn, dispatch: mediate, build: {local: {allow: [a]}}}\n",
			[]string{"+loosened a:latest; no longer refused in a build: the client's directory other; no " +
				"longer refused in a build: a container of the frontend's"},
		},
		{"a repository more", a("git: {allow: [\"https://a.example/**\"]}"), a("git: {allow: [\"https://a.example/**\", \"ssh://*.b.example/x.git\"]}"), []string{
			"+loosened a:latest; no longer refused in a build: the git repository ssh://other.b.example/x",
		}},
		{"a commit required", a("git: {allow: [\"https://a.example/x\"]}"), a("git: {allow: [\"https://a.example/x\"], requireCommit: true}"), []string{
			"-tightened a:latest; now refused in a build: the git repository https://a.example/x",
		}},
		{
			"a download less",
			a("http: {allow: [\"https://a.example/x\", \"https://a.example/y\"], requireChecksum: true}"),
			a("http: {allow: [\"https://a.example/x\"], requireChecksum: true}"),
			[]string{"-tightened a:latest; now refused in a build: the download https://a.example/y, which " +
				"must be sha256:be4cc88815324b6e41ac1c624f84f23d37472f9e14de293dc5a1d35402e9c716"},
		},
		{
			"an address denied no longer", a("http: {deny: [\"https://10.*.0.1/**\", x.example]}"),
			a("http: {deny: [x.example]}"),
			[]string{"+loosened a:latest; no longer refused in a build: the download https://10.7.0.1"},
		},
		{
			"more addresses", a("http: {allow: [\"https://192.168.0.1\"]}"),
			a("http: {allow: [\"https://192.168.*.1\"]}"),
			[]string{"+loosened a:latest; no longer refused in a build: the download https://192.168.7.1"},
		},
		{
			"a path denied no longer, in another case",
			a("http: {allow: [\"https://a.example/A/**\"], deny: [a.example/a/b, x.example]}"),
			a("http: {allow: [\"https://a.example/A/**\"], deny: [x.example]}"),
			[]string{"+loosened a:latest; no longer refused in a build: the download https://a.example/A/b"},
		},
		{
			"a port denied no longer", a("http: {deny: [a.example]}"), a("http: {deny: [\"a.example:443\"]}"),
			[]string{"+loosened a:latest; no longer refused in a build: the download https://a.example:8000"},
		},
		{
			"a scheme denied no longer", a("git: {deny: [a.example]}"),
			a("git: {deny: [\"https://a.example\", \"ssh://a.example\", \"http://a.example\"]}"),
			[]string{"+loosened a:latest; no longer refused in a build: the git repository git://a.example"},
		},
		{
			"the same in other words", a("git: {allow: [a.example], deny: [\"a.example/x/**\"]}"),
			a("git: {allow: [\"https://A.example:443/**\", \"git@a.example:**\"], deny: [\"a.example:*/x\"]}"),
			nil,
		},
		{
			"another frontend more", a("frontends: {allow: [x]}"), a("frontends: {allow: [x, y]}"),
			[]string{"+loosened a:latest; no longer refused in a build: the frontend " +
				"docker.io/library/y:other"},
		},
		{
			"a secret more", a("exec: {secrets: [x]}"), a("exec: {secrets: [\"x*\"]}"),
			[]string{"+loosened a:latest; no longer refused in a build: a command with the secret xother"},
		},
		{"containers", none, a("containers: allow"), []string{"+loosened a:latest; no longer refused in a build: a container of the frontend's"}},
		{
			"another image in its place",
			a("images: {convert: [{from: q.example/a, to: q.example/b}]}"),
			a("images: {convert: [{from: q.example/a, to: q.example/b}, {from: q.example/c, to: q.example/d}]}"),
			[]string{"-rerouted a:latest; in a build, the image q.example/c:other becomes q.example/d:other, " +
				"before the requested image; in a build, the image q.example/c/other:other becomes " +
				"q.example/d/other:other, before the requested image; in a build, the image " +
				"q.example/c/other/other:other becomes q.example/d/other/other:other, before the requested " +
				"image; in a build, the image q.example/c/other/other/other/other/other:other becomes " +
				"q.example/d/other/other/other/other/other:other, before the requested image"},
		},
		{
			"a pin more", none, a("images: {pins: {\"a:1\": \"" + digestA + "\"}}"),
			[]string{
				"-rerouted a:latest; in a build, the image docker.io/library/a:1 becomes a:1@" +
					digestA + ", before the requested image",
				"-tightened a:latest; now refused in a build: the image " +
					"docker.io/library/a:1@sha256:be4cc88815324b6e41ac1c624f84f23d37472f9e14de293dc5a1d35402e9c716",
			},
		},
		{"a user forbidden", none, a("config: {user: {forbid: [root]}}"), []string{"-tightened a:latest; now refused in a build: an image"}},
		{
			"a user less, and a label more",
			a("config: {user: {require: [app, web]}, labels: {require: [a]}}"),
			a("config: {user: {require: [app]}, labels: {require: [a, b]}}"),
			[]string{"-tightened a:latest; now refused in a build: an image with the user web, the labels " +
				"a b; now refused in a build: an image with the user app, the labels a"},
		},
		{
			"volumes forbidden", a("config: {volumes: {forbid: [/data]}}"),
			a("config: {volumes: {forbid: [/data, \"/tmp/*\"]}}"),
			[]string{"-tightened a:latest; now refused in a build: an image with the volumes /tmp/other"},
		},
		{
			"another image in its place that was refused",
			a("images: {allow: [b], convert: [{from: a, to: b}]}"),
			a("images: {allow: [b, c], convert: [{from: a, to: c}]}"),
			[]string{"+loosened a:latest; no longer refused in a build: the image " +
				"docker.io/library/c:other", "+rerouted a:latest; in a build, the image " +
				"docker.io/library/a:other becomes c:other, before b:other"},
		},
		{
			"ulimits", a("exec: {ulimits: {nofile: 10, core: 1}}"),
			a("exec: {ulimits: {nofile: 20}, networks: [none]}"),
			[]string{"+loosened a:latest; no longer refused in a build: a command with the network none, " +
				"the ulimit nofile=20; no longer refused in a build: a command with the network none, the " +
				"ulimit nofile=11", "-tightened a:latest; now refused in a build: a command; now refused in a " +
				"build: a command with the ulimit core=1; now refused in a build: a command with the ulimit " +
				"nofile=10"},
		},
		{
			"judged before it runs", head + "- {name: a, match: [a]}\n", none,
			[]string{"-tightened a:latest; dispatch: mediate, before forward; now refused in a build: a " +
				"container of the frontend's"},
		},
		{
			"judged no longer", none, head + "- {name: a, match: [a]}\n",
			[]string{"+loosened a:latest; dispatch: forward, before mediate; no longer refused in a build: " +
				"a container of the frontend's"},
		},
		{
			"another program", head + "- {name: a, match: [docker/dockerfile], dispatch: mediate}\n",
			head + "- {name: a, match: [docker/dockerfile], dispatch: builtin}\n",
			[]string{
				"-rerouted docker/dockerfile:latest; dispatch: builtin, before mediate",
				"-refused docker/dockerfile:other",
			},
		},
		{
			"names and versions that the built-in frontend can't serve",
			head + "- {name: a, match: [docker/dockerfile, r.example/spec], versions: \">=1.27\", dispatch: builtin}\n",
			head + "- {name: a, match: [docker/dockerfile, r.example/spec], versions: \">=1.27\", dispatch: mediate}\n",
			[]string{
				"+allowed docker/dockerfile:1.27.0.0", "+allowed r.example/spec:1.27",
				"-rerouted docker/dockerfile:1.27; dispatch: mediate, before builtin",
			},
		},
		{
			"a longer timeout", "limits: {timeout: 1h}\n" + none, "limits: {timeout: 2h}\n" + none,
			[]string{"+loosened a:latest; limits.timeout: 2h0m0s, before 1h0m0s"},
		},
		{"less nesting", none, "limits: {nesting: 1}\n" + none, []string{"-tightened a:latest; limits.nesting: 1, before 4"}},
		{
			"a denial for the whole policy less",
			"build: {http: deny}\n" + a("http: {allow: [\"https://a.example/x\"]}"),
			a("http: {allow: [\"https://a.example/x\"]}"),
			[]string{"+loosened a:latest; no longer refused in a build: the download https://a.example/x"},
		},
		{
			"the others open", a("images: {allow: [x]}, others: deny, git: deny, blob: deny, ociLayout: deny"),
			a("images: {allow: [x]}, git: deny, blob: deny, ociLayout: deny"),
			[]string{"+loosened a:latest; no longer refused in a build: the download " +
				"https://other.example; no longer refused in a build: the client's directory other"},
		},
		{
			"a port more", a("config: {ports: {forbid: [\"1-1023\"]}}"),
			a("config: {ports: {forbid: [\"1-1022\"]}}"),
			[]string{"+loosened a:latest; no longer refused in a build: an image with the ports 1023/tcp"},
		},
		{
			"a protocol more", a("config: {ports: {forbid: [\"*\"]}}"),
			a("config: {ports: {forbid: [\"*/tcp\"]}}"),
			[]string{"+loosened a:latest; no longer refused in a build: an image with the ports 1/udp"},
		},
		{
			"digits less", a("config: {ports: {forbid: [\"*\"]}}"),
			a("config: {ports: {forbid: [\"1*\", \"2*\", \"3*\", \"4*\", \"5*\", \"6*\", \"7*\", \"8*\"]}}"),
			[]string{"+loosened a:latest; no longer refused in a build: an image with the ports 9/tcp"},
		},
		{
			"a user no longer forbidden beside a required port",
			a("config: {ports: {require: [\"80*\"]}, user: {forbid: [root]}}"),
			a("config: {ports: {require: [\"80*\"]}}"),
			[]string{"+loosened a:latest; no longer refused in a build: an image with the ports 80/tcp"},
		},
		{
			"an agent more", a("exec: {ssh: [default]}"), a("exec: {ssh: [default, \"dep*\"]}"),
			[]string{"+loosened a:latest; no longer refused in a build: a command with the ssh agent depother; " +
				"no longer refused in a build: a command with the ssh agent dep"},
		},
		{
			"a denied secret less", a("exec: {deny: {secrets: [aws, npm]}}"), a("exec: {deny: {secrets: [npm]}}"),
			[]string{"+loosened a:latest; no longer refused in a build: a command with the secret aws"},
		},
		{
			"another value of a label", a("config: {labels: {values: {team: web}}}"),
			a("config: {labels: {values: {team: \"*\"}}}"),
			[]string{"+loosened a:latest; no longer refused in a build: an image with the labels team"},
		},
		{"a timeout that forward doesn't have", head + "- {name: a, match: [a]}\n", "limits: {timeout: 2h}\n" + head + "- {name: a, match: [a]}\n", nil},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			r := Compare(parse(t, tt.a), parse(t, tt.b), now())
			require.Equal(t, tt.want, lines(r))
			require.True(t, r.Complete)
		})
	}
}

// If Compare says that nothing widened, a build allows nothing that it refused before.
func TestNothingWidenedInBuildsIsSo(t *testing.T) {
	t.Parallel()
	narrow, changed := 0, 0
	for seed := range uint64(600) {
		r := rand.New(rand.NewPCG(seed, 4))
		textA, textB := arbitraryBuild(r), arbitraryBuild(r)
		a, errA := policy.Parse("a", []byte(textA))
		b, errB := policy.Parse("b", []byte(textB))
		if errA != nil || errB != nil {
			continue // A rule contradicts the policy.
		}
		require.False(t, Compare(a, a, now()).Widened, textA)
		report := Compare(a, b, now())
		if report.Widened {
			continue
		}
		narrow++
		if len(report.Differences) > 0 {
			changed++
		}
		request := policy.Request{Reference: reference(t, "a:1"), Time: now()}
		before := policy.Decide(newSide(a).layers, request)
		after := policy.Decide(newSide(b).layers, request)
		for range 200 {
			f := arbitraryOperation(r)
			was, is := ruling(before, f), ruling(after, f)
			require.False(t, was.Verdict == policy.Deny && is.Verdict != policy.Deny,
				"seed %d\n%s---\n%s%+v", seed, textA, textB, f)
			require.False(t,
				is.Verdict != policy.Deny && was.Image != is.Image && newlyRead(before, is),
				"seed %d\n%s---\n%s%+v", seed, textA, textB, f)
		}
	}
	require.Greater(t, narrow, 20, "else the property says nothing")
	require.Greater(t, changed, 10, "else the property says nothing")
}

func reference(t *testing.T, s string) imageref.Reference {
	t.Helper()
	ref, err := imageref.Parse(s)
	require.NoError(t, err)
	return ref
}

// pick returns some of the items, at least one, as a YAML list.
func pick(r *rand.Rand, items ...string) string {
	var out []string
	for _, s := range items {
		if r.IntN(2) == 0 {
			out = append(out, fmt.Sprintf("%q", s))
		}
	}
	if len(out) == 0 {
		out = []string{fmt.Sprintf("%q", items[0])}
	}
	return "[" + strings.Join(out, ", ") + "]"
}

// arbitraryBuild makes a policy that lets a run, under rules of few words: those of the rule, and
// in every third policy those of the whole policy too.
func arbitraryBuild(r *rand.Rand) string {
	whole, own := "", arbitraryRules(r)
	if r.IntN(3) == 0 {
		if rules := arbitraryRules(r); rules != "" {
			whole = "build: {" + rules + "}\n"
		}
	}
	if own != "" {
		own = ", build: {" + own + "}"
	}
	return whole + head + "- {name: a, match: [a], dispatch: mediate" + own + "}\n"
}

func arbitraryRules(r *rand.Rand) string {
	names := []string{"x", "m.example/**", "m.example/a/*", "**/y*", "x/y"}
	urls := []string{
		"https://a.example/**", "https://*.example/x", "https://a.example/*/y", "http://a.example/x", "a.example",
		"https://10.*.0.1", "**", "*a.example:8080/z", "http://**", "https://a.example:*/x",
	}
	kinds := []string{
		"images: {allow: " + pick(r, names...) + ", deny: " + pick(r, names...) + "}",
		"images: {convert: [{from: x, to: m.example/a/y}], requireDigest: true}",
		"images: {convert: [{from: \"docker.io/library/**\", to: \"m.example/**\"}], allow: " + pick(r, names...) + "}",
		"git: {allow: " + pick(r, urls...) + ", deny: " + pick(r, urls...) + "}",
		"git: {requireCommit: true}",
		"http: {deny: " + pick(r, urls...) + ", requireChecksum: true}",
		"local: {allow: " + pick(r, "context", "docker*", "*file") + "}",
		"blob: {allow: " + pick(r, names...) + "}",
		"frontends: {deny: " + pick(r, names...) + "}",
		"exec: {secrets: " + pick(r, "npm*", "*token", "aws") + ", networks: " + pick(r, "none", "default", "host") + "}",
		fmt.Sprintf("exec: {insecure: true, ulimits: {nofile: %d}}", r.IntN(3)),
		"containers: allow",
		"config: {user: {require: " + pick(r, "app", "w*") + "}, labels: {forbid: " + pick(r, "a", "b*") + "}}",
		"config: {ports: {forbid: " + pick(r, "80", "443/tcp") + "}, env: {require: [PATH]}}",
		"config: {ports: {forbid: " + pick(r, "8*", "1-1023/udp", "*3") + "}, user: {forbid: " +
			pick(r, "root", "1000-2000", "w*") + "}}",
		"config: {ports: {require: " + pick(r, "80*", "400-500") + "}}",
		"config: {labels: {values: {a: " + []string{"x", "\"y*\"", "\"*\""}[r.IntN(3)] + "}}}",
		"http: deny", "git: {allow: []}", "ociLayout: deny", "images: deny", "others: deny",
		"exec: {ssh: " + pick(r, "default", "dep*") + ", devices: " + pick(r, "gpu", "f*") + "}",
		"exec: {deny: {networks: " + pick(r, "host", "none") + ", secrets: " + pick(r, "npm*", "aws") + "}}",
		"exec: {deny: {ssh: " + pick(r, "default", "dep*") + ", devices: true, insecure: true}}",
		"exec: {ssh: true, deny: {ulimits: [\"no*\"], hosts: " + pick(r, "a", "b*") + "}}",
	}
	written, used := []string{}, map[string]bool{}
	for range r.IntN(3) {
		k := kinds[r.IntN(len(kinds))]
		if name, _, _ := strings.Cut(k, ":"); !used[name] {
			used[name] = true
			written = append(written, k)
		}
	}
	return strings.Join(written, ", ")
}

// arbitraryOperation makes an operation of the same words.
func arbitraryOperation(r *rand.Rand) buildrules.Operation {
	one := func(items ...string) string { return items[r.IntN(len(items))] }
	name := one("x", "y", "x/y", "m.example/a/b", "m.example/a/y", "m.example/y2", "q.example/z")
	url := one("https", "http", "ssh") + "://" + one("a.example", "b.a.example", "b.example", "10.2.0.1") +
		one("", "", ":8080") + "/" + one("x", "z/y", "z", "x/../z", "z%2Fy", "z//y")
	switch r.IntN(11) {
	case 9:
		return buildrules.Operation{OCILayout: name + "@" + digestA}
	case 10:
		return buildrules.Operation{Exec: &buildrules.Exec{
			SSH: []string{one("default", "deploy", "z")}, Devices: []string{one("gpu", "fpga")},
			Hosts: []string{one("a", "bb", "z")}, Network: one("none", "default", "host"),
			Ulimits: map[string]int{one("nofile", "core"): r.IntN(3)},
		}}
	case 0:
		return buildrules.Operation{Image: name + one(":1", "@"+digestA)}
	case 1:
		return buildrules.Operation{Git: &buildrules.Git{URL: url, Ref: one("", commit)}}
	case 2:
		return buildrules.Operation{HTTP: &buildrules.HTTP{URL: url, Checksum: one("", digestA)}}
	case 3:
		return buildrules.Operation{Local: one("context", "dockerfile", "docker", "z")}
	case 4:
		return buildrules.Operation{Blob: name + "@" + digestA}
	case 5:
		return buildrules.Operation{Frontend: name}
	case 6:
		return buildrules.Operation{Exec: &buildrules.Exec{Secrets: []string{one("npm", "npmtoken", "token", "aws", "z")}, Network: one("none", "default", "host"), Insecure: r.IntN(4) == 0}}
	case 7:
		return buildrules.Operation{Container: &buildrules.Exec{}}
	}
	return buildrules.Operation{Config: &buildrules.Config{User: one("", "app", "web", "1500"), Labels: map[string]string{one("a", "b1", "z"): one("", "x", "y1")}, Env: []string{one("PATH", "z")}, Ports: []string{one("80", "443/tcp", "1", "53/udp", "8080/sctp")}}}
}

// No example has the tags of rules on images, or a platform, so nobody can say that nothing widens.
func TestRulesThatNoExampleMeetsAreNotCompared(t *testing.T) {
	t.Parallel()
	for name, rule := range map[string][2]string{
		"rules on images": {
			`build: {images: [{match: [golang], versions: ">=1.22"}]}`,
			`build: {images: [{match: [golang], versions: ">=1.2"}]}`,
		},
		"platforms": {`platforms: [linux/amd64]`, `platforms: [linux/amd64, linux/arm64]`},
	} {
		policyOf := func(i int) string {
			return "version: 1\nfrontends:\n- {match: [docker/dockerfile], " + rule[i] + "}\n"
		}
		r := Compare(parse(t, policyOf(0)), parse(t, policyOf(1)), now())
		require.False(t, r.Complete, name)
		require.True(t, r.Widened, name)
		same := Compare(parse(t, policyOf(0)), parse(t, policyOf(0)), now())
		require.True(t, same.Complete, name)
	}
}
