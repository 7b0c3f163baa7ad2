package opcheck_test

import (
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/policy-frontend/policy-frontend/internal/opcheck"
	"github.com/policy-frontend/policy-frontend/internal/strictyaml"
	"github.com/policy-frontend/policy-frontend/policy"
	"github.com/policy-frontend/policy-frontend/policy/buildrules"
	"github.com/policy-frontend/policy-frontend/policy/imageref"
)

const (
	digestA = "sha256:aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"

	judged = `version: 1
id: corp
contact: "#help"
dispatch: mediate
frontends:
- name: dockerfile
  match: [docker/dockerfile]
  tags: ["1"]
  message: see the wiki
  build:
    images: {allow: ["mirror.example/**"], convert: [{from: "docker.io/library/**", to: "mirror.example/hub/**"}]}
    frontends: {allow: [docker/dockerfile, docker/pinned, docker/other, docker/warned]}
- {name: pinned, match: [docker/pinned], digests: ["` + digestA + `"]}
- {name: warned, match: [docker/warned], warnAfter: 2020-01-01}
- {name: narrow, match: [docker/narrow], build: {frontends: {allow: [docker/other]}}}
- {name: forwarded, match: [docker/forwarded], dispatch: forward}
`
)

func TestCheck(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name, request string
		operation     buildrules.Operation
		want          opcheck.Answer
	}{
		{
			"an allowed image, which is read from elsewhere", "docker/dockerfile:1",
			buildrules.Operation{Image: "busybox"},
			opcheck.Answer{
				Verdict: policy.Allow, Asked: "the image busybox",
				Image: "mirror.example/hub/busybox:latest",
			},
		},
		{
			"a refused image", "docker/dockerfile:1",
			buildrules.Operation{Image: "quay.io/x"},
			opcheck.Answer{
				Verdict: policy.Deny, Asked: "the image quay.io/x", Rule: "dockerfile", Layer: "policy",
				Messages: []string{"see the wiki"},
				Reason:   `rule "dockerfile" refuses the image quay.io/x:latest: it allows only mirror.example/** (build.images.allow)`,
				Allowed:  []string{"mirror.example/**"}, Contact: "#help",
			},
		},
		{
			"a nested frontend", "docker/dockerfile:1",
			buildrules.Operation{Frontend: "docker/dockerfile:1"},
			opcheck.Answer{
				Verdict: policy.Allow, Asked: "the frontend docker/dockerfile:1",
			},
		},
		{
			"a nested dockerfile.v0, which stands for docker/dockerfile:1", "docker/dockerfile:1",
			buildrules.Operation{Frontend: "dockerfile.v0"},
			opcheck.Answer{Verdict: policy.Allow, Asked: "the frontend dockerfile.v0"},
		},
		{
			"a nested dockerfile.v0 that the rules on builds refuse", "docker/narrow",
			buildrules.Operation{Frontend: "dockerfile.v0"},
			opcheck.Answer{
				Verdict: policy.Deny, Asked: "the frontend dockerfile.v0", Rule: "narrow", Layer: "policy",
				Reason: `rule "narrow" refuses the frontend docker/dockerfile:1: it allows only ` +
					"docker/other (build.frontends.allow)",
				Messages: []string{
					"dockerfile.v0 is the daemon's own Dockerfile frontend, and stands for " +
						"docker/dockerfile:1 here: name another one by a # syntax line in that Dockerfile, " +
						"or have a rule allow this one",
				},
				Allowed: []string{"docker/other"}, Contact: "#help",
			},
		},
		{
			"a nested frontend that the rules on builds refuse", "docker/dockerfile:1",
			buildrules.Operation{Frontend: "quay.io/x"},
			opcheck.Answer{
				Verdict: policy.Deny, Asked: "the frontend quay.io/x", Rule: "dockerfile", Layer: "policy",
				Messages: []string{"see the wiki"},
				Reason:   `rule "dockerfile" refuses the frontend quay.io/x:latest: it allows only docker/dockerfile, docker/pinned, docker/other and others (build.frontends.allow)`,
				Allowed:  []string{"docker/dockerfile", "docker/pinned", "docker/other", "docker/warned"},
				Contact:  "#help",
			},
		},
		{
			"a nested frontend that no rule allows to run", "docker/dockerfile:1",
			buildrules.Operation{Frontend: "docker/other"},
			opcheck.Answer{
				Verdict: policy.Deny, Asked: "the frontend docker/other", Rule: "default", Layer: "policy",
				Reason: "no rule allows docker/other:latest",
				Allowed: []string{
					"docker/pinned@" + digestA, "docker/warned", "docker/narrow", "docker/dockerfile:1",
					"docker/forwarded",
				},
				Contact: "#help",
			},
		},
		{
			"a nested frontend that depends on its digest", "docker/dockerfile:1",
			buildrules.Operation{Frontend: "docker/pinned"},
			opcheck.Answer{
				Verdict: policy.Undecidable, Asked: "the frontend docker/pinned",
				Rule: "pinned", Layer: "policy", Contact: "#help",
				Reason: `rule "pinned" allows only the digest ` + digestA +
					`, and the digest of docker/pinned:latest is not known`,
			},
		},
		{
			"a nested frontend that warns", "docker/dockerfile:1",
			buildrules.Operation{Frontend: "docker/warned"},
			opcheck.Answer{
				Verdict: policy.Warn, Asked: "the frontend docker/warned", Rule: "warned", Layer: "policy",
				Contact: "#help",
				Reason:  `rule "warned" warns since 2020-01-01`,
			},
		},
		{
			"a container, which is refused where nothing is said of it", "docker/dockerfile:1",
			buildrules.Operation{Container: &buildrules.Exec{}},
			opcheck.Answer{
				Verdict: policy.Deny, Asked: "a container of the frontend's", Rule: "build", Layer: "policy",
				Messages: []string{"see the wiki"},
				Reason:   "the policy refuses a container that the frontend starts (build.containers)",
				Contact:  "#help",
			},
		},
		{
			"a container that a build with forward doesn't see", "docker/forwarded",
			buildrules.Operation{Container: &buildrules.Exec{}},
			opcheck.Answer{
				Verdict: policy.Deny, Asked: "a container of the frontend's", Rule: "build", Layer: "policy",
				Reason:   "the policy refuses a container that the frontend starts (build.containers)",
				Contact:  "#help",
				Messages: []string{"with dispatch: forward, a build doesn't see this operation, so it allows it"},
			},
		},
		{
			"a frontend that is refused", "docker/dockerfile:2",
			buildrules.Operation{Image: "mirror.example/a"},
			opcheck.Answer{
				Verdict: policy.Deny, Asked: "the image mirror.example/a", Rule: "invariant", Layer: "policy",
				Contact: "#help",
				Reason:  "it asks for something, and nothing is allowed to a frontend that is refused",
			},
		},
		{
			"a frontend that depends on its digest", "docker/pinned",
			buildrules.Operation{Image: "mirror.example/a"},
			opcheck.Answer{
				Verdict: policy.Undecidable, Asked: "the image mirror.example/a",
				Reason: "whether the frontend may run depends on its digest",
			},
		},
	}
	p, err := policy.Parse("p", []byte(judged))
	require.NoError(t, err)
	layers, err := policy.Stack(p, nil)
	require.NoError(t, err)
	at := time.Date(2027, 1, 1, 0, 0, 0, 0, time.UTC)
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			ref, err := imageref.Parse(tt.request)
			require.NoError(t, err)
			d := policy.Decide(layers, policy.Request{Requested: tt.request, Reference: ref, Time: at})
			if tt.want.Messages == nil {
				tt.want.Messages = []string{}
			}
			require.Equal(t, tt.want, opcheck.Check(layers, policy.Request{Time: at}, d, tt.operation))
		})
	}
}

// As in a build, a configuration is of the target that the frontend gets.
func TestAConfigurationIsOfTheRequestsTarget(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name, options, requested, written string
		want                              policy.Verdict
	}{
		{"the request's target", "", "base", "", policy.Allow},
		{"the operation's own target", "", "base", "app", policy.Deny},
		{"no target", "", "", "", policy.Deny},
		{"a target that the policy sets", ", options: {force: {target: base}}", "", "", policy.Allow},
		{"a target that the policy removes", ", options: {strip: [target]}", "base", "", policy.Deny},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			p, err := policy.Parse("p", []byte("version: 1\nbuild: {config: {exceptTargets: [base], "+
				"user: {forbid: [root]}}}\nfrontends: [{match: [a]"+tt.options+"}]\n"))
			require.NoError(t, err)
			layers, err := policy.Stack(p, nil)
			require.NoError(t, err)
			ref, err := imageref.Parse("a")
			require.NoError(t, err)
			r := policy.Request{Requested: "a", Reference: ref}
			if tt.requested != "" {
				r.Options = map[string]string{"target": tt.requested}
			}
			op := buildrules.Operation{Config: &buildrules.Config{Target: tt.written}}
			answer := opcheck.Explain(layers, r, policy.Decide(layers, r), op)
			require.Equal(t, tt.want, answer.Verdict, answer.Reason)
			step := map[policy.Verdict]policy.Result{
				policy.Allow: policy.Missed, policy.Deny: policy.Matched,
			}
			require.Equal(t, step[tt.want], answer.Steps[0].Result)
			require.Equal(t, tt.written, op.Config.Target, "the operation stays as it is")
		})
	}
}

func TestParse(t *testing.T) {
	t.Parallel()
	operations, err := opcheck.Parse("f", []byte("- image: busybox\n- exec: {}\n- config: {user: app}\n"))
	require.NoError(t, err)
	require.Equal(t, []opcheck.Written{
		{Operation: buildrules.Operation{Image: "busybox"}, Line: 1},
		{Operation: buildrules.Operation{Exec: &buildrules.Exec{}}, Line: 2},
		{Operation: buildrules.Operation{Config: &buildrules.Config{User: "app"}}, Line: 3},
	}, operations)

	operations, err = opcheck.Parse("f", []byte(
		"- config: {user: \"\", labels: {a: \"\"}, env: [\"X=PASSWORD\"]}\n- exec: {secrets: [\"\"]}\n"))
	require.NoError(t, err)
	config := buildrules.Config{Labels: map[string]string{"a": ""}, Env: []string{"X=PASSWORD"}}
	require.Equal(t, []opcheck.Written{
		{Operation: buildrules.Operation{Config: &config}, Line: 1},
		{Operation: buildrules.Operation{Exec: &buildrules.Exec{Secrets: []string{""}}}, Line: 2},
	}, operations, "what an image can have can be written")

	tests := []struct{ name, doc, want string }{
		{"no operations", "[]", "f:1:1: there are no operations"},
		{"no list", "image: busybox", "f:1:1: the document must be a list"},
		{"an empty operation", "- {}\n", "f:1:3: the entry is empty"},
		{
			"two operations in one", "- image: a\n- {image: b, local: c}\n",
			"f:2:3: the entry has several operations",
		},
		{"an unknown kind", "- imgae: b\n", `f:1:3: unknown field "imgae"; did you mean "image"?`},
		{"a repository without its URL", "- git: {ref: main}\n", "f:1:3: the url is missing"},
		{"a download without its URL", "- http: {}\n", "f:1:3: the url is missing"},
		{
			"no image at all", "- image: a\n- image: scratch\n",
			"f:2:3: scratch is no image: FROM scratch reads nothing, so no rule is asked; remove the entry",
		},
		{"too much", "- image: " + strings.Repeat("x", opcheck.MaxSize), "more than 4194304"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			_, err := opcheck.Parse("f", []byte(tt.doc))
			var broken *strictyaml.Error
			require.ErrorAs(t, err, &broken)
			require.Contains(t, err.Error(), tt.want)
		})
	}
}
