package harness

import (
	"fmt"
	"os"
	"path/filepath"
	"sync"

	"github.com/policy-frontend/policy-frontend/integration/harness/provision"
	"github.com/policy-frontend/policy-frontend/integration/harness/registry"
)

// TestFrontend is a frontend of the tests' own, see the folder frontends. Its
// value is the reference by which a build names it, which the daemons' docker.io
// mirror entry serves.
type TestFrontend string

// The frontends of the tests, and the SBOM scanner, which is packed as they are.
const (
	YAMLFrontend  TestFrontend = "frontends/yamlfrontend:1"
	EchoFrontend  TestFrontend = "frontends/echofrontend:1"
	EvilFrontend  TestFrontend = "frontends/evilfrontend:1"
	NoopForwarder TestFrontend = "frontends/noopforwarder:1"
	SBOMScanner   TestFrontend = "frontends/sbomscanner:1"
	// HostileFrontend attacks what runs it.
	HostileFrontend TestFrontend = "frontends/hostilefrontend:1"
)

// labels of the frontend's image: those of docker/dockerfile for what forwards
// to it, none for a frontend that declares no caps.
func (f TestFrontend) labels() map[string]string {
	switch f {
	case EchoFrontend, EvilFrontend:
		return map[string]string{
			"moby.buildkit.frontend.network.none": "true",
			"moby.buildkit.frontend.caps": "moby.buildkit.frontend.inputs," +
				"moby.buildkit.frontend.subrequests,moby.buildkit.frontend.contexts",
		}
	case HostileFrontend: // with a network, for what gives it one
		return map[string]string{
			"moby.buildkit.frontend.caps": "moby.buildkit.frontend.inputs," +
				"moby.buildkit.frontend.subrequests",
		}
	case NoopForwarder:
		return registry.DockerfileLabels()
	default:
		return nil
	}
}

// name is that of the frontend's folder and binary.
func (f TestFrontend) name() string {
	base := filepath.Base(string(f))
	return base[:len(base)-len(":1")]
}

// Repository is the frontend's repository in the environment's registry, as
// Registry.BlobsPulled takes it.
func (f TestFrontend) Repository() string { return string(f)[:len(f)-len(":1")] }

// testFrontends builds and pushes each frontend when it is first asked for.
type testFrontends struct {
	mu    sync.Mutex
	ready map[TestFrontend]error
}

// Frontend builds and pushes a frontend of the tests' own, once, and returns its
// short reference, such as "frontends/echofrontend:1".
func (e *Env) Frontend(t T, f TestFrontend) string {
	t.Helper()
	e.frontends.mu.Lock()
	defer e.frontends.mu.Unlock()
	err, done := e.frontends.ready[f]
	if !done {
		err = e.pushTestFrontend(f)
		e.frontends.ready[f] = err
	}
	if err != nil {
		t.Fatalf("make %s: %v", f, err)
	}
	return string(f)
}

func (e *Env) pushTestFrontend(f TestFrontend) error {
	dir := e.Tools.State("frontends")
	unlock, err := provision.Lock(dir+".lock", func() {
		e.progress.Say("another process builds the tests' frontends, waiting for it")
	})
	if err != nil {
		return err
	}
	defer unlock()
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	binary := filepath.Join(dir, f.name())
	pkg := "github.com/policy-frontend/policy-frontend/integration/frontends/" + f.name()
	build := provision.Build{Out: binary, Package: pkg}
	if err := provision.GoBuild(filepath.Join(e.Tools.Root, "integration"), build); err != nil {
		return err
	}
	err = e.Registry.PushFrontend(e.Registry.Ref(string(f)), registry.FrontendImage{
		Binaries:   map[string]string{registry.HostPlatform(): binary},
		Entrypoint: "/" + f.name(),
		Labels:     f.labels(),
	})
	if err != nil {
		return fmt.Errorf("push %s: %w", f, err)
	}
	return nil
}
