package frontend

import (
	"context"
	"crypto/rand"
	"errors"
	"io"
	"time"

	gwpb "github.com/moby/buildkit/frontend/gateway/pb"
	"github.com/moby/buildkit/solver/pb"
	"golang.org/x/sync/errgroup"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/policy-frontend/policy-frontend/internal/llbops"
	"github.com/policy-frontend/policy-frontend/internal/safetext"
)

// NewContainer makes a container for the inner frontend from the frontend's own references.
func (s *broker) NewContainer(
	ctx context.Context, req *gwpb.NewContainerRequest,
) (*gwpb.NewContainerResponse, error) {
	if err := s.monitor.container(ctx, req, nil); err != nil {
		return nil, s.errorFor(ctx, err)
	}
	for _, m := range req.Mounts {
		if m.GetResultID() == "" {
			continue
		}
		if err := s.checkRef(m.GetResultID()); err != nil {
			return nil, s.errorFor(ctx, err)
		}
	}
	// Another frontend may have given its container the same id.
	asked, id := req.ContainerID, rand.Text()
	if err := s.take(ctx, len(asked)+perKept); err != nil {
		return nil, s.errorFor(ctx, err)
	}
	req.ContainerID = id
	if _, err := s.daemon.NewContainer(ctx, req); err != nil {
		if ctx.Err() != nil { // the daemon may have made it nevertheless
			release(ctx, s.daemon, id)
		}
		return nil, err
	}
	s.mu.Lock()
	_, exists := s.containers[asked]
	if !exists {
		s.containers[asked] = container{id: id, network: req.Network}
	}
	s.mu.Unlock()
	if exists {
		release(ctx, s.daemon, id)
		return nil, status.Errorf(codes.AlreadyExists, "Container %s already exists", asked)
	}
	return &gwpb.NewContainerResponse{}, nil
}

// container is a container of the inner frontend.
type container struct {
	id      string // in the daemon
	network pb.NetMode
}

// release ends a container, even if the frontend that asked for it has ended. If that fails, the
// daemon ends the container at the latest when the build ends.
func release(ctx context.Context, daemon gwpb.LLBBridgeClient, id string) {
	ctx, cancel := releaseContext(ctx)
	defer cancel()
	_, _ = daemon.ReleaseContainer(ctx, &gwpb.ReleaseContainerRequest{ContainerID: id})
}

// releaseContext returns the context of calls that release containers. It goes on when ctx ends,
// but for no longer than [releaseTimeout] from now or after the deadline of ctx. So the releases of
// nested frontends, which follow each other, are over at the same time.
func releaseContext(ctx context.Context) (context.Context, context.CancelFunc) {
	by := time.Now().Add(releaseTimeout)
	if deadline, ok := ctx.Deadline(); ok && deadline.Add(releaseTimeout).Before(by) {
		by = deadline.Add(releaseTimeout)
	}
	return context.WithDeadline(context.WithoutCancel(ctx), by)
}

// container returns a container of the inner frontend by the id that the frontend gave it.
func (s *broker) container(id string) (container, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if own, ok := s.containers[id]; ok {
		return own, nil
	}
	err := s.monitor.refuseUnknown("the container %s, which isn't its own", safetext.Plain(id))
	return container{}, err
}

// ReleaseContainer ends a container of the inner frontend.
func (s *broker) ReleaseContainer(
	ctx context.Context, req *gwpb.ReleaseContainerRequest,
) (*gwpb.ReleaseContainerResponse, error) {
	c, err := s.container(req.ContainerID)
	if err != nil {
		return nil, s.errorFor(ctx, err)
	}
	res, err := s.daemon.ReleaseContainer(ctx, &gwpb.ReleaseContainerRequest{ContainerID: c.id})
	if err == nil {
		s.mu.Lock()
		delete(s.containers, req.ContainerID)
		s.mu.Unlock()
	}
	return res, err
}

// maxReleases is how many containers are released at the same time.
const maxReleases = 32

// releaseContainers ends the containers that the inner frontend hasn't released.
func (s *broker) releaseContainers(ctx context.Context) {
	s.mu.Lock()
	left := s.containers
	s.containers = map[string]container{}
	s.mu.Unlock()
	ctx, cancel := releaseContext(ctx)
	defer cancel()
	var releases errgroup.Group
	releases.SetLimit(maxReleases)
	for _, c := range left {
		releases.Go(func() error {
			_, err := s.daemon.ReleaseContainer(ctx,
				&gwpb.ReleaseContainerRequest{ContainerID: c.id})
			return err
		})
	}
	_ = releases.Wait() // the daemon releases the others when the build ends
}

// ReadFileContainer reads a file in a container of the inner frontend.
func (s *broker) ReadFileContainer(
	ctx context.Context, req *gwpb.ReadFileRequest,
) (*gwpb.ReadFileResponse, error) {
	c, err := s.container(req.Ref)
	if err != nil {
		return nil, s.errorFor(ctx, err)
	}
	req.Ref = c.id
	return s.daemon.ReadFileContainer(ctx, req)
}

// ReadDirContainer lists a directory in a container of the inner frontend.
func (s *broker) ReadDirContainer(
	ctx context.Context, req *gwpb.ReadDirRequest,
) (*gwpb.ReadDirResponse, error) {
	c, err := s.container(req.Ref)
	if err != nil {
		return nil, s.errorFor(ctx, err)
	}
	req.Ref = c.id
	return s.daemon.ReadDirContainer(ctx, req)
}

// StatFileContainer describes a file in a container of the inner frontend.
func (s *broker) StatFileContainer(
	ctx context.Context, req *gwpb.StatFileRequest,
) (*gwpb.StatFileResponse, error) {
	c, err := s.container(req.Ref)
	if err != nil {
		return nil, s.errorFor(ctx, err)
	}
	req.Ref = c.id
	return s.daemon.StatFileContainer(ctx, req)
}

// ExecProcess runs processes in containers of the inner frontend.
func (s *broker) ExecProcess(srv gwpb.LLBBridge_ExecProcessServer) error {
	group, ctx := errgroup.WithContext(srv.Context())
	up, err := s.daemon.ExecProcess(ctx)
	if err != nil {
		return err
	}
	group.Go(func() error {
		for {
			msg, err := srv.Recv()
			if errors.Is(err, io.EOF) {
				return up.CloseSend()
			}
			if err != nil {
				return err
			}
			if err := s.checkProcess(ctx, msg); err != nil {
				return s.errorFor(ctx, err)
			}
			if err := up.Send(msg); errors.Is(err, io.EOF) {
				return nil // Recv tells why the stream ended
			} else if err != nil {
				return err
			}
		}
	})
	group.Go(func() error {
		for {
			msg, err := up.Recv()
			if errors.Is(err, io.EOF) {
				return nil
			}
			if err != nil {
				return err
			}
			if err := srv.Send(msg); err != nil {
				return err
			}
		}
	})
	return group.Wait()
}

// checkProcess checks a message of ExecProcess. In one that starts a process, it replaces the
// frontend's id of the container with the daemon's.
func (s *broker) checkProcess(ctx context.Context, msg *gwpb.ExecMessage) error {
	if err := s.monitor.refused(); err != nil {
		return err
	}
	if llbops.HasUnknownFields(msg) {
		return s.monitor.refuseUnknown("a process with fields that this version doesn't know")
	}
	init := msg.GetInit()
	if init == nil {
		return nil
	}
	c, err := s.container(init.ContainerID)
	if err != nil {
		return err
	}
	made := &gwpb.NewContainerRequest{Network: c.network}
	if err := s.monitor.container(ctx, made, init); err != nil {
		return err
	}
	init.ContainerID = c.id
	return nil
}
