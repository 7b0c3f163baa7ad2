package integration

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/policy-frontend/policy-frontend/integration/harness"
)

// examplePin is the digest of docker/dockerfile:1.7.1 in the examples. The tests' registry has
// another image under that name.
const examplePin = "sha256:a57df69d0ea827fb7266491f2813635de6f17269be881f696fbfdf2d83dda33e"

// blubberTag is the image from which the example expects Blubber. The echo frontend replaces it.
const blubberTag = "repos/releng/blubber/buildkit:v1.2.0"

// The test runs the commands of each example as they are written, with the tests' registry for
// registry.example. The answers in the example's table have to be those of eval.
func TestExamples(t *testing.T) {
	readmes, err := filepath.Glob(filepath.Join(env.Tools.Root, "examples", "*", "README.md"))
	require.NoError(t, err)
	require.NotEmpty(t, readmes)
	env.Frontend(t, harness.EchoFrontend)
	require.NoError(t, env.Registry.Tag(env.Registry.Ref(string(harness.EchoFrontend)),
		env.Registry.Ref(blubberTag)))
	require.NoError(t, env.Registry.Tag(env.Registry.Ref("docker/dockerfile:1"),
		env.Registry.Ref("docker/dockerfile:1.7")))
	require.NoError(t, env.Registry.Tag(env.Image(t), env.Repository()+":dev"))
	bin := commands(t)

	for _, readme := range readmes {
		folder := filepath.Dir(readme)
		t.Run(filepath.Base(folder), func(t *testing.T) {
			t.Parallel()
			text := read(t, readme)
			// Use a copy, so that the digest can be one that the registry has.
			work := t.TempDir()
			copyExample(t, folder, work)
			answers(t, bin, work, adapt(t, text))
			for _, command := range shellCommands(text) {
				runExample(t, bin, work, command)
			}
			for _, block := range consoleBlock.FindAllStringSubmatch(text, -1) {
				command, want, ok := strings.Cut(block[1], "\n")
				require.True(t, ok, "no output under %s", command)
				begin, rest, _ := strings.Cut(want, "\n")
				if env.Older(denyMessages) && strings.HasPrefix(begin, "Policy: ") {
					want = rest
					begin, _, _ = strings.Cut(want, "\n")
				}
				require.Equal(t, want, said(t, bin, work, command, begin), "%s", command)
			}
		})
	}
}

var answer = regexp.MustCompile("(?m)^\\| `([^`]+)` \\| (allow|deny|undecidable) \\|$")

// answers compares the table of an example's README with the output of eval.
func answers(t *testing.T, bin, dir, readme string) {
	t.Helper()
	rows := answer.FindAllStringSubmatch(readme, -1)
	require.NotEmpty(t, rows, "the README promises no answer")
	want := map[string]int{"allow": 0, "deny": 1, "undecidable": 3}
	for _, row := range rows {
		args := []string{"eval", "--policy", "policy.yaml", row[1]}
		if _, err := os.Stat(filepath.Join(dir, "overlay.yaml")); err == nil {
			args = append(args, "--overlay", "overlay.yaml")
		}
		cmd := exec.Command(filepath.Join(bin, "policy-frontend"), args...)
		cmd.Dir = dir
		out, err := cmd.CombinedOutput()
		if exit := new(exec.ExitError); err != nil {
			require.ErrorAs(t, err, &exit)
		}
		require.Equal(t, want[row[2]], cmd.ProcessState.ExitCode(), "%v\n%s", args, out)
	}
}

var shellBlock = regexp.MustCompile("(?s)```sh\n(.*?)```")

var consoleBlock = regexp.MustCompile("(?s)```console\n\\$ (.*?)```")

// said runs a command of an example that is refused, and returns its output. For a build, the
// output starts at the line that begins with begin.
func said(t *testing.T, bin, dir, command, begin string) string {
	t.Helper()
	o := exampleDaemon(t, command).Run(t, exampleCommand(t, bin, dir, command))
	o.RequireFailure(t)
	if strings.HasPrefix(command, "docker buildx") {
		// The registry may have any image under docker/dockerfile:1.
		return regexp.MustCompile(`@sha256:[0-9a-f]{64}`).ReplaceAllString(endFrom(t, o, begin),
			"@sha256:…")
	}
	return o.Stdout
}

// shellCommands returns the commands of all sh blocks. It joins continued lines.
func shellCommands(readme string) []string {
	var commands []string
	for _, block := range shellBlock.FindAllStringSubmatch(readme, -1) {
		for line := range strings.SplitSeq(strings.ReplaceAll(block[1], "\\\n", " "), "\n") {
			if line = strings.TrimSpace(line); line != "" {
				commands = append(commands, line)
			}
		}
	}
	return commands
}

var bakeImage = regexp.MustCompile(`^POLICY=(\S+) IMAGE=(\S+)\s+docker buildx bake --push image$`)

// runExample runs one command of an example in a shell. The harness bakes images, because it has
// the Go image that bake needs. If the policy was adapted to the registry, an image with the
// adapted policy replaces the baked one.
func runExample(t *testing.T, bin, dir, command string) {
	t.Helper()
	if m := bakeImage.FindStringSubmatch(command); m != nil {
		us := env.BakeWithPolicy(t, m[1])
		if adapted := read(t, filepath.Join(dir, "policy.yaml")); adapted != read(t,
			filepath.Join(env.Tools.Root, m[1])) {
			us = env.WithPolicy(t, adapted)
		}
		require.NoError(t, env.Registry.Tag(us, adapt(t, m[2])))
		return
	}
	o := exampleDaemon(t, command).Run(t, exampleCommand(t, bin, dir, command))
	if strings.Contains(command, "docker/dockerfile:1.6") { // the only example that is refused
		o.RequireFailure(t, "is refused")
		return
	}
	o.RequireSuccess(t)
}

// exampleDaemon starts a daemon for the command. It allows only the policy frontend, unless the
// command builds the policy frontend's image.
func exampleDaemon(t *testing.T, command string) *harness.Daemon {
	t.Helper()
	cfg := harness.DaemonConfig{Mirrors: map[string][]string{
		"docker.io": {env.Registry.Host()}, "docker-registry.wikimedia.org": {env.Registry.Host()},
	}}
	if !strings.Contains(command, "--push") {
		cfg.DockerfileOff, cfg.AllowedRepositories = true, []string{env.Repository()}
	}
	return env.StartDaemon(t, cfg)
}

func exampleCommand(t *testing.T, bin, dir, command string) harness.Command {
	t.Helper()
	return harness.Command{
		Path: "/bin/sh",
		Args: []string{"-ec", "PATH=" + bin + ":$PATH\n" + adapt(t, command)},
		Dir:  dir,
	}
}

func adapt(t *testing.T, text string) string {
	t.Helper()
	return strings.NewReplacer("registry.example/policy-frontend", env.Repository(), examplePin,
		digest(t, "docker/dockerfile:1.7.1")).Replace(text)
}

func copyExample(t *testing.T, from, to string) {
	t.Helper()
	entries, err := os.ReadDir(from)
	require.NoError(t, err)
	for _, e := range entries {
		data := adapt(t, read(t, filepath.Join(from, e.Name())))
		require.NoError(t, os.WriteFile(filepath.Join(to, e.Name()), []byte(data), 0o600))
	}
}

// commands returns a folder with the programs that people run: docker, buildctl and
// policy-frontend. Its docker can run only buildx.
func commands(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	require.NoError(t, os.WriteFile(filepath.Join(dir, "docker"),
		fmt.Appendf(nil, "#!/bin/sh\nshift\nexec %s \"$@\"\n", env.Tools.Buildx), 0o700))
	require.NoError(t, os.Symlink(env.Tools.Buildctl, filepath.Join(dir, "buildctl")))
	cmd := exec.Command("go", "build", "-o", filepath.Join(dir, "policy-frontend"),
		"./cmd/policy-frontend")
	cmd.Dir = env.Tools.Root
	out, err := cmd.CombinedOutput()
	require.NoError(t, err, "%s", out)
	return dir
}

// The policy and the command in the README give the refusal that it shows.
func TestREADME(t *testing.T) {
	t.Parallel()
	env.Needs(t, denyMessages, "it drops the message that clients print in the line Policy")
	readme := read(t, filepath.Join(env.Tools.Root, "README.md"))
	block := func(language string) string {
		m := regexp.MustCompile("(?s)```" + language + "\n(.*?)```").FindStringSubmatch(readme)
		require.NotNil(t, m, "the README has no %s block", language)
		return m[1]
	}
	shown := block("console")
	_, want, ok := strings.Cut(shown, "\nPolicy: ")
	require.True(t, ok)
	us := env.WithPolicy(t, block("yaml"))
	dir := harness.WriteContext(t, map[string]string{
		"Dockerfile": "# syntax=docker/dockerfile-upstream:master\nFROM busybox\n",
	})
	o := env.SolePermitted(t).Buildx(t, dir, byBuildx(us)...)
	o.RequireFailure(t)
	require.Equal(t, "Policy: "+want, endFrom(t, o, "Policy: "))
}
