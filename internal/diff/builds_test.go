package diff

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
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
			"+loosened a:latest; no longer refused in a build: the image m.example/other:latest",
		}},
		{
			"rules on images where none were", none, a("images: {deny: [m/x]}"),
			[]string{"-tightened a:latest; now refused in a build: the image docker.io/m/x:latest"},
		},
		{
			"a digest no longer required", a("images: {requireDigest: true}"), a("images: {deny: [m/x]}"),
			[]string{"+loosened a:latest; no longer refused in a build: the image " +
				"other.example/other:latest", "-tightened a:latest; now refused in a build: the image " +
				"docker.io/m/x@sha256:be4cc88815324b6e41ac1c624f84f23d37472f9e14de293dc5a1d35402e9c716"},
		},
		{
			"a denied port and a denied directory less", a("images: {deny: [q.example/m]}"),
			a("images: {deny: [\"q.example:80/m\", \"q.example:80/m/**\"]}"),
			[]string{"+loosened a:latest; no longer refused in a build: the image q.example/m:latest; no " +
				"longer refused in a build: the image q.example/m/other:latest"},
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
			[]string{"+rerouted a:latest; in a build, the image q.example/c:latest becomes " +
				"q.example/d:latest, before the requested image; in a build, the image " +
				"q.example/c/other:latest becomes q.example/d/other:latest, before the requested image"},
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
		{
			"conditions for some targets only", a("config: {user: {forbid: [root]}}"),
			a("config: {targets: [x], user: {forbid: [root]}}"),
			[]string{"+loosened a:latest; no longer refused in a build: an image of the target other"},
		},
		{
			"conditions for all targets but some", a("config: {user: {forbid: [root]}}"),
			a("config: {exceptTargets: [\"x*\"], user: {forbid: [root]}}"),
			[]string{
				"+loosened a:latest; no longer refused in a build: an image of the target xother; no longer " +
					"refused in a build: an image of the target x",
			},
		},
		{
			"conditions for runnable results only", a("config: {env: {require: [A]}}"),
			a("config: {results: runnable, env: {require: [A]}}"),
			[]string{"+loosened a:latest; no longer refused in a build: an image"},
		},
		{
			"conditions for all results again", a("config: {results: runnable, env: {forbid: [A]}}"),
			a("config: {env: {forbid: [A]}}"),
			[]string{"-tightened a:latest; now refused in a build: an image with the variables A"},
		},
		{
			"one set as a list", a("config: {user: {forbid: [root]}}"),
			a("config: [{user: {forbid: [root]}}]"), nil,
		},
		{
			"a set less", a("config: [{targets: [x], user: {forbid: [root]}}, {targets: [y], env: {forbid: [A]}}]"),
			a("config: [{targets: [y], env: {forbid: [A]}}]"),
			[]string{"+loosened a:latest; no longer refused in a build: an image; no longer refused in a " +
				"build: an image of the target x"},
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
				"docker.io/library/c:latest", "+rerouted a:latest; in a build, the image " +
				"docker.io/library/a:latest becomes c:latest, before b:latest"},
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
		{
			"more memory", none, "limits: {memory: 1GiB}\n" + none,
			[]string{"+loosened a:latest; limits.memory: 1GiB, before 512MiB"},
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
			"a label no longer forbidden beside a user that is required and forbidden",
			a("config: {user: {require: [root, app], forbid: [root]}, labels: {forbid: [\"a*\"]}}"),
			a("config: {user: {require: [root, app], forbid: [root]}, labels: {forbid: [\"ab*\"]}}"),
			[]string{"+loosened a:latest; no longer refused in a build: an image with the user app, the labels aother"},
		},
		{
			"the same beside a range of users, half of which is forbidden",
			a("config: {user: {require: [1000-2000], forbid: [1000-1500]}, env: {forbid: [\"a*\"]}}"),
			a("config: {user: {require: [1000-2000], forbid: [1000-1500]}}"),
			[]string{"+loosened a:latest; no longer refused in a build: an image with the user 2000, the variables aother"},
		},
		{
			"users more", a("config: {user: {require: [1000-2000]}}"), a("config: {user: {require: [1000-3000]}}"),
			[]string{"+loosened a:latest; no longer refused in a build: an image with the user 3000"},
		},
		{
			"root no longer forbidden beside a variable whose short forms are forbidden",
			a("config: {user: {forbid: [root]}, env: {require: [\"A*\"], forbid: [\"*O*\", a]}}"),
			a("config: {env: {require: [\"A*\"], forbid: [\"*O*\", a]}}"),
			[]string{"+loosened a:latest; no longer refused in a build: an image with the variables Azzz"},
		},
		{
			"a protocol that nobody knows",
			a("config: {ports: {forbid: [80]}}"), a("config: {ports: {forbid: [80/tcp, 80/udp, 80/sctp]}}"),
			[]string{"+loosened a:latest; no longer refused in a build: an image with the ports 80/other"},
		},
		{
			"the one port between globs", a("config: {ports: {forbid: [1-65535]}}"),
			a("config: {ports: {forbid: [\"*0\", \"*2*\", \"*1\", \"*3*\", \"*4*\", \"*5*\", \"*6*\", \"8*\", \"9*\", \"7*7*\", \"7*8*\", \"*09*\", \"*19*\", \"*9*9*\", \"7\"]}}"),
			[]string{"+loosened a:latest; no longer refused in a build: an image with the ports 17/tcp"},
		},
		{
			"a secret more for commands that can use only the host's network",
			a("exec: {networks: [host], secrets: [a]}"), a("exec: {networks: [host], secrets: [a, b]}"),
			[]string{"+loosened a:latest; no longer refused in a build: a command with the network host, the secret b"},
		},
		{
			"containers where commands have no network",
			a("exec: {networks: [none]}, containers: deny"), a("exec: {networks: [none]}, containers: allow"),
			[]string{"+loosened a:latest; no longer refused in a build: a container of the frontend's with the network none"},
		},
		{
			"a secret more for commands that can't use any network",
			a("exec: {networks: [], secrets: [a]}"), a("exec: {networks: [], secrets: [a, b]}"), nil,
		},
		{
			"nothing allowed in other words", a("images: deny, git: {allow: []}, http: {deny: [\"**\"]}, local: deny"),
			a("images: {allow: []}, git: deny, http: {allow: [a.example], deny: [\"*.example\", a.example]}, " +
				"local: {allow: [a], deny: [\"A*\"]}"), nil,
		},
		{
			"images from elsewhere without an allowlist", none,
			a("images: {convert: [{from: \"docker.io/**\", to: \"evil.example/**\"}]}"),
			[]string{"+rerouted a:latest; in a build, the image docker.io/other/other:latest becomes " +
				"evil.example/other/other:latest, before the requested image"},
		},
		{
			"images from elsewhere that allow lists", a("images: {allow: [\"docker.io/**\", \"m.example/**\"]}"),
			a("images: {allow: [\"docker.io/**\", \"m.example/**\"], convert: [{from: \"docker.io/x/a/**\", to: \"m.example/a/**\"}]}"),
			[]string{"+rerouted a:latest; in a build, the image docker.io/x/a/other:latest becomes " +
				"m.example/a/other:latest, before the requested image"},
		},
		{
			"an allowlist of most hosts less", a("blob: {allow: [\"*.example/**\"]}"), none,
			[]string{"+loosened a:latest; no longer refused in a build: the blob " +
				"other.other/other@sha256:be4cc88815324b6e41ac1c624f84f23d37472f9e14de293dc5a1d35402e9c716"},
		},
		{
			"containers under a policy that only warns", none, "mode: warn\n" + none,
			[]string{
				"+allowed other.other/other:latest",
				"+loosened a:latest; no longer refused in a build: a container of the frontend's",
			},
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
			require.Empty(t, r.Uncompared)
		})
	}
}

func TestCompareSaysWhatIsNotCompared(t *testing.T) {
	t.Parallel()
	a := func(build string) string {
		return head + "- {name: a, match: [a], dispatch: mediate, build: {" + build + "}}\n"
	}
	letters := ""
	for _, letter := range strings.Split("zqjxwvkyufhgbpmdlcnirtsoae0987654321", "") {
		letters += "\"*" + letter + "*\", "
	}
	tests := []struct {
		name, a, b string
		want       string
	}{
		{
			"a change to a configuration that no user can have",
			a("config: {user: {require: [app], forbid: [app]}, labels: {forbid: [a]}}"),
			a("config: {user: {require: [app], forbid: [app]}, labels: {forbid: [b]}}"),
			"build.config for the frontends of rule a, because all samples are refused",
		},
		{
			"a change for a target that no user can have",
			a("config: [{targets: [x], user: {require: [app], forbid: [app]}}, {labels: {forbid: [a]}}]"),
			a("config: [{targets: [x], user: {require: [app], forbid: [app]}}, {labels: {forbid: [b]}}]"),
			"build.config for the frontends of rule a, because all samples are refused",
		},
		{
			"a rule more, none of whose versions is a sample", head + "- {name: a, match: [a]}\n",
			head + "- {name: a, match: [a]}\n- {name: b, match: [b], versions: \">1.2.3-beta.5 <1.2.3-beta.7\"}\n",
			"rule b, because it matches no sample",
		},
		{
			"no name is outside of the patterns",
			head + "- {name: a, match: [a]}\n- {name: no, match: [a], action: deny, tags: [" + letters + "]}\n",
			head + "- {name: a, match: [a]}\n- {name: no, match: [a], action: deny, tags: [" + letters + "\"*-*\"]}\n",
			"what no pattern matches, because patterns have every letter and digit",
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			r := Compare(parse(t, tt.a), parse(t, tt.b), now())
			require.Equal(t, []string{tt.want}, r.Uncompared)
			require.True(t, r.Widened)
			require.False(t, Compare(parse(t, tt.b), parse(t, tt.b), now()).Widened)
		})
	}
}
