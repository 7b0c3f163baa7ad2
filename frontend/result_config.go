package frontend

import (
	"encoding/json"
	"errors"
	"maps"
	"slices"
	"strings"

	"github.com/moby/buildkit/exporter/containerimage/exptypes"
	gwpb "github.com/moby/buildkit/frontend/gateway/pb"

	"github.com/policy-frontend/policy-frontend/internal/gatewayresult"
	"github.com/policy-frontend/policy-frontend/internal/llbops"
	"github.com/policy-frontend/policy-frontend/policy/buildrules"
)

// configsOf returns the operations for all image configurations in a result, and for an empty one
// of each platform that has none. The error completes "it asks for …".
//
// An exporter chooses a configuration by refs.platforms, by the configurations themselves, and by
// the number of refs (exporter/containerimage/exptypes, ParsePlatforms and ParseKey; solver/result,
// FindRef). So every configuration in the result must be allowed. A result without refs is an empty
// image, unless it answers a subrequest. The target is the option of the frontend that returns it.
func configsOf(res *gwpb.Result, target string, subrequest bool) ([]buildrules.Operation, error) {
	var found []buildrules.Operation
	metadata := res.GetMetadata()
	for _, key := range slices.Sorted(maps.Keys(metadata)) {
		rest, ok := strings.CutPrefix(key, exptypes.ExporterImageConfigKey)
		if platform, of := strings.CutPrefix(rest, "/"); ok && (of || rest == "") {
			found = append(found, llbops.FromConfig(target, platform, metadata[key]))
		}
	}
	if _, all := metadata[exptypes.ExporterImageConfigKey]; all {
		return found, nil
	}
	dt, listed := metadata[exptypes.ExporterPlatformsKey]
	if !listed {
		if subrequest && len(found) == 0 && !hasRefs(res) {
			return nil, nil
		}
		return append(found, llbops.FromConfig(target, "", nil)), nil // for the daemon's own platform
	}
	var ps exptypes.Platforms
	if err := json.Unmarshal(dt, &ps); err != nil {
		return nil, errors.New("an image whose platforms can't be read")
	}
	for _, p := range ps.Platforms {
		if _, ok := metadata[exptypes.ExporterImageConfigKey+"/"+p.ID]; !ok {
			found = append(found, llbops.FromConfig(target, p.ID, nil))
		}
	}
	return found, nil
}

// hasRefs reports whether a result has a reference that isn't empty.
func hasRefs(res *gwpb.Result) bool {
	for ref := range gatewayresult.References(res) {
		if ref.GetId() != "" {
			return true
		}
	}
	for id := range deprecatedRefsOf(res) {
		if id != "" {
			return true
		}
	}
	return false
}

// predicateSPDX is intoto.PredicateSPDX of in-toto-golang.
const predicateSPDX = "https://spdx.dev/Document"

// scannerOf returns the image with which the daemon itself makes the SBOM that the client asks for,
// "" if it makes none. The error completes "it asks for …".
//
// The daemon makes one if the frontend didn't (control/control.go, Solve;
// solver/llbsolver/proc/sbom.go). Nothing else checks that image.
func scannerOf(opts map[string]string, res *gwpb.Result) (string, error) {
	if !hasRefs(res) {
		return "", nil
	}
	for _, as := range res.GetAttestations() {
		for _, a := range as.GetAttestation() {
			if a.GetInTotoPredicateType() == predicateSPDX {
				return "", nil
			}
		}
	}
	return generatorOf(opts)
}
