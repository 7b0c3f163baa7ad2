package harness

import (
	"fmt"
	"runtime"

	"golang.org/x/sys/unix"
)

// inNewNetwork runs f in a new network namespace in which only loopback is up. The
// sockets that f opens and the processes that it starts stay there; all else of
// this process is as before. leave must be called when those processes have ended:
// to a process that asks for a signal at its parent's death, the parent is the
// thread on which f ran.
func inNewNetwork(f func() error) (leave func(), err error) {
	done := make(chan error)
	left := make(chan struct{})
	go func() {
		// Never unlocked, so that the thread ends with the goroutine.
		runtime.LockOSThread()
		err := unix.Unshare(unix.CLONE_NEWNET)
		if err == nil {
			err = loopbackUp()
		}
		if err == nil {
			err = f()
		}
		done <- err
		<-left
	}()
	if err := <-done; err != nil {
		close(left)
		return func() {}, fmt.Errorf("in a network namespace: %w", err)
	}
	return func() { close(left) }, nil
}

func loopbackUp() error {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	lo, err := unix.NewIfreq("lo")
	if err != nil {
		return err
	}
	lo.SetUint16(unix.IFF_UP)
	return unix.IoctlIfreq(fd, unix.SIOCSIFFLAGS, lo)
}
