package integration

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/policy-frontend/policy-frontend/integration/harness"
)

// hostileRules are the build rules of hostilePolicy for the hostile frontend.
const hostileRules = `build:
  images: {allow: [bases/allowed]}
  exec: {secrets: ["npm-*"]}
`

// hostilePolicy allows the hostile frontend, and docker/dockerfile as its nested frontend. It
// refuses everything else that the attacks try to reach.
const hostilePolicy = `version: 1
id: corp-ci
contact: "#build-help"
limits: {nesting: 3}
` + hostileRules + `frontends:
  - name: hostile
    match: [frontends/hostilefrontend]
  - name: dockerfile
    match: [docker/dockerfile]
    build: {images: {allow: [busybox]}}
`

// hostilePolicyFor returns hostilePolicy for an attack and a dispatch.
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

// soleHostile returns a daemon that would grant all entitlements. It allows only the policy
// frontend's image as a frontend.
func soleHostile(t *testing.T) *harness.Daemon {
	t.Helper()
	return env.StartDaemon(t, harness.DaemonConfig{
		DockerfileOff: true, AllowedRepositories: []string{env.Repository()}, Entitlements: grantable(),
	})
}

// No attack succeeds if the policy frontend runs the hostile frontend. Each ends in time and with a
// message, and leaves nothing behind. An attack that could stop a whole daemon has one of its own.
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

// If BuildKit runs the hostile frontend, the policy frontend checks what it returns. It can't check
// what the frontend did before.
func TestHostileFrontendForwarded(t *testing.T) {
	t.Parallel()
	pushHostile(t)
	d := soleHostile(t)
	for name, a := range attacks() {
		if !a.forward.given() {
			continue
		}
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			requireOutcome(t, a.forward,
				a.run(t, d, name, env.WithPolicy(t, hostilePolicyFor(a, "forward"))))
		})
	}
}

// The daemon asks policy-guard about what a forwarded frontend reads before it returns, too.
func TestHostileFrontendForwardedThroughGuard(t *testing.T) {
	t.Parallel()
	pushHostile(t)
	guard := func(policy string) *harness.Daemon {
		return env.Guard(t, harness.DaemonConfig{Entitlements: grantable()}, policy, "--image",
			env.Mediator(t)).Daemon
	}
	policy := hostilePolicyFor(attack{}, "forward")
	withRules, alone := guard(policy), guard(strings.Replace(policy, hostileRules, "", 1))
	for name, a := range attacks() {
		for _, through := range []struct {
			name string
			d    *harness.Daemon
			want outcome
		}{{"with build rules", withRules, a.guard}, {"without build rules", alone, a.guardAlone}} {
			if !through.want.given() {
				continue
			}
			t.Run(name+" "+through.name, func(t *testing.T) {
				t.Parallel()
				requireOutcome(t, through.want, a.run(t, through.d, name, hostile))
			})
		}
	}
}

// docs/threat-model.md says that a frontend doesn't start as root, and that its image can make it
// root.
func TestASetUIDProgramMakesAFrontendRoot(t *testing.T) {
	t.Parallel()
	pushHostile(t)
	program, err := os.ReadFile(env.Tools.State("frontends/hostilefrontend"))
	require.NoError(t, err)
	const ref, name = "frontends/setuid:1", "root"
	_, err = env.Registry.AppendFile(env.Registry.Ref(hostile), env.Registry.Ref(ref),
		"/hostilefrontend", program, os.ModeSetuid|0o755)
	require.NoError(t, err)
	us := env.WithPolicy(t, "version: 1\ndispatch: mediate\ndefaultFrontend: "+ref+
		"\nfrontends: [{match: [frontends/setuid]}]\n")
	a := attacks()[name]
	requireOutcome(t, outcome{proof: "it is user 0"},
		a.run(t, soleHostile(t), name, us, "--opt", "cmdline="+us+" "+ref))
}

// An honest frontend asks for dockerfile.v0 too. The policy decides about what it stands for.
func TestANestedDockerfileV0StandsForAnImage(t *testing.T) {
	t.Parallel()
	pushHostile(t)
	d := soleHostile(t)
	const name, rule = "frontend dockerfile.v0", "  - name: dockerfile\n"
	all := strings.NewReplacer("[busybox]", "[bases/denied]",
		"[bases/allowed]", "[bases/allowed, bases/denied]").Replace(hostilePolicy)
	builtin := strings.Replace(all, rule, rule+"    dispatch: builtin\n", 1)
	for of, tc := range map[string]struct {
		doc  string
		want outcome
	}{
		"mediated": {all, outcome{proof: "denied"}},
		"built in": {builtin, outcome{proof: "denied"}},
		"without a rule": {
			all[:strings.Index(all, rule)],
			outcome{refused: []string{
				"frontend dockerfile.v0 is refused: no rule allows docker/dockerfile:1",
				"name another one by a # syntax line",
			}},
		},
	} {
		t.Run(of, func(t *testing.T) {
			t.Parallel()
			requireOutcome(t, tc.want,
				attacks()[name].run(t, d, name, env.WithPolicy(t, tc.doc+"dispatch: mediate\n")))
		})
	}
}

// The real decision replaces the decision that a frontend claims.
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
