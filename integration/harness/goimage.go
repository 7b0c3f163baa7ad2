package harness

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/policy-frontend/policy-frontend/integration/harness/provision"
	"github.com/policy-frontend/policy-frontend/integration/harness/registry"
)

// goProxy is the directory of the Go image with the product's modules.
const goProxy = "/goproxy"

// pushGolang pushes the Go image of the bake file with everything that the product's Dockerfile
// needs from it: this machine's Go toolchain, a static busybox, CA certificates, and a module
// proxy in a directory. A build that starts from it needs no network. The caller holds the images'
// lock.
func (e *Env) pushGolang() error {
	name, err := e.goImage()
	if err != nil {
		return err
	}
	err = e.progress.Step("assembling "+name, func() error {
		return e.assembleGolang(e.Registry.Ref(name))
	})
	if err != nil {
		return fmt.Errorf("push %s: %w", name, err)
	}
	return nil
}

func (e *Env) assembleGolang(ref string) error {
	dir, err := os.MkdirTemp("", tempPrefix())
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	base, err := registry.BusyboxFiles(e.Tools.Busybox)
	if err != nil {
		return err
	}
	if ca, err := os.ReadFile(certificates); err == nil {
		base = append(base, registry.File{Path: certificates, Mode: 0o644, Data: ca})
	}
	system, err := registry.PackLayer(base)
	if err != nil {
		return err
	}
	toolchain, err := e.toolchainLayer()
	if err != nil {
		return fmt.Errorf("pack the Go toolchain: %w", err)
	}
	modules, err := e.Tools.GoModules(goProxy)
	if err != nil {
		return err
	}
	proxy, err := registry.PackLayerFile(filepath.Join(dir, "modules.tar.gz"), layerFiles(modules))
	if err != nil {
		return fmt.Errorf("pack the product's modules: %w", err)
	}
	image, err := registry.NewImage(registry.HostPlatform(), v1.Config{
		Env: []string{
			"PATH=/usr/local/go/bin:/bin",
			"GOPATH=/go",
			"GOTOOLCHAIN=local",
			"GOPROXY=file://" + goProxy,
			// go.sum has all checksums; the checksum database is on the network.
			"GOSUMDB=off",
		},
		WorkingDir: "/go",
	}, system, toolchain, proxy)
	if err != nil {
		return err
	}
	return e.Registry.PushImage(ref, image)
}

// toolchainLayer packs the Go toolchain, which takes some ten seconds, or returns the
// layer that an earlier process packed. The caller holds the images' lock.
func (e *Env) toolchainLayer() (v1.Layer, error) {
	goVersion, err := e.Tools.GoVersion()
	if err != nil {
		return nil, err
	}
	dir := e.Tools.State("toolchains")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, err
	}
	kept := filepath.Join(dir, strings.ReplaceAll(goVersion, " ", "-")+".tar.gz")
	if _, err := os.Stat(kept); err == nil {
		return registry.PackedLayer(kept)
	}
	files, err := e.Tools.GoToolchain()
	if err != nil {
		return nil, err
	}
	if _, err := registry.PackLayerFile(kept+".new", layerFiles(files)); err != nil {
		return nil, err
	}
	if err := os.Rename(kept+".new", kept); err != nil {
		return nil, err
	}
	if err := dropOldest(dir, 1); err != nil {
		return nil, err
	}
	return registry.PackedLayer(kept)
}

func layerFiles(from []provision.File) []registry.File {
	files := make([]registry.File, len(from))
	for i, f := range from {
		files[i] = registry.File{Path: f.Path, Mode: f.Mode, Source: f.Source}
	}
	return files
}

// goImage returns the Go image that the bake file asks for, such as
// "library/golang:1.26-alpine", without its registry, which is docker.io.
func (e *Env) goImage() (string, error) {
	home, err := e.TempDir()
	if err != nil {
		return "", err
	}
	c := Command{Path: e.Tools.Buildx, Args: []string{"bake", "--print", "image"}, Dir: e.Tools.Root}
	p, err := c.start([]string{"PATH=" + os.Getenv("PATH"), "HOME=" + home})
	if err != nil {
		return "", err
	}
	o, err := p.result()
	if err != nil {
		return "", err
	}
	var plan struct {
		Target map[string]struct {
			Args map[string]string `json:"args"`
		} `json:"target"`
	}
	if err := json.Unmarshal([]byte(o.Stdout), &plan); err != nil {
		return "", fmt.Errorf("read the bake file: %w\n%s", err, o)
	}
	image := strings.TrimPrefix(plan.Target["image"].Args["GO_IMAGE"], "docker.io/")
	if image == "" {
		return "", fmt.Errorf("the bake file's target image has no GO_IMAGE:\n%s", o)
	}
	if !strings.Contains(image, "/") {
		image = "library/" + image
	}
	return image, nil
}
