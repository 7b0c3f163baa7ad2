package main

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/opencontainers/go-digest"
	"github.com/spf13/cobra"
	"github.com/stretchr/testify/require"

	"github.com/policy-frontend/policy-frontend/internal/optionkeys"
	"github.com/policy-frontend/policy-frontend/policy"
)

const (
	digestA = "sha256:aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
	digestB = "sha256:bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb"

	testPolicy = `version: 1
id: corp
contact: "#help"
frontends:
  - name: dockerfile
    match: [docker/dockerfile]
    tags: ["1.*"]
    message: |
      first line
      second line
  - name: pinned
    match: [docker/pinned]
    digests: ["` + digestA + `"]
`
	testOverlay = "version: 1\nid: team\nfrontends:\n- {name: exact, match: [docker/dockerfile], tags: [\"1.7\"]}\n"
)

// defaults returns an overlay that allows all frontends and names the default one.
func defaults(frontend string) string {
	return "version: 1\ndefault: allow\ndefaultFrontend: " + frontend + "\n"
}

// run executes the command line in this process.
func run(args ...string) (code int, stdout, stderr string) {
	var out, err bytes.Buffer
	code = execute(args, &out, &err)
	return code, out.String(), err.String()
}

// write makes a file of the test's own and returns its path.
func write(t *testing.T, name, content string) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), name)
	require.NoError(t, os.WriteFile(file, []byte(content), 0o600))
	return file
}

func TestEvalText(t *testing.T) {
	t.Parallel()
	file, overlay := write(t, "policy.yaml", testPolicy), write(t, "overlay.yaml", testOverlay)
	identity := "corp " + digest.FromString(testPolicy).String()
	team := "team " + digest.FromString(testOverlay).String()
	tests := []struct {
		name string
		args []string
		code int
		want string
	}{
		{
			"an allowed frontend",
			[]string{"docker/dockerfile:1.7"},
			0,
			`frontend docker/dockerfile:1.7 is allowed: rule "dockerfile" allows docker/dockerfile:1.7
  message:      first line
                second line
  image:        docker.io/docker/dockerfile:1.7
  rule:         dockerfile
  policy:       ` + identity + `
`,
		},
		{
			"a refused frontend",
			[]string{"evil/dockerfile"},
			1,
			`frontend evil/dockerfile is refused: no rule allows evil/dockerfile:latest
  image:        docker.io/evil/dockerfile:latest
  rule:         default
  policy:       ` + identity + `
  allowed:      docker/dockerfile:1.*, docker/pinned@` + digestA + `
  contact:      #help
`,
		},
		{
			"a frontend that needs its digest",
			[]string{"docker/pinned"},
			3,
			`frontend docker/pinned can't be decided: rule "pinned" allows only the digest ` + digestA +
				`, and the digest of docker/pinned:latest is not known
  image:        docker.io/docker/pinned:latest
  rule:         pinned
  policy:       ` + identity + `
  to decide:    the digest of the image must be known
  contact:      #help
`,
		},
		{
			"a frontend with its digest",
			[]string{"--digest", digestA, "docker/pinned"},
			0,
			`frontend docker/pinned is allowed: rule "pinned" allows docker/pinned:latest
  image:        docker.io/docker/pinned:latest@` + digestA + `
  rule:         pinned
  policy:       ` + identity + `
  digests:      ` + digestA + `
`,
		},
		{
			"a frontend with another digest",
			[]string{"--digest", digestB, "docker/pinned"},
			1,
			`frontend docker/pinned is refused: rule "pinned" would allow it, but only with the digest ` +
				digestA + `, not ` + digestB + `
  image:        docker.io/docker/pinned:latest@` + digestB + `
  rule:         default
  policy:       ` + identity + `
  allowed:      docker/pinned@` + digestA + `, docker/dockerfile:1.*
  contact:      #help
`,
		},
		{
			"the daemon's own Dockerfile frontend, which a rule allows in the form that it stands for",
			[]string{"--overlay", write(t, "o.yaml", defaults("docker/dockerfile:1.7")), "dockerfile.v0"},
			0,
			`frontend dockerfile.v0 is allowed: rule "dockerfile" allows docker/dockerfile:1.7
  message:      first line
                second line
  image:        docker.io/docker/dockerfile:1.7
  rule:         dockerfile
  policy:       ` + identity + `
  overlay:      ` + digest.FromString(defaults("docker/dockerfile:1.7")).String() + `
`,
		},
		{
			"the daemon's own Dockerfile frontend, which no rule allows",
			[]string{"dockerfile.v0"},
			1,
			`frontend dockerfile.v0 is refused: rule "dockerfile" would allow it, but only with the tag 1.*, not 1
  message:      dockerfile.v0 is the daemon's own Dockerfile frontend, and stands for docker/dockerfile:1 here: name another one by a # syntax line in that Dockerfile, or have a rule allow this one
  image:        docker.io/docker/dockerfile:1
  rule:         default
  policy:       ` + identity + `
  allowed:      docker/dockerfile:1.*, docker/pinned@` + digestA + `
  contact:      #help
`,
		},
		{
			"an overlay from a file",
			[]string{"--overlay", overlay, "docker/dockerfile:1.6"},
			1,
			`frontend docker/dockerfile:1.6 is refused: the overlay decided: rule "exact" would allow it, but only with the tag 1.7, not 1.6
  image:        docker.io/docker/dockerfile:1.6
  rule:         default
  policy:       ` + identity + `
  overlay:      ` + team + `
  allowed:      docker/dockerfile:1.7
  contact:      #help
`,
		},
		{
			"an overlay as a client sends it",
			[]string{
				"--opt", "filename=Dockerfile", "--opt", optionkeys.Overlay + "=" + testOverlay,
				"docker/dockerfile:1.7",
			},
			0,
			`frontend docker/dockerfile:1.7 is allowed: rule "dockerfile" allows docker/dockerfile:1.7
  message:      first line
                second line
  image:        docker.io/docker/dockerfile:1.7
  rule:         dockerfile
  policy:       ` + identity + `
  overlay:      ` + team + `
`,
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			code, stdout, stderr := run(append([]string{"eval", "--policy", file}, tt.args...)...)
			require.Equal(t, tt.code, code)
			require.Equal(t, tt.want, stdout)
			require.Empty(t, stderr)
		})
	}
}

func TestEvalTextWithNothingAllowed(t *testing.T) {
	t.Parallel()
	code, stdout, _ := run("eval", "--policy", write(t, "p", "version: 1\n"), "a")
	require.Equal(t, exitDeny, code)
	require.NotContains(t, stdout, "allowed:")
}

func TestEvalJSONIsTheDecision(t *testing.T) {
	t.Parallel()
	file := write(t, "policy.yaml", testPolicy)
	code, stdout, stderr := run("eval", "--policy", file, "--format", "json", "--at",
		"2027-01-31T12:00:00Z", "docker/pinned@"+digestA)
	require.Equal(t, exitOK, code)
	require.Empty(t, stderr)
	require.JSONEq(t,
		`{"verdict":"allow","requested":"docker/pinned@`+digestA+`","source":"docker.io/docker/pinned@`+
			digestA+`",
		"rule":"pinned","reason":"rule \"pinned\" allows docker/pinned@`+digestA+`","messages":[],
		"policy":{"id":"corp","digest":"`+digest.FromString(testPolicy).String()+
			`"},"obligations":{"digests":["`+digestA+`"]},"dispatch":"forward","contact":"#help"}`, stdout)

	code, stdout, _ = run("eval", "--policy", file, "--format", "json", "evil/x")
	require.Equal(t, exitDeny, code)
	var d policy.Decision
	require.NoError(t, json.Unmarshal([]byte(stdout), &d))
	require.Equal(t, policy.Deny, d.Verdict)
}

func TestUsageErrorsExitWith2(t *testing.T) {
	t.Parallel()
	file := write(t, "policy.yaml", testPolicy)
	broken := write(t, "broken.yaml", "version: 1\nfrontend: []\n")
	closed := write(t, "closed.yaml", "{version: 1, overlay: {accept: none}}")
	overlay := write(t, "overlay.yaml", testOverlay)
	long := write(t, "long.yaml", "version: 1\n#"+strings.Repeat("x", policy.MaxOverlaySize))
	tests := []struct {
		name string
		args []string
		want string
	}{
		{"an unknown command", []string{"judge"}, `unknown command "judge"`},
		{
			"an unknown flag",
			[]string{"eval", "--polcy", file, "a"},
			"unknown flag: --polcy; did you mean --policy?",
		},
		{"help for an unknown command", []string{"help", "evl"}, `unknown command "evl"`},
		{"no reference", []string{"eval", "--policy", file}, "give at least one reference"},
		{
			"a digest for two references",
			[]string{"eval", "--policy", file, "--digest", digestA, "a", "b"},
			"--digest is the digest of one reference",
		},
		{
			"stdin for two things",
			[]string{"eval", "--policy", "-", "-"},
			"- is stdin, which can be read only once",
		},
		{"stdin for two policies", []string{"diff", "-", "-"}, "which can be read only once"},
		{
			"no policy file there",
			[]string{"eval", "--policy", file + "x", "a"},
			"policy-frontend eval: open " + file + "x: no such file or directory",
		},
		{
			"a broken policy",
			[]string{"eval", "--policy", broken, "a"},
			broken + `:2:1: unknown field "frontend"; did you mean "frontends"?`,
		},
		{
			"a broken overlay",
			[]string{"eval", "--policy", file, "--overlay", broken, "a"},
			broken + ":2:1: unknown field",
		},
		{
			"an overlay that is too long",
			[]string{"eval", "--policy", file, "--overlay", long, "a"},
			"more than 65536",
		},
		{
			"a broken overlay as a client sends it",
			[]string{"eval", "--policy", file, "--opt", optionkeys.Overlay + "=version: 2", "a"},
			"POLICY_FRONTEND_POLICY:1:10: version 2 is not known",
		},
		{
			"an empty overlay as a client sends it",
			[]string{"eval", "--policy", file, "--opt", optionkeys.Overlay + "=", "a"},
			"POLICY_FRONTEND_POLICY: the document is empty",
		},
		{
			"an overlay on a policy that accepts none",
			[]string{"eval", "--policy", closed, "--overlay", overlay, "a"},
			"accepts no overlay",
		},
		{
			"two overlays",
			[]string{
				"eval", "--policy", file, "--overlay", overlay, "--opt", optionkeys.Overlay + "=x",
				"a",
			},
			"both give an overlay",
		},
		{
			"an option without a value",
			[]string{"eval", "--policy", file, "--opt", "filename", "a"},
			`--opt needs KEY=VALUE, not "filename"`,
		},
		{
			"an option twice",
			[]string{"eval", "--policy", file, "--opt", "a=1", "--opt", "a=2", "a"},
			`--opt gives "a" twice`,
		},
		{
			"an invalid digest",
			[]string{"eval", "--policy", file, "--digest", "sha256:1", "a"},
			`--digest: "sha256:1" is not a digest`,
		},
		{
			"a digest beside another",
			[]string{"eval", "--policy", file, "--digest", digestB, "a@" + digestA},
			"beside its own",
		},
		{
			"an invalid time",
			[]string{"eval", "--policy", file, "--at", "2027-01-31T1:00:00Z", "a"},
			`--at: "2027-01-31T1:00:00Z" is not a time; write a day such as 2027-01-31`,
		},
		{
			"an invalid format",
			[]string{"eval", "--policy", file, "--format", "yaml", "a"},
			`--format must be text or json, not "yaml"`,
		},
		{
			"an invalid reference",
			[]string{"eval", "--policy", file, "DOCKER/x"},
			"needs a dot or a port",
		},
		{"nothing to lint", []string{"lint"}, "give at least one policy file"},
		{"an argument to schema", []string{"schema", "x"}, "invalid argument"},
		{
			"a format of version that is none",
			[]string{"version", "--format", "x"},
			"--format must be text or json",
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			code, stdout, stderr := run(tt.args...)
			require.Equal(t, exitUsage, code)
			require.Empty(t, stdout)
			require.Contains(t, stderr, tt.want)
		})
	}
}

func TestLint(t *testing.T) {
	t.Parallel()
	clean := write(t, "clean.yaml", testPolicy)
	loose := write(t, "loose.yaml",
		"version: 1\nid: x\ndefault: allow\ncontact: y\nfrontends:\n- {name: a, match: [a*.corp.example/x, docker/dockerfile*]}\n")
	broken := write(t, "broken.yaml", "version: 2\n")

	code, stdout, stderr := run("lint", clean)
	require.Equal(t, exitOK, code)
	require.Empty(t, stdout+stderr)

	code, stdout, stderr = run("lint", clean, loose)
	require.Equal(t, exitFindings, code)
	require.Equal(t,
		loose+
			`:3:1: a frontend that no rule matches is allowed; remove default, and allow frontends by rules (default-allow)
`+loose+
			`:6:40: rule "a": match has docker.io/docker/dockerfile*, which matches every name that begins with dockerfile, such as dockerfile-evil; write the names in full, or use a directory (prefix-runs-on)
`, stdout)
	require.Empty(t, stderr)

	code, stdout, stderr = run("lint", broken, loose, clean+"x")
	require.Equal(t, exitUsage, code, "a file that is no policy outweighs findings")
	require.Contains(t, stdout, "default-allow", "the other files are looked at too")
	require.Contains(t, stderr, broken+":1:10: version 2 is not known")
	require.Contains(t, stderr, "no such file")
}

func TestSchema(t *testing.T) {
	t.Parallel()
	code, stdout, _ := run("schema")
	require.Equal(t, exitOK, code)
	require.JSONEq(t, string(policy.Schema()), stdout)
	require.Contains(t, stdout, `"defaultFrontend"`)
	for kind, field := range map[string]string{
		"policy": "defaultFrontend", "test": "cases", "operations": "cgroupParent",
	} {
		code, stdout, _ := run("schema", kind)
		require.Equal(t, exitOK, code)
		require.True(t, json.Valid([]byte(stdout)))
		require.Contains(t, stdout, `"`+field+`"`)
	}
	code, _, stderr := run("schema", "facts")
	require.Equal(t, exitUsage, code)
	require.Contains(t, stderr, `invalid argument "facts"`)
}

func TestVersion(t *testing.T) {
	t.Parallel()
	code, stdout, _ := run("version")
	require.Equal(t, exitOK, code)
	require.Regexp(t, `^policy-frontend \S+ \(policy language 1, go1\.\S+, \w+/\w+\)\n$`, stdout)

	code, stdout, _ = run("--version")
	require.Equal(t, exitOK, code)
	require.Equal(t, "policy-frontend version "+programVersion()+"\n", stdout)

	code, stdout, _ = run("version", "--format", "json")
	require.Equal(t, exitOK, code)
	var v versionInfo
	require.NoError(t, json.Unmarshal([]byte(stdout), &v))
	require.Equal(t, policy.Version, v.Language)
	require.NotEmpty(t, v.Version)
}

func TestHelp(t *testing.T) {
	t.Parallel()
	code, stdout, stderr := run()
	require.Equal(t, exitOK, code, "a person who gives no arguments gets help")
	require.Contains(t, stdout, "Available Commands:")
	require.Empty(t, stderr)

	root := newRootCommand(&bytes.Buffer{}, &bytes.Buffer{})
	for _, cmd := range append([]*cobra.Command{root}, root.Commands()...) {
		require.NotEmpty(t, cmd.Example, cmd.CommandPath())
		code, stdout, _ := run(append(strings.Fields(cmd.CommandPath())[1:], "--help")...)
		require.Equal(t, exitOK, code)
		require.Contains(t, stdout, cmd.Example)
	}
}

// failing is a stdout that is gone.
type failing struct{}

func (failing) Write([]byte) (int, error) { return 0, os.ErrClosed }

func TestADecisionThatCannotBePrintedIsNoAllow(t *testing.T) {
	t.Parallel()
	file := write(t, "policy.yaml", testPolicy)
	for _, format := range []string{formatText, formatJSON} {
		var stderr bytes.Buffer
		require.Equal(t, exitUsage,
			execute([]string{"eval", "--policy", file, "--format", format, "docker/dockerfile:1.7"},
				failing{}, &stderr))
		require.Contains(t, stderr.String(), "printing the decision")
	}
}

func TestEvalAnswersSeveralReferences(t *testing.T) {
	t.Parallel()
	file := write(t, "policy.yaml", testPolicy)
	for _, command := range []string{"eval", "explain"} {
		code, stdout, _ := run(command, "-p", file, "--format", "json", "docker/dockerfile:1.7",
			"docker/pinned", "quay.io/x")
		require.Equal(t, exitDeny, code, "a denial outweighs an unknown digest")
		require.Len(t, strings.Split(strings.TrimSpace(stdout), "\n"), 3)
		for line := range strings.Lines(stdout) {
			require.True(t, json.Valid([]byte(line)))
		}
	}
	code, _, _ := run("eval", "-p", file, "docker/dockerfile:1.7", "docker/pinned")
	require.Equal(t, exitUndecidable, code)
	code, stdout, _ := run("eval", "-p", file, "docker/dockerfile:1.7", "docker/dockerfile:1.8")
	require.Equal(t, exitOK, code)
	require.Contains(t, stdout, "docker/dockerfile:1.7 is allowed")
	require.Contains(t, stdout, "docker/dockerfile:1.8 is allowed")
}

// A dash and a pipe are files for each flag and argument that names one.
func TestWhatIsReadFromStdinAndPipes(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name, line string
		code       int
		want       string
	}{
		{"a policy", "policy-frontend eval -p - docker/dockerfile:1 < policy.yaml", exitOK, "is allowed"},
		{
			"references", `printf '# ours\ndocker/dockerfile:1\n\nquay.io/x\n' | policy-frontend eval -p policy.yaml -`,
			exitDeny, "frontend quay.io/x is refused",
		},
		{
			"an invalid reference", `printf 'a\n\nA/x\n' | policy-frontend eval -p policy.yaml -`, exitUsage,
			`line 3 of stdin: the reference "A/x": `,
		},
		{
			"no reference", "policy-frontend eval -p policy.yaml - < /dev/null", exitUsage,
			"stdin has no reference",
		},
		{
			"operations", `echo '- image: busybox' | policy-frontend eval -p policy.yaml --build - docker/dockerfile:1`,
			exitOK, "the image busybox (line 1) is allowed",
		},
		{
			"an overlay", "policy-frontend eval -p policy.yaml --overlay - quay.io/x < policy.yaml",
			exitDeny, "is refused",
		},
		{"a policy for lint", "policy-frontend lint - < policy.yaml", exitOK, ""},
		{
			"a broken policy for lint", "echo 'version: 2' | policy-frontend lint -", exitUsage,
			"stdin:1:10: version 2 is not known",
		},
		{
			"a policy that includes files", `printf 'version: 1\ninclude: [a.yaml]\n' | policy-frontend lint -`,
			exitUsage, "stdin:2:10: include needs the directory of the policy",
		},
		{
			"one side of diff", "policy-frontend diff - policy.yaml < policy.yaml", exitOK,
			"nothing widens",
		},
		{"the file of stdin", "policy-frontend lint /dev/stdin < policy.yaml", exitOK, ""},
		{
			"a pipe", "cat policy.yaml | policy-frontend explain -p /dev/fd/0 docker/dockerfile:1",
			exitOK, "is allowed",
		},
		{"an export", "policy-frontend export --format buildkitd --strict - < policy.yaml", exitOK, "[frontend"},
		{
			"an export to stdout", "policy-frontend export --format buildkitd --strict -o - policy.yaml", exitOK,
			"[frontend",
		},
		{"cases", "policy-frontend test - < policy.test.yaml", exitOK, "0 failed"},
		{"a file to write into", "policy-frontend lock - < policy.yaml", exitUsage, "stdin is no file"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			stdout, stderr, code := shell(t, exampleFolder(t), tt.line)
			require.Equal(t, tt.code, code, stdout+stderr)
			require.Contains(t, stdout+stderr, tt.want)
		})
	}
}

func TestEvalNamesThePolicyThatNobodyNamed(t *testing.T) {
	t.Parallel()
	_, _, stderr := run("eval", "docker/dockerfile:1")
	require.Contains(t, stderr, "/etc/policy-frontend/policy.yaml")
}

func TestLintFailsFromItsLevelOn(t *testing.T) {
	t.Parallel()
	note := write(t, "note.yaml", "version: 1\nid: x\nfrontends: [{name: a, match: [a]}]\n")
	warning := write(t, "warning.yaml", "version: 1\nid: x\ncontact: y\ndefault: allow\n")
	for _, tt := range []struct {
		level, file string
		code        int
	}{
		{"", note, exitOK},
		{"note", note, exitFindings},
		{"error", note, exitOK},
		{"", warning, exitFindings},
		{"warning", warning, exitFindings},
		{"error", warning, exitOK},
		{"bad", note, exitUsage},
	} {
		args := []string{"lint", tt.file}
		if tt.level != "" {
			args = append(args, "--level", tt.level)
		}
		code, stdout, _ := run(args...)
		require.Equal(t, tt.code, code, "%s %s", tt.level, tt.file)
		require.Equal(t, code == exitUsage, stdout == "", "findings are printed whatever the level")
	}
}

func TestLintReadsFolders(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	for name, text := range map[string]string{
		"a/policy.yaml":      "version: 1\nid: x\ncontact: y\ninclude: [more.yaml]\n" + "default: allow\n",
		"a/more.yaml":        "version: 1\nfrontends: [{match: [a]}]\n",
		"a/policy.test.yaml": "version: 1\ndefault: allow\n",
		"b.yml":              "version: 2\nfrontends: []\n",
		"c.yaml":             "version: \"1\"\nfrontends: [*x]\n",
		"compose.yaml":       "version: \"3\"\nservices: {}\n",
		".hidden/d.yaml":     "version: 1\ndefault: allow\n",
	} {
		file := filepath.Join(dir, name)
		require.NoError(t, os.MkdirAll(filepath.Dir(file), 0o700))
		require.NoError(t, os.WriteFile(file, []byte(text), 0o600))
	}
	code, stdout, stderr := run("lint", dir)
	require.Equal(t, exitUsage, code)
	require.Equal(t, dir+"/c.yaml:2:13: a value that begins with * is special in YAML; put it in "+
		"quotes: \"*x\"\n", stderr)
	require.Contains(t, stdout, dir+"/a/policy.yaml:5:1: a frontend that no rule matches is allowed")
	require.Contains(t, stdout, dir+"/a/more.yaml:2:13: rule")
	require.NotContains(t, stdout, "missing-id", "an included file is no policy of its own")
	require.NotContains(t, stdout, "hidden")

	code, _, stderr = run("lint", filepath.Join(dir, ".hidden"), t.TempDir())
	require.Equal(t, exitUsage, code)
	require.Contains(t, stderr, "looks like a policy")
}
