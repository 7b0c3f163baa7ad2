package guard

import (
	"errors"

	controlapi "github.com/moby/buildkit/api/services/control"
	gwpb "github.com/moby/buildkit/frontend/gateway/pb"

	"github.com/policy-frontend/policy-frontend/internal/llbops"
)

// requestID is the option by which a frontend is asked for something else than a build, such as the
// list of its targets (frontend/subrequests).
const requestID = "requestid"

// keepHidden decides whether the history leaves a build out, as its client may ask (Internal), and
// reports it. buildx asks for that in builds that only find something out: capabilities of the
// daemon, remote bake files, images, and answers of frontends (--call). The history shows a build
// that has anything else to do.
func keepHidden(req *controlapi.SolveRequest, direct *gwpb.SolveRequest) bool {
	req.Internal = req.Internal && direct == nil && !goesSomewhere(req) &&
		len(req.Entitlements) == 0 && req.FrontendAttrs[optionSBOM] == ""
	return req.Internal
}

// goesSomewhere reports whether the result of a build or its cache is exported.
func goesSomewhere(req *controlapi.SolveRequest) bool {
	return len(req.Exporters) > 0 || len(req.Cache.GetExports()) > 0
}

// errHidden completes "policy-guard refuses it: ".
var errHidden = errors.New("the client keeps this build out of the history, so it may only read " +
	"sources and ask frontends for other things than a build (--call)")

// isHiddenResult reports whether a frontend has built a result that the history would leave out. It
// was asked for something else than a build, and not every frontend knows that.
func (b *build) isHiddenResult(res *gwpb.Result) bool {
	return b.hidden && len(references(res)) > 0
}

// checkHidden refuses what a build that the history leaves out may not do: steps.
func (b *build) checkHidden(req *gwpb.SolveRequest) error {
	if !b.hidden || req.Definition == nil && req.FrontendOpt[requestID] != "" {
		return nil
	}
	if req.Definition == nil {
		return errHidden
	}
	for f, err := range llbops.FromDefinition(req.Definition) {
		if err != nil {
			return err
		}
		if f.Source == nil {
			return errHidden
		}
	}
	return nil
}
