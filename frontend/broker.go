package frontend

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"path"
	"slices"
	"sync"
	"time"

	gwpb "github.com/moby/buildkit/frontend/gateway/pb"
	"github.com/moby/buildkit/solver/pb"
	"github.com/moby/buildkit/util/apicaps"
	apicapspb "github.com/moby/buildkit/util/apicaps/pb"
	"github.com/moby/buildkit/util/grpcerrors"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	"github.com/policy-frontend/policy-frontend/internal/llbops"
)

// broker serves the gateway API to one inner frontend. What the frontend asks is
// judged and passed on to the daemon; calls that the broker doesn't know are
// answered as unimplemented.
//
// All inner frontends of a build share one connection to the daemon, and so one
// space of names. The broker knows which references and containers are its own
// frontend's.
type broker struct {
	gwpb.UnimplementedLLBBridgeServer
	name    string // of the inner frontend
	build   *build // with the inner frontend's options and inputs
	daemon  gwpb.LLBBridgeClient
	monitor *monitor
	stop    context.CancelCauseFunc // ends the inner frontend

	mu         sync.Mutex
	refs       map[string]*pb.Definition // by id; what the daemon says it is made of, if another frontend may build on it
	keptBytes  int                       // bytes of these definitions
	containers map[string]container      // by the frontend's id
	returned   chan struct{}             // closed by Return
	result     *gwpb.Result
	failure    error // with its types, as the frontend returned it
}

func (b *build) newBroker(name string, m *monitor, stop context.CancelCauseFunc) *broker {
	return &broker{
		name: name, build: b, daemon: b.bridge.raw, monitor: m, stop: stop,
		refs: map[string]*pb.Definition{}, containers: map[string]container{}, returned: make(chan struct{}),
	}
}

// refusalGrace is how long a frontend may run on after a refusal. It may know which
// line of the build file asked for what was refused, and say so in its error.
const refusalGrace = 2 * time.Second

// errorFor prepares an error for the inner frontend. A refusal ends it: whatever it
// goes on to do, the build is refused.
func (s *broker) errorFor(ctx context.Context, err error) error {
	var r *refusal
	if errors.As(err, &r) {
		s.monitor.remember(r)
		time.AfterFunc(refusalGrace, func() { s.stop(r) })
		err = s.build.deny(ctx, r)
	}
	return grpcerrors.ToGRPC(ctx, err)
}

// rejectUnknown refuses calls with fields that this program doesn't know, and every call
// but the last after a refusal (grpc.UnaryServerInterceptor).
func (s *broker) rejectUnknown(ctx context.Context, req any, info *grpc.UnaryServerInfo, handle grpc.UnaryHandler) (any, error) {
	if err := s.monitor.refused(); err != nil && info.FullMethod != gwpb.LLBBridge_Return_FullMethodName {
		select { // an answer now could overtake the one by which the frontend knows the line
		case <-ctx.Done():
		case <-time.After(refusalGrace):
		}
		return nil, s.errorFor(ctx, err)
	}
	if m, ok := req.(proto.Message); ok && llbops.HasUnknownFields(m) {
		return nil, s.errorFor(ctx, s.monitor.refuseUnknown(path.Base(info.FullMethod)+" with something that this version does not know"))
	}
	return handle(ctx, req)
}

// Ping answers what the daemon can do, as far as it can be judged: a frontend must
// not use what is newer than this program.
func (s *broker) Ping(ctx context.Context, req *gwpb.PingRequest) (*gwpb.PongResponse, error) {
	pong, err := s.build.bridge.Ping(ctx, req)
	if err != nil {
		return nil, err
	}
	return &gwpb.PongResponse{
		FrontendAPICaps: intersectCaps(pong.FrontendAPICaps, gwpb.Caps.All()),
		LLBCaps:         intersectCaps(pong.LLBCaps, pb.Caps.All()),
		Workers:         pong.Workers,
	}, nil
}

func intersectCaps(caps, all []*apicapspb.APICap) []*apicapspb.APICap {
	ids := make(map[apicaps.CapID]struct{}, len(all))
	for _, c := range all {
		ids[apicaps.CapID(c.ID)] = struct{}{}
	}
	var both []*apicapspb.APICap
	for _, c := range caps {
		if _, ok := ids[apicaps.CapID(c.ID)]; ok {
			both = append(both, c)
		}
	}
	return both
}

// Inputs answers the frontend inputs. What of them is built is judged when it is.
func (s *broker) Inputs(context.Context, *gwpb.InputsRequest) (*gwpb.InputsResponse, error) {
	return &gwpb.InputsResponse{Definitions: s.build.inputs}, nil
}

// Warn shows a warning of the inner frontend.
func (s *broker) Warn(ctx context.Context, req *gwpb.WarnRequest) (*gwpb.WarnResponse, error) {
	return s.daemon.Warn(ctx, req)
}

// maxDetails bounds the details of an error: the time that it takes to look into one
// grows with the square of their number (util/grpcerrors, Code).
const maxDetails = 100

// Return takes the inner frontend's result. It becomes the build's when the
// frontend has ended.
func (s *broker) Return(ctx context.Context, req *gwpb.ReturnRequest) (*gwpb.ReturnResponse, error) {
	var failure error
	switch {
	case (req.Result == nil) == (req.Error == nil):
		return nil, status.Error(codes.InvalidArgument, "a frontend returns a result or an error")
	case req.Error != nil:
		req.Error.Details = req.Error.Details[:min(len(req.Error.Details), maxDetails)]
		failure = grpcerrors.FromGRPC(status.ErrorProto(req.Error))
		if failure == nil { // the code is OK
			failure = errors.New("the frontend returned an error that is none")
		}
	default:
		if err := s.checkReturned(req.Result); err != nil {
			return nil, s.errorFor(ctx, err)
		}
		if err := s.monitor.result(ctx, s.build, req.Result); err != nil {
			return nil, s.errorFor(ctx, err)
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	select {
	case <-s.returned:
		return nil, status.Error(codes.FailedPrecondition, "a frontend returns once")
	default:
	}
	s.result, s.failure = req.Result, failure
	close(s.returned)
	return &gwpb.ReturnResponse{}, nil
}

// outcome is what the inner frontend returned; ok is false if it has not.
func (s *broker) outcome() (res *gwpb.Result, err error, ok bool) {
	select {
	case <-s.returned:
	default:
		return nil, nil, false
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.result, s.failure, true
}

// track remembers the references of a result as the inner frontend's.
func (s *broker) track(res *gwpb.Result) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for ref := range refsOf(res) {
		if ref.GetId() == "" {
			continue
		}
		s.refs[ref.GetId()] = nil
		// The frontend that gets the result may build on it.
		if size := proto.Size(ref.GetDef()); s.build.nested && s.keptBytes+size <= maxKeptBytes {
			s.refs[ref.GetId()] = ref.GetDef()
			s.keptBytes += size
		}
	}
	for id := range deprecatedRefsOf(res) {
		if id != "" {
			s.refs[id] = nil
		}
	}
}

// maxKeptBytes bounds the definitions of a frontend's references that are kept, in bytes.
// Others can't be built on by the frontend that gets them, as those of old daemons.
const maxKeptBytes = 64 << 20

// checkRef fails unless the reference is the inner frontend's own.
func (s *broker) checkRef(id string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, ok := s.refs[id]; !ok {
		return s.monitor.refuseUnknown(fmt.Sprintf("a reference that is not its own, %s", printable(id)))
	}
	return nil
}

// definition is what the daemon says that a reference is made of; nil if nobody but
// the daemon needs to know.
func (s *broker) definition(id string) *pb.Definition {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.refs[id]
}

// checkReturned checks the references of a returned result and takes the definitions out
// of it that the frontend says they have: the daemon knows them, by their ids.
func (s *broker) checkReturned(res *gwpb.Result) error {
	var ids []string
	for ref := range refsOf(res) {
		ref.Def = s.definition(ref.Id)
		ids = append(ids, ref.Id)
	}
	for _, id := range slices.AppendSeq(ids, deprecatedRefsOf(res)) {
		if id == "" { // an empty result
			continue
		}
		if err := s.checkRef(id); err != nil {
			return err
		}
	}
	for _, as := range res.GetAttestations() {
		for _, a := range as.GetAttestation() {
			if a != nil && a.Ref == nil {
				a.Ref = &gwpb.Ref{} // whoever reads the result takes it for granted (grpcclient, Solve)
			}
		}
	}
	return nil
}

// deprecatedRefsOf yields the ids of a result in the form of old frontends.
func deprecatedRefsOf(res *gwpb.Result) func(yield func(string) bool) {
	switch r := res.GetResult().(type) {
	case *gwpb.Result_RefDeprecated:
		return slices.Values([]string{r.RefDeprecated})
	case *gwpb.Result_RefsDeprecated:
		return maps.Values(r.RefsDeprecated.GetRefs())
	}
	return func(func(string) bool) {}
}

// refsOf yields the references of a result, those of attestations too.
func refsOf(res *gwpb.Result) func(yield func(*gwpb.Ref) bool) {
	return func(yield func(*gwpb.Ref) bool) {
		some := func(ref *gwpb.Ref) bool { return ref == nil || yield(ref) }
		switch r := res.GetResult().(type) {
		case *gwpb.Result_Ref:
			if !some(r.Ref) {
				return
			}
		case *gwpb.Result_Refs:
			for _, ref := range r.Refs.GetRefs() {
				if !some(ref) {
					return
				}
			}
		}
		for _, as := range res.GetAttestations() {
			for _, a := range as.GetAttestation() {
				if !some(a.GetRef()) {
					return
				}
			}
		}
	}
}
