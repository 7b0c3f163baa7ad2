package frontend

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/moby/buildkit/frontend/gateway/client"
	"github.com/moby/buildkit/frontend/subrequests"
	"github.com/moby/buildkit/solver/errdefs"

	"github.com/policy-frontend/policy-frontend/policy"
)

// PolicySubrequest asks for the policy's decision on a build, without building: `docker buildx
// build --call=policy`.
const PolicySubrequest = "frontend.policy"

// Keys of a subrequest's result (buildx, commands/build.go, printResult).
const (
	keyRequestID     = "requestid"
	metaResultText   = "result.txt"
	metaResultJSON   = "result.json"
	metaResultStatus = "result.statuscode"
	metaVersion      = "version"
)

const policySubrequestVersion = "1.0.0"

// policySubrequest is how PolicySubrequest is listed among the subrequests of a frontend.
var policySubrequest = subrequests.Request{
	Name:        PolicySubrequest,
	Version:     policySubrequestVersion,
	Type:        subrequests.TypeRPC,
	Description: "Say which frontend would run, and why or why not",
	Metadata: []subrequests.Named{
		{Name: metaResultJSON}, {Name: metaResultText}, {Name: metaResultStatus},
	},
}

func (b *build) subrequest() string { return b.opts.Get(keyRequestID) }

// Answer is the JSON that PolicySubrequest returns: the decision, and where the frontend was
// requested.
type Answer struct {
	policy.Decision
	// AskedBy is for example "line 1 of Dockerfile".
	AskedBy string `json:"askedBy,omitempty"`
}

// answer returns the result of PolicySubrequest. Its status is 0 if the build may run, 1 otherwise.
func (b *build) answer(
	ctx context.Context, from origin, d policy.Decision,
) (*client.Result, error) {
	askedBy, _ := from.locate(ctx, b.file)
	a := Answer{Decision: d, AskedBy: askedBy.String()}
	dt, err := json.MarshalIndent(a, "", "  ")
	if err != nil {
		return nil, fmt.Errorf("internal: decision: %w", err)
	}
	status := "0"
	if !d.Verdict.Permits() {
		status = "1"
	}
	res := client.NewResult()
	res.AddMeta(metaResultText, []byte(d.Text(a.AskedBy)+"\n"))
	res.AddMeta(metaResultJSON, dt)
	res.AddMeta(metaResultStatus, []byte(status))
	res.AddMeta(metaVersion, []byte(policySubrequestVersion))
	return report(res, d)
}

// describe adds PolicySubrequest to the inner frontend's list of subrequests. An inner frontend
// that can't list them gets a new list.
func describe(res *client.Result, err error) (*client.Result, error) {
	var noCap *errdefs.UnsupportedFrontendCapError
	var noRequest *errdefs.UnsupportedSubrequestError
	all := []subrequests.Request{}
	switch {
	case errors.As(err, &noCap), errors.As(err, &noRequest):
		res = client.NewResult()
		res.AddMeta(metaVersion, []byte(subrequests.SubrequestsDescribeDefinition.Version))
		all = append(all, subrequests.SubrequestsDescribeDefinition)
	case err != nil:
		return nil, err
	case len(res.Metadata[metaResultJSON]) > 0:
		if err := json.Unmarshal(res.Metadata[metaResultJSON], &all); err != nil {
			return nil, fmt.Errorf("the inner frontend's list of subrequests: %w", err)
		}
	}
	dt, err := json.MarshalIndent(append(all, policySubrequest), "", "  ")
	if err != nil {
		return nil, err
	}
	var text bytes.Buffer
	if err := subrequests.PrintDescribe(dt, &text); err != nil {
		return nil, err
	}
	res.AddMeta(metaResultJSON, dt)
	res.AddMeta(metaResultText, text.Bytes())
	return res, nil
}
