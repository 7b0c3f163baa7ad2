//go:build !image

package main

import (
	"archive/tar"
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/random"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/types"
	"github.com/stretchr/testify/require"

	"github.com/policy-frontend/policy-frontend/internal/attached"
	"github.com/policy-frontend/policy-frontend/internal/lock"
	"github.com/policy-frontend/policy-frontend/vsa"
)

// someLayout is an image layout with one image, which is proven, that a test changes.
type someLayout struct {
	t           *testing.T
	dir, digest string
}

func provenLayout(t *testing.T, signer vsa.Signer) someLayout {
	dir, digest := ociLayout(t, func(digest string) [][]byte {
		bundle, err := summaryOf(t, digest, signer).Bundle(signer.Public())
		require.NoError(t, err)
		return [][]byte{bundle}
	})
	return someLayout{t, dir, digest}
}

// put writes a file.
func (l someLayout) put(file, content string) {
	path := filepath.Join(l.dir, filepath.FromSlash(file))
	require.NoError(l.t, os.MkdirAll(filepath.Dir(path), 0o700))
	require.NoError(l.t, os.WriteFile(path, []byte(content), 0o600))
}

// blob writes a blob, and returns its digest.
func (l someLayout) blob(content string) v1.Hash {
	hash, _, err := v1.SHA256(strings.NewReader(content))
	require.NoError(l.t, err)
	l.put("blobs/sha256/"+hash.Hex, content)
	return hash
}

// list adds a manifest to the index, as its first one.
func (l someLayout) list(hash v1.Hash, kind types.MediaType) {
	data, err := os.ReadFile(filepath.Join(l.dir, "index.json"))
	require.NoError(l.t, err)
	var index v1.IndexManifest
	require.NoError(l.t, json.Unmarshal(data, &index))
	index.Manifests = append([]v1.Descriptor{{MediaType: kind, Digest: hash}}, index.Manifests...)
	data, err = json.Marshal(index)
	require.NoError(l.t, err)
	l.put("index.json", string(data))
}

// bundle returns the manifest of the only bundle.
func (l someLayout) bundle() string {
	files, err := filepath.Glob(filepath.Join(l.dir, "blobs", "sha256", "*"))
	require.NoError(l.t, err)
	for _, f := range files {
		data, err := os.ReadFile(f)
		require.NoError(l.t, err)
		if bytes.Contains(data, []byte(`"subject":{`)) {
			return string(data)
		}
	}
	require.Fail(l.t, "no bundle")
	return ""
}

// reference returns a manifest that says it is about the image.
func (l someLayout) reference(more string) string {
	return fmt.Sprintf(`{"schemaVersion":2,"mediaType":%q,"subject":{"mediaType":%[1]q,"size":1,`+
		`"digest":%q},%s}`, types.OCIManifestSchema1, l.digest, more)
}

// Whatever a program may load from a layout in place of the proven image is found.
func TestVerifyRefusesALayoutWithAnotherImage(t *testing.T) {
	t.Parallel()
	signer, key := newVerifyKey(t)
	const several, docker = "it has 2 manifests that aren't of summaries", "Docker loads another image"
	evil := func(l someLayout) string {
		return strings.TrimPrefix(l.blob(`{"config":{"Cmd":["evil"]}}`).String(), "sha256:")
	}
	addBundle := func(old, replacement string, kind types.MediaType) func(someLayout) {
		return func(l someLayout) {
			changed := strings.Replace(l.bundle(), old, replacement, 1)
			require.NotEqual(l.t, l.bundle(), changed)
			l.list(l.blob(changed), kind)
		}
	}
	for name, c := range map[string]struct {
		change func(someLayout)
		why    string
	}{
		"an image whose subject is the proven one": {func(l someLayout) {
			l.list(l.blob(l.reference(`"config":{"digest":"sha256:`+evil(l)+`"},"layers":[]`)),
				types.OCIManifestSchema1)
		}, several},
		"an index whose subject is the proven one": {func(l someLayout) {
			l.list(l.blob(l.reference(`"manifests":[]`)), types.OCIImageIndex)
		}, several},
		"a summary that is an index, too": {
			addBundle(`{"schemaVersion"`, `{"manifests":[],"schemaVersion"`, types.OCIImageIndex), several,
		},
		"a summary that is an index in upper case": {
			addBundle(`{"schemaVersion"`, `{"Manifests":[],"schemaVersion"`, types.OCIImageIndex), several,
		},
		"a summary with two configurations": {
			addBundle(`"layers"`, `"Config":{},"layers"`, types.OCIManifestSchema1), several,
		},
		"a summary with two types of its configuration": {
			addBundle(`"config":{`, `"config":{"MediaType":"application/vnd.oci.image.config.v1+json",`,
				types.OCIManifestSchema1), several,
		},
		"a summary with the configuration of an image": {func(l someLayout) {
			addBundle("44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a", evil(l),
				types.OCIManifestSchema1)(l)
		}, several},
		"a summary with the type of an image": {
			addBundle("application/vnd.oci.empty.v1+json", "application/vnd.oci.image.config.v1+json",
				types.OCIManifestSchema1), several,
		},
		"a summary without an artifact type": {
			addBundle(`"artifactType":"`+vsa.BundleType+`"`, `"artifactType":""`,
				types.OCIManifestSchema1), several,
		},
		"a summary that is elsewhere": {
			addBundle(`"layers":[{`, `"layers":[{"urls":["http://127.0.0.1/"],`,
				types.OCIManifestSchema1), several,
		},
		"a manifest that is missing": {func(l someLayout) {
			l.list(v1.Hash{Algorithm: "sha256", Hex: summaryPolicy.SHA256}, types.OCIManifestSchema1)
		}, several},
		"no oci-layout": {func(l someLayout) {
			require.NoError(l.t, os.Remove(filepath.Join(l.dir, "oci-layout")))
		}, "oci-layout: "},
		"another version": {func(l someLayout) {
			l.put("oci-layout", `{"imageLayoutVersion":""}`)
		}, `oci-layout: the version is "", not "1.0.0"`},
		"two versions": {func(l someLayout) {
			l.put("oci-layout", `{"ImageLayoutVersion":"","imageLayoutVersion":"1.0.0"}`)
		}, "twice in one object"},
		"an index with two lists": {func(l someLayout) {
			data, err := os.ReadFile(filepath.Join(l.dir, "index.json"))
			require.NoError(l.t, err)
			l.put("index.json", strings.Replace(string(data), "{", `{"Manifests":[],`, 1))
		}, "twice in one object"},
		"another image of Docker": {func(l someLayout) {
			l.put("manifest.json", `[{"Config":"blobs/sha256/`+evil(l)+`"}]`)
		}, docker},
		"no image of Docker": {func(l someLayout) { l.put("manifest.json", `[]`) }, docker},
		"an image of Docker that isn't the only one": {func(l someLayout) {
			l.put("manifest.json", `[`+dockerEntry+`,{"Config":"blobs/sha256/`+evil(l)+`"}]`)
		}, docker},
		"an image of Docker whose configuration was changed": {func(l someLayout) {
			l.put("manifest.json", `[`+dockerEntry+`]`)
			l.put(dockerConfig, `{"config":{"Cmd":["evil"]}}`)
		}, "has another digest"},
		"an image of Docker with two configurations": {func(l someLayout) {
			l.put("manifest.json", strings.Replace(`[`+dockerEntry+`]`, "{", `{"config":"evil",`, 1))
		}, "twice in one object"},
		"a list of Docker's repositories": {func(l someLayout) {
			l.put("manifest.json", `[`+dockerEntry+`]`)
			l.put("repositories", `{}`)
		}, "the file repositories"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			l := provenLayout(t, signer)
			c.change(l)
			for _, layout := range []string{l.dir, tarOf(t, l.dir)} {
				code, stdout, stderr := run("verify", "--key", key, "--layout", layout)
				require.Equal(t, exitUsage, code, stderr)
				require.Empty(t, stdout)
				require.Contains(t, stderr, c.why)
			}
			if c.why == several {
				code, _, stderr := run("verify", "--key", key, "--layout", l.dir, "--digest", l.digest)
				require.Equal(t, exitOK, code, stderr)
			}
		})
	}
}

const (
	dockerConfig = "blobs/sha256/44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a"
	dockerEntry  = `{"Config":"` + dockerConfig + `","RepoTags":["app:1"],"Layers":null}`
)

// docker buildx build -o type=docker writes a layout that also has the image in Docker's format.
func TestVerifyReadsAnArchiveForDocker(t *testing.T) {
	t.Parallel()
	signer, key := newVerifyKey(t)
	l := provenLayout(t, signer)
	l.put("manifest.json", `[`+dockerEntry+`]`)
	code, _, stderr := run("verify", "--key", key, "--layout", tarOf(t, l.dir))
	require.Equal(t, exitOK, code, stderr)

	child, err := v1.NewHash(l.digest)
	require.NoError(t, err)
	list, err := json.Marshal(v1.IndexManifest{
		SchemaVersion: 2, MediaType: types.OCIImageIndex, Manifests: []v1.Descriptor{
			{Digest: v1.Hash{Algorithm: "sha256", Hex: summaryPolicy.SHA256}}, // of another platform
			{Digest: child},
		},
	})
	require.NoError(t, err)
	index := l.blob(string(list))
	l.put("index.json", `{"schemaVersion":2,"manifests":[{"digest":"`+index.String()+`"}]}`)
	data, err := summaryOf(t, index.String(), signer).Bytes()
	require.NoError(t, err)
	code, _, stderr = run("verify", "--key", key, "--layout", tarOf(t, l.dir),
		"--summary", write(t, "summary.json", string(data)))
	require.Equal(t, exitOK, code, stderr)
}

func TestVerifyRefusesAnArchiveThatProgramsReadDifferently(t *testing.T) {
	t.Parallel()
	signer, key := newVerifyKey(t)
	l := provenLayout(t, signer)
	data, err := os.ReadFile(tarOf(t, l.dir))
	require.NoError(t, err)
	end := bytes.LastIndexFunc(data, func(r rune) bool { return r != 0 })/512*512 + 512
	require.Len(t, data, end+1024)
	// entry returns an archive with one entry, without its end.
	entry := func(h tar.Header) string {
		var b bytes.Buffer
		w := tar.NewWriter(&b)
		require.NoError(t, w.WriteHeader(&h))
		_, err := w.Write(make([]byte, h.Size))
		require.NoError(t, err)
		require.NoError(t, w.Flush())
		return b.String()
	}
	file := func(name string) string {
		return entry(tar.Header{Typeflag: tar.TypeReg, Name: name, Size: 2})
	}
	odd := func(kind byte, name string) string {
		return entry(tar.Header{Typeflag: kind, Name: name, Linkname: "evil"})
	}
	whole, entries, zeros := string(data), string(data[:end]), string(make([]byte, 1024))
	for name, c := range map[string]struct{ archive, why string }{
		"as it is":            {whole, ""},
		"with more padding":   {whole + strings.Repeat(zeros, 9), ""},
		"with another file":   {entries + file("evil.json") + zeros, ""},
		"with a folder again": {entries + odd(tar.TypeDir, "blobs/") + zeros, ""},
		"with a second archive after its end": {
			whole + file("index.json") + zeros, "the archive goes on after its end",
		},
		"with one byte after its end": {whole + zeros + "a", "the archive goes on after its end"},
		"with endless padding":        {whole + strings.Repeat(zeros, 1025), "more than 1048576 bytes"},
		"with two indexes": {
			entries + file("./index.json") + zeros, `has it twice: "./index.json"`,
		},
		"with an index in upper case": {entries + file("INDEX.json") + zeros, "has it twice"},
		"with a blob twice":           {entries + file(dockerConfig) + zeros, "has it twice"},
		"with a folder in place of the index": {
			entries + odd(tar.TypeDir, "index.json") + zeros, "has it twice",
		},
		"with a file in place of a folder": {entries + file("blobs") + zeros, "has it twice"},
		"with an absolute name":            {entries + file("/index.json") + zeros, "leads out of it"},
		"with a name that leads out": {
			entries + file("a/../../index.json") + zeros, "leads out of it",
		},
		"with a symbolic link": {entries + odd(tar.TypeSymlink, "blobs/sha256/x") + zeros, "neither a file"},
		"with a hard link":     {entries + odd(tar.TypeLink, "blobs/sha256/x") + zeros, "neither a file"},
		"with a file that has another name for GNU tar": {
			entries + strings.Replace(entry(tar.Header{
				Name: "a", PAXRecords: map[string]string{"FOO.sparse.name": "index.json"},
			}), "FOO", "GNU", 1) + zeros, "is sparse",
		},
		"that is compressed with gzip, too": {
			entry(tar.Header{Name: "\x1f\x8b\x08\x04", Format: tar.FormatGNU}) + whole,
			"is compressed, or isn't one",
		},
		"that is compressed with zstd, too":  {file("P*M\x18") + whole, "is compressed, or isn't one"},
		"that is compressed with bzip2, too": {file("BZh9") + whole, "is compressed, or isn't one"},
		"that is cut off":                    {entries[:600], "the archive can't be read"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			code, stdout, stderr := run("verify", "--key", key, "--layout", write(t, "a.tar", c.archive))
			if c.why == "" {
				require.Equal(t, exitOK, code, stderr)
				return
			}
			require.Equal(t, exitUsage, code, stderr)
			require.Empty(t, stdout)
			require.Contains(t, stderr, c.why)
		})
	}
}

// What can't be read beside an image doesn't hide what proves something.
func TestVerifySkipsWhatItCannotReadInALayout(t *testing.T) {
	t.Parallel()
	signer, key := newVerifyKey(t)
	other, _ := newVerifyKey(t)
	bundle := func(image string, by vsa.Signer) []byte {
		data, err := summaryOf(t, image, by).Bundle(by.Public())
		require.NoError(t, err)
		return data
	}
	many, _ := ociLayout(t, func(digest string) (bundles [][]byte) {
		for range 200 {
			bundles = append(bundles, bundle(digest, other))
		}
		return append(bundles, bundle(digest, signer))
	})
	code, stdout, stderr := run("verify", "--key", key, "--layout", many)
	require.Equal(t, exitOK, code, stderr)
	require.Contains(t, stdout, "Skipped the first 1: more than 200 bundles are beside the image\n")

	missing := []byte("missing")
	dir, _ := ociLayout(t, func(digest string) [][]byte {
		return [][]byte{missing, bundle(digest, signer)}
	})
	gone, _, err := v1.SHA256(bytes.NewReader(missing))
	require.NoError(t, err)
	require.NoError(t, os.Remove(filepath.Join(dir, "blobs", "sha256", gone.Hex)))
	code, stdout, stderr = run("verify", "--key", key, "--layout", dir)
	require.Equal(t, exitOK, code, stderr)
	require.Contains(t, stdout, "\nSkipped a summary: blobs/sha256/"+gone.Hex)
}

func TestVerifySkipsWhatItCannotReadInARegistry(t *testing.T) {
	t.Parallel()
	signer, key := newVerifyKey(t)
	other, otherKey := newVerifyKey(t)
	reference, digest := pushedImage(t, false)
	ref, err := name.ParseReference(reference)
	require.NoError(t, err)
	of, err := remote.Head(ref)
	require.NoError(t, err)
	index, err := random.Index(10, 1, 1)
	require.NoError(t, err)
	index, ok := mutate.Subject(index, *of).(v1.ImageIndex)
	require.True(t, ok)
	hash, err := index.Digest()
	require.NoError(t, err)
	require.NoError(t, remote.WriteIndex(ref.Context().Digest(hash.String()), index))

	image, err := vsa.ParseDigest(digest)
	require.NoError(t, err)
	registries := attached.Registries{Registry: lock.NewRegistry(nil)}
	push := func(signer vsa.Signer) {
		bundle, err := summaryOf(t, digest, signer).Bundle(signer.Public())
		require.NoError(t, err)
		require.NoError(t, registries.Push(t.Context(), []string{ref.Context().Name()}, image, bundle))
	}
	referrers := func() (digests []v1.Hash) {
		list, err := remote.Referrers(ref.Context().Digest(digest))
		require.NoError(t, err)
		m, err := list.IndexManifest()
		require.NoError(t, err)
		for _, d := range m.Manifests {
			digests = append(digests, d.Digest)
		}
		return digests
	}
	push(signer)
	code, stdout, stderr := run("verify", "--key", key, reference)
	require.Equal(t, exitOK, code, stderr)
	require.Contains(t, stdout, "\nSkipped "+hash.String()+": it is no manifest but "+
		"application/vnd.oci.image.index.v1+json\n")
	code, _, stderr = run("verify", "--key", otherKey, reference)
	require.Equal(t, exitNothing, code)
	require.Contains(t, stderr, "skipped "+hash.String())

	// A list may have what the registry has no more.
	before := referrers()
	push(other)
	var gone v1.Hash
	for _, d := range referrers() {
		if !slices.Contains(before, d) {
			gone = d
		}
	}
	require.NoError(t, remote.Delete(ref.Context().Digest(gone.String())))
	code, stdout, stderr = run("verify", "--key", key, reference)
	require.Equal(t, exitOK, code, stderr)
	require.Contains(t, stdout, "\nSkipped "+gone.String()+": ")
}

func TestVerifyLooksAtTwoHundredSummaries(t *testing.T) {
	t.Parallel()
	signer, key := newVerifyKey(t)
	reference, digest := pushedImage(t, true)
	image, err := vsa.ParseDigest(digest)
	require.NoError(t, err)
	registries := attached.Registries{Registry: lock.NewRegistry(nil)}
	for range 202 {
		bundle, err := summaryOf(t, digest, signer).Bundle(signer.Public())
		require.NoError(t, err)
		repository := strings.TrimSuffix(reference, ":1")
		require.NoError(t, registries.Push(t.Context(), []string{repository}, image, bundle))
	}
	code, stdout, stderr := run("verify", "--key", key, "--format=json", reference)
	require.Equal(t, exitOK, code, stderr)
	var found proven
	require.NoError(t, json.Unmarshal([]byte(stdout), &found))
	require.Len(t, found.Summaries, 200)
	require.Equal(t, []string{"the first 2: more than 200 bundles are beside the image"}, found.Skipped)
}
