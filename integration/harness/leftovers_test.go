package harness

import (
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestLeftoversAreFoundAndRemoved(t *testing.T) {
	t.Parallel()
	root := t.TempDir()
	t.Cleanup(func() { require.NoError(t, removeRoot(root)) })
	require.Empty(t, leftovers(root))

	mounted := filepath.Join(root, "a mount")
	require.NoError(t, os.Mkdir(mounted, 0o700))
	require.NoError(t, syscall.Mount("tmpfs", mounted, "tmpfs", 0, ""))
	// `read` keeps the shell until its stdin is closed; the name is what matters.
	process := exec.Command("/bin/sh", "-c", "read x", root+"/marker")
	stdin, err := process.StdinPipe()
	require.NoError(t, err)
	require.NoError(t, process.Start())

	left := belongings(root)
	require.Len(t, left, 2, "%q", left)
	require.Contains(t, left[0], "mount "+root)
	require.Contains(t, left[1], "/bin/sh -c read x")

	require.NoError(t, stdin.Close())
	_ = process.Wait()
	require.NoError(t, removeRoot(root))
	require.NoDirExists(t, root)
	require.Empty(t, leftovers(root))
}

func TestLeftoversAreRemovedBySeveralAtOnce(t *testing.T) {
	t.Parallel()
	root := t.TempDir()
	t.Cleanup(func() { require.NoError(t, removeRoot(root)) })
	for i := range 50 {
		mounted := filepath.Join(root, strconv.Itoa(i))
		require.NoError(t, os.Mkdir(mounted, 0o700))
		require.NoError(t, syscall.Mount("tmpfs", mounted, "tmpfs", 0, ""))
	}
	errs := make(chan error)
	for range 4 {
		go func() { errs <- removeRoot(root) }()
	}
	for range 4 {
		require.NoError(t, <-errs)
	}
	require.NoDirExists(t, root)
}

func TestUnmountRefusesTheMachineItself(t *testing.T) {
	t.Parallel()
	for _, dir := range []string{"", "/", "//", "relative"} {
		require.Error(t, unmountUnder(dir), "%q", dir)
		require.Error(t, removeRoot(dir), "%q", dir)
	}
}
