package guard

import (
	"strconv"
	"testing"

	controlapi "github.com/moby/buildkit/api/services/control"
	"github.com/stretchr/testify/require"
)

// A hostile build can have as many steps as it likes.
func TestNoMoreStepsAreKeptThanAreLookedAt(t *testing.T) {
	t.Parallel()
	p := progress{vertexes: map[string]*controlapi.Vertex{}}
	for i := range maxVertexes + 10 {
		p.add(&controlapi.StatusResponse{
			Vertexes: []*controlapi.Vertex{{Digest: strconv.Itoa(i)}},
		})
	}
	require.Len(t, p.vertexes, maxVertexes)
	require.Len(t, p.order, maxVertexes)
}
