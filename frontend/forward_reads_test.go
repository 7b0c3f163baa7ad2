package frontend

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// TestDockerfileFrontendReadsNothingNewBeforeItReturns holds a promise of the threat model: apart
// from the known places, docker/dockerfile reads no content of sources before it returns its
// result, so forward can check that result in time. A new BuildKit that adds a place fails the
// test. Find out then what it reads, and whether policy.Decide has to keep forwarded frontends from
// it.
func TestDockerfileFrontendReadsNothingNewBeforeItReturns(t *testing.T) {
	t.Parallel()
	out, err := exec.CommandContext(t.Context(), "go", "list", "-m", "-f", "{{.Dir}}",
		"github.com/moby/buildkit").Output()
	require.NoError(t, err)
	root := filepath.Join(strings.TrimSpace(string(out)), "frontend")

	var found []string
	add := func(path string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() || !strings.HasSuffix(path, ".go") ||
			strings.HasSuffix(path, "_test.go") {
			return err
		}
		name, err := filepath.Rel(root, path)
		require.NoError(t, err)
		found = append(found, readsIn(t, name, path)...)
		return nil
	}
	for _, dir := range []string{
		"dockerfile/dockerfile2llb", "dockerfile/builder", "dockerui", "attestations",
	} {
		require.NoError(t, filepath.WalkDir(filepath.Join(root, dir), add))
	}
	require.ElementsMatch(t, []string{
		// The result itself, checks of the build file, and frontends that it forwards to.
		"dockerfile/builder/build.go: Build: Solve",
		"dockerfile/builder/build.go: Build: Solve",
		"dockerfile/builder/build.go: forwardGateway: Solve",
		// A date that names a stage or a context. policy.Decide refuses it.
		"dockerfile/dockerfile2llb/epoch.go: archiveMaxTimeFromRef: ReadFile",
		"dockerfile/dockerfile2llb/epoch.go: resolveSourceDateEpochFromState: ResolveSourceMetadata",
		"dockerfile/dockerfile2llb/epoch.go: resolveSourceDateEpochFromState: Solve",
		// The build file and its .dockerignore, and those of a named context from the client.
		"dockerui/config.go: ReadEntrypoint: Solve",
		"dockerui/config.go: dockerIgnorePatterns: Solve",
		"dockerui/namedcontext.go: load: Solve",
		"dockerui/readfile.go: ReadFile: ReadFile",
		"dockerui/readfile.go: ReadFile: StatFile",
		// A main context that is an archive.
		"dockerui/context.go: initContext: ReadFile",
		"dockerui/context.go: initContext: Solve",
		// For callers of dockerui that ask for the date of the main context.
		"dockerui/context.go: ResolveMainContextSourceDateEpoch: ResolveSourceMetadata",
	}, found)
}

// readsIn returns the calls in a file that read sources or run something, each with the function
// that makes it.
func readsIn(t *testing.T, name, path string) []string {
	t.Helper()
	reads := []string{
		"Evaluate", "NewContainer", "ReadDir", "ReadFile", "ResolveSourceMetadata", "Solve", "StatFile",
	}
	file, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.SkipObjectResolution)
	require.NoError(t, err)
	var found []string
	for _, decl := range file.Decls {
		f, ok := decl.(*ast.FuncDecl)
		if !ok {
			continue
		}
		ast.Inspect(f, func(n ast.Node) bool {
			call, ok := n.(*ast.CallExpr)
			if !ok {
				return true
			}
			if s, ok := call.Fun.(*ast.SelectorExpr); ok && slices.Contains(reads, s.Sel.Name) {
				found = append(found, name+": "+f.Name.Name+": "+s.Sel.Name)
			}
			return true
		})
	}
	return found
}
