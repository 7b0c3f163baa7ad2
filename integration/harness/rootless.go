package harness

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

const (
	rootlesskitModule = "github.com/rootless-containers/rootlesskit/v3"

	// rootlessUser exists in the daemon's mount namespace only. Its id, and the
	// ids that it may map into a user namespace, are beyond what distributions give
	// to anybody.
	rootlessUser     = "buildkit"
	rootlessID       = 2_000_000_000
	rootlessSubIDs   = 2_000_100_000
	rootlessSubCount = 65_536
)

// rootless is what a buildkitd needs to run as an unprivileged user.
type rootless struct {
	rootlesskit string
}

// prepareRootless builds rootlesskit and makes sure that the distribution's setuid
// programs are there which give a user more ids than its own.
func (t *Tools) prepareRootless(say func(string, ...any)) (*rootless, error) {
	if _, err := findOrInstall("newuidmap", "newuidmap", "uidmap", exec.LookPath, say); err != nil {
		return nil, err
	}
	for _, program := range []string{"unshare", "setpriv", "mount"} {
		if _, err := exec.LookPath(program); err != nil {
			return nil, fmt.Errorf("a rootless buildkitd is started by %s, of util-linux: %w", program, err)
		}
	}
	r := &rootless{rootlesskit: filepath.Join(t.Root, stateDir, "bin", "rootlesskit")}
	return r, t.buildAll(filepath.Join(t.Root, compatDir, rootlessName), []program{{out: r.rootlesskit, pkg: rootlesskitModule + "/cmd/rootlesskit"}}, say)
}

// asRootless starts the program that the arguments after it name as rootlessUser,
// in a mount namespace where that user exists; the machine's own files stay as they
// are, and nothing is left when the daemon has ended. The programs are mounted into
// the daemon's folder, because the user may not get at where they are.
const asRootless = `
dir=$1 id=$2 rootlesskit=$3 buildkitd=$4
for name in passwd group subuid subgid; do mount --bind "$dir/etc/$name" "/etc/$name"; done
mount --bind "$rootlesskit" "$dir/rootlesskit"
mount --bind "$buildkitd" "$dir/buildkitd"
exec setpriv --reuid="$id" --regid="$id" --clear-groups --pdeathsig=TERM -- \
	"$dir/rootlesskit" --net=host --state-dir="$dir/rootlesskit.state" "$dir/buildkitd" --config "$dir/buildkitd.toml"
`

// command is the daemon's command line, with all that it needs in dir, where its
// configuration already is.
func (b buildkitd) command(dir string) (*exec.Cmd, error) {
	env := []string{"PATH=" + os.Getenv("PATH"), "HOME=" + dir, "TMPDIR=" + filepath.Join(dir, "tmp")}
	cmd := exec.Command(b.path, "--config", filepath.Join(dir, configName))
	if b.rootless != nil {
		if err := rootlessFiles(dir); err != nil {
			return nil, err
		}
		cmd = exec.Command("unshare", "--mount", "--propagation=private", "sh", "-ec", asRootless, "sh",
			dir, fmt.Sprint(rootlessID), b.rootless.rootlesskit, b.path)
		env = append(env, "USER="+rootlessUser, "XDG_RUNTIME_DIR="+filepath.Join(dir, "run"))
	}
	cmd.Env = env
	return cmd, nil
}

// rootlessFiles puts the user's entries and the mount points into dir, which then
// is the user's.
func rootlessFiles(dir string) error {
	for _, name := range []string{"etc", "run"} {
		if err := os.Mkdir(filepath.Join(dir, name), 0o700); err != nil {
			return err
		}
	}
	subIDs := fmt.Sprintf("%s:%d:%d\n", rootlessUser, rootlessSubIDs, rootlessSubCount)
	for name, entry := range map[string]string{
		"passwd": fmt.Sprintf("%s:x:%d:%d::%s:/bin/sh\n", rootlessUser, rootlessID, rootlessID, dir),
		"group":  fmt.Sprintf("%s:x:%d:\n", rootlessUser, rootlessID),
		"subuid": subIDs,
		"subgid": subIDs,
	} {
		theirs, err := os.ReadFile(filepath.Join("/etc", name))
		if err != nil {
			return err
		}
		file := filepath.Join(dir, "etc", name)
		if err := os.WriteFile(file, []byte(strings.TrimRight(string(theirs), "\n")+"\n"+entry), 0o644); err != nil { //nolint:gosec // as in /etc
			return err
		}
	}
	for _, name := range []string{"rootlesskit", "buildkitd"} {
		if err := os.WriteFile(filepath.Join(dir, name), nil, 0o600); err != nil {
			return err
		}
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	for _, entry := range entries {
		if err := os.Lchown(filepath.Join(dir, entry.Name()), rootlessID, rootlessID); err != nil {
			return err
		}
	}
	return os.Lchown(dir, rootlessID, rootlessID)
}
