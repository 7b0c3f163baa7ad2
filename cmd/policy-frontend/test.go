package main

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"

	"github.com/spf13/cobra"

	"github.com/policy-frontend/policy-frontend/internal/opcheck"
	"github.com/policy-frontend/policy-frontend/internal/policytest"
	"github.com/policy-frontend/policy-frontend/policy"
)

// suiteSuffix is how the name of a file of cases ends.
const suiteSuffix = ".test.yaml"

func newTestCommand() *cobra.Command {
	var only string
	format := formatText
	cmd := &cobra.Command{
		Use:   "test [flags] [PATH...]",
		Short: "Test policies by cases that are written down beside them",
		Long: `test reads files of cases, asks the policy that each names, and reports the cases
whose answer isn't the expected one, and rules that decided in no case. PATH is such a
file or a folder, in which all files are read that end in .test.yaml; the current folder
if left out. Folders that begin with a dot are left out.

A file of cases:

  policy: policy.yaml              # relative to this file
  overlay: {file: team.yaml}       # or {text: |...}; for all cases that have none
  at: 2027-01-31                   # or a time as in 2027-01-31T12:00:00Z
  cases:
    - name: previews are refused
      request: docker/dockerfile:1.7-labs
      digest: sha256:...           # to which the request resolves, if it matters
      options: {target: app}       # what the client sends
      inputs: [base]
      at: 2027-03-01               # instead of that above
      overlay: {none: true}        # instead of that above; or file or text
      expect:
        verdict: deny              # allow, warn, deny or undecidable; always needed
        rule: no-previews
        source: docker/dockerfile:1.7-labs
        reason: a part of it
        messages: [a part of one]
        warnings: [a part of one]
      build:                       # what the frontend would ask for, see help eval
        - image: mirror.example/a  # without expect, it must be allowed
        - exec: {network: host}
          expect: {verdict: deny, rule: build, reason: a part of it}
        - image: busybox
          expect: {verdict: allow, image: mirror.example/busybox}

Without a time, the time is unknown, so that a case passes on any day: then a rule that
expires allows nothing, one that warns after a time warns, and one that denies until a
time denies.

With --run, rules that no case hits are not reported.

Exit code: 0 all passed, 1 a case failed, 2 something can't be read or used, or there
is no case to run.`,
		Example: `  policy-frontend test
  policy-frontend test policy.test.yaml
  policy-frontend test --run 'previews|versions' --format json .
  policy-frontend test --format junit > junit.xml`,
		ValidArgsFunction: yamlFiles,
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := checkFormat(format, formatText, formatJSON, formatJUnit); err != nil {
				return err
			}
			run, err := regexp.Compile(only)
			if err != nil {
				return fmt.Errorf("--run needs a regular expression: %w", err)
			}
			if len(args) == 0 {
				args = []string{"."}
			}
			return runTests(args, run, only != "", format, cmd.OutOrStdout(), cmd.ErrOrStderr())
		},
	}
	cmd.Flags().StringVar(&only, "run", "", "run only cases whose name matches the `REGEXP`")
	_ = cmd.RegisterFlagCompletionFunc("run", cobra.NoFileCompletions) // It fails only for a flag that isn't there.
	addFormatFlag(cmd, &format, "how to print the results", formatText, formatJSON, formatJUnit)
	return cmd
}

func runTests(paths []string, run *regexp.Regexp, filtered bool, format string, stdout, stderr io.Writer) error {
	files, err := suiteFiles(paths)
	if err != nil {
		return &exitError{exitUsage, err}
	}
	r := testReport{policies: map[string]*tested{}}
	code := exitOK
	for _, file := range files {
		if err := r.file(file, run); err != nil {
			fmt.Fprintln(stderr, err)
			code = exitUsage
		}
	}
	if code == exitOK && r.total() == 0 {
		return &exitError{exitUsage, fmt.Errorf("no case has a name that matches %q", run)}
	}
	if !filtered && code == exitOK {
		r.findNotHit()
	}
	if err := r.print(stdout, format); err != nil {
		return &exitError{exitUsage, fmt.Errorf("printing the results: %w", err)}
	}
	if r.failed() > 0 {
		code = max(code, exitFindings)
	}
	if code != exitOK {
		return &exitError{code: code}
	}
	return nil
}

// suiteFiles returns the files of cases at the paths.
func suiteFiles(paths []string) ([]string, error) {
	var files []string
	for _, p := range paths {
		n := len(files)
		err := filepath.WalkDir(p, func(file string, d fs.DirEntry, err error) error {
			switch {
			case err != nil:
				return err
			case d.IsDir() && file != p && strings.HasPrefix(d.Name(), "."):
				return fs.SkipDir
			case !d.IsDir() && (file == p || strings.HasSuffix(file, suiteSuffix)):
				files = append(files, file)
			}
			return nil
		})
		if err != nil {
			return nil, err
		}
		if len(files) == n {
			return nil, fmt.Errorf("no file in %s ends in %s", p, suiteSuffix)
		}
	}
	return files, nil
}

// tested is a policy with the rules that decided in cases.
type tested struct {
	document
	file string
	hit  map[string]bool
}

// testReport is what came of all files of cases so far.
type testReport struct {
	suites   []suiteReport
	policies map[string]*tested // by their file
	order    []string           // of the policies
	notHit   []ruleReport
}

type suiteReport struct {
	File   string       `json:"file"`
	Policy string       `json:"policy"`
	Cases  []caseReport `json:"cases"`
}

type caseReport struct {
	Name     string          `json:"name"`
	Line     int             `json:"line"`
	Passed   bool            `json:"passed"`
	Failures []string        `json:"failures,omitempty"`
	Decision policy.Decision `json:"decision"`
	// Build are the answers to the case's operations.
	Build []opcheck.Answer `json:"build,omitempty"`
}

type ruleReport struct {
	Policy string `json:"policy"`
	Rule   string `json:"rule"`
	File   string `json:"file"`
	Line   int    `json:"line"`
}

// file runs the cases of one file.
func (r *testReport) file(file string, run *regexp.Regexp) error {
	data, err := readFile(file, policytest.MaxSize)
	if err != nil {
		return err
	}
	s, err := policytest.Parse(file, data)
	if err != nil {
		return err
	}
	results, err := s.Run(suiteFolder{r, filepath.Dir(file)}, run.MatchString)
	if err != nil {
		var broken *policy.ParseError
		var path *os.PathError
		if errors.As(err, &broken) || !errors.As(err, &path) {
			return err
		}
		return fmt.Errorf("%s names a file that can't be read: %w", file, err)
	}
	name := filepath.Join(filepath.Dir(file), s.Policy)
	report := suiteReport{File: file, Policy: name, Cases: []caseReport{}}
	for _, res := range results {
		r.policies[name].hit[res.Rule] = true
		report.Cases = append(report.Cases, caseReport{res.Case.Name, res.Case.Line, len(res.Failures) == 0, res.Failures, res.Decision, res.Build})
	}
	r.suites = append(r.suites, report)
	return nil
}

// suiteFolder reads the files beside a file of cases, each policy once.
type suiteFolder struct {
	report *testReport
	folder string
}

func (f suiteFolder) Policy(name string) (*policy.Policy, error) {
	file := filepath.Join(f.folder, name)
	t, ok := f.report.policies[file]
	if !ok {
		d, err := loadPolicy(file)
		if err != nil {
			return nil, err
		}
		t = &tested{document: d, file: file, hit: map[string]bool{}}
		f.report.policies[file] = t
		f.report.order = append(f.report.order, file)
	}
	return t.Policy, nil
}

func (f suiteFolder) Overlay(name string) (*policy.Policy, error) {
	return loadOverlay(filepath.Join(f.folder, name))
}

func (r *testReport) findNotHit() {
	for _, file := range r.order {
		t := r.policies[file]
		for _, rule := range policytest.NotHit(t.Policy, t.hit) {
			r.notHit = append(r.notHit, ruleReport{file, rule.Name, t.path(rule.File()), rule.Line()})
		}
	}
}

func (r *testReport) total() int {
	n := 0
	for _, s := range r.suites {
		n += len(s.Cases)
	}
	return n
}

func (r *testReport) failed() int {
	n := 0
	for _, s := range r.suites {
		for _, c := range s.Cases {
			if !c.Passed {
				n++
			}
		}
	}
	return n
}
