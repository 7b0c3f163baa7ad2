package frontend

import (
	"context"
	"fmt"
	"strings"

	"github.com/Masterminds/semver/v3"
	"github.com/moby/buildkit/client/llb"
	"github.com/moby/buildkit/frontend/dockerfile/builder"
	"github.com/moby/buildkit/frontend/gateway/grpcclient"
	gwpb "github.com/moby/buildkit/frontend/gateway/pb"

	"github.com/policy-frontend/policy-frontend/policy/imageref"
)

// BuiltinVersion is the version of the Dockerfile frontend that is a part of this
// program (frontend/dockerfile/version of the BuildKit that it is built with).
const BuiltinVersion = "1.28"

// dockerfileName is what the repositories of the Dockerfile frontend and its
// mirrors end in.
const dockerfileName = "/docker/dockerfile"

// builtin runs the Dockerfile frontend that is a part of this program, in this
// process, on a broker as if it were another one.
func (b *build) builtin(ctx context.Context, chosen admitted, m *monitor) (*gwpb.Result, error) {
	if err := builtinServes(chosen.decision.Reference); err != nil {
		return nil, b.refuse(chosen.request, err)
	}
	announced, err := b.announce(ctx, chosen)
	if err != nil {
		return nil, err
	}
	defer announced()
	opts := b.innerOptions(chosen)
	return b.serveInner(ctx, chosen, m, func(ctx context.Context, s *broker) error {
		env := b.bridge.environment
		c, err := grpcclient.New(ctx, opts, env.Session, env.Product, inProcess{broker: s}, env.Workers)
		if err != nil {
			return err
		}
		ended := make(chan error, 1)
		go func() { ended <- c.Run(ctx, builder.Build) }()
		select {
		case err := <-ended:
			return err
		case <-ctx.Done(): // it may not look at it
			return context.Cause(ctx)
		}
	})
}

// announce shows the line of progress that names rule and frontend, and the
// decision's warnings. The other dispatchers load the frontend's image for that; this
// needs a step that does nothing. It goes on beside the build, until the function
// that is returned has been called.
func (b *build) announce(ctx context.Context, chosen admitted) (wait func(), err error) {
	def, err := llb.Scratch().File(llb.Mkdir("/policy", 0o755), llb.WithCustomName(progressLine(chosen.decision))).Marshal(ctx)
	if err != nil {
		return nil, err
	}
	if b.step, err = def.Head(); err != nil {
		return nil, err
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		_, err := b.bridge.Solve(ctx, &gwpb.SolveRequest{Definition: def.ToPB(), Evaluate: true, AllowResultReturn: true, AllowResultArrayRef: true})
		if err == nil { // else there is no line to attach them to, and the build fails of the same
			b.warn(ctx, chosen)
		}
	}()
	return func() { <-done }, nil
}

// builtinServes fails unless the built-in frontend is one that the reference can
// stand for: a docker/dockerfile, wherever it is mirrored, of no later version, and
// asked for without a digest, which no image here has.
func builtinServes(ref imageref.Reference) error {
	const instead = "the policy runs it built in (dispatch: builtin)"
	switch {
	case !strings.HasSuffix(ref.Name(), dockerfileName):
		return fmt.Errorf("%s, and only docker/dockerfile and mirrors of that name are built in", instead)
	case ref.Digest() != "":
		return fmt.Errorf("%s, and the built-in one has no digest; ask for a tag alone", instead)
	}
	tag := strings.TrimSuffix(ref.Tag(), "-labs")
	if tag == "latest" || tag == "labs" {
		return nil
	}
	// A part of a version, such as 1 or 1.7, stands for what there is of it.
	asked, err := semver.NewVersion(tag)
	if err != nil || asked.LessThan(semver.New(1, 0, 0, "", "")) || asked.GreaterThan(semver.MustParse(BuiltinVersion)) {
		return fmt.Errorf("%s, and the built-in one serves the versions 1.0 to %s; ask for one of these", instead, BuiltinVersion)
	}
	return nil
}
