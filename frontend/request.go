package frontend

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/policy-frontend/policy-frontend/internal/gatewayopts"
	"github.com/policy-frontend/policy-frontend/internal/optionkeys"
	"github.com/policy-frontend/policy-frontend/policy/imageref"
)

// request is one frontend that a build asks for.
type request struct {
	written string // the reference as the client wrote it; may not be one
	ref     imageref.Reference
	cmdline string // reference and arguments: the inner frontend's cmdline option
	origin  origin
}

func firstRequest(rs []request) request {
	if len(rs) == 0 {
		return request{}
	}
	return rs[0]
}

// findRequests returns the frontend that the build asks for: the first of
//
//   - the second field of the cmdline option: `# syntax=policy-frontend INNER`, or
//     the same in BUILDKIT_SYNTAX (BuildKit puts either there),
//   - the build-arg BUILDKIT_SYNTAX, if it isn't ourselves,
//   - the build file's own syntax directive, if it isn't ourselves,
//   - the policy's default.
//
// When cmdline decided and BUILDKIT_SYNTAX names yet another frontend, that one
// follows it in the list, to be judged too: an inner frontend may look at it, and
// buildx writes it without touching cmdline (build/build.go, fallbackPrintError).
//
// It fails when nothing is asked for, or when what is asked for isn't an image
// reference; that one is then the list.
func findRequests(ctx context.Context, o gatewayopts.Options, file *buildFile, defaultFrontend string) ([]request, error) {
	self, err := o.Self()
	if err != nil {
		return nil, fmt.Errorf("the source option %s does not say under which reference the policy frontend runs: %w", printable(o.SelfRef()), err)
	}

	var found []directive
	cmdline, syntax := o.Get(optionkeys.Cmdline), o.Get(optionkeys.Syntax)
	if _, inner, ok := strings.Cut(strings.TrimSpace(cmdline), " "); ok {
		found = append(found, directive{strings.TrimSpace(inner), origin{kind: fromCmdline, cmdline: cmdline, syntaxArg: syntax}})
	}
	if inner, ok := dropSelf(self, syntax); ok && (len(found) == 0 || inner != found[0].value) {
		found = append(found, directive{inner, origin{kind: fromSyntaxArg}})
	}
	if len(found) == 0 {
		d, ok := file.directive(ctx)
		if inner, other := dropSelf(self, d.value); ok && other {
			found = append(found, directive{inner, d.origin})
		}
	}
	if len(found) == 0 && defaultFrontend != "" {
		found = append(found, directive{defaultFrontend, origin{kind: fromDefault}})
	}
	if len(found) == 0 {
		return nil, errNothingAsked(file)
	}

	requests := make([]request, len(found))
	for i, d := range found {
		r, err := d.request()
		if err != nil {
			return []request{r}, err
		}
		requests[i] = r
	}
	return requests, nil
}

// maxCmdline bounds what a directive says, in bytes: all options of a frontend
// have to fit in its environment.
const maxCmdline = 4096

// request reads a directive. The request that comes with an error is good for a
// message only.
func (d directive) request() (request, error) {
	written, _, _ := strings.Cut(d.value, " ")
	r := request{written: printable(written), cmdline: d.value, origin: d.origin}
	switch {
	case len(d.value) > maxCmdline:
		return r, fmt.Errorf("the directive has %d bytes, more than %d", len(d.value), maxCmdline)
	case legible(d.value) != d.value || strings.Contains(d.value, "\n"):
		return r, fmt.Errorf("the directive %s has characters that can't be printed", printable(d.value))
	}
	var err error
	r.ref, err = imageref.Parse(written)
	return r, err
}

// dropSelf returns what a directive asks for beyond ourselves: the value as it
// is, or its fields after a first one that names our repository. ok is false when
// nothing is left.
func dropSelf(self imageref.Reference, value string) (inner string, ok bool) {
	value = strings.TrimSpace(value)
	name, rest, _ := strings.Cut(value, " ")
	if ref, err := imageref.Parse(name); err == nil && ref.SameRepository(self) {
		value = strings.TrimSpace(rest)
	}
	return value, value != ""
}

func errNothingAsked(file *buildFile) error {
	const msg = "the build asks for no frontend: begin the build file with `# syntax=REFERENCE`, or give the reference after ours in BUILDKIT_SYNTAX"
	if file.err != nil {
		return fmt.Errorf("%s (the build file could not be read: %w)", msg, file.err)
	}
	return errors.New(msg)
}
