package registry

import (
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strings"
)

// DockerfileLabels returns the labels of docker/dockerfile's image, as in
// frontend/dockerfile/cmd/dockerfile-frontend/Dockerfile of BuildKit v0.34.2.
func DockerfileLabels() map[string]string {
	return map[string]string{
		"moby.buildkit.frontend.network.none": "true",
		"moby.buildkit.frontend.caps": "moby.buildkit.frontend.inputs," +
			"moby.buildkit.frontend.subrequests,moby.buildkit.frontend.contexts," +
			"moby.buildkit.frontend.gitquerystring,moby.buildkit.frontend.contexts.zstd",
	}
}

// HostPlatform returns the platform on which the daemons' containers run, such as
// "linux/amd64".
func HostPlatform() string {
	if runtime.GOARCH == "arm" {
		return "linux/arm/v7"
	}
	return "linux/" + runtime.GOARCH
}

// BusyboxFiles returns the root filesystem of a static busybox with its applets. The
// argument is the path of the program.
func BusyboxFiles(busybox string) ([]File, error) {
	binary, err := os.ReadFile(busybox)
	if err != nil {
		return nil, err
	}
	applets, err := exec.Command(busybox, "--list").Output()
	if err != nil {
		return nil, fmt.Errorf("list busybox's applets: %w", err)
	}
	passwd := "root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/:/bin/false\n"
	files := []File{
		{Path: "/bin/busybox", Mode: 0o755, Data: binary},
		{Path: "/etc/passwd", Mode: 0o644, Data: []byte(passwd)},
		{Path: "/etc/group", Mode: 0o644, Data: []byte("root:x:0:\nnogroup:x:65534:\n")},
		{Path: "/root", Mode: os.ModeDir | 0o700},
		{Path: "/tmp", Mode: os.ModeDir | os.ModeSticky | 0o777},
	}
	for applet := range strings.FieldsSeq(string(applets)) {
		if applet != "busybox" {
			files = append(files, File{Path: "/bin/" + applet, Link: "busybox"})
		}
	}
	return files, nil
}
