package main

import (
	"bytes"
	_ "embed"
	"fmt"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"
)

const differencesFile = "differences.yaml"

//go:embed differences.yaml
var differencesText []byte

// difference is a test that is expected to pass straight and not on some ways.
type difference struct {
	// Test is the name of the test or subtest, as [shortName] makes it. It stands for its subtests
	// too.
	Test string `yaml:"test"`
	// Ways are the names of the ways on which it doesn't pass.
	Ways []string `yaml:"ways"`
	// Reason says why, for people.
	Reason string `yaml:"reason"`
}

// readDifferences reads the list of expected differences. Each one names ways that exist, and has
// a reason; a test is in the list once.
func readDifferences(text []byte) ([]difference, error) {
	var all []difference
	decoder := yaml.NewDecoder(bytes.NewReader(text))
	decoder.KnownFields(true)
	if err := decoder.Decode(&all); err != nil {
		return nil, fmt.Errorf("%s: %w", differencesFile, err)
	}
	seen := map[string]bool{}
	for _, d := range all {
		if d.Test == "" || d.Reason == "" || len(d.Ways) == 0 || seen[d.Test] {
			return nil, fmt.Errorf("%s: entry %q needs a test of its own, ways and a reason",
				differencesFile, d.Test)
		}
		seen[d.Test] = true
		for _, name := range d.Ways {
			if !slices.ContainsFunc(suites, func(t tested) bool {
				return slices.Contains(names(t.ways), name)
			}) {
				return nil, fmt.Errorf("%s: entry %q: there is no way %q", differencesFile, d.Test, name)
			}
		}
	}
	return all, nil
}

// covers says whether the difference is about a test or subtest on a way.
func (d difference) covers(way, test string) bool {
	return slices.Contains(d.Ways, way) && (test == d.Test || strings.HasPrefix(test, d.Test+"/"))
}

func isExpected(expected []difference, way, test string) bool {
	return slices.ContainsFunc(expected, func(d difference) bool { return d.covers(way, test) })
}
