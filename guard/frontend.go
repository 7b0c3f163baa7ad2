package guard

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	gwpb "github.com/moby/buildkit/frontend/gateway/pb"
	"github.com/moby/buildkit/util/grpcerrors"
	digest "github.com/opencontainers/go-digest"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	"github.com/policy-frontend/policy-frontend/frontend"
	"github.com/policy-frontend/policy-frontend/internal/gatewayresult"
	"github.com/policy-frontend/policy-frontend/internal/llbops"
	"github.com/policy-frontend/policy-frontend/internal/safetext"
)

const (
	// maxAnswers is how many times a client may have frontends run in one build. buildx does it
	// twice if the first one doesn't know a subrequest.
	maxAnswers = 20
	// maxOwnAnswers is how many definitions of its own a client may have solved in one build. Programs
	// that make LLB send one for each step.
	maxOwnAnswers = 1000
	// maxReferences bounds the references that a build keeps.
	maxReferences = 10_000
	// heldByReference is about what a reference takes beside its name, in bytes.
	heldByReference = 64
	// maxOptions is how many options a request can have, and maxLocalSessions how many of them name
	// the session of a directory.
	maxOptions       = 10_000
	maxLocalSessions = 100
	// maxErrorDetails bounds the details of an error that a client returns. The daemon's time to
	// read it grows with the square of their number (util/grpcerrors, Code).
	maxErrorDetails = 100
)

// frontends is what a build knows of the frontends that it runs.
type frontends struct {
	deciding sync.Mutex // held while the guard finds out what a request asks for

	mu      sync.Mutex
	reading map[*reads]bool // what the guard itself reads now
	choice  *frontend.Choice
	builds  bool           // LLB of the client was allowed to do more than to read
	answers []*gwpb.Result // results that the client got, in the form of [canonical]
	refs    map[string]bool
	// starting are the frontends in containers that haven't returned, and of which nobody knows that
	// they have started.
	starting map[*start]bool
	pong     []byte // what the daemon answered to the client's ping; nil for nothing

	warnings, warningBytes int // of the client
}

// bridgeBuild returns the build that a call of LLBBridge is about.
func (c *call) bridgeBuild() (*build, error) {
	ref, err := c.buildRef()
	if err != nil {
		return nil, err
	}
	b, err := c.guard.builds.find(c.stream.Context(), ref)
	var r *refusedBuildError
	if errors.As(err, &r) {
		return nil, r.err
	}
	if err != nil {
		return nil, c.refuse(err)
	}
	c.record = b.record
	if !b.by.Equal(c.client) && b.policy.NamesClients() != "" {
		return nil, c.refuse(fmt.Errorf("the build was begun by %s, and this is %s, so other rules may "+
			"be for it", b.by, c.client))
	}
	return b, nil
}

// bridgeSolve decides on a frontend and has the daemon run it.
func (c *call) bridgeSolve() error {
	b, err := c.bridgeBuild()
	if err != nil {
		return err
	}
	var req gwpb.SolveRequest
	if err := c.receive(&req); err != nil {
		return err
	}
	b.record.asks(&req)
	switch {
	case !req.AllowResultReturn || !req.AllowResultArrayRef:
		return c.refuse(errors.New("it asks for a result in an obsolete form"))
	case req.Definition != nil &&
		(req.Frontend != "" || len(req.FrontendOpt) > 0 || len(req.FrontendInputs) > 0):
		return c.refuse(errors.New("it has both a definition, and a frontend or what one would get"))
	}
	if err := tightens(req.SourcePolicies); err != nil {
		return c.refuse(err)
	}
	if err := b.judgeOptions(&req); err != nil {
		return c.refuse(err)
	}
	if err := b.judgeCaches(&req); err != nil {
		return c.refuse(err)
	}
	if err := b.checkHidden(&req); err != nil {
		return c.refuse(err)
	}
	ctx, end, err := b.evaluate(c)
	if err != nil {
		return err
	}
	res, err := b.run(ctx, c, &req)
	end(err)
	if err := b.toClient(ctx, c, err); err != nil {
		return err
	}
	return c.send(&gwpb.SolveResponse{Result: res})
}

// during returns a context that also ends with the build.
func (b *build) during(ctx context.Context) (context.Context, func()) {
	ctx, cancel := context.WithCancelCause(ctx)
	stop := context.AfterFunc(b.ctx, func() { cancel(context.Cause(b.ctx)) })
	return ctx, func() { stop(); cancel(nil) }
}

// run has the daemon run the frontend that the request means, or solve the client's own definition,
// and returns the result.
func (b *build) run(
	ctx context.Context, c *call, req *gwpb.SolveRequest,
) (_ *gwpb.Result, err error) {
	defer b.guard.contain(b.who, c.method, &err)
	if req.Frontend == "" { // a request for nothing gets nothing, as from the daemon
		return b.solveOwn(ctx, c, req)
	}
	choice, err := b.decide(ctx, c, req)
	if err != nil {
		return nil, err
	}
	if choice.Answer != nil {
		res := &gwpb.Result{
			Result: &gwpb.Result_Ref{Ref: &gwpb.Ref{}}, Metadata: choice.Answer.Metadata,
		}
		return res, b.keep(res)
	}
	if err := b.entitled(choice.Decision); err != nil {
		return nil, err
	}
	if !choice.Deadline.IsZero() {
		var cancel context.CancelFunc
		ctx, cancel = context.WithDeadlineCause(ctx, choice.Deadline, errSlow)
		defer cancel()
	}
	returned := func() {}
	if choice.InContainer() {
		if returned, err = b.beginStart(ctx); err != nil {
			return nil, err
		}
	}
	var announcing sync.WaitGroup
	var unread error
	announcing.Go(func() {
		defer b.guard.contain(b.who, c.method, &unread)
		unread = choice.Announce(ctx)
	})
	daemon := gwpb.NewLLBBridgeClient(b.connection(c))
	resp, err := daemon.Solve(ctx, &gwpb.SolveRequest{
		Frontend: choice.Frontend, FrontendOpt: choice.Options, FrontendInputs: choice.Inputs,
		AllowResultReturn: true, AllowResultArrayRef: true,
	})
	returned()
	announcing.Wait()
	switch {
	case errors.Is(context.Cause(ctx), errSlow):
		return nil, errSlow
	case err != nil && unread != nil:
		return nil, unread
	case err != nil:
		return nil, err
	}
	res := resp.GetResult()
	if !gatewayresult.IsKnown(res) {
		return nil, errors.New("policy-guard: the daemon sent a result in an unknown form")
	}
	for ref := range gatewayresult.References(res) {
		b.noteSources(ref.GetDef())
	}
	if b.isHiddenResult(res) {
		return nil, c.refuse(errHidden)
	}
	if err := choice.CheckApart(ctx, res); err != nil {
		return nil, err
	}
	b.warnAgain(ctx)
	if req.Evaluate {
		for _, ref := range references(res) {
			if _, err := daemon.Evaluate(ctx, &gwpb.EvaluateRequest{Ref: ref}); err != nil {
				return nil, err
			}
		}
	}
	if err := reportDecision(res, choice); err != nil {
		return nil, err
	}
	b.record.reported(res.GetMetadata()[frontend.MetadataKey])
	b.made(b.asResults(req.FrontendOpt, identities(res)), b.makerOf(choice, res))
	if err := b.keep(res); err != nil {
		return nil, err
	}
	b.noteMountable(references(res))
	return res, nil
}

// reportDecision puts the decision into a result, unless the policy frontend's image has done so.
func reportDecision(res *gwpb.Result, choice *frontend.Choice) error {
	if choice.Mediated {
		if len(res.GetMetadata()[frontend.MetadataKey]) == 0 {
			return errors.New("policy-guard: the image of --image reported no decision")
		}
		return nil
	}
	decision, err := json.Marshal(choice.Decision)
	if err != nil {
		return err
	}
	if res.Metadata == nil {
		res.Metadata = map[string][]byte{}
	}
	res.Metadata[frontend.MetadataKey] = decision
	return nil
}

var errSlow = status.Error(codes.DeadlineExceeded,
	"policy-guard: the frontend took longer than the policy allows (limits.timeout)")

// decide decides on the frontend that the request means. All requests of a build have to mean the
// same one: the daemon's questions about sources don't say for which request they are.
func (b *build) decide(
	ctx context.Context, c *call, req *gwpb.SolveRequest,
) (*frontend.Choice, error) {
	b.deciding.Lock()
	defer b.deciding.Unlock()
	reads := b.beginReads()
	defer reads.end()
	client, err := b.reader(ctx, c, req.FrontendOpt, reads)
	if err != nil {
		return nil, err
	}
	if b.chosen() == nil {
		if err := b.checkPolicy(c); err != nil {
			return nil, err
		}
	}
	began := time.Now()
	f := b.policy.frontend(b.by)
	f.Mediator, f.CacheMounts = b.guard.image, b.cacheMounts(req.FrontendOpt)
	f.Apart, f.Inputs = b.apartFor(req.FrontendOpt), req.FrontendInputs
	f.Answered = func(id digest.Digest) bool { return b.hasInput(req.FrontendOpt, id.String()) }
	choice, err := f.Choose(ctx, client, req.Frontend)
	if err != nil || choice.Answer != nil {
		return choice, err
	}
	if err := cmp.Or(b.checkApartSBOM(choice, req), b.mayImportBy(choice.Decision)); err != nil {
		return nil, c.refuse(err)
	}
	b.noteDecision(choice.Decision, time.Since(began))
	switch before := b.chosen(); {
	case before.IsOwn():
		return nil, c.refuse(errors.New("in this build the client has sent LLB or looked something up " +
			"already; begin another build for a frontend"))
	case before != nil && !before.Same(choice):
		return nil, c.refuse(errors.New("this build has a frontend already, which was allowed by " +
			"another decision; begin another build"))
	}
	if b.chosen() == nil { // a later one is the same, and only for its own request
		if _, ok := b.account.tryTake(heldByChoice(req)); !ok {
			return nil, c.noteFull(errMemory)
		}
		b.choose(choice)
	}
	b.noteUnwatched(choice)
	return choice, nil
}

// heldByChoice returns about how many bytes a choice keeps of a request. It has several copies of
// the options.
func heldByChoice(req *gwpb.SolveRequest) int {
	const copies, entry = 4, 100
	return copies * (proto.Size(req) + entry*len(req.FrontendOpt))
}

// keep remembers a result that the client gets.
func (b *build) keep(res *gwpb.Result) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	ids, most := references(res), maxAnswers
	if b.choice.IsOwn() {
		most = maxOwnAnswers
	}
	if len(b.answers) >= most || len(b.refs)+len(ids) > maxReferences {
		return errors.New("policy-guard: the build has too many results")
	}
	if b.refs == nil {
		b.refs = map[string]bool{}
	}
	kept := canonical(res)
	size := proto.Size(kept)
	for _, id := range ids {
		size += len(id) + heldByReference
	}
	if _, ok := b.account.tryTake(size); !ok {
		return errMemory
	}
	for _, id := range ids {
		b.refs[id] = true
	}
	b.answers = append(b.answers, kept)
	return nil
}

// references returns the ids of all references in a result.
func references(res *gwpb.Result) []string {
	var ids []string
	for ref := range gatewayresult.References(res) {
		if ref.GetId() != "" {
			ids = append(ids, ref.GetId())
		}
	}
	return ids
}

// identities returns what the references of a result build. A client may build on that.
func identities(res *gwpb.Result) []string {
	var ids []string
	for ref := range gatewayresult.References(res) {
		if len(ref.GetDef().GetDef()) == 0 {
			continue
		}
		if id, _, err := llbops.Identity(ref.GetDef()); err == nil {
			ids = append(ids, id.String())
		}
	}
	return ids
}

// canonical returns the part of a result that a client sends back unchanged. Definitions are only
// for the client.
func canonical(res *gwpb.Result) *gwpb.Result {
	c := &gwpb.Result{Metadata: res.GetMetadata()}
	switch r := res.GetResult().(type) {
	case *gwpb.Result_Ref:
		c.Result = &gwpb.Result_Ref{Ref: &gwpb.Ref{Id: r.Ref.GetId()}}
	case *gwpb.Result_Refs:
		refs := map[string]*gwpb.Ref{}
		for name, ref := range r.Refs.GetRefs() {
			refs[name] = &gwpb.Ref{Id: ref.GetId()}
		}
		c.Result = &gwpb.Result_Refs{Refs: &gwpb.RefMap{Refs: refs}}
	}
	for name, as := range res.GetAttestations() {
		if c.Attestations == nil {
			c.Attestations = map[string]*gwpb.Attestations{}
		}
		kept := &gwpb.Attestations{}
		for _, a := range as.GetAttestation() {
			kept.Attestation = append(kept.Attestation, &gwpb.Attestation{
				Kind: a.GetKind(), Metadata: a.GetMetadata(), Ref: &gwpb.Ref{Id: a.GetRef().GetId()},
				Path: a.GetPath(), InTotoPredicateType: a.GetInTotoPredicateType(),
				InTotoSubjects: a.GetInTotoSubjects(),
			})
		}
		c.Attestations[name] = kept
	}
	return c
}

// bridgeReturn passes on the result of a build. It has to be one that the client got, or an error.
func (c *call) bridgeReturn() error {
	b, err := c.bridgeBuild()
	if err != nil {
		return err
	}
	var req gwpb.ReturnRequest
	if err := c.receive(&req); err != nil {
		return err
	}
	switch {
	case (req.Result == nil) == (req.Error == nil):
		return c.refuse(errors.New("it has to return either a result or an error"))
	case req.Error != nil:
		req.Error.Details = req.Error.Details[:min(len(req.Error.Details), maxErrorDetails)]
	case !b.answered(req.Result):
		return c.refuse(errors.New("the result isn't one that a frontend returned in this build"))
	case !b.mayExport(req.Result):
		return c.refuse(errNotExported)
	default:
		req.Result = canonical(req.Result)
	}
	if !b.settle() {
		b.cancel(errStillRuns)
		return b.broken()
	}
	return b.invoke(c, &req, &gwpb.ReturnResponse{})
}

// errStillRuns ends a build whose commands can't be stopped before it ends.
var errStillRuns = brokenError("commands of a call that failed or was ended early still run")

// invoke makes a call about the build at the daemon, and answers the client.
func (b *build) invoke(c *call, req, resp proto.Message) error {
	ctx := c.outgoing(c.stream.Context(), buildIDHeader, b.ref)
	if err := c.ask(ctx, c.method, req, resp); err != nil {
		return b.fromDaemon(err)
	}
	return c.send(resp)
}

// empty is what a client returns that only asked for the daemon's capabilities, as buildx does.
var empty = &gwpb.Result{Result: &gwpb.Result_Ref{Ref: &gwpb.Ref{}}}

// answered reports whether the client got this result, or it is empty.
func (b *build) answered(res *gwpb.Result) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	returned := canonical(res)
	return proto.Equal(returned, empty) || slices.ContainsFunc(b.answers, func(a *gwpb.Result) bool {
		return proto.Equal(a, returned)
	})
}

// errNotExported refuses a result that went nowhere if the client just read it.
var errNotExported = errors.New("the policy lets the client read this, and not export it: no " +
	"frontend made it")

// mayExport reports whether the build may return a result to which the client has come without a
// frontend. What the client only reads goes nowhere: the build has no exporters.
func (b *build) mayExport(res *gwpb.Result) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	switch {
	case !b.exports:
		return true
	case proto.Equal(canonical(res), empty):
		return false
	}
	return !b.choice.IsOwn() || b.choice.Exportable()
}

// ofReference is a request about a reference.
type ofReference interface {
	proto.Message
	GetRef() string
}

// read passes on a call about a reference that the client got.
func read(req ofReference, resp proto.Message) func(*call) error {
	return func(c *call) error {
		b, err := c.bridgeBuild()
		if err != nil {
			return err
		}
		req, resp := proto.Clone(req).(ofReference), proto.Clone(resp)
		if err := c.receive(req); err != nil {
			return err
		}
		if m, ok := req.(ofContainer); ok && m.GetMountIndex() != 0 {
			return c.refuse(errors.New("the request sets MountIndex, which is for containers"))
		}
		b.mu.Lock()
		own := b.refs[req.GetRef()]
		b.mu.Unlock()
		if !own {
			return c.refuse(errors.New("the reference isn't one that a frontend returned in this build"))
		}
		ctx, end, err := b.evaluate(c)
		if err != nil {
			return err
		}
		err = c.ask(c.outgoing(ctx, buildIDHeader, b.ref), c.method, req, resp)
		end(err)
		if err != nil {
			return b.fromDaemon(err)
		}
		return c.send(resp)
	}
}

// connection makes calls of the build at the daemon. Their errors have types.
func (b *build) connection(c *call) grpc.ClientConnInterface { return connection{b, c} }

type connection struct {
	build *build
	call  *call
}

// Invoke implements [grpc.ClientConnInterface].
func (c connection) Invoke(
	ctx context.Context, method string, args, reply any, opts ...grpc.CallOption,
) error {
	ctx = c.call.outgoing(ctx, buildIDHeader, c.build.ref)
	return grpcerrors.FromGRPC(c.call.ask(ctx, method, args, reply, opts...))
}

// NewStream implements [grpc.ClientConnInterface]. It fails: the guard runs no processes.
func (c connection) NewStream(
	context.Context, *grpc.StreamDesc, string, ...grpc.CallOption,
) (grpc.ClientStream, error) {
	return nil, errors.New("internal: the guard makes no streams of its own")
}

// unjudged are options that no policy can allow yet, and why.
var unjudged = map[string]string{
	"cgroup-parent": "it chooses the control group of commands",
	"device":        "it asks for devices",
}

// localSession is the prefix of options that name the session of a directory.
const localSession = "local-sessionid:"

// judgeOptions judges the options of a frontend that mean something to the daemon, whatever the
// policy says, and those that ask for attestations. It brings these into the form that was judged.
// Its error completes "policy-guard refuses it: ".
func (b *build) judgeOptions(req *gwpb.SolveRequest) error {
	if len(req.FrontendOpt) > maxOptions {
		return fmt.Errorf("it has more than %d options", maxOptions)
	}
	sessions := 0
	for key, value := range req.FrontendOpt {
		why := unjudged[key]
		switch {
		case why != "" && value != "":
			return fmt.Errorf("of the option %s: %s, and no policy can allow that yet", key, why)
		case strings.HasPrefix(key, localSession):
			if sessions++; sessions > maxLocalSessions {
				return fmt.Errorf("it has more than %d options %s", maxLocalSessions, localSession)
			}
			if err := b.guard.sessions.claim(value, b.who); err != nil {
				return fmt.Errorf("of the option %s: %w", safetext.Plain(key), err)
			}
		}
	}
	return b.judgeSBOM(req)
}
