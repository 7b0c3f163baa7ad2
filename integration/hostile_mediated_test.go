package integration

import (
	"encoding/json"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/policy-frontend/policy-frontend/integration/harness"
)

// hostilePolicy allows the hostile frontend, and docker/dockerfile for it to run, and
// refuses everything else that its attacks are after.
const hostilePolicy = `version: 1
id: corp-ci
contact: "#build-help"
limits: {nesting: 3}
build:
  images: {allow: [bases/allowed]}
  exec: {secrets: ["npm-*"]}
frontends:
  - name: hostile
    match: [frontends/hostilefrontend]
  - name: dockerfile
    match: [docker/dockerfile]
    build: {images: {allow: [busybox]}}
`

// hostilePolicyFor is hostilePolicy for an attack and a dispatcher.
func hostilePolicyFor(a attack, dispatch string) string {
	policy := hostilePolicy + "dispatch: " + dispatch + "\n"
	if a.mediate.endless {
		policy = strings.Replace(policy, "limits: {", "limits: {timeout: 5s, ", 1)
	}
	if a.containers {
		policy = strings.Replace(policy, "build:\n", "build:\n  containers: allow\n", 1)
	}
	return policy
}

// soleHostile is a daemon that would grant all entitlements, and on which our image is
// the only way in.
func soleHostile(t *testing.T) *harness.Daemon {
	t.Helper()
	return env.StartDaemon(t, harness.DaemonConfig{
		DockerfileOff: true, AllowedRepositories: []string{env.Repository()}, Entitlements: grantable(),
	})
}

// No attack comes to anything when we run the frontend, each ends in time and with a
// message, and nothing is left of any. Those that could take a whole daemon down have
// one for themselves.
func TestHostileFrontendMediated(t *testing.T) {
	t.Parallel()
	pushHostile(t)
	shared := soleHostile(t)
	honest := env.WithPolicy(t, hostilePolicyFor(attack{}, "mediate"))
	t.Run("attacks", func(t *testing.T) {
		for name, a := range attacks() {
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				d := shared
				if a.plain.hangs || a.plain.ruins {
					d = soleHostile(t)
					defer requireNothingLeft(t, d, honest)
				}
				requireOutcome(t, a.mediate,
					a.run(t, d, name, env.WithPolicy(t, hostilePolicyFor(a, "mediate"))))
			})
		}
	})
	requireNothingLeft(t, shared, honest)
}

// What a hostile frontend returns is judged when BuildKit runs it too, and what it did
// before is not.
func TestHostileFrontendForwarded(t *testing.T) {
	t.Parallel()
	pushHostile(t)
	d := soleHostile(t)
	for name, a := range attacks() {
		if a.forward.proof == "" && a.forward.refused == nil {
			continue
		}
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			requireOutcome(t, a.forward,
				a.run(t, d, name, env.WithPolicy(t, hostilePolicyFor(a, "forward"))))
		})
	}
}

// What a frontend says itself of the decision is replaced by what was decided.
func TestHostileFrontendForgesNoDecision(t *testing.T) {
	t.Parallel()
	pushHostile(t)
	d := soleHostile(t)
	const name = "forged decision"
	a := attacks()[name]
	for _, dispatch := range []string{"forward", "mediate"} {
		t.Run(dispatch, func(t *testing.T) {
			t.Parallel()
			file := filepath.Join(t.TempDir(), "metadata.json")
			got := a.run(t, d, name, env.WithPolicy(t, hostilePolicyFor(a, dispatch)), "--metadata-file",
				file)
			require.Contains(t, got.proof, "a decision of its own")
			var decision struct{ Rule string }
			var text string
			require.NoError(t, json.Unmarshal(harness.ReadMetadata(t, file)["frontend.policy.decision"],
				&text))
			require.NoError(t, json.Unmarshal([]byte(text), &decision))
			require.Equal(t, "hostile", decision.Rule)
		})
	}
}
