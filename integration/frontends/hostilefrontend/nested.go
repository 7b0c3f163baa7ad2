package main

import (
	"context"
	"fmt"
	"strconv"

	gwpb "github.com/moby/buildkit/frontend/gateway/pb"
	"github.com/moby/buildkit/solver/pb"
)

// prove is not an attack. It shows that the frontend ran.
func prove(ctx context.Context, b *bridge) (*gwpb.Result, error) {
	return b.state(ctx, proof("it ran"))
}

func otherFrontend(ctx context.Context, b *bridge) (*gwpb.Result, error) {
	return b.nested(ctx, b.arg("OTHER"), map[string]string{argPrefix + "ATTACK": "prove"}, nil)
}

// frontendByContext runs another frontend under a name that a named context replaces.
func frontendByContext(ctx context.Context, b *bridge) (*gwpb.Result, error) {
	const name = "frontends/named"
	return b.nested(ctx, name, map[string]string{
		"context:" + name: "docker-image://" + b.arg("OTHER"), argPrefix + "ATTACK": "prove",
	}, nil)
}

// sameFrontend runs the frontend itself as a nested one.
func sameFrontend(ctx context.Context, b *bridge) (*gwpb.Result, error) {
	return b.nested(ctx, b.arg("SELF"), map[string]string{argPrefix + "ATTACK": "prove"}, nil)
}

// dockerfileV0 asks for the daemon's own Dockerfile frontend.
func dockerfileV0(ctx context.Context, b *bridge) (*gwpb.Result, error) {
	return b.solve(ctx, &gwpb.SolveRequest{
		Frontend:    "dockerfile.v0",
		FrontendOpt: map[string]string{"cmdline": "dockerfile.v0"},
	})
}

// nestedBase lets docker/dockerfile build the client's Dockerfile.
func nestedBase(ctx context.Context, b *bridge) (*gwpb.Result, error) {
	return b.nested(ctx, b.arg("DOCKERFILE"), nil, nil)
}

// chain lets docker/dockerfile follow the `# syntax` line of the client's Dockerfile, or the
// build-arg that replaces it.
func chain(ctx context.Context, b *bridge) (*gwpb.Result, error) {
	opts := map[string]string{"cmdline": "", argPrefix + "ATTACK": "prove"}
	if syntax := b.arg("SYNTAX"); syntax != "" {
		opts[argPrefix+"BUILDKIT_SYNTAX"] = syntax
	}
	return b.nested(ctx, b.arg("DOCKERFILE"), opts, nil)
}

// inputBase passes the image to docker/dockerfile as an input. A stage of the Dockerfile copies
// from it.
func inputBase(ctx context.Context, b *bridge) (*gwpb.Result, error) {
	def, err := image(b.arg("DENIED")).Marshal(ctx)
	if err != nil {
		return nil, err
	}
	return b.nested(ctx, b.arg("DOCKERFILE"), map[string]string{
		"context:input": "input:base",
		"target":        "from-input",
	}, map[string]*pb.Definition{"base": def.ToPB()})
}

// endlessNesting runs the frontend in itself, to the depth that proves the attack.
func endlessNesting(ctx context.Context, b *bridge) (*gwpb.Result, error) {
	depth, err := strconv.Atoi(b.arg("DEPTH"))
	if err != nil || depth == 0 {
		return b.state(ctx, proof("at the bottom"))
	}
	return b.nested(ctx, b.arg("SELF"), map[string]string{
		argPrefix + "ATTACK": b.arg("ATTACK"), argPrefix + "SELF": b.arg("SELF"),
		argPrefix + "DEPTH": strconv.Itoa(depth - 1),
	}, nil)
}

const keyLeak = "frontend.leak"

// leakReference gives its caller a reference that is not its result.
func leakReference(ctx context.Context, b *bridge) (*gwpb.Result, error) {
	own, err := b.state(ctx, proof("of the nested frontend"), evaluated)
	if err != nil {
		return nil, err
	}
	res, err := b.file(ctx, "/result", "of the nested frontend")
	if err != nil {
		return nil, err
	}
	res.Metadata = map[string][]byte{keyLeak: []byte(id(own))}
	return res, nil
}

func leakedReference(ctx context.Context, b *bridge) (*gwpb.Result, error) {
	res, err := b.nested(ctx, b.arg("SELF"), map[string]string{
		argPrefix + "ATTACK": "leak a reference",
	}, nil)
	if err != nil {
		return nil, err
	}
	return b.use(ctx, string(res.Metadata[keyLeak]))
}

// lendReference gives a nested frontend a reference of the outer one.
func lendReference(ctx context.Context, b *bridge) (*gwpb.Result, error) {
	own, err := b.state(ctx, proof("of the outer frontend"), evaluated)
	if err != nil {
		return nil, err
	}
	return b.nested(ctx, b.arg("SELF"), map[string]string{
		argPrefix + "ATTACK": "lent reference", argPrefix + "REF": id(own),
		argPrefix + "USE": b.arg("USE"),
	}, nil)
}

func lentReference(ctx context.Context, b *bridge) (*gwpb.Result, error) {
	return b.use(ctx, b.arg("REF"))
}

func guessedReference(ctx context.Context, b *bridge) (*gwpb.Result, error) {
	return b.use(ctx, b.arg("REF"))
}

// ownReference does with its own reference what the attacks do with another's. It shows that each
// use works.
func ownReference(ctx context.Context, b *bridge) (*gwpb.Result, error) {
	own, err := b.state(ctx, proof("of its own"), evaluated)
	if err != nil {
		return nil, err
	}
	for _, use := range []string{"read", "list", "stat", "evaluate"} {
		b.options[argPrefix+"USE"] = use
		if _, err := b.use(ctx, id(own)); err != nil {
			return nil, fmt.Errorf("%s: %w", use, err)
		}
	}
	return own, nil
}

// use does with a reference what the build-arg USE says. The answer is the proof.
func (b *bridge) use(ctx context.Context, ref string) (*gwpb.Result, error) {
	var answer any
	var err error
	switch use := b.arg("USE"); use {
	case "read":
		answer, err = b.ReadFile(ctx, &gwpb.ReadFileRequest{Ref: ref, FilePath: "/proof"})
	case "list":
		answer, err = b.ReadDir(ctx, &gwpb.ReadDirRequest{Ref: ref, DirPath: "/"})
	case "stat":
		answer, err = b.StatFile(ctx, &gwpb.StatFileRequest{Ref: ref, Path: "/proof"})
	case "evaluate":
		answer, err = b.Evaluate(ctx, &gwpb.EvaluateRequest{Ref: ref})
	case "return":
		return &gwpb.Result{Result: &gwpb.Result_Ref{Ref: &gwpb.Ref{Id: ref}}}, nil
	case "return the old way":
		return &gwpb.Result{Result: &gwpb.Result_RefDeprecated{RefDeprecated: ref}}, nil
	case "attest":
		var res *gwpb.Result
		if res, err = b.state(ctx, proof("with another's attestation")); err == nil {
			res.Attestations = map[string]*gwpb.Attestations{
				"": {
					Attestation: []*gwpb.Attestation{
						{Kind: gwpb.AttestationKind_Bundle, Ref: &gwpb.Ref{Id: ref}, Path: "/"},
					},
				},
			}
			return res, nil
		}
	case "mount":
		answer, err = b.NewContainer(ctx, &gwpb.NewContainerRequest{
			ContainerID: "of another",
			Mounts:      []*pb.Mount{{Dest: "/", ResultID: ref}},
		})
	default:
		err = fmt.Errorf("there is no use %q", use)
	}
	if err != nil {
		return nil, err
	}
	return b.state(ctx, proof(fmt.Sprint(answer)))
}

// forgedDefinition returns a reference with a definition that isn't its own.
func forgedDefinition(ctx context.Context, b *bridge) (*gwpb.Result, error) {
	res, err := b.state(ctx, proof("the reference's own"))
	if err != nil {
		return nil, err
	}
	other, err := fromImage(b.arg("DENIED")).Marshal(ctx)
	if err != nil {
		return nil, err
	}
	res.GetRef().Def = other.ToPB()
	return res, nil
}

// forgedDecision returns a decision of its own in place of the policy's.
func forgedDecision(ctx context.Context, b *bridge) (*gwpb.Result, error) {
	res, err := b.state(ctx, proof("with a decision of its own"))
	if err != nil {
		return nil, err
	}
	res.Metadata = map[string][]byte{
		"frontend.policy.decision": []byte(`{"verdict":"allow","rule":"forged"}`),
	}
	return res, nil
}
