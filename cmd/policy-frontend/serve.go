package main

import (
	"context"
	"fmt"
	"io"
	"os/signal"
	"syscall"

	"github.com/moby/buildkit/frontend/gateway/grpcclient"
	// BuildKit's own messages are marshalled by generated code instead of reflection.
	_ "github.com/moby/buildkit/util/grpcutil/encoding/proto"

	"github.com/policy-frontend/policy-frontend/frontend"
)

// serve answers the one build for which BuildKit started this process, over
// stdin and stdout. Whatever the build ends with has reached the client when serve
// returns; stderr is the daemon's log.
func serve(log io.Writer) int {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer stop()
	if err := grpcclient.RunFromEnvironment(ctx, frontend.Build); err != nil {
		fmt.Fprintln(log, "policy-frontend:", err)
		return 1
	}
	return 0
}
