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

// suiteSuffix is the suffix of files of cases.
const suiteSuffix = ".test.yaml"

func newTestCommand() *cobra.Command {
	var only string
	var covered bool
	out := newOutput("the results", asText(testReport.text), asJSON(testReport.json),
		format[testReport]{formatJUnit, func(w io.Writer, r testReport) error { return r.junit(w) }},
		format[testReport]{formatGitHub, func(w io.Writer, r testReport) error {
			_, err := io.WriteString(w, r.github())
			return err
		}})
	cmd := &cobra.Command{
		Use:   "test [flags] [PATH...]",
		Short: "Test policies against cases stored next to them",
		Long: `test reads files of cases and evaluates each case with the policy that its file names. It
reports cases with an unexpected answer, and rules that decide no case.

PATH is a file of cases, or a directory whose *.test.yaml files are read. The default is
the current directory. Directories whose names begin with a dot are skipped.

A file of cases:

  policy: policy.yaml              # relative to this file
  overlay: {file: team.yaml}       # or {text: |...}; the default for all cases
  at: 2027-01-31                   # or 2027-01-31T12:00:00Z; the default for all cases
  cases:
    - name: previews are refused
      request: docker/dockerfile:1.7-labs   # or a list; see below
      digest: sha256:...           # of the requested image, if rules depend on it
      options: {target: app}       # from the client
      inputs: [base]
      client: uid:1000             # who builds, or a list of names; unknown without it
      at: 2027-03-01               # overrides the file's
      overlay: {none: true}        # overrides the file's; or file or text
      expect:                      # or only the verdict, as in expect: deny
        verdict: deny              # required: allow, warn, deny or undecidable
        rule: no-previews
        source: docker/dockerfile:1.7-labs
        reason: a part of it
        messages: [a part of one]
        warnings: [a part of one]
      build:                       # operations, see help eval
        - image: mirror.example/a  # without expect, it must be allowed
        - image: quay.io/a
          expect: deny
        - exec: {network: host}
          expect: {verdict: deny, rule: build, reason: a part of it}
        - image: busybox
          expect: {verdict: allow, image: mirror.example/busybox}
        - dockerfile: Dockerfile   # all that it asks for, judged as check does
          target: app
          args: {VERSION: "1"}
          expect: {verdict: deny, reason: a part of one}
        - llb: build.llb           # judged as eval --llb does
      exports:                     # where results go, which only policy-guard sees
        - push: registry.example/app:1   # or a list; or store, as in eval --export
        - client: oci              # or local, tar or docker
          annotations: [org.example.key]
          expect: {verdict: deny, rule: exports, messages: [a part of one]}
      caches:                      # build caches, which only policy-guard sees
        - {import: registry, ref: registry.example/cache}
        - {export: local, expect: deny}
      debug: deny                  # containers of the client, as eval --debug
      administration: {diskUsage: allow, pruning: deny}   # as eval --administration
    - name: LLB of a client's own builds on our images only
      ownLLB: true                 # as eval --own-llb does; without a request
      expect: {verdict: allow, rule: llb}
      build:
        - llb: own.llb

With a list of requests, each must get the expected answer. Without a request, the case is
about a build that names no frontend and gets the policy's defaultFrontend.

If a case has no time, its result doesn't depend on the current date. An allow rule with
expires doesn't match, a rule with warnAfter warns, and a deny rule with expires denies.

A rule that decides no case is reported. With --require-coverage, test fails for it. With
--run, test doesn't look for such rules.

PATH can be - for stdin; the files that it names are relative to the working directory.

Exit codes:
  0  all cases passed
  1  a case failed or, with --require-coverage, a rule decides no case
  2  a file can't be read or used, or there is no case to run`,
		Example: `  policy-frontend test
  policy-frontend test policy.test.yaml
  policy-frontend test --run 'previews|versions' --format json .
  policy-frontend test --require-coverage --format github
  policy-frontend test --format junit > junit.xml`,
		ValidArgsFunction: yamlFiles,
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := out.check(); err != nil {
				return err
			}
			run, err := regexp.Compile(only)
			if err != nil {
				return fmt.Errorf("--run needs a regular expression: %w", err)
			}
			if len(args) == 0 {
				args = []string{"."}
			}
			if covered && only != "" {
				return errors.New("--require-coverage needs all cases; remove --run")
			}
			r, code, err := runTests(args, run, only != "")
			if err != nil {
				return err
			}
			for _, b := range r.broken {
				fmt.Fprintln(cmd.ErrOrStderr(), errorText(cmd, b.err))
			}
			if r.required = covered; covered && len(r.uncovered) > 0 {
				code = max(code, exitFindings)
			}
			if err := out.print(cmd.OutOrStdout(), r); err != nil {
				return err
			}
			return exitWith(code)
		},
	}
	cmd.Flags().StringVar(&only, "run", "", "run only cases whose name matches the `REGEXP`")
	noCompletions(cmd, "run")
	cmd.Flags().BoolVar(&covered, "require-coverage", false, "fail if a rule decides no case")
	out.add(cmd)
	return cmd
}

// runTests runs the selected cases in the files at the paths. It returns the exit code for the
// report. filtered reports whether only some cases are selected.
func runTests(paths []string, selected *regexp.Regexp, filtered bool) (testReport, int, error) {
	r := testReport{policies: map[string]*tested{}}
	files, err := suiteFiles(paths)
	if err != nil {
		return r, exitUsage, &exitError{exitUsage, err}
	}
	code := exitOK
	for _, file := range files {
		if err := r.file(file, selected); err != nil {
			r.broken = append(r.broken, brokenSuite{shownName(file), err})
			code = exitUsage
		}
	}
	if code == exitOK && r.total() == 0 {
		err := fmt.Errorf("no case has a name that matches %q", selected)
		return r, exitUsage, &exitError{exitUsage, err}
	}
	if !filtered && code == exitOK {
		r.findUncovered()
	}
	if r.failed() > 0 {
		code = max(code, exitFindings)
	}
	return r, code, nil
}

// suiteFiles returns the files of cases at the paths.
func suiteFiles(paths []string) ([]string, error) {
	var files []string
	if err := oneStdin(paths...); err != nil {
		return nil, err
	}
	for _, p := range paths {
		if p == "-" {
			files = append(files, p)
			continue
		}
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

// tested is a policy and the names of its rules that decided cases.
type tested struct {
	document
	file string
	hit  map[string]bool
}

// testReport is the result of test for all files so far.
type testReport struct {
	suites    []suiteReport
	broken    []brokenSuite
	policies  map[string]*tested // by file
	order     []string           // of the policies' files
	uncovered []ruleReport
	required  bool // whether each rule has to decide a case
}

// brokenSuite is a file of cases that can't be read or used.
type brokenSuite struct {
	file string
	err  error
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
	// Build has the answers to the case's operations.
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
	file = shownName(file)
	s, err := policytest.Parse(file, data)
	if err != nil {
		return err
	}
	results, err := s.Run(suiteDir{r, filepath.Dir(file)}, run.MatchString)
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
		passed := len(res.Failures) == 0
		report.Cases = append(report.Cases, caseReport{
			res.Case.Name, res.Case.Line, passed, res.Failures, res.Decision, res.Build,
		})
	}
	r.suites = append(r.suites, report)
	return nil
}

// suiteDir reads the files that a file of cases names, and each policy only once.
type suiteDir struct {
	report *testReport
	dir    string
}

func (f suiteDir) Policy(name string) (*policy.Policy, error) {
	file := filepath.Join(f.dir, name)
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

func (f suiteDir) Overlay(name string) (*policy.Policy, error) {
	return loadOverlay(filepath.Join(f.dir, name))
}

// findUncovered adds the rules that decided no case.
func (r *testReport) findUncovered() {
	for _, file := range r.order {
		t := r.policies[file]
		for _, rule := range policytest.Uncovered(t.Policy, t.hit) {
			r.uncovered = append(r.uncovered, ruleReport{file, rule.Name, t.path(rule.File()), rule.Line()})
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
