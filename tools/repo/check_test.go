package main

import (
	"io"
	"strings"
	"testing"
	"testing/fstest"
)

// files is a repository in which the check finds nothing.
func files(changes map[string]string) fstest.MapFS {
	fsys := fstest.MapFS{}
	for name, text := range map[string]string{
		"go.mod":          "module m\n\ngo 1.26.8\n",
		"tools/go.mod":    "module t\n\ngo 1.26.8\n",
		"Dockerfile":      "ARG GO_IMAGE=golang:1.26.8-alpine\n",
		"docker-bake.hcl": `default = "golang:1.26.8-alpine"`,
		"Makefile":        "# renovate: packageName=example.com/tool\nTOOL := v1.2.3\n",
		"renovate.json": `{"customManagers": [{
			"managerFilePatterns": ["/^Makefile$/"],
			"matchStrings": ["# renovate: packageName=(?<packageName>\\S+)\\n\\w+ *:= (?<currentValue>v\\S+)"]
		}]}`,
	} {
		fsys[name] = &fstest.MapFile{Data: []byte(text)}
	}
	for name, text := range changes {
		fsys[name] = &fstest.MapFile{Data: []byte(text)}
	}
	return fsys
}

func TestCheck(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name    string
		changes map[string]string
		want    string // "" for nothing
	}{
		{"a clean repository", nil, ""},
		{
			"a comment",
			map[string]string{"a/a.go": "package a\n\n// Write it anew.\nvar x int\n"},
			`a/a.go:3: readers stumble over "anew"; write "again"`,
		},
		{
			"a comment of several lines",
			map[string]string{"a.go": "package a\n\n/*\nIt\nLets pass.\n*/\n"},
			`a.go:5: readers stumble over "Lets pass"; write "allows"`,
		},
		{
			"code and strings are not comments",
			map[string]string{"a.go": "package a\n\nvar anew = `warn of`\n"},
			"",
		},
		{
			"prose",
			map[string]string{"docs/a.md": "# A\n\nIt lets pass what it must.\n"},
			`docs/a.md:3: readers stumble over "lets pass"; write "allows"`,
		},
		{
			"code in prose is not prose",
			map[string]string{"a.md": "Run `git anew`.\n\n```sh\nanew\n```\n\n~~~\nanew\n~~~\n"},
			"",
		},
		{
			"prose behind code",
			map[string]string{"a.md": "```sh\nx\n```\nAnew.\n"},
			`a.md:4: readers stumble over "Anew"; write "again"`,
		},
		{"parts of words are other words", map[string]string{"a.md": "canewood, nonetheless\n"}, ""},
		{"hidden folders and test data are not read", map[string]string{
			".build/a.md": "anew", "a/testdata/a.md": "anew", "testdata/a.go": "not Go",
		}, ""},
		{".github is read", map[string]string{".github/a.md": "anew"}, `.github/a.md:1: `},
		{
			"a module with another version",
			map[string]string{"tools/go.mod": "module t\n\ngo 1.26\n"},
			"tools/go.mod:3: it names Go 1.26, and go.mod names Go 1.26.8",
		},
		{
			"an image with another version",
			map[string]string{"Dockerfile": "\nARG GO_IMAGE=golang:1.26.7-alpine\n"},
			"Dockerfile:2: it names Go 1.26.7, and go.mod names Go 1.26.8",
		},
		{
			"an image without a version",
			map[string]string{"docker-bake.hcl": "golang"},
			"docker-bake.hcl:1: it names no version of Go",
		},
		{
			"a tool that the bot can't see",
			map[string]string{"Makefile": "TOOL  := v1.2.3\n"},
			"Makefile:1: renovate.json doesn't match this version",
		},
		{"tests that exist", map[string]string{
			"Makefile":              "OLDEST_TESTS := ^(TestA|TestB)$$\n",
			"integration/a_test.go": "package a\n\nfunc TestA(t *testing.T) {}\n",
			"integration/b_test.go": "package a\n\nfunc TestB(t *testing.T) {}\n",
		}, ""},
		{"a test that was renamed", map[string]string{
			"Makefile":              "OLDEST_TESTS := ^(TestA|TestB)$$\n",
			"integration/a_test.go": "package a\n\nfunc TestA(t *testing.T) {}\n",
		}, "Makefile:1: there is no test TestB"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			var out strings.Builder
			err := check(files(tc.changes), &out)
			switch {
			case tc.want == "" && (err != nil || out.String() != "0 things to change.\n"):
				t.Fatalf("want nothing, got %v\n%s", err, &out)
			case tc.want != "" && (err == nil || !strings.HasPrefix(out.String(), tc.want)):
				t.Fatalf("want %s, got %v\n%s", tc.want, err, &out)
			}
		})
	}
}

func TestCheckReportsFilesThatItCannotRead(t *testing.T) {
	t.Parallel()
	for name, text := range map[string]string{
		"a.go":          "not Go",
		"renovate.json": "{",
	} {
		if err := check(files(map[string]string{name: text}), io.Discard); err == nil ||
			!strings.Contains(err.Error(), name) {
			t.Errorf("want an error that names %s, got %v", name, err)
		}
	}
}
