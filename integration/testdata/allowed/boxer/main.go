// Command boxer is a frontend that runs a command in a container of its own: the program downloader
// of the image tests/downloader. The build-args WAY and URL are its arguments. With the build-arg
// COMMAND, it is that command of a shell, and has the cache mount at /cache that the build-arg CACHE
// names. The frontend goes on after an error.
package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/moby/buildkit/client/llb"
	"github.com/moby/buildkit/frontend/gateway/client"
	"github.com/moby/buildkit/frontend/gateway/grpcclient"
	"github.com/moby/buildkit/solver/pb"
	"github.com/moby/buildkit/util/appcontext"
	_ "github.com/moby/buildkit/util/grpcutil/encoding/proto"
)

func main() {
	if err := grpcclient.RunFromEnvironment(appcontext.Context(), build); err != nil {
		fmt.Fprintln(os.Stderr, "boxer:", err)
		os.Exit(1)
	}
}

func build(ctx context.Context, c client.Client) (*client.Result, error) {
	def, err := llb.Image("docker.io/tests/downloader:1").Marshal(ctx)
	if err != nil {
		return nil, err
	}
	base, err := c.Solve(ctx, client.SolveRequest{Definition: def.ToPB(), Evaluate: true})
	if err != nil {
		return nil, err
	}
	ref, err := base.SingleRef()
	if err != nil {
		return nil, err
	}
	arg := func(name string) string { return c.BuildOpts().Opts["build-arg:"+name] }
	mounts := []client.Mount{{Dest: "/", Ref: ref}}
	args := []string{"/bin/downloader", arg("WAY"), arg("URL")}
	if command := arg("COMMAND"); command != "" {
		args = []string{"/bin/sh", "-c", command}
		mounts = append(mounts, client.Mount{
			Dest: "/cache", MountType: pb.MountType_CACHE, CacheOpt: &pb.CacheOpt{ID: arg("CACHE")},
		})
	}
	box, err := c.NewContainer(ctx, client.NewContainerRequest{Mounts: mounts})
	if err != nil {
		return nil, err
	}
	var output strings.Builder
	process, err := box.Start(ctx, client.StartRequest{
		Args: args, Env: []string{"PATH=/bin"}, Cwd: "/",
		Stdout: open{&output}, Stderr: open{&output},
	})
	if err == nil {
		err = process.Wait()
	}
	text := fmt.Sprintf("%s%v\n", output.String(), err)
	def, err = llb.Scratch().File(llb.Mkfile("/answer", 0o644, []byte(text))).Marshal(ctx)
	if err != nil {
		return nil, err
	}
	return c.Solve(ctx, client.SolveRequest{Definition: def.ToPB()})
}

// open is a writer that needs no Close.
type open struct{ io.Writer }

// Close implements [io.Closer].
func (open) Close() error { return nil }
