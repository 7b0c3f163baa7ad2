package harness

import (
	"debug/elf"
	"errors"
	"fmt"
	"os"
	"os/exec"
)

// installFromDistribution finds the programs that are not built from Go
// modules and installs those that are missing. runc must be the
// distribution's: built from its module without libseccomp it can't run
// anything.
func (t *Tools) installFromDistribution(say func(string, ...any)) error {
	if _, err := exec.LookPath("git"); err != nil {
		return errors.New("git is not installed: the tests build from git contexts")
	}
	var err error
	if t.RunC, err = findOrInstall("runc", "runc", "runc", exec.LookPath, say); err != nil {
		return err
	}
	t.Busybox, err = findOrInstall("a static busybox", "busybox", "busybox-static", lookStaticBusybox, say)
	return err
}

// findOrInstall looks the program name up, and if it isn't there installs the
// Debian package pkg and looks again.
func findOrInstall(what, name, pkg string, look func(string) (string, error), say func(string, ...any)) (string, error) {
	path, lookErr := look(name)
	if lookErr == nil {
		return path, nil
	}
	if _, err := exec.LookPath("apt-get"); err != nil || os.Geteuid() != 0 {
		return "", fmt.Errorf("%s is needed and can't be installed from here (%w): install it, on Debian with "+
			"`apt-get install --no-install-recommends %s`", what, lookErr, pkg)
	}
	say("installing %s", pkg)
	install := []string{"install", "-y", "-qq", "--no-install-recommends", pkg}
	if _, err := aptGet(install...); err != nil {
		// The package lists may be missing or out of date.
		if out, err := aptGet("update", "-qq"); err != nil {
			return "", fmt.Errorf("install %s: apt-get update: %w\n%s", what, err, out)
		}
		if out, err := aptGet(install...); err != nil {
			return "", fmt.Errorf("install %s: apt-get install %s: %w\n%s", what, pkg, err, out)
		}
	}
	path, lookErr = look(name)
	if lookErr != nil {
		return "", fmt.Errorf("%s is missing although package %s is installed: %w", what, pkg, lookErr)
	}
	return path, nil
}

func aptGet(args ...string) ([]byte, error) {
	cmd := exec.Command("apt-get", args...)
	cmd.Env = append(os.Environ(), "DEBIAN_FRONTEND=noninteractive")
	return cmd.CombinedOutput()
}

// lookStaticBusybox finds a busybox that runs in an image with nothing else in
// it: one that asks for no dynamic loader.
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
