// Package kindtest has an operation of each kind, and rules that deny it. Tests of code that
// depends on the kinds of operations call [Run]: a new kind has no case, so they fail
// until it has one, and then show whether the code handles it.
//
// Such tests are called TestEveryKind…, with one subtest for each kind, named after it. The
// test of this package runs them all once more with a kind that only it knows.
package kindtest

import (
	"slices"
	"strings"
	"testing"

	"github.com/policy-frontend/policy-frontend/policy/buildrules"
)

// Case is an operation of one kind, and rules that deny it.
type Case struct {
	Kind      buildrules.Kind
	Operation buildrules.Operation
	// Rules is the value of the kind's field below build, in YAML. The rules deny the operation.
	Rules string
	// Empty reports whether the rules can be written as an empty mapping, which is a mistake.
	Empty bool
}

// Policy returns a policy with the rules for the frontend docker/dockerfile, which it allows.
func (c Case) Policy() string {
	return "version: 1\nfrontends:\n- {name: a, match: [docker/dockerfile], dispatch: mediate, build: " +
		c.Build() + "}\n"
}

// Build returns the build rules as a mapping in YAML.
func (c Case) Build() string {
	build := c.Rules
	for _, key := range slices.Backward(strings.Split(string(c.Kind), ".")) {
		build = "{" + key + ": " + build + "}"
	}
	return build
}

const (
	repositories = `{allow: ["allowed.example/**"]}`
	urls         = `{allow: ["https://allowed.example/**"]}`
)

var cases = []Case{
	{buildrules.KindImages, buildrules.Operation{Image: "docker.io/library/a:1"}, repositories, true},
	{
		buildrules.KindGit,
		buildrules.Operation{Git: &buildrules.Git{URL: "https://git.example/a"}},
		urls, true,
	},
	{
		buildrules.KindHTTP,
		buildrules.Operation{HTTP: &buildrules.HTTP{URL: "https://files.example/a"}},
		urls, true,
	},
	{buildrules.KindLocal, buildrules.Operation{Local: "context"}, `{allow: [other]}`, true},
	{
		buildrules.KindOCILayout,
		buildrules.Operation{OCILayout: "docker.io/library/a:1"},
		repositories,
		true,
	},
	{
		buildrules.KindBlob,
		buildrules.Operation{Blob: "docker.io/library/a@" + digest},
		repositories,
		true,
	},
	{
		buildrules.KindExec,
		buildrules.Operation{Exec: &buildrules.Exec{Network: "host"}},
		`{networks: [none]}`, true,
	},
	{
		buildrules.KindDownloads,
		buildrules.Operation{Download: "https://files.example/a"},
		urls, true,
	},
	{
		buildrules.KindFrontends,
		buildrules.Operation{Frontend: "docker.io/library/a:1"},
		repositories,
		true,
	},
	{buildrules.KindContainers, buildrules.Operation{Container: &buildrules.Exec{}}, `deny`, false},
	{
		buildrules.KindConfig,
		buildrules.Operation{Config: &buildrules.Config{}},
		`{user: {require: [app]}}`, true,
	},
}

const digest = "sha256:1111111111111111111111111111111111111111111111111111111111111111"

// Run runs a subtest for each kind of [buildrules.Kinds]. It fails for a kind without a case.
func Run(t *testing.T, test func(t *testing.T, c Case)) {
	t.Helper()
	for _, k := range buildrules.Kinds() {
		t.Run(string(k), func(t *testing.T) {
			i := slices.IndexFunc(cases, func(c Case) bool { return c.Kind == k })
			if i < 0 {
				t.Fatalf("there is no case for the kind %s", k)
			}
			test(t, cases[i])
		})
	}
}
