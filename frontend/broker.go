package frontend

import (
	"context"
	"errors"
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

	"github.com/policy-frontend/policy-frontend/internal/gatewayresult"
	"github.com/policy-frontend/policy-frontend/internal/llbops"
	"github.com/policy-frontend/policy-frontend/internal/safetext"
)

// broker serves the gateway API to one inner frontend. It checks each call and passes it on to the
// daemon. Calls that it doesn't know get the code Unimplemented.
//
// All inner frontends of a build share one connection to the daemon, so they also share one
// namespace of references and containers. The broker knows the ones that belong to its frontend.
type broker struct {
	gwpb.UnimplementedLLBBridgeServer
	name    string // of the inner frontend
	build   *build // with the inner frontend's options and inputs
	daemon  gwpb.LLBBridgeClient
	monitor *monitor
	stop    context.CancelCauseFunc // ends the inner frontend

	account *account // in the build's budget

	containers Containers

	mu       sync.Mutex
	refs     map[string]*pb.Definition // by id; nil unless another frontend may build on it
	returned chan struct{}             // closed by Return
	result   *gwpb.Result
	failure  error // as the frontend returned it, with its types
}

func (b *build) newBroker(name string, m *monitor, stop context.CancelCauseFunc) *broker {
	return &broker{
		name: name, build: b, daemon: b.bridge.raw, monitor: m, stop: stop,
		account: m.budget.open(),
		refs:    map[string]*pb.Definition{}, returned: make(chan struct{}),
	}
}

// refusalGrace is how long a frontend may continue after a refusal. It may know the line of the
// build file that caused the refused operation, and name that line in its error.
const refusalGrace = 2 * time.Second

// errorFor prepares an error for the inner frontend. A refusal stops the frontend after
// [refusalGrace], and the build is refused whatever the frontend does until then.
func (s *broker) errorFor(ctx context.Context, err error) error {
	var r *refusal
	if errors.As(err, &r) {
		s.monitor.remember(r)
		if !r.goesOn {
			time.AfterFunc(refusalGrace, func() { s.stop(r) })
		}
		err = r.denial(r.origin, r.origin.step()) // the build file is read for the client only
	}
	return grpcerrors.ToGRPC(ctx, withWholeText(err))
}

// rejectUnknown refuses calls with fields that this program doesn't know. After a refusal it
// refuses every call but Return.
func (s *broker) rejectUnknown(
	ctx context.Context, req any, info *grpc.UnaryServerInfo, handle grpc.UnaryHandler,
) (any, error) {
	isReturn := info.FullMethod == gwpb.LLBBridge_Return_FullMethodName
	if err := s.monitor.refused(); err != nil && !isReturn {
		select { // an immediate answer could overtake the one that tells the frontend its line
		case <-ctx.Done():
		case <-time.After(refusalGrace):
		}
		return nil, s.errorFor(ctx, err)
	}
	if m, ok := req.(proto.Message); ok && llbops.HasUnknownFields(m) {
		return nil, s.errorFor(ctx, s.monitor.refuseUnknown(
			"a call of %s with fields that this version doesn't know", path.Base(info.FullMethod)))
	}
	return handle(ctx, req)
}

// Ping answers with the capabilities of the daemon that this program knows too. It can't check
// operations that are newer than itself, so an inner frontend must not use them.
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

// intersectCaps returns the capabilities of caps that are also in all.
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

// Inputs returns the frontend inputs. They are checked when the frontend builds them.
func (s *broker) Inputs(context.Context, *gwpb.InputsRequest) (*gwpb.InputsResponse, error) {
	return &gwpb.InputsResponse{Definitions: s.build.inputs}, nil
}

// maxDetails bounds the details of an error. The time to read an error grows with the square of
// their number (util/grpcerrors, Code).
const maxDetails = 100

// Return takes the inner frontend's result. When the frontend has ended, it becomes the build's
// result.
func (s *broker) Return(
	ctx context.Context, req *gwpb.ReturnRequest,
) (*gwpb.ReturnResponse, error) {
	var failure error
	switch {
	case (req.Result == nil) == (req.Error == nil):
		return nil, status.Error(codes.InvalidArgument,
			"a frontend must return either a result or an error")
	case req.Error != nil:
		req.Error.Details = req.Error.Details[:min(len(req.Error.Details), maxDetails)]
		failure = grpcerrors.FromGRPC(status.ErrorProto(req.Error))
		if failure == nil { // the code is OK
			failure = errors.New("the frontend returned an error with the code OK")
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
		return nil, status.Error(codes.FailedPrecondition, "the frontend has returned already")
	default:
	}
	s.result, s.failure = req.Result, failure
	close(s.returned)
	return &gwpb.ReturnResponse{}, nil
}

// outcome returns what the inner frontend returned. ok is false if it hasn't returned yet.
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

// perKept is about how many bytes the broker takes for each id that it keeps.
const perKept = 256

// track records the references of a result as the inner frontend's own. The error is a *refusal if
// the build has no memory left for them.
//
// The frontend that receives the result of a nested one may build on it, so track keeps the
// definitions too. Beyond the budget's bound for them it can't, as is the case for all references
// of old daemons.
func (s *broker) track(ctx context.Context, res *gwpb.Result) error {
	own := map[string]*pb.Definition{}
	for ref := range gatewayresult.References(res) {
		own[ref.GetId()] = ref.GetDef()
	}
	for id := range deprecatedRefsOf(res) {
		own[id] = nil
	}
	delete(own, "")
	for id, def := range own {
		if !s.build.nested || def == nil || !s.account.keepDefinition(llbops.WeighDefinition(def)) {
			def = nil
		}
		if err := s.take(ctx, len(id)+perKept); err != nil {
			return err
		}
		s.mu.Lock()
		s.refs[id] = def
		s.mu.Unlock()
	}
	return nil
}

// checkRef fails unless the reference is the inner frontend's own.
func (s *broker) checkRef(id string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, ok := s.refs[id]; !ok {
		return s.monitor.refuseUnknown("the reference %s, which isn't its own", safetext.Plain(id))
	}
	return nil
}

// definition returns the daemon's definition of a reference. It is nil if only the daemon needs to
// know it.
func (s *broker) definition(id string) *pb.Definition {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.refs[id]
}

// checkReturned checks that the references of a returned result are the inner frontend's own. It
// replaces the definitions that the frontend claims for them with the daemon's.
func (s *broker) checkReturned(res *gwpb.Result) error {
	var ids []string
	for ref := range gatewayresult.References(res) {
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
				a.Ref = &gwpb.Ref{} // readers of the result rely on it (grpcclient, Solve)
			}
		}
	}
	return nil
}

// deprecatedRefsOf yields the ids of references in the form that old frontends return.
func deprecatedRefsOf(res *gwpb.Result) func(yield func(string) bool) {
	switch r := res.GetResult().(type) {
	case *gwpb.Result_RefDeprecated:
		return slices.Values([]string{r.RefDeprecated})
	case *gwpb.Result_RefsDeprecated:
		return maps.Values(r.RefsDeprecated.GetRefs())
	}
	return func(func(string) bool) {}
}
