package harness

import (
	"fmt"
	"os"
)

// Script takes the place of a test in a program that uses the environment.
type Script struct {
	env      *Env
	name     string
	failed   bool
	cleanups []func()
}

var _ T = (*Script)(nil)

// ended is the panic by which FailNow leaves the script.
type ended struct{}

// Script returns a script, whose messages begin with name.
func (e *Env) Script(name string) *Script { return &Script{env: e, name: name} }

// Do runs f and the clean-ups, and returns whether all of it went well.
func (s *Script) Do(f func()) bool {
	func() {
		defer func() {
			if r := recover(); r != nil && r != (ended{}) {
				panic(r)
			}
		}()
		f()
	}()
	for i := len(s.cleanups) - 1; i >= 0; i-- {
		s.cleanups[i]()
	}
	return !s.failed
}

// Helper does nothing.
func (s *Script) Helper() {}

// Name returns the name that the script was given.
func (s *Script) Name() string { return s.name }

// Cleanup adds a function that [Script.Do] calls in the end, the last one first.
func (s *Script) Cleanup(f func()) { s.cleanups = append(s.cleanups, f) }

// Failed returns whether an error was reported.
func (s *Script) Failed() bool { return s.failed }

// Logf prints a line to the standard error.
func (s *Script) Logf(format string, args ...any) {
	fmt.Fprintf(os.Stderr, format+"\n", args...)
}

// Errorf prints an error and goes on. [Script.Do] will return false.
func (s *Script) Errorf(format string, args ...any) {
	s.failed = true
	fmt.Fprintf(os.Stderr, s.name+": "+format+"\n", args...)
}

// Fatalf prints an error and leaves the function that [Script.Do] runs.
func (s *Script) Fatalf(format string, args ...any) {
	s.Errorf(format, args...)
	s.FailNow()
}

// FailNow leaves the function that [Script.Do] runs.
func (s *Script) FailNow() {
	s.failed = true
	panic(ended{})
}

// TempDir makes a directory that is removed with the environment.
func (s *Script) TempDir() string {
	dir, err := s.env.TempDir()
	if err != nil {
		s.Fatalf("%v", err)
	}
	return dir
}
