package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/policy-frontend/policy-frontend/internal/record"
	"github.com/policy-frontend/policy-frontend/internal/replay"
	"github.com/policy-frontend/policy-frontend/internal/safetext"
	"github.com/policy-frontend/policy-frontend/policy"
	"github.com/policy-frontend/policy-frontend/policy/clients"
	"github.com/policy-frontend/policy-frontend/policy/imageref"
)

func newRecordCommand() *cobra.Command {
	var f recordFlags
	out := newOutput("the builds", asText(recordPart.text), asJSON(recordPart.json))
	cmd := &cobra.Command{
		Use:   "record [flags] FILE...",
		Short: "Show policy-guard's record of builds, and what another policy would refuse",
		Long: `record reads the record that policy-guard writes with --record. It prints each build once:
when it began, how it ended, how long it took, who built with which frontend, and what was
refused. Builds without a recorded end come last. A - among the files is stdin.

The flags choose builds, which have to meet all of them. Builds that only look something
up, such as those of buildx before a build, are left out unless --lookups is given.

With --sum, record counts the builds by outcome, client, frontend and refusing rule, and
what commands requested by host.

With --policy, record asks that policy about each build. It prints the builds that weren't
refused and that this policy would refuse, with the rule and the reason. It asks about the
frontend by its digest, and about sources, requests of commands, exports, caches,
entitlements and SBOMs, at the time of the build. It names what it can't ask about,
because it isn't recorded: above all commands and values of options.

With --format json, record prints one object on each line: a line of the record as
docs/record.md describes it, the counts, or a build with the policy's answer.

Lines that break off, as the last one may after a power cut, are left out.

Exit codes:
  0  with --policy: no build that wasn't refused would be
  1  with --policy: some would be
  2  wrong usage, an invalid policy, a file that can't be read, or a line that isn't one
     of a record
  3  with --policy: none would be refused, as far as the recorded digests tell`,
		Example: `  policy-frontend record record.jsonl
  policy-frontend record --since 24h --outcome refused record.jsonl
  policy-frontend record --source busybox --format json record.jsonl.1 record.jsonl
  policy-frontend record --sum --since 2027-01-01 record.jsonl
  policy-frontend record --policy changed.yaml --since 720h record.jsonl`,
		Args: some("file with a record"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := out.check(); err != nil {
				return err
			}
			if err := oneStdin(append(slices.Clone(args), f.policy)...); err != nil {
				return err
			}
			chosen, err := f.filter(time.Now())
			if err != nil {
				return err
			}
			r := recordReader{
				chosen: chosen, tell: func(text string) { fmt.Fprintln(cmd.ErrOrStderr(), text) },
			}
			show := func(p recordPart) error { return out.print(cmd.OutOrStdout(), p) }
			code := exitOK
			switch {
			case f.policy != "":
				code, err = r.ask(f.policy, args, show)
			case f.sum:
				sum := newRecordSum()
				if err = r.read(args, func(e *record.Entry) error { sum.add(e); return nil }); err == nil {
					err = show(sum)
				}
			default:
				err = r.read(args, func(e *record.Entry) error { return show(recordedBuild{e}) })
			}
			if err == nil && r.invalid {
				code = exitUsage
			}
			if err != nil {
				return err
			}
			return exitWith(code)
		},
	}
	f.add(cmd)
	out.add(cmd)
	return cmd
}

// recordFlags are the flags of the command record.
type recordFlags struct {
	since, until, client, outcome, verdict, rule, frontend, source, policy string
	lookups, sum                                                           bool
}

func (f *recordFlags) add(cmd *cobra.Command) {
	flags := cmd.Flags()
	when := ", as a time or as how long ago,\nsuch as 2027-01-31, 2027-01-31T12:00:00Z or 24h"
	for _, flag := range []struct {
		value       *string
		name, usage string
	}{
		{&f.since, "since", "only builds that began at this `TIME` or later" + when},
		{&f.until, "until", "only builds that began before this `TIME`"},
		{&f.client, "client", "only builds of clients whom a `PATTERN` matches, such as uid:1000"},
		{&f.outcome, "outcome", "only builds with this `OUTCOME`: " + safetext.Or(record.Outcomes())},
		{&f.verdict, "verdict", "only builds with this `VERDICT` on their frontend: allow, warn or deny"},
		{&f.rule, "rule", "only builds in which the rule `NAME` decided or refused something"},
		{&f.frontend, "frontend", "only builds by a frontend that a `PATTERN` matches"},
		{&f.source, "source", "only builds with a source whose name or digest, or with a\nrequest of a command whose URL has this `TEXT`"},
	} {
		flags.StringVar(flag.value, flag.name, "", flag.usage)
		noCompletions(cmd, flag.name)
	}
	flags.BoolVar(&f.lookups, "lookups", false, "also builds that only look something up")
	flags.BoolVar(&f.sum, "sum", false, "count the builds instead of printing them")
	flags.StringVarP(&f.policy, "policy", "p", "",
		"print what this policy `FILE` would refuse and what wasn't refused")
	completeYAML(cmd, "policy")
}

// filter returns which builds the flags choose. now is the time from which it is counted how long
// ago something was.
func (f *recordFlags) filter(now time.Time) (func(*record.Entry) bool, error) {
	var all []func(*record.Entry) bool
	for _, t := range []struct {
		flag, text string
		keeps      func(began, limit time.Time) bool
	}{
		{"since", f.since, func(began, limit time.Time) bool { return !began.Before(limit) }},
		{"until", f.until, time.Time.Before},
	} {
		if t.text == "" {
			continue
		}
		limit, err := timeOrAge(t.text, now)
		if err != nil {
			return nil, fmt.Errorf("--%s: %w", t.flag, err)
		}
		all = append(all, func(e *record.Entry) bool { return t.keeps(e.Began, limit) })
	}
	if f.client != "" {
		p, err := clients.ParsePattern(f.client)
		if err != nil {
			return nil, fmt.Errorf("--client: %w", err)
		}
		all = append(all, func(e *record.Entry) bool { return isClient(p, e.Client) })
	}
	if f.frontend != "" {
		p, err := imageref.ParsePattern(f.frontend)
		if err != nil {
			return nil, fmt.Errorf("--frontend: %w", err)
		}
		all = append(all, func(e *record.Entry) bool {
			if e.Decision == nil {
				return false
			}
			ref, err := imageref.Parse(e.Decision.Image)
			return err == nil && p.Match(ref)
		})
	}
	switch verdicts := []string{"", "allow", "warn", "deny"}; {
	case f.outcome != "" && !slices.Contains(record.Outcomes(), record.Outcome(f.outcome)):
		return nil, fmt.Errorf("--outcome must be %s, not %q", safetext.Or(record.Outcomes()), f.outcome)
	case !slices.Contains(verdicts, f.verdict):
		return nil, fmt.Errorf("--verdict must be %s, not %q", safetext.Or(verdicts[1:]), f.verdict)
	case f.sum && f.policy != "":
		return nil, errors.New("--sum and --policy exclude each other")
	}
	all = append(all, func(e *record.Entry) bool {
		return (f.lookups || !isLookUp(e)) &&
			(f.outcome == "" || string(e.Outcome) == f.outcome) &&
			(f.verdict == "" || e.Decision != nil && e.Decision.Verdict == f.verdict) &&
			(f.rule == "" || hasRule(e, f.rule)) && (f.source == "" || hasSource(e, f.source))
	})
	return func(e *record.Entry) bool {
		return !slices.ContainsFunc(all, func(keeps func(*record.Entry) bool) bool { return !keeps(e) })
	}, nil
}

// timeOrAge reads a time, or how long ago it was.
func timeOrAge(s string, now time.Time) (time.Time, error) {
	if age, err := time.ParseDuration(s); err == nil && age >= 0 {
		return now.Add(-age), nil
	}
	return policy.ParseTime(s)
}

// isClient reports whether a pattern stands for a recorded client. Each of its names is a pattern
// for itself.
func isClient(p clients.Pattern, c record.Client) bool {
	return slices.ContainsFunc(c.Names, func(name string) bool {
		n, err := clients.ParsePattern(name)
		return err == nil && p.Covers(n)
	})
}

// isLookUp reports whether a build only looked something up: it is kept out of the history, asked
// for no frontend and had nothing refused.
func isLookUp(e *record.Entry) bool {
	return e.Asked.Hidden && e.Decision == nil && len(e.Refusals) == 0
}

func hasRule(e *record.Entry, rule string) bool {
	return e.Decision != nil && e.Decision.Rule == rule ||
		slices.ContainsFunc(e.Refusals, func(r record.Refusal) bool { return r.Rule == rule })
}

func hasSource(e *record.Entry, text string) bool {
	return slices.ContainsFunc(e.Downloads, func(d record.Download) bool {
		return strings.Contains(d.URL, text)
	}) || slices.ContainsFunc(e.Sources, func(s record.Source) bool {
		return strings.Contains(s.Name, text) || strings.Contains(s.Read, text) ||
			strings.Contains(s.Digest, text) || strings.Contains(s.Checksum, text)
	})
}

// recordReader reads the chosen builds of records.
type recordReader struct {
	chosen  func(*record.Entry) bool
	tell    func(string) // tells a person of a line that isn't an entry
	invalid bool         // there is a line that isn't an entry, and that doesn't break off
}

// read calls each with the chosen builds, once for each build. Builds without a recorded end come
// last.
func (r *recordReader) read(files []string, each func(*record.Entry) error) error {
	var builds record.Builds
	for _, file := range files {
		if err := r.file(file, &builds, each); err != nil {
			return err
		}
	}
	for _, e := range builds.Open() {
		if r.chosen(e) {
			if err := each(e); err != nil {
				return err
			}
		}
	}
	return nil
}

func (r *recordReader) file(
	file string, builds *record.Builds, each func(*record.Entry) error,
) error {
	var in io.Reader = os.Stdin
	if file != "-" {
		f, err := os.Open(file)
		if err != nil {
			return &exitError{exitUsage, err}
		}
		defer f.Close()
		in = f
	}
	lines := record.NewReader(in)
	for {
		e, err := lines.Next()
		var line *record.LineError
		switch {
		case errors.Is(err, io.EOF):
			return nil
		case errors.As(err, &line):
			r.tell(fmt.Sprintf("%s:%d: %v; it is left out", shownName(file), line.Line, line.Err))
			r.invalid = r.invalid || !errors.Is(err, record.ErrTorn)
			continue
		case err != nil:
			return &exitError{exitUsage, fmt.Errorf("reading %s: %w", shownName(file), err)}
		}
		if e = builds.Add(e); e != nil && r.chosen(e) {
			if err := each(e); err != nil {
				return err
			}
		}
	}
}

// ask asks a policy about the builds, and returns the exit code.
func (r *recordReader) ask(
	file string, files []string, show func(recordPart) error,
) (int, error) {
	loaded, err := loadPolicy(file)
	if err != nil {
		return 0, &exitError{exitUsage, err}
	}
	layers, err := policy.Stack(loaded.Policy, nil)
	if err != nil {
		return 0, &exitError{exitUsage, err}
	}
	sum := replaySum{Unknown: map[string]int{}}
	err = r.read(files, func(e *record.Entry) error {
		result := replay.Ask(layers, e)
		if !sum.add(e, result) {
			return nil
		}
		return show(replayedBuild{e, result})
	})
	if err == nil {
		err = show(sum)
	}
	switch {
	case err != nil:
		return 0, err
	case sum.Refused > 0:
		return exitRefused, nil
	case sum.Undecidable > 0:
		return exitUndecidable, nil
	}
	return exitOK, nil
}
