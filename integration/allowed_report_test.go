package integration

import (
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/policy-frontend/policy-frontend/integration/harness"
	"github.com/policy-frontend/policy-frontend/policy"
)

// The metadata of the result contains the decision as JSON.
func TestAllowedDecisionIsInTheMetadata(t *testing.T) {
	t.Parallel()
	each(t, waysApart(), testDecisionIsInTheMetadata)
}

func testDecisionIsInTheMetadata(t *testing.T, w way) {
	us := w.throughUs(t)
	pinned, err := env.Registry.Digest(env.Registry.Ref(inner))
	require.NoError(t, err)

	for name, tc := range map[string]struct{ requested, source string }{
		"a tag":            {inner, "docker.io/docker/dockerfile:1@" + pinned},
		"a digest":         {"docker/dockerfile:1@" + pinned, "docker.io/docker/dockerfile:1@" + pinned},
		"a full reference": {"docker.io/docker/dockerfile:1", "docker.io/docker/dockerfile:1@" + pinned},
		"another tag": {
			"docker/dockerfile:1.4.0",
			"docker.io/docker/dockerfile:1.4.0@" + digestOf(t, "docker/dockerfile:1.4.0"),
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := harness.WriteContext(t, dockerfile(tc.requested))
			file := filepath.Join(t.TempDir(), "metadata.json")
			o := us.buildx(t, dir, "--metadata-file", file)
			if w.dispatch == policy.DispatchBuiltin { // no image runs, so there is no digest
				if strings.Contains(tc.requested, "@") {
					o.RequireFailure(t, "the built-in Dockerfile frontend instead (dispatch: builtin), "+
						"which has no digest")
					return
				}
				tc.source, _, _ = strings.Cut(tc.source, "@")
			}
			o.RequireSuccess(t)

			var text string
			require.NoError(t, json.Unmarshal(harness.ReadMetadata(t, file)["frontend.policy.decision"],
				&text))
			var got map[string]any
			require.NoError(t, json.Unmarshal([]byte(text), &got))
			require.Equal(t, map[string]any{
				"verdict":   "allow",
				"requested": tc.requested,
				"source":    tc.source,
				"rule":      "dockerfile",
				"reason":    got["reason"],
				"messages":  []any{},
				"policy": map[string]any{
					"id":     "corp-ci",
					"digest": fmt.Sprintf("sha256:%x", sha256.Sum256([]byte(w.policy(corpPolicy)))),
				},
				"obligations": got["obligations"],
				"dispatch":    string(w.dispatch),
				"contact":     "#build-help",
			}, got)
			if w.build == "" {
				require.Empty(t, got["obligations"])
			} else {
				require.Contains(t, got["obligations"], "build")
			}
			require.Contains(t, got["reason"], `rule "dockerfile" allows`)
		})
	}
}

func digestOf(t *testing.T, shortRef string) string {
	t.Helper()
	d, err := env.Registry.Digest(env.Registry.Ref(shortRef))
	require.NoError(t, err)
	return d
}

// The progress shows a person which frontend runs, and which rule allows it.
func TestAllowedProgressNamesTheRule(t *testing.T) {
	t.Parallel()
	each(t, waysApart(), testProgressNamesTheRule)
}

func testProgressNamesTheRule(t *testing.T, w way) {
	us := w.throughUs(t)
	dir := harness.WriteContext(t, dockerfile(inner))
	step := `[policy] rule "dockerfile" of corp-ci allows docker/dockerfile:1`
	line := step + "@" + digestOf(t, inner)
	if w.dispatch == policy.DispatchBuiltin {
		line = step
	}

	t.Run("buildx with plain progress", func(t *testing.T) {
		t.Parallel()
		o := us.buildx(t, dir).RequireSuccess(t)
		require.Regexp(t, `(?m)^#\d+ `+regexp.QuoteMeta(line)+`$`, o.Stderr)
	})
	t.Run("buildctl with plain progress", func(t *testing.T) {
		t.Parallel()
		o := us.Buildctl(t, byBuildctl(dir, us.syntax)...).RequireSuccess(t)
		require.Regexp(t, `(?m)^#\d+ `+regexp.QuoteMeta(line)+`$`, o.Stderr)
	})
	// A terminal cuts each line at its width. Here that is 120 characters, which is within the digest.
	for name, c := range map[string]harness.Command{
		"buildx on a terminal":   us.BuildxCommand(dir, byBuildx(us.syntax, "--progress=tty")...),
		"buildctl on a terminal": us.BuildctlCommand(byBuildctl(dir, us.syntax, "--progress=tty")...),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c.TTY = true
			o := us.Run(t, c).RequireSuccess(t)
			require.Contains(t, o.Stdout, "=> ")
			require.Contains(t, o.Stdout, step)
		})
	}
}
