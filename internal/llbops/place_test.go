package llbops_test

import (
	"context"
	"slices"
	"strings"
	"testing"

	"github.com/moby/buildkit/client/llb"
	"github.com/moby/buildkit/solver/pb"
	digest "github.com/opencontainers/go-digest"
	"github.com/stretchr/testify/require"

	"github.com/policy-frontend/policy-frontend/internal/llbops"
)

func TestTheLineIsThatOfTheOperation(t *testing.T) {
	t.Parallel()
	sm := llb.NewSourceMap(nil, "Dockerfile", "Dockerfile", []byte("FROM a\nFROM b\nRUN x\n"))
	line := func(from, to int32) llb.ConstraintsOpt {
		return sm.Location([]*pb.Range{{Start: &pb.Position{Line: from}, End: &pb.Position{Line: to}}})
	}
	for name, tc := range map[string]struct {
		at   llb.ConstraintsOpt
		line int32 // 0 if there is no place
	}{
		"a line of the file":          {at: line(2, 2), line: 2},
		"several lines":               {at: line(2, 3), line: 2},
		"a line before the file":      {at: line(0, 1)},
		"a line behind the file":      {at: line(2, 99)},
		"an end before its beginning": {at: line(3, 2)},
		"a file that is too large": {
			at: llb.NewSourceMap(nil, "f", "",
				make([]byte, 1<<20+1)).Location(
				[]*pb.Range{{Start: &pb.Position{Line: 1}, End: &pb.Position{Line: 1}}}),
		},
		"a place that has no line at all": {at: sm.Location(nil)},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			def, err := llb.Image("busybox", tc.at).Marshal(context.Background())
			require.NoError(t, err)
			found, err := read(def.ToPB())
			require.NoError(t, err)
			require.Len(t, found, 1)
			p := found[0].Place()
			if tc.line == 0 {
				require.Nil(t, p)
				return
			}
			require.Equal(t, tc.line, p.Ranges[0].Start.Line)
			require.Equal(t, "Dockerfile", p.Info.Filename)
		})
	}
	def, err := llb.Image("busybox").Marshal(context.Background())
	require.NoError(t, err)
	p := def.ToPB()
	p.Source = &pb.Source{
		Infos: []*pb.SourceInfo{nil},
		Locations: map[string]*pb.Locations{
			digest.FromBytes(p.Def[0]).String(): {
				Locations: []*pb.Location{{SourceIndex: 0}, {SourceIndex: -1}, {SourceIndex: 5}},
			},
		},
	}
	found, err := read(p)
	require.NoError(t, err)
	require.Nil(t, found[0].Place())
}

// docker/dockerfile names no line for an image that COPY --from or a mount reads.
func TestTheLineOfWhatHasNoneIsThatOfItsFirstUse(t *testing.T) {
	t.Parallel()
	sm := llb.NewSourceMap(nil, "Dockerfile", "Dockerfile", []byte("1\n2\n3\n4\n"))
	line := func(n int32) llb.ConstraintsOpt {
		return sm.Location([]*pb.Range{{Start: &pb.Position{Line: n}, End: &pb.Position{Line: n}}})
	}
	unplaced := llb.Image("corp/tools:1").File(llb.Mkdir("/x", 0o755))
	st := llb.Image("corp/base:1", line(1)).
		File(llb.Mkdir("/y", 0o755), line(2)).
		File(llb.Copy(unplaced, "/x", "/x"), line(3)).
		File(llb.Copy(unplaced, "/x", "/z"), line(4))
	def, err := st.Marshal(context.Background())
	require.NoError(t, err)
	found, err := read(def.ToPB())
	require.NoError(t, err)
	lines := map[string]int32{}
	for _, op := range found {
		lines[op.Image] = op.Place().Ranges[0].Start.Line
	}
	require.Equal(t, map[string]int32{"docker.io/corp/base:1": 1, "docker.io/corp/tools:1": 3}, lines)
}

func TestAPlaceIsBounded(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("é", 1000)
	at := &pb.Range{Start: &pb.Position{Line: 1}, End: &pb.Position{Line: 1}}
	p := llbops.NewPlace(&pb.SourceInfo{Filename: long, Language: long, Data: []byte("a")},
		slices.Repeat([]*pb.Range{at}, 1000))
	require.Equal(t, strings.Repeat("é", 512), p.Info.Filename)
	require.Equal(t, p.Info.Filename, p.Info.Language)
	require.Len(t, p.Ranges, 100)
	p = llbops.NewPlace(&pb.SourceInfo{Filename: "a" + long, Data: []byte("a")}, []*pb.Range{at})
	require.Equal(t, "a"+strings.Repeat("é", 511), p.Info.Filename)
}
