package buildfiles

import (
	"bytes"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"testing/fstest"
	"time"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
	"github.com/stretchr/testify/require"
)

// tree returns a tree of the files, given as name and content.
func tree(files ...string) Tree {
	fsys := fstest.MapFS{}
	for i := 0; i < len(files); i += 2 {
		fsys[files[i]] = &fstest.MapFile{Data: []byte(files[i+1])}
	}
	return Tree{FS: fsys, Syntax: hasLine}
}

func hasLine(data []byte) bool { return bytes.HasPrefix(data, []byte("# syntax=")) }

// short writes what was found as one line for each build and problem.
func short(found Found) []string {
	out := []string{}
	for _, b := range found.Builds {
		line := b.File
		if b.Origin != "" {
			line += " by " + b.Origin
		}
		out = append(out, line)
	}
	for _, p := range found.Problems {
		what := "error"
		if p.Unknown {
			what = "unknown"
		}
		out = append(out, fmt.Sprintf("%s:%d %s: %s", p.File, p.Line, what, p.Message))
	}
	slices.Sort(out)
	return out
}

func TestNamesOfBuildFiles(t *testing.T) {
	t.Parallel()
	tests := []struct {
		kind  kind
		names string
	}{
		{dockerfile, "Dockerfile dockerfile Containerfile app.Dockerfile Dockerfile.prod app.containerfile"},
		{likely, "Dockerfile-prod Dockerfile_prod Dockerfile-1.2 dockerfile-prod.alpine prodDockerfile " +
			"Dockerfiles build.docker Containerfile-a MyDockerfile"},
		{template, "Dockerfile.j2 Dockerfile.in Dockerfile.tmpl Dockerfile-a.j2"},
		{bake, "docker-bake.hcl docker-bake.json docker-bake.override.hcl"},
		{compose, "compose.yaml compose.yml docker-compose.yml docker-compose.prod.yaml compose-test.yml"},
		{other, "Dockerfile.dockerignore Dockerfile.md Dockerfile~ Dockerfile-a.md my_dockerfile.py composer.yaml " +
			"compose.go bake.hcl"},
	}
	for _, tt := range tests {
		for name := range strings.FieldsSeq(tt.names) {
			require.Equal(t, tt.kind, kindOf(name), name)
		}
	}
}

func TestFindReadsATree(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name  string
		files []string
		want  []string
	}{
		{
			"Dockerfiles in any directory",
			[]string{"Dockerfile", "FROM a", "a/b/x.Dockerfile", "FROM a"},
			[]string{"Dockerfile", "a/b/x.Dockerfile"},
		},
		{"other files with a syntax line", []string{
			"blubber.yaml", "# syntax=a/b", "main.go", "package main",
		}, []string{"blubber.yaml"}},
		{"nothing of others", []string{
			"node_modules/a/Dockerfile", "x", "vendor/a/Dockerfile", "x", ".git/Dockerfile", "x",
		}, []string{}},
		{"no program about Dockerfiles, but Dockerfiles for a language", []string{
			"a/dockerfile.go", "package a", "b/Dockerfile.go", "FROM golang",
			"Dockerfile.rego", "package docker", "Dockerfile.txt", "# syntax=a/b\nx",
		}, []string{"Dockerfile.txt", "b/Dockerfile.go"}},
		{"files that are often Dockerfiles, if they have a FROM line", []string{
			"a/Dockerfile-prod", "FROM a", "b/Dockerfile_prod", "ARG a\nfrom a",
			"c/prodDockerfile", "FROM a", "d/build.docker", "FROM a",
			"e/Dockerfile-prod", "about Dockerfiles", "f/Dockerfile-x", "# syntax=a/b",
			"g/dockerfile-lint.js", "from = 1",
		}, []string{
			"a/Dockerfile-prod", "b/Dockerfile_prod", "c/prodDockerfile", "d/build.docker", "f/Dockerfile-x",
		}},
		{
			"a template as unknown",
			[]string{"Dockerfile.j2", "FROM {{ base }}"},
			[]string{"Dockerfile.j2:0 unknown: it is a template; check the file that is made of it"},
		},
		{
			"a large file as an error",
			[]string{"Dockerfile", strings.Repeat("#", MaxSize+1)},
			[]string{"Dockerfile:0 error: it has more than 1048576 bytes"},
		},
		{
			"a large file that is often a Dockerfile as unknown",
			[]string{"image.docker", strings.Repeat("#", MaxSize+1)},
			[]string{"image.docker:0 unknown: it has more than 1048576 bytes"},
		},
		{
			"no directory that is too deep",
			[]string{strings.Repeat("d/", MaxDepth+2) + "Dockerfile", "x"},
			[]string{strings.TrimSuffix(strings.Repeat("d/", MaxDepth+1), "/") +
				":0 error: it is deeper than 64 directories"},
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			found, err := tree(tt.files...).Find()
			require.NoError(t, err)
			require.Equal(t, tt.want, short(found))
		})
	}
}

func TestFindStaysInTheTree(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	write := func(name, data string) {
		require.NoError(t, os.MkdirAll(filepath.Dir(filepath.Join(dir, name)), 0o755))
		require.NoError(t, os.WriteFile(filepath.Join(dir, name), []byte(data), 0o644))
	}
	write("outside/Dockerfile", "FROM secret")
	write("tree/real", "FROM a")
	write("tree/compose.yaml", "services: {a: {build: {context: ../outside}}, b: {build: out}}")
	require.NoError(t, os.Symlink("../outside", filepath.Join(dir, "tree/out")))
	require.NoError(t, os.Symlink("../outside/Dockerfile", filepath.Join(dir, "tree/Dockerfile")))
	require.NoError(t, os.Symlink("real", filepath.Join(dir, "tree/a.Dockerfile")))
	require.NoError(t, os.Symlink(".", filepath.Join(dir, "tree/loop.Dockerfile")))

	require.NoError(t, syscall.Mkfifo(filepath.Join(dir, "tree/pipe.Dockerfile"), 0o600))

	root, err := os.OpenRoot(filepath.Join(dir, "tree"))
	require.NoError(t, err)
	defer root.Close()
	found, err := Tree{FS: root.FS(), Syntax: hasLine}.Find()
	require.NoError(t, err)
	require.Equal(t, []string{
		"Dockerfile:0 error: path escapes from parent",
		"a.Dockerfile",
		`compose.yaml:1 unknown: service "a" of compose.yaml: its build file is outside of the directory ` +
			"that is checked: Dockerfile",
		`compose.yaml:1 unknown: service "b" of compose.yaml: its build file can't be read: path escapes ` +
			"from parent",
		"pipe.Dockerfile:0 error: it is not a regular file",
	}, short(found))
}

func TestOneReadsAnyFile(t *testing.T) {
	t.Parallel()
	files := tree("x", "FROM a", "my.hcl", "target \"a\" {}", "Dockerfile", "FROM b",
		"my.yaml", "services: {a: {build: .}}", "blubber.yaml", "# syntax=a/b\nservices:",
		"my.json", `{"target": {"b": {}}}`, "dockerfile.go", "package a", "Dockerfile-notes", "Hello.",
		"main.go", "package a")
	for name, want := range map[string][]string{
		"x":            {"x"},
		"my.hcl":       {`Dockerfile by target "a" of my.hcl`},
		"my.yaml":      {`Dockerfile by service "a" of my.yaml`},
		"my.json":      {`Dockerfile by target "b" of my.json`},
		"blubber.yaml": {"blubber.yaml"},
		"none":         {"none:0 error: file does not exist"},
		"main.go":      {"main.go"},
		"dockerfile.go": {
			"dockerfile.go:0 unknown: it has neither a FROM line nor a syntax line",
		},
		"Dockerfile-notes": {
			"Dockerfile-notes:0 unknown: it has neither a FROM line nor a syntax line",
		},
	} {
		require.Equal(t, want, short(files.One(name)), name)
	}
}

// optionsOf returns the options of the only build, without the name of its file.
func optionsOf(t *testing.T, found Found) map[string]string {
	t.Helper()
	require.Len(t, found.Builds, 1, "%v", found.Problems)
	delete(found.Builds[0].Options, keyFilename)
	return found.Builds[0].Options
}

func TestBakeTargets(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name, file string
		want       map[string]string
		problems   []string
	}{
		{"plain data", `target "a" {
  target = "app"
  args = { A = "1", B = null }
  labels = { "x.y" = "z" }
  platforms = ["linux/amd64", "local", "linux/arm64"]
  network = "host"
  extra-hosts = { h = "10.0.0.1" }
  ulimits = ["nofile=1024", "core=1:2"]
  contexts = { base = "docker-image://a", other = "target:b", dir = "../x", url = "https://a.example/b.git" }
  secret = ["id=a"]
}`, map[string]string{
			"target": "app", "build-arg:A": "1", "label:x.y": "z", "platform": "linux/amd64,linux/arm64",
			"force-network-mode": "host", "add-hosts": "h=10.0.0.1", "ulimit": "nofile=1024:1024,core=1:2",
			"context:base": "docker-image://a", "context:other": "input:other", "context:dir": "local:dir",
			"context:url": "https://a.example/b.git",
		}, nil},
		{"defaults of variables, which depend on others", `
variable "B" { default = "${A}/b" }
variable "A" { default = "a" }
target "a" { args = { X = "${upper(B)}:1" } }`, map[string]string{"build-arg:X": "A/B:1"}, nil},
		{"attributes of the file, which are variables", `
registry = "a"
group "default" { targets = ["a"] }
target "a" { args = { X = "${registry}/b" } }`, map[string]string{"build-arg:X": "a/b"}, nil},
		{"what it inherits, in the order of the names", `
target "_p" { args = { A = "p", B = "p" } }
target "_q" { args = { B = "q", C = "q" } }
target "a" {
  inherits = ["_p", "_q"]
  args = { C = "a" }
  dockerfile = "a.Dockerfile"
}`, map[string]string{"build-arg:A": "p", "build-arg:B": "q", "build-arg:C": "a"}, nil},
		{"what the client turns into options of another form", `
target "a" {
  shm-size = "1g"
  cache-from = ["corp/a,corp/b", {type = "local", src = "x"}]
  no-cache = true
  attest = ["type=sbom,generator=quay.io/x", {type = "provenance", mode = "max"}]
  call = "check"
  pull = true
  output = ["type=local"]
}`, map[string]string{
			"shm-size": "1073741824", "no-cache": "", "image-resolve-mode": "pull",
			"cache-imports": `[{"Type":"registry","Attrs":{"ref":"corp/a"}},` +
				`{"Type":"registry","Attrs":{"ref":"corp/b"}},{"Type":"local","Attrs":{"src":"x"}}]`,
			"attest:sbom": "generator=quay.io/x,type=sbom", "attest:provenance": "mode=max,type=provenance",
			"requestid": "frontend.lint",
		}, nil},
		{"lists and attestations that a target adds to, and null, which changes nothing", `
target "_p" {
  attest = ["type=sbom", "type=provenance"]
  ulimits = ["core=1"]
  no-cache-filter = ["x"]
  args = { A = "1" }
  target = "t"
}
target "a" {
  inherits = ["_p"]
  dockerfile = "a.Dockerfile"
  attest = ["type=provenance,disabled=true"]
  ulimits = ["nofile=2"]
  no-cache-filter = ["y"]
  args = { A = null }
  target = null
}`, map[string]string{
			"attest:sbom": "type=sbom", "ulimit": "core=1:1,nofile=2:2", "no-cache": "x,y",
			"build-arg:A": "1", "target": "t",
		}, nil},
		{"attributes that check doesn't know, or can't read", `
target "a" {
  networks = "host"
  resources = { memory = "1g" }
  attest = [["x"]]
  cache-from = "x"
  shm-size = "x"
}`, map[string]string{}, []string{
			`docker-bake.hcl:2 unknown: target "a" of docker-bake.hcl: attest can't be read`,
			`docker-bake.hcl:2 unknown: target "a" of docker-bake.hcl: cache-from can't be read`,
			`docker-bake.hcl:2 unknown: target "a" of docker-bake.hcl: check doesn't know what "networks" does`,
			`docker-bake.hcl:2 unknown: target "a" of docker-bake.hcl: check doesn't know what "resources" does`,
			`docker-bake.hcl:2 unknown: target "a" of docker-bake.hcl: shm-size can't be read`,
		}},
		{"a variable without a default isn't guessed", `
variable "V" {}
target "a" { args = { A = "1", B = V } }`, map[string]string{"build-arg:A": "1"}, []string{
			`docker-bake.hcl:3 unknown: target "a" of docker-bake.hcl: args.B can't be evaluated: it depends ` +
				"on a variable without a default, or on a function",
		}},
		{"an unknown function", `
target "a" { target = "x${timestamp()}" }`, map[string]string{}, []string{
			`docker-bake.hcl:2 unknown: target "a" of docker-bake.hcl: target can't be evaluated: it depends ` +
				"on a variable without a default, or on a function",
		}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			found, err := tree("docker-bake.hcl", tt.file, "a.Dockerfile", "FROM a").Find()
			require.NoError(t, err)
			found.Builds = slices.DeleteFunc(found.Builds, func(b Build) bool { return b.Origin == "" })
			if len(found.Builds) == 0 { // the target has the default Dockerfile
				found, err = tree("docker-bake.hcl", tt.file, "Dockerfile", "FROM a").Find()
				require.NoError(t, err)
				found.Builds = slices.DeleteFunc(found.Builds, func(b Build) bool {
					return !strings.Contains(b.Origin, `"a"`)
				})
			}
			require.Equal(t, tt.want, optionsOf(t, found))
			found.Builds = nil
			if tt.problems == nil {
				tt.problems = []string{}
			}
			require.Equal(t, tt.problems, short(found))
		})
	}
}

func TestBakeFiles(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name  string
		files []string
		want  []string
	}{
		{"a target's own build file", []string{
			"b/docker-bake.hcl", "target \"a\" {\n context = \"c\"\n dockerfile = \"../x\"\n}",
			"b/x", "FROM a",
		}, []string{`b/x by target "a" of b/docker-bake.hcl`}},
		{"an inline build file", []string{
			"docker-bake.hcl", "target \"a\" {\n dockerfile-inline = <<EOT\nFROM a\nEOT\n}",
		}, []string{`docker-bake.hcl by target "a" of docker-bake.hcl`}},
		{"a build file elsewhere", []string{
			"docker-bake.hcl", "target \"a\" {\n context = \"https://a.example/b.git\"\n}",
		}, []string{`docker-bake.hcl by target "a" of docker-bake.hcl`}},
		{"a build file that isn't there", []string{"docker-bake.hcl", "target \"a\" {}"}, []string{
			`docker-bake.hcl:1 unknown: target "a" of docker-bake.hcl: its build file can't be read: file does ` +
				"not exist",
		}},
		{
			"a target for others needs no build file",
			[]string{"docker-bake.hcl", "target \"_a\" {}"},
			[]string{},
		},
		{"an override adds to the same target", []string{
			"docker-bake.override.hcl", "target \"a\" { dockerfile = \"y\" }",
			"docker-bake.hcl", "target \"a\" { dockerfile = \"x\" }", "x", "FROM a", "y", "FROM a",
		}, []string{`y by target "a" of docker-bake.hcl`}},
		{"JSON before HCL, and overrides last", []string{
			"docker-bake.hcl", "target \"a\" { dockerfile = \"hcl\" }", "hcl", "FROM a",
			"docker-bake.json", `{"target": {"a": {"dockerfile": "json"}}}`, "json", "FROM a",
		}, []string{`hcl by target "a" of docker-bake.json`}},
		{"a matrix makes a target of each combination", []string{
			"docker-bake.hcl", `
target "_base" { context = "." }
target "a" {
  name = "a-${item.name}-${v}"
  matrix = { item = [{name = "x", file = "x"}, {name = "y", file = "y"}], v = ["1", "2"] }
  inherits = ["_base"]
  dockerfile = item.file
}`, "x", "FROM a", "y", "FROM a",
		}, []string{
			`x by target "a-x-1" of docker-bake.hcl`, `x by target "a-x-2" of docker-bake.hcl`,
			`y by target "a-y-1" of docker-bake.hcl`, `y by target "a-y-2" of docker-bake.hcl`,
		}},
		{"a matrix of a variable without a default", []string{
			"docker-bake.hcl", "variable \"V\" {}\ntarget \"a\" {\n name = \"a\"\n matrix = { x = V }\n}",
		}, []string{`docker-bake.hcl:2 unknown: target "a" of docker-bake.hcl: it has a matrix that can't be ` +
			"evaluated, or no name"}},
		{"a matrix without a name", []string{
			"docker-bake.hcl", "target \"_a\" {\n matrix = { x = [\"1\"] }\n}",
		}, []string{`docker-bake.hcl:1 unknown: target "_a" of docker-bake.hcl: it has a matrix that can't be ` +
			"evaluated, or no name"}},
		{"a matrix whose names are a function's", []string{
			"docker-bake.hcl", "target \"a\" {\n name = f(x)\n matrix = { x = [\"1\"] }\n}",
		}, []string{`docker-bake.hcl:1 unknown: target "a" of docker-bake.hcl: the names of its matrix can't ` +
			"be evaluated"}},
		{"a matrix of text", []string{
			"docker-bake.hcl", "target \"a\" {\n name = x\n matrix = { x = \"1\" }\n}",
		}, []string{`docker-bake.hcl:1 unknown: target "a" of docker-bake.hcl: it has a matrix that can't be ` +
			"evaluated: x isn't a list"}},
		{"matrices without end", []string{
			"docker-bake.hcl", "target \"a\" {\n name = \"a${x}\"\n matrix = { x = [" +
				strings.Repeat("1,", 201) + "] }\n}",
		}, []string{`docker-bake.hcl:1 unknown: target "a" of docker-bake.hcl: its matrix, or those before it, ` +
			"make more than 200 targets"}},
		{"a target that inherits from itself", []string{
			"docker-bake.hcl", "target \"a\" { inherits = [\"a\"] }", "Dockerfile", "FROM a",
		}, []string{
			"Dockerfile", `Dockerfile by target "a" of docker-bake.hcl`,
			`docker-bake.hcl:1 unknown: target "a" of docker-bake.hcl: it inherits from a, which isn't there or ` +
				"inherits from itself",
		}},
		{
			"a file that can't be read",
			[]string{"docker-bake.hcl", "target {"},
			[]string{"docker-bake.hcl:0 error: line 1: Unclosed configuration block"},
		},
		{
			"a file that is nested without end",
			[]string{"docker-bake.json", strings.Repeat("[", 10_000)},
			[]string{"docker-bake.json:0 error: it is nested deeper than 200 levels"},
		},
		{"a bake file that is large", []string{
			"docker-bake.hcl", "a = " + strings.Repeat("!", 1<<16) + "a",
		}, []string{"docker-bake.hcl:0 error: it has more than 65536 bytes"}},
		{
			"operators without end",
			[]string{"docker-bake.hcl", "a = " + strings.Repeat("!", 1<<15) + "a"},
			[]string{},
		},
		{"a file outside of the tree", []string{
			"docker-bake.hcl", "target \"a\" { dockerfile = \"/etc/passwd\" }",
		}, []string{`docker-bake.hcl:1 unknown: target "a" of docker-bake.hcl: its build file is outside of the ` +
			"directory that is checked: /etc/passwd"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			found, err := tree(tt.files...).Find()
			require.NoError(t, err)
			require.Equal(t, tt.want, short(found))
		})
	}
}

// limit is how long reading a hostile file may take here. Without bounds it takes hours.
const limit = 20 * time.Second

// findWithin returns what is found in a tree, or fails after the limit.
func findWithin(t *testing.T, files ...string) Found {
	t.Helper()
	done := make(chan Found, 1)
	go func() {
		found, _ := tree(files...).Find()
		done <- found
	}()
	select {
	case found := <-done:
		return found
	case <-time.After(limit):
		require.FailNow(t, "reading the files doesn't end")
		return Found{}
	}
}

func TestHostileBakeFilesEnd(t *testing.T) {
	t.Parallel()
	var diamonds, lists strings.Builder
	lists.WriteString("l0 = [\"x\"]\n")
	for i := range 60 {
		fmt.Fprintf(&diamonds,
			"target \"t%d\" {\n inherits = [\"t%d\", \"t%d\"]\n no-cache-filter = [\"a\"]\n}\n", i, i+1, i+2)
		fmt.Fprintf(&lists, "l%d = [l%d, l%d]\n", i+1, i, i)
	}
	tests := []struct{ name, file, want string }{
		{
			"targets that inherit along very many paths",
			diamonds.String() + "target \"t60\" {}\ntarget \"t61\" {}\ntarget \"z\" {inherits = [\"t0\"]}",
			`Dockerfile by target "z" of docker-bake.hcl`,
		},
		{
			"lists that double again and again",
			lists.String() + "target \"z\" {args = {A = join(\",\", flatten(l60))}}",
			`docker-bake.hcl:62 unknown: target "z" of docker-bake.hcl: args can't be evaluated: it depends on ` +
				"a variable without a default, or on a function",
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			found := findWithin(t, "docker-bake.hcl", tt.file, "Dockerfile", "FROM a")
			require.Contains(t, short(found), tt.want)
		})
	}
}

func TestLinesOfInlineBuildFiles(t *testing.T) {
	t.Parallel()
	for name, file := range map[string]string{
		"docker-bake.hcl":     "target \"a\" {\n dockerfile-inline = <<EOT\nFROM a\nEOT\n}",
		"compose.yaml":        "services:\n  a: {build: {context: ., dockerfile_inline: FROM a}}\n",
		"docker-compose.yaml": "services:\n a:\n  build:\n   dockerfile_inline: |\n    FROM a\n",
	} {
		found, err := tree(name, file).Find()
		require.NoError(t, err)
		require.Len(t, found.Builds, 1, name)
		line := strings.Split(file, "\n")[found.Builds[0].FirstLine-1]
		require.Contains(t, line, "FROM a", name)
	}
}

func TestComposeServices(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name, build string
		want        map[string]string
		problems    []string
	}{
		{"a directory", "build: .", map[string]string{}, nil},
		{"plain data", `
    platform: linux/s390x
    build:
      context: .
      target: app
      network: host
      args: {A: 1, B: "${X:-x}", C: "$$y"}
      labels: ["l=v"]
      additional_contexts: ["base=docker-image://a"]
      extra_hosts: ["h:10.0.0.1"]
      ulimits: {nofile: {soft: 1, hard: 2}, core: 3}
      platforms: [linux/amd64]`, map[string]string{
			"target": "app", "force-network-mode": "host", "build-arg:A": "1", "build-arg:B": "x",
			"build-arg:C": "$y", "label:l": "v", "context:base": "docker-image://a",
			"add-hosts": "h=10.0.0.1", "ulimit": "core=3:3,nofile=1:2", "platform": "linux/amd64",
		}, nil},
		{"what the client turns into options of another form", `
    platform: linux/arm64
    build:
      shm_size: 1g
      cache_from: [corp/a, "type=local,src=x"]
      no_cache: true
      pull: true
      sbom: generator=quay.io/x
      provenance: mode=max`, map[string]string{
			"shm-size": "1073741824", "no-cache": "", "image-resolve-mode": "pull",
			"cache-imports": `[{"Type":"registry","Attrs":{"ref":"corp/a"}},` +
				`{"Type":"local","Attrs":{"src":"x"}}]`,
			"attest:sbom":       "generator=quay.io/x,type=sbom",
			"attest:provenance": "mode=max,type=provenance",
			"platform":          "linux/arm64",
		}, nil},
		{"booleans", `
    build: {no_cache_filter: [a, b], no_cache: false, sbom: true, provenance: false}`, map[string]string{
			"no-cache": "a,b", "attest:sbom": "type=sbom",
		}, nil},
		{"a platform beside a directory", "build: ., platform: linux/arm64", map[string]string{
			"platform": "linux/arm64",
		}, nil},
		{
			"a list of args, one without a value", "build: {context: ., args: [A=1, B]}",
			map[string]string{"build-arg:A": "1"},
			[]string{
				`compose.yaml:1 unknown: service "a" of compose.yaml: build-arg:B comes from the environment`,
			},
		},
		{
			"a variable without a default", `build: {context: ., target: "a$X"}`,
			map[string]string{"target": "a"},
			[]string{
				`compose.yaml:1 unknown: service "a" of compose.yaml: target has the variable "X", whose value ` +
					"isn't known",
			},
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			file := "services: {a: {" + tt.build + "}}"
			if strings.HasPrefix(tt.build, "\n") {
				file = "services:\n  a:" + tt.build
			}
			found := tree("compose.yaml", file, "Dockerfile", "FROM a").One("compose.yaml")
			require.Equal(t, tt.want, optionsOf(t, found))
			found.Builds = nil
			if tt.problems == nil {
				tt.problems = []string{}
			}
			require.Equal(t, tt.problems, short(found))
		})
	}
}

func TestHostileComposeFilesEnd(t *testing.T) {
	t.Parallel()
	var merges, lists strings.Builder
	merges.WriteString("x-m0: &m0 {A: b}\nx-l0: &l0 [a]\n")
	for i := range 12 {
		fmt.Fprintf(&merges, "x-m%d: &m%d {<<: [%s]}\n", i+1, i+1,
			strings.TrimSuffix(strings.Repeat(fmt.Sprintf("*m%d, ", i), 60), ", "))
		fmt.Fprintf(&lists, "x-l%d: &l%d [%s]\n", i+1, i+1,
			strings.TrimSuffix(strings.Repeat(fmt.Sprintf("*l%d, ", i), 60), ", "))
	}
	tests := []struct{ name, file, want string }{
		{
			"a map that merges itself", "services: {a: {build: {context: ., args: &a {<<: *a, A: b}}}}",
			"compose.yaml:0 unknown: it is nested deeper than 100 levels, or contains itself",
		},
		{
			"maps that merge many maps", merges.String() + "services: {a: {build: {args: *m12}}}",
			"compose.yaml:0 unknown: with aliases and what it names, it has more than 250000 nodes",
		},
		{
			"lists of lists of aliases", "x-l0: &l0 [a]\n" + lists.String() + "services: {a: {build: *l12}}",
			"compose.yaml:0 unknown: with aliases and what it names, it has more than 250000 nodes",
		},
		{
			"two merges in a map", "x: &x {A: b}\nservices: {a: {build: {args: {<<: *x, <<: *x}}}}",
			`compose.yaml:0 error: line 2: the key "<<" is there twice`,
		},
		{
			"defaults in defaults", "services: {a: {build: \"" + strings.Repeat("${A:-", 1000) +
				strings.Repeat("}", 1000) + "\"}}",
			`compose.yaml:1 unknown: service "a" of compose.yaml: build has the variable "${...}", whose value ` +
				"isn't known",
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			found := findWithin(t, "compose.yaml", tt.file, "Dockerfile", "FROM a")
			require.Contains(t, short(found), tt.want)
		})
	}
}

func TestOneFileThatTakesTooLongDoesNotStopTheOthers(t *testing.T) {
	t.Parallel()
	slow := strings.Repeat("${", 30_000)
	files := tree("a/compose.yaml", "services: {a: {build: \""+slow+"\"}}", "b/docker-bake.hcl",
		"a = "+strings.Repeat("!", 1<<15)+"a", "Dockerfile", "FROM a")
	files.MaxTime = time.Nanosecond
	found, err := files.Find()
	require.NoError(t, err)
	require.Equal(t, []string{
		"Dockerfile", "a/compose.yaml:0 error: reading it took longer than 1ns",
		"b/docker-bake.hcl:0 error: reading it took longer than 1ns",
	}, short(found))
	for _, name := range []string{"a/compose.yaml", "b/docker-bake.hcl"} {
		require.Contains(t, short(files.One(name)), name+":0 error: reading it took longer than 1ns")
	}
}

func TestComposeAliasesMeanWhatTheyName(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name, file string
		want       map[string]string
	}{
		{
			"as the value of an arg",
			"x-i: &img quay.io/x\nservices: {a: {build: {context: ., args: {IMG: *img}}}}",
			map[string]string{"build-arg:IMG": "quay.io/x"},
		},
		{
			"as limits",
			"x-u: &u {core: 3}\nservices: {a: {build: {context: ., ulimits: *u}}}",
			map[string]string{"ulimit": "core=3:3"},
		},
		{
			"as a named context",
			"x-a: &al docker-image://quay.io/x\nservices: {a: {build: {additional_contexts: {alpine: *al}}}}",
			map[string]string{"context:alpine": "docker-image://quay.io/x"},
		},
		{
			"as an item of a list",
			"x-x: &x A=1\nservices: {a: {build: {args: [*x]}}}",
			map[string]string{"build-arg:A": "1"},
		},
		{
			"in a list of merged maps, where the first counts most",
			"x-1: &a {A: 1, B: 1}\nx-2: &b {B: 2, C: 2}\nservices: {a: {build: {args: {<<: [*a, *b], C: 3}}}}",
			map[string]string{"build-arg:A": "1", "build-arg:B": "1", "build-arg:C": "3"},
		},
		{
			"as a whole build",
			"x-1: &a {target: t}\nservices: {a: {build: *a}}",
			map[string]string{"target": "t"},
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			found := tree("compose.yaml", tt.file, "Dockerfile", "FROM a").One("compose.yaml")
			require.Equal(t, tt.want, optionsOf(t, found))
			require.Empty(t, found.Problems)
		})
	}
	found := tree("compose.yaml", "x: &df \"FROM b\"\nservices: {a: {build: {dockerfile_inline: *df}}}").
		One("compose.yaml")
	require.Len(t, found.Builds, 1)
	require.Equal(t, "FROM b", string(found.Builds[0].Data))
}

func TestWhatCheckDoesNotReadInComposeFilesIsUnknown(t *testing.T) {
	t.Parallel()
	tests := []struct{ name, file, want string }{
		{
			"extends beside a short build", "services: {a: {build: ., extends: {file: b.yml}}}",
			`compose.yaml:1 unknown: service "a" of compose.yaml: what it extends can't be read: it ` +
				"names no service",
		},
		{
			"extends without a build", "services: {a: {extends: {file: b.yml, service: b}}}",
			`compose.yaml:1 unknown: service "a" of compose.yaml: what it extends can't be read: b.yml: ` +
				"file does not exist",
		},
		{
			"a service that isn't there", "services: {a: {extends: b}}",
			`compose.yaml:1 unknown: service "a" of compose.yaml: what it extends can't be read: there is no ` +
				`service "b" in compose.yaml`,
		},
		{
			"a service that extends itself", "services: {a: {extends: b}, b: {extends: a, build: .}}",
			`compose.yaml:1 unknown: service "b" of compose.yaml: what it extends can't be read: it extends itself`,
		},
		{
			"a file outside of the tree", "services: {a: {extends: {file: ../x.yml, service: b}}}",
			`compose.yaml:1 unknown: service "a" of compose.yaml: what it extends can't be read: ../x.yml is ` +
				"outside of the directory that is checked",
		},
		{
			"forms that can't be merged",
			"services: {a: {extends: b, build: {ulimits: {core: 1}}}, b: {build: {ulimits: [x]}}}",
			`compose.yaml:1 unknown: service "a" of compose.yaml: ulimits has several forms, which can't be merged`,
		},
		{
			"null, which some versions of compose ignore",
			"services: {a: {extends: b, build: {target: null}}, b: {build: {target: x}}}",
			`compose.yaml:1 unknown: service "a" of compose.yaml: target is null in a later description`,
		},
		{
			"include", "include: [b.yml]\nservices: {}",
			"compose.yaml:1 unknown: include can't be read, so builds may be missing: b.yml: file does not exist",
		},
		{
			"include of a repository", "include: [{path: oci://docker.io/a/b}]",
			"compose.yaml:1 unknown: include can't be read, so builds may be missing: oci://docker.io/a/b can't " +
				"be read offline",
		},
		{
			"include with a variable", "include: [\"${DIR}/b.yml\"]",
			"compose.yaml:1 unknown: include can't be read, so builds may be missing: the file's name has the " +
				`variable "DIR"`,
		},
		{
			"include with a directory", "include: [{path: b.yml, project_directory: x}]",
			"compose.yaml:1 unknown: include can't be read, so builds may be missing: it has a project_directory or an " +
				"env_file",
		},
		{
			"include with an environment", "include: [{path: b.yml, env_file: x}]",
			"compose.yaml:1 unknown: include can't be read, so builds may be missing: it has a project_directory " +
				"or an env_file",
		},
		{
			"include that is no list", "include: b.yml",
			"compose.yaml:1 unknown: include can't be read, so builds may be missing: it isn't a list",
		},
		{
			"a second document", "services: {}\n---\nservices: {b: {build: .}}",
			`Dockerfile by service "b" of compose.yaml`,
		},
		{
			"a tag of compose", "services: {a: {build: {context: ., args: !reset {}}}}",
			"compose.yaml:0 unknown: the tag !reset is not read, so options may be other ones",
		},
		{
			"a key that check doesn't know", "services: {a: {build: {context: ., privileged: true}}}",
			`compose.yaml:1 unknown: service "a" of compose.yaml: check doesn't know what "privileged" does`,
		},
		{
			"bake's own options", "services: {a: {build: {context: ., x-bake: {no-cache: true}}}}",
			`compose.yaml:1 unknown: service "a" of compose.yaml: check doesn't know what "x-bake" does`,
		},
		{
			"a value of the wrong kind", "services: {a: {build: {context: ., target: [x]}}}",
			`compose.yaml:1 unknown: service "a" of compose.yaml: target isn't a text`,
		},
		{
			"limits of the wrong kind", "services: {a: {build: {context: ., ulimits: x}}}",
			`compose.yaml:1 unknown: service "a" of compose.yaml: ulimits isn't a map`,
		},
		{
			"an invalid size", "services: {a: {build: {context: ., shm_size: x}}}",
			`compose.yaml:1 unknown: service "a" of compose.yaml: shm_size can't be read`,
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			found := tree("compose.yaml", tt.file, "Dockerfile", "FROM a").One("compose.yaml")
			require.Contains(t, short(found), tt.want)
		})
	}
	keys := "cache_to: [a], entitlements: [b], secrets: [c], ssh: [default], tags: [d], x-e: f"
	found := tree("compose.yaml", "services: {a: {build: {context: ., "+keys+"}}}", "Dockerfile", "FROM a").
		One("compose.yaml")
	require.Empty(t, found.Problems, "what gives the frontend nothing isn't unknown")
}

func TestComposeFilesThatNameOthers(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name  string
		files []string
		want  map[string]string
		build string
	}{
		{"an override beside it, which adds and changes", []string{
			"compose.yaml", "services: {a: {build: {context: ., args: {A: 1, B: 1}, target: x}}}",
			"compose.override.yaml", "services: {a: {platform: linux/arm64, build: {args: [B=2, C=2], target: y}}}",
			"Dockerfile", "FROM a",
		}, map[string]string{
			"build-arg:A": "1", "build-arg:B": "2", "build-arg:C": "2", "target": "y", "platform": "linux/arm64",
		}, `Dockerfile by service "a" of compose.yaml`},
		{
			"an override of a short build",
			[]string{
				"docker-compose.yml", "services: {a: {build: b}}",
				"docker-compose.override.yml", "services: {a: {build: {network: host}}}",
				"b/Dockerfile", "FROM a",
			},
			map[string]string{"force-network-mode": "host"},
			`b/Dockerfile by service "a" of docker-compose.yml`,
		},
		{
			"a service of the same file",
			[]string{
				"compose.yaml", "services: {a: {extends: b, build: {labels: {l: m}}}, " +
					"b: {extends: {service: c}}, c: {build: {context: x, args: [A=1]}}}",
				"x/Dockerfile", "FROM a",
			},
			map[string]string{"build-arg:A": "1", "label:l": "m"},
			`x/Dockerfile by service "a" of compose.yaml`,
		},
		{
			"a service of another file, whose paths are relative to it",
			[]string{
				"compose.yaml", "services: {a: {extends: {file: base/common.yml, service: b}, build: {target: t}}}",
				"base/common.yml", "services: {b: {build: {context: x, args: {A: 1}}}}",
				"base/x/Dockerfile", "FROM a",
			},
			map[string]string{"build-arg:A": "1", "target": "t"},
			`base/x/Dockerfile by service "a" of compose.yaml`,
		},
		{"a service with an inline build file of another file", []string{
			"compose.yaml", "services: {a: {extends: {file: common.yml, service: b}}}",
			"common.yml", "\nservices: {b: {build: {dockerfile_inline: FROM a}}}",
		}, map[string]string{}, `common.yml by service "a" of compose.yaml`},
		{"documents of one file", []string{
			"compose.yaml", "services: {a: {build: .}}\n---\nservices: {a: {build: {target: t}}}",
			"Dockerfile", "FROM a",
		}, map[string]string{"target": "t"}, `Dockerfile by service "a" of compose.yaml`},
		{"included files, once each", []string{
			"compose.yaml", "include: [x/more.yml, compose.yaml, x/more.yml]",
			"x/more.yml", "include: [../compose.yaml]\nservices: {a: {build: .}}", "x/Dockerfile", "FROM a",
		}, map[string]string{}, `x/Dockerfile by service "a" of x/more.yml`},
		{"included files that are merged", []string{
			"compose.yaml", "include: [{path: [x/1.yml, x/2.yml]}]",
			"x/1.yml", "services: {a: {build: .}}", "x/2.yml", "services: {a: {build: {target: t}}}",
			"x/Dockerfile", "FROM a",
		}, map[string]string{"target": "t"}, `x/Dockerfile by service "a" of x/1.yml`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			files := tree(tt.files...)
			found, err := files.Find()
			require.NoError(t, err)
			found.Builds = slices.DeleteFunc(found.Builds, func(b Build) bool {
				return !strings.Contains(b.Origin, `"a"`)
			})
			require.Equal(t, []string{tt.build}, short(found))
			require.Equal(t, tt.want, optionsOf(t, found))
			one := files.One(tt.files[0])
			require.Contains(t, short(one), tt.build)
			if strings.Contains(tt.files[2], "override") {
				require.Equal(t, one, files.One(tt.files[2]), "the override alone means both too")
			}
		})
	}
}

func TestComposeReadsTheEnvironmentBesideIt(t *testing.T) {
	t.Parallel()
	const env = "# a comment\nA=a/b:1\nexport B=\"b c\"\r\nC='c'\nEMPTY=\nD=$A\n" +
		"E=\"x\ny\"\nF: x\nG=1\nG=2\n"
	tests := []struct {
		text, want string
		unknown    bool
	}{
		{"$A", "a/b:1", false},
		{"${A}x", "a/b:1x", false},
		{"${A:-d}", "a/b:1", false},
		{"${B-d}", "b c", false},
		{"${C:?must be set}", "c", false},
		{"${EMPTY:-d}", "d", false},
		{"${EMPTY-d}", "", false},
		{"${NONE:-${A}}", "a/b:1", false},
		{"${D:-d}", "", true},
		{"${E:-d}", "", true},
		{"${F:-d}", "", true},
		{"${G:-d}", "", true},
		{"${A:+d}", "", true},
		{"$NONE", "", true},
	}
	for _, tt := range tests {
		found := tree("compose.yaml", "services: {a: {build: {args: {X: \""+tt.text+"\"}}}}", ".env", env,
			"Dockerfile", "FROM a").One("compose.yaml")
		require.Equal(t, tt.want, optionsOf(t, found)["build-arg:X"], tt.text)
		require.Equal(t, tt.unknown, len(found.Problems) > 0, tt.text)
	}
	found := tree("compose.yaml", "include: [x/b.yml]", ".env", "A=1\nB=1\n", "x/.env", "B=2\nC=3\n",
		"x/b.yml", `services: {a: {build: {args: ["A=$A", "B=${B:-0}", "C=$C"]}}}`, "x/Dockerfile", "FROM a").
		One("compose.yaml")
	require.Equal(t, map[string]string{"build-arg:A": "1", "build-arg:B": "", "build-arg:C": "3"},
		optionsOf(t, found))
	require.Len(t, found.Problems, 1)
	found = tree("compose.yaml", "services: {}", ".env", strings.Repeat("#", MaxSize+1)).One("compose.yaml")
	require.Equal(t, []string{
		"compose.yaml:0 unknown: the file .env beside it can't be read: it has more than 1048576 bytes",
	}, short(found))
}

func TestABakeFileIsReadWithItsOverride(t *testing.T) {
	t.Parallel()
	files := tree("docker-bake.hcl", "target \"a\" { dockerfile = \"x\" }", "x", "FROM a",
		"docker-bake.override.json", `{"target": {"a": {"target": "t"}}}`,
		"docker-bake.ci.hcl", "target \"a\" {}")
	for _, name := range []string{"docker-bake.hcl", "docker-bake.override.json"} {
		require.Equal(t, map[string]string{"target": "t"}, optionsOf(t, files.One(name)), name)
	}
}

func TestFilesThatAreFoundTwiceAreReadOnce(t *testing.T) {
	t.Parallel()
	found, err := tree("compose.yaml", "include: [x/compose.yaml]",
		"x/compose.yaml", "services: {a: {build: .}, b: {extends: c}}", "x/Dockerfile", "FROM a").Find()
	require.NoError(t, err)
	require.Equal(t, []string{
		"x/Dockerfile", `x/Dockerfile by service "a" of x/compose.yaml`,
		`x/compose.yaml:1 unknown: service "b" of x/compose.yaml: what it extends can't be read: there is ` +
			`no service "c" in x/compose.yaml`,
	}, short(found))
}

func TestHostileComposeFilesThatNameOthersEnd(t *testing.T) {
	t.Parallel()
	var chain, wide strings.Builder
	chain.WriteString("services:\n s0: {build: .}\n")
	for i := range 3000 {
		fmt.Fprintf(&chain, " s%d: {extends: s%d, build: {args: [A%d=1]}}\n", i+1, i, i)
	}
	wide.WriteString("services:\n base: {build: {args: [" + strings.Repeat("A=1,", 20_000) + "]}}\n")
	for i := range 3000 {
		fmt.Fprintf(&wide, " s%d: {extends: base, build: {args: [B=1]}}\n", i)
	}
	for _, file := range []string{chain.String(), wide.String()} {
		found := findWithin(t, "compose.yaml", file, "Dockerfile", "FROM a")
		require.True(t, slices.ContainsFunc(found.Problems, func(p Problem) bool { return p.Unknown }))
	}
}

func TestOptionsOfTheClientCountMost(t *testing.T) {
	t.Parallel()
	files := tree("docker-bake.hcl", `target "a" { args = { A = "1" } }`, "Dockerfile", "FROM a")
	files.Options = map[string]string{"build-arg:A": "2"}
	found, err := files.Find()
	require.NoError(t, err)
	require.Len(t, found.Builds, 2)
	for _, b := range found.Builds {
		require.Equal(t, "2", b.Options["build-arg:A"])
	}
}

// FuzzFindEnds holds that no file stops the others from being read: Find returns, and it returns
// the builds of the file that is always there.
func FuzzFindEnds(f *testing.F) {
	f.Add("docker-bake.hcl", `target "a" { args = { A = "${B}" } }`)
	f.Add("docker-bake.json", `{"target": {"a": {"args": {"A": "1"}}}}`)
	f.Add("compose.yaml", "services: {a: {build: {context: ., args: &a {<<: *a}}}}")
	f.Add("compose.yaml", "include: [x]\nservices: {a: {extends: a}, b: {extends: {file: x, service: a}}}")
	f.Add("docker-bake.hcl", "target \"a\" {\n name = \"${x}\"\n matrix = { x = [\"1\"] }\n}")
	f.Fuzz(func(t *testing.T, name, data string) {
		isName := fs.ValidPath(name) && !strings.Contains(name, "/") && name != "."
		if !isName || kindOf(name) == dockerfile {
			return
		}
		found, err := tree(name, data, "Dockerfile", "FROM a").Find()
		require.NoError(t, err)
		require.True(t, slices.ContainsFunc(found.Builds, func(b Build) bool {
			return b.File == "Dockerfile" && b.Origin == ""
		}))
	})
}

// A file can't make the program take more memory than a short text needs.
func TestBakeFunctionsThatMultiply(t *testing.T) {
	t.Parallel()
	for name, value := range map[string]string{
		"a wide format": `format("%2000000000s", "x")`,
		"replacements of replacements": "replace(" + strings.Repeat("replace(", 40) + `"xxxxxxxxxx"` +
			strings.Repeat(`, "x", "xxxxxxxxxx")`, 41),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			e, diags := hclsyntax.ParseExpression([]byte(value), "x", hcl.InitialPos)
			require.Empty(t, diags)
			_, diags = e.Value(&hcl.EvalContext{Functions: functions})
			require.True(t, diags.HasErrors())
		})
	}
}
