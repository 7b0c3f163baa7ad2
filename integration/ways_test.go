package integration

import (
	"bytes"
	"fmt"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/policy-frontend/policy-frontend/integration/harness"
)

// These are the ways to reach the image, each with the configuration that it is for. All build the
// same file with docker/dockerfile.
func TestWaysIn(t *testing.T) {
	t.Parallel()
	us := env.WithPolicy(t, corpPolicy)
	sole, on := env.SolePermitted(t), env.DockerfileOn(t)
	const inner = "docker/dockerfile:1"
	for name, tc := range map[string]struct {
		on     bool // dockerfile.v0 is enabled
		syntax string
		args   func(dir, out string) []string // for buildctl if they begin with "buildctl"
		file   map[string]string              // in addition to the Dockerfile
	}{
		"buildx and a syntax line that names us and the inner frontend": {
			on: true, syntax: us + " " + inner,
			args: func(_, out string) []string { return []string{"build", "-o", out, "."} },
		},
		"buildctl and a syntax line that names us and the inner frontend": {
			on: true, syntax: us + " " + inner,
			args: func(dir, out string) []string {
				return []string{
					"buildctl", "build", "--frontend=dockerfile.v0", "--local", "context=" + dir, "--local",
					"dockerfile=" + dir, "--output", "type=local,dest=" + out,
				}
			},
		},
		"buildx with BUILDKIT_SYNTAX and an unedited file": {
			syntax: inner,
			args:   func(_, out string) []string { return byBuildx(us, "-o", out) },
		},
		"buildx with BUILDKIT_SYNTAX where dockerfile.v0 is on": {
			on: true, syntax: inner,
			args: func(_, out string) []string { return byBuildx(us, "-o", out) },
		},
		"buildx with BUILDKIT_SYNTAX that names us and the inner frontend": {
			syntax: evil,
			args:   func(_, out string) []string { return byBuildx(us+" "+inner, "-o", out) },
		},
		"bake with BUILDKIT_SYNTAX": {
			syntax: inner,
			args: func(_, out string) []string {
				return []string{"bake", "--allow=fs.write=" + out, "--set", "*.output=" + out}
			},
			file: map[string]string{
				"docker-bake.hcl": fmt.Sprintf("target \"default\" {\n  args = { BUILDKIT_SYNTAX = %q }\n}\n",
					us),
			},
		},
		"buildctl with the gateway": {
			syntax: inner,
			args: func(dir, out string) []string {
				return append([]string{"buildctl"}, byBuildctl(dir, us, "--output", "type=local,dest="+out)...)
			},
		},
		"buildctl with the gateway and a cmdline": {
			syntax: evil,
			args: func(dir, out string) []string {
				return append([]string{"buildctl"},
					byBuildctl(dir, us, "--opt", "cmdline="+us+" "+inner, "--output", "type=local,dest="+out)...)
			},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d := sole
			if tc.on {
				d = on
			}
			files := dockerfile(tc.syntax)
			for k, v := range tc.file {
				files[k] = v
			}
			dir, out := harness.WriteContext(t, files), t.TempDir()
			args := tc.args(dir, out)
			if args[0] == "buildctl" {
				d.Buildctl(t, args[1:]...).RequireSuccess(t)
			} else {
				d.Buildx(t, dir, args...).RequireSuccess(t)
			}
			require.Equal(t, "ran\n", read(t, filepath.Join(out, "out")))
		})
	}
}

// A build file need not be a Dockerfile. The frontend that the syntax line names reads it.
func TestBuildFilesOfOtherFrontends(t *testing.T) {
	t.Parallel()
	env.Frontend(t, harness.EchoFrontend)
	us := env.WithPolicy(t, corpPolicy)
	yaml, echo := env.Frontend(t, harness.YAMLFrontend), env.Frontend(t, harness.EchoFrontend)
	d := env.SolePermitted(t)
	for name, tc := range map[string]struct{ file, want, content string }{
		"YAML with a # syntax line": {
			file:    "# syntax=" + yaml + "\nfiles: {/greeting: hello}\n",
			want:    "greeting",
			content: "hello",
		},
		"YAML that runs a command": {
			file:    "# syntax=" + yaml + "\nbase: busybox\nrun: [\"echo ran > /out\"]\n",
			want:    "out",
			content: "ran\n",
		},
		"a // syntax line": {
			file:    "// syntax=" + echo + "\npackage build\n",
			want:    "inputs.json",
			content: "[]",
		},
		"JSON with a syntax field": {
			file:    `{"syntax": "` + echo + `", "steps": []}`,
			want:    "inputs.json",
			content: "[]",
		},
		"a shebang before the line": {
			file:    "#!/usr/bin/env build\n# syntax=" + echo + "\n",
			want:    "inputs.json",
			content: "[]",
		},
		"a byte order mark before it": {
			file:    "\ufeff# syntax=" + echo + "\n",
			want:    "inputs.json",
			content: "[]",
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir, out := harness.WriteContext(t, map[string]string{"build.file": tc.file}), t.TempDir()
			d.Buildx(t, dir, byBuildx(us, "-f", "build.file", "-o", out)...).RequireSuccess(t)
			require.Equal(t, tc.content, read(t, filepath.Join(out, tc.want)))
		})
	}
}

func TestWhereTheBuildFileComesFrom(t *testing.T) {
	t.Parallel()
	us := env.WithPolicy(t, corpPolicy)
	d := env.SolePermitted(t)
	files := dockerfile("docker/dockerfile:1")
	git, _ := harness.GitServer(t, files)
	archive := harness.TarContext(t, files)
	archiveURL := harness.ServeFiles(t, map[string][]byte{"context.tar": archive}) + "/context.tar"

	check := func(t *testing.T, out string, o harness.Output) {
		t.Helper()
		o.RequireSuccess(t)
		require.Equal(t, "ran\n", read(t, filepath.Join(out, "out")))
		require.Contains(t, o.Text(), `[policy] rule "dockerfile" of corp-ci allows docker/dockerfile:1@`)
	}
	build := func(t *testing.T, dir, out, where string, args ...string) harness.Output {
		t.Helper()
		line := byBuildx(us, append(args, "-o", out)...)
		line[len(line)-1] = where
		return d.Buildx(t, dir, line...)
	}

	t.Run("a file elsewhere", func(t *testing.T) {
		t.Parallel()
		out := t.TempDir()
		dir := harness.WriteContext(t, map[string]string{
			"context/x":               "x",
			"elsewhere/My.Dockerfile": files["Dockerfile"],
		})
		check(t, out, build(t, dir, out, "context", "-f", "elsewhere/My.Dockerfile"))
	})
	t.Run("a file in lower case", func(t *testing.T) {
		t.Parallel()
		out := t.TempDir()
		check(t, out, build(t, harness.WriteContext(t, map[string]string{
			"dockerfile": files["Dockerfile"],
		}), out, "."))
	})
	t.Run("standard input", func(t *testing.T) {
		t.Parallel()
		out := t.TempDir()
		c := d.BuildxCommand(harness.WriteContext(t, map[string]string{
			"x": "x",
		}), byBuildx(us, "-f", "-", "-o", out)...)
		c.Stdin = strings.NewReader(files["Dockerfile"])
		check(t, out, d.Run(t, c))
	})
	t.Run("a tar archive on standard input", func(t *testing.T) {
		t.Parallel()
		out := t.TempDir()
		line := byBuildx(us, "-o", out)
		line[len(line)-1] = "-"
		c := d.BuildxCommand(t.TempDir(), line...)
		c.Stdin = bytes.NewReader(archive)
		check(t, out, d.Run(t, c))
	})
	t.Run("a tar archive behind a URL", func(t *testing.T) {
		t.Parallel()
		out := t.TempDir()
		check(t, out, build(t, t.TempDir(), out, archiveURL))
	})
	t.Run("a git repository by buildx", func(t *testing.T) {
		t.Parallel()
		out := t.TempDir()
		check(t, out, build(t, t.TempDir(), out, git))
	})
	t.Run("a git repository by buildctl", func(t *testing.T) {
		t.Parallel()
		out := t.TempDir()
		check(t, out, d.Buildctl(t, "build", "--progress=plain", "--frontend=gateway.v0", "--opt",
			"source="+us, "--opt", "context="+git, "--output", "type=local,dest="+out))
	})
	t.Run("a git repository whose file asks for another frontend", func(t *testing.T) {
		t.Parallel()
		bad, _ := harness.GitServer(t, map[string]string{"Dockerfile": evilFile})
		out := filepath.Join(t.TempDir(), "out")
		build(t, t.TempDir(), out, bad).RequireFailure(t, ">>> # syntax="+evil,
			"requested by: line 1 of Dockerfile")
		require.NoDirExists(t, out)
	})
}
