package integration

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/policy-frontend/policy-frontend/integration/harness"
	"github.com/policy-frontend/policy-frontend/internal/record"
	"github.com/policy-frontend/policy-frontend/internal/replay"
	"github.com/policy-frontend/policy-frontend/policy"
)

// recordOf returns the entries of a record that count, without those of builds that only look
// something up.
func recordOf(t *testing.T, path string) (ended, open []*record.Entry) {
	t.Helper()
	data, err := os.ReadFile(path)
	require.NoError(t, err)
	r := record.NewReader(bytes.NewReader(data))
	var builds record.Builds
	for {
		e, err := r.Next()
		if errors.Is(err, io.EOF) {
			return ended, builds.Open()
		}
		require.NoError(t, err)
		if e.Asked.Hidden {
			continue
		}
		if e = builds.Add(e); e != nil {
			ended = append(ended, e)
		}
	}
}

// lastOf returns the entry of the build that has ended last.
func lastOf(t *testing.T, path string) *record.Entry {
	t.Helper()
	ended, _ := recordOf(t, path)
	require.NotEmpty(t, ended)
	return ended[len(ended)-1]
}

// replayed says what a policy would refuse of the builds in a record that are done.
func replayed(t *testing.T, path, doc string) []string {
	t.Helper()
	p, err := policy.Parse("p", []byte(doc))
	require.NoError(t, err)
	l, err := policy.Stack(p, nil)
	require.NoError(t, err)
	var reasons []string
	ended, _ := recordOf(t, path)
	for _, e := range ended {
		if e.Outcome != record.Done {
			continue
		}
		r := replay.Ask(l, e)
		require.NotEqual(t, policy.Undecidable, r.Verdict, r)
		for _, refusal := range r.Refusals {
			reasons = append(reasons, refusal.Reason)
		}
	}
	return reasons
}

// source returns the recorded source of a name.
func source(t *testing.T, e *record.Entry, kind, name string) record.Source {
	t.Helper()
	for _, s := range e.Sources {
		if s.Kind == kind && s.Name == name {
			return s
		}
	}
	require.Failf(t, "no such source", "%s %s: %+v", kind, name, e.Sources)
	return record.Source{}
}

func TestGuardRecordsBuilds(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "record")
	doc := guardPolicy + `exports: {push: {allow: ["` + env.Registry.Host() + "/recorded/**\"]}}\n"
	g := env.Guard(t, harness.DaemonConfig{}, doc, "--record", path)
	files := harness.ServeFiles(t, map[string][]byte{"file": []byte("f\n")})
	repo, commit := harness.GitServer(t, map[string]string{"cloned": "cloned\n"})
	digest := digestOf(t, "docker/dockerfile:1")

	t.Run("an allowed build", func(t *testing.T) {
		name := env.Registry.Ref("recorded/app:1")
		withUser := strings.Replace(files, "http://", "http://user:hunter2222@", 1)
		dir := harness.WriteContext(t, map[string]string{"Dockerfile": "FROM busybox\nARG SECRET\n" +
			"ADD " + withUser + "/file?token=hunter2222 /file\nADD " + repo + "#main /git\n" +
			"ADD " + repo + "#" + commit + " /commit\n" +
			"RUN --mount=type=secret,id=token test -n \"$SECRET\" -a -s /run/secrets/token\n"})
		secret := filepath.Join(t.TempDir(), "secret")
		require.NoError(t, os.WriteFile(secret, []byte("hunter2222"), 0o600))
		g.Buildx(t, dir, "build", "--push", "-t", name, "--secret", "id=token,src="+secret, "--build-arg",
			"SECRET=hunter2222", "--label", "a=hunter2222", ".").RequireSuccess(t)
		e := lastOf(t, path)
		require.Equal(t, record.Done, e.Outcome)
		require.Equal(t, "uid:0", e.Client.Identity)
		require.Equal(t, []string{"uid:0", "gid:0"}, e.Client.Names[:2])
		require.Equal(t, "dockerfile", e.Decision.Rule)
		require.Equal(t, "docker.io/docker/dockerfile:1@"+digest, e.Decision.Image)
		require.Equal(t, digest, e.Decision.Digest)
		require.Contains(t, e.Asked.Options, "build-arg:SECRET")
		require.Contains(t, e.Asked.Options, "label:a")
		base := source(t, e, record.KindImage, "docker.io/library/busybox:latest")
		require.Equal(t, digestOf(t, "library/busybox:latest"), base.Digest)
		require.Equal(t, record.ForFrontend,
			source(t, e, record.KindImage, "docker.io/docker/dockerfile:1").For)
		withoutSecrets := strings.Replace(files, "http://", "http://***@", 1) + "/file?***"
		require.Equal(t, "allow", source(t, e, record.KindHTTP, withoutSecrets).Verdict)
		for _, ref := range []string{"main", commit} { // the daemon reads them at the same time
			require.Contains(t, e.Sources, record.Source{
				Kind: record.KindGit, Name: repo, Ref: ref, Verdict: "allow",
			})
		}
		source(t, e, record.KindLocal, "context")
		pushed, err := env.Registry.Digest(name)
		require.NoError(t, err)
		require.Equal(t, []record.Exported{{Export: record.Export{
			Type: "image", Push: true, Names: []string{name},
		}, Digest: pushed}}, e.Exported)
		require.Empty(t, e.Refusals)
	})
	t.Run("a refused frontend", func(t *testing.T) {
		dir := harness.WriteContext(t, dockerfile(forbidden))
		g.Buildx(t, dir, "build", ".").RequireFailure(t, "no rule allows")
		e := lastOf(t, path)
		require.Equal(t, record.Refused, e.Outcome)
		require.Equal(t, "deny", e.Decision.Verdict)
		require.Len(t, e.Refusals, 1)
		require.Equal(t, "default", e.Refusals[0].Rule)
	})
	t.Run("a refused push", func(t *testing.T) {
		dir := harness.WriteContext(t, dockerfile(""))
		g.Buildx(t, dir, "build", "--push", "-t", env.Registry.Ref("other/app:1"), ".").
			RequireFailure(t, "exports.push.allow")
		e := lastOf(t, path)
		require.Equal(t, record.Refused, e.Outcome)
		require.Nil(t, e.Decision)
		require.Equal(t, "exports", e.Refusals[0].Rule)
		require.Empty(t, e.Exported)
	})
	t.Run("a failing command", func(t *testing.T) {
		dir := harness.WriteContext(t, map[string]string{
			"Dockerfile": "FROM busybox\nRUN echo hunter2222 && exit 7\n",
		})
		g.Buildx(t, dir, "build", ".").RequireFailure(t, "exit code: 7")
		require.Equal(t, record.Failed, lastOf(t, path).Outcome)
	})
	t.Run("a canceled build", func(t *testing.T) {
		dir := harness.WriteContext(t, map[string]string{
			"Dockerfile": "FROM busybox\nRUN [\"sleep\", \"31537011\"]\n",
		})
		p := g.Start(t, g.BuildctlCommand(byBuildctl(dir, inner)...))
		require.True(t, harness.Poll(time.Minute, func() bool {
			return len(processesWith("31537011")) > 0
		}), "%s", p.Output())
		p.Interrupt(t)
		p.Wait(t).RequireFailure(t)
		require.True(t, harness.Poll(20*time.Second, func() bool {
			return lastOf(t, path).Outcome == record.Canceled
		}))
	})
	t.Run("another policy", func(t *testing.T) {
		require.Empty(t, replayed(t, path, doc), "the same policy")
		strict := doc + "build:\n  images: {allow: [mirror.example/**]}\n  http: deny\n"
		reasons := strings.Join(replayed(t, path, strict), "\n")
		require.Equal(t, 1, strings.Count(reasons, "refuses the image busybox:latest"), reasons)
		require.Equal(t, 1, strings.Count(reasons, "/file"), reasons)
		require.Contains(t, strings.Join(replayed(t, path, guardPolicy), "\n"), "refuses pushing to")
	})
	t.Run("a record that is rotated", func(t *testing.T) {
		require.NoError(t, os.Rename(path, path+".1"))
		dir := harness.WriteContext(t, dockerfile(""))
		g.Buildx(t, dir, "build", ".").RequireSuccess(t)
		ended, _ := recordOf(t, path)
		require.Len(t, ended, 1)
		require.Equal(t, record.Done, ended[0].Outcome)
	})
	for _, file := range []string{path, path + ".1"} {
		text, err := os.ReadFile(file)
		require.NoError(t, err)
		require.NotContains(t, string(text), "hunter2222")
		_, open := recordOf(t, file)
		require.Empty(t, open)
	}
}

func TestGuardRecordsWhatBuildRulesSay(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "record")
	doc := guardPolicy + `dispatch: mediate
build:
  images:
    rules:
      - {name: bases, match: [busybox]}
      - {name: old, match: [nowhere.example/busybox], mode: warn, action: deny}
    convert: [{from: nowhere.example/library, to: docker.io/library}]
  http: deny
  git: {allow: ["https://git.example/**"]}
`
	g := env.Guard(t, harness.DaemonConfig{}, doc, "--image", env.Mediator(t), "--record", path)
	digest := digestOf(t, "library/busybox:latest")

	t.Run("an image that is replaced", func(t *testing.T) {
		dir := withSyntax(t, "FROM nowhere.example/library/busybox\nRUN true\n", nil)
		g.Buildx(t, dir, "build", ".").RequireSuccess(t)
		e := lastOf(t, path)
		require.Equal(t, record.Done, e.Outcome)
		found := false
		for _, s := range e.Sources {
			if s.Kind == record.KindImage && s.Digest == digest {
				found = true
			}
		}
		require.True(t, found, e.Sources)
	})
	t.Run("a refused download", func(t *testing.T) {
		dir := withSyntax(t, "FROM busybox\nADD https://files.example/a?token=hunter2222 /\n", nil)
		g.Buildx(t, dir, "build", ".").RequireFailure(t, "files.example")
		e := lastOf(t, path)
		require.Equal(t, record.Refused, e.Outcome)
		require.NotEmpty(t, e.Refusals)
		require.Contains(t, e.Refusals[0].Reason, "files.example/a")
	})
	require.Empty(t, replayed(t, path, doc), "the same policy")
	require.NotEmpty(t, replayed(t, path, strings.ReplaceAll(doc, "match: [busybox]", "match: [alpine]")))
	text, err := os.ReadFile(path)
	require.NoError(t, err)
	require.NotContains(t, string(text), "hunter2222")
}

func TestGuardRecordsWarnings(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "record")
	g := env.Guard(t, harness.DaemonConfig{}, "mode: warn\n"+guardPolicy+
		"dispatch: mediate\nbuild: {images: {allow: [corp.example/base]}}\n",
		"--image", env.Mediator(t), "--record", path)
	dir := harness.WriteContext(t, dockerfile(""))
	g.Buildx(t, dir, "build", ".").RequireSuccess(t)
	e := lastOf(t, path)
	require.Equal(t, record.Done, e.Outcome)
	require.Equal(t, "warn", e.Decision.Verdict)
	require.Contains(t, strings.Join(e.Warnings, "\n"), "busybox")
}

// Each of many builds at once has a line when it begins and one when it has ended. The daemon
// serves them itself: it gives up containers of frontends that take 15 seconds to start.
func TestGuardRecordsBuildsAtOnce(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "record")
	g := env.Guard(t, harness.DaemonConfig{}, guardBuiltin, "--record", path)
	dir := harness.WriteContext(t, map[string]string{"Dockerfile": plainFile, "f": "f"})
	g.Buildctl(t, byBuildctl(dir, inner)...).RequireSuccess(t)
	require.NoError(t, os.Rename(path, path+".1"))
	const builds = 50
	var wait sync.WaitGroup
	outputs := make([]harness.Output, builds)
	for i := range outputs {
		args := byBuildctl(dir, inner)
		if i%5 == 0 {
			args = byBuildctl(dir, forbidden)
		}
		wait.Go(func() { outputs[i] = g.Buildctl(t, args...) })
	}
	wait.Wait()
	for i, o := range outputs {
		if i%5 == 0 {
			o.RequireFailure(t, "no rule allows")
			continue
		}
		o.RequireSuccess(t)
	}
	lines := map[record.Event]map[string]int{record.Begun: {}, record.Ended: {}}
	outcomes := map[record.Outcome]int{}
	data, err := os.ReadFile(path)
	require.NoError(t, err)
	for r := record.NewReader(bytes.NewReader(data)); ; {
		e, err := r.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		require.NoError(t, err)
		lines[e.Event][e.ID]++
		outcomes[e.Outcome]++
	}
	require.Len(t, lines[record.Begun], builds)
	require.Equal(t, lines[record.Begun], lines[record.Ended])
	for _, n := range lines[record.Ended] {
		require.Equal(t, 1, n)
	}
	require.Equal(t, map[record.Outcome]int{
		"": builds, record.Done: builds * 4 / 5, record.Refused: builds / 5,
	}, outcomes)
}

// A guard that was killed says at its next start which builds were under way.
func TestGuardRecordsBuildsThatWereBrokenOff(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "record")
	g := env.Guard(t, harness.DaemonConfig{}, guardPolicy, "--record", path)
	dir := harness.WriteContext(t, map[string]string{
		"Dockerfile": "FROM busybox\nRUN [\"sleep\", \"31537012\"]\n",
	})
	p := g.Start(t, g.BuildctlCommand(byBuildctl(dir, inner)...))
	require.True(t, harness.Poll(time.Minute, func() bool {
		return len(processesWith("31537012")) > 0
	}), "%s", p.Output())
	ended, open := recordOf(t, path)
	require.Empty(t, ended)
	require.Len(t, open, 1)
	g.Kill(t)
	p.Wait(t).RequireFailure(t)
	g.Begin(t)
	ended, now := recordOf(t, path)
	require.Empty(t, now)
	require.Len(t, ended, 1)
	require.Equal(t, open[0].ID, ended[0].ID)
	require.Equal(t, record.BrokenOff, ended[0].Outcome)
	require.Contains(t, g.Log(), "builds in the record were broken off")
	require.True(t, harness.Poll(30*time.Second, func() bool {
		return len(processesWith("31537012")) == 0
	}))
	plain := harness.WriteContext(t, dockerfile(""))
	g.Buildctl(t, byBuildctl(plain, inner)...).RequireSuccess(t)
	require.Equal(t, record.Done, lastOf(t, path).Outcome)
}

// On a full disk, no build begins. It goes on when there is room again.
func TestGuardWhoseRecordCanNotBeWritten(t *testing.T) {
	t.Parallel()
	disk := t.TempDir()
	require.NoError(t, syscall.Mount("tmpfs", disk, "tmpfs", 0, "size=64k"))
	defer func() { require.NoError(t, syscall.Unmount(disk, syscall.MNT_DETACH)) }()
	path := filepath.Join(disk, "record")
	g := env.Guard(t, harness.DaemonConfig{}, guardPolicy, "--record", path)
	dir := harness.WriteContext(t, map[string]string{"Dockerfile": plainFile, "f": "f"})
	build := func() harness.Output { return g.Buildctl(t, byBuildctl(dir, inner)...) }
	build().RequireSuccess(t)
	filler := filepath.Join(disk, "filler")
	fill, err := os.Create(filler)
	require.NoError(t, err)
	_, err = io.Copy(fill, zeros{})
	require.ErrorIs(t, err, syscall.ENOSPC)
	require.NoError(t, fill.Close())
	// The page that the record has may have room for a line.
	refused := false
	for range 10 {
		if o := build(); o.ExitCode != 0 {
			o.RequireFailure(t, "can't write its record")
			refused = true
			break
		}
	}
	require.True(t, refused)
	build().RequireFailure(t, "can't write its record")
	require.Contains(t, g.Log(), "the record can't be written, so no build begins")
	require.NoError(t, os.Remove(filler))
	build().RequireSuccess(t)
	require.Equal(t, 1, strings.Count(g.Log(), "the record can be written again"))
	data, err := os.ReadFile(path)
	require.NoError(t, err)
	for i, line := range strings.Split(strings.TrimSpace(string(data)), "\n") {
		if _, err := record.Parse([]byte(line)); err != nil {
			require.ErrorIs(t, err, record.ErrTorn, fmt.Sprint(i))
		}
	}
	last := strings.TrimSpace(string(data))
	e, err := record.Parse([]byte(last[strings.LastIndexByte(last, '\n')+1:]))
	require.NoError(t, err)
	require.Equal(t, record.Done, e.Outcome)
}

// zeros never end.
type zeros struct{}

func (zeros) Read(p []byte) (int, error) {
	clear(p)
	return len(p), nil
}
