package harness

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/google/go-containerregistry/pkg/v1/layout"
)

const (
	// ImageVersion is stamped into the image under test and is its tag.
	ImageVersion = "v0.0.0-test"
	// PolicyPath is where the image looks for its embedded policy.
	PolicyPath = "/etc/policy-frontend/policy.yaml"

	imageRepository = "policy-frontend"
	// bakeTimeout bounds a build of the image; with cold caches on two cores it
	// takes a minute or two.
	bakeTimeout = 15 * time.Minute
	// imagesKept is how many built images stay in .build for the next run.
	imagesKept = 4
)

// Repository is the product's repository, the one entry of allowedRepositories
// in a sole-permitted configuration: "localhost:PORT/policy-frontend".
func (e *Env) Repository() string { return e.Registry.Ref(imageRepository) }

// Image returns the full reference of the product's image with no policy inside.
// It was built from the repository's Dockerfile and docker-bake.hcl by real bake
// on a real daemon, in this process or, from the same files, in an earlier one.
func (e *Env) Image(t T) string {
	t.Helper()
	ref, err := e.image()
	if err != nil {
		t.Fatalf("build the image: %v", err)
	}
	return ref
}

// WithPolicy returns the full reference, without digest, of the product's image
// with a policy inside, as `FROM` and `COPY` would make it.
func (e *Env) WithPolicy(t T, policy string) string {
	t.Helper()
	ref := e.Repository() + ":policy-" + shortDigest([]byte(policy))
	if _, err := e.Registry.AppendFile(e.Image(t), ref, PolicyPath, []byte(policy), 0o644); err != nil {
		t.Fatalf("%v", err)
	}
	return ref
}

// BakeWithPolicy returns the full reference of the product's image with the
// policy in file inside, made as Image makes it and with the bake variable POLICY,
// which is relative to the repository's root.
func (e *Env) BakeWithPolicy(t T, file string) string {
	t.Helper()
	ref, err := e.makeImage(file)
	if err != nil {
		t.Fatalf("build the image with policy %s: %v", file, err)
	}
	return ref
}

// makeImage bakes the image, or pushes one that an earlier run baked of the same
// inputs. policy is the bake variable POLICY and may be empty.
func (e *Env) makeImage(policy string) (string, error) {
	say := progressTo(e.progress)
	dir := filepath.Join(e.Tools.Root, stateDir, "images")
	unlock, err := lockFile(dir+".lock", func() { say("another process builds the image, waiting for it") })
	if err != nil {
		return "", err
	}
	defer unlock()
	ref := e.Repository() + ":" + ImageVersion
	var content []byte
	if policy != "" {
		if content, err = os.ReadFile(filepath.Join(e.Tools.Root, policy)); err != nil {
			return "", err
		}
		ref += "-" + shortDigest(content)
	}
	key, err := e.imageKey(content)
	if err != nil {
		return "", err
	}
	kept := filepath.Join(dir, key)
	if index, err := layout.ImageIndexFromPath(kept); err == nil {
		return ref, e.pushKept(ref, index)
	}
	if err := e.bake(ref, policy, say); err != nil {
		return "", err
	}
	// Files that changed meanwhile may or may not be in the image.
	if after, err := e.imageKey(content); err != nil || after != key {
		return ref, err
	}
	return ref, e.keep(ref, dir, kept)
}

// shortDigest is enough of a SHA-256 for a tag.
func shortDigest(data []byte) string {
	sum := sha256.Sum256(data)
	return hex.EncodeToString(sum[:8])
}

// imageKey is of everything that the image is made from: the repository's files
// but for those that don't get into it, and the versions of the builders.
func (e *Env) imageKey(policy []byte) (string, error) {
	h := sha256.New()
	goVersion, err := goEnv(e.Tools.Root, "GOVERSION")
	if err != nil {
		return "", err
	}
	fmt.Fprintln(h, goVersion, hostPlatform(), e.Tools.BuildKitVersion, e.Tools.BuildxVersion, ImageVersion)
	fmt.Fprintf(h, "%q\n", policy)
	skip := map[string]bool{
		".git": true, ".github": true, ".ci": true, stateDir: true, "integration": true, "tools": true,
		"docs": true, "examples": true, "Makefile": true, "LICENSE": true, ".golangci.yml": true,
	}
	root := os.DirFS(e.Tools.Root)
	err = fs.WalkDir(root, ".", func(name string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if entry.IsDir() && (skip[name] || entry.Name() == "testdata") {
			return fs.SkipDir
		}
		if !entry.Type().IsRegular() || skip[name] || strings.HasSuffix(name, "_test.go") || strings.HasSuffix(name, ".md") {
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

// bake builds the image with the bake file's own defaults and pushes it to ref.
// The daemon's root is kept from run to run for its cache.
func (e *Env) bake(ref, policy string, say func(string, ...any)) error {
	start := time.Now()
	say("building the image with bake (a minute or two with cold caches)")
	goImage, err := e.goImage()
	if err != nil {
		return err
	}
	if err := e.pushGolang(e.Registry.Ref(goImage)); err != nil {
		return fmt.Errorf("push %s: %w", goImage, err)
	}
	say("assembled %s in %.1fs", goImage, time.Since(start).Seconds())
	d, err := e.startDaemon(e.Tools.currentBuildkitd(), DaemonConfig{
		Mirrors: map[string][]string{"docker.io": {e.Registry.Host()}},
		Root:    filepath.Join(e.Tools.Root, stateDir, "bootstrap"),
	})
	if err != nil {
		return err
	}
	err = d.bake(e.Tools.Root, []string{"IMAGE=" + ref, "VERSION=" + ImageVersion, "POLICY=" + policy}, "--push", "image")
	if err == nil {
		say("built the image in %.1fs", time.Since(start).Seconds())
	}
	return errors.Join(err, e.reaper.run(d.dir))
}

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

// goImage is the Go image that the bake file asks for, such as
// "library/golang:1.26-alpine" without its registry, which is docker.io.
func (e *Env) goImage() (string, error) {
	c := Command{Path: e.Tools.Buildx, Args: []string{"bake", "--print", "image"}, Dir: e.Tools.Root}
	p, err := c.start([]string{"PATH=" + os.Getenv("PATH"), "HOME=" + e.Registry.dir})
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
