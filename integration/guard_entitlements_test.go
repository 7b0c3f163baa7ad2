package integration

import (
	"testing"

	"github.com/policy-frontend/policy-frontend/integration/harness"
)

// A build gets an entitlement only for a frontend whose build rules list what it is for.
func TestGuardGivesEntitlementsThatBuildRulesList(t *testing.T) {
	t.Parallel()
	env.Frontend(t, harness.EchoFrontend)
	g := env.Guard(t, harness.DaemonConfig{
		Entitlements: []string{"network.host", "security.insecure"},
	}, guardPolicy+`    build: {exec: {networks: [default, none, host]}}
  - name: echo
    match: ["frontends/echofrontend"]
    dispatch: forward
`, "--image", env.Mediator(t))
	dir := func(command string) string {
		return harness.WriteContext(t, map[string]string{
			"Dockerfile": "# syntax=docker/dockerfile:1\nFROM busybox\nRUN " + command + "\n",
		})
	}
	host, insecure := dir("--network=host true"), dir("--security=insecure true")
	echo := harness.WriteContext(t, dockerfile(""))
	for name, tc := range map[string]struct {
		build func(d *harness.Daemon) harness.Output
		want  string // "" if the guard lets it through
	}{
		"a network that the rules list": {func(d *harness.Daemon) harness.Output {
			return d.Buildx(t, host, "build", "--no-cache", "--allow=network.host", ".")
		}, ""},
		"no sandbox, which no rule lists": {func(d *harness.Daemon) harness.Output {
			return d.Buildx(t, insecure, "build", "--no-cache", "--allow=security.insecure", ".")
		}, "the policy refuses the entitlement security.insecure, because no build rules list it"},
		"a frontend whose rules don't list it": {func(d *harness.Daemon) harness.Output {
			return d.Buildctl(t, byBuildctl(echo, forbidden, "--allow=network.host")...)
		}, "the build has the entitlement network.host"},
	} {
		t.Run(name, func(t *testing.T) {
			tc.build(g.Behind).RequireSuccess(t)
			o := tc.build(g.Daemon)
			if tc.want == "" {
				o.RequireSuccess(t)
			} else {
				o.RequireFailure(t, tc.want, "denied by policy", "#build-help")
			}
		})
	}
	g.Buildx(t, host, "build", "--no-cache", ".").RequireFailure(t, "network.host")
}
