package frontend

import (
	"context"
	"fmt"
	"testing"

	"github.com/moby/buildkit/solver/pb"
	"github.com/stretchr/testify/require"
)

// The definition has 10,000 operations, and 100 of them read an image each.
func BenchmarkDefinition10000(b *testing.B) {
	def := &pb.Definition{}
	for i := range 10_000 {
		op := &pb.Op{
			Inputs:   []*pb.Input{{Digest: digestOne.String()}},
			Platform: &pb.Platform{OS: "linux", Architecture: "amd64"},
			Op: &pb.Op_Exec{Exec: &pb.ExecOp{
				Meta: &pb.Meta{
					Args: []string{"/bin/sh", "-c", fmt.Sprintf("echo %d", i)},
					Env:  []string{"PATH=/usr/bin:/bin"},
					Cwd:  "/",
				},
				Mounts: []*pb.Mount{
					{Dest: "/"},
					{
						Dest:      "/root/.cache",
						Input:     -1,
						MountType: pb.MountType_CACHE,
						CacheOpt:  &pb.CacheOpt{ID: "c"},
					},
				},
			}},
		}
		if i%100 == 0 {
			op.Op = &pb.Op_Source{
				Source: &pb.SourceOp{
					Identifier: fmt.Sprintf("docker-image://mirror.corp/base-%d:1", i),
				},
			}
		}
		dt, err := op.Marshal()
		require.NoError(b, err)
		def.Def = append(def.Def, dt)
	}
	m := monitorOf(b, newFake(b, "", nil), mirrorOnly)
	b.ReportAllocs()
	for b.Loop() {
		guard, err := m.definition(context.Background(), def)
		require.NoError(b, err)
		require.NotEmpty(b, guard)
	}
}
