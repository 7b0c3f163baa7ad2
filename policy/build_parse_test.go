package policy

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/policy-frontend/policy-frontend/policy/buildrules"
)

// everyRuleOnBuilds has each field of Build, Dispatch and Limits.
const everyRuleOnBuilds = `version: 1
dispatch: mediate
build:
  local: {allow: [context]}
limits: {timeout: 90m, nesting: 2, memory: 1GiB}
frontends:
- match: [a]
  dispatch: builtin
  build:
    images: {allow: ["mirror.example/**"], deny: [b], requireDigest: true, pins: {"mirror.example/base:1": "` + digestA + `"}, convert: [{from: "docker.io/library/**", to: "mirror.example/**"}]}
    git: {allow: ["https://git.example/**"], deny: ["https://git.example/x"], requireCommit: true}
    http: {allow: ["https://files.example/**"], deny: ["https://files.example/x"], requireChecksum: true}
    local: {allow: [context, "docker*"], deny: [x]}
    ociLayout: {allow: [c], deny: [d]}
    blob: {allow: [e], deny: [f]}
    exec: {networks: [none, default], insecure: true, ssh: true, secrets: [s], devices: true, hosts: [h], ulimits: {nofile: 1024, core: -1}, cgroupParents: [/ci]}
    frontends: {allow: [docker/dockerfile], deny: [g]}
    containers: allow
    config:
      user: {require: ["1000", app], forbid: ["", root, "0"]}
      labels: {require: [org.opencontainers.image.source], forbid: ["evil.*"]}
      env: {forbid: [LD_PRELOAD]}
      ports: {forbid: [22]}
      volumes: {forbid: [/]}
      exceptTargets: [base]
      sets: [{targets: ["prod-*"], results: runnable, env: {require: [PATH]}}]
- match: [b]
  build:
    exec: {networks: [none]}
`

func TestParseReadsRulesOnBuilds(t *testing.T) {
	t.Parallel()
	p := mustParse(t, everyRuleOnBuilds)
	require.Equal(t, DispatchMediate, p.doc.Dispatch)
	require.Equal(t, DispatchBuiltin, p.doc.Frontends[0].Dispatch)
	require.Equal(t, 90*time.Minute, p.doc.Limits.timeout)
	require.Equal(t, 2, p.doc.Limits.Nesting)
	require.Equal(t, int64(1<<30), p.doc.Limits.memory)
	b := p.doc.Frontends[0].Build
	require.Equal(t, []string{"mirror.example/**"}, []string(b.Images.Allow))
	require.Equal(t, map[string]int{"nofile": 1024, "core": -1}, b.Exec.Ulimits)
	require.Equal(t, []string{"", "root", "0"}, b.Config.User.Forbid)
	require.Equal(t, []string{"prod-*"}, b.Config.Sets[0].Targets)
	copied := p.Document()
	copied.Frontends[0].Build.Config.Sets[0].Targets[0] = "x"
	copied.Frontends[0].Build.Config.ExceptTargets[0] = "x"
	require.Equal(t, []string{"prod-*"}, b.Config.Sets[0].Targets, "a document is a copy")
	require.Equal(t, []string{"base"}, b.Config.ExceptTargets, "a document is a copy")
	require.Equal(t, buildrules.ActionAllow, b.Containers)
	require.Equal(t,
		[]buildrules.Kind{
			buildrules.KindImages, buildrules.KindGit, buildrules.KindHTTP,
			buildrules.KindLocal, buildrules.KindOCILayout, buildrules.KindBlob, buildrules.KindExec,
			buildrules.KindFrontends, buildrules.KindContainers, buildrules.KindConfig,
		}, b.Kinds())
	own := p.effective(&p.doc.Frontends[1])
	require.Equal(t, []buildrules.Kind{buildrules.KindLocal, buildrules.KindExec}, own.Kinds())
}

func TestParseReadsRulesOnBuildsAsTheyAreCommonlyWritten(t *testing.T) {
	t.Parallel()
	d := decided(t, `version: 1
frontends:
  - match: [a]
    dispatch: mediate
    build:
      images: {allow: ["mirror.corp/**"], deny: ["**/scratchpad"], requireDigest: true,
               pins: {"mirror.corp/base:1": "`+digestA+
		`"}, convert: [{from: docker.io/library, to: mirror.corp/library}]}
      git:    {allow: ["https://git.corp/**"], requireCommit: true}
      http:   {allow: ["https://files.corp/**"], requireChecksum: true}
      exec:   {networks: [none, default], insecure: false, ssh: false, secrets: ["npm-*"], devices: false}
      frontends: {allow: ["docker.io/docker/dockerfile"]}
      config: {user: {forbid: ["", root, "0"]}, labels: {require: [org.opencontainers.image.source]}}
`, "")
	for _, f := range []buildrules.Operation{
		image("mirror.corp/base:1"), image("alpine:3@" + digestB),
		{Git: &buildrules.Git{URL: "https://git.corp/a", Ref: commit}},
		{HTTP: &buildrules.HTTP{URL: "https://files.corp/a", Checksum: digestA}},
		{Exec: &buildrules.Exec{Secrets: []string{"npm-token"}}},
		{Frontend: "docker/dockerfile:1"},
		{Config: &buildrules.Config{
			User:   "app",
			Labels: map[string]string{"org.opencontainers.image.source": ""},
		}},
		{Local: "context"},
		{OCILayout: "a@" + digestA},
	} {
		require.Equal(t, Allow, d.Check(f).Verdict, "%+v", f)
	}
	for _, f := range []buildrules.Operation{
		image("mirror.corp/base:2"), image("docker.io/alpine/git@" + digestB),
		image("mirror.corp/scratchpad@" + digestB),
		{Git: &buildrules.Git{URL: "https://git.corp/a", Ref: "main"}},
		{HTTP: &buildrules.HTTP{URL: "https://files.corp/a"}},
		{Exec: &buildrules.Exec{Devices: []string{"d"}}},
		{Frontend: "docker/dockerfile-upstream:1"},
		{Config: &buildrules.Config{Labels: map[string]string{"org.opencontainers.image.source": ""}}},
		{Container: &buildrules.Exec{}},
	} {
		require.Equal(t, Deny, d.Check(f).Verdict, "%+v", f)
	}
}

func TestParseRefusesOfRulesOnBuilds(t *testing.T) {
	t.Parallel()
	const (
		top  = "version: 1\nbuild: "
		rule = "version: 1\nfrontends:\n- match: [a]\n"
	)
	tests := []struct{ name, doc, want string }{
		{"no rules", top + "{}\n", "p:2:8: build is empty; give it a field or remove it"},
		{"rules that are a list", top + "[]\n", "p:2:8: build must be a mapping of fields, not a list"},
		{"rules without a value", top + "\n", "p:2:7: build has no value"},
		{"rules behind an anchor", top + "&x {}\n", "p:2:8: the anchor &x is not allowed"},
		{
			"an unknown kind", top + "{image: {}}\n",
			`p:2:9: unknown field "image"; did you mean "images"?`,
		},
		{
			"an unknown field of a kind", top + "{images: {allows: [a]}}\n",
			`p:2:18: unknown field "allows"; did you mean "allow"?`,
		},
		{
			"empty rules on images", top + "{images: {}}\n",
			"p:2:17: images is empty; give it a field or remove it",
		},
		{"empty rules on git", top + "{git: {}}\n", "p:2:14: git is empty"},
		{"empty rules on http", top + "{http: {}}\n", "p:2:15: http is empty"},
		{"empty rules on folders", top + "{local: {}}\n", "p:2:16: local is empty"},
		{"empty rules on layouts", top + "{ociLayout: {}}\n", "p:2:20: ociLayout is empty"},
		{"empty rules on blobs", top + "{blob: {}}\n", "p:2:15: blob is empty"},
		{"empty rules on commands", top + "{exec: {}}\n", "p:2:15: exec is empty"},
		{"empty rules on frontends", top + "{frontends: {}}\n", "p:2:20: frontends is empty"},
		{"empty rules on configurations", top + "{config: {}}\n", "p:2:17: config is empty"},
		{"an empty list of sets", top + "{config: []}\n", "p:2:17: config is empty"},
		{"an empty set", top + "{config: [{}]}\n", "p:2:18: config[0] has no condition"},
		{"a set without a value", top + "{config: [null]}\n", "p:2:18: config[0] has no value"},
		{
			"a set without a condition", top + "{config: {sets: [{targets: [a]}]}}\n",
			"p:2:25: config.sets[0] has no condition",
		},
		{
			"targets without a condition", top + "{config: {targets: [a]}}\n",
			"p:2:17: config has no condition",
		},
		{
			"targets without a condition, and a mode", top + "{config: {targets: [a], mode: warn}}\n",
			"p:2:17: config has no condition",
		},
		{
			"targets beside sets", top + "{config: {targets: [a], sets: [{user: {forbid: [root]}}]}}\n",
			"p:2:17: config has targets, exceptTargets or results without a condition beside them",
		},
		{
			"an empty list of targets", top + "{config: {targets: [], user: {forbid: [root]}}}\n",
			"p:2:27: targets is empty",
		},
		{
			"a target that is a number", top + "{config: {targets: [0], user: {forbid: [root]}}}\n",
			`p:2:28: targets: "0" can't be the name of a target`,
		},
		{
			"a target with a space", top + "{config: [{exceptTargets: [a b], user: {forbid: [root]}}]}\n",
			`p:2:35: exceptTargets: "a b" can't be the name of a target`,
		},
		{
			"results of another kind", top + "{config: {results: images, user: {forbid: [root]}}}\n",
			`p:2:27: results must be all or runnable, not "images"`,
		},
		{
			"a mode in a set", top + "{config: [{mode: warn, user: {forbid: [root]}}]}\n",
			`p:2:19: unknown field "mode"`,
		},
		{
			"a mistake in a set", top + "{config: [{ports: {forbid: [90-80]}}]}\n",
			`p:2:36: forbid: "90-80" isn't a port`,
		},
		{"empty rules on users", top + "{config: {user: {}}}\n", "p:2:24: user is empty"},
		{
			"images that need no digest", top + "{images: {requireDigest: false}}\n",
			"p:2:17: images restricts nothing; give it an allow or deny, or remove it",
		},
		{
			"repositories that need no commit", top + "{git: {requireCommit: false}}\n",
			"p:2:14: git restricts nothing",
		},
		{
			"downloads that need no checksum", top + "{http: {requireChecksum: false}}\n",
			"p:2:15: http restricts nothing",
		},
		{
			"an empty list of conditions", top + "{config: {env: {forbid: []}}}\n",
			"p:2:32: forbid is empty; give it an entry or remove it",
		},
		{"an empty list of what is denied", top + "{blob: {deny: []}}\n", "p:2:22: deny is empty"},
		{"no conversions", top + "{images: {convert: []}}\n", "p:2:27: convert is empty"},
		{"no pins", top + "{images: {pins: {}}}\n", "p:2:24: pins is empty"},
		{
			"a pattern with a tag", top + "{images: {allow: [\"a:1\"]}}\n",
			`p:2:26: allow: "a:1" has a tag`,
		},
		{
			"a pattern that can't match", top + "{frontends: {deny: [A]}}\n",
			`p:2:28: deny: "A" has upper-case letters`,
		},
		{
			"a pin that is no reference", top + "{images: {pins: {A: \"" + digestA + "\"}}}\n",
			`p:2:25: pins: "A" is not an image reference`,
		},
		{
			"a pin of a digest", top + "{images: {pins: {\"a@" + digestA + "\": \"" + digestA + "\"}}}\n",
			"has a digest; write name:tag, and the digest as its value",
		},
		{
			"a pin to no digest", top + "{images: {pins: {\"a:1\": sha256:1}}}\n",
			`p:2:25: pins: "sha256:1" is not a digest`,
		},
		{
			"a pin twice",
			top + "{images: {pins: {a: \"" + digestA + "\", \"docker.io/a:latest\": \"" + digestA +
				"\"}}}\n", `pins: "docker.io/a:latest" is docker.io/library/a:latest, which has a pin already`,
		},
		{
			"a conversion without a target", top + "{images: {convert: [{from: a}]}}\n",
			"p:2:28: the conversion has no to; it needs from and to",
		},
		{
			"a conversion of a pattern", top + "{images: {convert: [{from: \"a/*\", to: b}]}}\n",
			`p:2:35: from: "a/*" is not one repository`,
		},
		{
			"a conversion of a folder to a repository",
			top + "{images: {convert: [{from: \"a/**\", to: b}]}}\n",
			"p:2:47: from and to must both end in /** or both not",
		},
		{
			"a range of addresses", top + "{git: {allow: [\"10.0.0.0/8\"]}}\n",
			`p:2:23: allow: "10.0.0.0/8" can't be a pattern: a pattern has no ranges of addresses; put stars in their place, as in 10.*.*.*`,
		},
		{
			"a URL with another scheme", top + "{http: {deny: [\"ftp://x.example/**\"]}}\n",
			`p:2:23: deny: "ftp://x.example/**" can't be a pattern: the URL's scheme must be one of https and http`,
		},
		{
			"a network that there isn't", top + "{exec: {networks: [bridge]}}\n",
			`p:2:27: networks: "bridge" isn't one of the networks none, default and host`,
		},
		{
			"a control group outside", top + "{exec: {cgroupParents: [/a/../b]}}\n",
			"p:2:32: cgroupParents: a control group with .. in its path",
		},
		{
			"ulimits that are a list", top + "{exec: {ulimits: [nofile]}}\n",
			"p:2:25: ulimits must be a mapping of integers, not a list",
		},
		{"no ulimits", top + "{exec: {ulimits: {}}}\n", "p:2:25: ulimits is empty"},
		{
			"a ulimit that is a text", top + "{exec: {ulimits: {nofile: \"1\"}}}\n",
			`p:2:34: ulimits[nofile] must be an integer, not "1"`,
		},
		{
			"a ulimit below nothing", top + "{exec: {ulimits: {nofile: -2}}}\n",
			`p:2:34: ulimits: "nofile" must be at least 0, or -1 for any`,
		},
		{
			"a ulimit that is no name", top + "{exec: {ulimits: {\"no file\": 2}}}\n",
			`ulimits: "no file" isn't the name of a ulimit`,
		},
		{
			"a ulimit twice", top + "{exec: {ulimits: {core: 1, CORE: 2}}}\n",
			`is set twice, in upper and lower case`,
		},
		{"an empty secret", top + "{exec: {secrets: [\"\"]}}\n", "p:2:26: secrets[0] is empty"},
		{
			"a secret that can't be printed", top + "{exec: {secrets: [\"a\\e\"]}}\n",
			"p:2:26: secrets: \"a\\x1b\" has the character U+001B",
		},
		{
			"containers that are neither", top + "{containers: true}\n",
			`p:2:21: containers must be a string, not "true"; put it in quotes`,
		},
		{
			"containers that are nothing known", top + "{containers: maybe}\n",
			`p:2:21: containers must be allow or deny, not "maybe"`,
		},
		{
			"a user with a group", top + "{config: {user: {require: [\"app:app\"]}}}\n",
			`p:2:35: require: "app:app" has a group; write the user alone`,
		},
		{
			"a user that is no number of one", top + "{config: {user: {forbid: [\"4294967296\"]}}}\n",
			"p:2:34: forbid: the user \"4294967296\", which isn't a valid user number",
		},
		{
			"an empty label", top + "{config: {labels: {require: [\"\"]}}}\n",
			"p:2:37: require: it is empty; give it a value or remove it",
		},
		{
			"a label that can't be printed", top + "{config: {labels: {require: [\"\\e\"]}}}\n",
			"p:2:37: require: \"\\x1b\" has the character U+001B",
		},
		{"an empty port", top + "{config: {ports: {forbid: [\"\"]}}}\n", "p:2:35: forbid: it is empty"},
		{
			"an empty volume", top + "{config: {volumes: {forbid: [\"\"]}}}\n",
			"p:2:37: forbid: it is empty",
		},
		{
			"an empty range of ports", top + "{config: {ports: {forbid: [90-80]}}}\n",
			`p:2:35: forbid: "90-80" isn't a port; write one such as 80, 80/tcp, 1-1023 or 80*`,
		},
		{
			"a volume outside", top + "{config: {volumes: {forbid: [/a/..]}}}\n",
			`p:2:37: forbid: the volume "/a/..", which isn't a plain path`,
		},
		{
			"an unknown dispatch", "version: 1\ndispatch: direct\n",
			`p:2:11: dispatch must be forward, mediate or builtin, not "direct"`,
		},
		{
			"an unknown dispatch of a rule", rule + "  dispatch: Mediate\n",
			`p:4:13: dispatch must be forward, mediate or builtin, not "Mediate"`,
		},
		{
			"a deny rule with a dispatch", rule + "  action: deny\n  dispatch: mediate\n",
			"p:5:13: dispatch has no meaning on a deny rule; remove it",
		},
		{
			"a deny rule with rules on builds", rule + "  action: deny\n  build: {containers: allow}\n",
			"p:5:10: build has no meaning on a deny rule; remove it",
		},
		{
			"frontends under forward", rule + "  dispatch: forward\n  build: {frontends: {allow: [b]}}\n",
			"p:5:22: frontends can't be checked with dispatch: forward; write dispatch: mediate",
		},
		{
			"frontends under a rule's forward",
			"version: 1\ndispatch: mediate\nbuild: {frontends: {allow: [b]}}\nfrontends:\n- {match: [a], dispatch: forward}\n", "p:5:26: frontends can't be checked with dispatch: forward; write dispatch: mediate",
		},
		{
			"frontends of the policy under a rule's silence",
			"version: 1\ndispatch: forward\nbuild: {frontends: {allow: [b]}}\nfrontends:\n- {match: [a]}\n",
			"p:5:3: frontends can't be checked with dispatch: forward; write dispatch: mediate",
		},
		{
			"frontends of what no rule is for",
			"version: 1\ndefault: allow\ndispatch: forward\nbuild: {frontends: {allow: [b]}}\n",
			"p:4:20: frontends can't be checked with dispatch: forward, as which frontends run that no rule allows; write dispatch: mediate",
		},
		{
			"frontends of what is only warned of",
			"version: 1\nmode: warn\ndispatch: forward\nbuild: {frontends: {allow: [b]}}\n",
			"p:4:20: frontends can't be checked with dispatch: forward",
		},
		{"a reserved name", rule + "  name: build\n", `p:4:9: the name "build" is reserved`},
		{
			"an invalid timeout", "version: 1\nlimits: {timeout: soon}\n",
			`p:2:19: timeout must be a time such as 30m or 2h, at most 24h, not "soon"`,
		},
		{"no time at all", "version: 1\nlimits: {timeout: 0s}\n", `p:2:19: timeout must be a time`},
		{"a negative time", "version: 1\nlimits: {timeout: -1h}\n", `p:2:19: timeout must be a time`},
		{"too long a time", "version: 1\nlimits: {timeout: 24h1s}\n", `p:2:19: timeout must be a time`},
		{
			"memory without a unit", "version: 1\nlimits: {memory: 268435456}\n",
			`p:2:18: memory must be a size such as 256MiB or 1GiB, from 64MiB to 64GiB, not "268435456"`,
		},
		{"a unit without a number", "version: 1\nlimits: {memory: MiB}\n", `p:2:18: memory must be a size`},
		{"a signed size", "version: 1\nlimits: {memory: +64MiB}\n", `p:2:18: memory must be a size`},
		{"too little memory", "version: 1\nlimits: {memory: 63MiB}\n", `p:2:18: memory must be a size`},
		{"too much memory", "version: 1\nlimits: {memory: 65GiB}\n", `p:2:18: memory must be a size`},
		{
			"no nesting", "version: 1\nlimits: {nesting: 0}\n",
			"p:2:19: nesting must be from 1 to 16, not 0",
		},
		{
			"too deep nesting", "version: 1\nlimits: {nesting: 17}\n",
			"p:2:19: nesting must be from 1 to 16, not 17",
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			_, err := Parse("p", []byte(tt.doc))
			var parseError *ParseError
			require.ErrorAs(t, err, &parseError)
			require.Contains(t, err.Error(), tt.want)
			require.NotContains(t, err.Error(), "\x1b")
		})
	}
}

func TestFrontendsThatNothingRunsByForwardAreNoMistake(t *testing.T) {
	t.Parallel()
	for name, doc := range map[string]string{
		"every rule mediates":              "build: {frontends: {allow: [b]}}\nfrontends: [{match: [a], dispatch: mediate}]",
		"the policy's dispatch is builtin": "dispatch: builtin\nbuild: {frontends: {allow: [b]}}\ndefault: allow\nfrontends: [{match: [a]}]",
		"no dispatch is written":           "build: {frontends: {allow: [b]}}\ndefault: allow\nfrontends: [{match: [a]}]",
		"a rule denies":                    "dispatch: forward\nbuild: {frontends: {allow: [b]}}\nfrontends: [{match: [a], action: deny}]",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			mustParse(t, "version: 1\n"+doc+"\n")
		})
	}
}

func TestIncludedRulesAreUnderThePolicysRulesOnBuilds(t *testing.T) {
	t.Parallel()
	files := map[string]string{
		"policy.yaml": "version: 1\ndispatch: mediate\nbuild: {images: {allow: [b]}, frontends: {allow: [c]}}\ninclude: [team.yaml]\n",
		"team.yaml":   "version: 1\nfrontends:\n- {match: [a]}\n",
	}
	p, err := Load(folder(files), "policy.yaml")
	require.NoError(t, err)
	l, err := Stack(p, nil)
	require.NoError(t, err)
	d := Decide(l, request(t, "a"))
	require.Equal(t, DispatchMediate, d.Dispatch)
	require.Equal(t, "the policy refuses the image x:latest: it allows only b (build.images.allow)",
		d.Check(image("x")).Reason)

	files["team.yaml"] = "version: 1\nfrontends:\n- {match: [a], dispatch: forward}\n"
	_, err = Load(folder(files), "policy.yaml")
	require.ErrorContains(t, err, "team.yaml:3:26: frontends can't be checked with dispatch: forward")

	for _, key := range []string{"dispatch: mediate", "build: {containers: allow}"} {
		files["team.yaml"] = "version: 1\n" + key + "\n"
		_, err = Load(folder(files), "policy.yaml")
		require.ErrorContains(t, err, "team.yaml:2:1: "+key[:5])
		require.ErrorContains(t, err, "belongs in the policy itself")
	}
}
