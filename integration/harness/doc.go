// Package harness runs the real thing for the end-to-end tests and the demo:
// buildkitd, buildctl, buildx, docker/dockerfile's frontend and a registry.
// Nothing is mocked.
//
// A test package makes one environment:
//
//	var env *harness.Env
//
//	func TestMain(m *testing.M) { os.Exit(harness.Main(m, func(e *harness.Env) { env = e })) }
//
// and a test starts a daemon of the configuration that it is about, runs
// clients against it and looks at what they said:
//
//	d := env.StartDaemon(t, harness.DaemonConfig{DockerfileOff: true})
//	dir := harness.WriteContext(t, map[string]string{"Dockerfile": "FROM busybox\nRUN true\n"})
//	d.Buildx(t, dir, "build", "--build-arg", "BUILDKIT_SYNTAX=docker/dockerfile:1", ".").RequireSuccess(t)
//
// Short names such as busybox and docker/dockerfile:1 come from the
// environment's registry, which every daemon uses as its mirror of docker.io.
// Everything is stopped and removed when the test ends, also when it fails or
// the process is interrupted.
package harness
