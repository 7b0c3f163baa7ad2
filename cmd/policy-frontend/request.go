package main

import (
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/opencontainers/go-digest"
	"github.com/spf13/cobra"

	"github.com/policy-frontend/policy-frontend/frontend"
	"github.com/policy-frontend/policy-frontend/internal/optionkeys"
	"github.com/policy-frontend/policy-frontend/policy"
	"github.com/policy-frontend/policy-frontend/policy/clients"
	"github.com/policy-frontend/policy-frontend/policy/imageref"
)

// requestFlags are the flags for a request and for the policies that decide on it.
type requestFlags struct {
	policy, overlay, digest, at string
	options, inputs, client     []string
}

func (f *requestFlags) add(cmd *cobra.Command) {
	cmd.Flags().StringVarP(&f.policy, "policy", "p", frontend.DefaultPolicyPath, "the policy `FILE`")
	cmd.Flags().StringVar(&f.overlay, "overlay", "",
		"an overlay `FILE`, like one that a client may send")
	cmd.Flags().StringArrayVar(&f.options, "opt", nil,
		"a frontend option `KEY=VALUE` from the client; repeatable.\n"+
			optionkeys.Overlay+" is the overlay")
	cmd.Flags().StringArrayVar(&f.inputs, "input", nil,
		"the `NAME` of an input from another build; repeatable")
	cmd.Flags().StringArrayVar(&f.client, "client", nil,
		"a `NAME` of the client, which only policy-guard knows: uid:NUMBER, gid:NUMBER, cn:NAME,\n"+
			"dns:NAME or a URI; repeatable (default an unknown client)")
	noCompletions(cmd, "client")
	cmd.Flags().StringVar(&f.digest, "digest", "", "the `DIGEST` to which the reference's tag points")
	addAtFlag(cmd, &f.at)
	completeYAML(cmd, "policy", "overlay")
}

// addAtFlag adds the flag for the time of a decision.
func addAtFlag(cmd *cobra.Command, at *string) {
	cmd.Flags().StringVar(at, "at", "",
		"the `TIME` of the decision, such as 2027-01-31 or 2027-01-31T12:00:00Z (default now)")
	noCompletions(cmd, "at")
}

// parseAt reads the value of --at. Its default is the current time.
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

// read returns the policies and a request for each of the references. An error that isn't one of
// usage is an *exitError. Besides files, what else the command reads from counts for the rule that
// stdin is read once.
func (f *requestFlags) read(refs []string, others ...string) (
	policy.Layers, []policy.Request, error,
) {
	err := oneStdin(append(slices.Concat(refs, others), f.policy, f.overlay)...)
	if err != nil {
		return policy.Layers{}, nil, err
	}
	if refs, err = listed(refs); err != nil {
		return policy.Layers{}, nil, err
	}
	if f.digest != "" && len(refs) > 1 {
		return policy.Layers{}, nil, errors.New("--digest is the digest of one reference; give only one")
	}
	requests := make([]policy.Request, len(refs))
	for i, ref := range refs {
		if requests[i], err = f.request(ref); err != nil {
			return policy.Layers{}, nil, err
		}
	}
	layers, opts, err := f.context()
	for i := range requests {
		requests[i] = layers.StandIn(requests[i])
		requests[i].Options = opts
	}
	return layers, requests, err
}

// listed returns the references, with those that stdin has, one on a line, in the place of "-".
func listed(refs []string) ([]string, error) {
	var out []string
	for _, ref := range refs {
		if ref != "-" {
			out = append(out, ref)
			continue
		}
		data, err := readFile(ref, policy.MaxSize)
		if err != nil {
			return nil, &exitError{exitUsage, err}
		}
		number := 0
		for line := range strings.Lines(string(data)) {
			number++
			if line = strings.TrimSpace(line); line == "" || strings.HasPrefix(line, "#") {
				continue
			}
			if _, err := imageref.Parse(line); err != nil {
				return nil, fmt.Errorf("line %d of stdin: the reference %q: %w", number, line, err)
			}
			out = append(out, line)
		}
	}
	if len(out) == 0 {
		return nil, errors.New("stdin has no reference; write one on each line")
	}
	return out, nil
}

// context returns the policies, and the options that the client sends.
func (f *requestFlags) context() (policy.Layers, map[string]string, error) {
	opts, err := f.parseOptions()
	if err != nil {
		return policy.Layers{}, nil, err
	}
	sent, ok := opts[optionkeys.Overlay]
	if ok && f.overlay != "" {
		return policy.Layers{}, nil, fmt.Errorf("--overlay and --opt %s both give an overlay; give "+
			"only one", optionkeys.Overlay)
	}
	for k := range opts {
		if optionkeys.IsOwn(k) {
			delete(opts, k)
		}
	}
	layers, err := f.layers(sent, ok)
	if err != nil {
		return layers, nil, &exitError{exitUsage, err}
	}
	return layers, opts, nil
}

func (f *requestFlags) request(arg string) (policy.Request, error) {
	at, err := parseAt(f.at)
	if err != nil {
		return policy.Request{}, err
	}
	ref, err := imageref.Parse(arg)
	if err != nil {
		return policy.Request{}, fmt.Errorf("the reference %q: %w", arg, err)
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
	embedded, overlay, err := f.policies(sent, isSent)
	if err != nil {
		return policy.Layers{}, err
	}
	layers, err := policy.Stack(embedded, overlay)
	if err != nil {
		return layers, err
	}
	by, err := clients.Parse(f.client)
	if err != nil {
		return layers, fmt.Errorf("--client: %w", err)
	}
	return layers.For(by), nil
}

// policies loads the policy and the overlay, which is nil if there is none. An overlay that an
// option sends comes before that of the flag.
func (f *requestFlags) policies(
	sent string, isSent bool,
) (embedded, overlay *policy.Policy, err error) {
	loaded, err := loadPolicy(f.policy)
	if err != nil {
		return nil, nil, err
	}
	switch {
	case isSent:
		overlay, err = policy.ParseOverlay(optionkeys.ArgName(optionkeys.Overlay), []byte(sent))
	case f.overlay != "":
		overlay, err = loadOverlay(f.overlay)
	}
	return loaded.Policy, overlay, err
}

// verdictCode returns the exit code for a verdict.
func verdictCode(v policy.Verdict) int {
	switch v {
	case policy.Allow, policy.Warn:
		return exitOK
	case policy.Undecidable:
		return exitUndecidable
	}
	return exitDeny
}

// worstCode returns the exit code for several verdicts: that of a denial before that of an
// unknown digest.
func worstCode(codes []int) int {
	worst := exitOK
	for _, code := range codes {
		if code == exitDeny || worst == exitOK {
			worst = code
		}
	}
	return worst
}

// tell names the policy that answers, unless the caller has named it.
func (f *requestFlags) tell(cmd *cobra.Command, stderr io.Writer) {
	if !cmd.Flags().Changed("policy") {
		fmt.Fprintf(stderr, "%s: the policy is %s; give another one with --policy\n", cmd.CommandPath(),
			f.policy)
	}
}
