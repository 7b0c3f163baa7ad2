//go:build !image

package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/policy-frontend/policy-frontend/internal/attached"
	"github.com/policy-frontend/policy-frontend/internal/lock"
	"github.com/policy-frontend/policy-frontend/internal/safetext"
	"github.com/policy-frontend/policy-frontend/vsa"
)

// verifyFlags are the flags of verify.
type verifyFlags struct {
	key, policy             string
	summary, layout, digest string
	warned                  bool
	insecure                []string
	out                     *output[proven]
}

// proven is what summaries of an image prove.
type proven struct {
	Image string `json:"image"` // its digest
	// Summaries are those that the key has signed.
	Summaries []*vsa.Statement `json:"summaries"`
	// Skipped says which other summaries verify couldn't read, or left out as too many.
	Skipped []string `json:"skipped,omitempty"`
}

func newVerifyCommand() *cobra.Command {
	f := verifyFlags{out: newOutput("what is proven", asText(proven.text),
		asJSON(func(p proven) any { return p }))}
	cmd := &cobra.Command{
		Use:   "verify [flags] --key FILE IMAGE",
		Short: "Say what the signed summaries of an image prove",
		Long: `verify finds the summaries that policy-guard has pushed beside an image. It says what
those prove that the key has signed: by which policy and rule the image was built, how
its frontend ran, and what the build could read.

IMAGE has a tag or a digest, as in registry.example/app:1. verify uses the credentials of
the Docker configuration, and TLS. Plain HTTP is for this machine, and for the hosts of
--insecure-registry.

With --layout, verify looks in an OCI image layout: a folder, or a tar archive as
docker buildx build -o type=oci writes it. It verifies the manifests in it, and not the
layers. All that isn't a summary there counts as an image; of several, --digest chooses
one. With --summary, it reads a summary from a file, about the image of --layout or with
--digest.

verify skips summaries that it can't read, and all but the last 200. It says which.

A summary of a build that the policy only warned about counts with --warned.

Exit codes:
  0  at least one summary proves something
  1  none does
  2  wrong usage, a file that can't be read, or a registry that doesn't answer`,
		Example: `  policy-frontend verify --key guard.pub --summary sum.json --digest "$(cat digest)"`,
		Args:    cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return f.run(cmd.Context(), args, cmd.OutOrStdout())
		},
	}
	flags := cmd.Flags()
	flags.StringVar(&f.key, "key", "", "the `FILE` with the public key")
	flags.StringVar(&f.policy, "policy-digest", "",
		"accept only summaries by the policy with this `DIGEST`")
	flags.StringVar(&f.summary, "summary", "", "a `FILE` with a summary, in place of the registry's")
	flags.StringVar(&f.layout, "layout", "", "a folder or tar archive `PATH` with an OCI image layout")
	flags.StringVar(&f.digest, "digest", "",
		"the `DIGEST` of the image that --summary is about, or of one of several in --layout")
	flags.BoolVar(&f.warned, "warned", false, "accept summaries of builds that the policy warned about")
	flags.StringArrayVar(&f.insecure, "insecure-registry", nil,
		"a `HOST`, with its port, that may use plain HTTP; repeatable")
	f.out.add(cmd)
	for _, name := range []string{"policy-digest", "digest", "insecure-registry"} {
		noCompletions(cmd, name)
	}
	return cmd
}

func (f *verifyFlags) run(ctx context.Context, args []string, stdout io.Writer) error {
	switch {
	case f.key == "":
		return errors.New("the flag --key is missing")
	case len(args) == 1 && (f.layout != "" || f.summary != "" || f.digest != ""):
		return errors.New("--layout, --summary and --digest go without the name of an image")
	case len(args) == 0 && f.layout == "" && (f.summary == "" || f.digest == ""):
		return errors.New("give an image, --layout, or --summary with --digest")
	}
	if err := f.out.check(); err != nil {
		return err
	}
	data, err := readFile(f.key, vsa.MaxKey)
	if err != nil {
		return &exitError{exitUsage, err}
	}
	key, err := vsa.ParsePublicKey(data)
	if err != nil {
		return &exitError{exitUsage, fmt.Errorf("%s: %w", f.key, err)}
	}
	if f.policy != "" {
		if _, err := vsa.ParseDigest(f.policy); err != nil {
			return &exitError{exitUsage, fmt.Errorf("--policy-digest: %w", err)}
		}
	}
	beside, envelopes, err := f.find(ctx, args)
	if err != nil { // whose text can be a registry's
		return &exitError{exitUsage, errors.New(safetext.OneLine(safetext.Lines(err.Error())))}
	}
	found := proven{Image: beside.Image.String(), Skipped: beside.Skipped}
	var against []error
	for _, e := range envelopes {
		s, err := f.open(key, beside.Image, e)
		if err != nil {
			against = append(against, err)
			continue
		}
		found.Summaries = append(found.Summaries, s)
	}
	if len(found.Summaries) == 0 {
		for _, skipped := range found.Skipped {
			against = append(against, errors.New("skipped "+skipped))
		}
		why := errors.Join(against...)
		if why == nil {
			why = errors.New("it has no summary")
		}
		return &exitError{exitNothing, fmt.Errorf("nothing is proven of %s: %w", found.Image, why)}
	}
	return f.out.print(stdout, found)
}

// find returns what is beside the image, and the envelopes that may be about it.
func (f *verifyFlags) find(
	ctx context.Context, args []string,
) (beside attached.Found, envelopes []*vsa.Envelope, err error) {
	switch {
	case len(args) == 1:
		registries := attached.Registries{Registry: lock.NewRegistry(f.insecure)}
		beside, err = registries.Find(ctx, args[0])
	case f.layout != "":
		beside, err = attached.FindInLayout(f.layout, f.digest)
	default:
		if beside.Image, err = vsa.ParseDigest(f.digest); err != nil {
			err = fmt.Errorf("--digest: %w", err)
		}
	}
	if err != nil {
		return beside, nil, err
	}
	if f.summary != "" {
		e, err := readSummary(f.summary)
		return attached.Found{Image: beside.Image}, []*vsa.Envelope{e}, err
	}
	for _, b := range beside.Bundles {
		if e, err := vsa.ParseBundle(b); err == nil { // others may put there what they like
			envelopes = append(envelopes, e)
		}
	}
	return beside, envelopes, nil
}

// readSummary reads the envelope in a file.
func readSummary(file string) (*vsa.Envelope, error) {
	data, err := readFile(file, vsa.MaxEnvelope)
	if err != nil {
		return nil, err
	}
	e, err := vsa.ParseEnvelope(data)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", file, err)
	}
	return e, nil
}

// open returns the statement in an envelope if it is about the image.
func (f *verifyFlags) open(
	key vsa.PublicKey, image vsa.Digest, e *vsa.Envelope,
) (*vsa.Statement, error) {
	s, err := key.Open(e)
	switch {
	case err != nil:
		return nil, fmt.Errorf("a summary: %w", err)
	case s.Image() != image:
		return nil, fmt.Errorf("a summary is about another image: %s", s.Image())
	case f.policy != "" && s.Predicate.Policy.Digest.String() != f.policy:
		return nil, fmt.Errorf("a summary is by another policy: %s", s.Predicate.Policy.Digest)
	}
	d, err := s.Decision()
	if err == nil && d.Warned() && !f.warned {
		err = fmt.Errorf("a summary says that the policy only warned about the build (--warned accepts "+
			"that): %s", safetext.Printable(strings.Join(d.Warnings, "; ")))
	}
	return s, err
}

// ran says what a dispatcher means for what was watched.
var ran = map[string]string{
	"forward": "the daemon ran the frontend; its result was judged, and nothing before it",
	"builtin": "the Dockerfile frontend of the daemon or of policy-frontend ran",
	"mediate": "the frontend ran in a container, and each of its calls was judged",
	"llb":     "the client's own LLB was judged, and no frontend ran",
}

// text is what is proven, for a person.
func (p proven) text() string {
	var b strings.Builder
	for _, s := range p.Summaries {
		d, _ := s.Decision() // it was read before
		about := s.Predicate
		fmt.Fprintf(&b, "%s is proven.\n", p.Image)
		line := func(what, format string, args ...any) {
			text := safetext.OneLine(safetext.Lines(fmt.Sprintf(format, args...)))
			fmt.Fprintf(&b, "  %-12s%s\n", what, text)
		}
		var names []string
		for _, subject := range s.Subject {
			if subject.Name != "" {
				names = append(names, subject.Name)
			}
		}
		if len(names) > 0 {
			line("exported as", "%s", strings.Join(names, ", "))
		}
		line("verifier", "%s %s, %s", about.Verifier.ID, about.Verifier.Version["policy-guard"],
			about.TimeVerified.Format(time.RFC3339))
		line("policy", "%s %s", about.Policy.URI, about.Policy.Digest)
		if d.Overlay != nil {
			line("overlay", "%s", d.Overlay.Digest)
		}
		line("frontend", "%s", d.Image)
		line("rule", "%s: %s", d.Rule, d.Reason)
		for _, w := range d.Warnings {
			line("warning", "%s", w)
		}
		dispatch := about.Details.Dispatch
		line("dispatch", "%s: %s", dispatch, ran[dispatch])
		for _, source := range about.Details.Sources {
			line("source", "%s %s", source.URI, source.Digest)
		}
	}
	for _, skipped := range p.Skipped {
		fmt.Fprintf(&b, "Skipped %s\n", safetext.OneLine(safetext.Lines(skipped)))
	}
	return b.String()
}
