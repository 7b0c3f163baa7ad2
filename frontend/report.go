package frontend

import (
	"context"
	"encoding/json"
	"fmt"

	"github.com/moby/buildkit/frontend/gateway/client"
	digest "github.com/opencontainers/go-digest"

	"github.com/policy-frontend/policy-frontend/policy"
)

// MetadataKey is the key of the decision, as JSON, in the metadata of the result.
// Keys that begin with "frontend." reach the client: buildx writes them to its
// --metadata-file.
const MetadataKey = "frontend.policy.decision"

// report adds the decision to an inner frontend's result.
func report(res *client.Result, d policy.Decision) (*client.Result, error) {
	dt, err := json.Marshal(d)
	if err != nil {
		return nil, fmt.Errorf("internal: decision: %w", err)
	}
	res.AddMeta(MetadataKey, dt)
	return res, nil
}

// progressLine is what a person sees of an allowed build.
func progressLine(ref policy.Reference, d policy.Decision) string {
	by := "the default"
	if d.Rule != policy.DefaultRule {
		by = fmt.Sprintf("rule %q", d.Rule)
	}
	if d.Policy.ID != "" {
		by += " of " + d.Policy.ID
	}
	return fmt.Sprintf("[policy] frontend %s allowed by %s", ref.Familiar(), by)
}

// warn shows what there is to say about the options at a step of the build:
// BuildKit prints no warning that is attached to no step.
func (b *build) warn(ctx context.Context, step digest.Digest) {
	for _, m := range b.opts.warnings {
		// A warning that can't be shown must not fail a build that is allowed.
		_ = b.client.Warn(ctx, step, m, client.WarnOpts{Level: 1})
	}
}
