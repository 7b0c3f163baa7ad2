package integration

import (
	"bytes"
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/policy-frontend/policy-frontend/integration/harness"
)

// commandLine builds the command line and returns a function that runs it.
func commandLine(t *testing.T) func(args ...string) (code int, text string) {
	t.Helper()
	binary := filepath.Join(t.TempDir(), "policy-frontend")
	build := exec.CommandContext(context.Background(), "go", "build", "-o", binary,
		"./cmd/policy-frontend")
	build.Dir = env.Tools.Root
	build.Env = append(os.Environ(), "CGO_ENABLED=0", "GOWORK=off")
	out, err := build.CombinedOutput()
	require.NoError(t, err, "%s", out)
	return func(args ...string) (int, string) {
		var text bytes.Buffer
		c := exec.CommandContext(context.Background(), binary, args...)
		c.Stdout, c.Stderr = &text, &text
		c.Env = []string{"HOME=" + t.TempDir(), "PATH=" + os.Getenv("PATH")}
		if err := c.Run(); c.ProcessState == nil {
			t.Fatalf("run %v: %v", args, err)
		}
		return c.ProcessState.ExitCode(), text.String()
	}
}

// A locked policy keeps running the image that the tag had, even if the tag moves in the registry
// later. lock --check reports that it moved.
func TestALockedPolicyKeepsToItsDigest(t *testing.T) {
	t.Parallel()
	env.Frontend(t, harness.EvilFrontend)
	run := commandLine(t)
	tag := env.Registry.Ref("locked/dockerfile:1")
	require.NoError(t, env.Registry.Tag(env.Registry.Ref("docker/dockerfile:1"), tag))
	good, err := env.Registry.Digest(tag)
	require.NoError(t, err)

	file := filepath.Join(t.TempDir(), "policy.yaml")
	doc := "version: 1\n# what may run\nfrontends:\n" +
		"  - {name: locked, match: [" + env.Registry.Ref("locked/dockerfile") + "], tags: [\"1\"]}\n"
	require.NoError(t, os.WriteFile(file, []byte(doc), 0o600))
	unlocked := read(t, file)
	code, text := run("lock", "--check", file)
	require.Equal(t, 1, code, text)
	code, text = run("lock", file)
	require.Equal(t, 0, code, text)
	require.Contains(t, read(t, file), good)
	require.Contains(t, read(t, file), "# what may run\n")

	require.NoError(t, env.Registry.Tag(env.Registry.Ref(evil), tag))
	moved, err := env.Registry.Digest(tag)
	require.NoError(t, err)
	code, text = run("lock", "--check", file)
	require.Equal(t, 1, code, text)
	require.Contains(t, text, "moved from "+good+" to "+moved)

	d := env.SolePermitted(t)
	dir := harness.WriteContext(t, map[string]string{
		"Dockerfile": "# syntax=" + tag + "\nFROM scratch\nCOPY Dockerfile /\n",
	})
	locked := d.Buildx(t, dir, byBuildx(env.WithPolicy(t, read(t, file)))...).RequireSuccess(t)
	require.Contains(t, locked.Text(), `rule "locked" allows `+tag+"@"+good)
	require.NotContains(t, locked.Text(), moved)
	// Without the pin, the tag's new image runs.
	free := d.Buildx(t, dir, byBuildx(env.WithPolicy(t, unlocked))...).RequireSuccess(t)
	require.Contains(t, free.Text(), `rule "locked" allows `+tag+"@"+moved)
}
