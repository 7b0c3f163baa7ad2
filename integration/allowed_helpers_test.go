package integration

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/policy-frontend/policy-frontend/integration/harness"
	"github.com/policy-frontend/policy-frontend/integration/harness/registry"
)

const (
	// inner is the frontend that the builds of these tests ask for.
	inner = "docker/dockerfile:1"
	// syntaxLine begins their Dockerfiles.
	syntaxLine = "# syntax=" + inner + "\n"
	// epoch is the SOURCE_DATE_EPOCH of builds that are compared.
	epoch = "1700000000"
)

// side is a daemon, and the value of BUILDKIT_SYNTAX for a build on it.
type side struct {
	*harness.Daemon
	name   string
	syntax string
}

// direct returns a daemon on which docker/dockerfile runs the same builds without the policy
// frontend.
func direct(t *testing.T) side {
	t.Helper()
	return side{Daemon: env.Plain(t), name: "direct", syntax: inner}
}

// buildx runs `buildx build` in dir with a fixed SOURCE_DATE_EPOCH and plain progress.
func (s side) buildx(t *testing.T, dir string, args ...string) harness.Output {
	t.Helper()
	c := s.BuildxCommand(dir, byBuildx(s.syntax, args...)...)
	c.Env = []string{"SOURCE_DATE_EPOCH=" + epoch}
	return s.Run(t, c)
}

// bake runs the default target of dir's bake file, which takes BUILDKIT_SYNTAX
// from the variable SYNTAX.
func (s side) bake(t *testing.T, dir string, args ...string) harness.Output {
	t.Helper()
	c := s.BuildxCommand(dir, append([]string{"bake", "--progress=plain", "--allow=fs=*"}, args...)...)
	c.Env = []string{"SOURCE_DATE_EPOCH=" + epoch, "SYNTAX=" + s.syntax}
	return s.Run(t, c)
}

// comparableOutput returns an output option whose result depends only on the build.
func comparableOutput(file string) string {
	return "type=oci,rewrite-timestamp=true,dest=" + file
}

// layoutIndex returns the index.json of an OCI layout in a tar file. It has the digests of
// everything that was built.
func layoutIndex(t *testing.T, file string) string {
	t.Helper()
	return tarEntry(t, file, "index.json")
}

// requireSameResult fails the test unless both OCI layouts hold the same images. It compares the
// digests of manifests, configs and layers.
func requireSameResult(t *testing.T, want, got string) {
	t.Helper()
	require.Equal(t, describe(t, want), describe(t, got))
	require.Equal(t, layoutIndex(t, want), layoutIndex(t, got))
}

// describe lists the content of an OCI layout, so that a difference is readable.
func describe(t *testing.T, file string) []string {
	t.Helper()
	var lines []string
	for _, i := range registry.ReadOCI(t, file) {
		config, err := json.Marshal(i.Config)
		require.NoError(t, err)
		lines = append(lines,
			fmt.Sprintf("%s manifest %s", i.Platform, i.Digest),
			fmt.Sprintf("%s config %s %s", i.Platform, i.ConfigDigest, config))
		for n, l := range i.Layers {
			lines = append(lines, fmt.Sprintf("%s layer %d %s", i.Platform, n, l))
		}
	}
	require.NotEmpty(t, lines)
	return lines
}

// withSyntax writes a build context whose Dockerfile begins with the syntax line.
func withSyntax(t *testing.T, dockerfile string, more map[string]string) string {
	t.Helper()
	files := map[string]string{"Dockerfile": syntaxLine + dockerfile}
	for name, content := range more {
		files[name] = content
	}
	return harness.WriteContext(t, files)
}

// outFile returns a path for a file that a build writes.
func outFile(t *testing.T) string {
	t.Helper()
	return filepath.Join(t.TempDir(), "out.tar")
}

// staticPrograms are the programs of testdata/allowed that [buildStatic] has built.
var staticPrograms = struct {
	mu    sync.Mutex
	files map[string]string
}{files: map[string]string{}}

// buildStatic builds a program of testdata/allowed, once, for a container. It returns its path.
func buildStatic(tb testing.TB, program string) string {
	tb.Helper()
	staticPrograms.mu.Lock()
	defer staticPrograms.mu.Unlock()
	if file, ok := staticPrograms.files[program]; ok {
		return file
	}
	dir, err := env.TempDir()
	require.NoError(tb, err)
	file := filepath.Join(dir, program)
	goBuild(tb, ".", "./testdata/allowed/"+program, file)
	staticPrograms.files[program] = file
	return file
}

// goBuild builds a package into a file, for a container. dir is in the package's module.
func goBuild(tb testing.TB, dir, pkg, file string) {
	tb.Helper()
	build := exec.Command("go", "build", "-trimpath", "-o", file, pkg)
	build.Dir = dir
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	text, err := build.CombinedOutput()
	require.NoError(tb, err, "%s", text)
}

// pushProgram builds a frontend of testdata/allowed and pushes it without labels. It returns its
// short reference.
func pushProgram(t *testing.T, program string) string {
	t.Helper()
	ref := "tests/" + program + ":1"
	require.NoError(t, env.Registry.PushFrontend(env.Registry.Ref(ref), registry.FrontendImage{
		Binaries:   map[string]string{"linux/" + runtime.GOARCH: buildStatic(t, program)},
		Entrypoint: "/" + program,
	}))
	return ref
}
