package integration

import (
	"testing"

	"github.com/moby/buildkit/client"
	"github.com/moby/buildkit/client/llb"
	"github.com/moby/buildkit/solver/pb"
	"github.com/stretchr/testify/require"

	"github.com/policy-frontend/policy-frontend/integration/harness"
)

// whoPolicy has rules for clients: who may run a frontend, read an image, push, and send LLB.
func whoPolicy() string {
	host := env.Registry.Host()
	return `version: 1
id: corp-ci
contact: "#build-help"
frontends:
  - name: ci
    match: ["docker/dockerfile"]
    clients: ["cn:ci-*", "uid:0"]
build:
  images:
    - {name: base, match: [busybox]}
    - {name: secret, match: ["` + host + `/who/**"], clients: ["cn:ci-release", "uid:0"]}
llb: {clients: ["cn:ci-release", "uid:0", "uid:1000"]}
exports:
  push:
    - {clients: ["cn:ci-release"], allow: ["` + host + `/who/prod/**"]}
    - {allow: ["` + host + `/who/dev/**"]}
`
}

// Clients over TCP are known by their certificates.
func TestGuardKnowsWhoBuildsByCertificate(t *testing.T) {
	t.Parallel()
	c := newCertificates(t)
	for _, name := range []string{"guard", "ci-release", "ci-test", "dev"} {
		c.issue(t, name)
	}
	for _, dispatch := range []string{"builtin", "mediate"} {
		t.Run(dispatch, func(t *testing.T) {
			g, address := c.guard(t, whoPolicy()+"dispatch: "+dispatch+"\n", "--image", env.Mediator(t))
			private := env.Registry.Ref("who/base:1")
			require.NoError(t, env.Registry.Tag(env.Registry.Ref("library/busybox:latest"), private))
			dir := harness.WriteContext(t, map[string]string{
				"Dockerfile": "FROM busybox\nRUN true\n", "private.Dockerfile": "FROM " + private + "\nRUN true\n",
			})
			build := func(by, file, output string) harness.Output {
				return g.Buildctl(t, append(c.flags(address, by), "build", "--progress=plain",
					"--frontend=dockerfile.v0", "--opt", "build-arg:BUILDKIT_SYNTAX=docker/dockerfile:1",
					"--local=context="+dir, "--local=dockerfile="+dir, "--opt", "filename="+file,
					"--output", output)...)
			}
			to := func(name string) string {
				return "type=image,push=true,name=" + env.Registry.Ref("who/"+name)
			}
			const local = "type=oci,dest=/dev/null"
			const file = "Dockerfile"

			// The frontend.
			build("ci-test", file, local).RequireSuccess(t)
			build("dev", file, local).RequireFailure(t,
				`rule "ci" would allow it, but only for cn:ci-* and uid:0, not for cn:dev and dns:localhost`,
				"corp-ci sha256:", "#build-help", "denied by policy")

			// An image.
			build("ci-release", "private.Dockerfile", local).RequireSuccess(t)
			build("ci-test", "private.Dockerfile", local).RequireFailure(t,
				`rule "secret" would allow it, but only for cn:ci-release and uid:0, not for cn:ci-test and `+
					"dns:localhost",
				"(build.images.rules: secret)")

			// A push.
			build("ci-release", file, to("prod/a:1")).RequireSuccess(t)
			build("ci-test", file, to("dev/a:1")).RequireSuccess(t)
			build("ci-test", file, to("prod/b:1")).RequireFailure(t,
				"who/prod/b:1, which is only for cn:ci-release, not for cn:ci-test and dns:localhost "+
					"(exports.push.clients)", "#build-help")
			_, err := env.Registry.Digest(env.Registry.Ref("who/prod/b:1"))
			require.Error(t, err)
		})
	}
}

// Clients of a Unix socket are known by their user.
func TestGuardKnowsWhoBuildsByUser(t *testing.T) {
	t.Parallel()
	g := mediatingGuard(t, whoPolicy())
	private := env.Registry.Ref("who/base:1")
	require.NoError(t, env.Registry.Tag(env.Registry.Ref("library/busybox:latest"), private))
	dir := harness.WriteContext(t, map[string]string{"Dockerfile": "FROM busybox\nRUN true\n"})
	const asked = "docker/dockerfile:1"
	by := func(uid int, opt client.SolveOpt, own *llb.State) error {
		ctx, c := asUser(t, g.Daemon, uid)
		if own != nil {
			def, err := own.Marshal(t.Context())
			require.NoError(t, err)
			_, err = c.Solve(ctx, def, opt, nil)
			return err
		}
		opt.Frontend = "dockerfile.v0"
		opt.FrontendAttrs = map[string]string{"build-arg:BUILDKIT_SYNTAX": asked}
		opt.LocalMounts = mountsOf(t, dir)
		_, err := c.Solve(ctx, nil, opt, nil)
		return err
	}
	made := func(image string) *llb.State {
		st := llb.Image(image).File(llb.Mkdir("/own", 0o755))
		return &st
	}
	runs := llb.Image("busybox").Run(llb.Shlex("true"), llb.Network(pb.NetMode_NONE)).Root()
	require.NoError(t, by(0, client.SolveOpt{}, nil))
	require.NoError(t, by(0, client.SolveOpt{}, made(private)))
	require.NoError(t, by(1000, client.SolveOpt{}, made("busybox")))
	for _, tt := range []struct {
		uid  int
		own  *llb.State
		want string
	}{
		{1000, nil, `rule "ci" would allow it, but only for cn:ci-* and uid:0, not for uid:1000 and gid:`},
		{
			1000, made(private),
			`rule "secret" would allow it, but only for cn:ci-release and uid:0, not for uid:1000 and gid:`,
		},
		{
			1234, made("busybox"),
			"the policy allows LLB only for cn:ci-release, uid:0 and uid:1000, not for uid:1234 and gid:",
		},
		{1000, &runs, "it asks for commands in LLB that no frontend made"},
	} {
		err := by(tt.uid, client.SolveOpt{}, tt.own)
		require.ErrorContains(t, err, tt.want)
		require.ErrorContains(t, err, "#build-help")
	}
}
