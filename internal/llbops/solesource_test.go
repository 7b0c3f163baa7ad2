package llbops_test

import (
	"testing"

	"github.com/moby/buildkit/client/llb"
	"github.com/moby/buildkit/solver/pb"
	"github.com/stretchr/testify/require"

	"github.com/policy-frontend/policy-frontend/internal/llbops"
	"github.com/policy-frontend/policy-frontend/policy/buildrules"
)

func TestADefinitionThatIsOneSourceIsTold(t *testing.T) {
	t.Parallel()
	repository := llb.Git("https://git.example/app.git", "main")
	archive := llb.HTTP("https://files.example/app.tar", llb.Filename("context"))
	sub := func(st llb.State, dir string) llb.State {
		return llb.Scratch().File(llb.Copy(st, dir, "/", &llb.CopyInfo{CopyDirContentsOnly: true}))
	}
	unpack := &llb.CopyInfo{AttemptUnpack: true}
	unpacked := llb.Scratch().File(llb.Copy(archive, "context", "/", unpack))
	run := func(st llb.State) llb.State { return st.Run(llb.Shlex("true")).Root() }
	for name, tt := range map[string]struct {
		state llb.State
		want  buildrules.Kind
	}{
		"a git repository":                   {repository, buildrules.KindGit},
		"a directory of a git repository":    {sub(repository, "app"), buildrules.KindGit},
		"a download":                         {archive, buildrules.KindHTTP},
		"an unpacked archive":                {unpacked, buildrules.KindHTTP},
		"a directory of an unpacked archive": {sub(unpacked, "app"), buildrules.KindHTTP},
		"an image": {
			llb.Image("docker.io/library/busybox:latest"), buildrules.KindImages,
		},
		"files of the client": {llb.Local("context"), buildrules.KindLocal},
		"nothing":             {llb.Scratch(), ""},
		"two repositories": {
			repository.File(llb.Copy(llb.Git("https://git.example/b.git", ""), "/", "/")), "",
		},
		"a repository and a new file": {
			repository.File(llb.Mkfile("/f", 0o644, nil)), "",
		},
		"a repository without a file": {repository.File(llb.Rm("/f")), ""},
		"a repository below a command's": {
			run(llb.Image("docker.io/library/busybox:latest")).File(llb.Copy(repository, "/", "/")), "",
		},
		"merged sources": {
			llb.Merge([]llb.State{repository, archive}), "",
		},
		"a repository with a token of its choice": {
			llb.Git("https://git.example/app.git", "main", llb.AuthTokenSecret("other")), "",
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			def, err := tt.state.Marshal(t.Context())
			require.NoError(t, err)
			require.Equal(t, tt.want, llbops.SoleSource(def.ToPB()))
		})
	}
	require.Empty(t, llbops.SoleSource(nil))
	require.Empty(t, llbops.SoleSource(&pb.Definition{Def: [][]byte{{0xff}}}))
}
