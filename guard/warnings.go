package guard

import (
	"errors"

	gwpb "github.com/moby/buildkit/frontend/gateway/pb"
	"google.golang.org/protobuf/proto"
)

// Bounds of the warnings that a client adds to its build. The daemon keeps them until the build
// ends (util/progress/multireader.go).
const (
	maxWarnings     = 500
	maxWarningBytes = 16 << 20
)

// warn passes on a warning about a build of the caller.
func (c *call) warn() error {
	b, err := c.bridgeBuild()
	if err != nil {
		return err
	}
	var req gwpb.WarnRequest
	if err := c.receive(&req); err != nil {
		return err
	}
	b.mu.Lock()
	b.warnings++
	b.warningBytes += proto.Size(&req)
	full := b.warnings > maxWarnings || b.warningBytes > maxWarningBytes
	b.mu.Unlock()
	if full {
		return c.refuse(errors.New("the build has too many warnings"))
	}
	return b.invoke(c, &req, &gwpb.WarnResponse{})
}
