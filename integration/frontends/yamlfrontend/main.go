// Command yamlfrontend is a frontend for small YAML build files. They share nothing with
// Dockerfiles but the protocol. Its image declares no caps, like the images of many real frontends.
//
//	# syntax=frontends/yaml:1
//	base: busybox           # nothing: scratch
//	files: {/greeting: hello}
//	copy: [app]             # from the build context, to the same path below /
//	run: ["cat /greeting > /out"]
//	own: /yamlfrontend      # a file of the frontend's own image, copied to /own
package main

import (
	"bytes"
	"context"
	"fmt"
	"maps"
	"os"
	"path"
	"slices"

	"github.com/containerd/platforms"
	"github.com/moby/buildkit/client/llb"
	"github.com/moby/buildkit/frontend/dockerui"
	"github.com/moby/buildkit/frontend/gateway/client"
	"github.com/moby/buildkit/frontend/gateway/grpcclient"
	"github.com/moby/buildkit/util/appcontext"
	_ "github.com/moby/buildkit/util/grpcutil/encoding/proto"
	dockerspec "github.com/moby/docker-image-spec/specs-go/v1"
	ocispecs "github.com/opencontainers/image-spec/specs-go/v1"
	"go.yaml.in/yaml/v3"
)

type buildFile struct {
	Base  string            `yaml:"base"`
	Files map[string]string `yaml:"files"`
	Copy  []string          `yaml:"copy"`
	Run   []string          `yaml:"run"`
	Own   string            `yaml:"own"`
}

func main() {
	if err := grpcclient.RunFromEnvironment(appcontext.Context(), build); err != nil {
		fmt.Fprintln(os.Stderr, "yamlfrontend:", err)
		os.Exit(1)
	}
}

func build(ctx context.Context, c client.Client) (*client.Result, error) {
	ui, err := dockerui.NewClient(c)
	if err != nil {
		return nil, err
	}
	src, err := ui.ReadEntrypoint(ctx, "yaml")
	if err != nil {
		return nil, err
	}
	var file buildFile
	decoder := yaml.NewDecoder(bytes.NewReader(src.Data))
	decoder.KnownFields(true)
	if err := decoder.Decode(&file); err != nil {
		return nil, fmt.Errorf("%s: %w", src.Filename, err)
	}
	result, err := ui.Build(ctx, func(
		ctx context.Context, platform *ocispecs.Platform, _ int,
	) (*dockerui.BuildResult, error) {
		return file.build(ctx, c, ui, platform)
	})
	if err != nil {
		return nil, err
	}
	return result.Finalize()
}

func (f buildFile) build(
	ctx context.Context, c client.Client, ui *dockerui.Client, platform *ocispecs.Platform,
) (*dockerui.BuildResult, error) {
	target := platforms.DefaultSpec()
	if platform != nil {
		target = *platform
	}
	state := llb.Scratch()
	if f.Base != "" {
		state = llb.Image(f.Base, llb.Platform(target), llb.WithMetaResolver(c))
	}
	for _, name := range slices.Sorted(maps.Keys(f.Files)) {
		state = state.
			File(llb.Mkdir(path.Dir(name), 0o755, llb.WithParents(true))).
			File(llb.Mkfile(name, 0o644, []byte(f.Files[name])))
	}
	if len(f.Copy) > 0 {
		local, err := ui.MainContext(ctx)
		if err != nil {
			return nil, err
		}
		for _, name := range f.Copy {
			state = state.File(llb.Copy(*local, name, path.Join("/", name), &llb.CopyInfo{
				CreateDestPath: true,
			}))
		}
	}
	if f.Own != "" {
		own, err := c.(interface{ CurrentFrontend() (*llb.State, error) }).CurrentFrontend()
		if err != nil || own == nil {
			return nil, fmt.Errorf("the frontend's own image: %v, %w", own, err)
		}
		state = state.File(llb.Copy(*own, f.Own, "/own"))
	}
	for _, command := range f.Run {
		state = state.Run(llb.Args([]string{
			"/bin/sh", "-c", command,
		}), llb.WithCustomName("run "+command)).Root()
	}
	def, err := state.Marshal(ctx, llb.Platform(target))
	if err != nil {
		return nil, err
	}
	solved, err := c.Solve(ctx, client.SolveRequest{
		Definition:   def.ToPB(),
		CacheImports: ui.CacheImports,
	})
	if err != nil {
		return nil, err
	}
	ref, err := solved.SingleRef()
	if err != nil {
		return nil, err
	}
	image := &dockerspec.DockerOCIImage{}
	image.Platform = target
	image.Config.Env = []string{"PATH=/bin"}
	image.Config.Labels = map[string]string{"built-by": "yamlfrontend"}
	return &dockerui.BuildResult{Reference: ref, Image: image}, nil
}
