package main

import (
	"errors"
	"fmt"
	"os"
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/moby/buildkit/util/testutil/integration"

	"github.com/policy-frontend/policy-frontend/integration/harness"
	"github.com/policy-frontend/policy-frontend/integration/harness/registry"
)

// standIns are the images that BuildKit's tests copy from Docker Hub into their mirror. They
// don't copy what the mirror has, so these take the place of the real ones.
var standIns = map[string][]registry.File{
	"library/busybox:latest":      nil,
	"library/busybox:stable-musl": nil,
	"library/alpine:latest": {
		{Path: "/etc/alpine-release", Mode: 0o644, Data: []byte("3.18.0\n")},
		{Path: "/etc/os-release", Mode: 0o644, Data: []byte("ID=alpine\nVERSION_ID=3.18.0\n")},
	},
	// The tests ask for it by digest, so those that use it fail, straight too. But if the mirror
	// lacked it, all tests of their group would.
	"amd64/debian:bullseye-20230109-slim": nil,
}

// platforms are those of the stand-ins. On the machine's own platform, they run.
var platforms = []string{
	"linux/amd64", "linux/arm64", "linux/arm/v7", "linux/386", "linux/ppc64le", "linux/s390x",
}

// account is what the real busybox has in /etc besides root, which the tests refer to.
var accounts = []registry.File{
	{Path: "/etc/passwd", Mode: 0o644, Data: []byte("root:x:0:0:root:/root:/bin/sh\n" +
		"daemon:x:1:1:daemon:/usr/sbin:/bin/false\nbin:x:2:2:bin:/bin:/bin/false\n" +
		"www-data:x:33:33:www-data:/var/www:/bin/false\nnobody:x:65534:65534:nobody:/home:/bin/false\n")},
	{Path: "/etc/group", Mode: 0o644, Data: []byte("root:x:0:\ndaemon:x:1:\nbin:x:2:\nsys:x:3:\n" +
		"adm:x:4:\nwww-data:x:33:\nusers:x:100:\nnobody:x:65534:\n")},
}

// fillMirror puts the stand-ins and docker/dockerfile into the registry that BuildKit's tests
// start in dir as their mirror of Docker Hub.
func fillMirror(env *harness.Env, dir string) (err error) {
	host, stop, err := integration.NewRegistry(dir)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, stop()) }()
	for repoTag, files := range standIns {
		if err := pushStandIn(env, repoTag, files); err != nil {
			return fmt.Errorf("make the image %s: %w", repoTag, err)
		}
		if err := env.Registry.CopyTo(host, repoTag); err != nil {
			return err
		}
	}
	return env.Registry.CopyTo(host, inner)
}

// pushStandIn makes an image of busybox and files for each platform.
func pushStandIn(env *harness.Env, repoTag string, files []registry.File) error {
	base, err := registry.BusyboxFiles(env.Tools.Busybox)
	if err != nil {
		return err
	}
	images := map[string]v1.Image{}
	for _, platform := range append([]string{registry.HostPlatform()}, platforms...) {
		// Each platform has a layer of its own, as in real images.
		of := registry.File{Path: "/etc/platform", Mode: 0o644, Data: []byte(platform + "\n")}
		layer, err := registry.PackLayer(append(append(append(base, accounts...), of), files...))
		if err != nil {
			return err
		}
		images[platform], err = registry.NewImage(platform, v1.Config{
			Cmd: []string{"sh"},
			Env: []string{"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"},
		}, layer)
		if err != nil {
			return err
		}
	}
	return env.Registry.PushPlatforms(env.Registry.Ref(repoTag), images)
}

// prependPath makes programs findable by their names, also by this process.
func prependPath(dir string, programs map[string]string) error {
	for name, path := range programs {
		if err := os.Symlink(path, dir+"/"+name); err != nil {
			return err
		}
	}
	return os.Setenv("PATH", strings.Join([]string{dir, os.Getenv("PATH")}, string(os.PathListSeparator)))
}
