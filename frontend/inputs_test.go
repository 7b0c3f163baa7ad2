package frontend

import (
	"context"
	"testing"

	"github.com/moby/buildkit/client/llb"
	"github.com/stretchr/testify/require"

	"github.com/policy-frontend/policy-frontend/internal/gatewayopts"
)

// withInputs is a daemon whose client sends other frontend inputs.
type withInputs struct {
	*fakeClient
	inputs map[string]llb.State
}

func (c withInputs) Inputs(context.Context) (map[string]llb.State, error) { return c.inputs, nil }

// A remote bake file is read from git, and its targets' contexts are in the same repository.
func TestContextsThatArriveAsInputs(t *testing.T) {
	const doc = `version: 1
dispatch: forward
frontends: [{name: d, match: [docker/dockerfile], options: {inputs: deny}}]
`
	repository := llb.Git("https://git.example/app.git", "main")
	contents := &llb.CopyInfo{CopyDirContentsOnly: true}
	app := llb.Scratch().File(llb.Copy(repository, "app", "/", contents))
	built := llb.Image("docker.io/library/busybox:latest").Run(llb.Shlex("make")).Root()
	cmdline := map[string]string{"cmdline": selfRef + " docker/dockerfile:1"}

	c := withInputs{newFake(t, "", cmdline), map[string]llb.State{"context": app, "dockerfile": app}}
	_, err := run(t, c, doc)
	require.NoError(t, err)
	require.Len(t, c.solved, 1)
	require.Contains(t, c.solved[0].FrontendInputs, "context")

	c = withInputs{newFake(t, "", cmdline), map[string]llb.State{"context": app, "0-base": built}}
	_, err = run(t, c, doc)
	requireDenial(t, err,
		`d: rule "d" refuses frontend inputs (options.inputs: deny), and the build has "0-base"`)
	require.Empty(t, c.solved)
}

// That they are contexts is no reason to read them from anywhere.
func TestAContextThatArrivesAsAnInputIsReadWhereThePolicyAllows(t *testing.T) {
	inputs := map[string]llb.State{"dockerfile": llb.Git("https://git.example/app.git", "main")}
	c := withInputs{newFake(t, "# syntax=docker/dockerfile:1\n", nil), inputs}
	b := &build{client: c, opts: gatewayopts.Parse(c.opts), layers: mustLayers(t,
		"version: 1\nbuild: {git: deny}\nfrontends: [{match: [docker/dockerfile]}]\n", "")}
	b.file = newBuildFile(ownReads{c, b.checkRead})
	_, err := b.file.load(t.Context())
	var r *refusal
	require.ErrorAs(t, err, &r)
	require.Empty(t, c.read)
}
