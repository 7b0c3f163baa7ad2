package frontend

import (
	"context"
	"errors"
	"fmt"

	"github.com/moby/buildkit/frontend/gateway/client"
	gwpb "github.com/moby/buildkit/frontend/gateway/pb"
)

// forwardChecked runs a nested solve and judges its result before it is returned.
//
// Of a result that nobody has looked at nothing has run, and its definitions come
// from the daemon. Each is solved again, as lazily, under the guard of what was
// judged, so that the daemon holds the client's own source policies to it. The
// provenance of what is solved again has the client's request, not ours.
//
// What the inner frontend looked up, ran or read before it returned has happened by
// then, and the frontends that it ran are seen by what they left in the result only.
func (b *build) forwardChecked(ctx context.Context, req *gwpb.SolveRequest, m *monitor) (*client.Result, error) {
	if b.bridge == nil {
		return nil, b.refuse(m.inner.request, errors.New("internal: its result can't be judged without the daemon's connection"))
	}
	resp, err := b.bridge.Solve(ctx, req)
	if err != nil {
		return nil, err
	}
	res := resp.GetResult()
	switch res.GetResult().(type) {
	case *gwpb.Result_Ref, *gwpb.Result_Refs:
	default:
		return nil, m.refuseUnknown("a result in a form that this version does not know")
	}
	imports, err := cacheImports(b.opts, m.inner.decision.Obligations)
	if err != nil {
		return nil, m.refuseUnknown(err.Error())
	}
	judged := map[string]*gwpb.Ref{}
	for ref := range refsOf(res) {
		if ref.GetId() == "" { // nothing at all
			continue
		}
		if judged[ref.Id] == nil {
			if judged[ref.Id], err = b.solveGuarded(ctx, ref, imports, m); err != nil {
				return nil, err
			}
		}
		ref.Id, ref.Def = judged[ref.Id].Id, judged[ref.Id].Def
	}
	if err := m.result(ctx, b, res); err != nil {
		return nil, err
	}
	return b.bridge.handOver(res), nil
}

// solveGuarded judges what a reference is made of, and returns it as it is solved under
// the guard.
func (b *build) solveGuarded(ctx context.Context, ref *gwpb.Ref, imports []*gwpb.CacheOptionsEntry, m *monitor) (*gwpb.Ref, error) {
	if len(ref.GetDef().GetDef()) == 0 {
		return nil, m.refuseUnknown("a result whose making the daemon does not tell")
	}
	guard, err := m.definition(ctx, ref.Def)
	if err != nil || guard == nil {
		return ref, err
	}
	resp, err := b.bridge.Solve(ctx, &gwpb.SolveRequest{
		Definition: ref.Def, AllowResultReturn: true, AllowResultArrayRef: true, CacheImports: imports, SourcePolicies: guard,
	})
	if err != nil {
		return nil, err
	}
	held := resp.GetResult().GetRef()
	if held.GetId() == "" {
		return nil, fmt.Errorf("internal: the daemon solved %s to nothing", printable(ref.Id))
	}
	return held, nil
}
