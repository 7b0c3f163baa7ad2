package frontend

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"

	"github.com/moby/buildkit/frontend/gateway/client"

	"github.com/policy-frontend/policy-frontend/internal/optionkeys"
	"github.com/policy-frontend/policy-frontend/internal/safetext"
	"github.com/policy-frontend/policy-frontend/policy"
)

// MetadataKey is the key in the result's metadata under which the decision is found, as JSON. Keys
// that begin with "frontend." reach the client: buildx writes them to its --metadata-file.
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

// progressLine is the line that an allowed build shows. The rule comes before the reference,
// because a narrow terminal cuts off the end.
//
// It contains the warnings: plain progress prints a warning of client.Warn only if its step changes
// again afterwards (util/progress/progressui/printer.go).
func progressLine(d policy.Decision) string {
	if len(d.Warnings) > 0 {
		text := strings.Join(strings.Fields(strings.Join(d.Warnings, "; ")), " ")
		return fmt.Sprintf("[policy] warning: %s (%s)", text, d.Reference.Familiar())
	}
	by := "the default"
	if d.Rule != policy.DefaultRule {
		by = fmt.Sprintf("rule %q", d.Rule)
	}
	if d.Policy.ID != "" {
		by += " of " + d.Policy.ID
	}
	return fmt.Sprintf("[policy] %s allows %s", by, d.Reference.Familiar())
}

// warn shows the decision's warnings at the line that asked for the frontend, and warnings about
// the options. BuildKit prints only warnings that belong to a step.
func (b *build) warn(ctx context.Context, a admitted) {
	if len(a.decision.Warnings) > 0 {
		opts := client.WarnOpts{Level: 1}
		if _, src := a.origin.locate(ctx, b.file); src != nil {
			opts.SourceInfo, opts.Range = src.Info, src.Ranges
		}
		for _, w := range a.decision.Warnings {
			b.warnAt(ctx, "policy: "+w, opts)
		}
	}
	for _, k := range b.opts.Unknown() {
		text := fmt.Sprintf(
			"the policy frontend doesn't know the build-arg %s, so it has no effect (known: %s)",
			safetext.Plain(optionkeys.ArgName(k)), optionkeys.ArgName(optionkeys.Overlay))
		b.warnAt(ctx, text, client.WarnOpts{Level: 1})
	}
}

func (b *build) warnAt(ctx context.Context, text string, opts client.WarnOpts) {
	// A warning that can't be shown must not fail a build that is allowed.
	_ = b.client.Warn(ctx, b.step, text, opts)
}
