package integration

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// The README's commands for people who have Docker, run as they are written on a Docker
// Engine that has nothing but what Docker Hub serves.
func TestEngineRunsTheREADMEsCommands(t *testing.T) {
	if os.Getenv(engineVariable) == "" {
		t.Skipf("a Docker Engine is tested by make test-engine, which sets %s", engineVariable)
	}
	commands, refusal := engineSection(t)
	require.Len(t, commands, 5)
	env.PushEngineImages(t)
	d := env.StartEngine(t)

	for _, command := range commands[:4] {
		o := d.Shell(t, env.Tools.Root, command).RequireSuccess(t)
		t.Logf("%.1f s: %s", o.Elapsed.Seconds(), command)
	}
	o := d.Shell(t, env.Tools.Root, commands[4]).RequireFailure(t)
	begin, _, _ := strings.Cut(refusal, "\n")
	require.Equal(t, refusal, endFrom(t, o, begin))

	o = d.Shell(t, env.Tools.Root, "docker buildx build --builder guarded examples/dockerfile-only")
	o.RequireFailure(t, "invalid frontend: dockerfile.v0")
}

// Whatever the engine, the refusal that the section shows is the policy frontend's.
func TestREADMERefusesForDocker(t *testing.T) {
	t.Parallel()
	env.Needs(t, denyMessages, "it drops the message that clients print in the line Policy")
	_, refusal := engineSection(t)
	example := filepath.Join("examples", "dockerfile-only")
	us := env.WithPolicy(t, read(t, filepath.Join(env.Tools.Root, example, "policy.yaml")))
	o := env.SolePermitted(t).Buildx(t, env.Tools.Root, "build", "--progress=plain",
		"--build-arg", "BUILDKIT_SYNTAX="+us, "-f", filepath.Join(example, "Refused.Dockerfile"), example)
	o.RequireFailure(t)
	begin, _, _ := strings.Cut(refusal, "\n")
	require.Equal(t, refusal, endFrom(t, o, begin))
}

// engineSection returns the commands of the README's section for people who have Docker,
// and what the last of them prints.
func engineSection(t *testing.T) (commands []string, refusal string) {
	t.Helper()
	readme := read(t, filepath.Join(env.Tools.Root, "README.md"))
	_, rest, ok := strings.Cut(readme, "<!-- engine: begin -->")
	require.True(t, ok)
	section, _, ok := strings.Cut(rest, "<!-- engine: end -->")
	require.True(t, ok)
	printed := regexp.MustCompile("(?s)```text\n(.*?)```").FindStringSubmatch(section)
	require.NotNil(t, printed, "the section shows no refusal")
	return shellCommands(section), printed[1]
}
