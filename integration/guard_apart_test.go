package integration

import (
	"fmt"
	"maps"
	"path/filepath"
	"strconv"
	"sync"
	"testing"

	"github.com/moby/buildkit/client"
	"github.com/stretchr/testify/require"

	"github.com/policy-frontend/policy-frontend/integration/harness"
	"github.com/policy-frontend/policy-frontend/policy"
)

// carol is a third user of a guard.
const carol = 1000

// forAlice makes the rules of a policy for alice others than those for bob and carol, who have the
// same.
const forAlice = "exports: {push: [{clients: [\"uid:0\"], allow: [corp.example/**]}]}\n"

// apartWays are the policies of all ways to run a frontend.
func apartWays() map[string]string {
	ways := guardWays()
	ways["forward"], ways["builtin"] = guardPolicy, guardBuiltin
	return ways
}

// built is the file /out of a build of docker/dockerfile by a user.
func built(
	t *testing.T, d *harness.Daemon, uid int, file string, opts map[string]string,
) (string, error) {
	t.Helper()
	dir := harness.WriteContext(t, map[string]string{"Dockerfile": file})
	ctx, c := asUser(t, d, uid)
	out, err := exportedBy(ctx, t, c, client.SolveOpt{LocalMounts: mountsOf(t, dir)},
		byImage(opts, nil))
	if err != nil {
		return "", err
	}
	return read(t, filepath.Join(out, "out")), nil
}

// atOnce returns what several builds return that begin at the same time.
func atOnce(t *testing.T, builds ...func() (string, error)) []string {
	t.Helper()
	all, errs := make([]string, len(builds)), make([]error, len(builds))
	var running sync.WaitGroup
	for i, build := range builds {
		running.Go(func() { all[i], errs[i] = build() })
	}
	running.Wait()
	for _, err := range errs {
		require.NoError(t, err)
	}
	return all
}

// random is a step whose result tells whether it was run again. The name keeps it from the steps of
// other tests.
func random(name string) string {
	return fmt.Sprintf("RUN echo %q > /out && sleep 2 && cat /proc/sys/kernel/random/uuid >> /out\n",
		name)
}

// The daemon gives a client the results of the steps of others: those in its cache, those of builds
// at the same time, and those of steps on what turns out to be the same.
func TestGuardSharesNoCommandsOfClientsWithOtherRules(t *testing.T) {
	byDigest := "busybox@" + digestOf(t, "library/busybox")
	for name, doc := range apartWays() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			g := mediatingGuard(t, doc+forAlice)
			run := func(
				d *harness.Daemon, uid int, file string, opts map[string]string,
			) func() (string, error) {
				return func() (string, error) { return built(t, d, uid, file, opts) }
			}
			one := func(d *harness.Daemon, uid int, file string) string {
				t.Helper()
				return atOnce(t, run(d, uid, file, nil))[0]
			}
			for what, d := range map[string]*harness.Daemon{"bare": g.Behind, "guarded": g.Daemon} {
				same := require.Equal
				if what == "guarded" {
					same = func(t require.TestingT, a, b any, msg ...any) { require.NotEqual(t, a, b, msg...) }
				}
				cached := "FROM busybox\n" + random(name+" cached "+what)
				hers := one(d, 0, cached)
				his := one(d, bob, cached)
				same(t, hers, his, "a cached step, %s", what)
				require.Equal(t, hers, one(d, 0, cached), "her own, %s", what)
				require.Equal(t, his, one(d, carol, cached), "the same rules, %s", what)

				merged := random(name + " merged " + what)
				both := atOnce(t, run(d, 0, "FROM busybox\n"+merged, nil),
					run(d, bob, "FROM "+byDigest+"\n"+merged, nil))
				same(t, both[0], both[1], "merged steps, %s", what)

				// On a busy machine, the second one may begin when the first one has ended.
				shared, empty := false, map[string]string{"no-cache": ""}
				for try := 0; try < 5 && !shared; try++ {
					file := "FROM busybox\n" + random(fmt.Sprintf("%s at once %s %d", name, what, try))
					both = atOnce(t, run(d, 0, file, empty), run(d, bob, file, empty))
					shared = both[0] == both[1]
					if what == "guarded" {
						break
					}
				}
				require.Equal(t, what == "bare", shared, "a step at the same time, %s", what)
			}
		})
	}
}

// What a client gives to commands besides the build file isn't in the key of the cache.
func TestGuardSharesNoCommandsWithOtherHostsAndProxies(t *testing.T) {
	t.Parallel()
	ways := apartWays()
	for _, name := range []string{"mediate by rules", "builtin and rules", "forward and rules"} {
		delete(ways, name)
	}
	for name, doc := range ways {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			g := mediatingGuard(t, doc)
			for what, tc := range map[string]struct {
				step        string
				option      string
				alices, his string
				shown       func(string) string
			}{
				"a host": {
					step: "grep mirror.test /etc/hosts", option: "add-hosts",
					alices: "mirror.test=192.0.2.1", his: "mirror.test=192.0.2.2",
					shown: func(v string) string { return v[len("mirror.test="):] + "\tmirror.test\n" },
				},
				"a proxy": {
					step: "echo $HTTP_PROXY", option: "build-arg:HTTP_PROXY",
					alices: "http://192.0.2.1:3128", his: "http://192.0.2.2:3128",
					shown: func(v string) string { return v + "\n" },
				},
				"a proxy in another letter case": {
					step: "echo $no_proxy", option: "build-arg:No_Proxy", alices: "a.test", his: "b.test",
					shown: func(v string) string { return v + "\n" },
				},
			} {
				file := fmt.Sprintf("FROM busybox\nRUN echo %s; %s > /out\n", strconv.Quote(name), tc.step)
				with := func(d *harness.Daemon, uid int, value string) string {
					got, err := built(t, d, uid, file, map[string]string{tc.option: value})
					require.NoError(t, err, what)
					return got
				}
				require.Equal(t, tc.shown(tc.alices), with(g.Behind, 0, tc.alices), what)
				require.Equal(t, tc.shown(tc.alices), with(g.Behind, bob, tc.his),
					"on the bare daemon, he gets her result of %s", what)
				require.Equal(t, tc.shown(tc.alices), with(g.Daemon, 0, tc.alices), what)
				require.Equal(t, tc.shown(tc.his), with(g.Daemon, bob, tc.his), what)
				require.Equal(t, tc.shown(tc.his), with(g.Daemon, 0, tc.his), what)
			}

			// With the same values, they are still others.
			file := "FROM busybox\n" + random(name+" with limits")
			both := []map[string]string{
				{"add-hosts": "a.test=192.0.2.1"}, {"memory": strconv.Itoa(256 << 20)}, {"cpushares": "512"},
			}
			for _, opts := range both {
				hers, err := built(t, g.Daemon, 0, file, opts)
				require.NoError(t, err)
				again, err := built(t, g.Daemon, 0, file, maps.Clone(opts))
				require.NoError(t, err)
				his, err := built(t, g.Daemon, bob, file, opts)
				require.NoError(t, err)
				without, err := built(t, g.Daemon, 0, file, nil)
				require.NoError(t, err)
				require.Equal(t, hers, again)
				require.NotEqual(t, hers, his)
				require.NotEqual(t, hers, without)
			}
		})
	}
}

// Rules on commands judge hosts, and have no word for proxies and limits.
func TestGuardJudgesHostsByTheRulesOnCommands(t *testing.T) {
	t.Parallel()
	for _, by := range []policy.Dispatch{
		policy.DispatchMediate, policy.DispatchBuiltin, policy.DispatchForward,
	} {
		t.Run(string(by), func(t *testing.T) {
			t.Parallel()
			g := mediatingGuard(t, handedOver(by, "build: {exec: {hosts: [\"*.corp.test\"]}}\n")+forAlice)
			const file = "FROM busybox\nRUN grep corp.test /etc/hosts > /out\n"
			for _, uid := range []int{0, bob} {
				at := fmt.Sprintf("192.0.2.%d", 1+uid%200)
				got, err := built(t, g.Daemon, uid, file, map[string]string{"add-hosts": "a.corp.test=" + at})
				require.NoError(t, err)
				require.Equal(t, at+"\ta.corp.test\n", got)
			}
			for key, value := range map[string]string{
				"add-hosts": "other.test=192.0.2.1", "build-arg:https_proxy": "http://a.test", "memory": "9999999",
			} {
				_, err := built(t, g.Daemon, bob, file, map[string]string{key: value})
				require.ErrorContains(t, err, map[bool]string{
					true: "an address for the host \"other.test\"", false: "can't allow the option " + key,
				}[key == "add-hosts"])
			}
			for _, host := range []string{
				"0123456789abcdef0123456789abcdef.policy-guard.invalid", "X.Policy-Guard.invalid",
			} {
				_, err := built(t, g.Daemon, bob, file, map[string]string{"add-hosts": host + "=127.0.0.1"})
				require.ErrorContains(t, err, "which is policy-guard's")
			}
		})
	}
}

// What isn't built has no commands to keep apart.
func TestGuardAnswersCallsOfBuildsThatAreKeptApart(t *testing.T) {
	t.Parallel()
	for name, doc := range apartWays() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			g := mediatingGuard(t, doc+forAlice)
			dir := harness.WriteContext(t, map[string]string{
				"Dockerfile": "ARG A=1\nFROM busybox AS app\nRUN true\n",
			})
			for call, want := range map[string]string{
				"outline": "TARGET:", "targets": "app", "check": "Check complete",
			} {
				o := g.Buildx(t, dir, "build", "--progress=plain", "--call="+call, ".")
				o.RequireSuccess(t)
				require.Contains(t, o.Stdout, want)
			}
		})
	}
}

// The containers of a frontend have no host by which they are kept apart, but they have cache
// mounts.
func TestFrontendsContainersHaveNoCacheMountsOfOtherClients(t *testing.T) {
	w := newDownloads(t) // which pushes the image of the containers
	frontend := pushProgram(t, "boxer")
	g, _ := w.guard(t, `version: 1
frontends:
  - {name: boxer, match: [tests/boxer], dispatch: mediate, build: {containers: allow}}
`+forAlice)
	dir := harness.WriteContext(t, map[string]string{"Dockerfile": ""})
	boxed := func(d *harness.Daemon, uid int) (string, error) {
		ctx, c := asUser(t, d, uid)
		out, err := exportedBy(ctx, t, c, client.SolveOpt{LocalMounts: mountsOf(t, dir)},
			byImage(map[string]string{
				"source": frontend, "build-arg:CACHE": "shared",
				"build-arg:COMMAND": fmt.Sprintf("echo %d >> /cache/who; cat /cache/who", uid),
			}, nil))
		if err != nil {
			return "", err
		}
		return read(t, filepath.Join(out, "answer")), nil
	}
	for _, uid := range []int{0, bob} {
		got, err := boxed(g.Daemon, uid)
		require.ErrorContains(t, err, "the cache mount \"shared\", which other clients have too", got)
	}
}
