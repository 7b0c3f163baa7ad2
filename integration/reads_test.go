package integration

import (
	"archive/tar"
	"bytes"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/policy-frontend/policy-frontend/integration/harness"
	"github.com/policy-frontend/policy-frontend/policy"
)

// TestADateReadsNoDeniedSource: docker/dockerfile takes the date of an image from a source that
// SOURCE_DATE_EPOCH names, while it still converts the build file.
func TestADateReadsNoDeniedSource(t *testing.T) {
	t.Parallel()
	sites := newBuildSites(t)
	sites.eachJudge(t, "", func(t *testing.T, us side, by policy.Dispatch) {
		const of = "ARG SOURCE_DATE_EPOCH=leak\n"
		for name, tc := range map[string]struct {
			before, call, arg string
			refused           bool // by forward too
		}{
			"of the build file":               {before: of},
			"of the build file in a check":    {before: of, call: "--call=check"},
			"of the build file in an outline": {before: of, call: "--call=outline"},
			"of the client":                   {arg: "SOURCE_DATE_EPOCH=leak", refused: true},
		} {
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				denied, asked := harness.WatchedServer(t)
				dir := withSyntax(t, tc.before+"FROM scratch AS leak\nADD "+denied+
					"/x.git /\nFROM scratch\nCOPY Dockerfile /\nUSER app\n", nil)
				args := []string{"-o", filepath.Join(t.TempDir(), "out")}
				if tc.call != "" {
					args = []string{tc.call}
				}
				if tc.arg != "" {
					args = append(args, "--build-arg", tc.arg)
				}
				c := us.BuildxCommand(dir, byBuildx(us.syntax, args...)...)
				o := us.Run(t, c)
				switch {
				case by == policy.DispatchForward && !tc.refused:
					o.RequireSuccess(t)
				case tc.arg != "" && env.Older("v0.30.0"): // it reads the client's date itself
					o.RequireFailure(t, "invalid source-date-epoch")
				case tc.call == "": // mediate and builtin refuse what a question reads, and may answer
					o.RequireFailure(t, "frontend docker/dockerfile:1 is refused: ")
				}
				require.Empty(t, asked(), "the denied source was read")
			})
		}
	})
}

// TestADeniedContextIsNotRead: our own process reads the build file, which can be in a repository
// or behind a URL.
func TestADeniedContextIsNotRead(t *testing.T) {
	t.Parallel()
	sites := newBuildSites(t)
	sites.eachJudge(t, "", func(t *testing.T, us side, _ policy.Dispatch) {
		for name, path := range map[string]string{
			"a git repository": "/app.git", "a download": "/app.tar",
		} {
			for call, args := range map[string][]string{
				"build": {"-o", "OUT"}, "call": {"--call=policy"}, "check": {"--call=check"},
			} {
				t.Run(name+" by "+call, func(t *testing.T) {
					t.Parallel()
					denied, asked := harness.WatchedServer(t)
					if args[0] == "-o" {
						args = []string{"-o", filepath.Join(t.TempDir(), "out")}
					}
					o := us.Buildctl(t, append([]string{
						"build", "--progress=plain", "--frontend=gateway.v0", "--opt", "source=" + us.syntax,
						"--opt", "context=" + denied + path,
					}, buildctlArgs(args)...)...)
					if call != "call" {
						o.RequireFailure(t, "is refused: ", "only "+denied[:4])
					}
					require.Empty(t, asked(), "the denied context was read")
				})
			}
		}
	})
}

// buildctlArgs returns buildx's arguments as buildctl has them.
func buildctlArgs(args []string) []string {
	switch args[0] {
	case "--call=policy":
		return []string{"--opt", "requestid=frontend.policy"}
	case "--call=check":
		return []string{"--opt", "requestid=frontend.lint"}
	}
	return []string{"--output", "type=local,dest=" + args[1]}
}

func TestATarOnStandardInputIsNoDownload(t *testing.T) {
	t.Parallel()
	sites := newBuildSites(t)
	sites.eachJudge(t, "", func(t *testing.T, us side, _ policy.Dispatch) {
		var archive bytes.Buffer
		w := tar.NewWriter(&archive)
		const file = syntaxLine + "FROM scratch\nCOPY Dockerfile /copied\nUSER app\n"
		head := &tar.Header{Name: "Dockerfile", Mode: 0o644, Size: int64(len(file))}
		require.NoError(t, w.WriteHeader(head))
		_, err := w.Write([]byte(file))
		require.NoError(t, err)
		require.NoError(t, w.Close())
		out := filepath.Join(t.TempDir(), "out")
		line := byBuildx(us.syntax, "-o", out)
		line[len(line)-1] = "-"
		c := us.BuildxCommand(t.TempDir(), line...)
		c.Stdin = &archive
		us.Run(t, c).RequireSuccess(t)
		require.FileExists(t, filepath.Join(out, "copied"))
	})
}
