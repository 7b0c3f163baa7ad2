package main

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/policy-frontend/policy-frontend/internal/lint"
	"github.com/policy-frontend/policy-frontend/internal/safetext"
	"github.com/policy-frontend/policy-frontend/internal/strictyaml"
	"github.com/policy-frontend/policy-frontend/policy"
)

func newLintCommand() *cobra.Command {
	var at string
	level := string(lint.Warning)
	levels := []string{string(lint.Note), string(lint.Warning), string(lint.Error)}
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
		Use:   "lint [flags] PATH...",
		Short: "Warn about parts of a policy that are valid but probably unintended",
		Long: `lint reads policies and overlays, and the files that they include. It prints one line
for each finding: the file, line and column, what happens, what to write instead, and a
stable code. docs/lint.md has a section for each code.

PATH is a file, - for stdin, or a directory. In a directory, lint reads the YAML files
that look like policies: they have version: 1 and a field such as frontends. It leaves
out files that another one includes, and directories whose names begin with a dot.

Among other things, lint finds

  - rules that can never match or decide,
  - patterns that match more names than they seem to,
  - tags that can point to any image,
  - ranges of versions that people read in two ways,
  - aliases that lead to a name that the policy refuses,
  - build rules that have no effect under the rule's dispatch.

lint reports no false positives. It misses some problems, such as version ranges that
contain other ranges.

With --format sarif, code scanning shows the findings at their lines. With --format
github, a GitHub Actions workflow does. In these formats and in JSON, an error that makes
a file unusable as a policy is a finding with the code "invalid".

A finding is a note, a warning or an error. By default, lint prints notes and doesn't fail
for them; --level note makes it fail. To accept one finding, write a comment with a reason
on its line or above it:

  # lint:ignore unbounded-tag we build this image ourselves

Exit codes:
  0  no findings of the level or above
  1  there are such findings
  2  a file can't be read or isn't a valid policy`,
		Example: `  policy-frontend lint policy.yaml
  policy-frontend lint policy.yaml teams/*.yaml
  policy-frontend lint --level note .
  policy-frontend lint --at 2027-03-01 policy.yaml
  policy-frontend lint --format sarif policy.yaml > lint.sarif`,
		Args:              some("policy file or directory"),
		ValidArgsFunction: yamlFiles,
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := out.check(); err != nil {
				return err
			}
			now, err := parseAt(at)
			if err != nil {
				return err
			}
			if !slices.Contains(levels, level) {
				return fmt.Errorf("--level must be %s, not %q", safetext.Or(levels), level)
			}
			files, err := policyFiles(args)
			if err != nil {
				return err
			}
			r := lintReport{level: lint.Level(level)}
			for _, file := range files {
				r.file(file, now)
			}
			if out.chosen == formatText {
				for _, err := range r.invalid {
					fmt.Fprintln(cmd.ErrOrStderr(), errorText(cmd, err))
				}
			}
			if err := out.print(cmd.OutOrStdout(), r); err != nil {
				return err
			}
			return exitWith(r.code)
		},
	}
	addAtFlag(cmd, &at)
	cmd.Flags().StringVar(&level, "level", level,
		"the lowest `LEVEL` of findings for which lint fails: "+safetext.Or(levels))
	complete(cmd, "level", levels)
	out.add(cmd)
	return cmd
}

var (
	// versionLine and fieldLine tell a policy from another YAML file, also if it is broken.
	versionLine = regexp.MustCompile(`(?m)^version:[ \t]*["']?1["']?[ \t]*(#.*)?\r?$`)
	fieldLine   = regexp.MustCompile(
		`(?m)^(frontends|aliases|default|defaultFrontend|limits|overlay|dispatch):`)
)

// policyFiles returns the files at the paths. Of a directory, it returns those that look like
// policies, without those that others include.
func policyFiles(paths []string) ([]string, error) {
	if err := oneStdin(paths...); err != nil {
		return nil, err
	}
	var files []string
	for _, p := range paths {
		info, err := os.Stat(p)
		if err != nil || !info.IsDir() {
			files = append(files, p)
			continue
		}
		found, err := policiesIn(p)
		switch {
		case err != nil:
			return nil, &exitError{exitUsage, err}
		case len(found) == 0:
			return nil, &exitError{exitUsage, fmt.Errorf("no file in %s looks like a policy; give the "+
				"file", p)}
		}
		files = append(files, found...)
	}
	return files, nil
}

func policiesIn(dir string) ([]string, error) {
	var files []string
	included := map[string]bool{}
	err := filepath.WalkDir(dir, func(file string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && file != dir && strings.HasPrefix(d.Name(), "."):
			return fs.SkipDir
		case !d.Type().IsRegular() || strings.HasSuffix(file, suiteSuffix),
			filepath.Ext(file) != ".yaml" && filepath.Ext(file) != ".yml":
			return nil
		}
		data, err := readFile(file, policy.MaxSize)
		if err != nil {
			return err
		}
		if !versionLine.Match(data) || !fieldLine.Match(data) {
			return nil
		}
		files = append(files, file)
		for _, name := range includes(data) {
			included[filepath.Join(filepath.Dir(file), name)] = true
		}
		return nil
	})
	return slices.DeleteFunc(files, func(f string) bool { return included[filepath.Clean(f)] }), err
}

// includes returns what a document includes, as far as it can be read.
func includes(data []byte) []string {
	var doc policy.Document
	strictyaml.Decode("", data, strictyaml.Format{Limit: policy.MaxSize}, &doc)
	return doc.Include
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
	invalid  []error    // why files aren't valid policies
	level    lint.Level // the lowest one for which lint fails
	code     int        // the exit code
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
	options := lint.Options{Time: at, Source: d.source}
	for _, f := range lint.Check(d.name, d.Policy, options) {
		if f.Code.Level().AtLeast(r.level) {
			r.code = max(r.code, exitFindings)
		}
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
