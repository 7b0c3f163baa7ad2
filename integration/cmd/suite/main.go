// Command suite runs BuildKit's own tests of its Dockerfile frontend straight with
// docker/dockerfile, and then on each way through the policy frontend and through policy-guard.
// With -suite=client, it runs BuildKit's tests of its client straight, and then through the part of
// policy-guard that passes on calls. It fails if a test passes straight and not on a way, unless
// differences.yaml expects that. It needs root, and cleans up after itself.
package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strings"

	"github.com/policy-frontend/policy-frontend/integration/harness"
	"github.com/policy-frontend/policy-frontend/integration/harness/provision"
)

// settings are what the command line says.
type settings struct {
	// tests is a regular expression for the names of tests.
	tests string
	suite tested
	ways  []way
	// parallel is how many tests run at a time.
	parallel int
}

func main() {
	if filepath.Base(os.Args[0]) == daemonName {
		os.Exit(guardedDaemon(os.Args[1:]))
	}
	s, err := parseSettings(os.Args[1:], os.Stderr)
	if errors.Is(err, flag.ErrHelp) {
		os.Exit(0)
	}
	if err != nil {
		os.Exit(2)
	}
	os.Exit(run(s))
}

// parseSettings prints an error to messages before it returns it, as package flag does.
func parseSettings(args []string, messages io.Writer) (settings, error) {
	s := settings{tests: ".*", suite: suites[0]}
	var chosen string
	flags := flag.NewFlagSet("suite", flag.ContinueOnError)
	flags.SetOutput(messages)
	flags.Func("run", "run only the tests whose name this regular expression matches",
		func(text string) error {
			if strings.Contains(text, "/") {
				return errors.New("it can't contain a slash")
			}
			s.tests = text
			_, err := regexp.Compile(text)
			return err
		})
	flags.Func("suite", "the package of BuildKit whose tests run: dockerfile (default) or client",
		func(text string) error {
			i := slices.IndexFunc(suites, func(t tested) bool { return t.name == text })
			if i < 0 {
				return errors.New("there is no such suite")
			}
			s.suite = suites[i]
			return nil
		})
	flags.StringVar(&chosen, "ways", "", "the ways, separated by commas (default: all of the suite)")
	flags.IntVar(&s.parallel, "parallel", max(2, runtime.NumCPU()), "how many tests run at a time")
	if err := flags.Parse(args); err != nil {
		return s, err
	}
	var err error
	if flags.NArg() > 0 {
		err = fmt.Errorf("unknown argument %q", flags.Arg(0))
	} else {
		s.ways, err = s.suite.choose(chosen)
	}
	if err != nil {
		fmt.Fprintln(messages, err)
	}
	return s, err
}

func run(s settings) int {
	expected, err := readDifferences(differencesText)
	if err != nil {
		fmt.Fprintln(os.Stderr, "suite:", err)
		return 1
	}
	env, err := harness.NewEnv(os.Stderr, provision.Product, provision.Buildkitd, provision.Buildctl,
		provision.DockerfileFrontend)
	if err != nil {
		fmt.Fprintln(os.Stderr, "suite:", err)
		return 1
	}
	script := env.Script("suite")
	ok := script.Do(func() {
		c := compare(newSuite(script, env, s), s, expected)
		fmt.Print(c.table())
		for _, problem := range c.problems(expected) {
			script.Errorf("%s", problem)
		}
	})
	if err := env.Close(); err != nil {
		fmt.Fprintln(os.Stderr, "suite: clean up:", err)
		ok = false
	}
	if !ok {
		return 1
	}
	return 0
}

// names returns the names of ways.
func names(ways []way) []string {
	var all []string
	for _, w := range ways {
		all = append(all, w.name)
	}
	return all
}

// choose returns the ways whose names the text lists, or all.
func (t tested) choose(text string) ([]way, error) {
	if text == "" {
		return t.ways, nil
	}
	var chosen []way
	for name := range strings.SplitSeq(text, ",") {
		i := slices.IndexFunc(t.ways, func(w way) bool { return w.name == name })
		if i < 0 {
			return nil, fmt.Errorf("there is no way %q, choose of %s", name,
				strings.Join(names(t.ways), ", "))
		}
		chosen = append(chosen, t.ways[i])
	}
	return chosen, nil
}
