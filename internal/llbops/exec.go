package llbops

import (
	"cmp"
	"slices"
	"strconv"
	"strings"

	gwpb "github.com/moby/buildkit/frontend/gateway/pb"
	"github.com/moby/buildkit/solver/pb"

	"github.com/policy-frontend/policy-frontend/policy/buildrules"
)

// FromProcess returns the operation of a process in a container that a frontend starts
// for itself; of the container alone if init is nil.
func FromProcess(req *gwpb.NewContainerRequest, init *gwpb.InitMessage) buildrules.Operation {
	if HasUnknownFields(req) || (init != nil && HasUnknownFields(init)) {
		return unknown("a container with fields that this version does not know")
	}
	exec, what := execOperation(command{
		mounts: req.GetMounts(), network: req.GetNetwork(), hosts: req.GetExtraHosts(),
		hostname: req.GetHostname(),
		meta:     init.GetMeta(), security: init.GetSecurity(), secretEnv: init.GetSecretenv(),
	})
	if what != "" {
		return unknown(what)
	}
	return buildrules.Operation{Container: exec}
}

// ofExec reads a command of a step.
func ofExec(op *pb.ExecOp) buildrules.Operation {
	exec, what := execOperation(command{
		mounts: op.GetMounts(), network: op.GetNetwork(), hosts: op.GetMeta().GetExtraHosts(),
		hostname: op.GetMeta().GetHostname(),
		meta:     op.GetMeta(), security: op.GetSecurity(), secretEnv: op.GetSecretenv(),
		devices: op.GetCdiDevices(),
	})
	if what != "" {
		return unknown(what)
	}
	return buildrules.Operation{Exec: exec}
}

// command is what steps and processes of containers have in common.
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

// execOperation reads a command, or says which part is unknown.
func execOperation(c command) (_ *buildrules.Exec, what string) {
	var f buildrules.Exec
	switch c.network {
	case pb.NetMode_UNSET:
		f.Network = buildrules.NetworkDefault
	case pb.NetMode_NONE:
		f.Network = buildrules.NetworkNone
	case pb.NetMode_HOST:
		f.Network = buildrules.NetworkHost
	default:
		return nil, "a command with the unknown network mode " + strconv.Itoa(int(c.network))
	}
	switch c.security {
	case pb.SecurityMode_SANDBOX:
	case pb.SecurityMode_INSECURE:
		f.Insecure = true
	default:
		return nil, "a command with the unknown security mode " + strconv.Itoa(int(c.security))
	}
	for _, m := range c.mounts {
		if what := add(&f, m); what != "" {
			return nil, what
		}
	}
	for _, s := range c.secretEnv {
		f.Secrets = append(f.Secrets, s.GetID())
	}
	for _, d := range c.devices {
		f.Devices = append(f.Devices, d.GetName())
	}
	for _, h := range c.hosts {
		f.Hosts = append(f.Hosts, h.GetHost())
	}
	// The daemon writes it to the file of hosts as it is, where what has white space in it
	// makes more entries (executor/oci/hosts.go).
	if words := strings.Fields(c.hostname); c.hostname != "" &&
		!slices.Equal(words, []string{c.hostname}) {
		f.Hosts = append(f.Hosts, c.hostname)
	}
	for _, u := range c.meta.GetUlimit() {
		limit(&f, u)
	}
	f.CgroupParent = c.meta.GetCgroupParent()
	return &f, ""
}

// add adds what a mount gives to a command, or says which part of the mount is unknown.
func add(f *buildrules.Exec, m *pb.Mount) (what string) {
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
		f.Secrets = append(f.Secrets, m.GetSecretOpt().GetID())
	case pb.MountType_SSH:
		f.SSH = append(f.SSH, cmp.Or(m.GetSSHOpt().GetID(), defaultSSH))
	default:
		return "a mount of the unknown type " + strconv.Itoa(int(m.GetMountType()))
	}
	return ""
}

// limit adds a resource limit, as the daemon sets it: it puts names in upper case,
// and a negative number is higher than all others (executor/oci/spec_linux.go).
func limit(f *buildrules.Exec, u *pb.Ulimit) {
	if f.Ulimits == nil {
		f.Ulimits = map[string]int{}
	}
	name := strings.ToLower(u.GetName())
	high := max(u.GetSoft(), u.GetHard())
	if before, again := f.Ulimits[name]; again {
		high = max(high, int64(before))
	}
	if u.GetSoft() < 0 || u.GetHard() < 0 || f.Ulimits[name] < 0 {
		high = -1
	}
	f.Ulimits[name] = int(high)
}
