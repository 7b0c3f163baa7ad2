package main

import (
	"context"
	"fmt"
	"os"
	"strings"

	"github.com/moby/buildkit/client/llb"
	gwpb "github.com/moby/buildkit/frontend/gateway/pb"
	"github.com/moby/buildkit/solver/pb"
)

// ownContainer returns the name of a build's container, which the build's other frontends also use.
// In v0.30, all builds share one set of names, and a name has only letters and digits.
func ownContainer() string { return "own" + os.Getenv("BUILDKIT_SESSION_ID") }

// container runs a command in a container that the frontend starts beside the build.
func container(ctx context.Context, b *bridge) (*gwpb.Result, error) {
	return b.inContainer(ctx, &gwpb.NewContainerRequest{}, &gwpb.InitMessage{}, "cat /marker")
}

func hostNetworkContainer(ctx context.Context, b *bridge) (*gwpb.Result, error) {
	return b.inContainer(ctx, &gwpb.NewContainerRequest{
		Network: pb.NetMode_HOST,
	}, &gwpb.InitMessage{}, "echo on the network of the host")
}

func insecureContainer(ctx context.Context, b *bridge) (*gwpb.Result, error) {
	return b.inContainer(ctx, &gwpb.NewContainerRequest{}, &gwpb.InitMessage{
		Security: pb.SecurityMode_INSECURE,
	}, "grep CapEff /proc/self/status")
}

func secretContainer(ctx context.Context, b *bridge) (*gwpb.Result, error) {
	return b.inContainer(ctx, &gwpb.NewContainerRequest{}, &gwpb.InitMessage{
		Secretenv: []*pb.SecretEnv{{ID: "other", Name: "SECRET"}},
	}, "echo $SECRET")
}

// inContainer runs a script in the allowed image. The output is the proof.
func (b *bridge) inContainer(
	ctx context.Context, req *gwpb.NewContainerRequest, init *gwpb.InitMessage, text string,
) (*gwpb.Result, error) {
	if err := b.newContainer(ctx, req); err != nil {
		return nil, err
	}
	init.ContainerID = req.ContainerID
	out, err := b.exec(ctx, init, text)
	if err != nil {
		return nil, err
	}
	if _, err := b.ReleaseContainer(ctx, &gwpb.ReleaseContainerRequest{
		ContainerID: req.ContainerID,
	}); err != nil {
		return nil, err
	}
	return b.state(ctx, proof(out))
}

// newContainer makes a container of the allowed image.
func (b *bridge) newContainer(ctx context.Context, req *gwpb.NewContainerRequest) error {
	def, err := image(b.arg("ALLOWED")).Marshal(ctx)
	if err != nil {
		return err
	}
	res, err := b.definition(ctx, def.ToPB())
	if err != nil {
		return err
	}
	req.ContainerID = ownContainer()
	req.Mounts = []*pb.Mount{{Dest: "/", ResultID: id(res)}}
	_, err = b.NewContainer(ctx, req)
	return err
}

// exec runs a script in a container and returns what it printed.
func (b *bridge) exec(ctx context.Context, init *gwpb.InitMessage, text string) (string, error) {
	stream, err := b.ExecProcess(ctx)
	if err != nil {
		return "", err
	}
	const process = "1"
	init.Meta = &pb.Meta{Args: []string{"/bin/sh", "-c", text}, Cwd: "/", Env: []string{"PATH=/bin"}}
	init.Fds = []uint32{1, 2}
	if err := stream.Send(&gwpb.ExecMessage{
		ProcessID: process,
		Input:     &gwpb.ExecMessage_Init{Init: init},
	}); err != nil {
		return "", err
	}
	var out strings.Builder
	for {
		// Each round needs a new message, because BuildKit's codec doesn't reset it.
		m, err := stream.Recv()
		if err != nil {
			return "", err
		}
		switch {
		case m.GetFile() != nil:
			out.Write(m.GetFile().Data)
		case m.GetExit() != nil && m.GetExit().Code != 0:
			return "", fmt.Errorf("exit code %d: %v: %s", m.GetExit().Code, m.GetExit().Error, out.String())
		case m.GetDone() != nil:
			return out.String(), stream.CloseSend()
		}
	}
}

// manyProcesses is not an attack. It runs many processes at once, each over a stream of its own,
// and ends them when all have started.
func manyProcesses(ctx context.Context, b *bridge) (*gwpb.Result, error) {
	const count = 20
	if err := b.newContainer(ctx, &gwpb.NewContainerRequest{}); err != nil {
		return nil, err
	}
	streams := make([]gwpb.LLBBridge_ExecProcessClient, count)
	for i := range streams {
		var err error
		if streams[i], err = b.start(ctx, fmt.Sprint(i), &gwpb.InitMessage{
			ContainerID: ownContainer(),
			Meta:        &pb.Meta{Args: []string{"/bin/cat"}, Cwd: "/"},
			Fds:         []uint32{0},
		}); err != nil {
			return nil, err
		}
	}
	for i, stream := range streams {
		if err := stream.Send(&gwpb.ExecMessage{
			ProcessID: fmt.Sprint(i),
			Input:     &gwpb.ExecMessage_File{File: &gwpb.FdMessage{EOF: true}},
		}); err != nil {
			return nil, err
		}
		for {
			m, err := stream.Recv()
			if err != nil {
				return nil, err
			}
			if m.GetDone() != nil {
				break
			}
		}
	}
	return b.state(ctx, proof("they all ran at once"))
}

// start starts a process over a stream of its own, and returns the stream when it has started.
func (b *bridge) start(
	ctx context.Context, process string, init *gwpb.InitMessage,
) (gwpb.LLBBridge_ExecProcessClient, error) {
	stream, err := b.ExecProcess(ctx)
	if err != nil {
		return nil, err
	}
	err = stream.Send(&gwpb.ExecMessage{
		ProcessID: process,
		Input:     &gwpb.ExecMessage_Init{Init: init},
	})
	if err != nil {
		return nil, err
	}
	_, err = stream.Recv() // it has started
	return stream, err
}

// leaveContainer ends without releasing a container in which a program still runs.
func leaveContainer(ctx context.Context, b *bridge) (*gwpb.Result, error) {
	if err := b.newContainer(ctx, &gwpb.NewContainerRequest{}); err != nil {
		return nil, err
	}
	if err := b.sleepIn(ctx, ownContainer()); err != nil {
		return nil, err
	}
	return b.state(ctx, proof("and left a container"))
}

// sleepIn starts a program in a container that sleeps for long.
func (b *bridge) sleepIn(ctx context.Context, container string) error {
	_, err := b.start(ctx, "1", &gwpb.InitMessage{
		ContainerID: container,
		Meta:        &pb.Meta{Args: []string{"/bin/sleep", b.arg("SECONDS")}, Cwd: "/"},
	})
	return err
}

// leftContainer reads from the container that another frontend left.
func leftContainer(ctx context.Context, b *bridge) (*gwpb.Result, error) {
	_, err := b.nested(ctx, b.arg("SELF"), map[string]string{
		argPrefix + "ATTACK": "leave a container", argPrefix + "ALLOWED": b.arg("ALLOWED"),
		argPrefix + "SECONDS": b.arg("SECONDS"),
	}, nil)
	if err != nil {
		return nil, err
	}
	content, err := b.ReadFileContainer(ctx, &gwpb.ReadFileRequest{
		Ref:      ownContainer(),
		FilePath: "/marker",
	})
	if err != nil {
		return nil, err
	}
	return b.state(ctx, llb.Scratch().File(llb.Mkfile("/proof", 0o644, content.Data)))
}
