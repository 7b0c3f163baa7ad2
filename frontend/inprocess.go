package frontend

import (
	"bytes"
	"context"
	"strings"

	gwpb "github.com/moby/buildkit/frontend/gateway/pb"
	"github.com/moby/buildkit/util/grpcerrors"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/policy-frontend/policy-frontend/internal/expansion"
)

// inProcess connects the built-in Dockerfile frontend to a broker in the same process, so nothing
// is marshalled. It can't start processes, which that frontend never does.
//
// Calls skip [broker.rejectUnknown], which a server would run before each of them. Messages of the
// same program have no unknown fields. After a refusal the frontend returns the error by itself, or
// its context ends after [refusalGrace]. Until then the broker still checks every call, and the
// frontend's result no longer counts (see [build.serveInner]).
type inProcess struct {
	broker *broker
	args   map[string]string // the frontend's build-args
}

// typed gives an error its types, as the interceptor of a connection does.
func typed[T any](res T, err error) (T, error) { return res, grpcerrors.FromGRPC(err) }

func (c inProcess) ResolveImageConfig(
	ctx context.Context, req *gwpb.ResolveImageConfigRequest, _ ...grpc.CallOption,
) (*gwpb.ResolveImageConfigResponse, error) {
	return typed(c.broker.ResolveImageConfig(ctx, req))
}

func (c inProcess) ResolveSourceMeta(
	ctx context.Context, req *gwpb.ResolveSourceMetaRequest, _ ...grpc.CallOption,
) (*gwpb.ResolveSourceMetaResponse, error) {
	return typed(c.broker.ResolveSourceMeta(ctx, req))
}

func (c inProcess) Solve(
	ctx context.Context, req *gwpb.SolveRequest, _ ...grpc.CallOption,
) (*gwpb.SolveResponse, error) {
	return typed(c.broker.Solve(ctx, req))
}

func (c inProcess) ReadFile(
	ctx context.Context, req *gwpb.ReadFileRequest, _ ...grpc.CallOption,
) (*gwpb.ReadFileResponse, error) {
	res, err := c.broker.ReadFile(ctx, req)
	if err == nil {
		err = c.checkExpansion(ctx, req.FilePath, res.GetData())
	}
	return typed(res, err)
}

// checkExpansion refuses a Dockerfile whose variables expand to more than this process should hold.
// What isn't a Dockerfile is no matter here: the frontend reads it to find that out.
func (c inProcess) checkExpansion(ctx context.Context, name string, data []byte) error {
	if strings.HasSuffix(name, ".dockerignore") || !bytes.Contains(data, []byte("$")) {
		return nil
	}
	m := c.broker.monitor
	if stages, args, err := expansion.Stages(data); err == nil {
		err = expansion.Check(args, stages, c.args, int(m.budget.most>>20)/expansionShare)
		if err != nil {
			return c.broker.errorFor(ctx,
				m.refuseUnknown("a build file that takes too much memory: %v", err))
		}
	}
	return nil
}

// expansionShare is how much larger the memory for a build is than what its build file can expand
// to. Each line that the frontend expands is there for a moment, but commands keep theirs.
const expansionShare = 8

func (c inProcess) ReadDir(
	ctx context.Context, req *gwpb.ReadDirRequest, _ ...grpc.CallOption,
) (*gwpb.ReadDirResponse, error) {
	return typed(c.broker.ReadDir(ctx, req))
}

func (c inProcess) StatFile(
	ctx context.Context, req *gwpb.StatFileRequest, _ ...grpc.CallOption,
) (*gwpb.StatFileResponse, error) {
	return typed(c.broker.StatFile(ctx, req))
}

func (c inProcess) Evaluate(
	ctx context.Context, req *gwpb.EvaluateRequest, _ ...grpc.CallOption,
) (*gwpb.EvaluateResponse, error) {
	return typed(c.broker.Evaluate(ctx, req))
}

func (c inProcess) Ping(
	ctx context.Context, req *gwpb.PingRequest, _ ...grpc.CallOption,
) (*gwpb.PongResponse, error) {
	return typed(c.broker.Ping(ctx, req))
}

func (c inProcess) Return(
	ctx context.Context, req *gwpb.ReturnRequest, _ ...grpc.CallOption,
) (*gwpb.ReturnResponse, error) {
	return typed(c.broker.Return(ctx, req))
}

func (c inProcess) Inputs(
	ctx context.Context, req *gwpb.InputsRequest, _ ...grpc.CallOption,
) (*gwpb.InputsResponse, error) {
	return typed(c.broker.Inputs(ctx, req))
}

func (c inProcess) NewContainer(
	ctx context.Context, req *gwpb.NewContainerRequest, _ ...grpc.CallOption,
) (*gwpb.NewContainerResponse, error) {
	return typed(c.broker.NewContainer(ctx, req))
}

func (c inProcess) ReleaseContainer(
	ctx context.Context, req *gwpb.ReleaseContainerRequest, _ ...grpc.CallOption,
) (*gwpb.ReleaseContainerResponse, error) {
	return typed(c.broker.ReleaseContainer(ctx, req))
}

func (c inProcess) ReadFileContainer(
	ctx context.Context, req *gwpb.ReadFileRequest, _ ...grpc.CallOption,
) (*gwpb.ReadFileResponse, error) {
	return typed(c.broker.ReadFileContainer(ctx, req))
}

func (c inProcess) ReadDirContainer(
	ctx context.Context, req *gwpb.ReadDirRequest, _ ...grpc.CallOption,
) (*gwpb.ReadDirResponse, error) {
	return typed(c.broker.ReadDirContainer(ctx, req))
}

func (c inProcess) StatFileContainer(
	ctx context.Context, req *gwpb.StatFileRequest, _ ...grpc.CallOption,
) (*gwpb.StatFileResponse, error) {
	return typed(c.broker.StatFileContainer(ctx, req))
}

func (c inProcess) Warn(
	ctx context.Context, req *gwpb.WarnRequest, _ ...grpc.CallOption,
) (*gwpb.WarnResponse, error) {
	return typed(c.broker.Warn(ctx, req))
}

func (c inProcess) ExecProcess(
	context.Context, ...grpc.CallOption,
) (gwpb.LLBBridge_ExecProcessClient, error) {
	return nil, status.Error(codes.Unimplemented, "the built-in frontend can't start processes")
}
