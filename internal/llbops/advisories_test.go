package llbops_test

import (
	"testing"

	"github.com/moby/buildkit/solver/pb"
	"github.com/stretchr/testify/require"

	"github.com/policy-frontend/policy-frontend/policy/buildrules"
)

// No real frontend sends these. Daemons without the fixes of 2026 act on them: GHSA-4c29-8rgm-jvjj,
// GHSA-4vrq-3vrq-g6gg, GHSA-qx3x-mv6r-52p6 and GHSA-32pv-7hq5-qhwq.
func TestWhatNoFrontendSendsIsUnknown(t *testing.T) {
	t.Parallel()
	const (
		blob = "docker-image+blob://registry.example/a@sha256:1111111111111111111111111111111111111111111111111111111111111111"
		url  = "https://files.example/a"
		repo = "git://git.example/a/b.git"
	)
	file := func(a *pb.FileAction) *pb.Op {
		return &pb.Op{
			Op:     &pb.Op_File{File: &pb.FileOp{Actions: []*pb.FileAction{a}}},
			Inputs: []*pb.Input{{Digest: "sha256:x"}},
		}
	}
	named := func(name string) map[string]string { return map[string]string{"http.filename": name} }
	git := map[string]string{"git.fullurl": "https://git.example/a/b.git"}
	input := []*pb.Input{{Digest: "sha256:x"}}
	mkdir := &pb.FileAction_Mkdir{Mkdir: &pb.FileActionMkDir{Path: "/a"}}
	for _, tt := range []struct {
		name  string
		op    *pb.Op
		known bool
	}{
		{"a download to a file", sourceOp(url, named("a.tar")), true},
		{"a download to a file with dots", sourceOp(url, named("..a")), true},
		{"a download to a path", sourceOp(url, named("../../../../tmp/x")), false},
		{"a download to a path with backslashes", sourceOp(url, named(`..\x`)), false},
		{"a download to the folder above", sourceOp(url, named("..")), false},
		{"a blob to a path", sourceOp(blob, named("../../x")), false},
		{"a directory of a repository", sourceOp(repo+"#main:a/b", git), true},
		{"a directory outside of a repository", sourceOp(repo+"#main:../../..", git), false},
		{"a directory outside of it, encoded", sourceOp(repo+"#main:%2e%2E/x", git), false},
		{"a directory outside of it in a query", sourceOp(repo+"?subdir=../x", git), false},
		{"a ref that git takes for an option", sourceOp(repo+"#--upload-pack=x", git), false},
		{
			"a command on scratch",
			execOp(&pb.ExecOp{Mounts: []*pb.Mount{{Dest: "/", Input: -1, Output: -1}}}), true,
		},
		{"a mount of a negative input", execOp(&pb.ExecOp{Mounts: []*pb.Mount{{Dest: "/", Input: -7}}}), false},
		{"a mount to a negative output", execOp(&pb.ExecOp{Mounts: []*pb.Mount{{Dest: "/", Output: -2}}}), false},
		{
			"a negative output of another operation",
			&pb.Op{Op: &pb.Op_Exec{Exec: &pb.ExecOp{}}, Inputs: []*pb.Input{{Digest: "sha256:x", Index: -1}}}, false,
		},
		{
			"a directory on scratch",
			file(&pb.FileAction{Input: -1, SecondaryInput: -1, Action: mkdir}), true,
		},
		{"a file action on a negative input", file(&pb.FileAction{Input: -2, Action: mkdir}), false},
		{
			"a file action with a negative second input",
			file(&pb.FileAction{SecondaryInput: -3, Action: mkdir}), false,
		},
		{"a file action with a negative output", file(&pb.FileAction{Output: -3, Action: mkdir}), false},
		{
			"a user of a negative input",
			file(&pb.FileAction{Action: &pb.FileAction_Mkdir{Mkdir: &pb.FileActionMkDir{
				Path: "/a", Owner: &pb.ChownOpt{User: &pb.UserOpt{User: &pb.UserOpt_ByName{
					ByName: &pb.NamedUserOpt{Name: "u", Input: -1},
				}}},
			}}}), false,
		},
		{
			"a removal", file(&pb.FileAction{Action: &pb.FileAction_Rm{
				Rm: &pb.FileActionRm{Path: "/a/..b"},
			}}), true,
		},
		{
			"a removal above", file(&pb.FileAction{Action: &pb.FileAction_Rm{
				Rm: &pb.FileActionRm{Path: ".."},
			}}), false,
		},
		{
			"a removal by a way up", file(&pb.FileAction{Action: &pb.FileAction_Rm{
				Rm: &pb.FileActionRm{Path: "a/../../x", AllowWildcard: true},
			}}), false,
		},
		{
			"a difference to scratch", &pb.Op{Inputs: input, Op: &pb.Op_Diff{Diff: &pb.DiffOp{
				Lower: &pb.LowerDiffInput{Input: -1}, Upper: &pb.UpperDiffInput{Input: 0},
			}}}, true,
		},
		{"a difference without sides", &pb.Op{Op: &pb.Op_Diff{Diff: &pb.DiffOp{}}}, false},
		{
			"a difference to an input that isn't there",
			&pb.Op{Inputs: input, Op: &pb.Op_Diff{Diff: &pb.DiffOp{
				Lower: &pb.LowerDiffInput{Input: 0}, Upper: &pb.UpperDiffInput{Input: 1},
			}}}, false,
		},
		{
			"a merge", &pb.Op{Inputs: input, Op: &pb.Op_Merge{Merge: &pb.MergeOp{
				Inputs: []*pb.MergeInput{{Input: 0}},
			}}}, true,
		},
		{
			"a merge of an input that isn't there",
			&pb.Op{Inputs: input, Op: &pb.Op_Merge{Merge: &pb.MergeOp{
				Inputs: []*pb.MergeInput{{Input: 1}},
			}}}, false,
		},
		{
			"a merge without its inputs",
			&pb.Op{Inputs: input, Op: &pb.Op_Merge{Merge: &pb.MergeOp{}}}, false,
		},
		{"a result that is passed on by no name", &pb.Op{Inputs: input, Op: &pb.Op_Passthrough{
			Passthrough: &pb.PassthroughOp{Outputs: []int64{0}},
		}}, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			unknown := ""
			for _, o := range ofDefinition(t, definition(t, tt.op)) {
				unknown += o.Unknown
			}
			require.Equal(t, tt.known, unknown == "", unknown)
		})
	}
	require.Equal(t, []buildrules.Operation{{Unknown: `a download to the file name "../x"`}},
		ofDefinition(t, definition(t, sourceOp(url, named("../x")))))
}
