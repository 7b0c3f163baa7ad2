package integration

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/moby/buildkit/client"
	"github.com/moby/buildkit/client/llb"
	gateway "github.com/moby/buildkit/frontend/gateway/client"
	"github.com/moby/buildkit/solver/pb"
	"github.com/stretchr/testify/require"

	"github.com/policy-frontend/policy-frontend/integration/harness"
	"github.com/policy-frontend/policy-frontend/policy"
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

// deviceSpec has two devices. The daemon gives free to any step that asks, and guarded only to
// those of builds with the entitlement. A command that has one sees a variable.
const deviceSpec = `cdiVersion: "0.6.0"
kind: "vendor.example/device"
devices:
- name: guarded
  containerEdits: {env: ["DEVICE=guarded"]}
- name: free
  containerEdits: {env: ["DEVICE=free"]}
  annotations: {org.mobyproject.buildkit.device.autoallow: "true"}
`

// Devices come by an entitlement, and some of them without one.
func TestGuardGivesDevicesThatBuildRulesList(t *testing.T) {
	t.Parallel()
	specs := t.TempDir()
	require.NoError(t, os.WriteFile(filepath.Join(specs, "vendor.yaml"), []byte(deviceSpec), 0o600))
	cfg := harness.DaemonConfig{DeviceSpecs: specs, Entitlements: []string{"device", "network.host"}}
	const free, guarded = "vendor.example/device=free", "vendor.example/device=guarded"

	// Both return what the command has seen.
	byFile := func(d *harness.Daemon, device string, args ...string) (string, error) {
		dir := harness.WriteContext(t, map[string]string{
			"Dockerfile": "FROM busybox\nRUN --device=" + device + " echo -n $DEVICE > /out\n",
		})
		ctx, c := asUser(t, d, 0)
		out, err := exportedBy(ctx, t, c, client.SolveOpt{
			LocalMounts: mountsOf(t, dir), AllowedEntitlements: args,
		}, byImage(nil, nil))
		if err != nil {
			return "", err
		}
		return read(t, filepath.Join(out, "out")), nil
	}
	byLLB := func(d *harness.Daemon, device string, args ...string) (string, error) {
		def, err := llb.Image("busybox").Run(llb.Shlex("sh -c 'echo -n $DEVICE > /out'"),
			llb.Network(pb.NetMode_NONE), llb.AddCDIDevice(llb.CDIDeviceName(device))).Root().
			Marshal(t.Context())
		require.NoError(t, err)
		out, err := outputOf(t, d, client.SolveOpt{AllowedEntitlements: args},
			func(ctx context.Context, c gateway.Client) (*gateway.Result, error) {
				return c.Solve(ctx, gateway.SolveRequest{Definition: def.ToPB()})
			})
		if err != nil {
			return "", err
		}
		return read(t, filepath.Join(out, "out")), nil
	}
	type attack struct {
		build  func(*harness.Daemon, string, ...string) (string, error)
		device string
		args   []string
		want   string // why the guard refuses it; "" if it lets it through
	}
	test := func(t *testing.T, g *harness.Guarded, all map[string]attack) {
		t.Helper()
		for name, tc := range all {
			t.Run(name, func(t *testing.T) {
				_, seen, _ := strings.Cut(tc.device, "=")
				got, err := tc.build(g.Behind, tc.device, tc.args...)
				require.NoError(t, err)
				require.Equal(t, seen, got, "the bare daemon gives the device")
				got, err = tc.build(g.Daemon, tc.device, tc.args...)
				if tc.want != "" {
					require.ErrorContains(t, err, tc.want)
					return
				}
				require.NoError(t, err)
				require.Equal(t, seen, got)
			})
		}
	}
	t.Run("no rules list devices", func(t *testing.T) {
		t.Parallel()
		test(t, env.Guard(t, cfg, guardPolicy+"llb: allow\n"), map[string]attack{
			"all devices, for a step": {
				byFile, guarded, []string{"device"}, "the policy refuses the entitlement device",
			},
			"one device, for a step": {
				byFile, guarded,
				[]string{"device=" + guarded},
				"the policy refuses the entitlement device=" + guarded,
			},
			"all devices, for LLB": {
				byLLB, guarded, []string{"device"}, "the policy refuses the entitlement device",
			},
			"a device that needs no entitlement, for LLB": {
				byLLB, free, nil, "a command with devices of the builder, which no rule can allow",
			},
		})
	})
	t.Run("rules list a device", func(t *testing.T) {
		t.Parallel()
		g := env.Guard(t, cfg, handedOver(policy.DispatchMediate,
			"build: {exec: {devices: ["+guarded+"]}}\n"), "--image", env.Mediator(t))
		test(t, g, map[string]attack{
			"it": {byFile, guarded, []string{"device=" + guarded}, ""},
			"another one": {
				byFile, free, nil, "a command with the device \"" + free + "\": it allows only " + guarded,
			},
			"all devices, with the entitlement": {
				byFile, guarded, []string{"device"}, "the policy refuses the entitlement device",
			},
		})
	})
}
