package main

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"text/tabwriter"
	"time"
)

// comparison is what the tests said straight and on each way.
type comparison struct {
	straight results
	ways     []wayResults
	took     time.Duration
}

// wayResults are the outcomes, on one way, of the tests that don't fail straight.
type wayResults struct {
	way
	results
	took time.Duration
}

// compare runs the tests straight, and on each way those that don't fail straight. What fails runs
// once more by itself, because a test may fail for lack of time.
func compare(r *suite, s settings, expected []difference) comparison {
	began := time.Now()
	on := r.straight()
	c := comparison{straight: r.run("straight", on, s.parallel, s.tests)}
	if again := c.straight.functions(failed); isWorthwhile(again) {
		c.straight.replace(r.run("straight, again", on, 1, anyOf(again)))
	}
	c.took = time.Since(began)
	for _, w := range s.ways {
		c.ways = append(c.ways, r.throughUs(w, s.parallel, c.straight, expected))
	}
	return c
}

func (r *suite) throughUs(
	w way, parallel int, straight results, expected []difference,
) wayResults {
	began := time.Now()
	got := wayResults{way: w, results: results{}}
	if which := straight.functions(passed, skipped); len(which) > 0 {
		on := r.through(w)
		got.results = r.run(w.name, on, parallel, anyOf(which))
		var again []string
		for _, name := range differ(straight, got.results) {
			if !isExpected(expected, w.name, name) {
				again = append(again, function(name))
			}
		}
		if isWorthwhile(again) {
			got.replace(r.run(w.name+", again", on, 1, anyOf(again)))
		}
	}
	got.took = time.Since(began)
	return got
}

// isWorthwhile says whether to run tests again by themselves: not if so many failed that chance
// isn't the cause.
func isWorthwhile(again []string) bool { return len(again) > 0 && len(again) <= 40 }

// worse says whether a test failed that didn't fail straight, or didn't pass that passed straight.
func worse(straight, through outcome) bool {
	return straight == passed && through != passed || straight == skipped && through == failed
}

// differ lists the tests and subtests that went worse on a way than straight. Of a test and its
// subtests, it names those that show the difference: not a test for what its subtests say, and
// not a subtest that wasn't reached. A subtest of a test that failed straight isn't one of them:
// what is missing for its test may decide about it by chance.
func differ(straight, through results) []string {
	all := map[string]bool{}
	for name, o := range straight {
		if worse(o, through[name]) && !straight.within(name, failed) {
			all[name] = true
		}
	}
	shown := maps.Clone(all)
	for name := range all {
		parent, sub := straight.parent(name)
		for ; sub; parent, sub = straight.parent(parent) {
			if _, reached := through[name]; reached {
				delete(shown, parent)
			} else if all[parent] {
				delete(shown, name)
			}
		}
	}
	return slices.Sorted(maps.Keys(shown))
}

// problems lists, in sentences, what the expected differences don't say. A comparison of nothing is
// a problem too.
func (c comparison) problems(expected []difference) []string {
	var problems []string
	if c.straight.count(passed) == 0 {
		problems = append(problems, "no test passed straight")
	}
	for _, w := range c.ways {
		differing := differ(c.straight, w.results)
		for _, name := range differing {
			if !isExpected(expected, w.name, name) {
				problems = append(problems, fmt.Sprintf("%s: %s straight, but not with %s", name,
					c.straight[name], w.name))
			}
		}
		for _, d := range expected {
			o, ran := c.straight[d.Test]
			covered := func(name string) bool { return d.covers(w.name, name) }
			if ran && o != failed && slices.Contains(d.Ways, w.name) &&
				!slices.ContainsFunc(differing, covered) {
				problems = append(problems, fmt.Sprintf(
					"%s: no longer differs with %s, remove that from %s", d.Test, w.name, differencesFile))
			}
		}
	}
	return problems
}

// table shows how many tests passed.
func (c comparison) table() string {
	var b strings.Builder
	t := tabwriter.NewWriter(&b, 0, 0, 3, ' ', 0)
	row := func(name string, passed, failed, skipped int, took time.Duration) {
		fmt.Fprintf(t, "%s\t%d\t%d\t%d\t%s\n", name, passed, failed, skipped, took.Round(time.Second))
	}
	fmt.Fprintln(t, "\tpassed\tfailed\tskipped\ttime")
	row("straight", c.straight.count(passed), c.straight.count(failed), c.straight.count(skipped),
		c.took)
	for _, w := range c.ways {
		same := results{}
		for name := range c.straight {
			if o, ran := w.results[name]; ran && !c.straight.within(name, failed) {
				same[name] = o
			}
		}
		row(w.name, same.count(passed), same.count(failed), same.count(skipped), w.took)
	}
	_ = t.Flush() // to memory
	return b.String()
}
