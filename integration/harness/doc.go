// Package harness runs the real thing for the end-to-end tests and the demo:
// buildkitd, buildctl, buildx, docker/dockerfile's frontend and a registry.
// Nothing is mocked. It needs root, Go, git and the programs that provision.Prepare installs.
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
//	us := env.WithPolicy(t, policy)
//	d := env.SolePermitted(t)
//	dir := harness.WriteContext(t, map[string]string{"Dockerfile": "FROM busybox\nRUN true\n"})
//	d.Buildx(t, dir, "build", "--build-arg", "BUILDKIT_SYNTAX="+us+" docker/dockerfile:1", ".").RequireSuccess(t)
//
// Short names such as busybox and docker/dockerfile:1 come from the
// environment's registry, which every daemon uses as its mirror of docker.io.
// Everything is stopped and removed when the test ends, also when it fails or
// the process is interrupted; what a killed process leaves is removed by the
// next one.
//
// Daemons: Env.SolePermitted, Env.DockerfileOn, Env.Plain, or Env.StartDaemon
// with a DaemonConfig. Daemon.Log, LogTail, Containers, Stop.
//
// Clients: Daemon.Buildctl and Buildx return an Output; Daemon.Run and Start take
// a Command, with stdin, environment, a terminal or a timeout, which
// Daemon.BuildctlCommand and BuildxCommand prepare. Start returns a Process that
// can be interrupted.
//
// Images: Env.Image (the product, without a policy), Env.WithPolicy (a layer with
// one more), Env.BakeWithPolicy (baked in); Env.Frontend for the frontends of the
// tests' own; Registry.PushFrontend, AppendFile, Tag, Digest, ReadImage. What was
// asked of the registry: Registry.Requests, BlobsPulled.
//
// In and out of builds: WriteContext, TarContext, ServeFiles, GitServer; ReadOCI,
// OCIImage.File, OCIImage.Statements, ReadMetadata. Poll waits for a condition.
package harness
