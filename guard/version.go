package guard

import (
	"context"
	"fmt"

	"github.com/Masterminds/semver/v3"
	controlapi "github.com/moby/buildkit/api/services/control"

	"github.com/policy-frontend/policy-frontend/internal/safetext"
)

// oldest is the oldest daemon that asks a policy session about everything that it reads. Daemons
// before v0.27 ignore the session, those before v0.32 ask about names as the client wrote them, and
// v0.32 and v0.33 don't ask about bundles of git.
var oldest = semver.MustParse("0.34.0")

// checkDaemon fails unless the daemon asks the guard about each source. It is called for each
// build, because another version may start behind the same address.
func (g *Guard) checkDaemon(ctx context.Context) error {
	info, err := controlapi.NewControlClient(g.daemon).Info(ctx, &controlapi.InfoRequest{})
	if err != nil {
		return err
	}
	name := info.GetBuildkitVersion().GetVersion()
	v, err := semver.NewVersion(name)
	if err != nil || v.LessThan(oldest) {
		return fmt.Errorf("the daemon is buildkitd %s, and only v%s and later ask about everything that "+
			"they read", safetext.Plain(name), oldest)
	}
	return nil
}
