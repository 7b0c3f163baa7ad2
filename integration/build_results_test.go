package integration

import (
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/policy-frontend/policy-frontend/integration/harness"
	"github.com/policy-frontend/policy-frontend/policy"
)

// resultsBakeFile has the default target, which builds on a stage that is never shipped, and a
// target that runs as root.
const resultsBakeFile = `
variable "SYNTAX" {}

target "linked" {
  context = "base"
  target  = "base"
  args    = { BUILDKIT_SYNTAX = SYNTAX }
}

target "default" {
  contexts = { base = "target:linked" }
  args     = { BUILDKIT_SYNTAX = SYNTAX }
}

target "root" {
  context = "base"
  target  = "app"
  args    = { BUILDKIT_SYNTAX = SYNTAX }
}
`

// Conditions on the configuration are for every result of a build, for linked bake targets and
// exported files too, unless they say otherwise.
func TestConditionsOnImagesAreForChosenResults(t *testing.T) {
	t.Parallel()
	const (
		isRoot = `its user is "root" (build.config.user.forbid: "root")`
		hint   = "if this result is no image that runs, such as exported files"
	)
	linked := withSyntax(t, "FROM base\nUSER app\n", map[string]string{
		"docker-bake.hcl": resultsBakeFile,
		"base/Dockerfile": syntaxLine + "FROM busybox AS base\nRUN echo base > /base\n" +
			"FROM base AS app\n",
	})
	files := withSyntax(t, "FROM busybox AS build\nRUN echo binary > /tool\n"+
		"FROM scratch\nCOPY --from=build /tool /\n", nil)
	bake := func(target string, args ...string) func(*testing.T, side, string) harness.Output {
		return func(t *testing.T, us side, out string) harness.Output {
			t.Helper()
			args := append([]string{"--set=" + target + ".output=" + out}, args...)
			return us.bake(t, linked, append(args, target)...)
		}
	}
	builds := map[string]func(t *testing.T, us side, out string) harness.Output{
		"a target that links another": bake("default"),
		"exported files": func(t *testing.T, us side, out string) harness.Output {
			t.Helper()
			return us.buildx(t, files, "-o", out)
		},
		"an image that runs":                  bake("root"),
		"a target that the client chooses":    bake("root", "--set=root.target=BASE"),
		"a target that the client leaves out": bake("root", "--set=root.target="),
	}
	for name, tc := range map[string]struct {
		config string
		want   map[string][]string // what a refusal says, by the build; the others succeed
	}{
		"for all results": {
			"{user: {forbid: [root]}}",
			map[string][]string{
				"a target that links another":         {isRoot},
				"exported files":                      {isRoot, hint},
				"an image that runs":                  {isRoot},
				"a target that the client chooses":    {isRoot},
				"a target that the client leaves out": {isRoot},
			},
		},
		"for chosen results": {
			"[{results: runnable, exceptTargets: [base], user: {forbid: [root]}}]",
			map[string][]string{
				"an image that runs":                  {isRoot},
				"a target that the client leaves out": {isRoot},
			},
		},
		"for chosen targets": {
			"{targets: [app, other], user: {forbid: [root]}}",
			map[string][]string{
				"exported files":                      {isRoot, hint}, // of the default target
				"an image that runs":                  {isRoot},
				"a target that the client leaves out": {isRoot},
			},
		},
	} {
		for _, by := range []policy.Dispatch{
			policy.DispatchForward, policy.DispatchMediate, policy.DispatchBuiltin,
		} {
			t.Run(name+"/"+string(by), func(t *testing.T) {
				t.Parallel()
				us := under(t, "version: 1\nid: corp-ci\ndispatch: "+string(by)+
					"\nbuild:\n  config: "+tc.config+
					"\nfrontends: [{name: dockerfile, match: [docker/dockerfile]}]\n")
				for build, run := range builds {
					t.Run(build, func(t *testing.T) {
						t.Parallel()
						out := filepath.Join(t.TempDir(), "out")
						o := run(t, us, out)
						if want, refused := tc.want[build]; refused {
							o.RequireFailure(t, "frontend docker/dockerfile:1 is refused: ")
							o.RequireFailure(t, want...)
							require.NoDirExists(t, out, "something was exported")
							return
						}
						o.RequireSuccess(t)
						require.DirExists(t, out)
					})
				}
			})
		}
	}
}
