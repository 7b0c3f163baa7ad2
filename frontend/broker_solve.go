package frontend

import (
	"context"

	gwpb "github.com/moby/buildkit/frontend/gateway/pb"
	"github.com/moby/buildkit/solver/pb"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/policy-frontend/policy-frontend/internal/gatewayopts"
	"github.com/policy-frontend/policy-frontend/internal/gatewayresult"
	"github.com/policy-frontend/policy-frontend/internal/optionkeys"
	"github.com/policy-frontend/policy-frontend/internal/safetext"
	"github.com/policy-frontend/policy-frontend/policy"
	"github.com/policy-frontend/policy-frontend/policy/imageref"
)

// ResolveSourceMeta asks the daemon about a source that the inner frontend may use.
func (s *broker) ResolveSourceMeta(
	ctx context.Context, req *gwpb.ResolveSourceMetaRequest,
) (*gwpb.ResolveSourceMetaResponse, error) {
	policies, instead, err := s.monitor.sourceMeta(ctx, req)
	if err != nil {
		return nil, s.errorFor(ctx, err)
	}
	req.SourcePolicies = policies
	resp, err := s.daemon.ResolveSourceMeta(ctx, req)
	s.monitor.handOut(instead, resp.GetImage().GetDigest())
	return resp, err
}

// ResolveImageConfig serves frontends that are older than ResolveSourceMeta.
func (s *broker) ResolveImageConfig(
	ctx context.Context, req *gwpb.ResolveImageConfigRequest,
) (*gwpb.ResolveImageConfigResponse, error) {
	policies, instead, err := s.monitor.imageConfig(ctx, req)
	if err != nil {
		return nil, s.errorFor(ctx, err)
	}
	req.SourcePolicies = policies
	resp, err := s.daemon.ResolveImageConfig(ctx, req)
	s.monitor.handOut(instead, resp.GetDigest())
	return resp, err
}

// Solve builds a definition, or runs another frontend.
func (s *broker) Solve(ctx context.Context, req *gwpb.SolveRequest) (*gwpb.SolveResponse, error) {
	switch {
	case req.Final:
		return nil, s.errorFor(ctx, s.monitor.refuseUnknown("a result in an obsolete form (Final)"))
	case req.Frontend != "" && req.Definition != nil:
		return nil, status.Error(codes.InvalidArgument,
			"a solve must have either a definition or a frontend")
	case req.Frontend != "":
		res, err := s.runNested(ctx, req)
		if err != nil {
			return nil, s.errorFor(ctx, err)
		}
		if err := s.evaluate(ctx, req, res); err != nil {
			return nil, err
		}
		return s.solveResponse(ctx, req, res)
	}
	policies, err := s.monitor.definition(ctx, req.Definition)
	if err != nil {
		return nil, s.errorFor(ctx, err)
	}
	if err := s.monitor.cacheImports(req.CacheImports); err != nil {
		return nil, s.errorFor(ctx, err)
	}
	// In the old form, the daemon answers with the reference alone. Its definition is the
	// requested one (solver/llbsolver/provenance.go, Solve), so the daemon need not send it.
	resp, err := s.daemon.Solve(ctx, &gwpb.SolveRequest{
		Definition:        req.Definition,
		AllowResultReturn: true,
		CacheImports:      req.CacheImports,
		Evaluate:          req.Evaluate,
		SourcePolicies:    policies,
	})
	if err != nil {
		return nil, err
	}
	ref := &gwpb.Ref{Id: resp.GetResult().GetRefDeprecated()}
	if ref.Id != "" {
		ref.Def = req.Definition
	}
	return s.solveResponse(ctx, req, &gwpb.Result{
		Result:   &gwpb.Result_Ref{Ref: ref},
		Metadata: resp.GetResult().GetMetadata(),
	})
}

// evaluate builds the result of another frontend if the request says so.
func (s *broker) evaluate(ctx context.Context, req *gwpb.SolveRequest, res *gwpb.Result) error {
	if !req.Evaluate {
		return nil
	}
	for ref := range gatewayresult.References(res) {
		if ref.Id == "" {
			continue
		}
		if _, err := s.daemon.Evaluate(ctx, &gwpb.EvaluateRequest{Ref: ref.Id}); err != nil {
			return err
		}
	}
	return nil
}

// solveResponse answers a solve in the form that the request wants.
func (s *broker) solveResponse(
	ctx context.Context, req *gwpb.SolveRequest, res *gwpb.Result,
) (*gwpb.SolveResponse, error) {
	if res.Result == nil {
		res.Result = &gwpb.Result_Ref{Ref: &gwpb.Ref{}}
	}
	if err := s.track(ctx, res); err != nil {
		return nil, s.errorFor(ctx, err)
	}
	resp := &gwpb.SolveResponse{Result: res}
	if !req.AllowResultReturn {
		one, ok := res.Result.(*gwpb.Result_Ref)
		if !ok {
			return nil, status.Error(codes.InvalidArgument, "solve did not return default result")
		}
		resp.Ref = one.Ref.GetId()
	}
	if !req.AllowResultArrayRef {
		withoutDefinitions(res)
	}
	return resp, nil
}

// withoutDefinitions puts references in the form that BuildKit used before v0.9.
func withoutDefinitions(res *gwpb.Result) {
	switch r := res.Result.(type) {
	case *gwpb.Result_Ref:
		res.Result = &gwpb.Result_RefDeprecated{RefDeprecated: r.Ref.GetId()}
	case *gwpb.Result_Refs:
		ids := make(map[string]string, len(r.Refs.GetRefs()))
		for k, ref := range r.Refs.GetRefs() {
			ids[k] = ref.GetId()
		}
		res.Result = &gwpb.Result_RefsDeprecated{RefsDeprecated: &gwpb.RefMapDeprecated{Refs: ids}}
	}
}

// runNested runs the frontend that the inner frontend asks for. It needs the same authorization as
// a frontend that a build asks for. It also runs behind a broker, so all its operations are checked
// by the rules for both frontends.
func (s *broker) runNested(ctx context.Context, req *gwpb.SolveRequest) (*gwpb.Result, error) {
	if req.Frontend != gatewayFrontend && req.Frontend != policy.DaemonDockerfile {
		name := safetext.Plain(req.Frontend)
		return nil, s.monitor.refuseUnknown("the daemon's own frontend %s", name)
	}
	if err := s.monitor.cacheImports(req.CacheImports); err != nil {
		return nil, err
	}
	r, err := s.nestedRequest(req)
	if err != nil {
		return nil, s.build.refuse(r, err)
	}
	if err := s.monitor.frontend(ctx, r); err != nil {
		return nil, err
	}
	for k, v := range req.FrontendOpt {
		if !gatewayopts.Writable(k, v) {
			return nil, s.monitor.refuseUnknown(
				"a frontend with the option %s, which can't be passed on unchanged",
				safetext.Plain(k))
		}
	}
	inner := s.build.nest(req.FrontendOpt, req.FrontendInputs)
	for _, name := range inner.opts.NamedContexts() {
		if named, err := imageref.Parse(name); err == nil && named.SameRepository(r.ref) {
			return nil, s.monitor.refuseUnknown(
				"the frontend %s through a named context that overrides it; ask for the image",
				r.ref.Familiar())
		}
	}
	leave, err := s.monitor.budget.level(ctx, s.monitor.inner.decision.Nesting)
	if err != nil {
		return nil, err
	}
	defer leave()
	chosen, err := inner.authorize(ctx, r)
	if err != nil {
		return nil, err
	}
	m := s.monitor.within(chosen)
	if d := m.inner.decision; !d.Verdict.Permits() {
		return nil, &refusal{origin: r.origin, decision: d}
	}
	return inner.runBrokered(ctx, chosen, m)
}

// nestedRequest returns which frontend the inner frontend asks for. A request that comes with an
// error is good for messages only.
func (s *broker) nestedRequest(req *gwpb.SolveRequest) (request, error) {
	from := origin{kind: fromFrontend, filename: s.name}
	if req.Frontend == policy.DaemonDockerfile {
		return dockerfileRequest(s.build.layers, from)
	}
	source := req.FrontendOpt[optionkeys.Source]
	r := request{
		written: safetext.Plain(source), cmdline: req.FrontendOpt[optionkeys.Cmdline], origin: from,
	}
	var err error
	r.ref, err = imageref.Parse(source)
	return r, err
}

// nest returns the build that an inner frontend requests of another frontend. The same policy
// applies to it, at the same time.
func (b *build) nest(opts map[string]string, inputs map[string]*pb.Definition) *build {
	n := *b
	n.nested, n.inputs = true, inputs
	n.opts = b.opts.Nested(opts)
	return &n
}

// ReadFile reads a file of a reference.
func (s *broker) ReadFile(
	ctx context.Context, req *gwpb.ReadFileRequest,
) (*gwpb.ReadFileResponse, error) {
	if err := s.checkRef(req.Ref); err != nil {
		return nil, s.errorFor(ctx, err)
	}
	return s.daemon.ReadFile(ctx, req)
}

// ReadDir lists a directory of a reference.
func (s *broker) ReadDir(
	ctx context.Context, req *gwpb.ReadDirRequest,
) (*gwpb.ReadDirResponse, error) {
	if err := s.checkRef(req.Ref); err != nil {
		return nil, s.errorFor(ctx, err)
	}
	return s.daemon.ReadDir(ctx, req)
}

// StatFile describes a file of a reference.
func (s *broker) StatFile(
	ctx context.Context, req *gwpb.StatFileRequest,
) (*gwpb.StatFileResponse, error) {
	if err := s.checkRef(req.Ref); err != nil {
		return nil, s.errorFor(ctx, err)
	}
	return s.daemon.StatFile(ctx, req)
}

// Evaluate builds a reference.
func (s *broker) Evaluate(
	ctx context.Context, req *gwpb.EvaluateRequest,
) (*gwpb.EvaluateResponse, error) {
	if err := s.checkRef(req.Ref); err != nil {
		return nil, s.errorFor(ctx, err)
	}
	return s.daemon.Evaluate(ctx, req)
}
