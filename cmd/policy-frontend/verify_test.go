//go:build !image

package main

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"io"
	"log"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/registry"
	"github.com/google/go-containerregistry/pkg/v1/random"
	"github.com/google/go-containerregistry/pkg/v1/remote"
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
	digest, err := vsa.ParseDigest(image)
	require.NoError(t, err)
	s, err := vsa.New([]string{"registry.example/app:1"}, digest,
		vsa.Verifier{ID: "https://example.com/guard", Version: map[string]string{"policy-guard": "v1"}},
		time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC), vsa.Policy{URI: "urn:corp", Digest: summaryPolicy},
		vsa.Details{
			Decision: json.RawMessage(`{"verdict":"allow","source":"docker.io/docker/dockerfile:1",` +
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
		"no image":     {exitUsage, []string{"--key", key}, "give either an image, or --summary"},
		"no digest":    {exitUsage, []string{"--key", key, "--summary", file}, "need each other"},
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
