package llbops

import (
	"slices"

	"github.com/moby/buildkit/solver/pb"
)

// Variables that BuildKit gives to the command that makes an SBOM
// (frontend/attestations/sbom/sbom.go). The values are directories in the command's container.
const (
	scanDestination = "BUILDKIT_SCAN_DESTINATION=/run/out/"
	scanSource      = "BUILDKIT_SCAN_SOURCE=/run/src/core/sbom"
)

// isScan reports whether a command looks like the one with which BuildKit makes an SBOM. Any
// frontend can make one that does, so it is only good for messages.
func isScan(op *pb.ExecOp) bool {
	env := op.GetMeta().GetEnv()
	return slices.Contains(env, scanDestination) && slices.Contains(env, scanSource)
}
