// Command suite runs BuildKit's own tests of its Dockerfile frontend straight with
// docker/dockerfile, and then on each way through the policy frontend and through policy-guard. It
// fails if a test passes straight and not on a way, unless differences.yaml expects that. It needs
// root, and cleans up after itself.
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
	s := settings{tests: ".*", ways: ofTheImage()}
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
	flags.Func("ways", "the ways, separated by commas, of "+strings.Join(names(ways), ",")+
		" (default: those without guard)",
		func(text string) (err error) {
			s.ways, err = chooseWays(text)
			return err
		})
	flags.IntVar(&s.parallel, "parallel", max(2, runtime.NumCPU()), "how many tests run at a time")
	if err := flags.Parse(args); err != nil {
		return s, err
	}
	if flags.NArg() > 0 {
		err := fmt.Errorf("unknown argument %q", flags.Arg(0))
		fmt.Fprintln(messages, err)
		return s, err
	}
	return s, nil
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

func chooseWays(text string) ([]way, error) {
	var chosen []way
	for name := range strings.SplitSeq(text, ",") {
		i := slices.IndexFunc(ways, func(w way) bool { return w.name == name })
		if i < 0 {
			return nil, fmt.Errorf("there is no way %q, choose of %s", name, strings.Join(names(ways), ", "))
		}
		chosen = append(chosen, ways[i])
	}
	return chosen, nil
}
