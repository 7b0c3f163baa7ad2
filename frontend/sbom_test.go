package frontend

import (
	"context"
	"testing"

	"github.com/moby/buildkit/client/llb"
	"github.com/moby/buildkit/client/llb/sourceresolver"
	"github.com/moby/buildkit/frontend/attestations/sbom"
	gwpb "github.com/moby/buildkit/frontend/gateway/pb"
	"github.com/moby/buildkit/solver/pb"
	ocispecs "github.com/opencontainers/image-spec/specs-go/v1"
	"github.com/stretchr/testify/require"

	"github.com/policy-frontend/policy-frontend/internal/optionkeys"
)

// scannerImage answers lookups with the configuration of an SBOM scanner.
type scannerImage struct{}

func (scannerImage) ResolveSourceMetadata(
	_ context.Context, op *pb.SourceOp, _ sourceresolver.Opt,
) (*sourceresolver.MetaResponse, error) {
	return &sourceresolver.MetaResponse{Op: op, Image: &sourceresolver.ResolveImageResponse{
		Digest: digestOne, Config: []byte(`{"config": {"Entrypoint": ["/scan"], "Env": ["PATH=/bin"]}}`),
	}}, nil
}

// sbomOf returns what docker/dockerfile builds to make an SBOM.
func sbomOf(t *testing.T, generator string) *pb.Definition {
	t.Helper()
	linux := ocispecs.Platform{OS: "linux", Architecture: "amd64"}
	scan, err := sbom.CreateSBOMScanner(t.Context(), scannerImage{}, generator, linux,
		sourceresolver.Opt{ImageOpt: &sourceresolver.ResolveImageOpt{}}, map[string]string{"A": "b"})
	require.NoError(t, err)
	att, err := scan(t.Context(), "linux/amd64", llb.Local("context"),
		map[string]llb.State{"stage": llb.Local("context")})
	require.NoError(t, err)
	return marshalState(t, *att.Ref)
}

func TestARefusedSBOMIsExplained(t *testing.T) {
	t.Parallel()
	const (
		offline = `build: {exec: {networks: [none]}}`
		listed  = `build: {images: {allow: [busybox]}}`
		syft    = "docker.io/docker/buildkit-syft-scanner:stable-1"
	)
	run := marshalState(t, llb.Image("docker.io/library/busybox:latest").Run(llb.Shlex("true")).Root())
	for name, tt := range map[string]struct {
		build, sbom string // sbom is "-" if the build asks for none
		ask         *pb.Definition
		hint        string // part of it; "" for none
	}{
		"the scanner's command": {
			offline, "", sbomOf(t, syft), `options.strip: ["attest:sbom"]`,
		},
		"the scanner's image": {listed, "", sbomOf(t, syft), "have the image allowed"},
		"another generator's image": {
			listed, "generator=scan/er:2", sbomOf(t, "docker.io/scan/er:2"), "have the image allowed",
		},
		"an image that isn't its own":   {listed, "generator=scan/er:2", sbomOf(t, syft), ""},
		"any other command":             {offline, "", run, ""},
		"a build that asks for no SBOM": {offline, "-", sbomOf(t, syft), ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			opts := map[string]string{optionkeys.Source: selfRef}
			if tt.sbom != "-" {
				opts["attest:sbom"] = tt.sbom
			}
			m := monitorOf(t, newFake(t, "", opts), "version: 1\ndispatch: mediate\n"+tt.build+
				"\nfrontends: [{match: [docker/dockerfile]}]\n")
			_, err := m.definition(t.Context(), tt.ask)
			var r *refusal
			require.ErrorAs(t, err, &r)
			if tt.hint == "" {
				require.Empty(t, r.decision.Messages)
				return
			}
			require.Len(t, r.decision.Messages, 1)
			require.Contains(t, r.decision.Messages[0], "asks for an SBOM (--sbom or --attest type=sbom)")
			require.Contains(t, r.decision.Messages[0], tt.hint)
		})
	}
	t.Run("the image of the daemon's own scanner", func(t *testing.T) {
		t.Parallel()
		m := monitorOf(t, newFake(t, "", map[string]string{"attest:sbom": ""}), "version: 1\n"+listed+
			"\nfrontends: [{match: [docker/dockerfile]}]\n")
		m.inner.decision.Obligations.Strip = []string{"attest:sbom"}
		err := m.result(t.Context(), m.build, &gwpb.Result{
			Result: &gwpb.Result_Ref{Ref: &gwpb.Ref{Id: "ref"}},
		})
		var r *refusal
		require.ErrorAs(t, err, &r)
		require.Len(t, r.decision.Messages, 1)
	})
	t.Run("a lookup of the scanner's image", func(t *testing.T) {
		t.Parallel()
		m := monitorOf(t, newFake(t, "", map[string]string{"build-arg:BUILDKIT_ATTEST_SBOM": ""}),
			"version: 1\n"+listed+"\nfrontends: [{match: [docker/dockerfile]}]\n")
		_, err := m.source(t.Context(), &pb.SourceOp{Identifier: dockerImageProto + syft})
		var r *refusal
		require.ErrorAs(t, err, &r)
		require.Len(t, r.decision.Messages, 1)
	})
}
