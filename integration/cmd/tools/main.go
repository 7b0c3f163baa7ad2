// Command tools prepares the real programs that the end-to-end tests and the
// demo run (buildkitd, buildctl, buildx, docker/dockerfile's frontend, runc and
// a static busybox) and prints where they are.
package main

import (
	"fmt"
	"os"

	"github.com/policy-frontend/policy-frontend/integration/harness/provision"
)

func main() {
	t, err := provision.Prepare(provision.NewProgress(os.Stderr), provision.TestPrograms()...)
	if err != nil {
		fmt.Fprintln(os.Stderr, "error:", err)
		os.Exit(1)
	}
	fmt.Printf("BuildKit %s, buildx %s\n", t.BuildKitVersion, t.BuildxVersion)
	for _, p := range []string{
		t.Buildkitd, t.Buildctl, t.Buildx, t.DockerfileFrontend, t.RunC, t.Busybox,
	} {
		fmt.Println(p)
	}
}
