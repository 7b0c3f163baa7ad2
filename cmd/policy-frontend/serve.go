package main

import (
	"context"
	"fmt"
	"io"
	"net"
	"os"
	"os/signal"
	"runtime/debug"
	"syscall"
	"time"

	// BuildKit's own messages are marshalled by generated code instead of reflection.
	_ "github.com/moby/buildkit/util/grpcutil/encoding/proto"

	"github.com/policy-frontend/policy-frontend/frontend"
)

// serve answers the one build for which BuildKit started this process, over
// stdin and stdout. Whatever the build ends with has reached the client when serve
// returns; stderr is the daemon's log.
func serve(log io.Writer) int {
	debug.SetGCPercent(gcPercent)
	debug.SetMemoryLimit(memoryLimit)
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer stop()
	f := frontend.Frontend{PolicyPath: frontend.DefaultPolicyPath, Log: log}
	if err := f.Serve(ctx, stdio{}, os.Environ()); err != nil {
		fmt.Fprintln(log, "policy-frontend:", err)
		return 1
	}
	return 0
}

// When garbage is collected. The process of a small build ends before there is enough
// of it to be worth the time: gcPercent is Go's GOGC. With large definitions, what is held
// is mostly their bytes on their way, of which it is cheap to collect the garbage:
// memoryLimit, in bytes, is from where on that is done eagerly. It limits nothing: what is
// needed beyond it is had.
const (
	gcPercent   = 400
	memoryLimit = 24 << 20
)

// stdio is the connection to the daemon. It has no address and no deadline.
type stdio struct{}

func (stdio) Read(b []byte) (int, error)       { return os.Stdin.Read(b) }
func (stdio) Write(b []byte) (int, error)      { return os.Stdout.Write(b) }
func (stdio) Close() error                     { return os.Stdout.Close() }
func (stdio) LocalAddr() net.Addr              { return stdioAddr{} }
func (stdio) RemoteAddr() net.Addr             { return stdioAddr{} }
func (stdio) SetDeadline(time.Time) error      { return nil }
func (stdio) SetReadDeadline(time.Time) error  { return nil }
func (stdio) SetWriteDeadline(time.Time) error { return nil }

type stdioAddr struct{}

func (stdioAddr) Network() string { return "stdio" }
func (stdioAddr) String() string  { return "stdin and stdout" }
