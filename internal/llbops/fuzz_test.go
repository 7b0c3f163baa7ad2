package llbops_test

import (
	"fmt"
	"testing"

	"github.com/moby/buildkit/solver/pb"
	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/encoding/protowire"

	"github.com/policy-frontend/policy-frontend/internal/llbops"
	"github.com/policy-frontend/policy-frontend/policy/buildrules"
)

// If the bytes of an operation can be read, it yields operations, or it is of a kind that yields
// none. With one more field that isn't known, it becomes unknown.
func FuzzFromDefinition(f *testing.F) {
	for _, op := range full() {
		f.Add(marshal(f, op))
	}
	f.Add(
		marshal(f,
			sourceOp("git://github.com/foo/bar#v1",
				map[string]string{"git.fullurl": "git@github.com:foo/bar"})))
	f.Fuzz(func(t *testing.T, dt []byte) {
		found, err := read(&pb.Definition{Def: [][]byte{dt}})
		if err != nil {
			return
		}
		var op pb.Op
		if op.Unmarshal(dt) != nil {
			require.NotEmpty(t, found)
			require.NotEmpty(t, found[0].Unknown)
			return
		}
		switch op.GetOp().(type) {
		case *pb.Op_File, *pb.Op_Merge, *pb.Op_Diff, *pb.Op_Passthrough, nil:
		default:
			require.NotEmpty(t, found)
		}
		for _, yielded := range found {
			require.NotEqual(t, buildrules.Operation{}, yielded.Operation)
			require.Nil(t, yielded.Place())
		}
		if src := op.GetSource(); src != nil {
			require.Contains(t, llbops.Identifiers(src), src.GetIdentifier())
		}
		more := protowire.AppendVarint(
			protowire.AppendTag(append([]byte{}, dt...), 50, protowire.VarintType), 1)
		found, err = read(&pb.Definition{Def: [][]byte{more}})
		require.NoError(t, err)
		require.Len(t, found, 1)
		require.NotEmpty(t, found[0].Unknown)
	})
}

// FuzzFromConfig: any configuration is read or is unknown, and reading it never panics.
func FuzzFromConfig(f *testing.F) {
	f.Add([]byte(`{"config":{"User":"a","Env":["A=b"]}}`))
	f.Add([]byte(`{"config":{"User":"a","user":"b"}}`))
	f.Fuzz(func(t *testing.T, dt []byte) {
		got := llbops.FromConfig("", "", dt)
		require.NotEqual(t, got.Config != nil, got.Unknown != "")
	})
}

func BenchmarkFromDefinition10000(b *testing.B) {
	def := &pb.Definition{}
	for i := range 10_000 {
		op := execOp(&pb.ExecOp{
			Meta: &pb.Meta{
				Args: []string{"/bin/sh", "-c", fmt.Sprintf("echo %d", i)},
				Env:  []string{"PATH=/usr/bin:/bin"}, Cwd: "/",
			},
			Mounts: []*pb.Mount{
				{Dest: "/"},
				{
					Dest: "/root/.cache", Input: -1, MountType: pb.MountType_CACHE,
					CacheOpt: &pb.CacheOpt{ID: "c"},
				},
			},
		})
		if i%4 == 0 {
			op = sourceOp(fmt.Sprintf("docker-image://docker.io/library/base-%d:1", i), nil)
		}
		op.Platform = &pb.Platform{OS: "linux", Architecture: "amd64"}
		op.Inputs = []*pb.Input{
			{Digest: "sha256:1111111111111111111111111111111111111111111111111111111111111111"},
		}
		def.Def = append(def.Def, marshal(b, op))
	}
	b.ReportAllocs()
	for b.Loop() {
		found, err := read(def)
		require.NoError(b, err)
		require.Len(b, found, 10_000)
	}
}
