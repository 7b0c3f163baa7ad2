package harness

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"

	"github.com/policy-frontend/policy-frontend/integration/harness/provision"
)

const (
	// rootlessUser exists in the daemon's mount namespace only. Distributions give
	// nobody its id or the ids that it may map into a user namespace.
	rootlessUser     = "buildkit"
	rootlessID       = 2_000_000_000
	rootlessSubIDs   = 2_000_100_000
	rootlessSubCount = 65_536
)

// asRootless starts the program that the arguments after it name as rootlessUser, in a
// mount namespace in which that user exists. The machine's own files stay as they are, and
// nothing is left when the daemon has ended. The programs are mounted into the daemon's
// directory, because the user may not read the directories above them. On some machines only root
// may use the device of RootlessKit's network.
const asRootless = `
dir=$1 id=$2 rootlesskit=$3 buildkitd=$4 net=$5 inside=$6
for name in passwd group subuid subgid; do mount --bind "$dir/etc/$name" "/etc/$name"; done
mount --bind "$rootlesskit" "$dir/rootlesskit"
mount --bind "$buildkitd" "$dir/buildkitd"
mknod -m 666 "$dir/tun" c 10 200
mount --bind "$dir/tun" /dev/net/tun
exec setpriv --reuid="$id" --regid="$id" --clear-groups --pdeathsig=TERM -- \
	"$dir/rootlesskit" --net="$net" --state-dir="$dir/rootlesskit.state" \
	sh -ec "$inside" sh "$dir/buildkitd" --config "$dir/buildkitd.toml"
`

const (
	// ownNetwork is a network of RootlessKit's, which BuildKit's documentation recommends
	// (docs/rootless.md). Only in a network of its own a rootless daemon can make the devices of its
	// build proxy.
	ownNetwork  = "gvisor-tap-vsock"
	hostNetwork = "host"
)

// inOwnNetwork starts the program that its arguments name. The loopback addresses of its network
// lead to those of the machine, where the tests' servers are, by the address that RootlessKit
// gives the machine.
const inOwnNetwork = `
echo 1 >/proc/sys/net/ipv4/conf/all/route_localnet
nft -f - <<-end
	table ip loopback {
		chain output {
			type nat hook output priority -100
			ip daddr 127.0.0.1 meta l4proto { tcp, udp } dnat to 10.0.2.1
		}
		chain postrouting {
			type nat hook postrouting priority 100
			ip daddr 10.0.2.1 masquerade
		}
	}
end
exec "$@"
`

// withResolver starts the program that the arguments after a file name, with that file in the place
// of /etc/resolv.conf.
const withResolver = `
mount --bind "$1" /etc/resolv.conf
shift
exec "$@"
`

// daemonCommand returns the command line of a daemon whose configuration is in dir. It
// puts everything else that the daemon needs there.
func daemonCommand(
	program provision.Daemon, cfg DaemonConfig, dir string,
) (*exec.Cmd, error) {
	env := []string{"PATH=" + os.Getenv("PATH"), "HOME=" + dir, "TMPDIR=" + filepath.Join(dir, "tmp")}
	cmd := exec.Command(program.Path, "--config", filepath.Join(dir, configName))
	if cfg.Resolver != "" {
		inMounts := []string{"--mount", "--propagation=private", "sh", "-ec", withResolver, "sh"}
		cmd = exec.Command("unshare", slices.Concat(inMounts, []string{cfg.Resolver}, cmd.Args)...)
	}
	if program.Rootlesskit != "" {
		if err := rootlessFiles(dir); err != nil {
			return nil, err
		}
		network, inside := ownNetwork, inOwnNetwork
		if cfg.InHostNetwork {
			network, inside = hostNetwork, `exec "$@"`
		}
		cmd = exec.Command("unshare", "--mount", "--propagation=private", "sh", "-ec", asRootless, "sh",
			dir, fmt.Sprint(rootlessID), program.Rootlesskit, program.Path, network, inside)
		env = append(env, "USER="+rootlessUser, "XDG_RUNTIME_DIR="+filepath.Join(dir, "run"))
	}
	cmd.Env = env
	return cmd, nil
}

// rootlessFiles puts the user's entries and the mount points into dir, and gives dir to
// the user.
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
		data := []byte(strings.TrimRight(string(theirs), "\n") + "\n" + entry)
		if err := os.WriteFile(file, data, 0o644); err != nil { //nolint:gosec // as in /etc
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
