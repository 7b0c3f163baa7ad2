package llbops

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"

	gwpb "github.com/moby/buildkit/frontend/gateway/pb"
	"github.com/moby/buildkit/solver/pb"

	"github.com/policy-frontend/policy-frontend/internal/apart"
	"github.com/policy-frontend/policy-frontend/policy/buildrules"
)

// FromProcess returns the operation for a process in a container that a frontend starts for itself.
// If init is nil, it is the operation for the container alone.
func FromProcess(req *gwpb.NewContainerRequest, init *gwpb.InitMessage) buildrules.Operation {
	if HasUnknownFields(req) || (init != nil && HasUnknownFields(init)) {
		return unknown("a container with fields that this version does not know")
	}
	hosts := req.GetExtraHosts()
	if i := slices.IndexFunc(hosts, isReserved); i >= 0 {
		return unknown(fmt.Sprintf("a container with an address for the host %s, which is policy-guard's",
			quote(hosts[i].GetHost())))
	}
	exec, what := execOperation(command{
		mounts: req.GetMounts(), network: req.GetNetwork(), hosts: hosts,
		hostname: req.GetHostname(),
		meta:     init.GetMeta(), security: init.GetSecurity(), secretEnv: init.GetSecretenv(),
	})
	if what != "" {
		return unknown(what)
	}
	return buildrules.Operation{Container: exec}
}

// isReserved reports whether a host is one of those that [Apart] checks.
func isReserved(h *pb.HostIP) bool { return apart.IsReserved(h.GetHost()) }

// ofExec reads the command of a build step. What [Apart] checks is no matter of rules.
func ofExec(op *pb.ExecOp) buildrules.Operation {
	hosts := slices.DeleteFunc(slices.Clone(op.GetMeta().GetExtraHosts()), isReserved)
	exec, what := execOperation(command{
		mounts: op.GetMounts(), network: op.GetNetwork(), hosts: hosts,
		hostname: op.GetMeta().GetHostname(),
		meta:     op.GetMeta(), security: op.GetSecurity(), secretEnv: op.GetSecretenv(),
		devices: op.GetCdiDevices(),
	})
	if what != "" {
		return unknown(what)
	}
	return buildrules.Operation{Exec: exec}
}

// command has the fields that build steps and processes of containers share.
type command struct {
	mounts    []*pb.Mount
	network   pb.NetMode
	security  pb.SecurityMode
	hosts     []*pb.HostIP
	hostname  string
	meta      *pb.Meta
	secretEnv []*pb.SecretEnv
	devices   []*pb.CDIDevice
}

// execOperation reads a command. If a part is unknown, what describes it.
func execOperation(c command) (_ *buildrules.Exec, what string) {
	var exec buildrules.Exec
	switch c.network {
	case pb.NetMode_UNSET:
		exec.Network = buildrules.NetworkDefault
	case pb.NetMode_NONE:
		exec.Network = buildrules.NetworkNone
	case pb.NetMode_HOST:
		exec.Network = buildrules.NetworkHost
	default:
		return nil, "a command with the unknown network mode " + strconv.Itoa(int(c.network))
	}
	switch c.security {
	case pb.SecurityMode_SANDBOX:
	case pb.SecurityMode_INSECURE:
		exec.Insecure = true
	default:
		return nil, "a command with the unknown security mode " + strconv.Itoa(int(c.security))
	}
	for _, m := range c.mounts {
		if what := add(&exec, m); what != "" {
			return nil, what
		}
	}
	for _, s := range c.secretEnv {
		exec.Secrets = append(exec.Secrets, s.GetID())
	}
	for _, d := range c.devices {
		exec.Devices = append(exec.Devices, d.GetName())
	}
	for _, h := range c.hosts {
		exec.Hosts = append(exec.Hosts, h.GetHost())
	}
	// The daemon copies the host name to the hosts file, where white space makes more entries of it
	// (executor/oci/hosts.go).
	if words := strings.Fields(c.hostname); c.hostname != "" &&
		!slices.Equal(words, []string{c.hostname}) {
		exec.Hosts = append(exec.Hosts, c.hostname)
	}
	for _, u := range c.meta.GetUlimit() {
		limit(&exec, u)
	}
	exec.CgroupParent = c.meta.GetCgroupParent()
	return &exec, ""
}

// add adds what a mount gives to a command. If a part of the mount is unknown, what describes it.
func add(exec *buildrules.Exec, m *pb.Mount) (what string) {
	switch {
	case m.GetContentCache() < pb.MountContentCache_DEFAULT ||
		m.GetContentCache() > pb.MountContentCache_OFF,
		m.GetCacheOpt().GetSharing() < pb.CacheSharingOpt_SHARED ||
			m.GetCacheOpt().GetSharing() > pb.CacheSharingOpt_LOCKED:
		return "a mount with an unknown way to share"
	}
	switch m.GetMountType() {
	case pb.MountType_BIND, pb.MountType_CACHE, pb.MountType_TMPFS:
	case pb.MountType_SECRET:
		exec.Secrets = append(exec.Secrets, m.GetSecretOpt().GetID())
	case pb.MountType_SSH:
		exec.SSH = append(exec.SSH, cmp.Or(m.GetSSHOpt().GetID(), defaultSSH))
	default:
		return "a mount of the unknown type " + strconv.Itoa(int(m.GetMountType()))
	}
	return ""
}

// limit adds a resource limit as the daemon sets it. The daemon puts names in upper case, and takes
// a negative number for the highest one (executor/oci/spec_linux.go).
func limit(exec *buildrules.Exec, u *pb.Ulimit) {
	if exec.Ulimits == nil {
		exec.Ulimits = map[string]int{}
	}
	name := strings.ToLower(u.GetName())
	high := max(u.GetSoft(), u.GetHard())
	if before, again := exec.Ulimits[name]; again {
		high = max(high, int64(before))
	}
	if u.GetSoft() < 0 || u.GetHard() < 0 || exec.Ulimits[name] < 0 {
		high = -1
	}
	exec.Ulimits[name] = int(high)
}
