package survey

import (
	"context"
	"encoding/json"
	"errors"
	"io/fs"
	"runtime"
	"strings"
	"sync"

	"github.com/moby/buildkit/client/llb"
	"github.com/moby/buildkit/client/llb/sourceresolver"
	"github.com/moby/buildkit/frontend/gateway/client"
	gwpb "github.com/moby/buildkit/frontend/gateway/pb"
	"github.com/moby/buildkit/solver/pb"
	digest "github.com/opencontainers/go-digest"
	ocispecs "github.com/opencontainers/image-spec/specs-go/v1"
	fstypes "github.com/tonistiigi/fsutil/types"
)

// errOffline is the answer to all that only a daemon could tell.
var errOffline = errors.New("it can't be known without a build")

// offline stands in for the daemon. It serves one build file, has an empty configuration for each
// image, and records what the frontend asks for.
type offline struct {
	opts   map[string]string
	data   []byte // of the build file; nil if it can't be read
	inputs []string

	mu       sync.Mutex
	read     []*pb.Definition // what the frontend reads while it converts the file
	resolved []string         // references of images that it looks up
}

func (c *offline) BuildOpts() client.BuildOpts {
	return client.BuildOpts{
		Opts:    c.opts,
		Caps:    gwpb.Caps.CapSet(gwpb.Caps.All()),
		LLBCaps: pb.Caps.CapSet(pb.Caps.All()),
		Workers: []client.WorkerInfo{{Platforms: []ocispecs.Platform{platform()}}},
	}
}

// platform is that of the daemon. Frontends run on Linux.
func platform() ocispecs.Platform {
	return ocispecs.Platform{OS: "linux", Architecture: runtime.GOARCH}
}

// Inputs returns an input for each name. What is in it is another build's matter.
func (c *offline) Inputs(context.Context) (map[string]llb.State, error) {
	out := make(map[string]llb.State, len(c.inputs))
	for _, name := range c.inputs {
		out[name] = llb.Scratch().File(llb.Mkdir("/", 0o755))
	}
	return out, nil
}

// Solve records a definition that the frontend reads while it converts the build file.
func (c *offline) Solve(_ context.Context, req client.SolveRequest) (*client.Result, error) {
	if req.Frontend != "" || req.Definition == nil {
		return nil, errOffline
	}
	c.mu.Lock()
	c.read = append(c.read, req.Definition)
	c.mu.Unlock()
	res := client.NewResult()
	res.SetRef(files{c})
	return res, nil
}

// ResolveImageConfig records the image. The configuration that it returns has nothing but a layer:
// BuildKit takes an image without layers for scratch.
func (c *offline) ResolveImageConfig(
	_ context.Context, ref string, opt sourceresolver.Opt,
) (string, digest.Digest, []byte, error) {
	img := ocispecs.Image{Platform: platform()}
	if opt.ImageOpt != nil {
		c.mu.Lock()
		c.resolved = append(c.resolved, ref)
		c.mu.Unlock()
		if opt.ImageOpt.Platform != nil {
			img.Platform = *opt.ImageOpt.Platform
		}
	}
	img.RootFS = ocispecs.RootFS{Type: "layers", DiffIDs: []digest.Digest{digest.FromString("")}}
	dt, err := json.Marshal(img)
	return ref, "", dt, err
}

func (c *offline) ResolveSourceMetadata(
	context.Context, *pb.SourceOp, sourceresolver.Opt,
) (*sourceresolver.MetaResponse, error) {
	return nil, errOffline
}

func (c *offline) NewContainer(
	context.Context, client.NewContainerRequest,
) (client.Container, error) {
	return nil, errOffline
}

func (c *offline) Warn(context.Context, digest.Digest, string, client.WarnOpts) error { return nil }

// files is what the frontend reads from: a directory that has the build file alone.
type files struct{ client *offline }

func (f files) ReadFile(_ context.Context, req client.ReadRequest) ([]byte, error) {
	name := strings.TrimPrefix(req.Filename, "/")
	if f.client.data == nil || name != f.client.opts[keyFilename] {
		return nil, fs.ErrNotExist
	}
	return f.client.data, nil
}

func (f files) StatFile(context.Context, client.StatRequest) (*fstypes.Stat, error) {
	return nil, fs.ErrNotExist
}

func (f files) ReadDir(context.Context, client.ReadDirRequest) ([]*fstypes.Stat, error) {
	return nil, fs.ErrNotExist
}

func (f files) ToState() (llb.State, error) { return llb.State{}, errOffline }

func (f files) Evaluate(context.Context) error { return nil }
