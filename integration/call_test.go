package integration

import (
	"encoding/json"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/policy-frontend/policy-frontend/integration/harness"
)

// `buildx build --call=policy` says what would run, and builds nothing.
func TestCallPolicy(t *testing.T) {
	us := env.WithPolicy(t, corpPolicy)
	d := env.SolePermitted(t)
	call := func(t *testing.T, file, call string) harness.Output {
		t.Helper()
		dir := harness.WriteContext(t, map[string]string{"Dockerfile": file})
		return d.Buildx(t, dir, "build", "--call="+call, "--build-arg", "BUILDKIT_SYNTAX="+us, ".")
	}
	inner := digest(t, "docker/dockerfile:1")
	const policyLine = "corp-ci sha256:a6f5fdc7a02b54a7309f286c73146fd79033abcd7cfc8bb02fbd8c5e96eb5181\n"

	t.Run("an allowed frontend as text", func(t *testing.T) {
		t.Parallel()
		o := call(t, goodFile, "policy").RequireSuccess(t)
		require.Equal(t, `frontend docker/dockerfile:1 is allowed: rule "dockerfile" allows docker/dockerfile:1
  requested by: line 1 of Dockerfile
  image:        docker.io/docker/dockerfile:1@`+inner+`
  rule:         dockerfile
  policy:       `+policyLine, o.Stdout)
	})
	t.Run("a refused frontend as text", func(t *testing.T) {
		t.Parallel()
		o := call(t, evilFile, "policy").RequireFailure(t)
		require.Equal(t, 1, o.ExitCode)
		require.Contains(t, o.Stdout, "frontend "+evil+" is refused: no rule allows "+evil)
		require.Contains(t, o.Stdout, "\n  policy:       "+policyLine)
	})
	t.Run("both as JSON", func(t *testing.T) {
		t.Parallel()
		var allowed, refused map[string]any
		require.NoError(t, json.Unmarshal([]byte(call(t, goodFile, "policy,format=json").
			RequireSuccess(t).Stdout), &allowed))
		require.Equal(t, "allow", allowed["verdict"])
		require.Equal(t, "docker.io/docker/dockerfile:1@"+inner, allowed["source"])
		require.Equal(t, "line 1 of Dockerfile", allowed["askedBy"])
		require.NoError(t, json.Unmarshal([]byte(call(t, evilFile, "policy,format=json").
			RequireFailure(t).Stdout), &refused))
		require.Equal(t, "deny", refused["verdict"])
		require.Equal(t, "#build-help", refused["contact"])
		require.NotEmpty(t, refused["allowed"])
	})
	t.Run("the list of what can be asked has ours beside the inner frontend's", func(t *testing.T) {
		t.Parallel()
		o := call(t, goodFile, "subrequests.describe").RequireSuccess(t)
		for _, line := range []string{"outline ", "targets ", "policy "} {
			require.Contains(t, o.Stdout, "\n"+line)
		}
	})
	t.Run("a frontend that can't be asked has ours alone", func(t *testing.T) {
		t.Parallel()
		o := call(t, "# syntax="+env.Frontend(t, harness.YAMLFrontend)+"\nfiles: {/x: x}\n",
			"subrequests.describe").RequireSuccess(t)
		require.Contains(t, o.Stdout, "\npolicy ")
		require.NotContains(t, o.Stdout, "\noutline ")
	})
	t.Cleanup(func() { requireNoEvil(t) })
}
