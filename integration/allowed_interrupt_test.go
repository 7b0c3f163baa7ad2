package integration

import (
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/policy-frontend/policy-frontend/integration/harness"
)

// Ctrl-C ends a build and everything that it runs. The daemon goes on to build.
func TestAllowedInterrupt(t *testing.T) {
	env.NeedsOwnDaemon(t, "it counts the daemon's containers")
	t.Parallel()
	each(t, waysApart(), testInterrupt)
}

func testInterrupt(t *testing.T, w way) {
	waiter := pushProgram(t, "waiter")
	doc := corpPolicy + "  - {name: waiter, match: [tests/waiter]}\n"
	for n, tc := range []struct {
		name, client string
		containers   int // the number that runs before Ctrl-C, at least
	}{
		{name: "while a RUN runs", client: "buildx", containers: 1},
		{name: "while a RUN runs", client: "buildctl", containers: 1},
		// The policy frontend, the inner frontend and its step.
		{name: "while the inner frontend waits", client: "buildx", containers: 3},
		{name: "while the inner frontend waits", client: "buildctl", containers: 3},
	} {
		t.Run(tc.client+" "+tc.name, func(t *testing.T) {
			t.Parallel()
			us := w.throughPolicy(t, doc)
			seconds := strconv.Itoa(31536001 + 10*slices.IndexFunc(waysApart(),
				func(o way) bool { return o.name == w.name }) + n) // finds the process
			file := "# syntax=" + waiter + "\n"
			if tc.containers == 1 {
				file = syntaxLine + "FROM busybox\nRUN [\"sleep\", \"" + seconds + "\"]\n"
			}
			dir := harness.WriteContext(t, map[string]string{"Dockerfile": file})
			command := us.BuildxCommand(dir, byBuildx(us.syntax, "--build-arg=SECONDS="+seconds)...)
			if tc.client == "buildctl" {
				command = us.BuildctlCommand(byBuildctl(dir, us.syntax, "--opt",
					"build-arg:SECONDS="+seconds)...)
			}
			p := us.Start(t, command)
			running := harness.Poll(time.Minute, func() bool {
				return len(processesWith(seconds)) > 0 && len(us.Containers()) >= tc.containers
			})
			require.True(t, running, "the step should run, with %d containers: %v\n%s", tc.containers,
				us.Containers(), p.Output())

			p.Interrupt(t)
			p.Wait(t).RequireFailure(t)
			gone := harness.Poll(time.Minute, func() bool {
				return len(processesWith(seconds)) == 0 && len(us.Containers()) == 0
			})
			require.True(t, gone, "containers %v, processes %v", us.Containers(), processesWith(seconds))

			out := t.TempDir()
			us.buildx(t, harness.WriteContext(t, dockerfile(inner)), "--output", out).RequireSuccess(t)
			require.Equal(t, "ran\n", read(t, filepath.Join(out, "out")))
		})
	}
}

// processesWith lists the processes in containers that sleep for so many seconds.
func processesWith(seconds string) []string { return processesOf("sleep", seconds) }

// wake ends the sleep of commands, which go on then.
func wake(t *testing.T, seconds string) {
	t.Helper()
	for _, file := range processesWith(seconds) {
		pid, err := strconv.Atoi(filepath.Base(filepath.Dir(file)))
		require.NoError(t, err)
		require.NoError(t, syscall.Kill(pid, syscall.SIGKILL))
	}
}

// processesOf lists the processes of a program with these arguments and no more.
func processesOf(program string, want ...string) []string {
	files, _ := filepath.Glob("/proc/[0-9]*/cmdline")
	var found []string
	for _, file := range files {
		data, err := os.ReadFile(file)
		if err != nil { // it has ended
			continue
		}
		args := strings.Split(strings.TrimSuffix(string(data), "\x00"), "\x00")
		if filepath.Base(args[0]) == program && slices.Equal(args[1:], want) {
			found = append(found, file)
		}
	}
	return found
}
