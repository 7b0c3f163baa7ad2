//go:build !image

package main

import (
	"archive/tar"
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/registry"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/random"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/types"
	"github.com/stretchr/testify/require"

	"github.com/policy-frontend/policy-frontend/internal/attached"
	"github.com/policy-frontend/policy-frontend/internal/lock"
	"github.com/policy-frontend/policy-frontend/vsa"
)

// newVerifyKey returns a signer with a new key, and the file with the public key.
func newVerifyKey(t *testing.T) (signer vsa.Signer, public string) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	der, err := x509.MarshalPKCS8PrivateKey(key)
	require.NoError(t, err)
	signer, err = vsa.ParsePrivateKey(pem.EncodeToMemory(
		&pem.Block{Type: "PRIVATE KEY", Bytes: der}))
	require.NoError(t, err)
	der, err = x509.MarshalPKIXPublicKey(key.Public())
	require.NoError(t, err)
	return signer, write(t, "key.pub", string(pem.EncodeToMemory(
		&pem.Block{Type: "PUBLIC KEY", Bytes: der})))
}

var summaryPolicy = vsa.Digest{SHA256: strings.Repeat("2", 64)}

// summaryOf returns a signed summary of an image.
func summaryOf(t *testing.T, image string, by vsa.Signer) *vsa.Envelope {
	t.Helper()
	return summaryWith(t, image, `"verdict":"allow"`, by)
}

// summaryWith is summaryOf with a verdict in the decision.
func summaryWith(t *testing.T, image, verdict string, by vsa.Signer) *vsa.Envelope {
	t.Helper()
	digest, err := vsa.ParseDigest(image)
	require.NoError(t, err)
	s, err := vsa.New([]string{"registry.example/app:1"}, digest,
		vsa.Verifier{ID: "https://example.com/guard", Version: map[string]string{"policy-guard": "v1"}},
		time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC), vsa.Policy{URI: "urn:corp", Digest: summaryPolicy},
		vsa.Details{
			Decision: json.RawMessage(`{` + verdict + `,"source":"docker.io/docker/dockerfile:1",` +
				`"rule":"dockerfile","reason":"it is\u001b[31m listed","policy":{"digest":"` +
				summaryPolicy.String() + `"}}`),
			Dispatch: "mediate",
			Sources:  []vsa.Source{{URI: "docker-image://docker.io/library/alpine", Digest: "sha256:3"}},
		})
	require.NoError(t, err)
	e, err := vsa.Sign(t.Context(), s, by)
	require.NoError(t, err)
	return e
}

// pushedImage pushes an image to a new registry, with or without a list of referrers, and returns
// its name and digest.
func pushedImage(t *testing.T, referrers bool) (reference, digest string) {
	t.Helper()
	server := httptest.NewServer(registry.New(registry.WithReferrersSupport(referrers),
		registry.Logger(log.New(io.Discard, "", 0))))
	t.Cleanup(server.Close)
	reference = strings.TrimPrefix(server.URL, "http://") + "/app:1"
	image, err := random.Image(10, 1)
	require.NoError(t, err)
	ref, err := name.ParseReference(reference)
	require.NoError(t, err)
	require.NoError(t, remote.Write(ref, image))
	hash, err := image.Digest()
	require.NoError(t, err)
	return reference, hash.String()
}

const provenText = `DIGEST is proven.
  exported as registry.example/app:1
  verifier    https://example.com/guard v1, 2026-01-02T03:04:05Z
  policy      urn:corp sha256:2222222222222222222222222222222222222222222222222222222222222222
  frontend    docker.io/docker/dockerfile:1
  rule        dockerfile: it is[31m listed
  dispatch    mediate: the frontend ran in a container, and each of its calls was judged
  source      docker-image://docker.io/library/alpine sha256:3
`

func TestVerifyFindsSummariesBesideTheImage(t *testing.T) {
	t.Parallel()
	for name, referrers := range map[string]bool{
		"in a registry with referrers": true, "in a registry without them": false,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			signer, key := newVerifyKey(t)
			other, _ := newVerifyKey(t)
			reference, digest := pushedImage(t, referrers)
			code, _, stderr := run("verify", "--key", key, reference)
			require.Equal(t, exitNothing, code)
			require.Contains(t, stderr, "nothing is proven of "+digest+": it has no summary")

			image, err := vsa.ParseDigest(digest)
			require.NoError(t, err)
			repository := strings.TrimSuffix(reference, ":1")
			registries := attached.Registries{Registry: lock.NewRegistry(nil)}
			push := func(e *vsa.Envelope) {
				bundle, err := e.Bundle(signer.Public())
				require.NoError(t, err)
				require.NoError(t, registries.Push(t.Context(), []string{repository}, image, bundle))
			}
			push(summaryOf(t, digest, other))
			push(summaryOf(t, summaryPolicy.String(), signer))
			code, _, stderr = run("verify", "--key", key, reference)
			require.Equal(t, exitNothing, code)
			require.Contains(t, stderr, "a summary: it isn't signed by this key")
			require.Contains(t, stderr, "a summary is about another image: "+summaryPolicy.String())

			push(summaryOf(t, digest, signer))
			for _, ref := range []string{reference, repository + "@" + digest} {
				code, stdout, stderr := run("verify", "--key", key, ref)
				require.Equal(t, exitOK, code, stderr)
				require.Equal(t, strings.Replace(provenText, "DIGEST", digest, 1), stdout)
			}
			code, stdout, _ := run("verify", "--key", key, "--policy-digest", summaryPolicy.String(),
				"--format=json", reference)
			require.Equal(t, exitOK, code)
			var found proven
			require.NoError(t, json.Unmarshal([]byte(stdout), &found))
			require.Len(t, found.Summaries, 1)
			code, _, stderr = run("verify", "--key", key, "--policy-digest", digest, reference)
			require.Equal(t, exitNothing, code)
			require.Contains(t, stderr, "a summary is by another policy: "+summaryPolicy.String())
		})
	}
}

func TestVerifyShowsNothingOfARegistryOnWhichATerminalActs(t *testing.T) {
	t.Parallel()
	reference, digest := pushedImage(t, true)
	behind := httputil.NewSingleHostReverseProxy(&url.URL{
		Scheme: "http", Host: strings.TrimSuffix(reference, "/app:1"),
	})
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.Contains(r.URL.Path, "/referrers/") {
			w.WriteHeader(http.StatusForbidden)
			_, _ = io.WriteString(w, "\x1b[1A\x1b[2K\u009b31m\n"+digest+" is proven.\u202e")
			return
		}
		behind.ServeHTTP(w, r)
	}))
	t.Cleanup(server.Close)
	_, key := newVerifyKey(t)
	code, stdout, stderr := run("verify", "--key", key,
		strings.TrimPrefix(server.URL, "http://")+"/app:1")
	require.Equal(t, exitUsage, code)
	require.Empty(t, stdout)
	require.Contains(t, stderr, "403 Forbidden")
	for _, sign := range []string{"\x1b", "\u009b", "\u202e", "\n" + digest} {
		require.NotContains(t, stderr, sign)
	}
}

func TestVerifyReadsASummaryFromAFile(t *testing.T) {
	t.Parallel()
	signer, key := newVerifyKey(t)
	digest := "sha256:" + strings.Repeat("1", 64)
	data, err := summaryOf(t, digest, signer).Bytes()
	require.NoError(t, err)
	file := write(t, "summary.json", string(data))
	code, stdout, stderr := run("verify", "--key", key, "--summary", file, "--digest", digest)
	require.Equal(t, exitOK, code, stderr)
	require.Equal(t, strings.Replace(provenText, "DIGEST", digest, 1), stdout)
	for name, c := range map[string]struct {
		code int
		args []string
		why  string
	}{
		"another image": {
			exitNothing,
			[]string{"--key", key, "--summary", file, "--digest", summaryPolicy.String()},
			"a summary is about another image",
		},
		"no key":       {exitUsage, []string{"app:1"}, "the flag --key is missing"},
		"no image":     {exitUsage, []string{"--key", key}, "give an image, --layout, or --summary"},
		"no digest":    {exitUsage, []string{"--key", key, "--summary", file}, "--summary with --digest"},
		"a wrong hash": {exitUsage, []string{"--key", key, "--summary", file, "--digest=a"}, "--digest: "},
		"too much": {
			exitUsage, []string{"--key", key, "--layout", file, "app:1"}, "go without the name of an image",
		},
		"no such key":  {exitUsage, []string{"--key", "no.pub", "app:1"}, "no.pub"},
		"a wrong key":  {exitUsage, []string{"--key", file, "app:1"}, "it has no PEM"},
		"a short hash": {exitUsage, []string{"--key", key, "--policy-digest=a", "app:1"}, "--policy-digest"},
		"a file without a summary": {
			exitUsage, []string{"--key", key, "--summary", key, "--digest", digest}, "the envelope: ",
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			code, _, stderr := run(append([]string{"verify"}, c.args...)...)
			require.Equal(t, c.code, code, stderr)
			require.Contains(t, stderr, c.why)
		})
	}
}

func TestVerifyAcceptsAWarnedBuildOnlyIfAsked(t *testing.T) {
	t.Parallel()
	signer, key := newVerifyKey(t)
	digest := "sha256:" + strings.Repeat("1", 64)
	e := summaryWith(t, digest, `"verdict":"warn","warnings":["no network"]`, signer)
	data, err := e.Bytes()
	require.NoError(t, err)
	args := []string{
		"verify", "--key", key, "--summary", write(t, "summary.json", string(data)), "--digest", digest,
	}
	code, _, stderr := run(args...)
	require.Equal(t, exitNothing, code)
	require.Contains(t, stderr, "the policy only warned about the build (--warned accepts that): no network")
	code, stdout, stderr := run(append(args, "--warned")...)
	require.Equal(t, exitOK, code, stderr)
	require.Contains(t, stdout, "\n  warning     no network\n")
}

// ociLayout writes a layout with an image, and returns its folder and the image's digest. It puts
// bundles beside the image.
func ociLayout(t *testing.T, bundles func(digest string) [][]byte) (dir, digest string) {
	t.Helper()
	dir = t.TempDir()
	put := func(data []byte) v1.Descriptor {
		hash, size, err := v1.SHA256(bytes.NewReader(data))
		require.NoError(t, err)
		path := filepath.Join(dir, "blobs", "sha256", hash.Hex)
		require.NoError(t, os.MkdirAll(filepath.Dir(path), 0o700))
		require.NoError(t, os.WriteFile(path, data, 0o600))
		return v1.Descriptor{MediaType: types.OCIManifestSchema1, Digest: hash, Size: size}
	}
	encode := func(v any) []byte {
		data, err := json.Marshal(v)
		require.NoError(t, err)
		return data
	}
	config := put([]byte("{}"))
	config.MediaType = "application/vnd.oci.empty.v1+json"
	of := put(encode(v1.Manifest{
		SchemaVersion: 2, MediaType: types.OCIManifestSchema1, Config: config,
	}))
	index := v1.IndexManifest{SchemaVersion: 2, Manifests: []v1.Descriptor{of, of}}
	for _, b := range bundles(of.Digest.String()) {
		layer := put(b)
		layer.MediaType = vsa.BundleType
		index.Manifests = append(index.Manifests, put(encode(v1.Manifest{
			SchemaVersion: 2, MediaType: types.OCIManifestSchema1, Subject: &of,
			ArtifactType: vsa.BundleType, Config: config, Layers: []v1.Descriptor{layer},
		})))
	}
	require.NoError(t, os.WriteFile(filepath.Join(dir, "index.json"), encode(index), 0o600))
	require.NoError(t, os.WriteFile(filepath.Join(dir, "oci-layout"),
		[]byte(`{"imageLayoutVersion":"1.0.0"}`), 0o600))
	return dir, of.Digest.String()
}

// tarOf writes a folder as a tar archive, with further files.
func tarOf(t *testing.T, dir string, more ...string) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "layout.tar")
	f, err := os.Create(file)
	require.NoError(t, err)
	defer f.Close()
	w := tar.NewWriter(f)
	require.NoError(t, w.AddFS(os.DirFS(dir)))
	for _, name := range more {
		require.NoError(t, w.WriteHeader(&tar.Header{
			Typeflag: tar.TypeReg, Name: name, Size: 2, Mode: 0o600,
		}))
		_, err := w.Write([]byte("{}"))
		require.NoError(t, err)
	}
	require.NoError(t, w.Close())
	return file
}

func TestVerifyReadsALayout(t *testing.T) {
	t.Parallel()
	signer, key := newVerifyKey(t)
	other, _ := newVerifyKey(t)
	bundle := func(image string, by vsa.Signer) []byte {
		data, err := summaryOf(t, image, by).Bundle(by.Public())
		require.NoError(t, err)
		return data
	}
	proven, digest := ociLayout(t, func(digest string) [][]byte {
		return [][]byte{bundle(digest, other), bundle(digest, signer), []byte("{}")}
	})
	bare, _ := ociLayout(t, func(string) [][]byte { return nil })
	foreign, _ := ociLayout(t, func(string) [][]byte {
		return [][]byte{bundle(summaryPolicy.String(), signer)}
	})
	changed, _ := ociLayout(t, func(digest string) [][]byte {
		return [][]byte{bundle(digest, signer)}
	})
	blob := filepath.Join(changed, "blobs", "sha256", strings.TrimPrefix(digest, "sha256:"))
	require.NoError(t, os.WriteFile(blob, []byte(`{"schemaVersion":2} `), 0o600))
	data, err := summaryOf(t, digest, signer).Bytes()
	require.NoError(t, err)
	summary := write(t, "summary.json", string(data))
	for name, c := range map[string]struct {
		code int
		args []string
		why  string
	}{
		"a folder":                   {exitOK, []string{"--layout", proven}, ""},
		"an archive":                 {exitOK, []string{"--layout", tarOf(t, proven)}, ""},
		"the digest of the image":    {exitOK, []string{"--layout", proven, "--digest", digest}, ""},
		"a summary beside it":        {exitOK, []string{"--layout", bare, "--summary", summary}, ""},
		"no summary":                 {exitNothing, []string{"--layout", bare}, "it has no summary"},
		"a summary of another image": {exitNothing, []string{"--layout", foreign}, "about another image"},
		"another digest": {
			exitUsage, []string{"--layout", proven, "--digest", summaryPolicy.String()}, "it has no image",
		},
		"a manifest that was changed": {
			exitUsage, []string{"--layout", changed}, "has another digest",
		},
		"an archive with two indexes": {
			exitUsage, []string{"--layout", tarOf(t, proven, "./index.json")}, "the archive has it twice",
		},
		"no layout":  {exitUsage, []string{"--layout", t.TempDir()}, "oci-layout"},
		"no archive": {exitUsage, []string{"--layout", key}, "the archive can't be read"},
		"no index":   {exitUsage, []string{"--layout", tarOf(t, t.TempDir())}, "it isn't in the archive"},
		"nothing":    {exitUsage, []string{"--layout", "no-such-layout"}, "no-such-layout"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			code, stdout, stderr := run(append([]string{"verify", "--key", key}, c.args...)...)
			require.Equal(t, c.code, code, stderr)
			if c.code == exitOK {
				require.Equal(t, strings.Replace(provenText, "DIGEST", digest, 1), stdout)
			}
			require.Contains(t, stderr, c.why)
		})
	}
}
