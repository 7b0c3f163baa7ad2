// Command waiter is a frontend that waits for a step of its own, a sleep of as
// many seconds as the build-arg SECONDS says, before it answers.
package main

import (
	"context"
	"fmt"
	"os"

	"github.com/moby/buildkit/client/llb"
	"github.com/moby/buildkit/frontend/gateway/client"
	"github.com/moby/buildkit/frontend/gateway/grpcclient"
	"github.com/moby/buildkit/util/appcontext"
	_ "github.com/moby/buildkit/util/grpcutil/encoding/proto"
)

func main() {
	if err := grpcclient.RunFromEnvironment(appcontext.Context(), build); err != nil {
		fmt.Fprintln(os.Stderr, "waiter:", err)
		os.Exit(1)
	}
}

func build(ctx context.Context, c client.Client) (*client.Result, error) {
	step := llb.Image("docker.io/library/busybox:latest").
		Run(llb.Args([]string{"/bin/sleep", c.BuildOpts().Opts["build-arg:SECONDS"]}))
	def, err := step.Marshal(ctx)
	if err != nil {
		return nil, err
	}
	return c.Solve(ctx, client.SolveRequest{Definition: def.ToPB(), Evaluate: true})
}
