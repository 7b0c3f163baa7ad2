package frontend

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"sync"
	"sync/atomic"

	"github.com/containerd/containerd/v2/defaults"
	"github.com/moby/buildkit/frontend/gateway/client"
	"github.com/moby/buildkit/frontend/gateway/grpcclient"
	gwpb "github.com/moby/buildkit/frontend/gateway/pb"
	"github.com/moby/buildkit/util/apicaps"
	"github.com/moby/buildkit/util/grpcerrors"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	"github.com/policy-frontend/policy-frontend/internal/gatewaycodec"
	"github.com/policy-frontend/policy-frontend/internal/gatewayopts"
	"github.com/policy-frontend/policy-frontend/internal/gatewayresult"
)

// Serve answers the one build for which the daemon started this process. conn is the process's
// stdin and stdout, and environ its environment. When Serve returns, the daemon has the build's
// result or error; the error that Serve returns is the same one.
//
// grpcclient.RunFromEnvironment is enough for a frontend that only makes calls of its own. The
// policy frontend also passes on the calls of inner frontends, so it needs the connection itself:
// errors must cross it without being unpacked and packed again.
func (f Frontend) Serve(ctx context.Context, conn net.Conn, environ []string) error {
	env := gatewayopts.FromEnviron(environ)
	if env.Product != "" {
		apicaps.ExportedProduct = env.Product
	}
	cc, err := dial(conn)
	if err != nil {
		return err
	}
	// The connection stays open until the process ends. If it ends earlier, the daemon reports a
	// crash.
	f.bridge = &bridge{
		LLBBridgeClient: gwpb.NewLLBBridgeClient(typedErrors{cc}),
		raw:             gwpb.NewLLBBridgeClient(cc),
		environment:     env,
		memory:          processMemory,
		exit:            os.Exit,
	}
	c, err := grpcclient.New(ctx, env.Options, env.Session, env.Product, f.bridge, env.Workers)
	if err != nil {
		return fmt.Errorf("failed to talk to the daemon: %w", err)
	}
	err = c.Run(ctx, f.Build)
	// While the daemon cleans up after this process, no container may be released: at least
	// the daemons up to v0.30 don't expect it (frontend/gateway/gateway.go, Discard).
	f.bridge.releases.Wait()
	return err
}

// bridge is the daemon's end of the gateway. The policy frontend's own calls go through the
// embedded client, whose errors have types. Calls that are passed on go through raw.
type bridge struct {
	gwpb.LLBBridgeClient
	raw         gwpb.LLBBridgeClient
	environment gatewayopts.Environment
	result      atomic.Pointer[gwpb.Result]
	pong        atomic.Pointer[gwpb.PongResponse]
	memory      func() uint64  // of this process, in bytes
	exit        func(code int) // ends this process
	releases    sync.WaitGroup // of containers; they run while the result is returned
}

// Ping asks the daemon once for its capabilities, which don't change while it runs.
func (b *bridge) Ping(
	ctx context.Context, req *gwpb.PingRequest, opts ...grpc.CallOption,
) (*gwpb.PongResponse, error) {
	if known := b.pong.Load(); known != nil {
		return known, nil
	}
	pong, err := b.LLBBridgeClient.Ping(ctx, req, opts...)
	if err == nil {
		b.pong.Store(pong)
	}
	return pong, err
}

// handOver keeps the result of a frontend behind a broker until [bridge.Return]. It returns a
// placeholder for Build to return, with the result's metadata: a client.Result can only hold
// references that grpcclient made.
func (b *bridge) handOver(res *gwpb.Result) *client.Result {
	b.result.Store(res)
	placeholder := client.NewResult()
	for k, v := range res.Metadata {
		placeholder.AddMeta(k, v)
	}
	return placeholder
}

// Return ends the build. If a result was handed over, it returns that one with the metadata of the
// placeholder. It omits the definitions of references, because the daemon knows references by their
// ids (frontend/gateway/gateway.go, Return).
func (b *bridge) Return(
	ctx context.Context, req *gwpb.ReturnRequest, opts ...grpc.CallOption,
) (*gwpb.ReturnResponse, error) {
	if handed := b.result.Load(); handed != nil && req.Result != nil {
		handed.Metadata = req.Result.Metadata
		req = &gwpb.ReturnRequest{Result: handed}
	}
	for ref := range gatewayresult.References(req.Result) {
		ref.Def = nil
	}
	return b.LLBBridgeClient.Return(ctx, req, opts...)
}

// Windows of flow control in bytes, for one stream and for the whole connection. The sender waits
// when a window is full. The other end answers slowly through a pipe, so the windows are larger
// than the default. A fixed size also saves the pings that would find one.
const (
	streamWindow = 1 << 20
	connWindow   = 4 << 20
)

// dial makes a client for an existing connection. A client that was idle or failed can't dial
// again, because there is no second connection.
func dial(conn net.Conn) (*grpc.ClientConn, error) {
	var dialed atomic.Bool
	return grpc.NewClient("passthrough:///gateway",
		grpc.WithContextDialer(func(context.Context, string) (net.Conn, error) {
			if dialed.Swap(true) {
				return nil, errors.New("the daemon has closed the connection")
			}
			return conn, nil
		}),
		grpc.WithIdleTimeout(0),
		grpc.WithInitialWindowSize(streamWindow),
		grpc.WithInitialConnWindowSize(connWindow),
		grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithDefaultCallOptions(
			grpc.ForceCodecV2(gatewaycodec.New()),
			grpc.MaxCallRecvMsgSize(defaults.DefaultMaxRecvMsgSize),
			grpc.MaxCallSendMsgSize(defaults.DefaultMaxSendMsgSize)),
	)
}

// typedErrors gives the errors of calls the types that were sent with them, as the interceptors of
// package grpcerrors do for a whole connection.
type typedErrors struct{ grpc.ClientConnInterface }

func (c typedErrors) Invoke(
	ctx context.Context, method string, args, reply any, opts ...grpc.CallOption,
) error {
	return grpcerrors.FromGRPC(c.ClientConnInterface.Invoke(ctx, method, args, reply, opts...))
}

func (c typedErrors) NewStream(
	ctx context.Context, desc *grpc.StreamDesc, method string, opts ...grpc.CallOption,
) (grpc.ClientStream, error) {
	s, err := c.ClientConnInterface.NewStream(ctx, desc, method, opts...)
	return s, grpcerrors.ToGRPC(ctx, err)
}
