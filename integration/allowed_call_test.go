package integration

import (
	"encoding/json"
	"path/filepath"
	"regexp"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/policy-frontend/policy-frontend/integration/harness"
)

// A subrequest to the inner frontend gets its answer and its exit code.
func TestAllowedCalls(t *testing.T) {
	t.Parallel()
	them, ours := direct(t), append(throughEach(t, waysApart()), guardedEach(t)...)
	const clean = "# What is built\nARG VERSION=1.0\nFROM busybox AS base\n" +
		"# WHO is greeted\nARG WHO=you\nRUN echo $WHO $VERSION > /out\n" +
		"FROM base AS release\nRUN --mount=type=secret,id=token,required true\n"
	const violating = "FROM busybox as base\nRUN true\nfrom base AS release\nMAINTAINER me\n"

	for name, tc := range map[string]struct {
		dockerfile string
		args       []string
		exitCode   int
		want       string
	}{
		"outline":              {clean, []string{"--call=outline"}, 0, "WHO         you     is greeted"},
		"outline as JSON":      {clean, []string{"--call=outline,format=json"}, 0, `"name": "WHO"`},
		"outline of a target":  {clean, []string{"--call=outline", "--target=base"}, 0, "TARGET: base"},
		"targets":              {clean, []string{"--call=targets"}, 0, "release (default)"},
		"targets as JSON":      {clean, []string{"--call=targets,format=json"}, 0, `"name": "release"`},
		"check of a clean one": {clean, []string{"--check"}, 0, "Check complete, no warnings found."},
		"check with findings":  {violating, []string{"--call=check"}, 1, "WARNING: FromAsCasing"},
		"check as JSON": {
			violating, []string{"--call=check,format=json"}, 1, `"ruleName": "MaintainerDeprecated"`,
		},
		"check of nonsense": {"FROM busybox\nNONSENSE\n", []string{"--call=check"}, 1, ""},
		"a name that no frontend answers": {
			clean, []string{"--call=nonsense"}, 1, "",
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := withSyntax(t, tc.dockerfile, nil)
			want := them.buildx(t, dir, tc.args...)
			require.Contains(t, want.Stdout, tc.want, "%s", want)
			require.Equal(t, want.ExitCode, tc.exitCode, "%s", want)
			for _, us := range ours {
				t.Run(us.way.name, func(t *testing.T) {
					got := us.buildx(t, dir, tc.args...)
					require.Equal(t, answerOf(want), answerOf(got))
					require.Equal(t, unrepeated(errorsOf(want)), unrepeated(errorsOf(got)))
					require.Equal(t, tc.exitCode, got.ExitCode, "%s", got)
				})
			}
		})
	}
}

// unrepeated returns an error without repetitions. Daemons before denyMessages repeat it at each
// place that it passes, and buildx shows the repetitions.
func unrepeated(text string) string {
	if !env.Older(denyMessages) {
		return text
	}
	return regexp.MustCompile(`(unsupported request frontend\.nonsense: )+`).ReplaceAllString(text, "")
}

// answerOf returns the answer that a client printed. It removes the definition of the build file's
// source from JSON, because that contains the number of the session.
func answerOf(o harness.Output) any {
	var answer map[string]any
	if json.Unmarshal([]byte(o.Stdout), &answer) != nil {
		return o.Stdout
	}
	sources, _ := answer["sources"].([]any)
	for _, s := range sources {
		if source, ok := s.(map[string]any); ok {
			delete(source, "definition")
		}
	}
	return answer
}

// A frontend whose image declares no capabilities can't answer subrequests. The daemon reports that
// with a typed error, so that clients can recognise it. In this test, a frontend is the client: it
// asks through the policy frontend and reports the type of the error.
func TestAllowedFrontendWithoutCapabilities(t *testing.T) {
	t.Parallel()
	yaml := env.Frontend(t, harness.YAMLFrontend)
	asker := pushProgram(t, "asker")
	d := env.StartDaemon(t, harness.DaemonConfig{
		DockerfileOff: true,
		AllowedRepositories: []string{
			env.Repository(), "docker.io/tests/asker", "docker.io/" + harness.YAMLFrontend.Repository(),
		},
	})
	dir := harness.WriteContext(t, map[string]string{"Dockerfile": "files: {/greeting: hello}\n"})

	sources := map[string]string{"direct": yaml}
	for _, w := range imageWays() {
		sources[w.name] = env.WithPolicy(t, w.policy(corpPolicy))
	}
	for name, source := range sources {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			ask := func(args ...string) string {
				out := t.TempDir()
				d.Buildctl(t, byBuildctl(dir, asker, append(args, "--opt", "ask="+source, "--opt",
					"ask-cmdline="+source+" "+yaml, "--output", "type=local,dest="+out)...)...).RequireSuccess(t)
				return read(t, filepath.Join(out, "answer"))
			}
			require.Equal(t, "no error\n", ask(), "without a question it builds")
			require.Equal(t, "unsupported frontend capability: moby.buildkit.frontend.subrequests\n",
				ask("--opt", "ask-requestid=frontend.outline"))
		})
	}
}

// With forward, only the daemon sees what a frontend runs. Its own words don't say what helps.
func TestARefusedNestedFrontendIsExplained(t *testing.T) {
	t.Parallel()
	asker := pushProgram(t, "asker")
	us := env.WithPolicy(t, "version: 1\nfrontends: [{match: [tests/asker]}]\ndispatch: forward\n")
	dir := harness.WriteContext(t, map[string]string{"Dockerfile": "# syntax=" + asker + "\n"})
	env.SolePermitted(t).Buildctl(t, byBuildctl(dir, us, "--opt", "ask="+inner, "--opt",
		"ask-fail=yes")...).RequireFailure(t,
		"the frontend "+asker+"@sha256:", "a rule with dispatch: mediate can allow",
		"'"+inner+"' is not an allowed gateway source")
}
