package main

import (
	"bytes"
	"io/fs"
	"regexp"
)

var (
	oldestTests = regexp.MustCompile(`(?m)^OLDEST_TESTS *:= *(.*)$`)
	testName    = regexp.MustCompile(`Test\w+`)
)

// namedTests looks for tests that the Makefile selects by name and that don't exist. `go test -run`
// reports no error for them.
func namedTests(repository fs.FS) ([]finding, error) {
	makefile, err := fs.ReadFile(repository, "Makefile")
	if err != nil {
		return nil, err
	}
	files, err := fs.Glob(repository, "integration/*_test.go")
	if err != nil {
		return nil, err
	}
	var code []byte
	for _, name := range files {
		data, err := fs.ReadFile(repository, name)
		if err != nil {
			return nil, err
		}
		code = append(code, data...)
	}
	var findings []finding
	for _, at := range oldestTests.FindAllSubmatchIndex(makefile, -1) {
		for _, name := range testName.FindAll(makefile[at[2]:at[3]], -1) {
			if !bytes.Contains(code, []byte("func "+string(name)+"(t *testing.T)")) {
				findings = append(findings, finding{
					"Makefile", lineAt(makefile, at[2]), "there is no test " + string(name),
				})
			}
		}
	}
	return findings, nil
}
