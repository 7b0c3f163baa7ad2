package provision

import (
	"path"
	"path/filepath"
)

// Suite is what BuildKit's own tests of one of its packages need, besides the programs
// of [Prepare].
type Suite struct {
	// Tests is the absolute path of the compiled tests.
	Tests string
	// Dir is the folder of their source, in which they run. It is in the module cache.
	Dir string
	// Registry is the absolute path of distribution's registry.
	Registry string
}

// Suite builds BuildKit's tests of a package, such as frontend/dockerfile, of the version that
// tools/go.mod pins and with the dependencies that BuildKit itself pins. It also builds
// distribution's registry, which these tests start.
func (t *Tools) Suite(pkg string) (Suite, error) {
	var s Suite
	err := t.alone(func() (err error) {
		s, err = t.prepareSuite(pkg)
		return err
	})
	return s, err
}

func (t *Tools) prepareSuite(pkg string) (Suite, error) {
	s := Suite{
		Tests:    t.State("bin", "buildkit-tests-"+path.Base(pkg)),
		Registry: t.State("bin", engineName, "registry"),
	}
	engine := filepath.Join(t.Root, compatDir, engineName)
	if err := t.buildStale(engine, distribution(s.Registry)); err != nil {
		return s, err
	}
	module, err := moduleDir(filepath.Join(t.Root, "tools"), buildkitModule)
	if err != nil {
		return s, err
	}
	s.Dir = filepath.Join(module, filepath.FromSlash(pkg))
	// The module cache is BuildKit's main module here, because a module that only requires
	// BuildKit has no checksums of what its tests import.
	return s, t.buildStale(module, Build{
		Out: s.Tests, Package: buildkitModule + "/" + pkg, Test: true,
	})
}

// moduleDir returns the folder in the module cache of the module with which the module in
// dir builds. It downloads the module if it isn't there.
func moduleDir(dir, module string) (string, error) {
	if _, err := goOutput(dir, "mod", "download", module); err != nil {
		return "", err
	}
	return goOutput(dir, "list", "-m", "-f", "{{.Dir}}", module)
}
