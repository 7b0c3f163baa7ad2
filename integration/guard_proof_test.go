package integration

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"os"
	"path/filepath"
	"strings"
	"testing"

	digests "github.com/opencontainers/go-digest"
	"github.com/stretchr/testify/require"

	"github.com/policy-frontend/policy-frontend/integration/harness"
	"github.com/policy-frontend/policy-frontend/integration/harness/registry"
	"github.com/policy-frontend/policy-frontend/internal/attached"
	pins "github.com/policy-frontend/policy-frontend/internal/lock"
	"github.com/policy-frontend/policy-frontend/policy"
	"github.com/policy-frontend/policy-frontend/vsa"
)

// signingKey writes a new key and its public half, and returns their files.
func signingKey(tb testing.TB) (private, public string) {
	tb.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(tb, err)
	dir := tb.TempDir()
	write := func(name, kind string, der []byte, err error) string {
		require.NoError(tb, err)
		path := filepath.Join(dir, name)
		text := pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der})
		require.NoError(tb, os.WriteFile(path, text, 0o600))
		return path
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	private = write("key.pem", "PRIVATE KEY", der, err)
	der, err = x509.MarshalPKIXPublicKey(key.Public())
	return private, write("key.pub", "PUBLIC KEY", der, err)
}

// proofPolicy lets builds push below proof/.
func proofPolicy() string {
	return guardPolicy + "exports: {push: {allow: [\"" + env.Registry.Ref("proof/**") + "\"]}}\n" +
		"caches: {imports: {registry: {allow: [\"" + env.Registry.Ref("proof/**") + "\"]}}}\n"
}

// summaryIn returns the envelope that a build's metadata has, or why there is none.
func summaryIn(tb testing.TB, file string) (envelope []byte, missing string) {
	tb.Helper()
	value, ok := harness.ReadMetadata(tb, file)["frontend.policy.summary"]
	if !ok {
		return nil, "nothing"
	}
	var said struct {
		Payload string `json:"payload"`
		Missing string `json:"missing"`
	}
	require.NoError(tb, json.Unmarshal(value, &said))
	if said.Payload == "" {
		return nil, said.Missing
	}
	return value, said.Missing
}

// registries are those of the tests.
func registries() attached.Registries {
	return attached.Registries{Registry: pins.NewRegistry([]string{env.Registry.Host()})}
}

func TestGuardProvesWhatItLetThrough(t *testing.T) {
	t.Parallel()
	private, public := signingKey(t)
	folder := t.TempDir()
	g := env.Guard(t, harness.DaemonConfig{}, proofPolicy(), "--sign-key", private,
		"--summaries", folder, "--push-summaries")
	text, err := os.ReadFile(public)
	require.NoError(t, err)
	key, err := vsa.ParsePublicKey(text)
	require.NoError(t, err)

	dir := harness.WriteContext(t, map[string]string{
		"Dockerfile": "FROM busybox\nRUN echo a >/a\nCOPY hello /\nRUN cat /hello\n", "hello": "hello\n",
	})
	app := env.Registry.Ref("proof/app:1")
	build := func(t *testing.T, dir, output string, args ...string) (*vsa.Statement, string) {
		t.Helper()
		file := filepath.Join(t.TempDir(), "metadata.json")
		g.Buildx(t, dir, append([]string{
			"build", "--metadata-file", file, "--output", output, ".",
		}, args...)...).RequireSuccess(t)
		data, missing := summaryIn(t, file)
		if data == nil {
			return nil, missing
		}
		envelope, err := vsa.ParseEnvelope(data)
		require.NoError(t, err)
		s, err := key.Open(envelope)
		require.NoError(t, err)
		require.Empty(t, missing)
		return s, ""
	}
	output := "type=image,push=true,name=" + app
	s, missing := build(t, dir, output)
	require.NotNil(t, s, missing)
	pushed, err := env.Registry.Digest(app)
	require.NoError(t, err)
	require.Equal(t, pushed, s.Image().String())
	require.Equal(t, []vsa.Subject{{Name: app, Digest: s.Image()}}, s.Subject)
	details, err := json.Marshal(s.Predicate.Details)
	require.NoError(t, err)
	require.Contains(t, string(details), "docker-image://docker.io/library/busybox")
	require.Contains(t, string(details), `"uri":"local://context"`)
	require.FileExists(t, filepath.Join(folder, "sha256-"+s.Image().SHA256+".json"))

	found, err := registries().Find(t.Context(), app)
	require.NoError(t, err)
	require.Equal(t, s.Image(), found.Image)
	require.Empty(t, found.Skipped)
	require.Len(t, found.Bundles, 1)

	t.Run("cosign", func(t *testing.T) { cosignVerifies(t, g, app, public, s, found.Bundles[0]) })
	t.Run("steps from a cache", func(t *testing.T) {
		random := harness.WriteContext(t, map[string]string{
			"Dockerfile": "FROM busybox\nRUN cat /proc/sys/kernel/random/uuid >/a\nCOPY hello /\n" +
				"RUN --mount=type=cache,target=/c cat /c/* >/b || echo x >/c/x\n",
			"hello": "hello\n",
		})
		g.Behind.Buildx(t, random, "build", ".").RequireSuccess(t) // past the guard
		rules := func(fields string) {
			text := []byte(proofPolicy() + fields)
			require.NoError(t, os.WriteFile(g.Policy, text, 0o600))
		}
		images := map[string]bool{}
		for _, fields := range []string{"", "# the same rules\n", "limits: {nesting: 2}\n", ""} {
			rules(fields)
			s, missing := build(t, random, output, "--provenance=false") // which has the time
			require.NotNil(t, s, missing)
			images[s.Image().String()] = true
		}
		require.Len(t, images, 2, "only the same rules share commands")
		g.Buildx(t, random, "build", "--output", output,
			"--cache-from", env.Registry.Ref("proof/cache"), ".").RequireFailure(t,
			"it imports a build cache, which later builds would get too")
	})
	t.Run("what has no summary", func(t *testing.T) {
		before, err := os.ReadDir(folder)
		require.NoError(t, err)
		file := filepath.Join(t.TempDir(), "metadata.json")
		_, missing := build(t, dir, "type=local,dest="+t.TempDir())
		require.Equal(t, "nothing", missing)
		for name, o := range map[string]harness.Output{
			"a build that is refused": g.Buildx(t, harness.WriteContext(t, dockerfile("evil/frontend:1")),
				"build", "--metadata-file", file, "--output", output, "."),
			"a build that fails": g.Buildx(t, harness.WriteContext(t, map[string]string{
				"Dockerfile": "FROM busybox\nRUN false\n",
			}), "build", "--metadata-file", file, "--output", output, "."),
			"a build that says its digest itself": g.Buildx(t, dir, "build", "--metadata-file", file,
				"--output", output+",containerimage.digest=sha256:"+strings.Repeat("1", 64), "."),
		} {
			require.NotEqual(t, 0, o.ExitCode, name)
			require.NoFileExists(t, file, name)
		}
		after, err := os.ReadDir(folder)
		require.NoError(t, err)
		require.Len(t, after, len(before))
	})
	t.Run("a build that is only warned about", func(t *testing.T) {
		warns := "mode: warn\n" + strings.Replace(proofPolicy(), "docker/dockerfile", "other/one", 1)
		require.NoError(t, os.WriteFile(g.Policy, []byte(warns), 0o600))
		_, missing := build(t, dir, output)
		require.Contains(t, missing, "the policy only warned about it")
		require.NoError(t, os.WriteFile(g.Policy, []byte(warns+"attest: [warned]\n"), 0o600))
		s, missing := build(t, dir, output)
		require.NotNil(t, s, missing)
		d, err := s.Decision()
		require.NoError(t, err)
		require.True(t, d.Warned())
	})
}

// cosignVariable switches the tests with cosign on. It takes up to 20 minutes to build; see the
// target test-cosign of the Makefile.
const cosignVariable = "PF_COSIGN"

// cosignVerifies has cosign verify the summary of an image, and refuse ones that were changed.
func cosignVerifies(
	t *testing.T, g *harness.Guarded, app, public string, s *vsa.Statement, bundle []byte,
) {
	t.Helper()
	if os.Getenv(cosignVariable) == "" {
		t.Skipf("cosign is run by make test-cosign, which sets %s", cosignVariable)
	}
	cosign, err := env.Tools.Cosign()
	require.NoError(t, err)
	demand := func(digest string) string {
		path := filepath.Join(t.TempDir(), "policy.cue")
		text := `predicate: policy: digest: sha256: "` + digest + `"` + "\n" +
			`predicate: "` + vsa.DecisionField + `": decision: verdict: "allow"` + "\n"
		require.NoError(t, os.WriteFile(path, []byte(text), 0o600))
		return path
	}
	verify := func(t *testing.T, image, key, digest string) harness.Output {
		t.Helper()
		return g.Run(t, harness.Command{Path: cosign, Args: []string{
			"verify-attestation", "--key", key, "--insecure-ignore-tlog", "--private-infrastructure",
			"--allow-http-registry", "--type", vsa.PredicateType, "--policy", demand(digest), image,
		}})
	}
	rules := s.Predicate.Policy.Digest.SHA256
	o := verify(t, app, public, rules).RequireSuccess(t)
	require.Contains(t, o.Text(), "The signatures were verified against the specified public key")

	_, other := signingKey(t)
	verify(t, app, other, rules).RequireFailure(t)
	verify(t, app, public, strings.Repeat("0", 64)).RequireFailure(t, "validation errors occurred")

	for name, c := range map[string]struct{ image, old, replacement string }{
		"beside the same image, it is accepted": {image: app},
		"beside another image":                  {image: env.Registry.Ref("library/busybox:latest")},
		"with another byte":                     {app, `"PASSED"`, `"PASSEd"`},
		"with another policy": {
			app, `"digest":{"sha256":"` + rules, `"digest":{"sha256":"` + strings.Repeat("0", 64),
		},
		"with another subject": {app, s.Image().SHA256, strings.Repeat("0", 64)},
	} {
		t.Run(name, func(t *testing.T) {
			copied := env.Registry.Ref("proof/copy-" + digests.FromString(name).Encoded()[:8])
			require.NoError(t, env.Registry.Tag(c.image, copied+":1"))
			at, err := env.Registry.Digest(copied + ":1")
			require.NoError(t, err)
			image, err := vsa.ParseDigest(at)
			require.NoError(t, err)
			envelope, err := vsa.ParseBundle(bundle)
			require.NoError(t, err)
			payload, err := base64.StdEncoding.DecodeString(envelope.Payload)
			require.NoError(t, err)
			require.Contains(t, string(payload), c.old)
			envelope.Payload = base64.StdEncoding.EncodeToString(
				[]byte(strings.Replace(string(payload), c.old, c.replacement, 1)))
			changed, err := envelope.Bundle(vsa.PublicKey{})
			require.NoError(t, err)
			require.NoError(t, registries().Push(t.Context(), []string{copied}, image, changed))
			o := verify(t, copied+":1", public, rules)
			if c.image == app && c.old == "" {
				o.RequireSuccess(t)
				return
			}
			o.RequireFailure(t)
		})
	}
}

// What is handed over to the image of --image is proven by the decision that the image reports. It
// also has the warnings about steps.
func TestGuardProvesWhatItHandsOver(t *testing.T) {
	t.Parallel()
	private, _ := signingKey(t)
	dir := harness.WriteContext(t, map[string]string{"Dockerfile": "FROM busybox\nRUN echo a >/a\n"})
	ways := guardWays()
	const warned, wanted, attested = "warned", "warned as the policy wants", "attest: true"
	ways[warned] = handedOver(policy.DispatchMediate, `build:
  exec: {networks: [none], mode: warn}
`)
	ways[wanted] = ways[warned] + "attest: [warned]\n"
	ways[attested] = handedOver(policy.DispatchMediate, "attest: true\n")
	for name, text := range ways {
		t.Run(name, func(t *testing.T) {
			g := env.Guard(t, harness.DaemonConfig{}, text, "--image", env.Mediator(t),
				"--sign-key", private)
			file := filepath.Join(t.TempDir(), "metadata.json")
			image := outFile(t)
			g.Buildx(t, dir, "build", "--metadata-file", file, "--output",
				"type=oci,attestation-inline=true,dest="+image, ".").RequireSuccess(t)
			data, missing := summaryIn(t, file)
			own := attestedSummary(t, registry.ReadOCI(t, image))
			require.Equal(t, name == attested, own != nil)
			if name == warned {
				require.Nil(t, data)
				require.Contains(t, missing, "the policy only warned about it")
				return
			}
			require.NotNil(t, data, missing)
		})
	}
}
