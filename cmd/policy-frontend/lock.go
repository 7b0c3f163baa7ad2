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
		Short: "Pin the tags that policies allow to their current digests",
		Long: `lock asks the registry for the digest of each tag that a policy allows, and writes it into
the policy's aliases as a pin. It updates existing pins. It adds pins for literal tags in
allow rules for a single repository. Everything else in a file stays as it is. Pins can
also go to included files, which are part of the policy.

lock uses the credentials of the Docker configuration, and TLS. If a tag of any of the
policies can't be looked up, it writes nothing.

With --check, lock writes nothing. It prints each pin that is missing or has moved.

Exit codes:
  0  everything is written; with --check, there is nothing to write
  1  with --check, a pin is missing or has moved
  2  wrong usage, an invalid policy, a tag that can't be looked up, or a file that can't
     be written`,
		Example: `  policy-frontend lock policy.yaml
  policy-frontend lock --check policy.yaml
  policy-frontend lock --insecure-registry registry.test:5000 policy.yaml`,
		Args:              someFiles,
		ValidArgsFunction: yamlFiles,
		RunE: func(cmd *cobra.Command, args []string) error {
			return f.run(cmd.Context(), args, cmd.OutOrStdout(), cmd.ErrOrStderr())
		},
	}
	cmd.Flags().BoolVar(&f.check, "check", false, "change nothing, and print what lock would change")
	cmd.Flags().StringArrayVar(&f.insecure, "insecure-registry", nil,
		"a `HOST`, with its port, that may use plain HTTP; repeatable")
	noCompletions(cmd, "insecure-registry")
	return cmd
}

// lockable is a policy with its pins and the new contents of its files.
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
	return exitWith(code)
}

// read returns a policy with its pins, whose digests it looks up.
func (f *lockFlags) read(
	ctx context.Context, file string, registry *lock.Registry, stderr io.Writer,
) (lockable, error) {
	d, err := loadPolicy(file)
	if err != nil {
		return lockable{}, err
	}
	if d.piped {
		return lockable{}, fmt.Errorf("%s is no file, and lock writes pins into files; give a file", d.name)
	}
	l := lockable{document: d}
	pins, skipped, err := lock.Find(d.Policy, time.Now())
	if err != nil {
		return l, fmt.Errorf("%s: %w", file, err)
	}
	for _, s := range skipped {
		fmt.Fprintln(stderr, l.skippedText(s))
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

// skippedText returns one line about what lock doesn't pin.
func (l lockable) skippedText(s lock.Skipped) string {
	if s.Rule == "" {
		return fmt.Sprintf("%s: %s", l.path(l.name), s.Reason)
	}
	return fmt.Sprintf("%s:%d: rule %q is not pinned: %s", l.path(s.File), s.Line, s.Rule, s.Reason)
}

// edit returns the new contents of those of the policy's files that change.
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
			return nil, fmt.Errorf("in %s: %w", filepath.Clean(l.dir), err)
		}
	}
	return out, nil
}

// shared returns an error if two policies would change the same file. Each knows only its own
// pins, so the second would overwrite those of the first.
func shared(policies []lockable) error {
	seen := map[string]bool{}
	for _, l := range policies {
		for name := range l.changed {
			if seen[l.path(name)] {
				return fmt.Errorf("more than one of the policies includes %s; lock them one after the other",
					l.path(name))
			}
			seen[l.path(name)] = true
		}
	}
	return nil
}

// fileOf returns the name of the file to which the pin belongs.
func (l lockable) fileOf(p lock.Pin) string {
	switch {
	case p.Alias != nil:
		return p.Alias.File()
	case p.Before != nil:
		return p.Before.File()
	}
	return l.name
}

// pinText returns one line about a pin that is missing or has moved.
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
