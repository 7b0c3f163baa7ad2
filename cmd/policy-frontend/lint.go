package main

import (
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/spf13/cobra"

	"github.com/policy-frontend/policy-frontend/internal/lint"
	"github.com/policy-frontend/policy-frontend/policy"
)

func newLintCommand() *cobra.Command {
	var at string
	format := formatText
	cmd := &cobra.Command{
		Use:   "lint [flags] FILE...",
		Short: "Warn of what is valid in a policy but probably not meant",
		Long: `lint reads policies and overlays, and prints one line for each finding:
file, line and column, what happens and what to write instead, and a stable code.
docs/lint.md has a section for each code. The files that a policy includes are looked
at with it.

It finds, among others, rules that can never match or decide, patterns that take more
names than it seems, tags that say nothing of what they point to, aliases that lead
nowhere, and rules on builds that the way in which a frontend runs makes useless. What
it reports is so; it misses some, such as ranges of versions that hold other ranges.

With --format sarif, code scanning shows the findings at their lines; with --format
github, so does a workflow of GitHub Actions. There, and as JSON, what makes a file no
policy is a finding with the code invalid.

Exit code: 0 nothing found, 1 findings, 2 a file that can't be read or is no policy.`,
		Example: `  policy-frontend lint policy.yaml
  policy-frontend lint policy.yaml teams/*.yaml
  policy-frontend lint --at 2027-03-01T00:00:00Z policy.yaml
  policy-frontend lint --format sarif policy.yaml > lint.sarif`,
		Args:              someFiles,
		ValidArgsFunction: yamlFiles,
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := checkFormat(format, formatText, formatJSON, formatSARIF, formatGitHub); err != nil {
				return err
			}
			now, err := parseAt(at)
			if err != nil {
				return err
			}
			var r lintReport
			for _, file := range args {
				r.file(file, now)
			}
			if err := r.print(cmd.OutOrStdout(), cmd.ErrOrStderr(), format); err != nil {
				return &exitError{exitUsage, fmt.Errorf("printing the findings: %w", err)}
			}
			if r.code != exitOK {
				return &exitError{code: r.code}
			}
			return nil
		},
	}
	addAtFlag(cmd, &at)
	addFormatFlag(cmd, &format, "how to print the findings", formatText, formatJSON, formatSARIF, formatGitHub)
	return cmd
}

// finding is a finding as it is printed, with a file name that can be opened from
// here.
type finding struct {
	Code    lint.Code  `json:"code"`
	Level   lint.Level `json:"level"`
	Rule    string     `json:"rule,omitempty"`
	File    string     `json:"file"`
	Line    int        `json:"line,omitempty"`
	Column  int        `json:"column,omitempty"`
	Message string     `json:"message"`
}

// lintReport is what lint has found in all files so far.
type lintReport struct {
	findings []finding
	broken   []error // why files are no policies
	code     int     // to exit with
}

// file adds the findings of one file.
func (r *lintReport) file(file string, at time.Time) {
	d, err := loadPolicy(file)
	if err != nil {
		r.code = exitUsage
		r.broken = append(r.broken, err)
		r.invalid(file, err)
		return
	}
	for _, f := range lint.Check(d.name, d.Policy, lint.Options{Time: at}) {
		r.code = max(r.code, exitFindings)
		r.findings = append(r.findings, finding{f.Code, f.Code.Level(), f.Rule, d.path(f.File), f.Line, f.Column, f.Message})
	}
}

// invalid adds what makes a file no policy.
func (r *lintReport) invalid(file string, err error) {
	level := lint.Invalid.Level()
	var broken *policy.ParseError
	if !errors.As(err, &broken) {
		r.findings = append(r.findings, finding{Code: lint.Invalid, Level: level, File: file, Message: err.Error()})
		return
	}
	for _, p := range broken.Problems {
		r.findings = append(r.findings, finding{lint.Invalid, level, "", p.File, p.Line, p.Column, p.Message})
	}
	if broken.Omitted > 0 {
		r.findings = append(r.findings, finding{Code: lint.Invalid, Level: level, File: file, Message: fmt.Sprintf("and %d more", broken.Omitted)})
	}
}

func (r *lintReport) print(stdout, stderr io.Writer, format string) error {
	switch format {
	case formatJSON:
		findings := r.findings
		if findings == nil {
			findings = []finding{}
		}
		return printJSON(stdout, map[string][]finding{"findings": findings})
	case formatSARIF:
		return printJSON(stdout, sarif(r.findings))
	case formatGitHub:
		for _, f := range r.findings {
			if _, err := fmt.Fprintln(stdout, githubLine(f)); err != nil {
				return err
			}
		}
		return nil
	}
	for _, err := range r.broken {
		fmt.Fprintln(stderr, err)
	}
	for _, f := range r.findings {
		if f.Code == lint.Invalid {
			continue
		}
		if _, err := fmt.Fprintln(stdout, textLine(f)); err != nil {
			return err
		}
	}
	return nil
}

func textLine(f finding) string {
	at := f.File
	if f.Line > 0 {
		at = fmt.Sprintf("%s:%d:%d", f.File, f.Line, f.Column)
	}
	rule := ""
	if f.Rule != "" {
		rule = fmt.Sprintf("rule %q: ", f.Rule)
	}
	return fmt.Sprintf("%s: %s%s (%s)", at, rule, f.Message, f.Code)
}
