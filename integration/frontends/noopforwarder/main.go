// Command noopforwarder runs another frontend as the policy frontend does, by rebinding its own
// source. It decides nothing, so benchmarks compare the policy frontend with it. The second field
// of the cmdline option names the inner frontend. The forwarder resolves it once and runs it by
// digest.
package main

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"strings"

	"github.com/distribution/reference"
	"github.com/moby/buildkit/client/llb/sourceresolver"
	"github.com/moby/buildkit/frontend/gateway/client"
	"github.com/moby/buildkit/frontend/gateway/grpcclient"
	gwpb "github.com/moby/buildkit/frontend/gateway/pb"
	"github.com/moby/buildkit/solver/pb"
	"github.com/moby/buildkit/util/appcontext"
	_ "github.com/moby/buildkit/util/grpcutil/encoding/proto"
)

const (
	keySource  = "source"
	keyCmdline = "cmdline"
)

func main() {
	if err := grpcclient.RunFromEnvironment(appcontext.Context(), build); err != nil {
		fmt.Fprintln(os.Stderr, "noopforwarder:", err)
		os.Exit(1)
	}
}

func build(ctx context.Context, c client.Client) (*client.Result, error) {
	opts := maps.Clone(c.BuildOpts().Opts)
	_, inner, ok := strings.Cut(opts[keyCmdline], " ")
	if !ok {
		return nil, errors.New("name the inner frontend after this one: " +
			"BUILDKIT_SYNTAX=\"<this> <inner>\"")
	}
	named, err := reference.ParseNormalizedNamed(inner)
	if err != nil {
		return nil, err
	}
	tagged := reference.TagNameOnly(named)
	// Ask for the configuration, because BuildKit returns neither a digest nor an error without it.
	md, err := c.ResolveSourceMetadata(ctx, &pb.SourceOp{
		Identifier: "docker-image://" + tagged.String(),
	}, sourceresolver.Opt{
		LogName:  "resolve " + inner,
		ImageOpt: &sourceresolver.ResolveImageOpt{ResolveMode: opts["image-resolve-mode"]},
	})
	if err != nil {
		return nil, err
	}
	if md.Image == nil || md.Image.Digest == "" {
		return nil, fmt.Errorf("%s has no digest", tagged)
	}
	source, err := reference.ParseNormalizedNamed(opts[keySource])
	if err != nil {
		return nil, err
	}
	pinned, err := reference.WithDigest(tagged, md.Image.Digest)
	if err != nil {
		return nil, err
	}
	opts[keyCmdline] = inner
	opts["context:"+strings.TrimSuffix(reference.FamiliarString(source),
		":latest")] = "docker-image://" + pinned.String()
	inputs, err := frontendInputs(ctx, c)
	if err != nil {
		return nil, err
	}
	return c.Solve(ctx, client.SolveRequest{
		Frontend:       "gateway.v0",
		FrontendOpt:    opts,
		FrontendInputs: inputs,
	})
}

func frontendInputs(ctx context.Context, c client.Client) (map[string]*pb.Definition, error) {
	inputs := map[string]*pb.Definition{}
	caps := c.BuildOpts().Caps
	if caps.Supports(gwpb.CapFrontendInputs) == nil {
		states, err := c.Inputs(ctx)
		if err != nil {
			return nil, err
		}
		for name, state := range states {
			def, err := state.Marshal(ctx)
			if err != nil {
				return nil, err
			}
			inputs[name] = def.ToPB()
		}
	}
	return inputs, nil
}
