package guard

import (
	"context"
	"errors"
	"fmt"
	"path"
	"strings"

	gwpb "github.com/moby/buildkit/frontend/gateway/pb"
	"github.com/moby/buildkit/solver/errdefs"
	"github.com/moby/buildkit/solver/pb"
	"github.com/moby/buildkit/util/grpcerrors"
	spb "google.golang.org/genproto/googleapis/rpc/status"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/known/anypb"

	"github.com/policy-frontend/policy-frontend/frontend"
	"github.com/policy-frontend/policy-frontend/internal/safetext"
)

const (
	// maxContainers is how many containers a client can have in a build at once, and maxMounts how
	// many mounts in a container.
	maxContainers = 100
	maxMounts     = 100
)

// debugging is what a build knows of the containers that the client runs in it. The daemon ends
// those that are left when the build ends.
type debugging struct {
	containers frontend.Containers

	// mountable are the results that containers can have: what a frontend or allowed LLB has returned
	// to the client, and what the daemon has named in an error of a failed step. Under the build's
	// lock.
	mountable map[string]bool
	readOnly  bool // some results of the build are only for reading; under the build's lock

	running, started int // processes, under the build's lock
}

// noteMountable lets containers of the client have results.
func (b *build) noteMountable(ids []string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, id := range ids {
		if id == "" || b.mountable[id] || len(b.mountable) >= maxReferences {
			continue
		}
		if _, ok := b.account.tryTake(len(id) + heldByReference); !ok {
			return
		}
		if b.mountable == nil {
			b.mountable = map[string]bool{}
		}
		b.mountable[id] = true
	}
}

// noteReadOnly notes that the client gets a result that it may only read.
func (b *build) noteReadOnly() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.readOnly = true
}

// solveError is in the type of the detail of an error that names the results of a failed step
// (solver/errdefs).
const solveError = "errdefs.Solve"

// noteFailed lets containers of the client have the results that an error names: a client debugs a
// step that has failed with its inputs, and with what it has written until then. Where the client
// may only read some results, the error may be about one of those.
func (b *build) noteFailed(st *status.Status) {
	b.mu.Lock()
	readOnly := b.readOnly
	b.mu.Unlock()
	if readOnly {
		return
	}
	all := st.Proto().GetDetails()
	for _, d := range all[:min(len(all), maxErrorDetails)] {
		if !strings.Contains(d.GetTypeUrl(), solveError) {
			continue
		}
		var failed *errdefs.SolveError
		err := grpcerrors.FromGRPC(status.ErrorProto(&spb.Status{
			Code: st.Proto().GetCode(), Details: []*anypb.Any{d},
		}))
		if errors.As(err, &failed) {
			b.noteMountable(failed.GetInputIDs())
			b.noteMountable(failed.GetMountIDs())
		}
	}
}

// debugs returns the choice by which a container of the client is judged, if the policy lets
// clients have any. Its error completes "policy-guard refuses it: ".
func (b *build) debugs() (*frontend.Choice, error) {
	choice := b.chosen()
	l, err := b.policy.layers(b.by, nil)
	if choice != nil {
		l, err = choice.Layers(), nil
	}
	if err != nil {
		return nil, err
	}
	if err := denied(l, l.DecideDebug()); err != nil {
		return nil, err
	}
	switch {
	case b.hidden:
		return nil, errHidden
	case choice == nil:
		return nil, errors.New("the build has asked for nothing yet that a container could have")
	}
	return choice, nil
}

// debugged returns the build of a call about containers, and the choice by which they are judged.
func (c *call) debugged() (*build, *frontend.Choice, error) {
	b, err := c.bridgeBuild()
	if err != nil {
		return nil, nil, err
	}
	choice, err := b.debugs()
	if err == nil && choice.IsOwn() {
		if err := b.checkOwn(c); err != nil {
			return nil, nil, err
		}
	}
	if err != nil {
		return nil, nil, c.refuse(err)
	}
	return b, choice, nil
}

// newContainer has the daemon make a container for the client.
func (c *call) newContainer() error {
	b, choice, err := c.debugged()
	if err != nil {
		return err
	}
	var req gwpb.NewContainerRequest
	if err := c.receive(&req); err != nil {
		return err
	}
	if err := b.judgeContainer(&req); err != nil {
		return c.refuse(err)
	}
	ctx, end, err := b.evaluate(c)
	if err != nil {
		return err
	}
	defer end(nil)
	if err := choice.Container(ctx, &req, nil); err != nil {
		return b.refuseContainer(ctx, c, err)
	}
	held := len(req.ContainerID) + heldByReference
	if _, ok := b.account.tryTake(held); !ok {
		return c.noteFull(errMemory)
	}
	err = b.containers.Create(ctx, gwpb.NewLLBBridgeClient(b.connection(c)), &req)
	end(err)
	if err != nil {
		b.account.give(held)
		return b.toClient(ctx, c, err)
	}
	return c.send(&gwpb.NewContainerResponse{})
}

// refuseContainer is the error of a call about a container that the choice refuses.
func (b *build) refuseContainer(ctx context.Context, c *call, err error) error {
	if _, ok := frontend.DecisionOf(err); ok {
		return b.toClient(ctx, c, err)
	}
	return c.refuse(err)
}

// judgeContainer judges what no policy can allow a container of a client. Its error completes
// "policy-guard refuses it: ".
func (b *build) judgeContainer(req *gwpb.NewContainerRequest) error {
	switch {
	case b.containers.Len() >= maxContainers:
		return fmt.Errorf("the client has %d containers in this build", maxContainers)
	case len(req.ContainerID) > maxProcessID:
		return fmt.Errorf("the id of the container has more than %d characters", maxProcessID)
	case len(req.Mounts) > maxMounts:
		return fmt.Errorf("the container has more than %d mounts", maxMounts)
	case req.Network == pb.NetMode_HOST:
		return errors.New("containers of clients don't have the host's network, whatever the build may " +
			"have")
	}
	places := map[string]bool{}
	for _, m := range req.Mounts {
		dest := m.GetDest()
		if !path.IsAbs(dest) || path.Clean(dest) != dest || places[dest] {
			return fmt.Errorf("the mount at %s isn't at an absolute path in its shortest form, or there "+
				"are two", safetext.Plain(dest))
		}
		places[dest] = true
		if err := b.judgeMount(m); err != nil {
			return fmt.Errorf("the mount at %s: %w", safetext.Plain(dest), err)
		}
	}
	return nil
}

// judgeMount lets a container have results that are the client's, and empty directories in memory.
func (b *build) judgeMount(m *pb.Mount) error {
	switch m.GetMountType() {
	case pb.MountType_BIND:
		b.mu.Lock()
		defer b.mu.Unlock()
		if !b.mountable[m.GetResultID()] {
			return errors.New("it has a result that isn't the client's in this build, or that the client " +
				"may only read")
		}
		return nil
	case pb.MountType_TMPFS:
		if m.GetResultID() != "" {
			return errors.New("a tmpfs has no result")
		}
		return nil
	}
	return fmt.Errorf("containers of clients have no mounts of the type %s", m.GetMountType())
}

// container returns a container of the client by the client's id.
func (b *build) container(id string) (frontend.Container, error) {
	found, err := b.containers.Find(id)
	if err != nil {
		err = fmt.Errorf("it is about %w", err)
	}
	return found, err
}

// releaseContainer ends a container of the client.
func (c *call) releaseContainer() error {
	b, _, err := c.debugged()
	if err != nil {
		return err
	}
	var req gwpb.ReleaseContainerRequest
	if err := c.receive(&req); err != nil {
		return err
	}
	taken, err := b.containers.Take(req.ContainerID)
	if err != nil {
		return c.refuse(fmt.Errorf("it is about %w", err))
	}
	b.account.give(len(req.ContainerID) + heldByReference)
	ctx, stop := b.during(c.stream.Context())
	defer stop()
	resp, err := taken.Release(ctx, gwpb.NewLLBBridgeClient(b.connection(c)))
	if err := b.toClient(ctx, c, err); err != nil {
		return err
	}
	return c.send(resp)
}

// ofContainer is a request about a file in a mount of a container.
type ofContainer interface {
	ofReference
	GetMountIndex() int32
}

// readContainer passes on a call about a file in a container of the client.
func readContainer(req ofContainer, resp proto.Message) func(*call) error {
	return func(c *call) error {
		b, _, err := c.debugged()
		if err != nil {
			return err
		}
		req, resp := proto.Clone(req).(ofContainer), proto.Clone(resp)
		if err := c.receive(req); err != nil {
			return err
		}
		found, err := b.container(req.GetRef())
		if err != nil {
			return c.refuse(err)
		}
		if i := int(req.GetMountIndex()); i < 0 || i >= found.Mounts {
			return c.refuse(fmt.Errorf("the container has no mount %d", i))
		}
		m := req.ProtoReflect()
		m.Set(m.Descriptor().Fields().ByName("Ref"), protoreflect.ValueOfString(found.ID))
		return b.invoke(c, req, resp)
	}
}
