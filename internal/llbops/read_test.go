package llbops_test

import (
	"bytes"
	"testing"

	"github.com/moby/buildkit/client/llb"
	"github.com/stretchr/testify/require"

	"github.com/policy-frontend/policy-frontend/internal/llbops"
)

func TestReadTakesWhatIsWritten(t *testing.T) {
	t.Parallel()
	def, err := llb.Image("docker.io/library/busybox:1").Run(llb.Args([]string{"true"}),
		llb.Network(llb.NetModeHost)).Marshal(t.Context())
	require.NoError(t, err)
	var written bytes.Buffer
	require.NoError(t, llb.WriteTo(def, &written))
	var images, networks []string
	for op, err := range llbops.Read(written.Bytes()) {
		require.NoError(t, err)
		images = append(images, op.Image)
		if op.Exec != nil {
			networks = append(networks, op.Exec.Network)
		}
	}
	require.Equal(t, []string{"docker.io/library/busybox:1", ""}, images)
	require.Equal(t, []string{"host"}, networks)
}

func TestReadRefusesWhatIsNoDefinition(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name string
		data []byte
		want string
	}{
		{"nothing", nil, "the definition is empty"},
		{"a text", []byte("FROM busybox\n"), "not an LLB definition"},
		{"a definition without operations", []byte{0x12, 0}, "it has no operations"},
		{"too much", make([]byte, llbops.MaxSize+1), "more than 16777216 bytes"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			n := 0
			for _, err := range llbops.Read(tt.data) {
				require.ErrorContains(t, err, tt.want)
				n++
			}
			require.Equal(t, 1, n)
		})
	}
}

func TestReadOwnHasWhatClientsCantAskFor(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		option llb.RunOption
		apart  bool
		want   []string // the unknown operations
	}{
		"a cache mount": {
			llb.AddMount("/c", llb.Scratch(), llb.AsPersistentCacheDir("c", llb.CacheMountShared)), false,
			[]string{"a cache mount, which is one for all clients"},
		},
		"nothing of the kind": {llb.Network(llb.NetModeHost), false, nil},
		"a command that is kept apart": {
			llb.Network(llb.NetModeHost), true, []string{llbops.OwnCommands},
		},
	} {
		def, err := llb.Image("docker.io/library/busybox:1").Run(llb.Args([]string{"true"}),
			tt.option).Marshal(t.Context())
		require.NoError(t, err, name)
		var written bytes.Buffer
		require.NoError(t, llb.WriteTo(def, &written), name)
		var unknown []string
		n := 0
		for op, err := range llbops.ReadOwn(written.Bytes(), tt.apart) {
			require.NoError(t, err, name)
			require.Nil(t, op.Place(), name)
			if n++; op.Unknown != "" {
				unknown = append(unknown, op.Unknown)
			}
		}
		require.Equal(t, tt.want, unknown, name)
		require.Equal(t, 2+len(tt.want), n, name)
	}
	for _, err := range llbops.ReadOwn([]byte("FROM busybox"), true) {
		require.ErrorContains(t, err, "not an LLB definition")
	}
}
