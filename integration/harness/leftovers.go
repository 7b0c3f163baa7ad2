package harness

import (
	"bufio"
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// settleTimeout is how long containers get to end, and the kernel to reap a stopped daemon's
// children and to take down their mounts. On a busy machine, runc takes more than ten seconds to
// end a container.
const settleTimeout = time.Minute

// runcStates is runc's default state folder, which buildkitd uses; a rootless one
// has its own beside its root, see rootless.go.
const runcStates = "/run/runc"

// leftovers lists what a stopped daemon leaves behind for longer than [settleTimeout].
func leftovers(root string) []string {
	var left []string
	Poll(settleTimeout, func() bool {
		left = belongings(root)
		return len(left) == 0
	})
	return left
}

// belongings lists the mounts, runc containers and processes that belong to a daemon's root, one
// line each.
func belongings(root string) []string {
	var found []string
	for _, m := range mountsUnder("/proc/self/mountinfo", root) {
		found = append(found, "mount "+m)
	}
	found = append(found, containersOf(root)...)
	return append(found, processesOf(root)...)
}

// Containers lists the runc containers that the daemon has right now, one line each. It
// knows none of a daemon that ran already, see [Env.NeedsOwnDaemon].
func (d *Daemon) Containers() []string {
	if d.root == "" {
		return nil
	}
	return containersOf(d.root)
}

func containersOf(root string) []string {
	var found []string
	for _, id := range containerIDs(root) {
		found = append(found, "container "+id)
	}
	return found
}

func containerIDs(root string) []string {
	states, _ := filepath.Glob(filepath.Join(runcStates, "*", "state.json"))
	rootless, _ := filepath.Glob(filepath.Join(filepath.Dir(root), "run", "runc", "*", "state.json"))
	states = append(states, rootless...)
	var found []string
	for _, state := range states {
		// A container that ends meanwhile takes its state with it.
		if data, err := os.ReadFile(state); err == nil && bytes.Contains(data, []byte(root+"/")) {
			found = append(found, filepath.Base(filepath.Dir(state)))
		}
	}
	return found
}

// processesOf finds processes that name root in their command line (runc and
// its shims) or whose root filesystem is an overlay made of root's folders
// (what ran in a container).
func processesOf(root string) []string {
	dirs, _ := filepath.Glob("/proc/[0-9]*")
	self := strconv.Itoa(os.Getpid())
	var found []string
	for _, dir := range dirs {
		pid := filepath.Base(dir)
		cmdline, err := os.ReadFile(filepath.Join(dir, "cmdline"))
		if err != nil || pid == self {
			continue
		}
		named := bytes.Contains(cmdline, []byte(root+"/"))
		if named || rootfsFrom(filepath.Join(dir, "mountinfo"), root) {
			words := bytes.ReplaceAll(cmdline, []byte{0}, []byte(" "))
			found = append(found, fmt.Sprintf("process %s %s", pid, words))
		}
	}
	return found
}

func rootfsFrom(mountinfo, root string) bool {
	data, err := os.ReadFile(mountinfo)
	if err != nil {
		return false
	}
	for line := range strings.Lines(string(data)) {
		fields := strings.Fields(line)
		if len(fields) > 4 && fields[4] == "/" && strings.Contains(line, root+"/") {
			return true
		}
	}
	return false
}

// mountsUnder lists the mount points at or below dir, deepest first.
func mountsUnder(mountinfo, dir string) []string {
	f, err := os.Open(mountinfo)
	if err != nil {
		return nil
	}
	defer f.Close()
	// proc(5): white space and backslashes in paths are written in octal.
	unescape := strings.NewReplacer(`\040`, " ", `\011`, "\t", `\012`, "\n", `\134`, `\`)
	var mounts []string
	for s := bufio.NewScanner(f); s.Scan(); {
		fields := strings.Fields(s.Text())
		if len(fields) <= 4 {
			continue
		}
		if point := unescape.Replace(fields[4]); point == dir || strings.HasPrefix(point, dir+"/") {
			mounts = append(mounts, point)
		}
	}
	slices.Sort(mounts)
	slices.Reverse(mounts)
	return mounts
}

// unmountUnder unmounts all at or below dir, which must be an absolute path and
// not the root of the machine. What somebody else unmounts meanwhile is no error: the
// test processes of two packages may sweep at the same time.
func unmountUnder(dir string) error {
	if !filepath.IsAbs(dir) || filepath.Clean(dir) == "/" {
		return fmt.Errorf("refusing to unmount all under %q", dir)
	}
	for _, m := range mountsUnder("/proc/self/mountinfo", dir) {
		err := syscall.Unmount(m, syscall.MNT_DETACH)
		if err != nil && slices.Contains(mountsUnder("/proc/self/mountinfo", m), m) {
			return fmt.Errorf("unmount %s: %w", m, err)
		}
	}
	return nil
}

// removeRoot unmounts all under dir, then removes it.
func removeRoot(dir string) error {
	if err := unmountUnder(dir); err != nil {
		return err
	}
	return os.RemoveAll(dir)
}
