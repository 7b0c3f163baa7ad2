package frontend

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/moby/buildkit/client/llb"
	"github.com/moby/buildkit/client/llb/sourceresolver"
	"github.com/moby/buildkit/frontend/gateway/client"
	gwpb "github.com/moby/buildkit/frontend/gateway/pb"
	"github.com/moby/buildkit/solver/pb"
	"github.com/moby/buildkit/sourcepolicy"
	spb "github.com/moby/buildkit/sourcepolicy/pb"
	apicapspb "github.com/moby/buildkit/util/apicaps/pb"
	digest "github.com/opencontainers/go-digest"
	fstypes "github.com/tonistiigi/fsutil/types"

	"github.com/policy-frontend/policy-frontend/internal/optionkeys"
)

// fakeClient stands for the daemon in tests of calls and their order. It serves one build file and
// a registry of tags, evaluates source policies with BuildKit's own engine, and records all
// frontend solves.
type fakeClient struct {
	client.Client
	opts      map[string]string
	file      string
	tags      map[string]digest.Digest // "docker.io/docker/dockerfile:1" → digest
	configs   map[string]string        // of images by tag; "{}" for others
	convert   *sourcepolicy.Engine     // a client's source policy; as in the daemon, it runs last
	oldDaemon bool
	broken    error // of the registry

	read     []string        // other sources than images
	bound    [][]*spb.Policy // source policies of the solves that read them
	resolved []string
	pinned   []string
	solved   []client.SolveRequest
	warned   []string
	named    []string // names of steps
}

func (f *fakeClient) BuildOpts() client.BuildOpts {
	caps, llbCaps := gwpb.Caps.All(), pb.Caps.All()
	if f.oldDaemon {
		caps = slices.DeleteFunc(caps, func(c *apicapspb.APICap) bool {
			return c.ID == string(gwpb.CapSourceMetaResolver)
		})
		llbCaps = slices.DeleteFunc(llbCaps, func(c *apicapspb.APICap) bool {
			return c.ID == string(pb.CapSourceGitChecksum)
		})
	}
	return client.BuildOpts{
		Opts:    f.opts,
		Caps:    gwpb.Caps.CapSet(caps),
		LLBCaps: pb.Caps.CapSet(llbCaps),
	}
}

func (f *fakeClient) Inputs(context.Context) (map[string]llb.State, error) {
	return map[string]llb.State{"base": llb.Image("docker.io/library/busybox:latest")}, nil
}

func (f *fakeClient) Warn(
	_ context.Context, step digest.Digest, msg string, _ client.WarnOpts,
) error {
	if step == "" {
		return errors.New("a warning without a step is never shown")
	}
	f.warned = append(f.warned, msg)
	return nil
}

// guarded evaluates op as the daemon does: by the guard of the call, and by the client's source
// policy.
func (f *fakeClient) guarded(
	ctx context.Context, op *pb.SourceOp, guard *sourcepolicy.Engine,
) error {
	for range 3 {
		if _, err := guard.Evaluate(ctx, op); err != nil {
			return err
		}
		if f.convert == nil {
			return nil
		}
		if changed, err := f.convert.Evaluate(ctx, op); err != nil || !changed {
			return err
		}
	}
	return nil
}

func (f *fakeClient) ResolveSourceMetadata(
	ctx context.Context, op *pb.SourceOp, opt sourceresolver.Opt,
) (*sourceresolver.MetaResponse, error) {
	f.resolved = append(f.resolved, op.Identifier)
	if f.broken != nil {
		return nil, f.broken
	}
	if err := f.guarded(ctx, op, sourcepolicy.NewEngine(opt.SourcePolicies)); err != nil {
		return nil, err
	}
	name, written, _ := strings.Cut(strings.TrimPrefix(op.Identifier, dockerImageProto), "@")
	d, ok := f.tags[name]
	if written != "" {
		d, ok = digest.Digest(written), true
	}
	if !ok {
		return nil, fmt.Errorf("%s: not found", op.Identifier)
	}
	return &sourceresolver.MetaResponse{
		Op: op,
		Image: &sourceresolver.ResolveImageResponse{
			Digest: d, Config: []byte(cmp.Or(f.configs[name], "{}")),
		},
	}, nil
}

func (f *fakeClient) Solve(ctx context.Context, req client.SolveRequest) (*client.Result, error) {
	res := client.NewResult()
	if req.Frontend != "" {
		f.solved = append(f.solved, req)
		return res, nil
	}
	if len(req.Definition.Def) == 0 {
		return res, nil
	}
	for _, m := range req.Definition.Metadata {
		f.named = append(f.named, m.GetDescription()["llb.customname"])
	}
	for _, dt := range req.Definition.Def {
		var op pb.Op
		if err := op.UnmarshalVT(dt); err != nil {
			return nil, err
		}
		src := op.GetSource()
		if src != nil && !strings.HasPrefix(src.Identifier, dockerImageProto) {
			f.read = append(f.read, src.Identifier)
			f.bound = append(f.bound, req.SourcePolicies)
		}
		if src == nil || !strings.HasPrefix(src.Identifier, dockerImageProto) {
			continue
		}
		f.pinned = append(f.pinned, src.Identifier)
		if f.broken != nil {
			return nil, f.broken
		}
		if err := f.guarded(ctx, src, sourcepolicy.NewEngine(req.SourcePolicies)); err != nil {
			return nil, err
		}
	}
	res.SetRef(fakeFile{data: f.file})
	return res, nil
}

type fakeFile struct {
	client.Reference
	data string
}

func (r fakeFile) StatFile(_ context.Context, req client.StatRequest) (*fstypes.Stat, error) {
	_, err := r.ReadFile(context.Background(), client.ReadRequest{Filename: req.Path})
	if err != nil {
		return nil, err
	}
	return &fstypes.Stat{Size: int64(len(r.data))}, nil
}

func (r fakeFile) ReadFile(_ context.Context, req client.ReadRequest) ([]byte, error) {
	if r.data == "" || req.Filename != "Dockerfile" {
		return nil, fmt.Errorf("open %s: no such file or directory", req.Filename)
	}
	return []byte(r.data), nil
}

const (
	selfRef   = "registry.corp/policy-frontend:v1"
	digestOne = digest.Digest(
		"sha256:1111111111111111111111111111111111111111111111111111111111111111",
	)
	digestTwo = digest.Digest(
		"sha256:2222222222222222222222222222222222222222222222222222222222222222",
	)
)

// newFake returns a daemon that knows docker/dockerfile:1 (digestOne) and evil/dockerfile:1
// (digestTwo). It runs the policy frontend as selfRef with the given options.
func newFake(tb testing.TB, file string, opts map[string]string) *fakeClient {
	tb.Helper()
	all := map[string]string{optionkeys.Source: selfRef}
	for k, v := range opts {
		all[k] = v
	}
	return &fakeClient{opts: all, file: file, tags: map[string]digest.Digest{
		"docker.io/docker/dockerfile:1": digestOne,
		"docker.io/evil/dockerfile:1":   digestTwo,
	}}
}
