package main

import (
	"context"
	"fmt"

	"github.com/moby/buildkit/client/llb"
	gwpb "github.com/moby/buildkit/frontend/gateway/pb"
	"github.com/moby/buildkit/solver/pb"
	spb "github.com/moby/buildkit/sourcepolicy/pb"
)

const dockerImage = "docker-image://docker.io/"

func image(ref string) llb.State { return llb.Image("docker.io/" + ref) }

// fromImage returns the file /marker of an image as proof.
func fromImage(ref string) llb.State {
	return llb.Scratch().File(llb.Copy(image(ref), "/marker", "/proof"))
}

func base(ctx context.Context, b *bridge) (*gwpb.Result, error) {
	return b.state(ctx, fromImage(b.arg("DENIED")))
}

// evaluateBase reads the image while the frontend runs, and returns a result without it.
func evaluateBase(ctx context.Context, b *bridge) (*gwpb.Result, error) {
	res, err := b.state(ctx, fromImage(b.arg("DENIED")), evaluated)
	if err != nil {
		return nil, err
	}
	content, err := b.ReadFile(ctx, &gwpb.ReadFileRequest{Ref: id(res), FilePath: "/proof"})
	if err != nil {
		return nil, err
	}
	return b.state(ctx, proof(string(content.Data)))
}

// deprecatedBase returns the result as clients did before typed references existed.
func deprecatedBase(ctx context.Context, b *bridge) (*gwpb.Result, error) {
	def, err := fromImage(b.arg("DENIED")).Marshal(ctx)
	if err != nil {
		return nil, err
	}
	res, err := b.Solve(ctx, &gwpb.SolveRequest{Definition: def.ToPB()})
	if err != nil {
		return nil, err
	}
	return &gwpb.Result{Result: &gwpb.Result_RefDeprecated{RefDeprecated: res.Ref}}, nil
}

// baseForOnePlatform hides the image in the second of two platforms.
func baseForOnePlatform(ctx context.Context, b *bridge) (*gwpb.Result, error) {
	good, err := b.state(ctx, fromImage(b.arg("ALLOWED")))
	if err != nil {
		return nil, err
	}
	bad, err := b.state(ctx, fromImage(b.arg("DENIED")))
	if err != nil {
		return nil, err
	}
	return &gwpb.Result{
		Result: &gwpb.Result_Refs{
			Refs: &gwpb.RefMap{
				Refs: map[string]*gwpb.Ref{"linux/amd64": good.GetRef(), "linux/arm64": bad.GetRef()},
			},
		},
		Metadata: map[string][]byte{"refs.platforms": []byte(`{"Platforms":[
			{"ID":"linux/amd64","Platform":{"os":"linux","architecture":"amd64"}},
			{"ID":"linux/arm64","Platform":{"os":"linux","architecture":"arm64"}}]}`)},
	}, nil
}

// baseAsAttestation hides the image in an attestation of a harmless result.
func baseAsAttestation(ctx context.Context, b *bridge) (*gwpb.Result, error) {
	bad, err := b.state(ctx, fromImage(b.arg("DENIED")))
	if err != nil {
		return nil, err
	}
	res, err := b.state(ctx, proof("with an attestation"))
	if err != nil {
		return nil, err
	}
	const platform = "linux/amd64"
	res.Result = &gwpb.Result_Refs{
		Refs: &gwpb.RefMap{Refs: map[string]*gwpb.Ref{platform: res.GetRef()}},
	}
	res.Metadata = map[string][]byte{
		"refs.platforms": []byte(`{"Platforms":[
			{"ID":"linux/amd64","Platform":{"os":"linux","architecture":"amd64"}}
		]}`),
	}
	res.Attestations = map[string]*gwpb.Attestations{platform: {Attestation: []*gwpb.Attestation{{
		Kind: gwpb.AttestationKind_Bundle, Ref: bad.GetRef(), Path: "/",
	}}}}
	return res, nil
}

// swap is a source policy that turns the allowed image into the denied one.
func swap(b *bridge) []*spb.Policy {
	return []*spb.Policy{{Version: 1, Rules: []*spb.Rule{{
		Action: spb.PolicyAction_CONVERT,
		Selector: &spb.Selector{
			Identifier: dockerImage + b.arg("ALLOWED") + "*",
			MatchType:  spb.MatchType_WILDCARD,
		},
		Updates: &spb.Update{Identifier: dockerImage + b.arg("DENIED")},
	}}}}
}

func ownSourcePolicy(ctx context.Context, b *bridge) (*gwpb.Result, error) {
	return b.state(ctx, fromImage(b.arg("ALLOWED")),
		func(r *gwpb.SolveRequest) { r.SourcePolicies = swap(b) })
}

// ownPolicyResolving asks for the digest of the allowed image, and shows which image's digest it
// got.
func ownPolicyResolving(ctx context.Context, b *bridge) (*gwpb.Result, error) {
	req := &gwpb.ResolveSourceMetaRequest{
		Source: &pb.SourceOp{Identifier: dockerImage + b.arg("ALLOWED")},
	}
	without, err := b.ResolveSourceMeta(ctx, req)
	if err != nil {
		return nil, err
	}
	req.SourcePolicies = swap(b)
	with, err := b.ResolveSourceMeta(ctx, req)
	if err != nil {
		return nil, err
	}
	if with.GetImage().GetDigest() == without.GetImage().GetDigest() {
		return b.state(ctx, proof("the digest of the allowed image"))
	}
	return b.state(ctx, proof("the digest of another image"))
}

func imageConfig(ctx context.Context, b *bridge) (*gwpb.Result, error) {
	res, err := b.ResolveSourceMeta(ctx, &gwpb.ResolveSourceMetaRequest{
		Source: &pb.SourceOp{Identifier: dockerImage + b.arg("DENIED")},
	})
	if err != nil {
		return nil, err
	}
	return b.state(ctx, proof(res.GetImage().GetDigest()))
}

func imageConfigDeprecated(ctx context.Context, b *bridge) (*gwpb.Result, error) {
	res, err := b.ResolveImageConfig(ctx, &gwpb.ResolveImageConfigRequest{
		Ref: "docker.io/" + b.arg("DENIED"),
	})
	if err != nil {
		return nil, err
	}
	return b.state(ctx, proof(res.GetDigest()))
}

func cacheImport(ctx context.Context, b *bridge) (*gwpb.Result, error) {
	return b.state(ctx, proof("with a cache of its own choice"), func(r *gwpb.SolveRequest) {
		r.CacheImports = []*gwpb.CacheOptionsEntry{
			{Type: "registry", Attrs: map[string]string{"ref": "docker.io/" + b.arg("DENIED")}},
		}
	})
}

// script runs a shell script in the allowed image. The output is the proof.
func script(
	ctx context.Context, b *bridge, text string, opts ...llb.RunOption,
) (*gwpb.Result, error) {
	run := image(b.arg("ALLOWED")).Run(append([]llb.RunOption{
		llb.Args([]string{"/bin/sh", "-c", fmt.Sprintf("set -e; (%s) > /out/proof", text)}),
	}, opts...)...)
	return b.state(ctx, run.AddMount("/out", llb.Scratch()))
}

func hostNetwork(ctx context.Context, b *bridge) (*gwpb.Result, error) {
	return script(ctx, b, "echo on the network of the host", llb.Network(pb.NetMode_HOST))
}

func insecureExec(ctx context.Context, b *bridge) (*gwpb.Result, error) {
	return script(ctx, b, "grep CapEff /proc/self/status", llb.Security(pb.SecurityMode_INSECURE))
}

func secret(ctx context.Context, b *bridge) (*gwpb.Result, error) {
	return script(ctx, b, "cat /secret", llb.AddSecret("/secret", llb.SecretID("other")))
}

func secretEnv(ctx context.Context, b *bridge) (*gwpb.Result, error) {
	return script(ctx, b, "echo $SECRET",
		llb.AddSecretWithDest("other", nil, llb.SecretAsEnvName("SECRET")))
}

func ssh(ctx context.Context, b *bridge) (*gwpb.Result, error) {
	return script(ctx, b, "test -S /agent && echo has the agent",
		llb.AddSSHSocket(llb.SSHSocketTarget("/agent")))
}
