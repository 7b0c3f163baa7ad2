package main

import (
	"context"
	"os"
	"path/filepath"
	"strings"

	"github.com/moby/buildkit/client/llb"

	"github.com/policy-frontend/policy-frontend/integration/harness"
)

const guardPolicyFile = "examples/guard/base-images.yaml"

// refusedBase is a base image that no rule of the policy allows. It isn't there, and nobody looks.
const refusedBase = "example/abandoned:1"

// showGuard is the second part of the demo: plain clients, and policy-guard before the daemon.
func (d *demo) showGuard() {
	policy := d.read(filepath.Join(d.env.Tools.Root, guardPolicyFile))
	mediator := d.env.PackMediator(d)
	g := d.env.Guard(d, harness.DaemonConfig{}, policy, "--image", mediator)

	d.title("3. policy-guard before another daemon, with " + guardPolicyFile)
	d.print(policy)
	d.print("\nThe daemon permits everything. Clients use the guard's address, and no BUILDKIT_SYNTAX.\n\n" +
		"$ policy-guard --policy " + guardPolicyFile + " --listen unix:///run/policy-guard.sock \\\n" +
		"    --upstream unix:///run/buildkit/buildkitd.sock \\\n    --image " + mediator + "\n")

	d.title("4. A plain build")
	plain := harness.WriteContext(d, map[string]string{
		"Dockerfile": "FROM busybox AS build\nRUN echo '" + greeting + "' > /hello\n" +
			"FROM scratch\nCOPY --from=build /hello /\n",
	})
	d.succeeded("the plain build", plain, d.plain(g, plain))

	d.title("5. A Dockerfile whose frontend the policy does not allow")
	other := harness.WriteContext(d, map[string]string{
		"Dockerfile": "# syntax=" + refused + "\nFROM busybox\nRUN echo 'this never runs'\n",
	})
	d.stopped("the build", other, d.plain(g, other), "is refused")

	d.title("6. A Dockerfile whose base image the policy does not allow")
	base := harness.WriteContext(d, map[string]string{
		"Dockerfile": "FROM busybox AS build\nRUN echo 'this never runs'\nFROM " + refusedBase + "\n",
	})
	d.stopped("the build", base, d.plain(g, base), "the image "+refusedBase)

	d.title("7. A build graph that no frontend made: raw LLB from buildctl")
	graph, err := os.CreateTemp("", "demo")
	if err != nil {
		d.Fatalf("%v", err)
	}
	d.Cleanup(func() { graph.Close(); os.Remove(graph.Name()) })
	st := llb.Image("busybox").Run(llb.Shlex("echo past the policy")).Root()
	def, err := st.Marshal(context.Background())
	if err == nil {
		err = llb.WriteTo(def, graph)
	}
	if err != nil {
		d.Fatalf("%v", err)
	}
	for _, daemon := range []*harness.Daemon{g.Behind, g.Daemon} {
		if _, err := graph.Seek(0, 0); err != nil {
			d.Fatalf("%v", err)
		}
		c := daemon.BuildctlCommand("build", "--progress=plain")
		c.Stdin = graph
		o := daemon.Run(d, c)
		refuses := strings.Contains(o.Stderr, "LLB that no frontend made is refused")
		if daemon == g.Behind && o.ExitCode != 0 || daemon == g.Daemon && !refuses {
			d.Fatalf("only the guard should have refused raw LLB: %s", o)
		}
		where := "at the daemon itself, whom no client should reach:"
		if daemon == g.Daemon {
			where = "through policy-guard:"
		}
		d.printf("%s\n$ buildctl build <graph.llb\n%s(exit code %d)\n\n", where, o.Text(), o.ExitCode)
	}
}

// plain shows a Dockerfile, and a build of it by buildx with no other flag than its output.
func (d *demo) plain(g *harness.Guarded, dir string) harness.Output {
	d.print("$ cat Dockerfile\n" + d.read(filepath.Join(dir, "Dockerfile")) + "\n")
	o := g.Buildx(d, dir, "build", "--progress=plain", "-o", "out", ".")
	d.printf("$ docker %s\n%s(exit code %d)\n", o.Command, o.Text(), o.ExitCode)
	return o
}
