package provision

import (
	"debug/elf"
	"errors"
	"fmt"
	"os"
	"os/exec"
)

// installFromDistribution finds the programs that aren't built from Go modules and
// installs the missing ones. runc must be the distribution's: a runc that is built from
// its module without libseccomp can't run anything.
func (t *Tools) installFromDistribution(withRunC bool) error {
	if _, err := exec.LookPath("git"); err != nil {
		return errors.New("git is not installed: the tests build from git contexts")
	}
	var err error
	if withRunC {
		if t.RunC, err = t.findOrInstall("runc", "runc", "runc", exec.LookPath); err != nil {
			return err
		}
	}
	t.Busybox, err = t.findOrInstall("a static busybox", "busybox", "busybox-static",
		lookStaticBusybox)
	return err
}

// findOrInstall looks for the program name. If it isn't there, findOrInstall installs the
// Debian package pkg and looks again.
func (t *Tools) findOrInstall(
	what, name, pkg string, look func(string) (string, error),
) (string, error) {
	path, lookErr := look(name)
	if lookErr == nil {
		return path, nil
	}
	if _, err := exec.LookPath("apt-get"); err != nil || os.Geteuid() != 0 {
		return "", fmt.Errorf("%s is needed and can't be installed from here (%w): install it, "+
			"on Debian with `apt-get install --no-install-recommends %s`", what, lookErr, pkg)
	}
	err := t.progress.Step("installing "+pkg, func() error { return install(what, pkg) })
	if err != nil {
		return "", err
	}
	path, lookErr = look(name)
	if lookErr != nil {
		return "", fmt.Errorf("%s is missing although package %s is installed: %w", what, pkg, lookErr)
	}
	return path, nil
}

func install(what, pkg string) error {
	args := []string{"install", "-y", "-qq", "--no-install-recommends", pkg}
	if _, err := aptGet(args...); err == nil {
		return nil
	}
	// The package lists may be missing or out of date.
	if out, err := aptGet("update", "-qq"); err != nil {
		return fmt.Errorf("install %s: apt-get update: %w\n%s", what, err, out)
	}
	if out, err := aptGet(args...); err != nil {
		return fmt.Errorf("install %s: apt-get install %s: %w\n%s", what, pkg, err, out)
	}
	return nil
}

func aptGet(args ...string) ([]byte, error) {
	cmd := exec.Command("apt-get", args...)
	cmd.Env = append(os.Environ(), "DEBIAN_FRONTEND=noninteractive")
	return cmd.CombinedOutput()
}

// lookStaticBusybox finds a busybox that runs in an image with nothing else in it: one
// that asks for no dynamic loader.
func lookStaticBusybox(name string) (string, error) {
	path, err := exec.LookPath(name)
	if err != nil {
		return "", err
	}
	f, err := elf.Open(path)
	if err != nil {
		return "", fmt.Errorf("%s: %w", path, err)
	}
	defer f.Close()
	for _, p := range f.Progs {
		if p.Type == elf.PT_INTERP {
			return "", fmt.Errorf("%s is dynamically linked", path)
		}
	}
	return path, nil
}
