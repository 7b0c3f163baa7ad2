package harness

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/policy-frontend/policy-frontend/integration/harness/provision"
	"github.com/policy-frontend/policy-frontend/integration/harness/registry"
)

const (
	// ImageVersion is the version of the program in the image under test, and the image's
	// tag.
	ImageVersion = provision.ProductVersion
	// PolicyPath is the file of the image that holds its embedded policy.
	PolicyPath = "/etc/policy-frontend/policy.yaml"

	imageRepository    = "policy-frontend"
	mediatorRepository = "policy-frontend-mediator"
	// Targets of the bake file.
	imageTarget    = "image"
	mediatorTarget = "mediator"

	// bakeTimeout bounds a build of the image, which takes a minute or two with cold
	// caches on two cores.
	bakeTimeout = 15 * time.Minute
	// imagesKept is how many built images stay in .build for the next run.
	imagesKept = 6
)

// Repository returns the product's repository, "localhost:PORT/policy-frontend". It is
// the one entry of allowedRepositories in a sole-permitted configuration.
func (e *Env) Repository() string { return e.Registry.Ref(imageRepository) }

// Image returns the full reference of the product's image without a policy. Real bake
// builds it on a real daemon from the repository's Dockerfile and docker-bake.hcl, in this
// process or, from the same files, in an earlier one. With [BuildkitHostVariable] it is
// packed instead, see [Env.PackWithPolicy].
func (e *Env) Image(t T) string {
	t.Helper()
	ref, err := e.image()
	if err != nil {
		t.Fatalf("build the image: %v", err)
	}
	return ref
}

// plainImage makes the image without a policy. On a daemon that runs already, the image is
// packed: a bake would need a daemon of its own, and root.
func (e *Env) plainImage() (string, error) {
	if e.existing == nil {
		return e.makeImage(imageTarget, "")
	}
	ref := e.Repository() + ":" + ImageVersion
	return ref, e.pack(ref, nil)
}

// Mediator returns the full reference, without digest, of the image to which policy-guard hands
// over builds. It is made as [Env.Image] makes the product's image. It has a repository of its own,
// as everybody's should: a daemon's allowedRepositories know no tags.
func (e *Env) Mediator(t T) string {
	t.Helper()
	ref, err := e.mediator()
	if err != nil {
		t.Fatalf("build the image for policy-guard: %v", err)
	}
	return ref
}

// WithPolicy returns the full reference, without digest, of the product's image with a
// policy inside, as `FROM` and `COPY` would make it.
func (e *Env) WithPolicy(t T, policy string) string {
	t.Helper()
	ref := e.Repository() + ":policy-" + shortDigest([]byte(policy))
	_, err := e.Registry.AppendFile(e.Image(t), ref, PolicyPath, []byte(policy), 0o644)
	if err != nil {
		t.Fatalf("%v", err)
	}
	return ref
}

// BakeWithPolicy returns the full reference of the product's image with the policy in
// file inside. It is made as [Env.Image] makes it and with the bake variable POLICY, which
// is relative to the repository's root.
func (e *Env) BakeWithPolicy(t T, file string) string {
	t.Helper()
	ref, err := e.makeImage(imageTarget, file)
	if err != nil {
		t.Fatalf("build the image with policy %s: %v", file, err)
	}
	return ref
}

// lockImages keeps other processes away from the kept images and toolchains until unlock.
func (e *Env) lockImages() (unlock func(), err error) {
	return provision.Lock(e.Tools.State("images.lock"), func() {
		e.progress.Say("another process builds the image, waiting for it")
	})
}

// makeImage bakes the image of a target, or pushes one that an earlier run baked from the same
// inputs. policy is the bake variable POLICY and may be empty.
func (e *Env) makeImage(target, policy string) (string, error) {
	dir := e.Tools.State("images")
	unlock, err := e.lockImages()
	if err != nil {
		return "", err
	}
	defer unlock()
	ref := e.Repository() + ":" + ImageVersion
	if target == mediatorTarget {
		ref = e.Registry.Ref(mediatorRepository) + ":" + ImageVersion
	}
	var content []byte
	if policy != "" {
		if content, err = os.ReadFile(filepath.Join(e.Tools.Root, policy)); err != nil {
			return "", err
		}
		ref += "-" + shortDigest(content)
	}
	key, err := e.imageKey(target, content)
	if err != nil {
		return "", err
	}
	kept := filepath.Join(dir, key)
	if err := e.Registry.PushSaved(kept, ref); !errors.Is(err, fs.ErrNotExist) {
		return ref, err
	}
	if err := e.bake(target, ref, policy); err != nil {
		return "", err
	}
	// Files that changed meanwhile may or may not be in the image.
	if after, err := e.imageKey(target, content); err != nil || after != key {
		return ref, err
	}
	if err := e.Registry.Save(ref, kept); err != nil {
		return "", err
	}
	return ref, dropOldest(dir, imagesKept)
}

// shortDigest returns enough of a SHA-256 for a tag.
func shortDigest(data []byte) string {
	sum := sha256.Sum256(data)
	return hex.EncodeToString(sum[:8])
}

// imageKey identifies everything that the image is made from: the repository's files
// except those that don't get into it, and the versions of the builders.
func (e *Env) imageKey(target string, policy []byte) (string, error) {
	h := sha256.New()
	goVersion, err := e.Tools.GoVersion()
	if err != nil {
		return "", err
	}
	fmt.Fprintln(h, goVersion, registry.HostPlatform(), e.Tools.BuildKitVersion,
		e.Tools.BuildxVersion, ImageVersion)
	fmt.Fprintf(h, "%q\n%q\n", target, policy)
	skip := map[string]bool{
		".git": true, ".github": true, ".ci": true, ".build": true, "integration": true, "tools": true,
		"docs": true, "examples": true, "Makefile": true, "LICENSE": true, ".golangci.yml": true,
	}
	root := os.DirFS(e.Tools.Root)
	build, err := fs.ReadFile(root, "tools/build")
	if err != nil {
		return "", err
	}
	fmt.Fprintf(h, "%q\n", build)
	err = fs.WalkDir(root, ".", func(name string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if entry.IsDir() && (skip[name] || entry.Name() == "testdata") {
			return fs.SkipDir
		}
		outside := strings.HasSuffix(name, "_test.go") || strings.HasSuffix(name, ".md")
		if !entry.Type().IsRegular() || skip[name] || outside {
			return nil
		}
		data, err := fs.ReadFile(root, name)
		if err != nil {
			return err
		}
		fmt.Fprintf(h, "%q %x\n", name, sha256.Sum256(data))
		return nil
	})
	return hex.EncodeToString(h.Sum(nil)), err
}

// bake builds the image with the bake file's own defaults and pushes it to ref. The
// daemon's root is kept from run to run for its cache.
func (e *Env) bake(target, ref, policy string) error {
	if err := e.golang(); err != nil {
		return err
	}
	d, err := e.startDaemon(e.Tools.CurrentBuildkitd(), DaemonConfig{
		Mirrors: map[string][]string{"docker.io": {e.Registry.Host()}},
		Root:    e.bakeRoot(),
	})
	if err != nil {
		return err
	}
	variables := []string{
		"IMAGE=" + ref, "MEDIATOR=" + ref, "VERSION=" + ImageVersion, "POLICY=" + policy,
	}
	err = e.progress.Step("building the image with bake", func() error {
		return d.bake(e.Tools.Root, variables, "--push", target)
	})
	return errors.Join(err, e.reaper.run(d.dir))
}

// BakeDaemon starts the daemon that bakes images, with the caches of earlier bakes. Nothing else is
// baked until the test ends.
func (e *Env) BakeDaemon(t T) *Daemon {
	t.Helper()
	unlock, err := e.lockImages()
	if err != nil {
		t.Fatalf("%v", err)
	}
	t.Cleanup(unlock)
	return e.StartDaemon(t, DaemonConfig{Root: e.bakeRoot()})
}

// bakeRoot is the root of the daemon that bakes images.
func (e *Env) bakeRoot() string { return e.Tools.State("bootstrap") }

// bake runs `buildx bake` in dir and waits for it.
func (d *Daemon) bake(dir string, env []string, args ...string) error {
	if err := d.createBuilder(); err != nil {
		return err
	}
	c := d.BuildxCommand(dir, append([]string{"bake", "--progress=plain"}, args...)...)
	c.Timeout = bakeTimeout
	p, err := c.start(append(d.clientEnv(), env...))
	if err != nil {
		return err
	}
	o, err := p.result()
	if err == nil && o.ExitCode != 0 {
		err = fmt.Errorf("%s", o)
	}
	return err
}

// dropOldest removes all but the newest n entries of dir.
func dropOldest(dir string, n int) error {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	var infos []os.FileInfo
	for _, entry := range entries {
		info, err := entry.Info()
		if err != nil {
			return err
		}
		infos = append(infos, info)
	}
	slices.SortFunc(infos, func(a, b os.FileInfo) int { return b.ModTime().Compare(a.ModTime()) })
	for _, info := range infos[min(n, len(infos)):] {
		if err := os.RemoveAll(filepath.Join(dir, info.Name())); err != nil {
			return err
		}
	}
	return nil
}
