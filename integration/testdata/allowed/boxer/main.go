// Command boxer is a frontend that runs a command in a container of its own: the program downloader
// of the image tests/downloader. The build-args WAY and URL are its arguments. With the build-arg
// COMMAND, it is that command of a shell, and has the cache mount at /cache that the build-arg CACHE
// names. The frontend goes on after an error.
//
// The build-arg PLACE names another place for the command: "before" for a step that runs before the
// frontend returns, "result" for a step of the result, and "self" for the frontend's own process.
// That one requests the URL by its proxy, and without one if WAY is "unset".
package main

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"strings"
	"time"

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
	switch arg("PLACE") {
	case "before", "result":
		return inStep(ctx, c, arg)
	case "self":
		return answer(ctx, c, request(ctx, arg("URL"), arg("WAY") != "unset"))
	}
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
	return answer(ctx, c, fmt.Sprintf("%s%v\n", output.String(), err))
}

// answer returns a result with a text.
func answer(ctx context.Context, c client.Client, text string) (*client.Result, error) {
	def, err := llb.Scratch().File(llb.Mkfile("/answer", 0o644, []byte(text))).Marshal(ctx)
	if err != nil {
		return nil, err
	}
	return c.Solve(ctx, client.SolveRequest{Definition: def.ToPB()})
}

// inStep has a step run the program, and goes on after an error of it.
func inStep(
	ctx context.Context, c client.Client, arg func(string) string,
) (*client.Result, error) {
	options := []llb.RunOption{
		llb.Args([]string{
			"/bin/sh", "-c", `/bin/downloader "$0" "$1" >/answer 2>&1 || true`, arg("WAY"), arg("URL"),
		}),
		llb.AddEnv("PATH", "/bin"),
	}
	for _, host := range strings.Split(c.BuildOpts().Opts["add-hosts"], ",") {
		if name, ip, ok := strings.Cut(host, "="); ok {
			options = append(options, llb.AddExtraHost(name, net.ParseIP(ip)))
		}
	}
	step := llb.Image("docker.io/tests/downloader:1").Run(options...).Root()
	def, err := llb.Scratch().File(llb.Copy(step, "/answer", "/answer")).Marshal(ctx)
	if err != nil {
		return nil, err
	}
	before := arg("PLACE") == "before"
	res, err := c.Solve(ctx, client.SolveRequest{Definition: def.ToPB(), Evaluate: before})
	if err != nil || !before {
		return res, err
	}
	ref, err := res.SingleRef()
	if err != nil {
		return nil, err
	}
	text, err := ref.ReadFile(ctx, client.ReadRequest{Filename: "/answer"})
	if err != nil {
		return nil, err
	}
	return answer(ctx, c, string(text))
}

// request says what comes of a request of this process.
func request(ctx context.Context, address string, proxied bool) string {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	t := &http.Transport{}
	if proxied { // Go's own function leaves out loopback addresses, where the tests' servers are
		t.Proxy = func(*http.Request) (*url.URL, error) { return url.Parse(os.Getenv("HTTP_PROXY")) }
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		return err.Error()
	}
	resp, err := (&http.Client{Transport: t}).Do(req)
	if err != nil {
		return err.Error()
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	return fmt.Sprintf("%d %s %v\n", resp.StatusCode, body, err)
}

// open is a writer that needs no Close.
type open struct{ io.Writer }

// Close implements [io.Closer].
func (open) Close() error { return nil }
