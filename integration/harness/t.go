package harness

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// T is what the harness needs of a test. Every testing.TB is one; the demo
// brings its own.
type T interface {
	Helper()
	Name() string
	Cleanup(func())
	Logf(format string, args ...any)
	Errorf(format string, args ...any)
	Fatalf(format string, args ...any)
	FailNow()
	Failed() bool
	TempDir() string
}

// pollEvery is how long a poll waits between two looks.
const pollEvery = 5 * time.Millisecond

// Poll calls done until it returns true, and returns false if that doesn't
// happen within the timeout. done is called at least once.
func Poll(timeout time.Duration, done func() bool) bool {
	deadline := time.NewTimer(timeout)
	defer deadline.Stop()
	tick := time.NewTicker(pollEvery)
	defer tick.Stop()
	for {
		if done() {
			return true
		}
		select {
		case <-deadline.C:
			return done()
		case <-tick.C:
		}
	}
}

const tempName = "pfbk"

// tempPrefix is the pattern of this process's temporary folders. They are
// short, because unix socket paths are limited to about 100 bytes, and name
// the process, so that sweep knows whose they are.
func tempPrefix() string {
	return fmt.Sprintf("%s%d-", tempName, os.Getpid())
}

// sweep removes the temporary folders, and unmounts what is mounted in them,
// of earlier test processes that were killed before they could clean up.
func sweep() error {
	dirs, err := filepath.Glob(filepath.Join(os.TempDir(), tempName+"[0-9]*-*"))
	if err != nil {
		return err
	}
	for _, dir := range dirs {
		pid, _, _ := strings.Cut(strings.TrimPrefix(filepath.Base(dir), tempName), "-")
		n, err := strconv.Atoi(pid)
		if err != nil || syscall.Kill(n, 0) != syscall.ESRCH {
			continue
		}
		// Its daemon may be ending still.
		if !Poll(settleTimeout, func() bool { err = removeRoot(dir); return err == nil }) {
			return fmt.Errorf("remove what process %d left behind: %w", n, err)
		}
	}
	return nil
}
