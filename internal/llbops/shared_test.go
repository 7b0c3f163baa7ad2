package llbops

import (
	"testing"

	"github.com/moby/buildkit/client/llb"
	"github.com/moby/buildkit/solver/pb"
	"github.com/stretchr/testify/require"
)

func sharedDefinition(t *testing.T, st llb.State) *pb.Definition {
	t.Helper()
	def, err := st.Marshal(t.Context(), llb.LinuxAmd64)
	require.NoError(t, err)
	return def.ToPB()
}

// mergedTwice merges a state with a changed copy of itself, as often as levels says. The daemon
// writes the names of both into the name of the merge.
func mergedTwice(levels int) llb.State {
	st := llb.Image("busybox")
	for range levels {
		st = llb.Merge([]llb.State{st, st.File(llb.Mkdir("/d", 0o755)), st})
	}
	return st
}

func TestWhatADefinitionSharesWithOtherClients(t *testing.T) {
	t.Parallel()
	command := llb.Image("busybox").Run(llb.Shlex("true")).Root()
	limited := sharedDefinition(t, command)
	for _, m := range limited.Metadata {
		m.LinuxResources = &pb.LinuxResources{CpuQuota: 1000}
	}
	for name, tc := range map[string]struct {
		def  *pb.Definition
		what string
	}{
		"a command":         {sharedDefinition(t, command), ""},
		"limits":            {limited, "limits for a command"},
		"some merges":       {sharedDefinition(t, mergedTwice(5)), ""},
		"nested merges":     {sharedDefinition(t, mergedTwice(40)), "nested too deeply"},
		"a merge of merges": {sharedDefinition(t, llb.Diff(mergedTwice(40), llb.Scratch())), "nested"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			what, err := Shared(tc.def)
			require.NoError(t, err)
			if tc.what == "" {
				require.Empty(t, what)
				return
			}
			require.Contains(t, what, tc.what)
		})
	}
}
