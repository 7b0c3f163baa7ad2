package llbops

import (
	"net"
	"testing"

	"github.com/moby/buildkit/client/llb"
	gwpb "github.com/moby/buildkit/frontend/gateway/pb"
	"github.com/moby/buildkit/solver/pb"
	digest "github.com/opencontainers/go-digest"
	"github.com/stretchr/testify/require"
)

const (
	apartID   = "0123456789abcdef0123456789abcdef"
	apartHost = apartID + ".policy-guard.invalid"
	otherHost = "ffffffffffffffffffffffffffffffff.policy-guard.invalid"
)

// withHosts is a definition with two commands. The second has these hosts.
func withHosts(t *testing.T, hosts ...string) *pb.Definition {
	t.Helper()
	first := []llb.RunOption{llb.Shlex("true"), llb.AddExtraHost(apartHost, net.IPv4(127, 0, 0, 1))}
	second := []llb.RunOption{llb.Shlex("echo x.policy-guard.invalid")}
	for _, h := range hosts {
		second = append(second, llb.AddExtraHost(h, net.IPv4(127, 0, 0, 1)))
	}
	def, err := llb.Image("busybox").Run(first...).Run(second...).Marshal(t.Context())
	require.NoError(t, err)
	return def.ToPB()
}

func TestCommandsThatAreKeptApart(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		hosts []string
		want  string
	}{
		"the host of the id":              {hosts: []string{apartHost}},
		"the host twice":                  {hosts: []string{apartHost, apartHost}},
		"the host, and one of the client": {hosts: []string{"a.test", apartHost}},
		"no host":                         {want: "a command that isn't kept apart"},
		"another host":                    {hosts: []string{"a.test"}, want: "a command that isn't kept apart"},
		"the host of another id":          {hosts: []string{otherHost}, want: otherHost},
		"the hosts of two ids":            {hosts: []string{apartHost, otherHost}, want: otherHost},
		"the host in upper case": {
			hosts: []string{apartHost, "0123456789ABCDEF0123456789ABCDEF.policy-guard.invalid"},
			want:  "which is policy-guard's",
		},
	} {
		def := withHosts(t, tc.hosts...)
		known := Commands(map[string]*pb.Definition{"a": def})
		what := Apart(def, Kept{ID: apartID})
		if tc.want == "" {
			require.Empty(t, what, name)
		} else {
			require.Contains(t, what, tc.want, name)
		}
		require.Contains(t, Apart(def, Kept{}), "which is policy-guard's", name)
		require.Empty(t, Apart(def, Kept{ID: apartID, Exempt: known}), name)
		require.Empty(t, Apart(def, Kept{Exempt: known}), name)
		require.True(t, HasCommands(def))
	}
}

func TestWhatElseMayBeACommand(t *testing.T) {
	t.Parallel()
	marshal := func(op *pb.Op) []byte {
		dt, err := op.Marshal()
		require.NoError(t, err)
		return dt
	}
	build := marshal(&pb.Op{Op: &pb.Op_Build{Build: &pb.BuildOp{}}})
	twice := append(marshal(&pb.Op{Op: &pb.Op_File{File: &pb.FileOp{}}}),
		marshal(&pb.Op{Op: &pb.Op_Exec{Exec: &pb.ExecOp{
			Meta: &pb.Meta{ExtraHosts: []*pb.HostIP{{Host: otherHost}}},
		}}})...)
	for name, dt := range map[string][]byte{
		"a build": build, "two operations in one": twice, "no operation": {0xff},
	} {
		def := &pb.Definition{Def: [][]byte{dt}}
		require.NotEmpty(t, Apart(def, Kept{ID: apartID}), name)
		require.True(t, HasCommands(def), name)
	}
	require.NotEmpty(t, Apart(&pb.Definition{Def: [][]byte{twice}}, Kept{}), "a hidden host")
	require.Empty(t, Apart(&pb.Definition{Def: [][]byte{build, {0xff}}}, Kept{}))

	files, err := llb.Image("busybox").File(llb.Mkdir("/x.policy-guard.invalid", 0o755)).
		Marshal(t.Context())
	require.NoError(t, err)
	require.False(t, HasCommands(files.ToPB()))
	require.Empty(t, Apart(files.ToPB(), Kept{ID: apartID}))
	require.Empty(t, Apart(files.ToPB(), Kept{}))
	require.Empty(t, Apart(nil, Kept{ID: apartID}))
	require.Empty(t, Commands(map[string]*pb.Definition{"a": files.ToPB()}))
	require.Equal(t, map[digest.Digest]bool{}, Commands(nil))
}

// Rules on hosts are about those that somebody asked for.
func TestRulesDoNotSeeTheHostThatKeepsACommandApart(t *testing.T) {
	t.Parallel()
	for found, err := range FromDefinition(withHosts(t, "a.test", apartHost)) {
		require.NoError(t, err)
		if found.Exec != nil {
			require.NotContains(t, found.Exec.Hosts, apartHost)
		}
	}
	op := FromProcess(&gwpb.NewContainerRequest{
		ExtraHosts: []*pb.HostIP{{Host: "a.test"}, {Host: apartHost}},
	}, nil)
	require.Contains(t, op.Unknown, "a container with an address for the host \""+apartHost)
}
