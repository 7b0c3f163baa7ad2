package harness

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/creack/pty"
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
	return fmt.Sprintf("$ %s\n%s(exit code %d after %.2fs)", o.Command, o.Text(), o.ExitCode, o.Elapsed.Seconds())
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

// Process is a command that runs.
type Process struct {
	cmd     *exec.Cmd
	start   time.Time
	timeout time.Duration
	done    chan struct{}

	mu             sync.Mutex
	stdout, stderr bytes.Buffer
}

// locked makes a buffer of the process safe to read while it runs.
type locked struct {
	mu *sync.Mutex
	b  *bytes.Buffer
}

func (l locked) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

// start runs the command with exactly the environment env. The process leads
// a process group of its own.
func (c Command) start(env []string) (*Process, error) {
	p := &Process{cmd: exec.Command(c.Path, c.Args...), timeout: c.Timeout, done: make(chan struct{})}
	if p.timeout == 0 {
		p.timeout = DefaultTimeout
	}
	p.cmd.Dir, p.cmd.Env, p.cmd.Stdin = c.Dir, env, c.Stdin
	stdout := locked{&p.mu, &p.stdout}
	p.start = time.Now()
	if c.TTY {
		terminal, err := pty.StartWithSize(p.cmd, &pty.Winsize{Rows: 40, Cols: 120})
		if err != nil {
			return nil, fmt.Errorf("run %s on a terminal: %w", c.Path, err)
		}
		copied := make(chan struct{})
		go func() {
			defer close(copied)
			_, _ = io.Copy(stdout, terminal) // ends with EIO when the last writer is gone
		}()
		go p.wait(func() { <-copied; terminal.Close() })
		return p, nil
	}
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	p.cmd.Stdout, p.cmd.Stderr = stdout, locked{&p.mu, &p.stderr}
	// A grandchild that keeps the pipes open must not hang the test.
	p.cmd.WaitDelay = 5 * time.Second
	if err := p.cmd.Start(); err != nil {
		return nil, fmt.Errorf("run %s: %w", c.Path, err)
	}
	go p.wait(func() {})
	return p, nil
}

func (p *Process) wait(then func()) {
	_ = p.cmd.Wait() // the exit code is in ProcessState
	then()
	close(p.done)
}

// Interrupt sends what Ctrl-C does to the command's process group.
func (p *Process) Interrupt(t T) {
	t.Helper()
	if err := syscall.Kill(-p.cmd.Process.Pid, syscall.SIGINT); err != nil && !errors.Is(err, os.ErrProcessDone) {
		t.Fatalf("interrupt %s: %v", p.cmd, err)
	}
}

// Output returns what the command printed so far; ExitCode is -1 as long as
// it runs.
func (p *Process) Output() Output {
	p.mu.Lock()
	defer p.mu.Unlock()
	o := Output{
		Command: commandLine(p.cmd), Stdout: p.stdout.String(), Stderr: p.stderr.String(),
		ExitCode: -1, Elapsed: time.Since(p.start),
	}
	select {
	case <-p.done:
		o.ExitCode = p.cmd.ProcessState.ExitCode()
	default:
	}
	return o
}

// Wait returns the output when the command has ended. One that outlasts its
// timeout is killed and fails the test.
func (p *Process) Wait(t T) Output {
	t.Helper()
	timer := time.NewTimer(time.Until(p.start.Add(p.timeout)))
	defer timer.Stop()
	select {
	case <-p.done:
		return p.Output()
	case <-timer.C:
	}
	p.kill()
	t.Fatalf("the command hung, it was killed after %s:\n%s", p.timeout, p.Output())
	return Output{}
}

// kill ends the process group unless the command has ended.
func (p *Process) kill() {
	select {
	case <-p.done:
		return
	default:
	}
	_ = syscall.Kill(-p.cmd.Process.Pid, syscall.SIGKILL)
	<-p.done
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
