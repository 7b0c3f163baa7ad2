package main

import (
	"encoding/xml"
	"fmt"
	"io"
	"strings"
)

func (r testReport) json() any {
	suites, uncovered := r.suites, r.uncovered
	if suites == nil {
		suites = []suiteReport{}
	}
	if uncovered == nil {
		uncovered = []ruleReport{}
	}
	return struct {
		Suites []suiteReport `json:"suites"`
		NotHit []ruleReport  `json:"notHit"`
	}{suites, uncovered}
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
		Cases    []junitCase `xml:"testcase"`
		Output   string      `xml:"system-out,omitempty"`
	}
	junitCase struct {
		Name    string        `xml:"name,attr"`
		Class   string        `xml:"classname,attr"`
		File    string        `xml:"file,attr"`
		Line    int           `xml:"line,attr"`
		Failure *junitFailure `xml:"failure"`
	}
	junitFailure struct {
		Message string `xml:"message,attr"`
		Text    string `xml:",chardata"`
	}
)

// junit writes the results as JUnit's XML. The rules that decide no case are in the output of
// the first file of cases for their policy.
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
	data, err := xml.MarshalIndent(out, "", "  ")
	if err != nil {
		return err
	}
	_, err = io.WriteString(w, xml.Header+string(data)+"\n")
	return err
}
