// Command demo shows what the policy frontend does, on a real BuildKit. It makes the
// product's image with a policy of the examples inside, starts a buildkitd that permits no
// other frontend, and runs one build that the policy allows and one that it refuses. Then it
// does the same with policy-guard before a buildkitd that permits everything, and shows that
// policy-guard also refuses a base image and raw LLB. It needs root, cleans up after itself, and
// exits with 0 only if everything went so.
package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/policy-frontend/policy-frontend/integration/harness"
	"github.com/policy-frontend/policy-frontend/integration/harness/provision"
)

const (
	policyFile = "examples/dockerfile-only/policy.yaml"
	// refused is a frontend that no rule of the policy allows.
	refused = "docker/dockerfile-upstream:master"
	// greeting is the text that the allowed build writes.
	greeting = "built by an allowed frontend"
)

func main() {
	os.Exit(run())
}

func run() int {
	fmt.Fprintln(os.Stderr, "demo: the first run compiles BuildKit and buildx, which takes minutes")
	env, err := harness.NewEnv(os.Stderr,
		provision.Product, provision.Buildkitd, provision.Buildctl, provision.DockerfileFrontend,
		provision.Buildx)
	if err != nil {
		fmt.Fprintln(os.Stderr, "demo:", err)
		return 1
	}
	d := &demo{env.Script("demo"), env}
	ok := d.Do(func() {
		d.show()
		d.showGuard()
	})
	if err := env.Close(); err != nil {
		fmt.Fprintln(os.Stderr, "demo: clean up:", err)
		ok = false
	}
	if !ok {
		return 1
	}
	d.title("Built what the policy allows and refused what it does not. Everything is cleaned up.")
	return 0
}

// show is the demo itself.
func (d *demo) show() {
	us := d.env.PackWithPolicy(d, policyFile)
	daemon := d.env.SolePermitted(d)

	d.title("The policy inside the image, " + policyFile)
	d.print(d.read(filepath.Join(d.env.Tools.Root, policyFile)))

	d.title("The daemon: every build has to go through the policy frontend")
	d.print(fmt.Sprintf(`[frontend."dockerfile.v0"]
  enabled = false
[frontend."gateway.v0"]
  allowedRepositories = [%q]
`, d.env.Repository()))

	d.title("1. A Dockerfile whose frontend the policy allows")
	allowed := harness.WriteContext(d, map[string]string{
		"Dockerfile": "# syntax=docker/dockerfile:1\nFROM busybox AS build\nRUN echo '" + greeting +
			"' > /hello\n" +
			"FROM scratch\nCOPY --from=build /hello /\n",
	})
	d.succeeded("the first build", allowed, d.build(daemon, allowed, us))

	d.title("2. A Dockerfile whose frontend the policy does not allow")
	other := harness.WriteContext(d, map[string]string{
		"Dockerfile": "# syntax=" + refused + "\nFROM busybox\nRUN echo 'this never runs'\n",
	})
	d.stopped("the second build", other, d.build(daemon, other, us), refused)
}

// succeeded demands that a build in a folder made the greeting, and shows it.
func (d *demo) succeeded(what, dir string, o harness.Output) {
	if o.ExitCode != 0 {
		d.Fatalf("%s should have succeeded", what)
	}
	result := d.read(filepath.Join(dir, "out", "hello"))
	if result != greeting+"\n" {
		d.Fatalf("%s made %q instead of %q", what, result, greeting)
	}
	d.print("$ cat out/hello\n" + result)
}

// stopped demands that a build in a folder was refused with a message, and made nothing.
func (d *demo) stopped(what, dir string, o harness.Output, message string) {
	if o.ExitCode == 0 || !strings.Contains(o.Stderr, message) {
		d.Fatalf("%s should have been refused with a message that has %q", what, message)
	}
	if _, err := os.Stat(filepath.Join(dir, "out")); !os.IsNotExist(err) {
		d.Fatalf("the refused build should have exported nothing")
	}
}

// build shows a Dockerfile, and a build of it with the output that a person sees.
func (d *demo) build(daemon *harness.Daemon, dir, us string) harness.Output {
	d.print("$ cat Dockerfile\n" + d.read(filepath.Join(dir, "Dockerfile")) + "\n")
	o := daemon.Buildx(d, dir, "build", "--progress=plain", "--build-arg", "BUILDKIT_SYNTAX="+us,
		"-o", "out", ".")
	d.print(fmt.Sprintf("$ docker %s\n%s(exit code %d)\n", o.Command, o.Text(), o.ExitCode))
	return o
}
