// Package integration tests the image on real buildkitd, with real buildctl,
// buildx and docker/dockerfile.
package integration

import (
	"fmt"
	"os"
	"testing"

	"github.com/policy-frontend/policy-frontend/integration/harness"
)

var env *harness.Env

func TestMain(m *testing.M) {
	os.Exit(harness.Main(m, func(e *harness.Env) { env = e }))
}

// corpPolicy allows docker/dockerfile 1, and the frontends of the tests that are not evil.
const corpPolicy = `version: 1
id: corp-ci
contact: "#build-help"
frontends:
  - name: dockerfile
    match: ["docker/dockerfile"]
    tags: ["1", "1.*"]
  - name: tests
    match: ["frontends/yamlfrontend", "frontends/echofrontend"]
`

// byBuildctl returns the arguments of buildctl for a build through the gateway with source. The
// arguments in more follow.
func byBuildctl(dir, source string, args ...string) []string {
	return append([]string{
		"build", "--progress=plain", "--frontend=gateway.v0", "--opt", "source=" + source,
		"--local", "context=" + dir, "--local", "dockerfile=" + dir,
	}, args...)
}

// byBuildx returns the arguments of buildx for a build whose frontend BUILDKIT_SYNTAX names.
func byBuildx(syntax string, args ...string) []string {
	line := []string{"build", "--progress=plain", "--build-arg", "BUILDKIT_SYNTAX=" + syntax}
	return append(append(line, args...), ".")
}

// dockerfile is a small build whose result has /out with the text "ran".
func dockerfile(syntax string) map[string]string {
	return map[string]string{
		"Dockerfile": fmt.Sprintf("# syntax=%s\nFROM busybox AS b\nRUN echo ran > /out\n"+
			"FROM scratch\nCOPY --from=b /out /\n", syntax),
	}
}

func read(t *testing.T, file string) string {
	t.Helper()
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}
