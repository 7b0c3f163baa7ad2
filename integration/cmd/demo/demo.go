package main

import (
	"fmt"
	"os"

	"github.com/policy-frontend/policy-frontend/integration/harness"
)

// demo is the script of this program.
type demo struct {
	*harness.Script
	env *harness.Env
}

func (d *demo) title(s string) { fmt.Printf("\n=== %s\n\n", s) }

func (d *demo) print(s string) { fmt.Print(s) }

func (d *demo) printf(format string, args ...any) { fmt.Printf(format, args...) }

func (d *demo) read(file string) string {
	data, err := os.ReadFile(file)
	if err != nil {
		d.Fatalf("%v", err)
	}
	return string(data)
}
