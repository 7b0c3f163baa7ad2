package harness

import (
	"fmt"
	"maps"
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/policy-frontend/policy-frontend/integration/harness/registry"
)

// pushDockerImages fills the registry with what the daemons find in their mirror of
// docker.io: the frontend docker/dockerfile under a few tags, and library/busybox. The
// tags 1.7.1 and 1.4.0 are images with a digest of their own; the other tags name one
// image.
func (e *Env) pushDockerImages() error {
	frontend := registry.FrontendImage{
		Binaries:   map[string]string{registry.HostPlatform(): e.Tools.DockerfileFrontend},
		Entrypoint: "/bin/dockerfile-frontend",
		Labels:     registry.DockerfileLabels(),
		Index:      true,
	}
	layers, err := frontend.Pack()
	if err != nil {
		return fmt.Errorf("pack docker/dockerfile: %w", err)
	}
	floating := frontend.Labels
	for _, tag := range []string{"1", "latest", "1.7.1", "1.4.0"} {
		frontend.Labels = floating
		if strings.Contains(tag, ".") {
			frontend.Labels = maps.Clone(floating)
			frontend.Labels["org.opencontainers.image.version"] = tag
		}
		ref := e.Registry.Ref("docker/dockerfile:" + tag)
		if err := e.Registry.PushPacked(ref, frontend, layers); err != nil {
			return fmt.Errorf("push docker/dockerfile:%s: %w", tag, err)
		}
	}
	return e.pushBusybox()
}

// pushBusybox pushes an index of library/busybox. It runs on the machine's own platform.
// For the other platforms it has the same files: builds for them can COPY but not RUN.
func (e *Env) pushBusybox() error {
	files, err := registry.BusyboxFiles(e.Tools.Busybox)
	if err != nil {
		return err
	}
	layer, err := registry.PackLayer(files)
	if err != nil {
		return err
	}
	images := map[string]v1.Image{}
	platforms := []string{registry.HostPlatform(), "linux/amd64", "linux/arm64", "linux/arm/v7"}
	for _, platform := range platforms {
		images[platform], err = registry.NewImage(platform, v1.Config{
			Cmd: []string{"sh"}, Env: []string{"PATH=/bin"},
		}, layer)
		if err != nil {
			return err
		}
	}
	return e.Registry.PushPlatforms(e.Registry.Ref("library/busybox:latest"), images)
}
