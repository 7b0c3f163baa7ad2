//go:build !image

package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"github.com/policy-frontend/policy-frontend/internal/lock"
	"github.com/policy-frontend/policy-frontend/policy"
)

// lockFlags are the flags of lock.
type lockFlags struct {
	check    bool
	insecure []string
}

func newLockCommand() *cobra.Command {
	var f lockFlags
	cmd := &cobra.Command{
		Use:   "lock [flags] FILE...",
		Short: "Pin the tags that policies allow to the digests they have now",
		Long: `lock looks up in the registry what digests the tags have that a policy allows, and
writes them into its aliases as pins: for pins that are there, and for tags that are
written out in an allow rule for one repository. Everything else of the file stays as
it is. Included files are part of the policy and are written to as well.

The registry is asked with the credentials of the docker configuration, over TLS.
Nothing is written if a tag of any of the policies can't be looked up.

With --check nothing is written; each pin that is missing or has moved is printed.

Exit code: 0 written, or with --check nothing to write; 1 with --check, if there is;
2 wrong usage, an invalid policy, a tag that can't be looked up or a file that can't
be written.`,
		Example: `  policy-frontend lock policy.yaml
  policy-frontend lock --check policy.yaml
  policy-frontend lock --insecure-registry registry.test:5000 policy.yaml`,
		Args:              someFiles,
		ValidArgsFunction: yamlFiles,
		RunE: func(cmd *cobra.Command, args []string) error {
			return f.run(cmd.Context(), args, cmd.OutOrStdout(), cmd.ErrOrStderr())
		},
	}
	cmd.Flags().BoolVar(&f.check, "check", false, "change nothing, and say what lock would change")
	cmd.Flags().StringArrayVar(&f.insecure, "insecure-registry", nil, "a `HOST`, with its port, that may answer over plain HTTP; may be repeated")
	_ = cmd.RegisterFlagCompletionFunc("insecure-registry", cobra.NoFileCompletions) // It fails only for a flag that isn't there.
	return cmd
}

// lockable is a policy, what to pin in it, and what its files will be.
type lockable struct {
	document
	pins    []lock.Pin
	changed map[string][]byte
}

func (f *lockFlags) run(ctx context.Context, files []string, stdout, stderr io.Writer) error {
	var policies []lockable
	registry := lock.NewRegistry(f.insecure)
	var errs []error
	for _, file := range files {
		l, err := f.read(ctx, file, registry, stderr)
		errs = append(errs, err)
		policies = append(policies, l)
	}
	errs = append(errs, shared(policies))
	if err := errors.Join(errs...); err != nil {
		return &exitError{exitUsage, err}
	}
	code := exitOK
	for _, l := range policies {
		for _, p := range l.pins {
			if p.Moved() {
				fmt.Fprintln(stdout, l.pinText(p))
			}
		}
		if f.check {
			if slices.ContainsFunc(l.pins, lock.Pin.Moved) {
				code = exitMoved
			}
			continue
		}
		for name, data := range l.changed {
			if err := writeFile(l.path(name), data); err != nil {
				return &exitError{exitUsage, fmt.Errorf("writing %s: %w", l.path(name), err)}
			}
		}
	}
	if code != exitOK {
		return &exitError{code: code}
	}
	return nil
}

// read returns a policy with its pins looked up.
func (f *lockFlags) read(ctx context.Context, file string, registry *lock.Registry, stderr io.Writer) (lockable, error) {
	d, err := loadPolicy(file)
	if err != nil {
		return lockable{}, err
	}
	l := lockable{document: d}
	pins, skipped, err := lock.Find(d.Policy, time.Now())
	if err != nil {
		return l, fmt.Errorf("%s: %w", file, err)
	}
	for _, s := range skipped {
		fmt.Fprintf(stderr, "%s:%d: rule %q is not pinned: %s\n", d.path(s.File), s.Line, s.Rule, s.Reason)
	}
	if err := lock.Resolve(ctx, pins, registry.Resolve); err != nil {
		return l, fmt.Errorf("%s can't be locked:\n%w", file, err)
	}
	l.pins = pins
	if f.check {
		return l, nil
	}
	l.changed, err = l.edit()
	return l, err
}

// edit returns the contents of the policy's files that change.
func (l lockable) edit() (map[string][]byte, error) {
	out := map[string][]byte{}
	for _, p := range l.pins {
		name := l.fileOf(p)
		if _, done := out[name]; done || !p.Moved() {
			continue
		}
		data, err := readFile(l.path(name), policy.MaxSize)
		if err != nil {
			return nil, err
		}
		if out[name], err = lock.Edit(name, data, l.pins, name == l.name); err != nil {
			return nil, fmt.Errorf("in %s: %w", filepath.Clean(l.folder), err)
		}
	}
	return out, nil
}

// shared fails if two policies would change the same file, since each knows only of
// its own pins.
func shared(policies []lockable) error {
	seen := map[string]bool{}
	for _, l := range policies {
		for name := range l.changed {
			if seen[l.path(name)] {
				return fmt.Errorf("%s belongs to more than one of the policies; lock them one after the other", l.path(name))
			}
			seen[l.path(name)] = true
		}
	}
	return nil
}

// fileOf returns the name of the file in which the pin belongs.
func (l lockable) fileOf(p lock.Pin) string {
	switch {
	case p.Alias != nil:
		return p.Alias.File()
	case p.Before != nil:
		return p.Before.File()
	}
	return l.name
}

// pinText is one line about a pin that is missing or has moved.
func (l lockable) pinText(p lock.Pin) string {
	at := l.path(l.fileOf(p))
	if p.Alias != nil {
		at += fmt.Sprintf(":%d", p.Alias.Line())
	}
	if p.Old == "" {
		return fmt.Sprintf("%s: %s:%s is not pinned; it points to %s", at, p.To, p.Tag, p.New)
	}
	return fmt.Sprintf("%s: %s:%s moved from %s to %s", at, p.To, p.Tag, p.Old, p.New)
}
