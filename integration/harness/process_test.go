package harness_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/policy-frontend/policy-frontend/integration/harness"
)

func TestRunners(t *testing.T) {
	t.Parallel()
	d := env.Plain(t)

	t.Run("nothing of the caller's settings reaches a command", func(t *testing.T) {
		o := d.Run(t, harness.Command{Path: "/usr/bin/env"}).RequireSuccess(t)
		for line := range strings.Lines(o.Stdout) {
			name, _, _ := strings.Cut(line, "=")
			require.Contains(t, []string{
				"PATH", "HOME", "TMPDIR", "TERM", "BUILDKIT_HOST", "BUILDX_BUILDER", "BUILDX_CONFIG",
				"DOCKER_CONFIG",
			}, name)
		}
	})

	t.Run("stdout, stderr and the exit code are told apart", func(t *testing.T) {
		o := d.Run(t, harness.Command{
			Path:  "/bin/sh",
			Args:  []string{"-c", "cat; echo err >&2; exit 3"},
			Stdin: strings.NewReader("in\n"),
		})
		require.Equal(t, "in\n", o.Stdout)
		require.Equal(t, "err\n", o.Stderr)
		require.Equal(t, 3, o.ExitCode)
	})

	t.Run("a command on a terminal knows that it is on one", func(t *testing.T) {
		o := d.Run(t, harness.Command{
			Path: "/bin/sh",
			Args: []string{"-c", "test -t 1 && stty size"},
			TTY:  true,
		}).RequireSuccess(t)
		require.Equal(t, "40 120\r\n", o.Stdout)
	})

	t.Run("a hung command is killed and fails the test with its output", func(t *testing.T) {
		fake := &failing{T: t}
		func() {
			defer func() { require.Equal(t, fake, recover()) }()
			d.Run(fake, harness.Command{
				Path: "/bin/sh", Args: []string{
					"-c", "echo so far; exec sleep 600",
				}, Timeout: 5 * time.Second,
			})
		}()
		require.Contains(t, fake.message, "hung")
		require.Contains(t, fake.message, "so far")
	})

	t.Run("an interrupt ends the command and leaves no container", func(t *testing.T) {
		dir := harness.WriteContext(t, map[string]string{"Dockerfile": "FROM busybox\nRUN sleep 600\n"})
		p := d.Start(t, d.BuildxCommand(dir, "build", "."))
		require.True(t, harness.Poll(time.Minute, func() bool { return len(d.Containers()) > 0 }),
			"no container ran:\n%s", p.Output())
		p.Interrupt(t)
		p.Wait(t).RequireFailure(t)
		require.True(t, harness.Poll(30*time.Second, func() bool { return len(d.Containers()) == 0 }),
			"left: %s", d.Containers())
	})
}

// failing records the message of Fatalf and ends the call by a panic.
type failing struct {
	*testing.T
	message string
}

func (f *failing) Fatalf(format string, args ...any) {
	f.message = fmt.Sprintf(format, args...)
	panic(f)
}
