// Package harness runs real programs for the end-to-end tests and the demo: buildkitd,
// buildctl, buildx, docker/dockerfile's frontend and a registry. Nothing is mocked. It needs
// root, Go, git and the programs that provision.Prepare builds and installs.
//
// # Overview
//
// A test package makes one environment:
//
//	var env *harness.Env
//
//	func TestMain(m *testing.M) { os.Exit(harness.Main(m, func(e *harness.Env) { env = e })) }
//
// A test starts a daemon of the configuration that it tests, runs clients against it and
// looks at their output:
//
//	us := env.WithPolicy(t, policy)
//	d := env.SolePermitted(t)
//	dir := harness.WriteContext(t, map[string]string{"Dockerfile": "FROM busybox\nRUN true\n"})
//	syntax := "BUILDKIT_SYNTAX=" + us + " docker/dockerfile:1"
//	d.Buildx(t, dir, "build", "--build-arg", syntax, ".").RequireSuccess(t)
//
// Short names such as busybox and docker/dockerfile:1 come from the environment's registry,
// which is every daemon's mirror of docker.io. When a test ends, fails or is interrupted,
// everything is stopped and removed. The next process removes what a killed one left.
//
//   - Daemons: [Env.SolePermitted], [Env.DockerfileOn], [Env.Plain], and [Env.StartDaemon]
//     with a [DaemonConfig]. [Env.StartEngine] starts a Docker Engine.
//   - Clients: [Daemon.Buildctl] and [Daemon.Buildx] return an [Output]. [Daemon.Run] and
//     [Daemon.Start] take a [Command], which may have stdin, a terminal or a timeout.
//   - Images: [Env.Image] is the product without a policy, [Env.WithPolicy] adds one as a
//     layer, [Env.BakeWithPolicy] and [Env.PackWithPolicy] build it in. [Env.Frontend] makes
//     a frontend of the tests. Package registry has the rest.
//   - Build contexts: [WriteContext], [TarContext], [ServeFiles], [GitServer].
//   - Conditions: [Poll] waits for one. [Env.Needs], [Env.NeedsCurrent], [Env.NeedsRoot],
//     [Env.NeedsRootless] and [Env.NeedsOwnDaemon] skip a test on daemons that it isn't made for.
//
// # Environment variables
//
//	PF_BUILDKITD      the buildkitd to build and start: a version that tools/compat has, such
//	                  as v0.20, or current (default), or rootless
//	PF_BUILDKIT_HOST  the address of a buildkitd that runs already (default: none, the tests
//	                  start daemons); needs PF_REGISTRY_PORT, excludes PF_BUILDKITD
//	PF_REGISTRY_PORT  the port of the tests' registry on 127.0.0.1 (default: a free one)
//	PF_AGAINST        the path of a policy-frontend program that BenchmarkAgainst compares with
//	PF_ENGINE         not empty: also run the tests on a Docker Engine
//	PF_COSIGN         not empty: also run the tests with cosign
//	PF_BAKE           not empty: also bake another platform, and tests
//
// # A daemon that runs already
//
// To run a test against your own buildkitd, choose a port for the tests' registry and
// give the daemon this configuration, here for port 5000:
//
//	[frontend."dockerfile.v0"]
//	  enabled = false
//	[frontend."gateway.v0"]
//	  allowedRepositories = ["localhost:5000/policy-frontend"]
//	[registry."docker.io"]
//	  mirrors = ["localhost:5000"]
//	[registry."localhost:5000"]
//	  http = true
//
// The daemon must share the network of the tests: localhost has to be the same. Then:
//
//	PF_BUILDKIT_HOST=unix:///run/buildkit/buildkitd.sock PF_REGISTRY_PORT=5000 \
//	    go -C integration test . -count=1 -run TestRefusedBuilds
//
// The harness tries a few builds to find out how the daemon is configured. A test that needs
// dockerfile.v0, other repositories, entitlements or anything else is skipped and says what
// it needs. The product's image isn't baked but packed, so neither the tests nor the harness
// need root.
package harness
