package frontend

import (
	"context"
	"errors"
	"io"

	gwpb "github.com/moby/buildkit/frontend/gateway/pb"
	"golang.org/x/sync/errgroup"

	"github.com/policy-frontend/policy-frontend/internal/llbops"
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
	if err := s.take(ctx, len(req.ContainerID)+perKept); err != nil {
		return nil, s.errorFor(ctx, err)
	}
	if err := s.containers.Create(ctx, s.daemon, req); err != nil {
		return nil, err
	}
	return &gwpb.NewContainerResponse{}, nil
}

// container returns a container of the inner frontend by the id that the frontend gave it.
func (s *broker) container(id string) (Container, error) {
	c, err := s.containers.Find(id)
	if err != nil {
		err = s.monitor.refuseUnknown("%v", err)
	}
	return c, err
}

// ReleaseContainer ends a container of the inner frontend.
func (s *broker) ReleaseContainer(
	ctx context.Context, req *gwpb.ReleaseContainerRequest,
) (*gwpb.ReleaseContainerResponse, error) {
	c, err := s.containers.Take(req.ContainerID)
	if err != nil {
		return nil, s.errorFor(ctx, s.monitor.refuseUnknown("%v", err))
	}
	return c.Release(ctx, s.daemon)
}

// ReadFileContainer reads a file in a container of the inner frontend.
func (s *broker) ReadFileContainer(
	ctx context.Context, req *gwpb.ReadFileRequest,
) (*gwpb.ReadFileResponse, error) {
	c, err := s.container(req.Ref)
	if err != nil {
		return nil, s.errorFor(ctx, err)
	}
	req.Ref = c.ID
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
	req.Ref = c.ID
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
	req.Ref = c.ID
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
	made := &gwpb.NewContainerRequest{Network: c.Network}
	if err := s.monitor.container(ctx, made, init); err != nil {
		return err
	}
	init.ContainerID = c.ID
	return nil
}
