package main

import (
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/policy-frontend/policy-frontend/internal/lint"
	"github.com/policy-frontend/policy-frontend/policy"
)

func newLintCommand() *cobra.Command {
	var at string
	out := newOutput("the findings",
		asText(lintReport.text),
		asJSON(lintReport.json),
		format[lintReport]{formatSARIF, func(w io.Writer, r lintReport) error {
			return printJSON(w, sarif(r.findings))
		}},
		format[lintReport]{formatGitHub, func(w io.Writer, r lintReport) error {
			_, err := io.WriteString(w, github(r.findings))
			return err
		}},
	)
	cmd := &cobra.Command{
		Use:   "lint [flags] FILE...",
		Short: "Warn about parts of a policy that are valid but probably unintended",
		Long: `lint reads policies and overlays, and the files that they include. It prints one line
for each finding: the file, line and column, what happens, what to write instead, and a
stable code. docs/lint.md has a section for each code.

Among other things, lint finds

  - rules that can never match or decide,
  - patterns that match more names than they seem to,
  - tags that can point to any image,
  - aliases that lead to a name that the policy refuses,
  - build rules that have no effect under the rule's dispatch.

lint reports no false positives. It misses some problems, such as version ranges that
contain other ranges.

With --format sarif, code scanning shows the findings at their lines. With --format
github, a GitHub Actions workflow does. In these formats and in JSON, an error that makes
a file unusable as a policy is a finding with the code "invalid".

Exit codes:
  0  no findings
  1  there are findings
  2  a file can't be read or isn't a valid policy`,
		Example: `  policy-frontend lint policy.yaml
  policy-frontend lint policy.yaml teams/*.yaml
  policy-frontend lint --at 2027-03-01 policy.yaml
  policy-frontend lint --format sarif policy.yaml > lint.sarif`,
		Args:              someFiles,
		ValidArgsFunction: yamlFiles,
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := out.check(); err != nil {
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
			if out.chosen == formatText {
				for _, err := range r.invalid {
					fmt.Fprintln(cmd.ErrOrStderr(), err)
				}
			}
			if err := out.print(cmd.OutOrStdout(), r); err != nil {
				return err
			}
			return exitWith(r.code)
		},
	}
	addAtFlag(cmd, &at)
	out.add(cmd)
	return cmd
}

// finding is a finding in the output. Its file name is relative to the working directory.
type finding struct {
	Code    lint.Code  `json:"code"`
	Level   lint.Level `json:"level"`
	Rule    string     `json:"rule,omitempty"`
	File    string     `json:"file"`
	Line    int        `json:"line,omitempty"`
	Column  int        `json:"column,omitempty"`
	Message string     `json:"message"`
}

// lintReport is the result of lint for all files so far.
type lintReport struct {
	findings []finding
	invalid  []error // why files aren't valid policies
	code     int     // the exit code
}

// file adds the findings of one file.
func (r *lintReport) file(file string, at time.Time) {
	d, err := loadPolicy(file)
	if err != nil {
		r.code = exitUsage
		r.invalid = append(r.invalid, err)
		r.addInvalid(file, err)
		return
	}
	options := lint.Options{Time: at}
	for _, f := range lint.Check(d.name, d.Policy, options) {
		r.code = max(r.code, exitFindings)
		r.findings = append(r.findings, finding{
			f.Code, f.Code.Level(), f.Rule, d.path(f.File), f.Line,
			f.Column, f.Message,
		})
	}
}

// addInvalid adds findings for the errors in a file that isn't a valid policy.
func (r *lintReport) addInvalid(file string, err error) {
	level := lint.Invalid.Level()
	var broken *policy.ParseError
	if !errors.As(err, &broken) {
		r.findings = append(r.findings, finding{
			Code: lint.Invalid, Level: level, File: file,
			Message: err.Error(),
		})
		return
	}
	for _, p := range broken.Problems {
		r.findings = append(r.findings, finding{
			lint.Invalid, level, "", p.File, p.Line, p.Column,
			p.Message,
		})
	}
	if broken.Omitted > 0 {
		more := fmt.Sprintf("and %d more", broken.Omitted)
		r.findings = append(r.findings, finding{
			Code: lint.Invalid, Level: level, File: file,
			Message: more,
		})
	}
}

func (r lintReport) json() any {
	findings := r.findings
	if findings == nil {
		findings = []finding{}
	}
	return map[string][]finding{"findings": findings}
}

// text returns the findings for a person, without the errors of invalid files.
func (r lintReport) text() string {
	var b strings.Builder
	for _, f := range r.findings {
		if f.Code != lint.Invalid {
			b.WriteString(textLine(f) + "\n")
		}
	}
	return b.String()
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
