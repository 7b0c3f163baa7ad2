//go:build !image

package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/stretchr/testify/require"
	"go.yaml.in/yaml/v3"

	"github.com/policy-frontend/policy-frontend/internal/buildfiles"
	"github.com/policy-frontend/policy-frontend/internal/survey"
)

func TestHooksOfPreCommit(t *testing.T) {
	t.Parallel()
	var hooks []struct{ ID, Name, Description, Entry, Language, Files, Exclude string }
	text := contents(t, filepath.Join(root, ".pre-commit-hooks.yaml"))
	require.NoError(t, yaml.Unmarshal([]byte(text), &hooks))
	require.Len(t, hooks, 3)
	arguments := map[string]string{
		"policy-frontend-check": " --policy policy.yaml Dockerfile",
		"policy-frontend-lint":  " policy.yaml", "policy-frontend-test": "",
	}
	for _, h := range hooks {
		require.Equal(t, "golang", h.Language)
		require.NotEmpty(t, h.Name)
		require.NotEmpty(t, h.Description)
		require.Contains(t, arguments, h.ID)
		_, stderr, code := shell(t, exampleFolder(t), h.Entry+arguments[h.ID])
		require.Zero(t, code, "%s", stderr)
	}
	require.Regexp(t, hooks[1].Files, "a/policy.yaml")
}

// TestTheHookTakesTheFilesThatCheckFinds holds that pre-commit gives check the files that check
// would find by their names.
func TestTheHookTakesTheFilesThatCheckFinds(t *testing.T) {
	t.Parallel()
	var hooks []struct{ Files, Exclude string }
	text := contents(t, filepath.Join(root, ".pre-commit-hooks.yaml"))
	require.NoError(t, yaml.Unmarshal([]byte(text), &hooks))
	files, exclude := regexp.MustCompile(hooks[0].Files), regexp.MustCompile(hooks[0].Exclude)
	stems := []string{
		"", "Dockerfile", "dockerfile", "Containerfile", "MyDockerfile", "Dockerfiles", "app.Dockerfile",
		"Dockerfile-prod", "Dockerfile_prod", "Containerfile-a", "Dockerfile-compose", "Dockerfile.a.b",
		"my_dockerfile", "compose", "docker-compose", "composer", "compose-test", "compose.override",
		"docker-bake", "docker-bakery", "docker-bake.override", "bake", "build", "main", "a-compose",
	}
	endings := []string{
		"", ".", "~", ".prod", ".dockerfile", ".containerfile", ".docker", ".dockerignore", ".md", ".swp",
		".orig", ".bak", ".j2", ".jinja", ".jinja2", ".tmpl", ".tpl", ".template", ".in", ".erb",
		".mustache", ".m4", ".go", ".html", ".js", ".json", ".nanorc", ".py", ".rb", ".rego", ".sh",
		".tmLanguage", ".tmPreferences", ".ts", ".txt", ".vim", ".xml", ".yaml", ".yml", ".hcl",
		"-a", "_a",
	}
	for _, stem := range stems {
		for _, ending := range endings {
			name := stem + ending
			if name == "" || name == "." {
				continue
			}
			found, err := buildfiles.Tree{
				FS: fstest.MapFS{"a/" + name: {Data: []byte(buildFileNamed(name))}}, Syntax: survey.Syntax,
			}.Find()
			require.NoError(t, err)
			for _, dir := range []string{"", "a/b/"} {
				taken := files.MatchString(dir+name) && !exclude.MatchString(dir+name)
				require.Equal(t, len(found.Builds) == 1, taken, dir+name)
			}
		}
	}
}

// buildFileNamed returns what a build file with this name could have.
func buildFileNamed(name string) string {
	isDockerfile := regexp.MustCompile(`(?i)^(docker|container)file[._-]`).MatchString(name)
	switch ext := filepath.Ext(name); {
	case isDockerfile:
	case ext == ".hcl":
		return `target "a" { dockerfile-inline = "FROM a" }`
	case ext == ".json":
		return `{"target": {"a": {"dockerfile-inline": "FROM a"}}}`
	case ext == ".yaml" || ext == ".yml":
		return "services: {a: {build: {dockerfile_inline: FROM a}}}"
	}
	return "FROM a\n"
}

func TestTheActionRunsTheCommandThatItIsGiven(t *testing.T) {
	t.Parallel()
	if _, err := exec.LookPath("bash"); err != nil {
		t.Skip("the action's steps are for bash, and a Go image has none")
	}
	var action struct {
		Inputs map[string]struct{ Description, Default string }
		Runs   struct {
			Steps []struct{ Name, Run string }
		}
	}
	require.NoError(t, yaml.Unmarshal([]byte(contents(t, filepath.Join(root, "action.yml"))), &action))
	steps := action.Runs.Steps
	script := steps[len(steps)-1].Run
	require.Equal(t, "check", action.Inputs["command"].Default)
	for _, step := range steps {
		require.NotContains(t, step.Run, "${{", "an input in a script would be a command")
	}
	tests := []struct {
		name, command, args, want string
		code                      int
	}{
		{
			"check", "check", "--policy policy.yaml .",
			"::error file=repositories/a/Dockerfile,line=1,col=1,title=refused::", exitRefused,
		},
		{"lint", "lint", "policy.yaml", "", exitOK},
		{"test", "test", "", "2 passed, 0 failed\n", exitOK},
		{"diff", "diff", "changed.yaml policy.yaml", "", exitFindings},
		{"another command", "lock", "policy.yaml", "::error::the command must be ", exitUsage},
		{"a command in the arguments", "lint", "$(touch /nowhere) policy.yaml", "", exitUsage},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			dir := exampleFolder(t)
			require.NoError(t, os.WriteFile(filepath.Join(dir, "step.sh"), []byte(script), 0o600))
			line := strings.Join([]string{
				"RUNNER_TEMP=.bin", "COMMAND=" + tt.command, "ARGS='" + tt.args + "'", "bash -e step.sh",
			}, " ")
			stdout, stderr, code := shell(t, dir, line)
			require.Equal(t, tt.code, code, "%s%s", stdout, stderr)
			require.Contains(t, stdout, tt.want)
		})
	}
}
