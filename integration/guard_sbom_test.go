package integration

import (
	"io"
	"maps"
	"os"
	"slices"
	"testing"

	"github.com/moby/buildkit/client"
	"github.com/moby/buildkit/client/llb"
	"github.com/stretchr/testify/require"

	"github.com/policy-frontend/policy-frontend/integration/harness"
	"github.com/policy-frontend/policy-frontend/integration/harness/registry"
	"github.com/policy-frontend/policy-frontend/policy"
)

// sbomGuard allows the scanner of the tests as a generator.
func sbomGuard() string {
	return "sbom: {generators: {allow: [" + harness.SBOMScanner.Repository() + "]}}\n"
}

// requireSBOM reads the SBOM of the image in an OCI layout. The scanner lists the files.
func requireSBOM(t *testing.T, file string) {
	t.Helper()
	images := registry.ReadOCI(t, file)
	require.Len(t, images, 2)
	found := map[string]string{}
	for _, s := range images[1].Statements(t) {
		found[s.PredicateType] = string(s.Predicate)
	}
	require.Contains(t, found["https://spdx.dev/Document"], `"./out"`, slices.Collect(maps.Keys(found)))
}

func TestGuardLetsAllowedImagesMakeSBOMs(t *testing.T) {
	t.Parallel()
	scanner := env.Frontend(t, harness.SBOMScanner)
	images := "build: {images: {allow: [busybox, " + harness.SBOMScanner.Repository() + "]}}\n"
	const without = "build: {images: {allow: [busybox]}}\n"
	for name, tc := range map[string]struct {
		policy string
		why    string // if it is refused
	}{
		"forward":           {guardPolicy, ""},
		"builtin":           {guardBuiltin, ""},
		"mediate":           {handedOver(policy.DispatchMediate, ""), ""},
		"mediate and rules": {handedOver(policy.DispatchMediate, images), ""},
		// The daemon makes them itself.
		"forward and kept apart":           {guardPolicy + forAlice, ""},
		"builtin and kept apart":           {guardBuiltin + forAlice, ""},
		"mediate and rules and kept apart": {handedOver(policy.DispatchMediate, images) + forAlice, ""},
		"kept apart without the image":     {handedOver(policy.DispatchMediate, without) + forAlice, "sbomscanner"},
		"builtin and rules":                {handedOver(policy.DispatchBuiltin, images), ""},
		"forward and rules":                {handedOver(policy.DispatchForward, images), ""},
		// The daemon's own scanner is judged too.
		"the daemon makes it under rules": {
			guardPolicy + "    options: {strip: [\"attest:sbom\"]}\n" + images, "",
		},
		"rules without the image": {handedOver(policy.DispatchMediate, without), "sbomscanner"},
		"the daemon makes it under rules without the image": {
			guardPolicy + "    options: {strip: [\"attest:sbom\"]}\n" + without, "sbomscanner",
		},
		"a rule that denies the option": {
			guardBuiltin + "    options: {deny: [\"attest:sbom\"]}\n", "attest:sbom",
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			g := mediatingGuard(t, tc.policy+sbomGuard())
			dir := harness.WriteContext(t, dockerfile("docker/dockerfile:1"))
			bx, bc := outFile(t), outFile(t)
			byBx := g.Buildx(t, dir, "build", "--progress=plain", "--sbom=generator="+scanner,
				"-o", "type=oci,dest="+bx, ".")
			byBc := g.Buildctl(t, byBuildctl(dir, "docker/dockerfile:1", "--output",
				"type=oci,dest="+bc, "--opt", "attest:sbom=generator="+scanner)...)
			if tc.why != "" {
				byBx.RequireFailure(t, tc.why, "denied by policy")
				byBc.RequireFailure(t, tc.why, "denied by policy")
				return
			}
			byBx.RequireSuccess(t)
			requireSBOM(t, bx)
			byBc.RequireSuccess(t)
			requireSBOM(t, bc)
		})
	}
}

// The daemon alone makes the SBOM of LLB that no frontend made.
func TestGuardJudgesTheSBOMOfLLB(t *testing.T) {
	t.Parallel()
	scanner := env.Frontend(t, harness.SBOMScanner)
	def, err := llb.Image("busybox").Run(llb.Shlex("touch /out")).Root().Marshal(t.Context())
	require.NoError(t, err)
	const rules = "build: {images: {allow: [busybox]}}\n"
	for name, tc := range map[string]struct{ policy, why string }{
		"allowed":         {guardPolicy + "llb: allow\n" + sbomGuard(), ""},
		"without sbom":    {guardPolicy + "llb: allow\n", "(sbom.generators)"},
		"only by sbom":    {guardPolicy + "llb: allow\n" + rules + sbomGuard(), "sbomscanner"},
		"without the LLB": {guardPolicy + sbomGuard(), "LLB that no frontend made is refused"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			g := env.Guard(t, harness.DaemonConfig{}, tc.policy)
			out := outFile(t)
			ctx, c := buildkitClient(t, g.Daemon)
			_, err := c.Solve(ctx, def, client.SolveOpt{
				FrontendAttrs: map[string]string{"attest:sbom": "generator=" + scanner},
				Exports: []client.ExportEntry{{
					Type:   client.ExporterOCI,
					Output: func(map[string]string) (io.WriteCloser, error) { return os.Create(out) },
				}},
			}, nil)
			if tc.why != "" {
				require.ErrorContains(t, err, tc.why)
				return
			}
			require.NoError(t, err)
			requireSBOM(t, out)
		})
	}
}

func TestGuardRefusesOtherSBOMs(t *testing.T) {
	t.Parallel()
	scanner := env.Frontend(t, harness.SBOMScanner)
	other := env.Frontend(t, harness.EchoFrontend) // an image that exists
	guards := guardsByDispatch(t, harness.DaemonConfig{}, sbomGuard())
	dir := harness.WriteContext(t, dockerfile("docker/dockerfile:1"))
	for name, tc := range map[string]struct {
		options []string
		builds  bool // on the bare daemon
		refused string
	}{
		"another image": {
			[]string{"attest:sbom=generator=" + other},
			false,
			"an SBOM by docker.io/" + other + ": it allows only",
		},
		"the default image": {[]string{"attest:sbom="}, false, "an SBOM by docker.io/docker/buildkit-syft-scanner"},
		"a parameter that says where it reads": {
			[]string{"attest:sbom=generator=" + scanner + ",SOURCE=/run/src"},
			true,
			"the parameter SOURCE=/run/src",
		},
		"a parameter that the scanner doesn't know": {
			[]string{"attest:sbom=generator=" + scanner + ",A=b"}, true, "the parameter A=b",
		},
		"another spelling of the option": {
			[]string{"attest:SBOM=generator=" + scanner}, true, "write attest:sbom",
		},
		"another image in another spelling beside the allowed one": {
			[]string{"attest:SBOM=generator=" + other, "attest:sbom=generator=" + scanner},
			false,
			"write attest:sbom",
		},
		"a build-arg in its place": {
			[]string{"build-arg:BUILDKIT_ATTEST_SBOM=generator=" + scanner}, true, "write attest:sbom",
		},
	} {
		t.Run(name, func(t *testing.T) {
			build := func(d *harness.Daemon) harness.Output {
				args := byBuildctl(dir, "docker/dockerfile:1", "--output", "type=oci,dest="+outFile(t))
				for _, option := range tc.options {
					args = append(args, "--opt", option)
				}
				return d.Buildctl(t, args...)
			}
			if tc.builds {
				build(guards[0].Behind).RequireSuccess(t)
			}
			for _, g := range guards {
				build(g.Daemon).RequireFailure(t, tc.refused)
			}
		})
	}
	t.Run("the default image of buildx", func(t *testing.T) {
		for _, g := range guards {
			g.Buildx(t, dir, "build", "--sbom=true", "-o", "type=oci,dest="+outFile(t), ".").
				RequireFailure(t, "an SBOM by docker.io/docker/buildkit-syft-scanner:stable-1: it allows only")
		}
	})
}
