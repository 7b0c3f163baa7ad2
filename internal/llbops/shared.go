package llbops

import (
	"fmt"

	"github.com/moby/buildkit/solver/pb"
	"github.com/opencontainers/go-digest"
)

// maxName bounds the name of an operation, in names of others.
const maxName = 64 << 10

// Shared describes what a definition uses that the daemon shares between clients, or returns "". It
// is for definitions that [FromDefinition] yields without an unknown operation. The phrase
// completes "it asks for …".
//
// A cache mount has one name for all clients, and to ignore the cache empties it for all of them
// (solver/llbsolver/vertex.go, detectPrunedCacheID). What a command gets by hosts, a proxy or a
// control group of its choice is cached for other commands that differ in nothing else
// (solver/llbsolver/ops/exec.go, CacheMap). Devices of the daemon may need no entitlement.
//
// Limits of a step hold for the same step of another build (solver/jobs.go, loadUnlocked). The name
// of a merge has the names of all that is merged, so the daemon's memory bounds how merges can be
// nested (solver/llbsolver/vertex.go, llbOpName).
func Shared(def *pb.Definition) (string, error) {
	for _, m := range def.GetMetadata() {
		if m.GetLinuxResources() != nil {
			return "limits for a command, which would hold for the same command of other clients", nil
		}
	}
	names := map[string]int{}
	for i, dt := range def.GetDef() {
		op, err := readOp(dt, withOperations)
		if err != nil {
			return "", fmt.Errorf("operation %d of the definition can't be read: %w", i+1, err)
		}
		if what := sharedBy(op.GetExec()); what != "" {
			return what, nil
		}
		d := digest.FromBytes(dt).String()
		names[d] = len(def.GetMetadata()[d].GetDescription()["llb.customname"])
		if names[d] == 0 {
			names[d] = 1
			if op.GetMerge() != nil || op.GetDiff() != nil {
				for _, in := range op.GetInputs() {
					names[d] += names[in.GetDigest()]
				}
			}
		}
		if names[d] > maxName {
			return "merges or differences that are nested too deeply", nil
		}
	}
	return "", nil
}

func sharedBy(exec *pb.ExecOp) string {
	for _, m := range exec.GetMounts() {
		if m.GetMountType() == pb.MountType_CACHE {
			return "a cache mount, which is one for all clients"
		}
	}
	meta := exec.GetMeta()
	switch {
	case len(exec.GetCdiDevices()) > 0:
		return "a command with devices of the builder"
	case meta.GetCgroupParent() != "":
		return "a command in a control group of its choice"
	case len(meta.GetExtraHosts()) > 0:
		return "a command with addresses for hosts, whose result would be cached for all clients"
	case meta.GetProxyEnv() != nil:
		return "a command with a proxy, whose result would be cached for all clients"
	}
	return ""
}
