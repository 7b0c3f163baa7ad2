package main

import (
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/policy-frontend/policy-frontend/internal/strictyaml"
	"github.com/policy-frontend/policy-frontend/policy"
)

func (r testReport) json() any {
	suites, uncovered := r.suites, r.uncovered
	if suites == nil {
		suites = []suiteReport{}
	}
	if uncovered == nil {
		uncovered = []ruleReport{}
	}
	broken := []fileError{}
	for _, b := range r.broken {
		broken = append(broken, fileError{b.file, b.err.Error()})
	}
	return struct {
		Suites []suiteReport `json:"suites"`
		NotHit []ruleReport  `json:"notHit"`
		Errors []fileError   `json:"errors"`
	}{suites, uncovered, broken}
}

// fileError is a file of cases that can't be read or used.
type fileError struct {
	File    string `json:"file"`
	Message string `json:"message"`
}

// problems returns the mistakes in the file, or in a policy that it names. If the error has none,
// it is one of the whole file.
func (b brokenSuite) problems() []strictyaml.Problem {
	var cases *strictyaml.Error
	if errors.As(b.err, &cases) {
		return cases.Problems
	}
	var broken *policy.ParseError
	if !errors.As(b.err, &broken) {
		return []strictyaml.Problem{{File: b.file, Message: b.err.Error()}}
	}
	var out []strictyaml.Problem
	for _, p := range broken.Problems {
		out = append(out, strictyaml.Problem(p))
	}
	return out
}

// github writes failed cases, rules that decide no case, and files that can't be used as GitHub
// Actions workflow commands.
func (r testReport) github() string {
	var b strings.Builder
	for _, f := range r.broken {
		for _, p := range f.problems() {
			b.WriteString(githubCommand("error", p.File, p.Line, p.Column, "test", p.Message) + "\n")
		}
	}
	for _, s := range r.suites {
		for _, c := range s.Cases {
			if !c.Passed {
				b.WriteString(githubCommand("error", s.File, c.Line, 0, c.Name,
					strings.Join(c.Failures, "\n")) + "\n")
			}
		}
	}
	level := "warning"
	if r.required {
		level = "error"
	}
	for _, n := range r.uncovered {
		b.WriteString(githubCommand(level, n.File, n.Line, 0, "test",
			fmt.Sprintf("rule %q decides no case", n.Rule)) + "\n")
	}
	fmt.Fprintf(&b, "%d passed, %d failed\n", r.total()-r.failed(), r.failed())
	return b.String()
}

func (r testReport) text() string {
	var b strings.Builder
	for _, s := range r.suites {
		for _, c := range s.Cases {
			if c.Passed {
				continue
			}
			fmt.Fprintf(&b, "%s:%d: %s: failed\n", s.File, c.Line, c.Name)
			for _, f := range c.Failures {
				fmt.Fprintf(&b, "    %s\n", f)
			}
		}
	}
	for _, n := range r.uncovered {
		fmt.Fprintf(&b, "%s:%d: rule %q: decides no case\n", n.File, n.Line, n.Rule)
	}
	fmt.Fprintf(&b, "%d passed, %d failed\n", r.total()-r.failed(), r.failed())
	return b.String()
}

// The parts of JUnit's XML that all its readers understand.
type (
	junitSuites struct {
		XMLName xml.Name     `xml:"testsuites"`
		Suites  []junitSuite `xml:"testsuite"`
	}
	junitSuite struct {
		Name     string      `xml:"name,attr"`
		Tests    int         `xml:"tests,attr"`
		Failures int         `xml:"failures,attr"`
		Errors   int         `xml:"errors,attr"`
		Cases    []junitCase `xml:"testcase"`
		Output   string      `xml:"system-out,omitempty"`
	}
	junitCase struct {
		Name    string        `xml:"name,attr"`
		Class   string        `xml:"classname,attr"`
		File    string        `xml:"file,attr"`
		Line    int           `xml:"line,attr,omitempty"`
		Failure *junitFailure `xml:"failure"`
		Error   *junitFailure `xml:"error"`
	}
	junitFailure struct {
		Message string `xml:"message,attr"`
		Text    string `xml:",chardata"`
	}
)

// junit writes the results as JUnit's XML. The rules that decide no case are in the output of
// the first file of cases for their policy. A file that can't be used is a case with an error,
// because most readers take a report without cases for a success.
func (r testReport) junit(w io.Writer) error {
	out := junitSuites{Suites: []junitSuite{}}
	told := map[string]bool{}
	for _, s := range r.suites {
		js := junitSuite{Name: s.File, Tests: len(s.Cases)}
		for _, c := range s.Cases {
			jc := junitCase{Name: c.Name, Class: s.File, File: s.File, Line: c.Line}
			if !c.Passed {
				js.Failures++
				jc.Failure = &junitFailure{Message: c.Failures[0], Text: strings.Join(c.Failures, "\n")}
			}
			js.Cases = append(js.Cases, jc)
		}
		if !told[s.Policy] {
			told[s.Policy] = true
			for _, n := range r.uncovered {
				if n.Policy == s.Policy {
					js.Output += fmt.Sprintf("%s:%d: rule %q: decides no case\n", n.File, n.Line, n.Rule)
				}
			}
		}
		out.Suites = append(out.Suites, js)
	}
	if r.required {
		js := junitSuite{Name: "coverage", Tests: len(r.uncovered), Failures: len(r.uncovered)}
		for _, n := range r.uncovered {
			js.Cases = append(js.Cases, junitCase{
				Name: n.Rule, Class: n.Policy, File: n.File, Line: n.Line,
				Failure: &junitFailure{Message: "the rule decides no case"},
			})
		}
		out.Suites = append(out.Suites, js)
	}
	for _, b := range r.broken {
		text := b.err.Error()
		first, _, _ := strings.Cut(text, "\n")
		out.Suites = append(out.Suites, junitSuite{
			Name: b.file, Tests: 1, Errors: 1,
			Cases: []junitCase{{
				Name: "the file can be used", Class: b.file, File: b.file,
				Error: &junitFailure{Message: first, Text: text},
			}},
		})
	}
	data, err := xml.MarshalIndent(out, "", "  ")
	if err != nil {
		return err
	}
	_, err = io.WriteString(w, xml.Header+string(data)+"\n")
	return err
}
