package policy

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/policy-frontend/policy-frontend/policy/buildrules"
)

func TestConditionsAreForSomeResults(t *testing.T) {
	t.Parallel()
	const (
		release  = `{config: {targets: [release, "prod-*", "jammy/*"], user: {forbid: [root]}}}`
		notBase  = `{config: {exceptTargets: [Base, "files-*"], user: {forbid: [root]}}}`
		both     = `{config: {targets: ["r*"], exceptTargets: [rc], user: {forbid: [root]}}}`
		runnable = `{config: {results: runnable, user: {forbid: [root]}}}`
		all      = `{config: {results: all, user: {forbid: [root]}}}`
		sets     = `{config: [{targets: [release], user: {forbid: [root]}}, {results: runnable, env: {forbid: [A]}}]}`
		beside   = `{config: {user: {forbid: [root]}, sets: [{targets: [release], env: {forbid: [A]}}]}}`
		isRoot   = `rule "a" refuses the image that is built: its user is "root" (build.config.user.forbid: "root")`
		hasA     = `rule "a" refuses the image that is built: it has the environment variable "A" (build.config.env.forbid: A)`
	)
	of := func(target string) buildrules.Operation {
		return buildrules.Operation{Config: &buildrules.Config{Target: target}}
	}
	with := func(c buildrules.Config) buildrules.Operation { return buildrules.Operation{Config: &c} }
	tests := []judged{
		{"a chosen target", release, of("release"), isRoot},
		{"a chosen target in another letter case", release, of("ReLease"), isRoot},
		{"a chosen target by a glob", release, of("prod-eu"), isRoot},
		{"a chosen path", release, of("jammy/deb"), isRoot},
		{"another target", release, of("base"), ""},
		{"a target that only begins so", release, of("release2"), ""},
		{"no target, which may be any", release, of(""), isRoot},
		{"a target that is excepted", notBase, of("base"), ""},
		{"a target that is excepted by a glob", notBase, of("FILES-a"), ""},
		{"a target that isn't excepted", notBase, of("app"), isRoot},
		{"no target is never excepted", notBase, of(""), isRoot},
		{"a target of both lists", both, of("rc"), ""},
		{"a target of the first list", both, of("rd"), isRoot},
		{"a target of neither list", both, of("x"), ""},
		{"a result without a command", runnable, of("release"), ""},
		{"a result with a command", runnable, with(buildrules.Config{Cmd: []string{"sh"}}), isRoot},
		{"a result with an empty command", runnable, with(buildrules.Config{Cmd: []string{}}), ""},
		{
			"a result with a command that is empty text", runnable,
			with(buildrules.Config{Cmd: []string{""}}), isRoot,
		},
		{
			"a result with an entrypoint", runnable,
			with(buildrules.Config{Entrypoint: []string{"/app"}}), isRoot,
		},
		{"all results", all, of("x"), isRoot},
		{
			"the first of two sets", sets, with(buildrules.Config{Target: "release", Env: []string{"A"}}),
			isRoot,
		},
		{
			"the second of two sets", sets,
			with(buildrules.Config{Target: "x", Env: []string{"A"}, Cmd: []string{"sh"}}), hasA,
		},
		{"neither of two sets", sets, with(buildrules.Config{Target: "x", Env: []string{"A"}}), ""},
		{"the fields beside a set", beside, of("x"), isRoot},
		{
			"a set beside the fields", beside,
			with(buildrules.Config{Target: "release", User: "app", Env: []string{"A"}}), hasA,
		},
	}
	// Frontends read these in ways of their own.
	for _, target := range []string{
		"0", "1", "+1", "-1", "0x1", "1release", " base", "base ", "base\n", "base,app", "./base",
		"files-a/", "files-a//b", "files-a/../app", "files-a/./b", "\u212aase", "ba\u017fe", "base\x00",
		"base:1", "*", "files-*", `files-a\b`, "files-" + strings.Repeat("x", 5000),
	} {
		tests = append(tests,
			judged{"chosen: " + target[:min(len(target), 20)], release, of(target), isRoot},
			judged{"excepted: " + target[:min(len(target), 20)], notBase, of(target), isRoot})
	}
	testCheck(t, tests)
}

func TestSetsOfARuleAndOfThePolicyAddUp(t *testing.T) {
	t.Parallel()
	with := func(c buildrules.Config) buildrules.Operation { return buildrules.Operation{Config: &c} }
	const mine = `rule "a" refuses the image that is built: `
	const ours = `the policy refuses the image that is built: `
	for _, tt := range []struct {
		name, whole, rule string
		operation         buildrules.Operation
		want              string
	}{
		{
			"a rule doesn't widen the policy's targets",
			`{config: {user: {forbid: [root]}}}`, `{config: {targets: [x], env: {forbid: [A]}}}`,
			with(buildrules.Config{Target: "y"}), ours + `its user is "root" (build.config.user.forbid: "root")`,
		},
		{
			"a rule's conditions stay those of its targets",
			`{config: {user: {forbid: [root]}}}`, `{config: {targets: [x], env: {forbid: [A]}}}`,
			with(buildrules.Config{Target: "y", User: "app", Env: []string{"A"}}), "",
		},
		{
			"a rule's conditions hold for its targets",
			`{config: {user: {forbid: [root]}}}`, `{config: {targets: [x], env: {forbid: [A]}}}`,
			with(buildrules.Config{Target: "x", User: "app", Env: []string{"A"}}),
			mine + `it has the environment variable "A" (build.config.env.forbid: A)`,
		},
		{
			"the policy's scope isn't the rule's",
			`{config: {results: runnable, user: {forbid: [root]}}}`, `{config: {user: {require: [app]}}}`,
			with(buildrules.Config{}), mine + `its user is "root", and it allows only app (build.config.user.require)`,
		},
		{
			"the policy's sets stay beside the rule's fields",
			`{config: [{user: {forbid: [root]}}]}`, `{config: {results: runnable, env: {forbid: [A]}}}`,
			with(buildrules.Config{}), ours + `its user is "root" (build.config.user.forbid: "root")`,
		},
		{
			"the policy's fields stay beside the rule's sets",
			`{config: {targets: [x], user: {forbid: [root]}}}`, `{config: [{results: runnable, env: {forbid: [A]}}]}`,
			with(buildrules.Config{Target: "x"}), ours + `its user is "root" (build.config.user.forbid: "root")`,
		},
		{
			"the user is one that both sets require",
			`{config: [{user: {require: ["a*"]}}]}`, `{config: [{user: {require: ["*p"]}}]}`,
			with(buildrules.Config{User: "ab"}), mine + `its user is "ab", and it allows only *p (build.config.user.require)`,
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			require.Equal(t, tt.want, combined(t, tt.whole, tt.rule).Check(tt.operation).Reason)
		})
	}
}

func TestAnOverlayCantNarrowWhatConditionsAreFor(t *testing.T) {
	t.Parallel()
	const head = "version: 1\ndefault: allow\ndispatch: mediate\n"
	d := decided(t, head+"build: {config: {user: {forbid: [root]}}}\n",
		head+"build: {config: {targets: [x], env: {forbid: [A]}}}\n")
	check := func(c buildrules.Config) Verdict {
		return d.Check(buildrules.Operation{Config: &c}).Verdict
	}
	require.Equal(t, Deny, check(buildrules.Config{Target: "y"}))
	require.Equal(t, Deny, check(buildrules.Config{Target: "x", User: "app", Env: []string{"A"}}))
	require.Equal(t, Allow, check(buildrules.Config{Target: "y", User: "app", Env: []string{"A"}}))
}

func TestARefusalSaysWhatToDoIfTheResultIsNoImage(t *testing.T) {
	t.Parallel()
	const hint = "if this result is no image that runs, such as exported files, the policy can leave " +
		"it out with results: runnable or exceptTargets in build.config"
	d := decided(t, "version: 1\ndefault: allow\ndispatch: mediate\n"+
		"build: {config: {user: {forbid: [root]}, sets: [{env: {require: [A]}}]}}\n", "")
	messages := func(c buildrules.Config) []string {
		return d.Check(buildrules.Operation{Config: &c}).Messages
	}
	require.Equal(t, []string{hint + "; or set a USER in the build file"},
		messages(buildrules.Config{}))
	require.Equal(t, []string{hint}, messages(buildrules.Config{User: "app"}))
	require.Empty(t, messages(buildrules.Config{Cmd: []string{"sh"}}), "it runs")
}

func TestObligationsShowTheSets(t *testing.T) {
	t.Parallel()
	d := combined(t, `{config: [{targets: [x], user: {forbid: [root]}}]}`,
		`{config: {results: runnable, env: {forbid: [A]}}}`)
	text, err := json.Marshal(d.Obligations.Build[0].Build)
	require.NoError(t, err)
	require.JSONEq(t, `{"config": {"results": "runnable", "env": {"forbid": ["A"]},
		"sets": [{"targets": ["x"], "user": {"forbid": ["root"]}}]}}`, string(text))
	_, err = Parse("p", []byte(`{"version": 1, "default": "allow", "build": `+string(text)+"}"))
	require.NoError(t, err, "it is what a document can have")
}
