package frontend

import (
	"context"
	"crypto/rand"
	"fmt"
	"sync"
	"time"

	gwpb "github.com/moby/buildkit/frontend/gateway/pb"
	"github.com/moby/buildkit/solver/pb"
	"golang.org/x/sync/errgroup"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/policy-frontend/policy-frontend/internal/safetext"
)

// Containers are the containers of one client of the gateway API, by the ids that the client gave
// them. The daemon knows them by other ids: another client of the same build may have given the
// same. The zero value has none. Several goroutines may use it at the same time. It checks nothing.
type Containers struct {
	mu sync.Mutex
	of map[string]*Container
}

// Container is a container at the daemon.
type Container struct {
	ID      string // in the daemon
	Network pb.NetMode
	Mounts  int // how many it has

	made bool // the daemon has made it
}

// Len returns how many containers there are. Those count too that the daemon is about to make.
func (s *Containers) Len() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.of)
}

// Find returns a container that the daemon has made, by the client's id. The error says that there
// is none.
func (s *Containers) Find(id string) (Container, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.find(id)
}

// find is [Containers.Find] under the lock.
func (s *Containers) find(id string) (Container, error) {
	if c := s.of[id]; c != nil && c.made {
		return *c, nil
	}
	return Container{}, fmt.Errorf("the container %s, which isn't its own", safetext.Plain(id))
}

// Create has the daemon make a container. It replaces the client's id in the request. The error is
// the daemon's, or says that the client has a container with this id.
func (s *Containers) Create(
	ctx context.Context, daemon gwpb.LLBBridgeClient, req *gwpb.NewContainerRequest,
) error {
	asked := req.ContainerID
	c := &Container{ID: rand.Text(), Network: req.Network, Mounts: len(req.Mounts)}
	if !s.reserve(asked, c) {
		return status.Errorf(codes.AlreadyExists, "Container %s already exists",
			safetext.Plain(asked))
	}
	req.ContainerID = c.ID
	if _, err := daemon.NewContainer(ctx, req); err != nil {
		s.remove(asked)
		if ctx.Err() != nil { // the daemon may have made it nevertheless
			release(ctx, daemon, c.ID)
		}
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	c.made = true
	return nil
}

// Take is [Containers.Find] of a container that the client has no more from now on.
func (s *Containers) Take(id string) (Container, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	c, err := s.find(id)
	if err == nil {
		delete(s.of, id)
	}
	return c, err
}

func (s *Containers) remove(id string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.of, id)
}

// reserve reports whether there was no container with this id.
func (s *Containers) reserve(id string, c *Container) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.of == nil {
		s.of = map[string]*Container{}
	}
	if s.of[id] != nil {
		return false
	}
	s.of[id] = c
	return true
}

// Release ends a container that the client has no more, even if ctx has ended. The daemon has
// forgotten the container even if it answers with the error of a process that was in it.
func (c Container) Release(
	ctx context.Context, daemon gwpb.LLBBridgeClient,
) (*gwpb.ReleaseContainerResponse, error) {
	ctx, cancel := releaseContext(ctx)
	defer cancel()
	return daemon.ReleaseContainer(ctx, &gwpb.ReleaseContainerRequest{ContainerID: c.ID})
}

// maxReleases is how many containers are released at the same time.
const maxReleases = 32

// ReleaseAll ends the containers that the client hasn't released.
func (s *Containers) ReleaseAll(ctx context.Context, daemon gwpb.LLBBridgeClient) {
	s.mu.Lock()
	left := s.of
	s.of = nil
	s.mu.Unlock()
	ctx, cancel := releaseContext(ctx)
	defer cancel()
	var releases errgroup.Group
	releases.SetLimit(maxReleases)
	for _, c := range left {
		releases.Go(func() error {
			_, err := daemon.ReleaseContainer(ctx, &gwpb.ReleaseContainerRequest{ContainerID: c.ID})
			return err
		})
	}
	_ = releases.Wait() // the daemon releases the others when the build ends
}

// release ends a container, even if the frontend that asked for it has ended. If that fails, the
// daemon ends the container at the latest when the build ends.
func release(ctx context.Context, daemon gwpb.LLBBridgeClient, id string) {
	_, _ = Container{ID: id}.Release(ctx, daemon)
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
