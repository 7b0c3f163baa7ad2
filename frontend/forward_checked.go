package frontend

import (
	"context"
	"errors"
	"fmt"

	"github.com/moby/buildkit/frontend/gateway/client"
	gwpb "github.com/moby/buildkit/frontend/gateway/pb"

	"github.com/policy-frontend/policy-frontend/internal/gatewayresult"
	"github.com/policy-frontend/policy-frontend/internal/safetext"
)

// forwardChecked runs a nested solve and checks its result before returning it.
//
// Results are lazy: nothing in one has run until it is evaluated, and the daemon itself supplied
// the definitions. So forwardChecked checks each definition and solves it again, as lazily, under a
// source policy that allows only the checked sources. The daemon holds the client's own source
// policies to it. The provenance of such a result has the client's request.
//
// Before it returned, the inner frontend may already have looked up, run or read other things. Of
// the frontends that it ran, only their part of the result can be checked.
func (b *build) forwardChecked(
	ctx context.Context, req *gwpb.SolveRequest, m *monitor,
) (*client.Result, error) {
	if b.bridge == nil {
		return nil, b.refuse(m.inner.request,
			errors.New("internal: its result can't be checked without the daemon's connection"))
	}
	resp, err := b.bridge.Solve(ctx, req)
	if err != nil {
		return nil, err
	}
	res := resp.GetResult()
	if !gatewayresult.IsKnown(res) {
		return nil, m.refuseUnknown("a result in a form that this version doesn't know")
	}
	imports, err := cacheImports(b.opts, m.inner.decision.Obligations)
	if err != nil {
		return nil, m.refuseUnknown("%v", err)
	}
	guarded := map[string]*gwpb.Ref{}
	for ref := range gatewayresult.References(res) {
		if ref.GetId() == "" { // an empty result
			continue
		}
		if guarded[ref.Id] == nil {
			if guarded[ref.Id], err = b.solveGuarded(ctx, ref, imports, m); err != nil {
				return nil, err
			}
		}
		ref.Id, ref.Def = guarded[ref.Id].Id, guarded[ref.Id].Def
	}
	if err := m.result(ctx, b, res); err != nil {
		return nil, err
	}
	return b.bridge.handOver(res), nil
}

// solveGuarded checks the definition of a reference. It returns the reference to which the daemon
// solves that definition under the resulting source policy.
func (b *build) solveGuarded(
	ctx context.Context, ref *gwpb.Ref, imports []*gwpb.CacheOptionsEntry, m *monitor,
) (*gwpb.Ref, error) {
	if len(ref.GetDef().GetDef()) == 0 {
		return nil, m.refuseUnknown("a result whose definition the daemon doesn't supply")
	}
	guard, err := m.definition(ctx, ref.Def)
	if err != nil || guard == nil {
		return ref, err
	}
	resp, err := b.bridge.Solve(ctx, &gwpb.SolveRequest{
		Definition: ref.Def, CacheImports: imports, SourcePolicies: guard,
		AllowResultReturn: true, AllowResultArrayRef: true,
	})
	if err != nil {
		return nil, err
	}
	solved := resp.GetResult().GetRef()
	if solved.GetId() == "" {
		return nil, fmt.Errorf("internal: the daemon solved %s to nothing", safetext.Plain(ref.Id))
	}
	return solved, nil
}
