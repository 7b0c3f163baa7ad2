package frontend

import (
	"context"
	"fmt"
	"sync"

	"github.com/moby/buildkit/frontend/gateway/client"
	gwpb "github.com/moby/buildkit/frontend/gateway/pb"
	"google.golang.org/protobuf/proto"

	"github.com/policy-frontend/policy-frontend/internal/llbops"
)

// Bounds for what the inner frontends of one build can have shown with Warn. The daemon keeps all
// of it until the build ends.
const (
	maxShown      = 500
	maxShownBytes = 16 << 20
)

// shown counts the warnings of the inner frontends of one build.
type shown struct {
	mu                    sync.Mutex
	count, bytes, dropped int
}

// add counts a warning and reports whether it is shown.
func (s *shown) add(bytes int) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.count >= maxShown || s.bytes+bytes > maxShownBytes {
		s.dropped++
		return false
	}
	s.count++
	s.bytes += bytes
	return true
}

// Warn shows a warning of the inner frontend. It drops what is more than a person reads.
func (s *broker) Warn(ctx context.Context, req *gwpb.WarnRequest) (*gwpb.WarnResponse, error) {
	if len(req.GetInfo().GetData()) > llbops.MaxSource {
		req.Info, req.Ranges = nil, nil
	}
	if !s.monitor.shown.add(proto.Size(req)) {
		return &gwpb.WarnResponse{}, nil
	}
	return s.daemon.Warn(ctx, req)
}

// reportDropped says how many warnings [broker.Warn] has dropped.
func (m *monitor) reportDropped(ctx context.Context) {
	m.shown.mu.Lock()
	dropped := m.shown.dropped
	m.shown.mu.Unlock()
	if dropped > 0 {
		m.build.warnAt(ctx, fmt.Sprintf(
			"policy: %d more warnings of the frontend are not shown: a build can show %d, of %d MiB "+
				"together", dropped, maxShown, maxShownBytes>>20), client.WarnOpts{Level: 1})
	}
}
