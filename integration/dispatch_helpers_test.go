package integration

import (
	"slices"
	"strings"
	"testing"

	"github.com/policy-frontend/policy-frontend/policy"
)

// way is one in which an allowed build passes us. The tests of allowed builds run
// once for each.
type way struct {
	name     string
	dispatch policy.Dispatch
	// build are the policy's rules on builds.
	build string
}

// allAllowed restricts every kind of source, so that each is judged and held to, and
// allows all that the tests of allowed builds use.
const allAllowed = `build:
  images: {allow: ["**"]}
  git: {allow: ["http://*/**"]}
  http: {allow: ["http://*/**"]}
  local: {allow: ["*"]}
  exec: {ssh: true, secrets: ["*"], hosts: ["*"]}
`

// ways are all of them, for builds by docker/dockerfile.
func ways() []way {
	return []way{
		{name: "forwarded", dispatch: policy.DispatchForward},
		{name: "forwarded with rules", dispatch: policy.DispatchForward, build: allAllowed},
		{name: "mediated", dispatch: policy.DispatchMediate, build: allAllowed},
		{name: "built in", dispatch: policy.DispatchBuiltin, build: allAllowed},
	}
}

// waysApart are one for each dispatcher, for what rules make no difference to where we
// forward.
func waysApart() []way {
	return slices.DeleteFunc(ways(),
		func(w way) bool { return w.dispatch == policy.DispatchForward && w.build != "" })
}

// imageWays are those that run the inner frontend's image, whichever it is.
func imageWays() []way {
	return slices.DeleteFunc(waysApart(),
		func(w way) bool { return w.dispatch == policy.DispatchBuiltin })
}

// policy is doc, which begins as corpPolicy does, with what makes builds take this way.
func (w way) policy(doc string) string {
	if w.dispatch == policy.DispatchBuiltin { // for Dockerfiles alone
		const rule = "match: [\"docker/dockerfile\"]\n"
		return strings.Replace(doc, rule, rule+"    dispatch: builtin\n", 1) + w.build
	}
	return doc + "dispatch: " + string(w.dispatch) + "\n" + w.build
}

// through is a daemon on which our image is the only way in, with a policy by which
// allowed builds take a way.
type through struct {
	side
	way
}

// throughUs is such a daemon for corpPolicy, of its own.
func (w way) throughUs(t *testing.T) through {
	t.Helper()
	return w.throughPolicy(t, corpPolicy)
}

// throughPolicy is such a daemon for another policy, which begins as corpPolicy does.
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

// throughEach makes one daemon for each way, for tests that compare what comes out.
func throughEach(t *testing.T, ways []way) []through {
	t.Helper()
	var all []through
	for _, w := range ways {
		all = append(all, w.throughUs(t))
	}
	return all
}
