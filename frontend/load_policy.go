package frontend

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/policy-frontend/policy-frontend/internal/optionkeys"
	"github.com/policy-frontend/policy-frontend/policy"
)

// loadPolicies reads the embedded policy, the one that policy-guard handed over, and the overlay
// that the client may have sent. A mistake in any of them is an error, so no build runs on half a
// policy. The layers that come with an error hold what could be read, for the message.
func (b *build) loadPolicies() (policy.Layers, error) {
	given, err := b.given()
	if err != nil {
		return policy.Layers{}, err
	}
	embedded, err := b.loadEmbedded()
	if none := (noPolicyError{}); b.policyFromGuard && errors.As(err, &none) {
		embedded, given, err = given, nil, nil
	}
	if err != nil {
		return policy.Layers{}, err
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

// loadEmbedded reads the policy at path and the files that it includes. All of them have to be in
// the policy's directory.
func (b *build) loadEmbedded() (*policy.Policy, error) {
	path := b.policyPath
	dir, err := os.OpenRoot(filepath.Dir(path))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, noPolicyError{path}
	}
	if err != nil {
		return nil, fmt.Errorf("the policy of this image can't be read: %w", err)
	}
	defer dir.Close()
	files := dir.FS()
	if b.mediator != "" { // it may get them
		b.policyText = map[string]string{}
		files = copying{files, b.policyText}
	}
	p, err := policy.Load(files, filepath.Base(path))
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
