package harness_test

import (
	"bufio"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/policy-frontend/policy-frontend/integration/harness"
	"github.com/policy-frontend/policy-frontend/integration/harness/provision"
)

const helperVariable = "HARNESS_TEST_HELPER"

// TestHelperProcess is no test of its own: the tests below run it in another
// process and end that one.
func TestHelperProcess(t *testing.T) {
	if os.Getenv(helperVariable) == "" {
		t.Skip("runs in a process of the other tests only")
	}
	d := env.Plain(t)
	fmt.Println("root:", filepath.Dir(d.LogFile))
	dir := harness.WriteContext(t, map[string]string{"Dockerfile": "FROM busybox\nRUN sleep 600\n"})
	p := d.Start(t, d.BuildxCommand(dir, "build", "."))
	require.True(t, harness.Poll(time.Minute, func() bool { return len(d.Containers()) > 0 }))
	fmt.Println("running:")
	p.Wait(t)
}

func TestProcessThatIsEndedLeavesNothing(t *testing.T) {
	t.Parallel()
	for _, end := range []syscall.Signal{syscall.SIGINT, syscall.SIGTERM} {
		t.Run("by "+end.String(), func(t *testing.T) {
			t.Parallel()
			helper, root := startHelper(t)
			require.NoError(t, helper.Process.Signal(end))
			require.Error(t, helper.Wait())
			require.NoDirExists(t, root)
			require.Empty(t, processesNaming(t, root))
		})
	}
	t.Run("by a kill, after the next process swept", func(t *testing.T) {
		t.Parallel()
		helper, root := startHelper(t)
		require.NoError(t, helper.Process.Kill())
		require.Error(t, helper.Wait())
		require.True(t, harness.Poll(30*time.Second,
			func() bool { return len(processesNaming(t, root)) == 0 }),
			"the daemon outlived its parent")
		next, err := harness.NewEnv(os.Stderr, provision.TestPrograms()...)
		require.NoError(t, err)
		require.NoError(t, next.Close())
		require.NoDirExists(t, root)
	})
}

// startHelper runs TestHelperProcess until a container runs in its daemon.
func startHelper(t *testing.T) (helper *exec.Cmd, root string) {
	t.Helper()
	helper = exec.Command(os.Args[0], "-test.run=^TestHelperProcess$", "-test.v")
	helper.Env = append(os.Environ(), helperVariable+"=1")
	helper.Stderr = os.Stderr
	stdout, err := helper.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, helper.Start())
	t.Cleanup(func() { _ = helper.Process.Kill() })
	var seen strings.Builder
	for lines := bufio.NewScanner(stdout); lines.Scan(); {
		seen.WriteString(lines.Text() + "\n")
		if dir, ok := strings.CutPrefix(lines.Text(), "root: "); ok {
			root = dir
		}
		if strings.HasPrefix(lines.Text(), "running:") {
			require.DirExists(t, root)
			require.NotEmpty(t, processesNaming(t, root))
			return helper, root
		}
	}
	require.Fail(t, "the helper process did not get to run a build", seen.String())
	return nil, ""
}

func processesNaming(t *testing.T, root string) []string {
	t.Helper()
	files, err := filepath.Glob("/proc/[0-9]*/cmdline")
	require.NoError(t, err)
	var found []string
	for _, file := range files {
		if data, err := os.ReadFile(file); err == nil && strings.Contains(string(data), root) {
			found = append(found, file)
		}
	}
	return found
}
