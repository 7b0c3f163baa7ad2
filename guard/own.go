package guard

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	controlapi "github.com/moby/buildkit/api/services/control"
	"github.com/moby/buildkit/client/llb/sourceresolver"
	"github.com/moby/buildkit/frontend/gateway/client"
	"github.com/moby/buildkit/frontend/gateway/grpcclient"
	gwpb "github.com/moby/buildkit/frontend/gateway/pb"
	"github.com/moby/buildkit/solver/pb"
	spb "github.com/moby/buildkit/sourcepolicy/pb"
	"github.com/moby/buildkit/sourcepolicy/policysession"
	"github.com/moby/buildkit/util/grpcerrors"
	"google.golang.org/grpc/status"

	"github.com/policy-frontend/policy-frontend/frontend"
)

// solveOwn has the daemon solve a definition that the client made, if the policy allows that. The
// operations of the definition stay as they are: their digests are what refers to them.
func (b *build) solveOwn(
	ctx context.Context, c *call, req *gwpb.SolveRequest,
) (*gwpb.Result, error) {
	if len(req.Definition.GetDef()) == 0 {
		return &gwpb.Result{Result: &gwpb.Result_Ref{Ref: &gwpb.Ref{}}}, nil
	}
	choice, err := b.own(ctx, c, req.FrontendOpt)
	if err != nil {
		return nil, err
	}
	policies, readOnly, err := choice.Definition(ctx, req.Definition)
	if err != nil {
		return nil, err
	}
	if readOnly {
		b.noteReadOnly()
	} else {
		b.noteBuilds()
	}
	b.noteSources(req.Definition)
	resp, err := gwpb.NewLLBBridgeClient(b.connection(c)).Solve(ctx, &gwpb.SolveRequest{
		Definition: req.Definition, Evaluate: req.Evaluate, CacheImports: req.CacheImports,
		SourcePolicies:    slices.Concat(req.SourcePolicies, policies),
		AllowResultReturn: true, AllowResultArrayRef: true,
	})
	if err != nil {
		return nil, err
	}
	res := resp.GetResult()
	if _, ok := res.GetResult().(*gwpb.Result_Ref); !ok {
		return nil, errors.New("policy-guard: the daemon sent a result in an unknown form")
	}
	if err := b.keep(res); err != nil {
		return nil, err
	}
	if !readOnly {
		b.noteMountable(references(res))
	}
	return res, nil
}

// own returns the choice for what the client asks for by itself. Such a build runs no frontend: the
// daemon's questions about sources don't say for which request they are.
func (b *build) own(
	ctx context.Context, c *call, opts map[string]string,
) (*frontend.Choice, error) {
	b.deciding.Lock()
	defer b.deciding.Unlock()
	switch choice := b.chosen(); {
	case choice.IsOwn():
		return choice, b.checkOwn(c)
	case choice != nil:
		return nil, c.refuse(errors.New("this build has a frontend already; begin another build for " +
			"LLB that no frontend made"))
	}
	reads := b.beginReads()
	defer reads.end()
	client, err := b.reader(ctx, c, opts, reads)
	if err != nil {
		return nil, err
	}
	if err := b.checkPolicy(c); err != nil {
		return nil, err
	}
	began := time.Now()
	f := b.policy.frontend(b.by)
	f.Apart = b.apartFor(nil)
	choice, err := f.Own(ctx, client)
	if err != nil {
		return nil, err
	}
	if choice.Decision.Verdict.Permits() {
		if err := b.entitled(choice.Decision); err != nil {
			return nil, err
		}
		b.noteDecision(choice.Decision, time.Since(began))
	}
	b.choose(choice)
	return choice, nil
}

// noteBuilds notes that LLB of the client was allowed to do more than to read. From then on, the
// build keeps its policy.
func (b *build) noteBuilds() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.builds = true
}

// checkOwn is checkPolicy for a build in which the client has looked something up or has read
// something, and has built nothing. It could have done so long ago.
func (b *build) checkOwn(c *call) error {
	b.mu.Lock()
	builds := b.builds
	b.mu.Unlock()
	if builds {
		return nil
	}
	return b.checkPolicy(c)
}

// chosen returns the decision in force; nil for none.
func (b *build) chosen() *frontend.Choice {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.choice
}

// choose makes a decision the one in force.
func (b *build) choose(choice *frontend.Choice) {
	if choice.Decision.Verdict.Permits() { // otherwise, the client may only look things up
		b.record.chosen(choice)
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.choice = choice
}

// reader returns the client by which the guard itself reads in the build. reads remembers what.
func (b *build) reader(
	ctx context.Context, c *call, opts map[string]string, reads *reads,
) (client.Client, error) {
	return grpcclient.New(ctx, opts, b.session, "",
		readingBridge{gwpb.NewLLBBridgeClient(b.connection(c)), reads}, nil)
}

// lookUp serves a call in which the client looks up a source.
func (c *call) lookUp(
	policies []*spb.Policy, source *pb.SourceOp,
	ask func(context.Context, *frontend.Choice, gwpb.LLBBridgeClient) error,
) error {
	b, err := c.bridgeBuild()
	if err != nil {
		return err
	}
	if err := tightens(policies); err != nil {
		return c.refuse(err)
	}
	if err := b.checkSessions(source); err != nil {
		return c.refuse(err)
	}
	ctx, stop := b.during(c.stream.Context())
	defer stop()
	choice := b.chosen()
	if choice == nil || choice.IsOwn() {
		if choice, err = b.own(ctx, c, nil); err != nil {
			return b.toClient(ctx, c, err)
		}
	}
	return b.toClient(ctx, c, ask(ctx, choice, gwpb.NewLLBBridgeClient(b.connection(c))))
}

// resolveSourceMeta tells the client about a source that the policy lets the build read.
func (c *call) resolveSourceMeta() error {
	var req gwpb.ResolveSourceMetaRequest
	if err := c.receive(&req); err != nil {
		return err
	}
	if req.Source == nil {
		return c.refuse(errors.New("it names no source"))
	}
	var resp *gwpb.ResolveSourceMetaResponse
	err := c.lookUp(req.SourcePolicies, req.Source, func(
		ctx context.Context, choice *frontend.Choice, daemon gwpb.LLBBridgeClient,
	) (err error) {
		resp, err = choice.ResolveSourceMeta(ctx, daemon, &req)
		return err
	})
	if err != nil {
		return err
	}
	return c.send(resp)
}

// resolveImageConfig is resolveSourceMeta for older clients.
func (c *call) resolveImageConfig() error {
	var req gwpb.ResolveImageConfigRequest
	if err := c.receive(&req); err != nil {
		return err
	}
	switch sourceresolver.ResolverType(req.ResolverType) {
	case sourceresolver.ResolverTypeRegistry, sourceresolver.ResolverTypeOCILayout:
	default:
		return c.refuse(fmt.Errorf("this version doesn't know the resolver %d", req.ResolverType))
	}
	source := &pb.SourceOp{Attrs: map[string]string{pb.AttrOCILayoutSessionID: req.SessionID}}
	var resp *gwpb.ResolveImageConfigResponse
	err := c.lookUp(req.SourcePolicies, source, func(
		ctx context.Context, choice *frontend.Choice, daemon gwpb.LLBBridgeClient,
	) (err error) {
		resp, err = choice.ResolveImageConfig(ctx, daemon, &req)
		return err
	})
	if err != nil {
		return err
	}
	return c.send(resp)
}

// takeDirect takes from a request what old clients and buildctl ask for there: a frontend, or a
// definition. It returns nil if the request has neither, as those of today's clients.
func takeDirect(req *controlapi.SolveRequest) (*gwpb.SolveRequest, error) {
	switch {
	case req.Frontend == "" && len(req.FrontendInputs) > 0:
		return nil, errors.New("it has frontend inputs and no frontend")
	case req.Frontend == "" && req.Definition == nil:
		return nil, nil
	case req.Frontend != "" && req.Definition != nil:
		return nil, errors.New("it has both a frontend and a definition")
	}
	direct := &gwpb.SolveRequest{
		Frontend: req.Frontend, Definition: req.Definition, FrontendOpt: maps.Clone(req.FrontendAttrs),
		FrontendInputs: req.FrontendInputs,
	}
	req.Frontend, req.Definition, req.FrontendInputs = "", nil, nil
	return direct, nil
}

// judgeDirect judges the options and caches of what [takeDirect] took. A definition imports the
// caches of the request that begins the build: an empty build would import none of them. A frontend
// has them in its options.
func (b *build) judgeDirect(direct *gwpb.SolveRequest, c *controlapi.CacheOptions) error {
	if direct.Definition != nil {
		for _, e := range c.GetImports() {
			direct.CacheImports = append(direct.CacheImports,
				&gwpb.CacheOptionsEntry{Type: e.GetType(), Attrs: e.GetAttrs()})
		}
	}
	if err := b.judgeOptions(direct); err != nil {
		return err
	}
	return b.judgeCaches(direct)
}

// serveDirect does in an empty build what today's clients do by calls of their own: it asks for the
// frontend, or for the definition, and returns the result.
func (b *build) serveDirect(c *call, req *gwpb.SolveRequest) {
	ctx, end, err := b.evaluate(c)
	if err != nil { // the build has ended
		return
	}
	var panicked error
	defer func() {
		if panicked != nil {
			b.cancel(brokenError(internalError))
		}
	}()
	defer c.contain(&panicked)
	res, err := b.run(ctx, c, req)
	end(err)
	if err == nil && !b.mayExport(res) {
		err = c.refuse(errNotExported)
	}
	ret := &gwpb.ReturnRequest{Result: canonical(res)}
	if err != nil {
		b.logIfRefused(c, err)
		ret = &gwpb.ReturnRequest{Error: status.Convert(grpcerrors.ToGRPC(ctx, err)).Proto()}
	}
	if !b.settle() {
		b.cancel(errStillRuns)
		return
	}
	ctx, stop := b.during(c.stream.Context())
	defer stop()
	if _, err := gwpb.NewLLBBridgeClient(b.connection(c)).Return(ctx, ret); err != nil {
		b.cancel(brokenError("the daemon took no result: " + b.fromDaemon(err).Error()))
	}
}

// toClient turns the error of something that the guard did for the client into the client's.
func (b *build) toClient(ctx context.Context, c *call, err error) error {
	if cause := b.broken(); cause != nil {
		return cause
	}
	switch {
	case err == nil:
		return nil
	case b.logIfRefused(c, err):
		return grpcerrors.ToGRPC(ctx, err)
	}
	return b.fromDaemon(grpcerrors.ToGRPC(ctx, err))
}

// logIfRefused logs a refusal by the policy, and reports whether the guard itself made the error. A
// refusal by the policy frontend's image comes from the daemon.
func (b *build) logIfRefused(c *call, err error) bool {
	var refusal *frontend.DenialError
	if errors.As(err, &refusal) {
		b.noteDenial(c.method, refusal.Decision)
		return true
	}
	for _, m := range policysession.DenyMessages(err) { // of the policy frontend's image
		if !strings.HasPrefix(m.GetMessage(), sourceDenied) {
			c.guard.logRefusal(c.who, c.method, errors.New(m.GetMessage()))
			b.record.refusal(c.method, "", m.GetMessage())
		}
	}
	return false
}
