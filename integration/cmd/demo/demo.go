package main

import (
	"fmt"
	"os"

	"github.com/policy-frontend/policy-frontend/integration/harness"
)

// demo takes the place of a test for the harness.
type demo struct {
	env      *harness.Env
	failed   bool
	cleanups []func()
}

var _ harness.T = (*demo)(nil)

// ended is the panic by which FailNow leaves the demo.
type ended struct{}

// do runs f and the clean-ups, and returns whether all of it went well.
func (d *demo) do(f func()) bool {
	func() {
		defer func() {
			if r := recover(); r != nil && r != (ended{}) {
				panic(r)
			}
		}()
		f()
	}()
	for i := len(d.cleanups) - 1; i >= 0; i-- {
		d.cleanups[i]()
	}
	return !d.failed
}

func (d *demo) title(s string) { fmt.Printf("\n=== %s\n\n", s) }

func (d *demo) print(s string) { fmt.Print(s) }

func (d *demo) read(file string) string {
	data, err := os.ReadFile(file)
	if err != nil {
		d.Fatalf("%v", err)
	}
	return string(data)
}

func (d *demo) Helper() {}

func (d *demo) Name() string { return "demo" }

func (d *demo) Cleanup(f func()) { d.cleanups = append(d.cleanups, f) }

func (d *demo) Failed() bool { return d.failed }

func (d *demo) Logf(format string, args ...any) {
	fmt.Fprintf(os.Stderr, format+"\n", args...)
}

func (d *demo) Errorf(format string, args ...any) {
	d.failed = true
	fmt.Fprintf(os.Stderr, "demo: "+format+"\n", args...)
}

func (d *demo) Fatalf(format string, args ...any) {
	d.Errorf(format, args...)
	d.FailNow()
}

func (d *demo) FailNow() {
	d.failed = true
	panic(ended{})
}

func (d *demo) TempDir() string {
	dir, err := d.env.TempDir()
	if err != nil {
		d.Fatalf("%v", err)
	}
	return dir
}
