package llbops

import (
	"fmt"
	"slices"
	"strings"

	"github.com/moby/buildkit/solver/pb"
	digest "github.com/opencontainers/go-digest"
	"google.golang.org/protobuf/encoding/protowire"

	"github.com/policy-frontend/policy-frontend/internal/apart"
)

// Kept is how the commands of a build are kept apart from those of builds with another id.
type Kept struct {
	// ID is "" if they aren't.
	ID string
	// CacheMounts is the namespace of the cache mounts, which docker/dockerfile puts before their
	// names.
	CacheMounts string
	// Exempt are commands of other builds, whose results this one builds on.
	Exempt map[digest.Digest]bool
}

// Apart describes why a definition doesn't keep its commands apart, or returns "". Each command has
// to have the host of the id and no other that is reserved; see package apart. Its cache mounts
// have to be in the namespace. Without an id, none may have a reserved host. The phrase completes
// "it asks for …".
func Apart(def *pb.Definition, k Kept) string {
	for _, dt := range def.GetDef() {
		if what := k.problem(dt); what != "" && !k.Exempt[digest.FromBytes(dt)] {
			return what
		}
	}
	return ""
}

// problem is [Apart] for an operation.
func (k Kept) problem(dt []byte) string {
	if k.ID == "" && !apart.MayHave(dt) {
		return "" // the bytes of a name are together, however an operation is written
	}
	op, err := readOp(dt, withCommands)
	switch {
	case err != nil || op == nil:
		return "an operation that can't be read, and may be a command that builds of others share"
	case op.GetBuild() != nil:
		return "a build of LLB that is made during the build (BuildOp)"
	case op.GetExec() == nil:
		return ""
	}
	hasHost := false
	for _, h := range op.GetExec().GetMeta().GetExtraHosts() {
		switch host := h.GetHost(); {
		case apart.Keeps(host, h.GetIP(), k.ID):
			hasHost = true
		case apart.IsReserved(host):
			return fmt.Sprintf("a command with an address for the host %s, which is policy-guard's",
				quote(host))
		}
	}
	switch {
	case k.ID == "":
		return ""
	case !hasHost:
		return "a command that isn't kept apart from those of other builds"
	}
	return ApartMounts(op.GetExec().GetMounts(), k)
}

// ApartMounts is [Apart] for the mounts of a command or of a container.
func ApartMounts(all []*pb.Mount, k Kept) string {
	if k.ID == "" {
		return ""
	}
	for _, m := range all {
		name := m.GetCacheOpt().GetID()
		if m.GetMountType() == pb.MountType_CACHE && !strings.HasPrefix(name, k.CacheMounts+"/") {
			return fmt.Sprintf("the cache mount %s, which other clients have too", quote(name))
		}
	}
	return ""
}

// withCommands accepts the fields that tell commands from other operations, and those of a command
// (solver/pb/ops.proto, Op).
func withCommands(field protowire.Number) bool {
	const source, file, merge, diff = 3, 4, 6, 7
	return field != source && field != file && field != merge && field != diff
}

// Commands returns the digests of the commands in definitions that [Identity] has returned.
func Commands(defs map[string]*pb.Definition) map[digest.Digest]bool {
	found := map[digest.Digest]bool{}
	for _, def := range defs {
		for _, dt := range def.GetDef() {
			if op, err := readOp(dt, withCommands); err == nil && op.GetExec() != nil {
				found[digest.FromBytes(dt)] = true
			}
		}
	}
	return found
}

// OwnCommands describes commands that a client sends by itself in a build whose commands are kept
// apart. The phrase completes "it asks for …".
const OwnCommands = "commands in LLB that no frontend made, which can't be kept apart from those of " +
	"builds under other rules"

// HasCommands reports whether a definition runs, or may run, commands.
func HasCommands(def *pb.Definition) bool {
	return slices.ContainsFunc(def.GetDef(), func(dt []byte) bool {
		op, err := readOp(dt, withCommands)
		return err != nil || op == nil || op.GetExec() != nil || op.GetBuild() != nil
	})
}
