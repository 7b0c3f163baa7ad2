package integration

import (
	"testing"

	"github.com/policy-frontend/policy-frontend/integration/harness"
)

// On a daemon without the policy frontend, every attack succeeds or is stopped by BuildKit itself.
func TestHostileFrontendWithoutUs(t *testing.T) {
	t.Parallel()
	pushHostile(t)
	shared := env.StartDaemon(t, harness.DaemonConfig{Entitlements: grantable()})
	t.Run("attacks", func(t *testing.T) {
		for name, a := range attacks() {
			if a.plain.ruins {
				continue
			}
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				d := shared
				if a.plain.hangs {
					d = env.Plain(t)
					defer requireNothingLeft(t, d, inner)
				}
				requireOutcome(t, a.plain, a.run(t, d, name, hostile))
			})
		}
	})
	requireNothingLeft(t, shared, inner)
}
