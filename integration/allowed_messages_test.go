package integration

import (
	"encoding/json"
	"fmt"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/policy-frontend/policy-frontend/integration/harness"
)

var (
	seconds = regexp.MustCompile(`\b\d+\.\d+s?\b`)
	// snapshots matches the daemon's names for what it copies from. They differ between daemons.
	snapshots = regexp.MustCompile(`ref [0-9a-z]{25}::[0-9a-z]{25}`)
	// silent matches a failed step that printed nothing. A client shows it only if the step's end
	// arrived before the build's.
	silent = regexp.MustCompile(`(?m)^------\n > .*:\n------\n`)
)

// errorsOf returns what a client printed after the progress: the failed step with its output, the
// snippet of the build file, and the error. It removes what differs between runs: times, random
// names, and steps without output.
func errorsOf(o harness.Output) string {
	var lines []string
	for line := range strings.Lines(o.Stderr) {
		switch {
		case strings.HasPrefix(line, "#"):
			lines = nil
		case !strings.HasPrefix(line, "WARNING: No output specified"):
			lines = append(lines, line)
		}
	}
	text := snapshots.ReplaceAllString(asIfSolving(strings.Join(lines, "")), "ref N")
	text = silent.ReplaceAllString(text, "")
	return seconds.ReplaceAllString(text, "N")
}

// asIfSolving gives a client's error one form: of two calls that fail at the same time, the client
// shows the one that ends first (client/build.go of BuildKit).
func asIfSolving(text string) string {
	return strings.Replace(text, "failed to run Build function: ", "failed to solve: ", 1)
}

// warningsOf returns the warnings in rawjson progress, each with the lines that it points at. Plain
// progress is no use here. It shows a warning only if something else of its step comes later, which
// depends on timing (util/progress/progressui).
func warningsOf(t *testing.T, o harness.Output) []string {
	t.Helper()
	var warnings []string
	for line := range strings.Lines(o.Stderr) {
		var status struct {
			Warnings []struct {
				Short  []byte          `json:"short"`
				Detail [][]byte        `json:"detail"`
				URL    string          `json:"url"`
				Range  json.RawMessage `json:"range"`
				Source struct {
					Filename string `json:"filename"`
				} `json:"sourceInfo"`
			} `json:"warnings"`
		}
		if json.Unmarshal([]byte(line), &status) != nil {
			continue // the client's own text, not progress
		}
		for _, w := range status.Warnings {
			warnings = append(warnings,
				fmt.Sprintf("%s: %s %s %s %s", w.Source.Filename, w.Short, w.Detail, w.URL, w.Range))
		}
	}
	return warnings
}

// Errors of the inner frontend and of the build are the same as without the policy frontend,
// including the snippet of the build file.
func TestAllowedErrorsAreTheSame(t *testing.T) {
	t.Parallel()
	them, ours := direct(t), append(throughEach(t, ways()), guardedEach(t)...)
	for name, tc := range map[string]struct {
		dockerfile string
		want       []string
	}{
		"an unknown instruction": {
			"FROM busybox\nNONSENSE\n",
			[]string{"Dockerfile:3", "3 | >>> NONSENSE", "unknown instruction: NONSENSE"},
		},
		"a mistyped instruction": {
			"FROM busybox\nCOPPY . .\n",
			[]string{"3 | >>> COPPY . .", "did you mean COPY?"},
		},
		"an empty build file": {"", []string{"file with no instructions"}},
		"a RUN that fails": {
			"FROM busybox\nRUN echo about to fail; exit 7\nRUN true\n",
			[]string{"about to fail", "3 | >>> RUN echo about to fail; exit 7", "exit code: 7"},
		},
		"a base image that isn't there": {
			"FROM busybox AS b\nFROM no/such/image:1\n",
			[]string{
				"3 | >>> FROM no/such/image:1", "no/such/image",
			}, // old daemons ask docker.io if the mirror doesn't have it
		},
		"a file that isn't there, with a digest in its name": {
			"FROM busybox\nCOPY d41d8cd98f00b204e9800998ecf8427e-main.js /\n",
			[]string{
				"3 | >>> COPY d41d8cd98f00b204e9800998ecf8427e-main.js /",
				`"/d41d8cd98f00b204e9800998ecf8427e-main.js": not found`,
			},
		},
		"a missing secret": {
			"FROM busybox\nRUN --mount=type=secret,id=token,required true\n",
			[]string{"3 | >>> RUN --mount=type=secret,id=token,required true", "secret token: not found"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := withSyntax(t, tc.dockerfile, nil)
			want := them.buildx(t, dir).RequireFailure(t, tc.want...)
			for _, text := range tc.want {
				require.Contains(t, errorsOf(want), text)
			}
			for _, us := range ours {
				t.Run(us.way.name, func(t *testing.T) {
					got, text := us.buildx(t, dir).RequireFailure(t), errorsOf(want)
					if us.byTheDaemonsOwn() {
						text = errorsOfTheDaemonsOwn(t, them, tc.dockerfile)
					}
					require.Equal(t, text, errorsOf(got))
					require.Equal(t, want.ExitCode, got.ExitCode)
				})
			}
		})
	}
	t.Run("by buildctl", func(t *testing.T) {
		t.Parallel()
		dir := withSyntax(t, "FROM busybox\nRUN exit 7\n", nil)
		text := []string{"3 | >>> RUN exit 7", "exit code: 7"}
		want := them.Buildctl(t, byBuildctl(dir, inner)...).RequireFailure(t, text...)
		for _, us := range ours {
			t.Run(us.way.name, func(t *testing.T) {
				got := us.Buildctl(t, byBuildctl(dir, us.syntax)...).RequireFailure(t)
				require.Equal(t, errorsOf(want), errorsOf(got))
				require.Equal(t, want.ExitCode, got.ExitCode)
			})
		}
	})
}

// errorsOfTheDaemonsOwn returns the errors of a build by the daemon's dockerfile.v0, whose words
// about missing images are others than those of the same frontend in an image. A syntax line would
// have it run an image, so a comment of the same length stands for it.
func errorsOfTheDaemonsOwn(t *testing.T, s side, dockerfile string) string {
	t.Helper()
	comment := strings.Replace(syntaxLine, "=", ":", 1)
	dir := harness.WriteContext(t, map[string]string{"Dockerfile": comment + dockerfile})
	o := s.Buildx(t, dir, "build", "--progress=plain", ".").RequireFailure(t)
	return strings.ReplaceAll(errorsOf(o), strings.TrimSpace(comment), strings.TrimSpace(syntaxLine))
}

func TestAllowedWarningsAreShown(t *testing.T) {
	t.Parallel()
	them, ours := direct(t), append(throughEach(t, ways()), guardedEach(t)...)
	dir := withSyntax(t, "FROM busybox as b\nMAINTAINER me\nRUN true\n", nil)
	const first = "FromAsCasing: 'as' and 'FROM' keywords' casing do not match (line 2)"

	t.Run("by buildx after the progress", func(t *testing.T) {
		t.Parallel()
		want := errorsOf(them.buildx(t, dir).RequireSuccess(t))
		require.Contains(t, want, "2 warnings found")
		require.Contains(t, want, first)
		for _, us := range ours {
			t.Run(us.way.name, func(t *testing.T) {
				require.Equal(t, want, errorsOf(us.buildx(t, dir).RequireSuccess(t)))
			})
		}
	})
	for name, build := range map[string]func(t *testing.T, s side) harness.Output{
		"by buildx": func(t *testing.T, s side) harness.Output {
			return s.buildx(t, dir,
				"--progress=rawjson")
		},
		"by buildctl": func(t *testing.T, s side) harness.Output {
			return s.Buildctl(t, byBuildctl(dir, s.syntax, "--progress=rawjson")...)
		},
	} {
		t.Run("with their place in the file "+name, func(t *testing.T) {
			t.Parallel()
			want := warningsOf(t, build(t, them).RequireSuccess(t))
			require.Len(t, want, 2)
			require.Contains(t, strings.Join(want, "\n"), first)
			for _, us := range ours {
				t.Run(us.way.name, func(t *testing.T) {
					require.ElementsMatch(t, want, warningsOf(t, build(t, us.side).RequireSuccess(t)))
				})
			}
		})
	}
}
