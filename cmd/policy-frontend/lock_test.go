//go:build !image

package main

import (
	"io"
	"log"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/registry"
	"github.com/google/go-containerregistry/pkg/v1/random"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/stretchr/testify/require"
)

// tags is a registry of a test's own.
type tags struct{ host string }

func newRegistry(t *testing.T) tags {
	t.Helper()
	server := httptest.NewServer(registry.New(registry.Logger(log.New(io.Discard, "", 0))))
	t.Cleanup(server.Close)
	return tags{strings.TrimPrefix(server.URL, "http://")}
}

// push gives the tag 1 of x/a another image and returns its digest.
func (r tags) push(t *testing.T) string {
	t.Helper()
	image, err := random.Image(16, 1)
	require.NoError(t, err)
	ref, err := name.NewTag(r.host + "/x/a:1")
	require.NoError(t, err)
	require.NoError(t, remote.Write(ref, image))
	d, err := image.Digest()
	require.NoError(t, err)
	return d.String()
}

func TestLock(t *testing.T) {
	t.Parallel()
	r := newRegistry(t)
	first := r.push(t)
	doc := "version: 1\n# rules\nfrontends:\n- {name: a, match: [" + r.host +
		"/x/a], tags: [\"1\", \"2.*\"]}\n"
	file := write(t, "policy.yaml", doc)
	require.NoError(t, os.Chmod(file, 0o640))
	pinned := func(d string) string {
		return "version: 1\naliases:\n  - from: " + r.host + "/x/a\n    to: " + r.host +
			"/x/a\n    pins:\n      \"1\": " + d + "\n# rules\nfrontends:\n- {name: a, match: [" + r.host +
			"/x/a], tags: [\"1\", \"2.*\"]}\n"
	}

	code, stdout, stderr := run("lock", "--check", file)
	require.Equal(t, 1, code)
	require.Equal(t, file+": "+r.host+"/x/a:1 is not pinned; it points to "+first+"\n", stdout)
	require.Equal(t, file+`:4: rule "a" is not pinned: its tag 2.* is a pattern`+"\n", stderr)
	require.Equal(t, doc, contents(t, file), "--check changes nothing")

	code, stdout, _ = run("lock", file)
	require.Equal(t, exitOK, code)
	require.Contains(t, stdout, first)
	require.Equal(t, pinned(first), contents(t, file))
	info, err := os.Stat(file)
	require.NoError(t, err)
	require.Equal(t, os.FileMode(0o640), info.Mode().Perm())

	code, stdout, _ = run("lock", "--check", file)
	require.Equal(t, exitOK, code)
	require.Empty(t, stdout)

	second := r.push(t)
	code, stdout, _ = run("lock", "--check", file)
	require.Equal(t, 1, code)
	require.Equal(t, file+":3: "+r.host+"/x/a:1 moved from "+first+" to "+second+"\n", stdout)

	code, _, _ = run("lock", file)
	require.Equal(t, exitOK, code)
	require.Equal(t, pinned(second), contents(t, file))
	code, stdout, _ = run("eval", "--policy", file, r.host+"/x/a:1")
	require.Equal(t, exitOK, code)
	require.Contains(t, stdout, second)
	entries, err := os.ReadDir(filepath.Dir(file))
	require.NoError(t, err)
	require.Len(t, entries, 1, "a temporary file is left")
}

func contents(t *testing.T, file string) string {
	t.Helper()
	data, err := os.ReadFile(file)
	require.NoError(t, err)
	return string(data)
}

func TestLockWritesNothingIfOneTagCannotBeLookedUp(t *testing.T) {
	t.Parallel()
	r := newRegistry(t)
	r.push(t)
	good := "version: 1\nfrontends: [{match: [" + r.host + "/x/a], tags: [\"1\"]}]\n"
	bad := "version: 1\nfrontends: [{match: [" + r.host + "/x/a], tags: [\"2\"]}]\n"
	one, two := write(t, "one.yaml", good), write(t, "two.yaml", bad)
	for _, args := range [][]string{{"lock", one, two}, {"lock", "--check", one, two}} {
		code, stdout, stderr := run(args...)
		require.Equal(t, exitUsage, code)
		require.Empty(t, stdout)
		require.Contains(t, stderr,
			two+" can't be locked:\n"+r.host+"/x/a:2: the registry "+r.host+" has no such tag")
		require.Equal(t, good, contents(t, one))
		require.Equal(t, bad, contents(t, two))
	}
}

func TestLockWritesIncludedFilesAndThroughLinks(t *testing.T) {
	t.Parallel()
	r := newRegistry(t)
	d := r.push(t)
	folder := t.TempDir()
	put := func(name, content string) string {
		file := filepath.Join(folder, name)
		require.NoError(t, os.WriteFile(file, []byte(content), 0o600))
		return file
	}
	put("real.yaml", "version: 1\ninclude: [team.yaml]\n")
	team := put("team.yaml",
		"version: 1\naliases:\n- {from: docker/a, to: "+r.host+"/x/a}\nfrontends:\n- {match: ["+r.host+
			"/x/a], tags: [\"1\"]}\n")
	link := filepath.Join(folder, "policy.yaml")
	require.NoError(t, os.Symlink("real.yaml", link))
	code, _, stderr := run("lock", link)
	require.Equal(t, exitOK, code, stderr)
	require.Equal(t, "version: 1\ninclude: [team.yaml]\n", contents(t, link))
	require.Contains(t, contents(t, team),
		`{from: docker/a, to: `+r.host+`/x/a, pins: {"1": "`+d+`"}}`)

	require.NoError(t,
		os.WriteFile(team, []byte("version: 1\nfrontends:\n- {match: ["+r.host+"/x/a], tags: [\"1\"]}\n"),
			0o600))
	code, _, stderr = run("lock", link)
	require.Equal(t, exitOK, code, stderr)
	require.Contains(t, contents(t, filepath.Join(folder, "real.yaml")), "aliases:\n  - from: ")
	info, err := os.Lstat(link)
	require.NoError(t, err)
	require.NotZero(t, info.Mode()&os.ModeSymlink, "the link was replaced by a file")

	code, _, stderr = run("lock", link, filepath.Join(folder, "real.yaml"))
	require.Equal(t, exitOK, code, stderr, "nothing changes, so they don't collide")
}

func TestLockUsageErrors(t *testing.T) {
	t.Parallel()
	broken := write(t, "broken.yaml", "version: 1\nfrontend: []\n")
	folded := write(t, "folded.yaml",
		"version: 1\naliases:\n- from: docker/a\n  to: localhost:1/a\n  pins: {'1': \""+digestA+"\"}\n")
	for name, tt := range map[string]struct {
		args []string
		want string
	}{
		"no file":         {[]string{"lock"}, "give at least one policy file"},
		"no such file":    {[]string{"lock", broken + "x"}, "no such file"},
		"a broken policy": {[]string{"lock", broken}, broken + ":2:1: unknown field"},
		"an unreachable tag": {
			[]string{"lock", folded},
			"localhost:1/a:1: contacting the registry localhost:1",
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			code, stdout, stderr := run(tt.args...)
			require.Equal(t, exitUsage, code)
			require.Empty(t, stdout)
			require.Contains(t, stderr, tt.want)
		})
	}
}

// Nothing is looked up for pins of images that builds read, and lock says so.
func TestLockLeavesThePinsOfImages(t *testing.T) {
	t.Parallel()
	const doc = "version: 1\nbuild: {images: {pins: {\"golang:1\": \"sha256:" +
		"4edbfe3a2b0d0d3f3c5fb3e7bb4b4e3c2b7f9c0f7d3e1a2b5c6d7e8f90a1b2c3\"}}}\n"
	file := write(t, "policy.yaml", doc)
	code, stdout, stderr := run("lock", "--check", file)
	require.Equal(t, exitOK, code)
	require.Empty(t, stdout)
	require.Equal(t, file+": only the pins of aliases are updated, and build.images.pins stay as "+
		"they are\n",
		stderr)
}
