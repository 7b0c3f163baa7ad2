package frontend

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/containerd/containerd/v2/defaults"
	"github.com/moby/buildkit/client/llb"
	gwpb "github.com/moby/buildkit/frontend/gateway/pb"
	"github.com/moby/buildkit/solver/errdefs"
	"github.com/moby/buildkit/solver/pb"
	"github.com/moby/buildkit/util/grpcerrors"
	ocispecs "github.com/opencontainers/image-spec/specs-go/v1"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/health"
	"google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/keepalive"
	"google.golang.org/protobuf/proto"

	"github.com/policy-frontend/policy-frontend/internal/gatewaycodec"
	"github.com/policy-frontend/policy-frontend/internal/gatewayopts"
	"github.com/policy-frontend/policy-frontend/internal/optionkeys"
	"github.com/policy-frontend/policy-frontend/internal/streamconn"
	"github.com/policy-frontend/policy-frontend/policy/imageref"
)

const (
	// innerUser is the user nobody in most images, and has no privileges in any.
	innerUser = "65534:65534"
	// metadataPath is the directory where a frontend finds the definition of its own image
	// (frontend/gateway/gateway.go, metadataMount).
	metadataPath = "/run/config/buildkit/metadata"
	metadataFile = "frontend.bin"
	// maxStreams is how many calls an inner frontend can make at the same time. Further ones wait
	// in a frontend that uses gRPC.
	maxStreams = 64
	// maxHeaders bounds the headers of a call, in bytes after decompression. gRPC stops reading
	// a call's headers there and resets the call. It closes the connection if twice as many bytes
	// arrive in one frame. Without it, gRPC holds 16 MiB for each call.
	maxHeaders = 16 << 10
	// unreadWindow is how many bytes of a call the connection takes before the broker reads
	// them. gRPC widens it for the request that it reads.
	unreadWindow = 64 << 10
	// ioBufferSize is how many bytes are read or written at once. Each read or write is one
	// message on the connection to the daemon.
	ioBufferSize = 256 << 10

	// returnGrace is how long a frontend may keep running after it returned its result. On a daemon
	// with many builds, the end of a container can take more than ten seconds.
	returnGrace = 30 * time.Second
	// closeGrace is how long it may keep running after it closed the connection without a result.
	closeGrace = 10 * time.Second
	// stdinCloseDelay is how long stdin stays open after the frontend returned its result,
	// because the frontend still has to read the answer.
	stdinCloseDelay = 300 * time.Millisecond
	// keepaliveTime is how long a frontend may be silent before the server pings it. A
	// frontend that doesn't answer for the same time again counts as gone.
	keepaliveTime = 20 * time.Second
	// releaseTimeout bounds the calls that release containers.
	releaseTimeout = 10 * time.Second
)

// mediate runs the inner frontend's image in a container of its own, as the gateway does
// (frontend/gateway/gateway.go, Solve), but without network and not as root. A broker serves the
// gateway API to it.
func (b *build) mediate(ctx context.Context, chosen admitted, m *monitor) (*gwpb.Result, error) {
	caps := b.client.BuildOpts().Caps
	if err := caps.Supports(gwpb.CapGatewayExec); err != nil {
		return nil, b.refuse(chosen.request, fmt.Errorf(
			"this BuildKit can't run it in a container of its own (dispatch: mediate): %w", err))
	}
	image, err := b.unpack(ctx, chosen)
	if err != nil {
		return nil, err
	}
	if err := b.supports(image.config); err != nil {
		return nil, err
	}
	opts := b.innerOptions(chosen)
	return b.serveInner(ctx, chosen, m, func(ctx context.Context, s *broker) error {
		id := rand.Text()
		defer b.releaseInner(ctx, id)
		_, err := b.bridge.NewContainer(ctx, &gwpb.NewContainerRequest{
			ContainerID: id,
			Network:     pb.NetMode_NONE,
			Mounts: []*pb.Mount{
				{Dest: pb.RootMount, ResultID: image.ref},
				{Dest: metadataPath, ResultID: image.metadata, Readonly: true},
			},
		})
		if err != nil {
			return fmt.Errorf("failed to make a container for the frontend %s: %w",
				chosen.pinned().Familiar(), err)
		}
		return b.superviseProcess(ctx, chosen, s, &gwpb.InitMessage{
			ContainerID: id,
			Security:    pb.SecurityMode_SANDBOX,
			Meta:        image.process(b.bridge.environment, opts),
		})
	})
}

// releaseInner ends the container of the inner frontend, which takes a while. If the build's result
// is ready, it is returned in the meantime.
func (b *build) releaseInner(ctx context.Context, id string) {
	if b.nested {
		release(ctx, b.bridge, id)
		return
	}
	b.bridge.releases.Go(func() { release(ctx, b.bridge, id) })
}

// innerImage is an inner frontend's image, ready to run.
type innerImage struct {
	ref      string // of its root file system
	metadata string // of the directory with its own definition
	config   ocispecs.ImageConfig
}

// unpack has the daemon load the image that is about to run. A source policy denies everything
// else, so the loaded image is the one that runs.
func (b *build) unpack(ctx context.Context, chosen admitted) (innerImage, error) {
	var image innerImage
	others := []func() error{func() (err error) {
		image.metadata, err = b.metadata(ctx, chosen.pinned())
		return err
	}}
	if chosen.config == nil { // the build named a digest, so nothing was resolved
		others = append(others, func() (err error) {
			_, chosen.config, err = b.resolve(ctx, chosen.request, chosen.pinned())
			return err
		})
	}
	err := b.loadGuarded(ctx, chosen, func(ctx context.Context, def *llb.Definition) error {
		res, err := b.bridge.Solve(ctx, &gwpb.SolveRequest{
			Definition: def.ToPB(), Evaluate: true, AllowResultReturn: true,
			SourcePolicies: onlyImage(chosen.pinned()),
		})
		image.ref = res.GetResult().GetRefDeprecated()
		return err
	}, others...)
	if err != nil {
		return image, err
	}
	var spec ocispecs.Image
	if err := json.Unmarshal(chosen.config, &spec); err != nil {
		return image, b.refuse(chosen.request,
			fmt.Errorf("its image has a configuration that can't be read: %w", err))
	}
	image.config = spec.Config
	return image, nil
}

// metadata makes a directory with the definition of a frontend's own image, from which the frontend
// can build (frontend/gateway/grpcclient, CurrentFrontend).
func (b *build) metadata(ctx context.Context, image imageref.Reference) (string, error) {
	dt, err := definitionOf(ctx, image)
	if err != nil {
		return "", err
	}
	return b.madeFile(ctx, metadataFile, dt, true)
}

// madeFile has the daemon make a file, and returns the reference of its directory. Without
// evaluate, the daemon makes it when something reads it.
func (b *build) madeFile(
	ctx context.Context, name string, data []byte, evaluate bool,
) (string, error) {
	mkfile := llb.Mkfile("/"+name, 0o444, data)
	file, err := llb.Scratch().File(mkfile, llb.WithCustomName("[policy] "+name)).Marshal(ctx)
	if err != nil {
		return "", err
	}
	resp, err := b.bridge.Solve(ctx, &gwpb.SolveRequest{
		Definition: file.ToPB(), Evaluate: evaluate, AllowResultReturn: true, AllowResultArrayRef: true,
	})
	return resp.GetResult().GetRef().GetId(), err
}

// definitionOf returns the definition of an image. Its bytes are the same each time. Otherwise the
// step that writes them would often miss the cache, and leave a record behind for each spelling.
func definitionOf(ctx context.Context, image imageref.Reference) ([]byte, error) {
	def, err := llb.Image(image.String()).Marshal(ctx)
	if err != nil {
		return nil, err
	}
	return proto.MarshalOptions{Deterministic: true}.Marshal(def.ToPB())
}

// process describes the frontend's process (frontend/gateway/gateway.go, Solve).
func (i innerImage) process(env gatewayopts.Environment, opts map[string]string) *pb.Meta {
	meta := &pb.Meta{
		Args: []string{"/run"},
		Cwd:  "/",
		User: innerUser,
		Env:  slices.Concat(i.config.Env, env.Environ(opts)),

		RemoveMountStubsRecursive: true,
	}
	if i.config.Entrypoint != nil {
		meta.Args = i.config.Entrypoint
	}
	if i.config.WorkingDir != "" {
		meta.Cwd = i.config.WorkingDir
	}
	return meta
}

// Labels and options of capabilities (frontend/gateway/gateway.go, getCaps).
const (
	labelCaps = "moby.buildkit.frontend.caps"
	capInputs = "moby.buildkit.frontend.inputs"
)

// supports fails as the gateway does if the build needs a capability that the frontend's image
// doesn't declare.
func (b *build) supports(config ocispecs.ImageConfig) error {
	has := capNames(config.Labels[labelCaps])
	needs := capNames(b.opts.Get(optionkeys.Caps))
	if len(b.inputs) > 0 {
		needs = append(needs, capInputs)
	}
	for _, c := range needs {
		if !slices.Contains(has, c) {
			err := errdefs.NewUnsupportedFrontendCapError(c)
			return grpcerrors.WrapCode(err, codes.Unimplemented)
		}
	}
	return nil
}

func capNames(list string) []string {
	var names []string
	for c := range strings.SplitSeq(list, ",") {
		if name, _, _ := strings.Cut(c, "+"); name != "" {
			names = append(names, name)
		}
	}
	return names
}

// superviseProcess starts the frontend's process and serves the gateway API to it until it has
// ended.
func (b *build) superviseProcess(
	ctx context.Context, chosen admitted, s *broker, init *gwpb.InitMessage,
) error {
	lastOutput := &tail{}
	ctx, kill := context.WithCancel(ctx)
	defer kill()
	p, err := startProcess(ctx, b.bridge.raw, init, io.MultiWriter(lastOutput, b.log))
	if err != nil {
		return err
	}
	server := s.server()
	served := make(chan struct{})
	go func() {
		defer close(served)
		// The returned result tells how the connection ended.
		_ = server.Serve(streamconn.Listen(streamconn.New(p, "inner frontend")))
	}()
	err = p.wait(ctx, s.returned)
	kill()
	server.Stop()
	<-served
	_ = p.Close() // the server may not have accepted it
	<-p.ended
	if err != nil {
		return &innerError{
			name: chosen.pinned().Familiar(), cause: err, stderr: lastOutput.String(),
		}
	}
	return nil
}

// wait waits until the process ends. It gives the process [returnGrace] to end after it returned
// its result, and [closeGrace] after the connection closed. Daemons before v0.16 don't notice the
// end of a process whose stdin is open, so wait closes stdin then.
func (p *process) wait(ctx context.Context, returned <-chan struct{}) error {
	closed := p.closed
	var eof, late <-chan time.Time
	var lingers error
	for {
		select {
		case <-p.ended:
			return p.err
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-returned:
			returned, eof, late = nil, time.After(stdinCloseDelay), time.After(returnGrace)
			lingers = fmt.Errorf("it kept running for %s after it returned its result", returnGrace)
		case <-closed:
			closed, eof = nil, time.After(0)
			if lingers == nil {
				late = time.After(closeGrace)
				lingers = fmt.Errorf("it kept running for %s after its connection was closed", closeGrace)
			}
		case <-eof:
			go p.endInput() // it blocks while a message is being sent
		case <-late:
			return lingers
		}
	}
}

// server returns the gRPC server of one inner frontend.
func (s *broker) server() *grpc.Server {
	server := grpc.NewServer(
		grpc.MaxRecvMsgSize(defaults.DefaultMaxRecvMsgSize),
		grpc.MaxSendMsgSize(defaults.DefaultMaxSendMsgSize),
		grpc.MaxConcurrentStreams(maxStreams),
		grpc.MaxHeaderListSize(maxHeaders),
		grpc.ForceServerCodecV2(gatewaycodec.New()),
		grpc.WriteBufferSize(ioBufferSize), grpc.ReadBufferSize(ioBufferSize),
		grpc.InitialWindowSize(unreadWindow),
		grpc.InitialConnWindowSize(connWindow),
		grpc.KeepaliveParams(keepalive.ServerParameters{
			Time: keepaliveTime, Timeout: keepaliveTime,
		}),
		// Frontends may ping as often as they like.
		grpc.KeepaliveEnforcementPolicy(keepalive.EnforcementPolicy{
			MinTime: time.Millisecond, PermitWithoutStream: true,
		}),
	)
	s.register(server, grpc_health_v1.Health_ServiceDesc, health.NewServer())
	s.register(server, gwpb.LLBBridge_ServiceDesc, s)
	return server
}
