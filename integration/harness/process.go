package harness

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"sync"
	"syscall"
	"time"

	"github.com/creack/pty"
)

// Process is a command that runs.
type Process struct {
	cmd     *exec.Cmd
	start   time.Time
	timeout time.Duration
	done    chan struct{}
	typed   io.Writer // what a person would type on the terminal; nil without one

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
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	stdout := locked{&p.mu, &p.stdout}
	p.start = time.Now()
	if c.TTY {
		terminal, err := pty.StartWithSize(p.cmd, &pty.Winsize{Rows: 40, Cols: 120})
		if err != nil {
			return nil, fmt.Errorf("run %s on a terminal: %w", c.Path, err)
		}
		p.typed = terminal
		copied := make(chan struct{})
		go func() {
			defer close(copied)
			_, _ = io.Copy(stdout, terminal) // ends with EIO when the last writer is gone
		}()
		go p.wait(func() { <-copied; terminal.Close() })
		return p, nil
	}
	p.cmd.SysProcAttr.Setpgid = true
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
	err := syscall.Kill(-p.cmd.Process.Pid, syscall.SIGINT)
	if err != nil && !errors.Is(err, os.ErrProcessDone) {
		t.Fatalf("interrupt %s: %v", p.cmd, err)
	}
}

// Type types a text on the command's terminal.
func (p *Process) Type(t T, text string) {
	t.Helper()
	if p.typed == nil {
		t.Fatalf("%s has no terminal", p.cmd)
	}
	if _, err := io.WriteString(p.typed, text); err != nil {
		t.Fatalf("type on the terminal of %s: %v", p.cmd, err)
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
	o, err := p.result()
	if err != nil {
		t.Fatalf("%v", err)
	}
	return o
}

// result waits for the command to end, and kills it after its timeout, which is
// an error.
func (p *Process) result() (Output, error) {
	timer := time.NewTimer(time.Until(p.start.Add(p.timeout)))
	defer timer.Stop()
	select {
	case <-p.done:
		return p.Output(), nil
	case <-timer.C:
		p.kill()
		return Output{}, fmt.Errorf("the command hung, it was killed after %s:\n%s", p.timeout,
			p.Output())
	}
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
