package frontend

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"

	"github.com/moby/buildkit/solver/pb"
	srctypes "github.com/moby/buildkit/source/types"

	"github.com/policy-frontend/policy-frontend/internal/safetext"
	"github.com/policy-frontend/policy-frontend/vsa"
)

const (
	// maxSourceBytes bounds the texts of the sources of a build. JSON takes up to twice as much.
	maxSourceBytes = vsa.MaxStatement / 4
	// heldBySource is about what a source takes beside its texts, in bytes.
	heldBySource = 100
)

// Sources are what a build was allowed to read, as a summary has it. The zero Sources are none.
// Several goroutines may use them.
type Sources struct {
	mu   sync.Mutex
	all  map[vsa.Source]bool
	size int
	full bool
}

// Add adds a source. It returns about how many bytes of memory that takes: none for one that is
// there already, and for those that are too many.
func (s *Sources) Add(op *pb.SourceOp) (bytes int) {
	source := summarized(op)
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.all[source] {
		return 0
	}
	bytes = len(source.URI) + len(source.Digest) + heldBySource
	if len(s.all) >= vsa.MaxSources || s.size+bytes > maxSourceBytes {
		s.full = true
		return 0
	}
	if s.all == nil {
		s.all = map[vsa.Source]bool{}
	}
	s.all[source], s.size = true, s.size+bytes
	return bytes
}

// List returns the sources in order. It fails if there were too many: a summary leaves none out.
func (s *Sources) List() ([]vsa.Source, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.full {
		return nil, fmt.Errorf("it reads more than %d sources, or ones whose names have more than %d "+
			"KiB together", vsa.MaxSources, maxSourceBytes>>10)
	}
	return slices.SortedFunc(maps.Keys(s.all), func(x, y vsa.Source) int {
		return strings.Compare(x.URI+"\n"+x.Digest, y.URI+"\n"+y.Digest)
	}), nil
}

// checksums are the attributes by which the daemon verifies what it reads, by scheme. It ignores
// them in sources of other schemes (Identifier of each package below source/).
var checksums = map[string]string{
	srctypes.HTTPScheme: pb.AttrHTTPChecksum, srctypes.HTTPSScheme: pb.AttrHTTPChecksum,
	srctypes.GitScheme: pb.AttrGitChecksum,
}

// summarized returns what a summary has of a source.
func summarized(op *pb.SourceOp) vsa.Source {
	uri, digest := safetext.WithoutSecrets(op.GetIdentifier()), ""
	scheme, _, _ := strings.Cut(op.GetIdentifier(), "://")
	if attr, ok := checksums[scheme]; ok {
		digest = op.GetAttrs()[attr]
	}
	for _, scheme := range []string{srctypes.DockerImageScheme, srctypes.OCIScheme} {
		if name, hex, ok := strings.Cut(uri, "@sha256:"); ok && strings.HasPrefix(uri, scheme+"://") {
			uri, digest = name, "sha256:"+hex
		}
	}
	return vsa.Source{URI: safetext.Whole(uri), Digest: safetext.Whole(digest)}
}
