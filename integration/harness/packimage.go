package harness

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/policy-frontend/policy-frontend/integration/harness/registry"
)

// PackWithPolicy returns the full reference of the product's image with the policy in
// file inside, relative to the repository's root. This machine's Go compiles the program,
// which takes a tenth of the time that a build of the Dockerfile takes with cold caches.
// A test holds both images equal.
func (e *Env) PackWithPolicy(t T, file string) string {
	t.Helper()
	policy, err := os.ReadFile(filepath.Join(e.Tools.Root, file))
	if err != nil {
		t.Fatalf("%v", err)
	}
	ref := e.Repository() + ":packed-" + shortDigest(policy)
	if err := e.pack(ref, policy); err != nil {
		t.Fatalf("pack the image with policy %s: %v", file, err)
	}
	return ref
}

// PackMediator returns the full reference of the image to which policy-guard hands over builds. It
// is made as [Env.PackWithPolicy] makes the product's image.
func (e *Env) PackMediator(t T) string {
	t.Helper()
	ref, err := e.packed()
	if err != nil {
		t.Fatalf("pack the image for policy-guard: %v", err)
	}
	return ref
}

func (e *Env) packMediator() (string, error) {
	program, err := e.Tools.BuildProduct()
	if err != nil {
		return "", err
	}
	ref := e.Registry.Ref(mediatorRepository) + ":packed"
	return ref, e.packProgram(ref, program, nil, "--policy-from-guard")
}

// PackProgram returns the full reference of an image with the policy and the program at a path:
// an earlier version of the product, for example. An empty path means this checkout's program.
func (e *Env) PackProgram(t T, program, policy string) string {
	t.Helper()
	if program == "" {
		built, err := e.Tools.BuildProduct()
		if err != nil {
			t.Fatalf("%v", err)
		}
		program = built
	}
	ref := e.Repository() + ":program-" + shortDigest([]byte(program+"\x00"+policy))
	if err := e.packProgram(ref, program, []byte(policy)); err != nil {
		t.Fatalf("pack %s: %v", program, err)
	}
	return ref
}

// pack makes the image as the Dockerfile does and pushes it to ref. policy may be nil.
func (e *Env) pack(ref string, policy []byte) error {
	program, err := e.Tools.BuildProduct()
	if err != nil {
		return err
	}
	return e.packProgram(ref, program, policy)
}

// packProgram is pack for a program, whose image always starts it with the arguments.
func (e *Env) packProgram(ref, program string, policy []byte, args ...string) error {
	binary, err := registry.PackLayer([]registry.File{
		{Path: "/policy-frontend", Mode: 0o755, Source: program},
	})
	if err != nil {
		return err
	}
	files := []registry.File{{Path: filepath.Dir(PolicyPath), Mode: os.ModeDir | 0o755}}
	if policy != nil {
		if err := e.lint(program, policy); err != nil {
			return err
		}
		files = append(files, registry.File{Path: PolicyPath, Mode: 0o644, Data: policy})
	}
	checked, err := registry.PackLayer(files)
	if err != nil {
		return err
	}
	labels := registry.DockerfileLabels()
	labels["policy-frontend.policy-from-guard"] = "1"
	for key, value := range map[string]string{
		"title": "policy-frontend",
		"description": "Enforces a policy on BuildKit builds: which frontends they may use, " +
			"and what these may build",
		"source":   "https://github.com/policy-frontend/policy-frontend",
		"licenses": "Apache-2.0",
		"version":  ImageVersion,
		"revision": "",
	} {
		labels["org.opencontainers.image."+key] = value
	}
	image, err := registry.NewImage(registry.HostPlatform(), v1.Config{
		Entrypoint: append([]string{"/policy-frontend"}, args...),
		Env:        []string{"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"},
		Labels:     labels,
		User:       "65534:65534",
		WorkingDir: "/",
	}, binary, checked)
	if err != nil {
		return err
	}
	return e.Registry.PushImage(ref, image)
}

// lint refuses a policy that doesn't load, as the Dockerfile does. It exits 1 for
// findings, which stop nothing.
func (e *Env) lint(program string, policy []byte) error {
	dir, err := e.TempDir()
	if err != nil {
		return err
	}
	file := filepath.Join(dir, "policy.yaml")
	if err := os.WriteFile(file, policy, 0o644); err != nil { //nolint:gosec // in a new directory
		return err
	}
	cmd := exec.Command(program, "lint", file)
	output, err := cmd.CombinedOutput()
	if err != nil && cmd.ProcessState.ExitCode() != 1 {
		return fmt.Errorf("%w\n%s", err, output)
	}
	return nil
}
