package integration

import (
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/policy-frontend/policy-frontend/integration/harness"
	"github.com/policy-frontend/policy-frontend/policy"
)

// TestARemoteBakeFileIsNoOtherBuild: buildx sends the contexts of its targets as frontend inputs.
func TestARemoteBakeFileIsNoOtherBuild(t *testing.T) {
	t.Parallel()
	for _, by := range []policy.Dispatch{
		policy.DispatchForward, policy.DispatchMediate, policy.DispatchBuiltin,
	} {
		t.Run(string(by), func(t *testing.T) {
			t.Parallel()
			us := under(t, strings.Replace(corpPolicy, "    tags: [\"1\", \"1.*\"]\n",
				"    options: {inputs: deny}\n    dispatch: "+string(by)+"\n", 1))
			repository, _ := harness.GitServer(t, map[string]string{
				"app/Dockerfile": syntaxLine + "FROM scratch\nCOPY Dockerfile /copied\n",
				"docker-bake.hcl": `target "_" { args = { BUILDKIT_SYNTAX = "` + us.syntax + `" } }
target "app" {
  inherits = ["_"]
  context = "app"
}
target "two" {
  inherits = ["app"]
  contexts = { one = "target:app" }
}
`,
			})
			bake := func(target string) (out string, o harness.Output) {
				out = filepath.Join(t.TempDir(), "out")
				c := us.BuildxCommand(t.TempDir(), "bake", "--progress=plain",
					"--set", target+".output="+out, repository, target)
				c.Env = []string{"BUILDX_BAKE_ENTITLEMENTS_FS=0"} // what else asks for it differs by path
				return out, us.Run(t, c)
			}
			out, o := bake("app")
			o.RequireSuccess(t)
			require.FileExists(t, filepath.Join(out, "copied"))
			_, o = bake("two")
			o.RequireFailure(t, "refuses frontend inputs (options.inputs: deny)")
		})
	}
}
