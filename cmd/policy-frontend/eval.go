package main

import (
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/policy-frontend/policy-frontend/internal/opcheck"
	"github.com/policy-frontend/policy-frontend/policy"
)

func newEvalCommand() *cobra.Command {
	var f askFlags
	out := newOutput("the decision", asText(evaluated.text), asJSON(evaluated.json))
	cmd := &cobra.Command{
		Use:   "eval [flags] [REF...]",
		Short: "Decide whether a frontend may run and what it may build, without a build",
		Long: `eval decides whether the frontend REF may run. It needs no network and no build. With
several references, it answers each. For the reference -, it reads references from stdin,
one on each line.

A build of the same client with the same options at the same time gets the same answer,
with three exceptions:

  - eval knows the digest of a tag only from --digest. It takes a tag next to a digest on
    trust and says so. A build looks up the tag if the decision depends on it.
  - eval doesn't know the name of the policy frontend's own image. It treats a REF with
    this name like any other.
  - eval doesn't check named contexts that override this image.

The reference dockerfile.v0 stands for the policy's defaultFrontend, or else for
docker/dockerfile:1, as it does in a build.

With --build or --llb, eval also checks operations that the frontend would ask for. The
file of --build lists them, and eval answers each by its number:

  - image: busybox:1
  - git: {url: "https://git.example/a", ref: main}
  - http: {url: "https://files.example/a", checksum: "sha256:..."}
  - exec: {network: host, secrets: [npm]}
  - download: "https://deb.example/a"
  - frontend: docker/dockerfile:1
  - config: {user: app, labels: {a: b}}

Other kinds of operations are local, ociLayout, blob and container. A download is what a
command requests while it runs; in a build, only policy-guard judges that. The file of
--llb has LLB, which a frontend makes from a build file. eval checks each operation in it
and names the line of the build file that it comes from.

With --export, --cache-from, --cache-to or --sbom, eval also answers where a result may
go, which build caches a build may use, and which image may make its SBOM. With --debug,
it answers whether the client may run containers of its own. With --administration, it
answers whether the client may see the disk usage of the builder, or prune it. With
--own-llb, eval decides on LLB that a client sends by itself, instead of asking for a
frontend REF. Then --build and --llb have what is in that LLB. Only policy-guard judges
all this.

With --format json, eval prints the object that a build leaves in its result's metadata
under frontend.policy.decision. The answers to operations, results and caches are under
its key build. Each reference has a line of its own.

Where a policy has rules for some clients, --client says who builds. Without it, the
client is unknown: what is allowed only to some isn't allowed, and what is denied to some
is denied.

Instead of a file, - is stdin.

Exit codes:
  0  allowed, perhaps with warnings
  1  the frontend, the LLB, an operation or something else that was asked for is denied
  2  wrong usage or an invalid policy
  3  undecidable, because the decision needs the image's digest`,
		Example: `  policy-frontend eval --policy policy.yaml docker/dockerfile:1
  policy-frontend eval -p policy.yaml --format json - < references.txt
  policy-frontend eval --policy policy.yaml --overlay team.yaml --format json docker/dockerfile:1.7
  policy-frontend eval --policy policy.yaml --opt build-arg:HTTP_PROXY=http://proxy --input base docker/dockerfile:1
  policy-frontend eval --policy policy.yaml --build operations.yaml docker/dockerfile:1
  policy-frontend eval --policy policy.yaml --llb build.llb --format json docker/dockerfile:1
  policy-frontend eval --policy policy.yaml --export push=corp.example/app:1 docker/dockerfile:1
  policy-frontend eval --policy policy.yaml --own-llb --llb build.llb
  policy-frontend eval --policy policy.yaml --client uid:1000 --client gid:1000 docker/dockerfile:1
  policy-frontend eval --policy policy.yaml --client cn:release-1 --administration pruning docker/dockerfile:1
  policy-frontend eval --policy policy.yaml --at 2027-03-01 docker/dockerfile:1
  policy-frontend eval --policy policy.yaml --opt build-arg:POLICY_FRONTEND_POLICY="$(cat team.yaml)" docker/dockerfile:1`,
		Args: f.args,
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := out.check(); err != nil {
				return err
			}
			f.tell(cmd, cmd.ErrOrStderr())
			q, err := f.read(args)
			if err != nil {
				return err
			}
			codes := make([]int, len(q.requests))
			for i, request := range q.requests {
				d := f.decide(q.layers, request)
				answers, err := q.answers(opcheck.Check, request, d)
				if err != nil {
					return err
				}
				if err := out.print(cmd.OutOrStdout(), evaluated{d, answers, f.asked()}); err != nil {
					return err
				}
				codes[i] = verdictCode(worst(d.Verdict, answers))
			}
			return exitWith(worstCode(codes))
		},
	}
	f.add(cmd)
	out.add(cmd)
	return cmd
}

// decide returns the decision on a request, or on LLB of the client's own.
func (f *askFlags) decide(l policy.Layers, r policy.Request) policy.Decision {
	if f.ownLLB {
		return l.LLB(r.Time)
	}
	return policy.Decide(l, r)
}

// evaluated is the result of eval.
type evaluated struct {
	decision policy.Decision
	answers  []opcheck.Answer
	asked    bool // whether there were operations to check
}

// json returns the decision. It has the answers only if there were operations.
func (e evaluated) json() any {
	if !e.asked {
		return e.decision
	}
	return struct {
		policy.Decision
		Build []opcheck.Answer `json:"build"`
	}{e.decision, e.answers}
}

func (e evaluated) text() string {
	return e.decision.Text("") + "\n" + answersText(e.answers)
}

// printLine writes a labelled line for a person, unless the text is empty. The format is that
// of [policy.Decision.Text].
func printLine(b *strings.Builder, label, text string) {
	if text != "" {
		indent := "\n" + strings.Repeat(" ", 16)
		fmt.Fprintf(b, "  %-13s %s\n", label+":",
			strings.ReplaceAll(strings.TrimSpace(text), "\n", indent))
	}
}
