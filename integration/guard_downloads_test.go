package integration

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/policy-frontend/policy-frontend/integration/harness"
	"github.com/policy-frontend/policy-frontend/internal/record"
)

// policy lets commands download what is below /allowed of the servers.
func (d *downloads) policy(more string) string {
	return fmt.Sprintf(`version: 1
id: corp-ci
contact: "#build-help"
frontends:
  - name: dockerfile
    match: ["docker/dockerfile"]
    dispatch: builtin
    build:
      exec:
        networks: [none, default, host]
        downloads:
          allow: ["%s/allowed/**", "%s/allowed/**"]
%s`, d.http, d.https, more)
}

// guard starts a guard with a policy and flags, and returns what builds a directory with buildx.
func (d *downloads) guard(
	t *testing.T, policy string, flags ...string,
) (*harness.Guarded, func(t *testing.T, dir string, args ...string) harness.Output) {
	t.Helper()
	g := env.Guard(t, d.config, policy, append(flags, "--image", env.PackMediator(t))...)
	return g, func(t *testing.T, dir string, args ...string) harness.Output {
		t.Helper()
		return g.Buildx(t, dir, append(append([]string{"build", "--progress=plain"}, args...), ".")...)
	}
}

// refusedDownload is a part of what a client reads of a refused download.
const refusedDownload = "policy-guard refuses a download: "

// TestWhatTheBuildProxyDoesByItself has the attack.
func TestGuardLetsNoClientTurnOnTheBuildProxy(t *testing.T) {
	t.Parallel()
	w := newDownloads(t)
	g := env.Guard(t, w.config, guardPolicy)
	dir := w.dockerfile(t, "true")
	args := byBuildctl(dir, inner)
	g.Buildctl(t, args...).RequireSuccess(t)
	require.Contains(t, g.Buildctl(t, append(args, "--proxy-network")...).RequireFailure(t).Text(),
		"it asks for BuildKit's build proxy, which only rules on downloads")
}

func TestGuardJudgesWhatCommandsDownload(t *testing.T) {
	t.Parallel()
	w := newDownloads(t)
	path := filepath.Join(t.TempDir(), "record")
	g, build := w.guard(t, w.policy(""), "--record", path)
	recorded := func(t *testing.T, outcome record.Outcome, want ...record.Download) {
		t.Helper()
		e := lastOf(t, path)
		require.Equal(t, outcome, e.Outcome)
		require.Equal(t, want, e.Downloads)
		require.Equal(t, outcome == record.Refused, len(e.Refusals) > 0)
		for _, r := range e.Refusals {
			require.Equal(t, record.Refusal{What: "a download", Rule: "dockerfile", Reason: r.Reason}, r)
			require.Contains(t, r.Reason, want[len(want)-1].URL)
		}
	}
	for name, url := range map[string]string{"HTTP": w.http, "HTTPS": w.https} {
		allowed := func(path string) record.Download {
			return record.Download{URL: url + path, Times: 1, Verdict: "allow", Rule: "dockerfile"}
		}
		refused := record.Download{
			URL: url + "/denied/" + name, Times: 1, Verdict: "deny", Rule: "dockerfile",
		}
		t.Run(name, func(t *testing.T) {
			good := w.dockerfile(t, "downloader get "+url+"/allowed/"+name+
				"?token=hunter2222 && downloader get "+url+"/allowed/second")
			require.Contains(t, build(t, good).RequireSuccess(t).Text(), "200 served")
			recorded(t, record.Done, allowed("/allowed/"+name+"?***"), allowed("/allowed/second"))
			build(t, good).RequireSuccess(t)
			recorded(t, record.Done) // the daemon doesn't ask about what comes from the cache

			bad := w.dockerfile(t, "downloader get "+url+"/denied/"+name+" || echo went $((1 + 1))")
			want := []string{
				refusedDownload, "a command's request for " + url + "/denied/" + name,
				"build.exec.downloads.allow", "#build-help", "RUN downloader get " + url,
			}
			for range 2 { // nothing of it is cached
				o := build(t, bad).RequireFailure(t, want...)
				require.NotContains(t, o.Text(), "went 2")
				recorded(t, record.Refused, refused)
			}
			o := g.Buildctl(t, "build", "--progress=plain", "--frontend=dockerfile.v0", "--local",
				"context="+bad, "--local", "dockerfile="+bad).RequireFailure(t, want...)
			require.NotContains(t, o.Text(), "went 2")
			require.False(t, w.got("/denied/"+name))
			mixed := w.dockerfile(t, "downloader get "+url+"/allowed/first", "downloader get "+url+
				"/denied/"+name)
			build(t, mixed).RequireFailure(t, refusedDownload)
			recorded(t, record.Refused, allowed("/allowed/first"), refused)
		})
	}
	require.Contains(t, g.Log(), `what="a download"`)
	text, err := os.ReadFile(path)
	require.NoError(t, err)
	require.NotContains(t, string(text), "hunter2222")
}

// The daemon doesn't ask about results from its cache, and of builds at once it asks one.
func TestGuardKeepsBuildsUnderRulesOnDownloadsApart(t *testing.T) {
	w := newDownloads(t)
	g, build := w.guard(t, w.policy(""))
	t.Run("one after another share the cache", func(t *testing.T) {
		dir := w.dockerfile(t, "downloader get "+w.http+"/allowed/cached")
		build(t, dir).RequireSuccess(t)
		require.Contains(t, build(t, dir).RequireSuccess(t).Text(), "CACHED")
		require.Equal(t, 1, w.count("/allowed/cached"))
	})
	t.Run("at once each is asked", func(t *testing.T) {
		dir := w.dockerfile(t, "sleep 31537022; downloader get "+w.http+"/allowed/shared")
		var wg sync.WaitGroup
		for range 3 {
			wg.Go(func() { build(t, dir).RequireSuccess(t) })
		}
		require.True(t, harness.Poll(time.Minute, func() bool {
			return len(processesWith("31537022")) == 3
		}))
		wake(t, "31537022")
		wg.Wait()
		require.Equal(t, 3, w.count("/allowed/shared"))
	})
	t.Run("what ran without the guard isn't used", func(t *testing.T) {
		dir := w.dockerfile(t, "downloader get "+w.http+"/allowed/behind || true")
		g.Behind.Buildx(t, dir, "build", ".").RequireSuccess(t)
		require.False(t, cached(t, build(t, dir).RequireSuccess(t).Text(), "RUN downloader get"))
		require.Equal(t, 1, w.count("/allowed/behind"))
	})
	t.Run("under other rules nothing is shared", func(t *testing.T) {
		dir := w.dockerfile(t, "downloader get "+w.http+"/allowed/tightened || true")
		build(t, dir).RequireSuccess(t)
		text := strings.ReplaceAll(w.policy(""), "/allowed/**", "/allowed/other")
		require.NoError(t, os.WriteFile(g.Policy+".new", []byte(text), 0o600))
		require.NoError(t, os.Rename(g.Policy+".new", g.Policy))
		build(t, dir).RequireFailure(t, refusedDownload, w.http+"/allowed/tightened")
		require.Equal(t, 1, w.count("/allowed/tightened"))
	})
}

// A guard that dies answers no questions any more. The daemon refuses then, and caches what
// commands make of it.
func TestNothingIsReusedOfAGuardThatDied(t *testing.T) {
	t.Parallel()
	w := newDownloads(t)
	g, build := w.guard(t, w.policy(""))
	const seconds = "5.875"
	dir := w.dockerfile(t,
		"sleep "+seconds+"; downloader get "+w.http+"/allowed/late || touch /without")
	p := g.Start(t, g.BuildxCommand(dir, "build", "--progress=plain", "."))
	require.True(t, harness.Poll(time.Minute, func() bool {
		return len(processesWith(seconds)) > 0
	}))
	g.Kill(t)
	require.NotZero(t, p.Wait(t).ExitCode)
	require.True(t, harness.Poll(time.Minute, func() bool { return len(g.Behind.Containers()) == 0 }))
	g.Begin(t)
	build(t, dir).RequireSuccess(t)
	require.Equal(t, 1, w.count("/allowed/late"), "the command ran again, and got an answer")
}

func TestGuardWarnsOfDownloads(t *testing.T) {
	t.Parallel()
	w := newDownloads(t)
	path := filepath.Join(t.TempDir(), "record")
	_, build := w.guard(t, w.policy("          mode: warn\n"), "--record", path)
	dir := w.dockerfile(t, "downloader get "+w.http+"/denied/warned; sleep 1")
	for _, when := range []string{"when it runs", "from the cache"} {
		o := build(t, dir).RequireSuccess(t)
		require.Contains(t, o.Text(), "policy: ", when)
		require.Contains(t, o.Text(), "a command's request for "+w.http+"/denied/warned", when)
		e := lastOf(t, path)
		require.Equal(t, record.Done, e.Outcome, when)
		require.Equal(t, "warn", e.Decision.Verdict, when)
		require.Contains(t, strings.Join(e.Warnings, "\n"), w.http+"/denied/warned", when)
		var want []record.Download
		if when == "when it runs" {
			want = []record.Download{{
				URL: w.http + "/denied/warned", Times: 1, Verdict: "warn", Rule: "dockerfile",
			}}
		}
		require.Equal(t, want, e.Downloads, when)
	}
	require.Equal(t, 1, w.count("/denied/warned"))
}

// Of two rules on a frontend, the one that names the client says what commands download.
func TestGuardJudgesDownloadsByClient(t *testing.T) {
	t.Parallel()
	w := newDownloads(t)
	path := filepath.Join(t.TempDir(), "record")
	const carol = 1234 // a number that belongs to one user
	rule := func(name, client string) string {
		return fmt.Sprintf("  - {name: %s, match: [docker/dockerfile], clients: [\"%s\"],\n"+
			"     build: {exec: {downloads: {allow: [\"%s/%s/**\"]}}}}\n", name, client, w.http, name)
	}
	g, _ := w.guard(t, "version: 1\nfrontends:\n"+rule("roots", "uid:0")+
		rule("carols", fmt.Sprintf("uid:%d", carol)), "--record", path)
	for name, uid := range map[string]int{"roots": 0, "carols": carol} {
		t.Run(name, func(t *testing.T) {
			for other, url := range map[string]string{
				"roots": w.http + "/roots/by-" + name, "carols": w.http + "/carols/by-" + name,
			} {
				text, err := built(t, g.Daemon, uid,
					"FROM "+w.image+"\nRUN downloader get "+url+" >/out 2>&1 || true\n", nil)
				e, verdict := lastOf(t, path), "allow"
				if other != name {
					verdict = "deny"
					require.ErrorContains(t, err, refusedDownload)
					require.ErrorContains(t, err, "it allows only "+w.http+"/"+name+"/**")
				} else {
					require.NoError(t, err)
					require.Contains(t, text, "200 served")
				}
				require.Equal(t, []record.Download{
					{URL: url, Times: 1, Verdict: verdict, Rule: name},
				}, e.Downloads)
				require.Equal(t, fmt.Sprintf("uid:%d", uid), e.Client.Identity)
			}
		})
	}
	require.False(t, w.got("/roots/by-carols"))
	require.False(t, w.got("/carols/by-roots"))
}

// The commands of a linked target are asked about in either build.
func TestLinkedTargetsUnderRulesOnDownloads(t *testing.T) {
	t.Parallel()
	w := newDownloads(t)
	g, _ := w.guard(t, w.policy(""))
	bake := func(base, app string) harness.Output {
		dir := harness.WriteContext(t, map[string]string{
			"base.Dockerfile": "FROM " + w.image + "\nRUN " + base + "\n",
			"app.Dockerfile":  "FROM base\nRUN " + app + "\n",
			"docker-bake.json": `{"group": {"default": {"targets": ["base", "app"]}}, "target": {
				"base": {"dockerfile": "base.Dockerfile"},
				"app": {"dockerfile": "app.Dockerfile", "contexts": {"base": "target:base"}}}}`,
		})
		return g.Buildx(t, dir, "bake", "--progress=plain")
	}
	get := func(path string) string { return "downloader get " + w.http + path }
	bake("sleep 1; "+get("/allowed/base"), get("/allowed/app")).RequireSuccess(t)
	require.Equal(t, 1, w.count("/allowed/app"))
	for range 2 {
		o := bake("sleep 1; "+get("/denied/base")+" || echo went $((1 + 1))", get("/allowed/second"))
		o.RequireFailure(t, refusedDownload)
		require.NotContains(t, o.Text(), "went 2")
	}
	require.False(t, w.got("/allowed/second"))
}

// Nobody would be asked what a command requests that outlives its build.
func TestGuardWantsASandboxUnderRulesOnDownloads(t *testing.T) {
	env.NeedsRootless(t, "others have a sandbox")
	w := newDownloads(t)
	w.config.NoProcessSandbox = true
	g, build := w.guard(t, w.policy(""))
	dir := w.dockerfile(t, "downloader get "+w.http+"/allowed/shared")
	build(t, dir).RequireFailure(t, "--oci-worker-no-process-sandbox",
		"frontends[0].build.exec.downloads")
	require.False(t, w.got("/allowed/shared"))

	require.NoError(t, os.WriteFile(g.Policy+".new", []byte(guardBuiltin), 0o600))
	require.NoError(t, os.Rename(g.Policy+".new", g.Policy))
	build(t, w.dockerfile(t, "downloader unset "+w.http+"/without")).RequireSuccess(t)
	require.True(t, w.got("/without"), "without such rules, commands have a network")
}
