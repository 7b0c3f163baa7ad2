package frontend

import (
	"context"
	"errors"

	"github.com/policy-frontend/policy-frontend/policy"
	"github.com/policy-frontend/policy-frontend/policy/buildrules"
)

// JudgeDownload says whether a command of the build may request a URL. It is for policy-guard,
// which the daemon asks about each request; see [policy.Layers.HasDownloads]. The URL is hostile:
// it can be of any length and form.
//
// The ruling's verdict is [policy.Allow] or [policy.Warn]; a warning is among those of
// [Choice.Decided]. Otherwise the error is the refusal of the whole build, a [*DenialError],
// because a command that is refused a request could go on without it. A nil choice refuses each
// URL. So does the choice for a client's own LLB, if the policy doesn't allow that.
//
// Several goroutines may call it.
func (c *Choice) JudgeDownload(ctx context.Context, url string) (policy.Ruling, error) {
	switch {
	case c == nil:
		return policy.Ruling{}, errors.New("no frontend was allowed in this build")
	case c.monitor == nil: // only an answer
		return policy.Ruling{}, errors.New("internal: the choice has no decision on downloads")
	}
	ruling, err := c.monitor.check(ctx, buildrules.Operation{Download: url}, noPlace)
	if err != nil {
		return ruling, c.monitor.refusal(ctx, err)
	}
	return ruling, nil
}
