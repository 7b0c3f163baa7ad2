package harness

import (
	"fmt"
	"maps"
	"os"
	"os/exec"
	"runtime"
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"
)

// DockerfileLabels are the labels of docker/dockerfile's image, as in
// frontend/dockerfile/cmd/dockerfile-frontend/Dockerfile of BuildKit v0.34.2.
func DockerfileLabels() map[string]string {
	return map[string]string{
		"moby.buildkit.frontend.network.none": "true",
		"moby.buildkit.frontend.caps": "moby.buildkit.frontend.inputs,moby.buildkit.frontend.subrequests," +
			"moby.buildkit.frontend.contexts,moby.buildkit.frontend.gitquerystring,moby.buildkit.frontend.contexts.zstd",
	}
}

// hostPlatform is the platform that the daemons' containers run on.
func hostPlatform() string {
	if runtime.GOARCH == "arm" {
		return "linux/arm/v7"
	}
	return "linux/" + runtime.GOARCH
}

// pushDockerImages fills the registry with what the daemons' docker.io mirror
// entry serves: the frontend docker/dockerfile under a few tags and
// library/busybox. The tags 1.7.1 and 1.4.0 are images of their own, with a
// digest each, the others name one image.
func (e *Env) pushDockerImages() error {
	frontend := FrontendImage{
		Binaries:   map[string]string{hostPlatform(): e.Tools.DockerfileFrontend},
		Entrypoint: "/bin/dockerfile-frontend",
		Labels:     DockerfileLabels(),
		Index:      true,
	}
	layers, err := frontend.pack()
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
		if err := e.Registry.pushPacked(e.Registry.Ref("docker/dockerfile:"+tag), frontend, layers); err != nil {
			return fmt.Errorf("push docker/dockerfile:%s: %w", tag, err)
		}
	}
	return e.pushBusybox()
}

// pushBusybox pushes an index of library/busybox. On the machine's own platform
// it runs; for the others it has the same files, so builds for them can COPY
// but not RUN.
func (e *Env) pushBusybox() error {
	files, err := busyboxFiles(e.Tools.Busybox)
	if err != nil {
		return err
	}
	layer, err := packLayer(files)
	if err != nil {
		return err
	}
	images := map[string]v1.Image{}
	for _, platform := range []string{hostPlatform(), "linux/amd64", "linux/arm64", "linux/arm/v7"} {
		images[platform], err = newImage(platform, v1.Config{
			Cmd: []string{"sh"}, Env: []string{"PATH=/bin"},
		}, layer)
		if err != nil {
			return err
		}
	}
	return e.Registry.pushPlatforms(e.Registry.Ref("library/busybox:latest"), images)
}

// busyboxFiles is a root filesystem of a static busybox with its applets.
func busyboxFiles(busybox string) ([]layerFile, error) {
	binary, err := os.ReadFile(busybox)
	if err != nil {
		return nil, err
	}
	applets, err := exec.Command(busybox, "--list").Output()
	if err != nil {
		return nil, fmt.Errorf("list busybox's applets: %w", err)
	}
	files := []layerFile{
		{path: "/bin/busybox", mode: 0o755, data: binary},
		{path: "/etc/passwd", mode: 0o644, data: []byte("root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/:/bin/false\n")},
		{path: "/etc/group", mode: 0o644, data: []byte("root:x:0:\nnogroup:x:65534:\n")},
		{path: "/root", mode: os.ModeDir | 0o700},
		{path: "/tmp", mode: os.ModeDir | os.ModeSticky | 0o777},
	}
	for applet := range strings.FieldsSeq(string(applets)) {
		if applet != "busybox" {
			files = append(files, layerFile{path: "/bin/" + applet, link: "busybox"})
		}
	}
	return files, nil
}
