package frontend

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"

	gwpb "github.com/moby/buildkit/frontend/gateway/pb"
	"golang.org/x/sync/errgroup"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/policy-frontend/policy-frontend/frontend/facts"
)

// NewContainer makes a container for the inner frontend, on references of its own.
func (s *broker) NewContainer(ctx context.Context, req *gwpb.NewContainerRequest) (*gwpb.NewContainerResponse, error) {
	if err := s.judge.container(ctx, req, nil); err != nil {
		return nil, s.answer(ctx, err)
	}
	for _, m := range req.Mounts {
		if m.GetResultID() == "" {
			continue
		}
		if err := s.check(m.GetResultID()); err != nil {
			return nil, s.answer(ctx, err)
		}
	}
	// The frontend's name for it could be that of another one's container.
	asked, id := req.ContainerID, rand.Text()
	req.ContainerID = id
	if _, err := s.daemon.NewContainer(ctx, req); err != nil {
		return nil, err
	}
	s.mu.Lock()
	_, exists := s.containers[asked]
	if !exists {
		s.containers[asked] = id
	}
	s.mu.Unlock()
	if exists {
		_, _ = s.daemon.ReleaseContainer(ctx, &gwpb.ReleaseContainerRequest{ContainerID: id})
		return nil, status.Errorf(codes.AlreadyExists, "Container %s already exists", asked)
	}
	return &gwpb.NewContainerResponse{}, nil
}

// container returns the daemon's id of a container of the inner frontend.
func (s *broker) container(id string) (string, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if own, ok := s.containers[id]; ok {
		return own, nil
	}
	return "", s.judge.unknown(fmt.Sprintf("a container that is not its own, %s", printable(id)))
}

// ReleaseContainer ends a container of the inner frontend.
func (s *broker) ReleaseContainer(ctx context.Context, req *gwpb.ReleaseContainerRequest) (*gwpb.ReleaseContainerResponse, error) {
	id, err := s.container(req.ContainerID)
	if err != nil {
		return nil, s.answer(ctx, err)
	}
	s.mu.Lock()
	delete(s.containers, req.ContainerID)
	s.mu.Unlock()
	return s.daemon.ReleaseContainer(ctx, &gwpb.ReleaseContainerRequest{ContainerID: id})
}

// releaseContainers ends what the inner frontend has left running.
func (s *broker) releaseContainers(ctx context.Context) {
	s.mu.Lock()
	left := s.containers
	s.containers = map[string]string{}
	s.mu.Unlock()
	for _, id := range left {
		_, _ = s.daemon.ReleaseContainer(ctx, &gwpb.ReleaseContainerRequest{ContainerID: id}) // the daemon does, at the latest, when the build ends
	}
}

// ReadFileContainer reads a file in a container of the inner frontend.
func (s *broker) ReadFileContainer(ctx context.Context, req *gwpb.ReadFileRequest) (*gwpb.ReadFileResponse, error) {
	id, err := s.container(req.Ref)
	if err != nil {
		return nil, s.answer(ctx, err)
	}
	req.Ref = id
	return s.daemon.ReadFileContainer(ctx, req)
}

// ReadDirContainer lists a folder in a container of the inner frontend.
func (s *broker) ReadDirContainer(ctx context.Context, req *gwpb.ReadDirRequest) (*gwpb.ReadDirResponse, error) {
	id, err := s.container(req.Ref)
	if err != nil {
		return nil, s.answer(ctx, err)
	}
	req.Ref = id
	return s.daemon.ReadDirContainer(ctx, req)
}

// StatFileContainer describes a file in a container of the inner frontend.
func (s *broker) StatFileContainer(ctx context.Context, req *gwpb.StatFileRequest) (*gwpb.StatFileResponse, error) {
	id, err := s.container(req.Ref)
	if err != nil {
		return nil, s.answer(ctx, err)
	}
	req.Ref = id
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
			if err := s.process(ctx, msg); err != nil {
				return s.answer(ctx, err)
			}
			if err := up.Send(msg); err != nil {
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

// process judges a message that would start a process, and gives its container the
// daemon's id.
func (s *broker) process(ctx context.Context, msg *gwpb.ExecMessage) error {
	if facts.HasUnknownFields(msg) {
		return s.judge.unknown("a process with something that this version does not know")
	}
	init := msg.GetInit()
	if init == nil {
		return nil
	}
	id, err := s.container(init.ContainerID)
	if err != nil {
		return err
	}
	if err := s.judge.container(ctx, nil, init); err != nil {
		return err
	}
	init.ContainerID = id
	return nil
}
