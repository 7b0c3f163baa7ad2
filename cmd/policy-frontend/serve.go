package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/signal"
	"runtime/debug"
	"syscall"

	// With this codec, generated code marshals BuildKit's messages instead of reflection.
	_ "github.com/moby/buildkit/util/grpcutil/encoding/proto"

	"github.com/policy-frontend/policy-frontend/frontend"
	"github.com/policy-frontend/policy-frontend/internal/streamconn"
)

// serve serves the one build for which BuildKit started this process, over stdin and stdout.
// When it returns, the client has the build's result or error. log is stderr, which goes to
// the daemon's log. If fromGuard is set, policy-guard hands over the policy.
func serve(log io.Writer, fromGuard bool) int {
	debug.SetGCPercent(gcPercent)
	debug.SetMemoryLimit(memoryLimit)
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer stop()
	f := frontend.Frontend{
		Policy: frontend.PolicyFile(frontend.DefaultPolicyPath), PolicyFromGuard: fromGuard, Log: log,
		Version: version,
	}
	if err := f.Serve(ctx, streamconn.New(stdio{}, "stdin and stdout"), os.Environ()); err != nil {
		fmt.Fprintln(log, "policy-frontend:", err)
		return 1
	}
	return 0
}

const (
	// gcPercent is Go's GOGC. The process of a small build ends before collecting garbage is
	// worth the time.
	gcPercent = 400
	// memoryLimit, in bytes, is Go's GOMEMLIMIT. For a large definition, the heap is mostly
	// message buffers, which are cheap to collect, so the collector runs eagerly above this
	// limit. It is a soft limit; the process may exceed it.
	memoryLimit = 24 << 20
)

// stdio is the stream to the daemon.
type stdio struct{}

func (stdio) Read(b []byte) (int, error)  { return os.Stdin.Read(b) }
func (stdio) Write(b []byte) (int, error) { return os.Stdout.Write(b) }
func (stdio) Close() error                { return os.Stdout.Close() }
