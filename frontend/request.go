package frontend

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/policy-frontend/policy-frontend/internal/gatewayopts"
	"github.com/policy-frontend/policy-frontend/internal/optionkeys"
	"github.com/policy-frontend/policy-frontend/internal/safetext"
	"github.com/policy-frontend/policy-frontend/policy"
	"github.com/policy-frontend/policy-frontend/policy/imageref"
)

// request is a build's wish to run one frontend.
type request struct {
	written string // the reference as the client wrote it; it may be invalid
	ref     imageref.Reference
	cmdline string // reference and arguments: the inner frontend's cmdline option
	origin  origin
	note    string // for a refusal, what the reference stands for; usually ""
}

func firstRequest(rs []request) request {
	if len(rs) == 0 {
		return request{}
	}
	return rs[0]
}

// findRequests returns the frontend that the build asks for, which is the first of:
//
//   - the second field of the option cmdline, which is INNER if the syntax line or
//     BUILDKIT_SYNTAX says "policy-frontend INNER"
//   - the build-arg BUILDKIT_SYNTAX, unless it names the policy frontend
//   - the build file's own syntax directive, unless it names the policy frontend
//   - the policy's default frontend, or else fallback
//
// If cmdline decided and BUILDKIT_SYNTAX names yet another frontend, the list has that one too, and
// it must be allowed as well. An inner frontend may follow it, and buildx sets it without changing
// cmdline (build/build.go, fallbackPrintError).
//
// A request for dockerfile.v0 stands for another frontend; see [dockerfileRequest].
//
// findRequests fails if the build asks for nothing. If the build asks for something that isn't an
// image reference, it fails too, and the list has that request for the message.
func findRequests(
	ctx context.Context, o gatewayopts.Options, file *buildFile, layers policy.Layers, fallback string,
) ([]request, error) {
	self, err := o.Self()
	if err != nil {
		return nil, fmt.Errorf("the source option %s isn't a reference of the policy frontend: %w",
			safetext.Plain(o.SelfRef()), err)
	}

	var found []directive
	cmdline, syntax := o.Get(optionkeys.Cmdline), o.Get(optionkeys.Syntax)
	if _, inner, ok := strings.Cut(strings.TrimSpace(cmdline), " "); ok {
		from := origin{kind: fromCmdline, cmdline: cmdline, syntaxArg: syntax}
		if o.IsHandedOver() { // policy-guard has put the image's reference before what was written
			from.cmdline = strings.TrimSpace(inner)
		}
		found = append(found, directive{strings.TrimSpace(inner), from})
	}
	if inner, ok := dropSelf(self, syntax); ok && (len(found) == 0 || inner != found[0].value) {
		found = append(found, directive{inner, origin{kind: fromSyntaxArg}})
	}
	if len(found) == 0 {
		d, ok := file.directive(ctx)
		if refused := (*refusal)(nil); errors.As(file.err, &refused) {
			return nil, refused // it may name another frontend than the default
		}
		if inner, other := dropSelf(self, d.value); ok && other {
			found = append(found, directive{inner, d.origin})
		}
	}
	if name := cmp.Or(layers.DefaultFrontend(), fallback); len(found) == 0 && name != "" {
		found = append(found, directive{name, origin{kind: fromDefault}})
	}
	if len(found) == 0 {
		return nil, errNothingAsked(file)
	}

	requests := make([]request, len(found))
	for i, d := range found {
		ask := d.request
		if d.value == policy.DaemonDockerfile {
			ask = func() (request, error) { return dockerfileRequest(layers, d.origin) }
		}
		r, err := ask()
		if err != nil {
			return []request{r}, err
		}
		requests[i] = r
	}
	return requests, nil
}

// maxCmdline is how many bytes a directive may have. All options of a frontend have to fit into its
// environment.
const maxCmdline = 4096

// request reads a directive. A request that comes with an error is good for messages only.
func (d directive) request() (request, error) {
	written, _, _ := strings.Cut(d.value, " ")
	r := request{written: safetext.Plain(written), cmdline: d.value, origin: d.origin}
	switch {
	case len(d.value) > maxCmdline:
		return r, fmt.Errorf("the directive has %d bytes, more than %d", len(d.value), maxCmdline)
	case safetext.Lines(d.value) != d.value || strings.Contains(d.value, "\n"):
		return r, fmt.Errorf(
			"the directive %s has characters that can't be printed", safetext.Plain(d.value))
	}
	var err error
	r.ref, err = imageref.Parse(written)
	return r, err
}

// dockerfileRequest returns the request for which dockerfile.v0 stands, the Dockerfile frontend in
// the daemon. That one can't be checked, and administrators turn it off. So an image is judged and
// run in its place, or the built-in frontend.
func dockerfileRequest(layers policy.Layers, from origin) (request, error) {
	r, err := directive{layers.DockerfileFrontend(), from}.request()
	r.written = policy.DaemonDockerfile
	r.note = layers.NoteOn(r.written)
	return r, err
}

// dropSelf returns the part of a directive that names another frontend than the policy frontend:
// the whole value, or the fields after a first one that names the policy frontend's repository. ok
// is false if nothing is left.
func dropSelf(self imageref.Reference, value string) (inner string, ok bool) {
	value = strings.TrimSpace(value)
	name, rest, _ := strings.Cut(value, " ")
	if ref, err := imageref.Parse(name); err == nil && ref.SameRepository(self) {
		value = strings.TrimSpace(rest)
	}
	return value, value != ""
}

func errNothingAsked(file *buildFile) error {
	const msg = "the build asks for no frontend: begin the build file with `# syntax=REFERENCE`, " +
		"or set BUILDKIT_SYNTAX to the policy frontend's reference, a space, and REFERENCE"
	if file.err != nil {
		return fmt.Errorf("%s (the build file could not be read: %w)", msg, file.err)
	}
	return errors.New(msg)
}
