package main

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/opencontainers/go-digest"
	"github.com/spf13/cobra"

	"github.com/policy-frontend/policy-frontend/frontend"
	"github.com/policy-frontend/policy-frontend/internal/optionkeys"
	"github.com/policy-frontend/policy-frontend/policy"
	"github.com/policy-frontend/policy-frontend/policy/imageref"
)

// requestFlags are the flags that say what is decided, by which policies.
type requestFlags struct {
	policy, overlay, digest, at string
	options, inputs             []string
}

func (f *requestFlags) add(cmd *cobra.Command) {
	cmd.Flags().StringVar(&f.policy, "policy", frontend.DefaultPolicyPath, "the policy `FILE`")
	cmd.Flags().StringVar(&f.overlay, "overlay", "", "a `FILE` with a policy on top, as a client may send one")
	cmd.Flags().StringArrayVar(&f.options, "opt", nil, "a frontend option `KEY=VALUE` as a client would send it; may be repeated.\n"+
		optionkeys.Overlay+" is the overlay")
	cmd.Flags().StringArrayVar(&f.inputs, "input", nil, "the `NAME` of a frontend input as a client would send it; may be repeated")
	cmd.Flags().StringVar(&f.digest, "digest", "", "the `DIGEST` to which the reference resolves")
	addAtFlag(cmd, &f.at)
	completeYAML(cmd, "policy", "overlay")
}

// addAtFlag adds the flag for the time of a decision.
func addAtFlag(cmd *cobra.Command, at *string) {
	cmd.Flags().StringVar(at, "at", "", "the `TIME` to decide for, a day such as 2027-01-31 or 2027-01-31T12:00:00Z (default now)")
	_ = cmd.RegisterFlagCompletionFunc("at", cobra.NoFileCompletions) // It fails only for a flag that isn't there.
}

// parseAt reads the value of --at.
func parseAt(at string) (time.Time, error) {
	if at == "" {
		return time.Now(), nil
	}
	t, err := policy.ParseTime(at)
	if err != nil {
		return time.Time{}, fmt.Errorf("--at: %w", err)
	}
	return t, nil
}

// read returns what is to be decided. An error that isn't one of usage is an
// *exitError.
func (f *requestFlags) read(arg string) (policy.Layers, policy.Request, error) {
	request, err := f.request(arg)
	if err != nil {
		return policy.Layers{}, request, err
	}
	opts, err := f.parseOptions()
	if err != nil {
		return policy.Layers{}, request, err
	}
	sent, ok := opts[optionkeys.Overlay]
	if ok && f.overlay != "" {
		return policy.Layers{}, request, fmt.Errorf("--overlay and --opt %s both give an overlay; give one", optionkeys.Overlay)
	}
	for k := range opts {
		if optionkeys.IsOwn(k) {
			delete(opts, k)
		}
	}
	request.Options = opts
	layers, err := f.layers(sent, ok)
	if err != nil {
		return layers, request, &exitError{exitUsage, err}
	}
	return layers, request, nil
}

func (f *requestFlags) request(arg string) (policy.Request, error) {
	at, err := parseAt(f.at)
	if err != nil {
		return policy.Request{}, err
	}
	ref, err := imageref.Parse(arg)
	if err != nil {
		return policy.Request{}, err
	}
	r := policy.Request{Requested: arg, Reference: ref, Inputs: f.inputs, Time: at}
	if f.digest != "" {
		if _, err := ref.WithDigest(digest.Digest(f.digest)); err != nil {
			return policy.Request{}, fmt.Errorf("--digest: %w", err)
		}
		r.Digest = digest.Digest(f.digest)
	}
	return r, nil
}

func (f *requestFlags) parseOptions() (map[string]string, error) {
	opts := map[string]string{}
	for _, o := range f.options {
		key, value, ok := strings.Cut(o, "=")
		if !ok || key == "" {
			return nil, fmt.Errorf("--opt needs KEY=VALUE, not %q", o)
		}
		if _, ok := opts[key]; ok {
			return nil, fmt.Errorf("--opt gives %q twice", key)
		}
		opts[key] = value
	}
	return opts, nil
}

func (f *requestFlags) layers(sent string, isSent bool) (policy.Layers, error) {
	embedded, err := loadPolicy(f.policy)
	if err != nil {
		return policy.Layers{}, err
	}
	var overlay *policy.Policy
	switch {
	case isSent:
		overlay, err = policy.ParseOverlay(optionkeys.ArgName(optionkeys.Overlay), []byte(sent))
	case f.overlay != "":
		overlay, err = loadOverlay(f.overlay)
	}
	if err != nil {
		return policy.Layers{}, err
	}
	return policy.Stack(embedded.Policy, overlay)
}

// oneReference is for commands that take a reference.
func oneReference(_ *cobra.Command, args []string) error {
	if len(args) != 1 {
		return fmt.Errorf("give exactly one reference, not %d", len(args))
	}
	return nil
}

// verdictError returns the exit code of a verdict as an error.
func verdictError(v policy.Verdict) error {
	switch v {
	case policy.Allow, policy.Warn:
		return nil
	case policy.Undecidable:
		return &exitError{code: exitUndecidable}
	}
	return &exitError{code: exitDeny}
}

// someFiles is for commands that take files.
func someFiles(_ *cobra.Command, args []string) error {
	if len(args) == 0 {
		return errors.New("give at least one policy file")
	}
	return nil
}
