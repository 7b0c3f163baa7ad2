package main

import (
	"context"
	"io"
	"maps"
	"net"
	"os"
	"time"

	"github.com/moby/buildkit/client/llb"
	gwpb "github.com/moby/buildkit/frontend/gateway/pb"
	"github.com/moby/buildkit/solver/pb"
	"github.com/moby/buildkit/util/grpcerrors"
	_ "github.com/moby/buildkit/util/grpcutil/encoding/proto"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
)

// bridge is the gateway's API as it is on the wire. BuildKit's own client wouldn't send most of
// what the attacks send.
type bridge struct {
	gwpb.LLBBridgeClient
	options
	conn *grpc.ClientConn
}

// connect connects to the daemon, or to what replaces it, over stdin and stdout.
func connect(o options) (*bridge, error) { return connectBy(o, os.Stdin) }

func connectBy(o options, stdin io.Reader, more ...grpc.DialOption) (*bridge, error) {
	conn, err := grpc.NewClient("passthrough:///stdio", append([]grpc.DialOption{
		grpc.WithContextDialer(func(context.Context, string) (net.Conn, error) {
			return stdio{
				Reader: stdin,
			}, nil
		}),
		grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithUnaryInterceptor(grpcerrors.UnaryClientInterceptor),
		grpc.WithStreamInterceptor(grpcerrors.StreamClientInterceptor),
		grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(1<<30), grpc.MaxCallSendMsgSize(1<<30)),
	}, more...)...)
	if err != nil {
		return nil, err
	}
	return &bridge{LLBBridgeClient: gwpb.NewLLBBridgeClient(conn), options: o, conn: conn}, nil
}

// stdio is the connection to the daemon.
type stdio struct{ io.Reader }

func (stdio) Write(p []byte) (int, error)      { return os.Stdout.Write(p) }
func (stdio) Close() error                     { return os.Stdout.Close() }
func (stdio) LocalAddr() net.Addr              { return &net.UnixAddr{Name: "stdout"} }
func (stdio) RemoteAddr() net.Addr             { return &net.UnixAddr{Name: "stdin"} }
func (stdio) SetDeadline(time.Time) error      { return nil }
func (stdio) SetReadDeadline(time.Time) error  { return nil }
func (stdio) SetWriteDeadline(time.Time) error { return nil }

// change changes a request before it is sent.
type change func(*gwpb.SolveRequest)

func evaluated(r *gwpb.SolveRequest) { r.Evaluate = true }

// state solves a state. The daemon evaluates it later, unless a change says otherwise.
func (b *bridge) state(ctx context.Context, s llb.State, changes ...change) (*gwpb.Result, error) {
	def, err := s.Marshal(ctx)
	if err != nil {
		return nil, err
	}
	return b.definition(ctx, def.ToPB(), changes...)
}

func (b *bridge) definition(
	ctx context.Context, def *pb.Definition, changes ...change,
) (*gwpb.Result, error) {
	return b.solve(ctx, &gwpb.SolveRequest{Definition: def}, changes...)
}

func (b *bridge) solve(
	ctx context.Context, req *gwpb.SolveRequest, changes ...change,
) (*gwpb.Result, error) {
	req.AllowResultReturn, req.AllowResultArrayRef = true, true
	for _, c := range changes {
		c(req)
	}
	res, err := b.Solve(ctx, req)
	if err != nil {
		return nil, err
	}
	return res.Result, nil
}

// file builds an image with one file.
func (b *bridge) file(ctx context.Context, name, text string) (*gwpb.Result, error) {
	return b.state(ctx, llb.Scratch().File(llb.Mkfile(name, 0o644, []byte(text))))
}

// nested runs another frontend with these options. It leaves empty options out.
func (b *bridge) nested(
	ctx context.Context, source string, opts map[string]string, inputs map[string]*pb.Definition,
) (*gwpb.Result, error) {
	all := map[string]string{"source": source, "cmdline": source}
	maps.Copy(all, opts)
	maps.DeleteFunc(all, func(_, v string) bool { return v == "" })
	return b.solve(ctx, &gwpb.SolveRequest{
		Frontend:       "gateway.v0",
		FrontendOpt:    all,
		FrontendInputs: inputs,
	})
}

// id returns the ID of the only reference of a result.
func id(r *gwpb.Result) string { return r.GetRef().GetId() }
