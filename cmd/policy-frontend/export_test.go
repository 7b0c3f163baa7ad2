package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

const exportedPolicy = `version: 1
id: corp
contact: "#help"
frontends:
  - name: dockerfile
    match: [docker/dockerfile]
    tags: ["1.*"]
  - name: short
    match: [docker/short]
    expires: 2027-03-01
  - name: folder
    match: ["corp.example/**"]
    options: {deny: [target]}
`

const loosens = "policy-frontend export: the output allows more than the policy; omit what it " +
	"can't express with --strict, or accept that with --accept-losses\n"

func TestExport(t *testing.T) {
	t.Parallel()
	file := write(t, "policy.yaml", exportedPolicy)
	tests := []struct {
		name, format string
		args         []string
		want         string // all of stdout; not looked at if empty
		lacks        string
		notes        []string
	}{
		{"buildkitd", "buildkitd", nil, `# This allows more than the policy: rule "dockerfile": buildkitd checks only the name docker.io/docker/dockerfile and ignores tags
# This allows more than the policy: rule "short": expires is not exported: export the policy again on 2027-03-01

# Which frontends may run, by name.
[frontend."dockerfile.v0"]
  enabled = false

[frontend."gateway.v0"]
  enabled = true
  allowedRepositories = [
    "docker.io/docker/dockerfile",
    "docker.io/docker/short",
  ]
`, "", []string{
			file +
				": refuses more: buildkitd's built-in frontend is switched off, since no rule can allow it; buildx then needs --build-arg BUILDKIT_SYNTAX",
			file +
				`:5: allows more: rule "dockerfile": buildkitd checks only the name docker.io/docker/dockerfile and ignores tags`,
			file +
				`:8: allows more: rule "short": expires is not exported: export the policy again on 2027-03-01`,
			file +
				`:11: refuses more: rule "folder": the pattern corp.example/** is omitted: buildkitd takes only literal names`,
		}},
		{"buildkitd, strict", "buildkitd", []string{"--strict"}, `# Which frontends may run, by name.
[frontend."dockerfile.v0"]
  enabled = false

[frontend."gateway.v0"]
  # No name can be listed, and an empty list would allow every name.
  enabled = false
`, "", []string{
			file +
				": refuses more: buildkitd's built-in frontend is switched off, since no rule can allow it; buildx then needs --build-arg BUILDKIT_SYNTAX",
			file +
				`:5: refuses more: rule "dockerfile": the rule is omitted: buildkitd checks only the name docker.io/docker/dockerfile and ignores tags`,
			file +
				`:8: refuses more: rule "short": the rule is omitted: expires is not exported: export the policy again on 2027-03-01`,
			file +
				`:11: refuses more: rule "folder": the pattern corp.example/** is omitted: buildkitd takes only literal names`,
		}},
		{
			"what has expired", "source-policy",
			[]string{"--at", "2027-03-01T00:00:00Z"},
			"",
			"docker/short",
			[]string{
				file + ": differs: messages and contacts are not exported",
				file +
					": differs: a source policy can't stop a client that overrides a frontend's image with a named context",
				file +
					": refuses more: repositories whose frontend rules depend on tags can't be base images, and in them a tag can't stand next to a digest unless an alias pins it",
				file + `:8: differs: rule "short": the rule expired on 2027-03-01 and is omitted`,
				file +
					`:11: allows more: rule "folder": options are not exported (deny): only the policy frontend sees them`,
			},
		},
		{"Rego", "rego", []string{"--image", "library/*"}, "", "", []string{
			file +
				": allows more: a frontend that matches docker.io/library/* is allowed like the other images there",
			file +
				`:5: allows more: rule "dockerfile": a tag next to a digest is taken on trust, unless an alias of the same name pins it`,
			file +
				`:8: allows more: rule "short": expires is not exported: export the policy again on 2027-03-01`,
			file +
				`:11: allows more: rule "folder": options are not exported (deny): only the policy frontend sees them`,
		}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			args := append([]string{"export", "--format", tt.format, "--at", "2027-02-01T00:00:00Z"},
				tt.args...)
			code, stdout, stderr := run(append(args, file)...)
			want, more := exitOK, ""
			if strings.Contains(strings.Join(tt.notes, "\n"), ": allows more: ") {
				want, more = exitFindings, loosens
				code, _, _ := run(append(args, "--accept-losses", file)...)
				require.Equal(t, exitOK, code)
			}
			require.Equal(t, want, code, stderr)
			if tt.want != "" {
				require.Equal(t, tt.want, stdout)
			}
			require.Equal(t, want != exitOK && tt.format != "source-policy",
				strings.HasPrefix(stdout, "# This allows more than the policy: "))
			if tt.lacks != "" {
				require.NotContains(t, stdout, tt.lacks)
			}
			require.Equal(t, strings.Join(tt.notes, "\n")+"\n"+more, stderr)

			output := filepath.Join(t.TempDir(), "out")
			code, nothing, _ := run(append(args, "-o", output, file)...)
			require.Equal(t, want, code)
			require.Empty(t, nothing)
			require.Equal(t, stdout, contents(t, output))
			info, err := os.Stat(output)
			require.NoError(t, err)
			require.Equal(t, os.FileMode(0o644), info.Mode().Perm())
			if tt.format == "source-policy" {
				require.True(t, json.Valid([]byte(stdout)))
			}
		})
	}
}

func TestExportUsageErrors(t *testing.T) {
	t.Parallel()
	file := write(t, "policy.yaml", exportedPolicy)
	broken := write(t, "broken.yaml", "version: 2\n")
	for name, tt := range map[string]struct {
		args []string
		want string
	}{
		"no format": {
			[]string{file},
			"--format is missing; give source-policy, buildkitd or rego",
		},
		"an invalid format": {
			[]string{"--format", "toml", file},
			`--format must be source-policy, buildkitd or rego, not "toml"`,
		},
		"no policy": {[]string{"--format", "rego"}, "give exactly one policy file, not 0"},
		"a broken policy": {
			[]string{"--format", "rego", broken},
			broken + ":1:10: version 2 is not known",
		},
		"images for buildkitd": {
			[]string{"--format", "buildkitd", "--image", "x", file},
			"--image is only for --format rego",
		},
		"images that are none": {
			[]string{"--format", "rego", "--image", "a:1", file},
			"a pattern is for names only",
		},
		"an invalid time": {
			[]string{"--format", "rego", "--at", "today", file},
			`--at: "today" is not a time`,
		},
		"an invalid folder": {
			[]string{"--format", "rego", "--output", file + "/x", file},
			"writing the export: ",
		},
		"an output for no right": {
			[]string{"--format", "rego", "--output", filepath.Dir(file), file},
			"writing the export: ",
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			code, stdout, stderr := run(append([]string{"export"}, tt.args...)...)
			require.Equal(t, exitUsage, code)
			require.Empty(t, stdout)
			require.Contains(t, stderr, tt.want)
		})
	}
}

// The example of docs/export.md is what the program prints.
func TestTheExampleOfExportMd(t *testing.T) {
	t.Parallel()
	page := contents(t, "../../docs/export.md")
	block := func(language string) string {
		_, rest, ok := strings.Cut(page, "```"+language+"\n")
		require.True(t, ok)
		text, _, ok := strings.Cut(rest, "```\n")
		require.True(t, ok)
		return text
	}
	file := write(t, "policy.yaml", block("yaml"))
	command, notes, _ := strings.Cut(block("console"), "\n")
	args := strings.Fields(strings.Replace(command, "$ policy-frontend ", "", 1))
	args[len(args)-1] = file
	code, stdout, stderr := run(args...)
	require.Equal(t, exitFindings, code)
	require.Equal(t, block("toml"), stdout)
	require.Equal(t, notes, strings.ReplaceAll(stderr, file, "policy.yaml"))

	_, stdout, stderr = run("export", "--format", "buildkitd", "--strict", file)
	require.Contains(t, stdout, "\n  enabled = false\n")
	require.NotContains(t, stdout, "allowedRepositories")
	require.NotContains(t, stderr, "allows more")
}
