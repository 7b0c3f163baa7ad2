package provision

import "path/filepath"

const (
	cosignName   = "cosign"
	cosignModule = "github.com/sigstore/cosign/v3"
)

// Cosign builds cosign from tools/compat/cosign and returns its path. The first time, that takes
// several minutes.
func (t *Tools) Cosign() (string, error) {
	out := t.State("bin", cosignName)
	err := t.alone(func() error {
		return t.buildStale(filepath.Join(t.Root, compatDir, cosignName),
			Build{Out: out, Package: cosignModule + "/cmd/cosign"})
	})
	return out, err
}
