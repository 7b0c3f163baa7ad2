// Package echo is a frontend that builds only a record of its call, so that tests can see what
// reached it.
package echo

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"runtime"
	"slices"

	"github.com/moby/buildkit/client/llb"
	"github.com/moby/buildkit/exporter/containerimage/exptypes"
	"github.com/moby/buildkit/frontend/gateway/client"
	gwpb "github.com/moby/buildkit/frontend/gateway/pb"
	ocispecs "github.com/opencontainers/image-spec/specs-go/v1"
)

const (
	// keyRequestID is the option that asks for a subrequest instead of a build (frontend/subrequests).
	keyRequestID = "requestid"
	// Subrequest is the only subrequest that the frontend answers. The answer is the options as JSON.
	Subrequest = "frontend.echo"
)

// Build returns the build function of a frontend. Its image has the given labels and two files. The
// file /opts.json is an object of the options. The file /inputs.json has the sorted names of the
// frontend inputs.
func Build(labels map[string]string) client.BuildFunc {
	return func(ctx context.Context, c client.Client) (*client.Result, error) {
		opts, err := json.MarshalIndent(c.BuildOpts().Opts, "", "  ")
		if err != nil {
			return nil, err
		}
		res := client.NewResult()
		switch id := c.BuildOpts().Opts[keyRequestID]; id {
		case "":
		case Subrequest:
			res.AddMeta("result.txt", opts)
			res.AddMeta("result.json", opts)
			return res, nil
		default:
			return nil, fmt.Errorf("unsupported subrequest %q", id)
		}
		inputs, err := inputNames(ctx, c)
		if err != nil {
			return nil, err
		}
		def, err := llb.Scratch().
			File(llb.Mkfile("/opts.json", 0o644, opts)).
			File(llb.Mkfile("/inputs.json", 0o644, inputs)).
			Marshal(ctx)
		if err != nil {
			return nil, err
		}
		solved, err := c.Solve(ctx, client.SolveRequest{Definition: def.ToPB()})
		if err != nil {
			return nil, err
		}
		ref, err := solved.SingleRef()
		if err != nil {
			return nil, err
		}
		config, err := json.Marshal(ocispecs.Image{
			Platform: ocispecs.Platform{OS: "linux", Architecture: runtime.GOARCH},
			Config:   ocispecs.ImageConfig{Labels: labels},
		})
		if err != nil {
			return nil, err
		}
		res.SetRef(ref)
		res.AddMeta(exptypes.ExporterImageConfigKey, config)
		return res, nil
	}
}

func inputNames(ctx context.Context, c client.Client) ([]byte, error) {
	names := []string{}
	caps := c.BuildOpts().Caps
	if caps.Supports(gwpb.CapFrontendInputs) == nil {
		inputs, err := c.Inputs(ctx)
		if err != nil {
			return nil, err
		}
		names = slices.AppendSeq(names, maps.Keys(inputs))
		slices.Sort(names)
	}
	return json.Marshal(names)
}
