package harness

import (
	"fmt"
	"io"
	"os/exec"
	"strings"
	"time"
)

// DefaultTimeout is how long a command may take if it doesn't say otherwise.
const DefaultTimeout = 3 * time.Minute

// Command is a client program to be run against a daemon.
type Command struct {
	// Path of the program, and its arguments without the program's name.
	Path string
	Args []string
	// Dir is the working directory; empty means that of the test.
	Dir string
	// Env is added to the isolated environment, as KEY=VALUE.
	Env   []string
	Stdin io.Reader
	// TTY runs the command on a pseudo terminal of 120 by 40 characters; stdout
	// then has what the terminal shows and stderr stays empty.
	TTY bool
	// Timeout, DefaultTimeout if zero, after which it is killed and the test
	// fails with what it had printed.
	Timeout time.Duration
}

// Output is what a command that ended had to say.
type Output struct {
	// Command is the program and its arguments as one would type them.
	Command        string
	Stdout, Stderr string
	// ExitCode is that of the program, or -1 if a signal ended it.
	ExitCode int
	Elapsed  time.Duration
}

// Text is all that a person would have seen.
func (o Output) Text() string { return o.Stdout + o.Stderr }

// String shows command, exit code and output, for messages of failed tests.
func (o Output) String() string {
	return fmt.Sprintf("$ %s\n%s(exit code %d after %.2fs)", o.Command, o.Text(), o.ExitCode,
		o.Elapsed.Seconds())
}

// RequireSuccess fails the test unless the command ended with exit code 0.
func (o Output) RequireSuccess(t T) Output {
	t.Helper()
	if o.ExitCode != 0 {
		t.Fatalf("the command should have succeeded:\n%s", o)
	}
	return o
}

// RequireFailure fails the test if the command ended with exit code 0, or if
// its output lacks one of the texts.
func (o Output) RequireFailure(t T, texts ...string) Output {
	t.Helper()
	if o.ExitCode == 0 {
		t.Fatalf("the command should have failed:\n%s", o)
	}
	for _, text := range texts {
		if !strings.Contains(o.Text(), text) {
			t.Fatalf("the failed command's output lacks %q:\n%s", text, o)
		}
	}
	return o
}

// commandLine shows the command as one would type it in a shell.
func commandLine(cmd *exec.Cmd) string {
	words := make([]string, len(cmd.Args))
	for i, a := range cmd.Args {
		if a == "" || strings.ContainsAny(a, " \t\n\"'$&|;<>()*?#\\`") {
			a = "'" + strings.ReplaceAll(a, "'", `'\''`) + "'"
		}
		words[i] = a
	}
	if len(words) > 0 {
		words[0] = words[0][strings.LastIndexByte(words[0], '/')+1:]
	}
	return strings.Join(words, " ")
}
