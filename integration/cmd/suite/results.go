package main

import (
	"encoding/json"
	"errors"
	"io"
	"maps"
	"slices"
	"strings"
)

// outcome is how a test ended.
type outcome string

const (
	passed  outcome = "pass"
	failed  outcome = "fail"
	skipped outcome = "skip"
)

// results are the outcomes of tests and subtests by name. A name is as [shortName] makes it.
type results map[string]outcome

// event is one of `go tool test2json`.
type event struct {
	Action, Test, Output string
}

// readResults reads the events of a run of BuildKit's tests until its end. It calls ended for each
// test that ends, and writes what tests print to log. A test that began and didn't end has failed.
func readResults(events io.Reader, log io.Writer, ended func()) (results, error) {
	r := results{}
	for decoder := json.NewDecoder(events); ; {
		var e event
		err := decoder.Decode(&e)
		if errors.Is(err, io.EOF) {
			return r, nil
		}
		if err != nil {
			return r, err
		}
		if e.Action == "output" {
			if _, err := io.WriteString(log, e.Output); err != nil {
				return r, err
			}
			continue
		}
		name, ok := shortName(e.Test)
		if !ok {
			continue
		}
		switch o := outcome(e.Action); {
		case o == passed || o == failed || o == skipped:
			r[name] = o
			ended()
		case e.Action == "run":
			r[name] = failed
		}
	}
}

// shortName returns the name of a test without the parts that all tests have: "TestLabels" for
// "TestIntegration/TestLabels/worker=oci/frontend=gateway".
func shortName(full string) (string, bool) {
	_, name, ok := strings.Cut(full, "/")
	for _, all := range []string{"/worker=" + worker, "/frontend=gateway", "/frontend=builtin"} {
		name = strings.Replace(name, all, "", 1)
	}
	return name, ok
}

// function is the name of the function that the test or subtest name is in.
func function(name string) string {
	name, _, _ = strings.Cut(name, "/")
	return name
}

// parent returns the name of the nearest test of which name is a subtest.
func (r results) parent(name string) (string, bool) {
	for {
		i := strings.LastIndex(name, "/")
		if i < 0 {
			return "", false
		}
		name = name[:i]
		if _, ok := r[name]; ok {
			return name, true
		}
	}
}

// within reports whether the test, or a test of which it is a subtest, has the outcome.
func (r results) within(name string, o outcome) bool {
	for sub := true; sub; name, sub = r.parent(name) {
		if r[name] == o {
			return true
		}
	}
	return false
}

// count returns how many tests have the outcome. Subtests don't count.
func (r results) count(o outcome) int {
	n := 0
	for name, got := range r {
		if _, sub := r.parent(name); !sub && got == o {
			n++
		}
	}
	return n
}

// functions lists the functions of the tests that have one of the outcomes.
func (r results) functions(which ...outcome) []string {
	found := map[string]bool{}
	for name, got := range r {
		if slices.Contains(which, got) {
			found[function(name)] = true
		}
	}
	return slices.Sorted(maps.Keys(found))
}

// replace puts the results of a later run in the place of those of the same functions.
func (r results) replace(later results) {
	functions := map[string]bool{}
	for name := range later {
		functions[function(name)] = true
	}
	maps.DeleteFunc(r, func(name string, _ outcome) bool { return functions[function(name)] })
	maps.Copy(r, later)
}
