package frontend

import (
	"context"
	"errors"
	"fmt"
	"net"
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
)

// Serve answers the one build for which the daemon started this process. Conn is
// the process's stdin and stdout, environ its environment. When Serve returns,
// the daemon has what the build ends with; the error is the same one.
//
// grpcclient.RunFromEnvironment would do for a frontend that only asks. One that
// hands on what others ask needs the connection itself: their errors have to cross
// without being taken apart and put together again.
func (f Frontend) Serve(ctx context.Context, conn net.Conn, environ []string) error {
	env := gatewayopts.FromEnviron(environ)
	if env.Product != "" {
		apicaps.ExportedProduct = env.Product
	}
	cc, err := dial(conn)
	if err != nil {
		return err
	}
	// It stays open until the process ends: the daemon takes an earlier end for a crash.
	f.bridge = &bridge{
		LLBBridgeClient: gwpb.NewLLBBridgeClient(typedErrors{cc}),
		raw:             gwpb.NewLLBBridgeClient(cc),
		environment:     env,
	}
	c, err := grpcclient.New(ctx, env.Options, env.Session, env.Product, f.bridge, env.Workers)
	if err != nil {
		return fmt.Errorf("failed to talk to the daemon: %w", err)
	}
	err = c.Run(ctx, f.Build)
	// Daemons up to v0.30, at least, do not expect that a container is released while they
	// clean up after our own (frontend/gateway/gateway.go, Discard).
	f.bridge.releases.Wait()
	return err
}

// bridge is the daemon's end of the gateway. Its own calls are those of grpcclient,
// whose errors have types; raw is for calls that are passed on.
type bridge struct {
	gwpb.LLBBridgeClient
	raw         gwpb.LLBBridgeClient
	environment gatewayopts.Environment
	result      atomic.Pointer[gwpb.Result]
	pong        atomic.Pointer[gwpb.PongResponse]
	releases    sync.WaitGroup // of containers, that go on while the result is returned
}

// Ping asks the daemon once what it can do; it doesn't change while it runs.
func (b *bridge) Ping(ctx context.Context, req *gwpb.PingRequest, opts ...grpc.CallOption) (*gwpb.PongResponse, error) {
	if known := b.pong.Load(); known != nil {
		return known, nil
	}
	pong, err := b.LLBBridgeClient.Ping(ctx, req, opts...)
	if err == nil {
		b.pong.Store(pong)
	}
	return pong, err
}

// handOver keeps the result of a frontend that a broker served until Return, and
// answers what Build has to return for it. A client.Result can't hold references
// that grpcclient didn't make.
func (b *bridge) handOver(res *gwpb.Result) *client.Result {
	b.result.Store(res)
	placeholder := client.NewResult()
	for k, v := range res.Metadata {
		placeholder.AddMeta(k, v)
	}
	return placeholder
}

// Return ends the build: with the result that was handed over, if there is one, and
// the metadata that has been added to it since. What its references are made of is not
// sent along: the daemon knows them by their ids (frontend/gateway/gateway.go, Return).
func (b *bridge) Return(ctx context.Context, req *gwpb.ReturnRequest, opts ...grpc.CallOption) (*gwpb.ReturnResponse, error) {
	if handed := b.result.Load(); handed != nil && req.Result != nil {
		handed.Metadata = req.Result.Metadata
		req = &gwpb.ReturnRequest{Result: handed}
	}
	for ref := range refsOf(req.Result) {
		ref.Def = nil
	}
	return b.LLBBridgeClient.Return(ctx, req, opts...)
}

// Windows of flow control, in bytes: how much of a stream, and of all, is under way
// before who sends it has to wait. The pipes between us and whoever is at the other end
// are slow to answer; and a size that is given saves the pings that find one.
const (
	streamWindow = 1 << 20
	connWindow   = 4 << 20
)

// dial makes a client of a connection that exists already. There is no second one:
// a client that has idled or failed must not dial again.
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

// typedErrors gives the errors of calls the types that crossed the connection with
// them, as the interceptors of package grpcerrors do for a whole connection.
type typedErrors struct{ grpc.ClientConnInterface }

func (c typedErrors) Invoke(ctx context.Context, method string, args, reply any, opts ...grpc.CallOption) error {
	return grpcerrors.FromGRPC(c.ClientConnInterface.Invoke(ctx, method, args, reply, opts...))
}

func (c typedErrors) NewStream(ctx context.Context, desc *grpc.StreamDesc, method string, opts ...grpc.CallOption) (grpc.ClientStream, error) {
	s, err := c.ClientConnInterface.NewStream(ctx, desc, method, opts...)
	return s, grpcerrors.ToGRPC(ctx, err)
}
