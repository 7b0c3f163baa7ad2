package harness

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/Masterminds/semver/v3"

	"github.com/policy-frontend/policy-frontend/integration/harness/provision"
)

const (
	// BuildkitHostVariable is the environment variable with the address of a buildkitd
	// that runs already. Tests use it instead of starting one, see the package comment.
	BuildkitHostVariable = "PF_BUILDKIT_HOST"
	// RegistryPortVariable is the environment variable with the port of the registry. By
	// default it is a free one, which no configuration can name beforehand.
	RegistryPortVariable = "PF_REGISTRY_PORT"
)

// existing is a daemon that runs already. Its configuration can't be asked for, so it is
// found out by builds.
type existing struct {
	addr, version string
	// dockerfileOff says that dockerfile.v0 is disabled.
	dockerfileOff bool
	// restricted says that gateway.v0 refuses repositories other than the product's.
	restricted bool
}

// notAllowed is the error of BuildKit for a repository that isn't in allowedRepositories
// (frontend/gateway/gateway.go, Solve).
const notAllowed = "is not an allowed gateway source"

func registryPort() (int, error) {
	value := os.Getenv(RegistryPortVariable)
	if value == "" {
		return 0, nil
	}
	port, err := strconv.ParseUint(value, 10, 16)
	if err != nil || port == 0 {
		return 0, fmt.Errorf("%s=%s: it must be a port", RegistryPortVariable, value)
	}
	return int(port), nil
}

// checkVariables refuses combinations that can't work, before anything is built.
func checkVariables() error {
	if os.Getenv(BuildkitHostVariable) == "" {
		return nil
	}
	if os.Getenv(provision.BuildkitdVariable) != "" {
		return fmt.Errorf("%s and %s exclude each other: the daemon runs already, or it is started",
			BuildkitHostVariable, provision.BuildkitdVariable)
	}
	if os.Getenv(RegistryPortVariable) == "" {
		return fmt.Errorf("%s needs %s: the configuration of a daemon that runs already names "+
			"the tests' registry with its port", BuildkitHostVariable, RegistryPortVariable)
	}
	return nil
}

// probe finds out how the daemon at addr is configured.
func (e *Env) probe(addr string) (*existing, error) {
	x, err := e.tryFrontends(addr)
	if err != nil {
		return nil, fmt.Errorf("%s=%s: %w", BuildkitHostVariable, addr, err)
	}
	return x, nil
}

func (e *Env) tryFrontends(addr string) (*existing, error) {
	info, err := e.buildctl(addr, "debug", "info")
	if err != nil {
		return nil, err
	}
	if info.ExitCode != 0 {
		return nil, fmt.Errorf("the daemon does not answer:\n%s", info)
	}
	x := &existing{addr: addr}
	version := regexp.MustCompile(`(?m)^BuildKit:\s+\S+\s+(\S+)`)
	if m := version.FindStringSubmatch(info.Stdout); m != nil {
		x.version = m[1]
	}
	if _, err := semver.NewVersion(x.version); err != nil {
		return nil, fmt.Errorf("the daemon tells no version:\n%s", info)
	}
	dir, err := e.TempDir()
	if err != nil {
		return nil, err
	}
	file := filepath.Join(dir, "Dockerfile")
	if err := os.WriteFile(file, []byte("FROM scratch\nCOPY Dockerfile /\n"), 0o644); err != nil {
		return nil, err
	}
	o, err := e.buildctl(addr, "build", "--frontend=dockerfile.v0", "--local=context="+dir,
		"--local=dockerfile="+dir)
	if err != nil {
		return nil, err
	}
	x.dockerfileOff = o.ExitCode != 0
	if x.dockerfileOff && !strings.Contains(o.Text(), "invalid frontend: dockerfile.v0") {
		return nil, fmt.Errorf("a build with dockerfile.v0 fails:\n%s", o)
	}
	// No repository has this tag, so that nothing runs: the daemon either refuses the
	// repository or asks the registry.
	ours := e.Repository() + ":probe"
	if o, err = e.buildctl(addr, "build", "--frontend=gateway.v0", "--opt=source="+ours); err != nil {
		return nil, err
	}
	if strings.Contains(o.Text(), notAllowed) {
		return nil, fmt.Errorf("its allowedRepositories must contain %q:\n%s", e.Repository(), o)
	}
	if len(e.Registry.Requests()) == 0 {
		return nil, fmt.Errorf("it does not reach the tests' registry at %s:\n%s", e.Registry.Host(), o)
	}
	other := e.Registry.Ref("probe/other:probe")
	if o, err = e.buildctl(addr, "build", "--frontend=gateway.v0", "--opt=source="+other); err != nil {
		return nil, err
	}
	x.restricted = strings.Contains(o.Text(), notAllowed)
	return x, nil
}

func (e *Env) buildctl(addr string, args ...string) (Output, error) {
	c := Command{Path: e.Tools.Buildctl, Args: append([]string{"--addr", addr}, args...)}
	p, err := c.start([]string{"PATH=" + os.Getenv("PATH"), "HOME=" + os.TempDir()})
	if err != nil {
		return Output{}, err
	}
	return p.result()
}

// lacks tells how a daemon of the configuration differs from this one. It is empty if a
// test for the one can run on the other. It doesn't look at Quiet.
func (x *existing) lacks(cfg DaemonConfig, repository string) string {
	if cfg.DockerfileOff != x.dockerfileOff {
		return fmt.Sprintf("it needs dockerfile.v0 with enabled = %t", !cfg.DockerfileOff)
	}
	switch {
	case cfg.AllowedRepositories == nil && x.restricted:
		return "it needs gateway.v0 without allowedRepositories"
	case cfg.AllowedRepositories == nil:
	case !slices.Equal(cfg.AllowedRepositories, []string{repository}):
		return fmt.Sprintf("it needs allowedRepositories = %s", tomlList(cfg.AllowedRepositories))
	case !x.restricted:
		return fmt.Sprintf("it needs allowedRepositories = %s", tomlList(cfg.AllowedRepositories))
	}
	switch {
	case cfg.Entitlements != nil:
		return "it needs insecure-entitlements = " + tomlList(cfg.Entitlements)
	case cfg.Mirrors != nil:
		return "it needs mirrors of its own"
	case cfg.DeviceSpecs != "":
		return "it needs devices of its own"
	case cfg.Env != nil:
		return "it needs environment variables of its own"
	case cfg.Extra != "":
		return "it needs a configuration of its own: " + strings.TrimSpace(cfg.Extra)
	case cfg.Root != "":
		return "it needs a daemon with the root " + cfg.Root
	}
	return ""
}

// useExisting returns the daemon that runs already, or skips the test if it needs another
// configuration.
func (e *Env) useExisting(t T, cfg DaemonConfig) *Daemon {
	t.Helper()
	if reason := e.existing.lacks(cfg, e.Repository()); reason != "" {
		skip(t, "this test can't run on the daemon at %s=%s: %s", BuildkitHostVariable, e.existing.addr,
			reason)
	}
	dir, err := os.MkdirTemp("", tempPrefix())
	if err != nil {
		t.Fatalf("%v", err)
	}
	d := &Daemon{Addr: e.existing.addr, tools: e.Tools, dir: dir}
	e.reaper.add(dir, d.stop)
	t.Cleanup(func() {
		if err := e.reaper.run(dir); err != nil {
			t.Errorf("forget buildkitd %s: %v", d.Addr, err)
		}
	})
	return d
}

// skip skips a test, and fails what can't be skipped, such as the demo.
func skip(t T, format string, args ...any) {
	t.Helper()
	if s, ok := t.(Skipper); ok {
		s.Skipf(format, args...)
	}
	t.Fatalf(format, args...)
}

var errNeedsRoot = errors.New("buildkitd needs root: run the tests as root, or on a daemon " +
	"that runs already, see " + BuildkitHostVariable)
