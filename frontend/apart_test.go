package frontend

import (
	"errors"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/moby/buildkit/client/llb"
	gwpb "github.com/moby/buildkit/frontend/gateway/pb"
	"github.com/moby/buildkit/solver/pb"
	"github.com/stretchr/testify/require"

	"github.com/policy-frontend/policy-frontend/internal/apart"
	"github.com/policy-frontend/policy-frontend/internal/gatewayopts"
	"github.com/policy-frontend/policy-frontend/internal/optionkeys"
	"github.com/policy-frontend/policy-frontend/policy"
)

const (
	apartID   = "0123456789abcdef0123456789abcdef"
	apartHost = apartID + ".policy-guard.invalid"
)

// ran is a command with the hosts on an image that mediated allows.
func ran(t *testing.T, hosts ...string) *pb.Definition {
	t.Helper()
	return ranWith(t, hosts)
}

// ranWith is ran with further options.
func ranWith(t *testing.T, hosts []string, opts ...llb.RunOption) *pb.Definition {
	t.Helper()
	opts = append(opts, llb.Shlex("true"))
	for _, h := range hosts {
		opts = append(opts, llb.AddExtraHost(h, net.IPv4(127, 0, 0, 1)))
	}
	def, err := llb.Image("mirror.corp/a@" + string(digestOne)).Run(opts...).Marshal(t.Context())
	require.NoError(t, err)
	return def.ToPB()
}

// cacheMount is a cache mount with that id.
func cacheMount(id string) llb.RunOption {
	return llb.AddMount("/c", llb.Scratch(), llb.AsPersistentCacheDir(id, llb.CacheMountShared))
}

func TestAMediatedFrontendKeepsItsCommandsApart(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		id  string
		def *pb.Definition
		why string
	}{
		"a command with the host":    {apartID, ran(t, apartHost), ""},
		"a command without the host": {apartID, ran(t), "a command that isn't kept apart"},
		"the host of another build":  {"", ran(t, apartHost), "which is policy-guard's"},
		"a build like any other":     {"", ran(t), ""},
		"a cache mount in the client's namespace": {
			apartID, ranWith(t, []string{apartHost}, cacheMount("theirs/c")), "",
		},
		"a cache mount of all clients": {
			apartID, ranWith(t, []string{apartHost}, cacheMount("c")),
			"the cache mount \"c\", which other clients have too",
		},
		"a cache mount in a namespace that only begins so": {
			apartID, ranWith(t, []string{apartHost}, cacheMount("theirs2/c")), "which other clients have",
		},
		"a cache mount in a build like any other": {"", ranWith(t, nil, cacheMount("c")), ""},
		"a host beside it, which no rule allows": {
			apartID, ran(t, apartHost, "a.test"), "an address for the host \"a.test\"",
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			rules := "build:\n  exec: {networks: [default]}"
			s := serveBroker(t, strings.Replace(mediated, "build:", rules, 1))
			s.broker.build.keepApart(tc.id, "theirs")
			_, err := s.Solve(t.Context(), &gwpb.SolveRequest{
				Definition: tc.def, Evaluate: true, AllowResultReturn: true, AllowResultArrayRef: true,
			})
			if tc.why == "" {
				require.NoError(t, err)
				return
			}
			s.requireRefused(t, err, tc.why)
		})
	}
}

// A container has cache mounts as a command does.
func TestContainersHaveCacheMountsOfTheirClient(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct{ id, mount, why string }{
		"a cache mount in the client's namespace": {apartID, "theirs/c", ""},
		"a cache mount of all clients": {
			apartID, "c", "the cache mount \"c\", which other clients have too",
		},
		"a cache mount in a build like any other": {"", "c", ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := serveBroker(t, mediated)
			s.broker.build.keepApart(tc.id, "theirs")
			_, err := s.NewContainer(t.Context(), &gwpb.NewContainerRequest{
				ContainerID: "c", Mounts: []*pb.Mount{{
					Dest: "/c", MountType: pb.MountType_CACHE, CacheOpt: &pb.CacheOpt{ID: tc.mount},
				}},
			})
			if tc.why == "" {
				require.NoError(t, err)
				return
			}
			s.requireRefused(t, err, tc.why)
		})
	}
}

// The frontends that a mediated one runs add the same host, and rules on the option see only hosts
// that somebody asked for.
func TestNestedFrontendsKeepTheirCommandsApart(t *testing.T) {
	t.Parallel()
	s := serveBroker(t, mediated)
	s.broker.build.keepApart(apartID, "theirs")
	for sent, want := range map[string]string{
		"":                                     "",
		"a=1.2.3.4":                            "a=1.2.3.4",
		apart.Option(apartID):                  "",
		"a=1.2.3.4," + apart.Option(apartID):   "a=1.2.3.4",
		apart.Option(apartID) + ",a=127.0.0.1": apart.Option(apartID) + ",a=127.0.0.1",
	} {
		opts := map[string]string{optionkeys.Hosts: sent, "attest:sbom": ""}
		n := s.broker.build.nest(opts, map[string]*pb.Definition{"a": ran(t)})
		require.Equal(t, want, n.opts.Get(optionkeys.Hosts), sent)
		inner := n.opts.Inner(policy.Obligations{})
		require.Equal(t, apart.AddTo(want, apartID), inner[optionkeys.Hosts], sent)
		require.NotContains(t, inner, "attest:sbom")
		require.Empty(t, n.kept.Exempt, "what another frontend sends is no input of the build")
		require.Equal(t, apartID, n.kept.ID)
	}
}

func TestAnImageKeepsCommandsApartAsPolicyGuardSays(t *testing.T) {
	for name, tc := range map[string]struct {
		embedded, doc string
		id, hosts     string
		want          string
		why           string
	}{
		"a build that isn't kept apart": {doc: corpPolicy},
		"a build that is":               {doc: corpPolicy, id: apartID, want: apart.Option(apartID)},
		"one with hosts of its own": {
			doc: corpPolicy, id: apartID, hosts: "a=1.2.3.4", want: "a=1.2.3.4," + apart.Option(apartID),
		},
		"one whose hosts the policy removes": {
			doc: corpPolicy + "    options: {strip: [add-hosts]}\n", id: apartID, hosts: "a=1.2.3.4",
			want: apart.Option(apartID),
		},
		"one whose hosts the policy sets": {
			doc: corpPolicy + "    options: {force: {add-hosts: \"b=5.6.7.8\"}}\n", id: apartID,
			want: "b=5.6.7.8," + apart.Option(apartID),
		},
		"one under rules that allow no hosts": {
			doc: corpPolicy + "    options: {only: [target]}\n", id: apartID, want: apart.Option(apartID),
		},
		"an image with a policy of its own": {
			embedded: corpPolicy, doc: corpPolicy, id: apartID, want: apart.Option(apartID),
		},
		"an id in another form": {doc: corpPolicy, id: "../x", why: "its id has another form"},
	} {
		t.Run(name, func(t *testing.T) {
			opts := handed(t, tc.doc, func(h *gatewayopts.HandOver) { h.Apart = tc.id })
			if tc.hosts != "" {
				opts[optionkeys.Hosts] = tc.hosts
			}
			c := newFake(t, "", opts)
			c.opts[optionkeys.Source] = pinnedSelf
			_, err := inImage(t, c, tc.embedded, tc.embedded == "")
			if tc.why != "" {
				require.ErrorContains(t, err, tc.why)
				require.Empty(t, c.solved)
				return
			}
			require.NoError(t, err)
			require.Len(t, c.solved, 1)
			require.Equal(t, tc.want, c.solved[0].FrontendOpt[optionkeys.Hosts])
		})
	}
}

func TestACallersIDIsAskedForOnce(t *testing.T) {
	path := filepath.Join(t.TempDir(), "policy.yaml")
	require.NoError(t, os.WriteFile(path, []byte(builtinPolicy+"llb: allow\n"), 0o600))
	var failure error
	cacheMounts, calls := "", 0
	f := Frontend{
		CacheMounts: "for all",
		Policy:      PolicyFile(path),
		Apart: func(_ policy.Layers, d policy.Decision) (id, mounts string, err error) {
			calls++
			require.Equal(t, policy.Allow, d.Verdict)
			return apartID, cacheMounts, failure
		},
	}
	choice, err := f.Choose(t.Context(), newOutside(t), gatewayFrontend)
	require.NoError(t, err)
	require.Equal(t, 1, calls)
	require.Equal(t, apartID, choice.KeptApart())
	require.Equal(t, apart.Option(apartID), choice.Options[optionkeys.Hosts])
	require.Equal(t, "for all", choice.Options[optionkeys.CacheMounts])
	cacheMounts = "for these"
	choice, err = f.Choose(t.Context(), newOutside(t), gatewayFrontend)
	require.NoError(t, err)
	require.Equal(t, "for these", choice.Options[optionkeys.CacheMounts])

	own, err := f.Own(t.Context(), newOutside(t))
	require.NoError(t, err)
	require.Equal(t, 3, calls)
	for _, def := range []*pb.Definition{ran(t), ran(t, apartHost)} {
		_, _, err = own.Definition(t.Context(), def)
		require.ErrorContains(t, err, "it asks for commands in LLB that no frontend made")
		require.ErrorContains(t, err, "have a frontend make the commands")
	}

	failure = errors.New("it has no id")
	_, err = f.Choose(t.Context(), newOutside(t), gatewayFrontend)
	require.ErrorContains(t, err, "it has no id")
	_, err = f.Own(t.Context(), newOutside(t))
	require.ErrorContains(t, err, "it has no id")
	_, err = f.Choose(t.Context(), newOutside(t, "source", "evil/frontend:1"), gatewayFrontend)
	require.ErrorContains(t, err, "no rule allows")
	require.Equal(t, 5, calls)
}
