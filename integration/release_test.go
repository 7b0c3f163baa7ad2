package integration

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// imagesStep finds the lines of the release's workflow that list the images for the later steps.
var imagesStep = regexp.MustCompile(`(?s)( +while read -r repository target; do\n.*?\n +END\n)`)

// A release has three images, each with provenance and an SBOM for seven platforms. What bake
// pushes is what the workflow signs, verifies and tags.
func TestAReleaseHasEachImage(t *testing.T) {
	t.Parallel()
	c := env.Plain(t).BuildxCommand(env.Tools.Root, "bake", "--print", "release")
	c.Env = []string{"IMAGE=r/image:v1", "MEDIATOR=r/mediator:v1", "GUARD_IMAGE=r/guard:v1"}
	var plan struct {
		Target map[string]struct {
			Target    string   `json:"target"`
			Tags      []string `json:"tags"`
			Platforms []string `json:"platforms"`
			Attest    []struct {
				Type string `json:"type"`
				Mode string `json:"mode"`
			} `json:"attest"`
			Output []map[string]string `json:"output"`
		} `json:"target"`
	}
	printed := env.Plain(t).Run(t, c).RequireSuccess(t)
	require.NoError(t, json.Unmarshal([]byte(printed.Stdout), &plan))
	require.Len(t, plan.Target, 3)
	metadata := map[string]map[string]string{}
	for name, target := range plan.Target {
		require.Equal(t, "release-"+target.Target, name)
		require.Equal(t, []string{"r/" + target.Target + ":v1"}, target.Tags)
		require.Len(t, target.Platforms, 7, name)
		require.Len(t, target.Attest, 2, name)
		require.Equal(t, "max", target.Attest[0].Mode, name)
		require.Equal(t, "sbom", target.Attest[1].Type, name)
		require.Equal(t, "true", target.Output[0]["push"], name)
		require.Equal(t, "true", target.Output[0]["rewrite-timestamp"], name)
		metadata[name] = map[string]string{"containerimage.digest": "sha256:" + name}
	}

	workflow := read(t, filepath.Join(env.Tools.Root, ".github", "workflows", "release.yml"))
	lines := imagesStep.FindString(workflow)
	require.NotEmpty(t, lines)
	if _, err := exec.LookPath("jq"); err != nil {
		t.Skip("jq isn't there, which the workflow's runner has")
	}
	list := func(metadata map[string]map[string]string) (string, error) {
		dir := t.TempDir()
		data, err := json.Marshal(metadata)
		require.NoError(t, err)
		require.NoError(t, os.WriteFile(filepath.Join(dir, "metadata.json"), data, 0o600))
		cmd := exec.Command("bash", "-e", "-c",
			regexp.MustCompile(`(?m)^ {10}`).ReplaceAllString(lines, ""))
		cmd.Dir = dir
		cmd.Env = append(os.Environ(), "RUNNER_TEMP="+dir, "REPOSITORY=r/frontend", "GUARD=r/guard")
		_, err = cmd.CombinedOutput()
		return read(t, filepath.Join(dir, "images")), err
	}
	images, err := list(metadata)
	require.NoError(t, err)
	require.ElementsMatch(t, []string{
		"r/frontend@sha256:release-image", "r/frontend-mediator@sha256:release-mediator",
		"r/guard@sha256:release-guard",
	}, strings.Fields(images))
	delete(metadata, "release-guard")
	_, err = list(metadata)
	require.Error(t, err, "an image without a digest isn't published")
}
