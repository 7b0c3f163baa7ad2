package integration

import (
	"encoding/json"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/policy-frontend/policy-frontend/integration/harness"
)

const echoFile = "# syntax=frontends/echofrontend:1\n"

// rules returns a policy with a rule for the echo frontend, which also has the text given.
func rules(echo, more string) string {
	return "version: 1\nid: corp-ci\ncontact: \"#build-help\"\n" + more +
		"frontends:\n  - name: echo\n    match: [frontends/echofrontend]\n" + echo
}

func TestOptionsThatAPolicyRulesOver(t *testing.T) {
	t.Parallel()
	env.Frontend(t, harness.EchoFrontend)
	d := env.SolePermitted(t)
	for name, tc := range map[string]struct {
		options string
		args    []string
		refused string
		seen    map[string]string
		unseen  []string
	}{
		"strip removes an option": {
			options: `{strip: ["build-arg:DEBUG*", "cache-from"]}`,
			args:    []string{"build-arg:DEBUG_LEVEL=9", "build-arg:KEEP=1", "cache-from=localhost:1/cache"},
			seen: map[string]string{
				"build-arg:KEEP": "1",
				"cache-from":     "",
			}, unseen: []string{"build-arg:DEBUG_LEVEL"},
		},
		"force sets an option": {
			options: `{force: {"build-arg:FORCED": "yes", "hostname": "sandbox"}}`,
			args:    []string{"build-arg:FORCED=yes"},
			seen:    map[string]string{"build-arg:FORCED": "yes", "hostname": "sandbox"},
		},
		"force refuses another value": {
			options: `{force: {"build-arg:FORCED": "yes"}}`, args: []string{"build-arg:FORCED=no"},
			refused: "build-arg:FORCED",
		},
		"deny refuses a matching option": {
			options: `{deny: ["add-hosts", "build-arg:BUILDKIT_*"]}`,
			args:    []string{"add-hosts=evil=10.0.0.1"}, refused: "add-hosts",
		},
		"only refuses what it doesn't list": {
			options: `{only: ["filename", "build-arg:*"]}`,
			args:    []string{"build-arg:X=1", "force-network-mode=host"}, refused: "force-network-mode",
		},
		"only lets through what it lists and what carries the build": {
			options: `{only: ["filename", "build-arg:*"]}`, args: []string{"build-arg:X=1"},
			seen: map[string]string{
				"build-arg:X": "1",
			},
		},
		"no option replaces what runs": {
			options: `{force: {"cmdline": "frontends/evilfrontend:1"}}`, refused: "cmdline",
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			us := env.WithPolicy(t, rules("    options: "+tc.options+"\n", ""))
			dir, out := harness.WriteContext(t, map[string]string{
				"Dockerfile": echoFile,
			}), filepath.Join(t.TempDir(), "out")
			args := byBuildctl(dir, us, "--output", "type=local,dest="+out)
			for _, a := range tc.args {
				args = append(args, "--opt", a)
			}
			o := d.Buildctl(t, args...)
			if tc.refused != "" {
				o.RequireFailure(t, tc.refused)
				require.NoDirExists(t, out)
				return
			}
			o.RequireSuccess(t)
			var opts map[string]string
			require.NoError(t, json.Unmarshal([]byte(read(t, filepath.Join(out, "opts.json"))), &opts))
			for k, v := range tc.seen {
				require.Equal(t, v, opts[k], k)
			}
			for _, k := range tc.unseen {
				require.NotContains(t, opts, k)
			}
		})
	}
}

// buildx sends options that nobody wrote, and more of them in a git repository.
func TestOptionsThatAPlainBuildSends(t *testing.T) {
	t.Parallel()
	env.Frontend(t, harness.EchoFrontend)
	d := env.SolePermitted(t)
	dir := harness.WriteContext(t, map[string]string{"Dockerfile": echoFile})
	for _, args := range [][]string{
		{"init", "-q"},
		{"add", "."},
		{"-c", "user.name=t", "-c", "user.email=t@example.com", "commit", "-q", "-m", "x"},
		{"remote", "add", "origin", "https://git.example/app.git"},
	} {
		text, err := exec.Command("git", append([]string{"-C", dir}, args...)...).CombinedOutput()
		require.NoError(t, err, "%s", text)
	}
	build := func(stdin, only string, args ...string) (opts map[string]string, o harness.Output) {
		us, out := env.WithPolicy(t, rules("    options: {only: ["+only+"]}\n", "")), t.TempDir()
		c := d.BuildxCommand(dir, byBuildx(us, append(args, "-o", out)...)...)
		c.Stdin = strings.NewReader(stdin)
		if o = d.Run(t, c); o.ExitCode == 0 {
			require.NoError(t, json.Unmarshal([]byte(read(t, filepath.Join(out, "opts.json"))), &opts))
		}
		return opts, o
	}
	const listed = `target, "context:*"`
	opts, o := build("", listed)
	o.RequireSuccess(t)
	for _, sent := range []string{"attest:provenance", "filename", "vcs:revision", "vcs:source"} {
		require.Contains(t, opts, sent)
	}
	_, o = build(echoFile, listed, "-f", "-")
	o.RequireFailure(t, `refuses the option "dockerfilekey"`)
	_, o = build("", listed, "--build-context=more=.")
	o.RequireFailure(t, `refuses the option "sharedkey:localdir:more"`)
	opts, o = build(echoFile, listed+`, dockerfilekey, "sharedkey:*"`, "-f", "-",
		"--build-context=more=.")
	o.RequireSuccess(t)
	require.Contains(t, opts, "sharedkey:localdir:more")
}

func TestFrontendInputsThatAPolicyRefuses(t *testing.T) {
	t.Parallel()
	us := env.WithPolicy(t, strings.Replace(corpPolicy, "    tags: [\"1\", \"1.*\"]\n",
		"    options: {inputs: deny}\n", 1))
	dir := harness.WriteContext(t, map[string]string{
		"Dockerfile": goodFile,
		"docker-bake.hcl": `target "_" { args = { BUILDKIT_SYNTAX = "` + us + `" } }
target "base" { inherits = ["_"] }
target "default" {
  inherits = ["_"]
  contexts = { base = "target:base" }
}
`,
	})
	env.SolePermitted(t).Buildx(t, dir, "bake", "--progress=plain").RequireFailure(t, "input")
}

// With an alias, `# syntax=docker/dockerfile:1` builds from another registry. The build asks Docker
// Hub nothing; here, nothing answers in its place.
func TestAliases(t *testing.T) {
	t.Parallel()
	one, old := digest(t, "docker/dockerfile:1"), digest(t, "docker/dockerfile:1.4.0")
	mirror := env.Registry.Ref("docker/dockerfile")
	d := env.StartDaemon(t, harness.DaemonConfig{
		DockerfileOff: true, AllowedRepositories: []string{env.Repository()},
		Mirrors: map[string][]string{"docker.io": {"localhost:1"}},
	})
	policy := func(alias string) string {
		return "version: 1\nid: corp-ci\naliases:\n  - " + alias +
			"\nfrontends:\n  - {name: mirror, match: [\"" + env.Registry.Host() + "/**\"]}\n"
	}
	for name, tc := range map[string]struct{ alias, file, want, refused string }{
		"a name is rewritten": {
			alias: "{from: docker/dockerfile, to: " + mirror + "}",
			file:  goodFile,
			want:  mirror + ":1@" + one,
		},
		"a whole registry is rewritten": {
			alias: "{from: \"docker.io/**\", to: \"" + env.Registry.Host() + "/**\"}",
			file:  goodFile,
			want:  mirror + ":1@" + one,
		},
		"a pinned tag runs by the pin": {
			alias: "{from: docker/dockerfile, to: " + mirror + ", pins: {\"1\": \"" + old + "\"}}",
			file:  goodFile,
			want:  mirror + ":1@" + old,
		},
		"what no alias rewrites is not allowed": {
			alias:   "{from: docker/other, to: " + mirror + "}",
			file:    goodFile,
			refused: "no rule allows docker/dockerfile:1",
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			us := env.WithPolicy(t, policy(tc.alias))
			dir, out := harness.WriteContext(t, map[string]string{
				"Dockerfile": tc.file,
			}), filepath.Join(t.TempDir(), "out")
			o := d.Buildx(t, dir, byBuildx(us, "-o", out)...)
			if tc.refused != "" {
				o.RequireFailure(t, tc.refused)
				return
			}
			o.RequireSuccess(t)
			require.Contains(t, o.Text(), "[policy] rule \"mirror\" of corp-ci allows "+tc.want)
			require.FileExists(t, filepath.Join(out, "Dockerfile"))
		})
	}
}

// In warn mode, a build that would be refused goes on. Each client shows a warning to the person.
func TestWarnMode(t *testing.T) {
	t.Parallel()
	env.Frontend(t, harness.EchoFrontend)
	us := env.WithPolicy(t, "version: 1\nid: corp-ci\nmode: warn\nfrontends: []\n")
	d := env.SolePermitted(t)
	files := map[string]string{"Dockerfile": echoFile}
	const warning = "[policy] warning: would be refused: no rule allows frontends/echofrontend:1"

	t.Run("buildx plain", func(t *testing.T) {
		t.Parallel()
		out := t.TempDir()
		o := d.Buildx(t, harness.WriteContext(t, files),
			byBuildx(us, "-o", out, "--metadata-file", filepath.Join(out, "md.json"))...).RequireSuccess(t)
		require.Contains(t, o.Text(), warning)
		require.Contains(t, o.Text(), "1 warning found") // the closing summary
		require.FileExists(t, filepath.Join(out, "opts.json"))
		var decision string
		require.NoError(t, json.Unmarshal(harness.ReadMetadata(t,
			filepath.Join(out, "md.json"))["frontend.policy.decision"], &decision))
		require.Contains(t, decision, `"verdict":"warn"`)
	})
	t.Run("buildx tty", func(t *testing.T) {
		t.Parallel()
		c := d.BuildxCommand(harness.WriteContext(t, files), "--debug", "build", "--progress=tty",
			"--build-arg", "BUILDKIT_SYNTAX="+us, ".")
		c.TTY = true
		require.Contains(t, escapes.ReplaceAllString(d.Run(t, c).RequireSuccess(t).Text(), ""), warning)
	})
	t.Run("buildctl", func(t *testing.T) {
		t.Parallel()
		require.Contains(t, d.Buildctl(t, byBuildctl(harness.WriteContext(t, files), us)...).
			RequireSuccess(t).Text(), warning)
	})
	t.Run("the subrequest says allowed with the warning", func(t *testing.T) {
		t.Parallel()
		o := d.Buildx(t, harness.WriteContext(t, files), "build", "--call=policy", "--build-arg",
			"BUILDKIT_SYNTAX="+us, ".").RequireSuccess(t)
		require.Contains(t, o.Stdout, "\n  warning:      ")
	})
	t.Run("it does not soften what keeps a policy from being walked around", func(t *testing.T) {
		t.Parallel()
		d.Buildctl(t, byBuildctl(harness.WriteContext(t, files), us, "--opt",
			"context:"+us+"::linux/s390x=docker-image://x")...).RequireFailure(t, "named context")
	})
}

func TestFieldsOnRealBuilds(t *testing.T) {
	t.Parallel()
	env.Frontend(t, harness.EchoFrontend)
	d := env.SolePermitted(t)
	for name, tc := range map[string]struct{ policy, file, refused, warned string }{
		"a version inside the range": {
			policy: rule(`versions: ">=1.4.0 <2.0.0"`),
			file:   "# syntax=docker/dockerfile:1.7.1\nFROM scratch\nCOPY Dockerfile /\n",
		},
		"a version outside of the range": {
			policy:  rule(`versions: ">=1.5.0 <2.0.0"`),
			file:    "# syntax=docker/dockerfile:1.4.0\n",
			refused: ">=1.5.0 <2.0.0",
		},
		"a partial version that leaves the range": {
			policy:  rule(`versions: ">=1.4.0 <2.0.0"`),
			file:    "# syntax=docker/dockerfile:2\n",
			refused: ">=1.4.0 <2.0.0",
		},
		"a tag that is excepted": {
			policy:  rule(`tags: ["1*"], exceptTags: ["1.4.0"]`),
			file:    "# syntax=docker/dockerfile:1.4.0\n",
			refused: "1.4.0",
		},
		"a rule that has expired": {
			policy:  rule(`expires: 2020-01-01`),
			file:    goodFile,
			refused: "expired",
		},
		"a rule that is about to expire": {
			policy: rule(`warnAfter: 2020-01-01, expires: 2999-01-01`),
			file:   goodFile,
			warned: "2999-01-01",
		},
		"a name outside of the limits": {
			policy: "version: 1\nid: corp-ci\nmode: warn\n" +
				"limits: {match: [\"corp.example/**\"]}\nfrontends: []\n",
			file:    goodFile,
			refused: "limits",
		},
		"a deny rule that only warns": {
			policy: rule(`tags: ["1"]`) + "  - {name: soon-gone, match: [docker/dockerfile], " +
				"action: deny, mode: warn, message: \"move to 2\"}\n",
			file:   goodFile,
			warned: "soon-gone",
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			us := env.WithPolicy(t, tc.policy)
			o := d.Buildx(t, harness.WriteContext(t, map[string]string{
				"Dockerfile": tc.file,
			}), byBuildx(us)...)
			if tc.refused != "" {
				o.RequireFailure(t, tc.refused)
				return
			}
			o.RequireSuccess(t)
			require.Contains(t, o.Text(), tc.warned)
		})
	}
}

func TestAPolicyInSeveralFiles(t *testing.T) {
	t.Parallel()
	main := env.WithPolicy(t, "version: 1\nid: corp-ci\ninclude: [teams/payments.yaml]\n"+
		"frontends:\n  - {name: dockerfile, match: [docker/dockerfile]}\n")
	us := env.Repository() + ":several"
	_, err := env.Registry.AppendFile(main, us, "/etc/policy-frontend/teams/payments.yaml",
		[]byte("version: 1\nfrontends:\n  - {name: payments-echo, match: [frontends/echofrontend]}\n"),
		0o644)
	require.NoError(t, err)
	env.Frontend(t, harness.EchoFrontend)
	d := env.SolePermitted(t)
	o := d.Buildx(t, harness.WriteContext(t, map[string]string{
		"Dockerfile": echoFile,
	}), byBuildx(us)...).RequireSuccess(t)
	require.Contains(t, o.Text(),
		`[policy] rule "payments-echo" of corp-ci allows frontends/echofrontend:1@`)
	d.Buildx(t, harness.WriteContext(t, map[string]string{
		"Dockerfile": echoFile,
	}), byBuildx(main)...).RequireFailure(t, "teams/payments.yaml")
}
