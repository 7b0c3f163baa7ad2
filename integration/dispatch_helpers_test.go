package integration

import (
	"slices"
	"strings"
	"testing"

	"github.com/policy-frontend/policy-frontend/integration/harness"
	"github.com/policy-frontend/policy-frontend/policy"
)

// way is a way through the policy frontend for an allowed build. The tests of allowed builds run
// once for each.
type way struct {
	name     string
	dispatch policy.Dispatch
	// build has the policy's build rules.
	build string
}

// allAllowed has build rules for every kind of source, so each source is checked. They allow
// everything that the tests of allowed builds use.
const allAllowed = `build:
  images: {allow: ["**"]}
  git: {allow: ["http://*/**"]}
  http: {allow: ["http://*/**"]}
  local: {allow: ["*"]}
  exec: {ssh: true, secrets: ["*"], hosts: ["*"]}
`

// ways returns all ways for builds by docker/dockerfile.
func ways() []way {
	return []way{
		{name: "forwarded", dispatch: policy.DispatchForward},
		{name: "forwarded with rules", dispatch: policy.DispatchForward, build: allAllowed},
		{name: "mediated", dispatch: policy.DispatchMediate, build: allAllowed},
		{name: "built in", dispatch: policy.DispatchBuiltin, build: allAllowed},
	}
}

// waysApart returns one way for each dispatch. It is for tests in which build rules make no
// difference to forward.
func waysApart() []way {
	return slices.DeleteFunc(ways(),
		func(w way) bool { return w.dispatch == policy.DispatchForward && w.build != "" })
}

// imageWays returns the ways that run the inner frontend's image. They work with any inner
// frontend.
func imageWays() []way {
	return slices.DeleteFunc(waysApart(),
		func(w way) bool { return w.dispatch == policy.DispatchBuiltin })
}

// policy adds to doc what makes builds take this way. The document has to begin as corpPolicy does.
func (w way) policy(doc string) string {
	if w.dispatch == policy.DispatchBuiltin { // only Dockerfiles have it
		const rule = "match: [\"docker/dockerfile\"]\n"
		return strings.Replace(doc, rule, rule+"    dispatch: builtin\n", 1) + w.build
	}
	return doc + "dispatch: " + string(w.dispatch) + "\n" + w.build
}

// through is a daemon that allows only the policy frontend's image. Its policy makes allowed builds
// take a way.
type through struct {
	side
	way
}

// throughUs returns a new daemon of this kind with corpPolicy.
func (w way) throughUs(t *testing.T) through {
	t.Helper()
	return w.throughPolicy(t, corpPolicy)
}

// throughPolicy returns a new daemon of this kind with another policy, which begins as corpPolicy
// does.
func (w way) throughPolicy(t *testing.T, doc string) through {
	t.Helper()
	return through{
		side{env.SolePermitted(t), "through us, " + w.name, env.WithPolicy(t, w.policy(doc))},
		w,
	}
}

// each runs a test once for each way.
func each(t *testing.T, ways []way, test func(t *testing.T, w way)) {
	t.Helper()
	for _, w := range ways {
		t.Run(w.name, func(t *testing.T) {
			t.Parallel()
			test(t, w)
		})
	}
}

// throughEach returns one daemon for each way, for tests that compare the results.
func throughEach(t *testing.T, ways []way) []through {
	t.Helper()
	var all []through
	for _, w := range ways {
		all = append(all, w.throughUs(t))
	}
	return all
}

// byTheDaemonsOwn reports whether dockerfile.v0 of the daemon serves the builds: policy-guard has it
// do so with dispatch: builtin.
func (us through) byTheDaemonsOwn() bool {
	return us.dispatch == policy.DispatchBuiltin && us.syntax == inner
}

// guardedWays returns the ways through policy-guard.
func guardedWays() []way {
	return []way{
		{name: "guard forwards", dispatch: policy.DispatchForward},
		{name: "guard has the daemon's frontend serve", dispatch: policy.DispatchBuiltin},
		{name: "guard hands over", dispatch: policy.DispatchMediate, build: allAllowed},
	}
}

// guardedEach returns one daemon behind policy-guard for each way through it, for tests that compare
// the results. Clients name docker/dockerfile, as they do for [direct]. There are none if the daemon
// of the tests is too old for policy-guard.
func guardedEach(t *testing.T) []through {
	t.Helper()
	if env.Older(harness.GuardFloor) {
		return nil
	}
	var all []through
	for _, w := range guardedWays() {
		g := env.Guard(t, harness.DaemonConfig{}, w.policy(corpPolicy), "--image", env.Mediator(t))
		all = append(all, through{side{g.Daemon, w.name, inner}, w})
	}
	return all
}
