package integration

import (
	"archive/tar"
	"bytes"
	"debug/elf"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/stretchr/testify/require"

	"github.com/policy-frontend/policy-frontend/integration/harness"
	"github.com/policy-frontend/policy-frontend/integration/harness/provision"
	"github.com/policy-frontend/policy-frontend/integration/harness/registry"
)

// maxImageSize is the largest size of the image in a registry, in bytes. The image contains the
// Dockerfile frontend.
const maxImageSize = 12 * 1000 * 1000

func TestImageIsOneStaticBinaryOnScratch(t *testing.T) {
	t.Parallel()
	image := pullImage(t, env.Image(t))
	config, err := image.ConfigFile()
	require.NoError(t, err)
	files := filesOf(t, image)

	t.Run("it starts the binary, as nobody", func(t *testing.T) {
		require.Equal(t, []string{"/policy-frontend"}, config.Config.Entrypoint)
		require.Empty(t, config.Config.Cmd)
		require.Equal(t, "65534:65534", config.Config.User)
	})
	t.Run("its labels declare what docker/dockerfile's do", func(t *testing.T) {
		labels := maps.Clone(config.Config.Labels)
		for key, value := range registry.DockerfileLabels() {
			require.Equal(t, value, labels[key], key)
			delete(labels, key)
		}
		require.Equal(t, map[string]string{
			"policy-frontend.policy-from-guard": "1",
			"org.opencontainers.image.title":    "policy-frontend",
			"org.opencontainers.image.description": "Enforces a policy on BuildKit builds: which " +
				"frontends they may use, and what these may build",
			"org.opencontainers.image.source":   "https://github.com/policy-frontend/policy-frontend",
			"org.opencontainers.image.licenses": "Apache-2.0",
			"org.opencontainers.image.version":  harness.ImageVersion,
			"org.opencontainers.image.revision": "",
		}, labels)
	})
	t.Run("it holds nothing else, and no policy", func(t *testing.T) {
		require.Equal(t, []string{
			"etc", "etc/policy-frontend", "policy-frontend",
		}, slices.Sorted(maps.Keys(files)))
	})
	t.Run("the binary is static", func(t *testing.T) {
		binary, err := elf.NewFile(bytes.NewReader(files["policy-frontend"]))
		require.NoError(t, err)
		libraries, err := binary.ImportedLibraries()
		require.NoError(t, err)
		require.Empty(t, libraries)
		for _, p := range binary.Progs {
			require.NotEqual(t, elf.PT_INTERP, p.Type, "it asks for a dynamic loader")
		}
	})
	t.Run("nothing keeps the linker from leaving out what isn't called", func(t *testing.T) {
		// Templates call methods by name. If a program contains them, the linker keeps every method of
		// every type, and each build maps a quarter more of the program.
		require.True(t, bytes.Contains(files["policy-frontend"],
			[]byte("policy-frontend/frontend.(*build).dispatch")),
			"the names of functions are in the binary")
		require.False(t, bytes.Contains(files["policy-frontend"],
			[]byte("text/template.(*Template).Execute")),
			"find who calls it with go build -ldflags=-dumpdep")
	})
	t.Run("it is small", func(t *testing.T) {
		sum := sizeOf(t, image)
		t.Logf("layers: %d bytes compressed", sum)
		require.LessOrEqual(t, sum, int64(maxImageSize))
		require.Greater(t, sum, int64(1000*1000), "a Go binary is in it")
	})
}

func TestImageWithoutPolicyRefusesEveryBuild(t *testing.T) {
	t.Parallel()
	s := side{env.SolePermitted(t), "no policy", env.Image(t)}
	for _, frontend := range []string{
		inner, "docker/dockerfile:1.4.0", env.Frontend(t, harness.YAMLFrontend),
	} {
		out := filepath.Join(t.TempDir(), "out")
		s.buildx(t, harness.WriteContext(t, dockerfile(frontend)), "--output", out).
			RequireFailure(t, "holds no policy", "COPY policy.yaml "+harness.PolicyPath)
		require.NoDirExists(t, out)
	}
}

// A user can make an image from the released one, without Go or a checkout. It decides as the image
// of the other tests does.
func TestImageFromAndCopy(t *testing.T) {
	t.Parallel()
	ours := env.WithPolicy(t, corpPolicy)
	derived := env.Repository() + ":derived"
	dir := harness.WriteContext(t, map[string]string{
		"Dockerfile":  fmt.Sprintf("FROM %s\nCOPY policy.yaml %s\n", env.Image(t), harness.PolicyPath),
		"policy.yaml": corpPolicy,
	})
	env.Plain(t).Buildx(t, dir, "build", "--progress=plain", "--push", "--tag", derived, ".").
		RequireSuccess(t)
	require.Equal(t, corpPolicy,
		string(filesOf(t, pullImage(t, derived))["etc/policy-frontend/policy.yaml"]))

	d := env.SolePermitted(t)
	requireEnforces(t, side{d, "derived", derived}, "corp-ci")
	require.JSONEq(t, decision(t, side{d, "ours", ours}), decision(t, side{d, "derived", derived}))
}

// requireEnforces fails the test unless the policy with the id decides about builds on s. That
// policy allows docker/dockerfile:1 and not the evil frontend.
func requireEnforces(t *testing.T, s side, id string) {
	t.Helper()
	require.Contains(t, decision(t, s), `"id":"`+id+`"`)
	out := filepath.Join(t.TempDir(), "out")
	s.buildx(t, harness.WriteContext(t, dockerfile(evil)), "--output", out).RequireFailure(t,
		"is refused", id+" sha256:")
	require.NoDirExists(t, out)
}

// decision builds with docker/dockerfile:1, and returns the decision from the metadata of the
// result.
func decision(t *testing.T, s side) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "metadata.json")
	s.buildx(t, harness.WriteContext(t, dockerfile(inner)), "--metadata-file", file).RequireSuccess(t)
	var text string
	require.NoError(t, json.Unmarshal(harness.ReadMetadata(t, file)["frontend.policy.decision"],
		&text))
	return text
}

func pullImage(t *testing.T, ref string) v1.Image {
	t.Helper()
	parsed, err := name.ParseReference(ref)
	require.NoError(t, err)
	image, err := remote.Image(parsed)
	require.NoError(t, err)
	return image
}

// sizeOf returns the size of an image in a registry, in bytes.
func sizeOf(t *testing.T, image v1.Image) (sum int64) {
	t.Helper()
	layers, err := image.Layers()
	require.NoError(t, err)
	for _, l := range layers {
		size, err := l.Size()
		require.NoError(t, err)
		sum += size
	}
	return sum
}

// filesOf returns the content of every file of an image, and its folders.
func filesOf(t *testing.T, image v1.Image) map[string][]byte {
	t.Helper()
	rc := mutate.Extract(image)
	defer rc.Close()
	files := map[string][]byte{}
	for tr := tar.NewReader(rc); ; {
		h, err := tr.Next()
		if errors.Is(err, io.EOF) {
			return files
		}
		require.NoError(t, err)
		data, err := io.ReadAll(tr)
		require.NoError(t, err)
		files[strings.Trim(h.Name, "/")] = data
	}
}

// bakePolicies is the folder with the policies that the bake tests put into images. It is relative
// to the root of the repository.
const bakePolicies = "integration/testdata/allowed"

// bakeVariable switches the targets on that compile everything once more, for another platform or
// with the tests. That takes minutes; see the target test-bake of the Makefile.
const bakeVariable = "PF_BAKE"

// Real bake runs the real bake file. The subtests share the daemon that baked the tests' image, and
// its caches.
func TestImageBake(t *testing.T) {
	env.NeedsCurrent(t, "the current one bakes the released image, "+
		"and compiling all of it again takes minutes")
	t.Parallel()
	root, err := provision.RepoRoot()
	require.NoError(t, err)

	// A failed bake isn't cached, so this one runs each time. It leaves the Go image of the bake file
	// in the registry, from which the others start.
	broken := &failure{T: t}
	env.BakeWithPolicy(broken, bakePolicies+"/broken/policy.yaml")
	t.Run("a broken policy fails with its position", func(t *testing.T) {
		require.Contains(t, broken.message, "policy.yaml:6:5")
		require.Contains(t, broken.message, `unknown field "tag"; did you mean "tags"?`)
	})

	t.Run("POLICY is a file", func(t *testing.T) {
		ref := env.BakeWithPolicy(t, bakePolicies+"/baked/policy.yaml")
		requireBaked(t, root, ref)
	})

	env.Mediator(t) // which others wait for, and which isn't baked meanwhile
	d := env.BakeDaemon(t)
	bake := func(t *testing.T, vars []string, args ...string) harness.Output {
		c := d.BuildxCommand(root, append([]string{"bake", "--progress=plain"}, args...)...)
		c.Env = append([]string{"VERSION=" + harness.ImageVersion}, vars...)
		c.Timeout = 15 * time.Minute
		return d.Run(t, c)
	}

	t.Run("POLICY is a folder", func(t *testing.T) {
		ref := env.Repository() + ":baked-from-folder"
		bake(t, []string{
			"IMAGE=" + ref, "POLICY=" + bakePolicies + "/baked",
		}, "--push", "image").RequireSuccess(t)
		requireBaked(t, root, ref)
	})
	t.Run("the image of policy-guard is one static binary on scratch", func(t *testing.T) {
		ref := env.Registry.Ref("policy-guard:baked")
		bake(t, []string{"GUARD_IMAGE=" + ref}, "--push", "guard").RequireSuccess(t)
		image := pullImage(t, ref)
		config, err := image.ConfigFile()
		require.NoError(t, err)
		require.Equal(t, []string{"/policy-guard"}, config.Config.Entrypoint)
		require.Equal(t, "65534:65534", config.Config.User)
		require.Equal(t, "policy-guard", config.Config.Labels["org.opencontainers.image.title"])
		require.Equal(t, harness.ImageVersion,
			config.Config.Labels["org.opencontainers.image.version"])
		files := filesOf(t, image)
		require.Equal(t, []string{"policy-guard"}, slices.Collect(maps.Keys(files)))
		binary, err := elf.NewFile(bytes.NewReader(files["policy-guard"]))
		require.NoError(t, err)
		libraries, err := binary.ImportedLibraries()
		require.NoError(t, err)
		require.Empty(t, libraries)
		require.LessOrEqual(t, sizeOf(t, image), int64(maxImageSize))
	})
	t.Run("image-cross is for seven platforms and cross-builds", func(t *testing.T) {
		var plan struct {
			Target map[string]struct {
				Platforms []string `json:"platforms"`
			} `json:"target"`
		}
		printed := bake(t, nil, "--print", "image-cross").RequireSuccess(t)
		require.NoError(t, json.Unmarshal([]byte(printed.Stdout), &plan))
		require.Equal(t, []string{
			"linux/amd64", "linux/arm64", "linux/arm/v7", "linux/386", "linux/ppc64le", "linux/riscv64",
			"linux/s390x",
		},
			plan.Target["image-cross"].Platforms)

		needsBake(t)
		// The test builds one more platform than the tests' image has: each takes a minute or more.
		host := registry.HostPlatform()
		ref := env.Repository() + ":cross"
		bake(t, []string{"IMAGE=" + ref}, "--push", "--set=image-cross.platform="+host,
			"--set=image-cross.platform=linux/arm/v7", "image-cross").RequireSuccess(t)
		machines := map[string]elf.Machine{}
		for _, i := range env.Registry.ReadImage(t, ref) {
			if !i.Attestation {
				binary, err := elf.NewFile(strings.NewReader(i.File(t, "/policy-frontend")))
				require.NoError(t, err)
				machines[i.Platform] = binary.Machine
			}
		}
		self, err := elf.Open("/proc/self/exe")
		require.NoError(t, err)
		defer self.Close()
		require.Equal(t, map[string]elf.Machine{
			host:           self.Machine,
			"linux/arm/v7": elf.EM_ARM,
		}, machines)
	})
	t.Run("the tests of a package pass in their target", func(t *testing.T) {
		needsBake(t)
		o := bake(t, nil, "--set=test.args.PACKAGES=./policy/imageref", "test").RequireSuccess(t)
		require.Contains(t, o.Text(), "ok  \tgithub.com/policy-frontend/policy-frontend/policy/imageref")
	})
}

func needsBake(t *testing.T) {
	t.Helper()
	if os.Getenv(bakeVariable) == "" {
		t.Skipf("make test-bake compiles everything once more; it sets %s", bakeVariable)
	}
}

// requireBaked fails the test unless the image at ref holds and enforces the baked policy.
func requireBaked(t *testing.T, root, ref string) {
	t.Helper()
	require.Equal(t, read(t, filepath.Join(root, bakePolicies, "baked/policy.yaml")),
		string(filesOf(t, pullImage(t, ref))["etc/policy-frontend/policy.yaml"]))
	requireEnforces(t, side{env.SolePermitted(t), "baked", ref}, "baked")
}

// failure is a test for the harness. It keeps the message of Fatalf instead of failing.
type failure struct {
	*testing.T
	message string
}

func (f *failure) Fatalf(format string, args ...any) { f.message = fmt.Sprintf(format, args...) }
