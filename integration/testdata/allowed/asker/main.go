// Command asker is a frontend that calls another one and builds an image whose
// file /answer says which type of error came back.
//
// Options: ask is the source of the other frontend, ask-cmdline its cmdline and
// ask-requestid the question that it is asked, none for a build. With ask-fail, the build fails
// with the other frontend's error, as most frontends do.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"

	"github.com/moby/buildkit/client/llb"
	"github.com/moby/buildkit/frontend/gateway/client"
	"github.com/moby/buildkit/frontend/gateway/grpcclient"
	"github.com/moby/buildkit/solver/errdefs"
	"github.com/moby/buildkit/util/appcontext"
	_ "github.com/moby/buildkit/util/grpcutil/encoding/proto"
)

func main() {
	if err := grpcclient.RunFromEnvironment(appcontext.Context(), build); err != nil {
		fmt.Fprintln(os.Stderr, "asker:", err)
		os.Exit(1)
	}
}

func build(ctx context.Context, c client.Client) (*client.Result, error) {
	opts := c.BuildOpts().Opts
	ask := map[string]string{"source": opts["ask"], "cmdline": opts["ask-cmdline"]}
	if id := opts["ask-requestid"]; id != "" {
		ask["requestid"] = id
		ask["frontend.caps"] = "moby.buildkit.frontend.subrequests"
	}
	_, err := c.Solve(ctx, client.SolveRequest{Frontend: "gateway.v0", FrontendOpt: ask})
	if opts["ask-fail"] != "" && err != nil {
		return nil, err
	}
	answer := llb.Scratch().File(llb.Mkfile("/answer", 0o644, []byte(describe(err)+"\n")))
	def, err := answer.Marshal(ctx)
	if err != nil {
		return nil, err
	}
	return c.Solve(ctx, client.SolveRequest{Definition: def.ToPB()})
}

func describe(err error) string {
	var missing *errdefs.UnsupportedFrontendCapError
	switch {
	case err == nil:
		return "no error"
	case errors.As(err, &missing):
		return "unsupported frontend capability: " + missing.Name
	default:
		return "another error: " + err.Error()
	}
}
