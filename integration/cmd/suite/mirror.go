package main

import (
	"archive/tar"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"

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
	// The tests that use these fail, straight too: they need the real content. But without them,
	// the run would end before its tests.
	"amd64/debian:bullseye-20230109-slim": nil,
	"tonistiigi/hellofs:latest":           nil,
	"cpuguy83/buildkit-foreign:latest":    nil,
	"library/busybox_amd64:latest":        nil,
}

// noLayers is the image without layers that BuildKit's tests of its client use.
const noLayers = "tonistiigi/test:nolayers"

// platforms are those of the stand-ins. On the machine's own platform, they run.
var platforms = []string{
	"linux/amd64", "linux/arm64", "linux/arm/v7", "linux/386", "linux/ppc64le", "linux/s390x",
}

// adduser and addgroup do what the tests ask of busybox's applets, which Debian's busybox lacks.
const (
	adduser = `#!/bin/sh
set -e
uid=$((1000 + $(grep -c :/home/ /etc/passwd || true)))
while getopts Du:G: option; do
	case $option in
	u) uid=$OPTARG ;;
	G) gid=$(grep "^$OPTARG:" /etc/group | cut -d: -f3) ;;
	esac
done
shift $((OPTIND - 1))
[ -n "$gid" ] || { gid=$uid; addgroup -g "$gid" "$1"; }
echo "$1:x:$uid:$gid::/home/$1:/bin/sh" >>/etc/passwd
mkdir -p "/home/$1"
chown "$uid:$gid" "/home/$1"
`
	addgroup = "#!/bin/sh\n[ \"$1\" = -g ] && echo \"$3:x:$2:\" >>/etc/group\n"
)

// added is what the real busybox has besides that of the other end-to-end tests.
var added = []registry.File{
	{Path: "/etc/passwd", Mode: 0o644, Data: []byte("root:x:0:0:root:/root:/bin/sh\n" +
		"daemon:x:1:1:daemon:/usr/sbin:/bin/false\nbin:x:2:2:bin:/bin:/bin/false\n" +
		"www-data:x:33:33:www-data:/var/www:/bin/false\nnobody:x:65534:65534:nobody:/home:/bin/false\n")},
	{Path: "/etc/group", Mode: 0o644, Data: []byte("root:x:0:\ndaemon:x:1:\nbin:x:2:\nsys:x:3:\n" +
		"adm:x:4:\nwheel:x:10:root\nwww-data:x:33:\nusers:x:100:\nnobody:x:65534:\n")},
	{Path: "/bin/adduser", Mode: 0o755, Data: []byte(adduser)},
	{Path: "/bin/addgroup", Mode: 0o755, Data: []byte(addgroup)},
}

// fillMirror puts the stand-ins, noLayers and docker/dockerfile into the registry that BuildKit's
// tests start in dir as their mirror of Docker Hub.
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
	image, err := registry.NewImage(registry.HostPlatform(), v1.Config{})
	if err != nil {
		return err
	}
	if err := env.Registry.PushImage(env.Registry.Ref(noLayers), image); err != nil {
		return err
	}
	return errors.Join(env.Registry.CopyTo(host, noLayers), env.Registry.CopyTo(host, inner))
}

// pushStandIn makes an image of busybox and files for each platform.
func pushStandIn(env *harness.Env, repoTag string, files []registry.File) error {
	base, err := registry.BusyboxFiles(env.Tools.Busybox)
	if err != nil {
		return err
	}
	for _, f := range added {
		base = slices.DeleteFunc(base, func(old registry.File) bool { return old.Path == f.Path })
	}
	base = slices.Concat(base, added, files)
	images := map[string]v1.Image{}
	for _, platform := range append([]string{registry.HostPlatform()}, platforms...) {
		// Each platform has a layer of its own, as in real images.
		of := registry.File{Path: "/etc/platform", Mode: 0o644, Data: []byte(platform + "\n")}
		layer, err := registry.PackLayer(append(base[:len(base):len(base)], of))
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

// archive writes the image at a full reference to a file. BuildKit's tests can't copy from a
// registry without TLS.
func (r *suite) archive(ref string) string {
	dir := filepath.Join(r.script.TempDir(), "image")
	if err := r.env.Registry.Save(ref, dir); err != nil {
		r.script.Fatalf("read the image %s: %v", ref, err)
	}
	file, err := os.Create(dir + ".tar") //nolint:gosec // in a directory of this process
	if err != nil {
		r.script.Fatalf("%v", err)
	}
	w := tar.NewWriter(file)
	if err := errors.Join(w.AddFS(os.DirFS(dir)), w.Close(), file.Close()); err != nil {
		r.script.Fatalf("write the image %s: %v", ref, err)
	}
	return file.Name()
}

// prependPath makes programs findable by their names, also by this process.
func prependPath(dir string, programs map[string]string) error {
	for name, path := range programs {
		if err := os.Symlink(path, dir+"/"+name); err != nil {
			return err
		}
	}
	return os.Setenv("PATH", dir+":"+os.Getenv("PATH"))
}
