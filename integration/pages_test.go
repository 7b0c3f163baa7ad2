package integration

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/policy-frontend/policy-frontend/integration/harness"
)

var (
	pageBlock = regexp.MustCompile("(?ms)^```(\\w*)\n(.*?)^```$")
	savedAs   = regexp.MustCompile("Save this as `([^`]+)`[^\n]*:\\s*$")
)

// page is a page of docs whose commands are run in order, as they are written, with the
// registry of the tests for the page's. Docker itself isn't there: the test starts the
// daemon that the page has docker make, and builds what it has bake make.
type page struct {
	dir, bin string
	adapt    func(string) string
	daemon   *harness.Daemon
}

// newPage returns a page that names the image repository:1, in whose place the tests have
// a tag of their own.
func newPage(t *testing.T, repository, tag string) *page {
	t.Helper()
	return &page{
		dir: t.TempDir(), bin: commands(t), daemon: env.SolePermitted(t),
		adapt: strings.NewReplacer(
			"docker run --rm -v \"$PWD:/work:ro\" -w /work "+repository+":1", "policy-frontend",
			repository+":1", env.Repository()+":"+tag, "--builder guarded ", "",
		).Replace,
	}
}

// run runs all blocks of the page.
func (p *page) run(t *testing.T, text string) {
	t.Helper()
	for _, m := range pageBlock.FindAllStringSubmatchIndex(text, -1) {
		language, block := text[m[2]:m[3]], text[m[4]:m[5]]
		if s := savedAs.FindStringSubmatch(text[:m[0]]); s != nil {
			require.NoError(t, os.WriteFile(filepath.Join(p.dir, s[1]), []byte(block), 0o600))
		}
		switch language {
		case "sh":
			for _, command := range shellCommands("```sh\n" + block + "```") {
				p.succeed(t, command)
			}
		case "console":
			command, want, ok := strings.Cut(strings.TrimPrefix(block, "$ "), "\n")
			require.True(t, ok, block)
			p.compare(t, command, want)
		}
	}
}

var madeByDocker = regexp.MustCompile(`^docker (run -d|rm|buildx create|buildx rm) `)

func (p *page) succeed(t *testing.T, command string) {
	t.Helper()
	if madeByDocker.MatchString(command) {
		return
	}
	if m := bakeImage.FindStringSubmatch(command); m != nil {
		us := env.WithPolicy(t, read(t, filepath.Join(p.dir, m[1])))
		require.NoError(t, env.Registry.Tag(us, p.adapt(m[2])))
		return
	}
	o := p.daemon.Run(t, p.command(command))
	if strings.HasPrefix(command, "policy-frontend diff ") {
		require.Contains(t, []int{0, 1}, o.ExitCode, o.Text())
		return
	}
	o.RequireSuccess(t)
}

// compare runs a command and compares what it prints: of a build, from the line on that
// begins as what is shown does.
func (p *page) compare(t *testing.T, command, want string) {
	t.Helper()
	o := p.daemon.Run(t, p.command(command))
	if !strings.HasPrefix(command, "docker buildx ") {
		require.Equal(t, want, o.Stdout, command)
		return
	}
	o.RequireFailure(t)
	begin, rest, _ := strings.Cut(want, "\n")
	if env.Older(denyMessages) && strings.HasPrefix(begin, "Policy: ") {
		want = rest
		begin, _, _ = strings.Cut(want, "\n")
	}
	require.Equal(t, want, endFrom(t, o, begin), command)
}

func (p *page) command(command string) harness.Command {
	script := "PATH=" + p.bin + ":$PATH\n" + p.adapt(command)
	return harness.Command{Path: "/bin/sh", Args: []string{"-ec", script}, Dir: p.dir}
}

func docsPage(t *testing.T, name string) string {
	t.Helper()
	return read(t, filepath.Join(env.Tools.Root, "docs", name))
}

// tagUpstream has the registry serve docker/dockerfile under the name that the pages refuse.
func tagUpstream(t *testing.T) {
	t.Helper()
	to := env.Registry.Ref("docker/dockerfile-upstream:master")
	require.NoError(t, env.Registry.Tag(env.Registry.Ref("docker/dockerfile:1"), to))
}

// The quick start works as it is written: a build, two refusals, and after a change of
// the policy under the same tag, the build that was refused.
func TestTheQuickStart(t *testing.T) {
	t.Parallel()
	tagUpstream(t)
	text := docsPage(t, "quickstart.md")
	p := newPage(t, "localhost:5000/policy-frontend", "quickstart")
	p.run(t, text)

	shown := regexp.MustCompile(`(?m)^\[policy\] .*@sha256:`).FindString(text)
	require.NotEmpty(t, shown)
	o := p.daemon.Run(t, p.command("docker buildx build --progress=plain "+
		"--build-arg BUILDKIT_SYNTAX=localhost:5000/policy-frontend:1 quickstart"))
	require.Contains(t, o.RequireSuccess(t).Text(), shown)
}

// The first two steps of a rollout work as they are written: a build that only gets a
// warning, and a decision that can be read from its metadata.
func TestTheRolloutWarnsFirst(t *testing.T) {
	t.Parallel()
	tagUpstream(t)
	text := docsPage(t, "rollout.md")
	text, _, ok := strings.Cut(text, "\n## 3.")
	require.True(t, ok)
	p := newPage(t, "registry.example/policy-frontend", "rollout")
	file := "# syntax=docker/dockerfile-upstream:master\nFROM busybox\n"
	require.NoError(t, os.WriteFile(filepath.Join(p.dir, "Dockerfile"), []byte(file), 0o600))

	policy := pageBlock.FindStringSubmatch(text)[2]
	require.NoError(t, env.Registry.Tag(env.WithPolicy(t, policy), env.Repository()+":rollout"))
	blocks := shellBlock.FindAllStringSubmatch(text, -1)
	require.Len(t, blocks, 2)
	require.NoError(t, os.CopyFS(filepath.Join(p.dir, "repositories"),
		os.DirFS(harness.WriteContext(t, map[string]string{"Dockerfile": goodFile}))))
	p.daemon.Run(t, p.command(blocks[0][1])).RequireSuccess(t)
	require.FileExists(t, filepath.Join(p.dir, "draft.yaml"))
	build, jq, ok := strings.Cut(blocks[1][1], "\n")
	require.True(t, ok)
	build = strings.Replace(build, "buildx build", "buildx build --progress=plain", 1)
	o := p.daemon.Run(t, p.command(build)).RequireSuccess(t)
	shown := regexp.MustCompile(`(?m)^\[policy\] warning: .*@sha256:`).FindString(text)
	require.NotEmpty(t, shown)
	require.Contains(t, o.Text(), shown)

	o = p.daemon.Run(t, p.command(jq)).RequireSuccess(t)
	const asked = "docker/dockerfile-upstream:master"
	require.Equal(t, "warn\t"+asked+"\tno rule allows "+asked+"\n", o.Stdout)
}

// A rollback as it is written gives the next build the policy of before.
func TestTheRollback(t *testing.T) {
	t.Parallel()
	text := docsPage(t, "rollout.md")
	_, text, ok := strings.Cut(text, "\n### Roll back\n")
	require.True(t, ok)
	p := newPage(t, "registry.example/policy-frontend", "rollback")
	require.NoError(t, os.WriteFile(filepath.Join(p.dir, "Dockerfile"), []byte(goodFile), 0o600))
	build := p.command("docker buildx build " +
		"--build-arg BUILDKIT_SYNTAX=registry.example/policy-frontend:1 .")

	old := env.WithPolicy(t, corpPolicy)
	denying := env.WithPolicy(t, "version: 1\nid: nothing\n")
	require.NoError(t, env.Registry.Tag(denying, env.Repository()+":rollback"))
	p.daemon.Run(t, build).RequireFailure(t, "policy:       nothing sha256:")
	command := strings.TrimSpace(shellBlock.FindStringSubmatch(text)[1])
	pinned := env.Repository() + "@" + digest(t, strings.TrimPrefix(old, env.Registry.Host()+"/"))
	p.succeed(t, strings.Replace(command, "registry.example/policy-frontend@sha256:…", pinned, 1))
	p.daemon.Run(t, build).RequireSuccess(t)
}
