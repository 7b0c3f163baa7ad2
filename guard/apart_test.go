package guard

import (
	"net"
	"strings"
	"testing"

	controlapi "github.com/moby/buildkit/api/services/control"
	"github.com/moby/buildkit/client/llb"
	gwpb "github.com/moby/buildkit/frontend/gateway/pb"
	"github.com/moby/buildkit/solver/pb"
	"github.com/stretchr/testify/require"

	"github.com/policy-frontend/policy-frontend/frontend"
	"github.com/policy-frontend/policy-frontend/internal/apart"
	"github.com/policy-frontend/policy-frontend/internal/gatewayopts"
	"github.com/policy-frontend/policy-frontend/policy/clients"
)

// perGroup has other rules for each of the groups 8 and 9.
const perGroup = forwarding + `build: {images: [{name: a, match: [busybox], clients: ["gid:8"]}]}
`

// perGroupUnjudged is perGroup without build rules, so nothing is handed over.
const perGroupUnjudged = forwarding +
	"exports: {push: [{clients: [\"gid:8\"], allow: [\"r.example/**\"]}]}\n"

// withHosts is what docker/dockerfile makes of a command: it adds the hosts of its option. So does
// the image to which a build is handed over.
func withHosts(t *testing.T) func(map[string]string) *pb.Definition {
	return func(opts map[string]string) *pb.Definition {
		hosts := opts["add-hosts"]
		if handed, err := gatewayopts.Parse(opts).HandOver(); err == nil && handed != nil {
			hosts = apart.AddTo(hosts, handed.Apart)
		}
		run := []llb.RunOption{llb.Shlex("true")}
		for h := range strings.SplitSeq(hosts, ",") {
			if name, address, ok := strings.Cut(h, "="); ok {
				run = append(run, llb.AddExtraHost(name, net.ParseIP(address)))
			}
		}
		return definition(t, llb.Image("busybox").Run(run...).Root())
	}
}

// asked is a request of a client for docker/dockerfile.
type asked struct {
	policy string
	who    Identity
	group  uint32
	opts   []string
	image  string // to which builds are handed over
	makes  func(map[string]string) *pb.Definition
}

// run returns the request that the daemon got for a frontend, and the error.
func (a asked) run(t *testing.T) (*gwpb.SolveRequest, error) {
	t.Helper()
	d, g := newDaemonFor(t, a.policy, a.image)
	d.imageConfig = keepsPolicy
	d.makes = withHosts(t)
	if a.image != "" {
		d.metadata[frontend.MetadataKey] = []byte("{}")
	}
	if a.makes != nil {
		d.makes = a.makes
	}
	who := caller{id: a.who, client: clients.Peer(7, a.group)}
	conn := dial(t, listen(t, g.Server(known(who))))
	ctx := of(t)
	go func() {
		_, _ = controlapi.NewControlClient(conn).Solve(ctx,
			&controlapi.SolveRequest{Ref: "b", Session: "s1"})
	}()
	d.await(t, "Control/Solve")
	req := asking("docker/dockerfile:1", a.opts...)
	req.Evaluate = true
	_, err := gwpb.NewLLBBridgeClient(conn).Solve(of(t, buildIDHeader, "b"), req)
	runs := frontendRuns(d)
	if err != nil {
		for _, call := range d.all() {
			require.NotContains(t, call.method, "Evaluate", "something was evaluated")
		}
	}
	if len(runs) == 0 {
		return nil, err
	}
	return runs[0], err
}

// host returns the host by which the commands of a request are kept apart; "" for none.
func (a asked) host(t *testing.T) string {
	t.Helper()
	run, err := a.run(t)
	require.NoError(t, err)
	handed, err := gatewayopts.Parse(run.FrontendOpt).HandOver()
	require.NoError(t, err)
	if handed != nil {
		require.NotContains(t, run.FrontendOpt, "add-hosts", "the image adds it")
		return handed.Apart
	}
	hosts := strings.Split(run.FrontendOpt["add-hosts"], ",")
	return hosts[len(hosts)-1]
}

func TestWhoseCommandsAreKeptApart(t *testing.T) {
	t.Parallel()
	const bothRules = perGroupUnjudged + "defaultFrontend: docker/dockerfile:1\n"
	const otherText = "contact: us\n" + perGroupUnjudged
	host := []string{"add-hosts", "a=1.2.3.4"}
	for name, tc := range map[string]struct {
		a, b asked
		same bool
	}{
		"clients with other rules": {
			asked{policy: perGroupUnjudged, who: "a", group: 8},
			asked{policy: perGroupUnjudged, who: "b", group: 9},
			false,
		},
		"clients with the same rules": {
			asked{policy: perGroupUnjudged, who: "a", group: 9},
			asked{policy: perGroupUnjudged, who: "b", group: 10},
			true,
		},
		"one client with other groups": {
			asked{policy: perGroupUnjudged, who: "a", group: 8},
			asked{policy: perGroupUnjudged, who: "a", group: 9},
			false,
		},
		"another policy": {
			asked{policy: perGroupUnjudged, who: "a", group: 9},
			asked{policy: bothRules, who: "a", group: 9},
			false,
		},
		"another text in the policy": {
			asked{policy: perGroupUnjudged, who: "a", group: 9},
			asked{policy: otherText, who: "a", group: 9},
			true,
		},
		"another overlay": {
			asked{policy: perGroupUnjudged, who: "a", group: 9},
			asked{policy: perGroupUnjudged, who: "a", group: 9, opts: []string{
				"build-arg:POLICY_FRONTEND_POLICY", "version: 1\ndefault: allow\n",
			}},
			false,
		},
		"builds that the image serves": {
			asked{policy: perGroup, who: "a", group: 8, image: policyImage},
			asked{policy: perGroup, who: "b", group: 9, image: policyImage},
			false,
		},
		"hosts of two identities": {
			asked{policy: forwarding, who: "a", opts: host},
			asked{policy: forwarding, who: "b", opts: host},
			false,
		},
		"the same hosts of one identity": {
			asked{policy: forwarding, who: "a", opts: host},
			asked{policy: forwarding, who: "a", opts: host},
			true,
		},
		"other hosts of one identity": {
			asked{policy: forwarding, who: "a", opts: host},
			asked{policy: forwarding, who: "a", opts: []string{"add-hosts", "a=1.2.3.5"}},
			false,
		},
		"other proxies": {
			asked{policy: forwarding, who: "a", opts: []string{"build-arg:HTTP_PROXY", "http://a"}},
			asked{policy: forwarding, who: "a", opts: []string{"build-arg:HTTP_PROXY", "http://b"}},
			false,
		},
		"a proxy by another name": {
			asked{policy: forwarding, who: "a", opts: []string{"build-arg:HTTP_PROXY", "http://a"}},
			asked{policy: forwarding, who: "a", opts: []string{"build-arg:all_Proxy", "http://a"}},
			false,
		},
		"other limits": {
			asked{policy: forwarding, who: "a", opts: []string{"memory", "1000"}},
			asked{policy: forwarding, who: "a", opts: []string{"memory", "1001"}},
			false,
		},
		"another build-arg": {
			asked{policy: perGroupUnjudged, who: "a", group: 9, opts: []string{"build-arg:A", "1"}},
			asked{policy: perGroupUnjudged, who: "a", group: 9, opts: []string{"build-arg:A", "2"}},
			true,
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			a, b := tc.a.host(t), tc.b.host(t)
			require.Regexp(t, `^[0-9a-f]{32}(\.policy-guard\.invalid=127\.0\.0\.1)?$`, a)
			require.Regexp(t, `^[0-9a-f]{32}(\.policy-guard\.invalid=127\.0\.0\.1)?$`, b)
			require.Equal(t, tc.same, a == b)
		})
	}
}

func TestWhoseCommandsAreNotKeptApart(t *testing.T) {
	t.Parallel()
	for name, a := range map[string]asked{
		"those under the same rules for all":  {policy: forwarding, who: "a"},
		"those under rules on administration": {policy: forwarding + "administration: {clients: [uid:7]}\n", who: "a"},
		"those without the option that a rule removes": {
			policy: forwarding[:len(forwarding)-3] + ", options: {strip: [memory, \"build-arg:*_proxy\"]}}]\n",
			who:    "a", opts: []string{"memory", "1000", "build-arg:HTTP_PROXY", "http://a"},
		},
		"those with an option that a rule sets": {
			policy: forwarding[:len(forwarding)-3] + ", options: {force: {memory: \"1000\"}}}]\n",
			who:    "a", opts: []string{"memory", "1000"},
		},
		"those with empty options": {policy: forwarding, who: "a", opts: []string{"add-hosts", "", "memory", ""}},
	} {
		require.Empty(t, a.host(t), name)
	}
}

func TestAFrontendHasToKeepCommandsApart(t *testing.T) {
	t.Parallel()
	const reserved = "0123456789abcdef0123456789abcdef.policy-guard.invalid=127.0.0.1"
	fixed := func(hosts string) func(map[string]string) *pb.Definition {
		return func(map[string]string) *pb.Definition {
			return withHosts(t)(map[string]string{"add-hosts": hosts})
		}
	}
	for name, tc := range map[string]struct {
		asked
		why string
	}{
		"a command without the host": {
			asked{policy: perGroupUnjudged, makes: fixed("")},
			"a command that isn't kept apart from those of other builds",
		},
		"a command with the host of other rules": {
			asked{policy: perGroupUnjudged, makes: fixed(reserved)}, "which is policy-guard's",
		},
		"a command with both hosts": {
			asked{policy: perGroupUnjudged, makes: func(opts map[string]string) *pb.Definition {
				return withHosts(t)(map[string]string{"add-hosts": reserved + "," + opts["add-hosts"]})
			}}, "which is policy-guard's",
		},
		"the host with another address": {
			asked{policy: perGroupUnjudged, makes: func(opts map[string]string) *pb.Definition {
				hosts := strings.ReplaceAll(opts["add-hosts"], "127.0.0.1", "127.0.0.2")
				return withHosts(t)(map[string]string{"add-hosts": hosts})
			}}, "which is policy-guard's",
		},
		"a reserved host in a build that isn't kept apart": {
			asked{policy: forwarding, makes: fixed(reserved)}, "which is policy-guard's",
		},
		"a reserved host in upper case": {
			asked{policy: forwarding, makes: fixed("A.POLICY-GUARD.INVALID=1.2.3.4")},
			"which is policy-guard's",
		},
		"a reserved host of the client": {
			asked{policy: forwarding, opts: []string{"add-hosts", reserved}}, "which is policy-guard's",
		},
		"a result without a definition": {
			asked{policy: perGroupUnjudged, makes: func(map[string]string) *pb.Definition { return nil }},
			"whose definition the daemon doesn't supply",
		},
		"an operation that can't be read": {
			asked{policy: perGroupUnjudged, makes: func(map[string]string) *pb.Definition {
				return &pb.Definition{Def: [][]byte{{0x12, 0x00, 0x12, 0x00}, {}}}
			}}, "an operation that can't be read",
		},
		"what the image returns": {
			asked{policy: perGroup, image: policyImage, makes: fixed("")},
			"a command that isn't kept apart from those of other builds",
		},
		"a proxy under rules on commands": {
			asked{
				policy: forwarding + "build: {exec: {secrets: [a]}}\n", image: policyImage,
				opts: []string{"build-arg:http_proxy", "http://a"},
			}, "these can't allow the option build-arg:http_proxy",
		},
		"limits under rules on commands": {
			asked{
				policy: forwarding + "build: {exec: {deny: {insecure: true}}}\n", image: policyImage,
				opts: []string{"cpuquota", "1000"},
			}, "these can't allow the option cpuquota",
		},
		"an SBOM by the frontend": {
			asked{
				policy: perGroupUnjudged + "sbom: {generators: {allow: [scan/er]}}\n",
				opts:   []string{"attest:sbom", "generator=scan/er"},
			}, "the request that began the build asks for no SBOM",
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			tc.who, tc.group = "a", 9
			_, err := tc.run(t)
			require.ErrorContains(t, err, tc.why)
		})
	}
}

// Where commands are kept apart, whoever builds on the result of another build has to have the same
// rules.
func TestALinkedBuildUnderOtherRules(t *testing.T) {
	t.Parallel()
	d, g := newDaemonFor(t, perGroupUnjudged, "")
	d.makes = withHosts(t)
	build := func(
		id string, group uint32, inputs map[string]*pb.Definition, opts ...string,
	) (*gwpb.Result, error) {
		conn := dial(t, listen(t, g.Server(known(caller{id: "uid:7", client: clients.Peer(7, group)}))))
		ctx := of(t)
		go func() {
			_, _ = controlapi.NewControlClient(conn).Solve(ctx,
				&controlapi.SolveRequest{Ref: id, Session: "s" + id})
		}()
		req := asking("docker/dockerfile:1", opts...)
		req.FrontendInputs = inputs
		resp, err := gwpb.NewLLBBridgeClient(conn).Solve(of(t, buildIDHeader, id), req)
		return resp.GetResult(), err
	}
	res, err := build("base", 8, nil)
	require.NoError(t, err)
	input := map[string]*pb.Definition{"base": res.GetRef().GetDef()}
	_, err = build("same", 8, input)
	require.NoError(t, err)
	_, err = build("other", 9, input)
	require.ErrorContains(t, err, "the frontend input base isn't what a build of this client has returned")

	// The commands in the result of another build are as that build had them.
	d.makes = func(map[string]string) *pb.Definition { return input["base"] }
	_, err = build("passed", 8, input)
	require.NoError(t, err)
	_, err = build("forged", 8, nil, "add-hosts", "a=1.2.3.4")
	require.ErrorContains(t, err, "which is policy-guard's")

	d, g = newDaemonFor(t, forwarding, "")
	d.makes = withHosts(t)
	res, err = build("base", 8, nil)
	require.NoError(t, err)
	d.makes = func(map[string]string) *pb.Definition { return res.GetRef().GetDef() }
	input["base"] = res.GetRef().GetDef()
	_, err = build("passed", 9, input, "add-hosts", "a=1.2.3.4")
	require.NoError(t, err)
	_, err = build("forged", 9, nil, "add-hosts", "a=1.2.3.4")
	require.ErrorContains(t, err, "isn't kept apart")
}
