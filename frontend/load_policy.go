package frontend

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/policy-frontend/policy-frontend/internal/gatewayopts"
	"github.com/policy-frontend/policy-frontend/internal/optionkeys"
	"github.com/policy-frontend/policy-frontend/policy"
)

// Layers reads the policy, and the overlay among the options of a build, as [Frontend.Choose] does.
// An error says which of them is broken, and how, or which option no client may send.
func (f Frontend) Layers(opts map[string]string) (policy.Layers, error) {
	b := &build{embedded: f.Policy, by: f.Client, opts: gatewayopts.Parse(opts)}
	b.sent = opts
	if err := b.checkOptions(); err != nil {
		return policy.Layers{}, err
	}
	return b.loadPolicies()
}

// loadPolicies gets the embedded policy, the one that policy-guard handed over, and the overlay
// that the client may have sent, as they are for the client. A mistake in any of them is an error,
// so no build runs on half a policy. So is a policy that names clients, where none is known. The
// layers that come with an error hold what could be read, for the message.
func (b *build) loadPolicies() (policy.Layers, error) {
	layers, err := b.readPolicies()
	layers = layers.For(b.by)
	if err == nil {
		err = layers.CheckClient()
	}
	return layers, err
}

func (b *build) readPolicies() (policy.Layers, error) {
	given, err := b.given()
	if err != nil {
		return policy.Layers{}, err
	}
	embedded, err := b.embedded()
	if none := (noPolicyError{}); b.policyFromGuard && errors.As(err, &none) {
		embedded, given, err = given, nil, nil
	}
	if err != nil {
		return policy.Layers{}, err
	}
	// Any client can send a policy, and say that it is somebody else. What it sends so can only
	// tighten an embedded policy that names no clients.
	if b.handed != nil && (b.policyFromGuard || embedded.NamesClients() == "") {
		b.by = b.handed.Client
	}
	alone, err := policy.Stack(embedded, given)
	if err != nil {
		return policy.Layers{}, err
	}
	doc, ok := b.opts.Overlay()
	switch {
	case !ok:
		return alone, nil
	case given != nil:
		return alone, errThirdPolicy
	}
	overlay, err := policy.ParseOverlay(optionkeys.ArgName(optionkeys.Overlay), []byte(doc))
	if err != nil {
		return alone, fmt.Errorf(
			"the policy sent as build-arg POLICY_FRONTEND_POLICY can't be used:\n%w", err)
	}
	layers, err := policy.Stack(embedded, overlay)
	if err != nil {
		return alone, err
	}
	return layers, nil
}

// errThirdPolicy refuses a client's overlay beside two other policies.
var errThirdPolicy = errors.New("this image has a policy of its own beside policy-guard's, so it " +
	"takes no third one by build-arg POLICY_FRONTEND_POLICY: build without it")

// PolicyFile returns a function that reads the policy at path and the files that it includes, each
// time that it is called. All of them have to be in the policy's directory. Its errors speak of an
// image that holds the policy.
func PolicyFile(path string) func() (*policy.Policy, error) {
	return func() (*policy.Policy, error) { return loadEmbedded(path) }
}

func loadEmbedded(path string) (*policy.Policy, error) {
	dir, err := os.OpenRoot(filepath.Dir(path))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, noPolicyError{path}
	}
	if err != nil {
		return nil, fmt.Errorf("the policy of this image can't be read: %w", err)
	}
	defer dir.Close()
	p, err := policy.Load(dir.FS(), filepath.Base(path))
	var broken *policy.ParseError
	switch {
	case errors.As(err, &broken):
		return nil, fmt.Errorf(
			"the policy of this image, in %s, is broken; tell its maintainer:\n%w",
			filepath.Dir(path), err)
	case errors.Is(err, fs.ErrNotExist):
		return nil, noPolicyError{path}
	case err != nil:
		return nil, fmt.Errorf("the policy of this image can't be read: %w", err)
	}
	return p, nil
}

// noPolicyError says that an image has no policy at the path.
type noPolicyError struct{ path string }

// Error implements error.
func (e noPolicyError) Error() string {
	return fmt.Sprintf("this policy frontend image holds no policy: "+
		"add one as %s (FROM this image, COPY policy.yaml %[1]s)", e.path)
}
