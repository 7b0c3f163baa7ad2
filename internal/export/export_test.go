package export

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/policy-frontend/policy-frontend/policy"
)

func parsed(t *testing.T, doc string) *policy.Policy {
	t.Helper()
	p, err := policy.Parse("policy.yaml", []byte("version: 1\n"+doc))
	require.NoError(t, err)
	return p
}

// Each thing that a format can't hold is said.
func TestNotes(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name, doc string
		format    Format
		strict    bool
		want      Note
	}{
		{
			"a policy that warns", "mode: warn", Buildkitd, false,
			Note{Effect: RefusesMore, Message: "the policy only warns (mode: warn); the export refuses"},
		},
		{
			"a rule that warns", "frontends: [{name: a, match: [docker/a], action: deny, mode: warn}]",
			SourcePolicy, false,
			Note{
				RefusesMore, "a", "policy.yaml", 2,
				"the rule only warns (mode: warn); the export refuses",
			},
		},
		{
			"a rule that will warn", "frontends: [{name: a, match: [docker/a], warnAfter: 2027-01-01}]",
			Rego, false,
			Note{Different, "a", "policy.yaml", 2, "warnAfter is not exported: there is no warning"},
		},
		{
			"a default frontend", "defaultFrontend: docker/a", SourcePolicy, false,
			Note{
				Effect:  Different,
				Message: "defaultFrontend is not exported: a build that names no frontend doesn't get this one",
			},
		},
		{
			"default: allow for buildkitd", "default: allow", Buildkitd, false,
			Note{
				Effect:  RefusesMore,
				Message: "default: allow is not exported: the list has only literal names of allow rules",
			},
		},
		{
			"a pattern for buildkitd", "frontends: [{name: a, match: [\"**\"]}]", Buildkitd, false,
			Note{
				RefusesMore, "a", "policy.yaml", 2,
				"the pattern ** is omitted: buildkitd takes only literal names",
			},
		},
		{
			"a denied name",
			"frontends: [{name: a, match: [docker/a]}, {name: b, match: [docker/a], action: deny}]",
			Buildkitd, false,
			Note{
				Different, "a", "policy.yaml", 2,
				"docker.io/docker/a is omitted: the policy allows no image of that name, because of another rule, an alias or the limits",
			},
		},
		{
			"a name that is denied in part",
			"frontends: [{name: a, match: [docker/a]}, {name: b, match: [\"docker/*\"], tags: [x], action: deny}]", Buildkitd, false,
			Note{AllowsMore, "a", "policy.yaml", 2, "buildkitd checks only the name docker.io/docker/a and ignores rule \"b\", which denies some of its images"},
		},
		{
			"an alias for buildkitd", "aliases: [{from: docker/a, to: docker/b}]", Buildkitd, false,
			Note{
				Effect: RefusesMore, File: "policy.yaml", Line: 2,
				Message: "the alias is not exported: builds must use the name that replaces docker/a",
			},
		},
		{
			"an alias for Rego", "aliases: [{from: docker/a, to: docker/b}]", Rego, true,
			Note{
				Effect: RefusesMore, File: "policy.yaml", Line: 2,
				Message: "the alias is not exported: builds must use the name that replaces docker/a",
			},
		},
		{
			"aliases in a chain",
			"aliases: [{from: docker/a, to: docker/b}, {from: docker/b, to: docker/c}]", SourcePolicy, true,
			Note{
				Effect: RefusesMore, File: "policy.yaml", Line: 2,
				Message: "the alias is omitted, because another conversion would change its result; its names are refused",
			},
		},
		{
			"limits that leave nothing",
			"frontends: [{name: a, match: [docker/a]}]\nlimits: {match: [corp.example/**]}", SourcePolicy,
			false,
			Note{
				Different, "a", "policy.yaml", 2,
				"the limits refuse everything that the rule allows, so it is omitted",
			},
		},
		{
			"options",
			"frontends: [{name: a, match: [docker/a], options: {deny: [x], only: [y], inputs: deny}}]",
			SourcePolicy, true,
			Note{
				RefusesMore, "a", "policy.yaml", 2,
				"the rule is omitted: options are not exported (deny, only and inputs: deny): only the policy frontend sees them",
			},
		},
		{
			"rules on builds",
			"frontends: [{name: a, match: [docker/a], dispatch: mediate, build: {images: {deny: [x]}}}]\nbuild: {exec: {ssh: true}}", SourcePolicy, false,
			Note{AllowsMore, "a", "policy.yaml", 2, "the export doesn't check what the frontend builds (build (images, exec), dispatch (mediate)): only the policy frontend sees it"},
		},
		{
			"rules on builds, strictly",
			"frontends: [{name: a, match: [docker/a]}]\nbuild: {exec: {ssh: true}}", Rego, true,
			Note{
				RefusesMore, "a", "policy.yaml", 2,
				"the rule is omitted: the export doesn't check what the frontend builds (build (exec)): only the policy frontend sees it",
			},
		},
		{
			"rules on builds for buildkitd", "frontends: [{name: a, match: [docker/a], dispatch: mediate}]",
			Buildkitd, false,
			Note{
				AllowsMore, "a", "policy.yaml", 2,
				"buildkitd checks only the name docker.io/docker/a and ignores dispatch (mediate)",
			},
		},
		{
			"build rules of another rule for buildkitd",
			"frontends: [{name: a, match: [docker/a], tags: [x]}, {name: b, match: [docker/a], build: {local: {deny: [x]}}}]", Buildkitd, false,
			Note{AllowsMore, "a", "policy.yaml", 2, "buildkitd checks only the name docker.io/docker/a and ignores tags, the build rules or dispatch of rule \"b\""},
		},
		{
			"rules on builds of what no rule matches", "default: allow\nbuild: {exec: {ssh: true}}",
			SourcePolicy, false,
			Note{
				Effect:  AllowsMore,
				Message: "the export doesn't check builds of frontends that no rule matches (build (exec))",
			},
		},
		{
			"closed sources of what no rule matches", "default: allow\nbuild: {others: deny}",
			SourcePolicy, false,
			Note{
				Effect:  AllowsMore,
				Message: "the export doesn't check builds of frontends that no rule matches (build (others))",
			},
		},
		{
			"rules on builds of what no rule matches, strictly", "default: allow\ndispatch: mediate",
			SourcePolicy, true,
			Note{
				Effect:  RefusesMore,
				Message: "default: allow is omitted: the export doesn't check what frontends build (dispatch (mediate))",
			},
		},
		{
			"prereleases", "frontends: [{name: a, match: [docker/a], versions: \">=1.0.0-rc1\"}]",
			SourcePolicy, false,
			Note{RefusesMore, "a", "policy.yaml", 2, "versions are exported without prereleases"},
		},
		{
			"exceptions of a deny rule",
			"frontends: [{name: a, match: [docker/a], exceptTags: [x], action: deny}]", Rego, false,
			Note{
				RefusesMore, "a", "policy.yaml", 2,
				"exceptTags of a deny rule are not exported: the export denies these tags too",
			},
		},
		{
			"a deny rule that expires",
			"frontends: [{name: a, match: [docker/a], expires: 2027-03-01, action: deny}]", Rego, false,
			Note{
				RefusesMore, "a", "policy.yaml", 2,
				"expires is not exported: the export still denies after 2027-03-01",
			},
		},
		{
			"tags of a pattern", "frontends: [{name: a, match: [\"docker/*\"], tags: [x]}]", SourcePolicy,
			false,
			Note{AllowsMore, "a", "policy.yaml", 2, claimedTag},
		},
		{
			"tags of a pattern, strictly", "frontends: [{name: a, match: [\"docker/*\"], tags: [x]}]",
			SourcePolicy, true,
			Note{RefusesMore, "a", "policy.yaml", 2, "the rule is omitted: " + claimedTag},
		},
		{
			"tags of a denied pattern, strictly",
			"frontends: [{name: a, match: [\"docker/*\"], tags: [x], action: deny}]", SourcePolicy, true,
			Note{RefusesMore, "a", "policy.yaml", 2, "the rule denies every tag: " + claimedTag},
		},
		{
			"a wanted digest of a pattern",
			"frontends: [{name: a, match: [\"docker/*\"], requireDigest: true}]", SourcePolicy, false,
			Note{
				AllowsMore, "a", "policy.yaml", 2,
				"requireDigest is not exported, because base images may match the pattern too",
			},
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			out, err := Export(parsed(t, tt.doc), tt.format, Options{Time: at(), Strict: tt.strict})
			require.NoError(t, err)
			require.Contains(t, out.Notes, tt.want)
		})
	}
}

func TestExportFails(t *testing.T) {
	t.Parallel()
	p := parsed(t, "")
	_, err := Export(p, "toml", Options{})
	require.EqualError(t, err, `the format must be source-policy, buildkitd or rego, not "toml"`)
	_, err = Export(&policy.Policy{}, Rego, Options{})
	require.ErrorContains(t, err, "policy.Parse")
	_, err = Export(nil, Rego, Options{})
	require.ErrorContains(t, err, "policy.Parse")
	_, err = Export(p, Buildkitd, Options{Images: []string{"x"}})
	require.ErrorContains(t, err, "only for the format rego")
	_, err = Export(p, Rego, Options{Images: []string{"x", "y:1"}})
	require.ErrorContains(t, err, "a pattern is for names only")
}

// An export refuses what the policy only warns about, and the policy itself stays as it was.
func TestAnExportEnforces(t *testing.T) {
	t.Parallel()
	p := parsed(t, "mode: warn\nfrontends: [{match: [docker/a]}, {match: [docker/b], mode: warn}]")
	out, err := Export(p, SourcePolicy, Options{Time: at(), Strict: true})
	require.NoError(t, err)
	_, err = bySourcePolicy(out.Data, "docker/c:1")
	require.ErrorContains(t, err, "denied by policy")
	require.Equal(t, policy.ModeWarn, p.Document().Mode)
	require.Equal(t, policy.ModeWarn, p.Document().Frontends[1].Mode)
}

// The property tests could miss one of these cases.
func TestSourcePolicy(t *testing.T) {
	t.Parallel()
	pin := fuzzDigest(1)
	doc := `
aliases:
  - {from: docker/hub, to: mirror.corp/hub, pins: {"1": "` + pin + `"}}
  - {from: docker/pinned, to: docker/pinned, pins: {"1": "` + pin + `"}}
  - {from: old.corp/**, to: new.corp/**}
frontends:
  - {match: [mirror.corp/hub], tags: ["1", "2"]}
  - {match: [docker/pinned, docker/tagged], tags: ["1", "2"], exceptTags: ["2"]}
  - {match: [docker/digests], digests: ["` + pin + `"]}
  - {match: [docker/written], requireDigest: true}
  - {match: ["new.corp/**"]}
  - {match: ["**/upstream"], action: deny}
  - {match: ["new.corp/t"], tags: [bad], action: deny}
`
	out, err := Export(parsed(t, doc), SourcePolicy, Options{Time: at(), Strict: true})
	require.NoError(t, err)
	for asked, want := range map[string]string{
		"docker/hub:1": "mirror.corp/hub:1@" + pin,
		"docker/hub:2": "mirror.corp/hub:2@" +
			world("mirror.corp/hub", "2").String(),
		"docker/hub:3":                     "",
		"docker/hub":                       "",
		"docker/hub:1@" + pin:              "mirror.corp/hub:1@" + pin,
		"docker/hub:1@" + fuzzDigest(2):    "",
		"docker/hub@" + pin:                "",
		"docker/pinned:1":                  "docker.io/docker/pinned:1@" + pin,
		"docker/pinned:1@" + fuzzDigest(2): "",
		"docker/pinned:2":                  "",
		"docker/tagged:1": "docker.io/docker/tagged:1@" +
			world("docker.io/docker/tagged", "1").String(),
		"docker/tagged:1@" + fuzzDigest(2): "",
		"docker/digests:x@" + pin:          "docker.io/docker/digests:x@" + pin,
		"docker/digests:x":                 "",
		"docker/written:1":                 "",
		"docker/written":                   "",
		"docker/written@" + pin:            "docker.io/docker/written@" + pin,
		"old.corp/a/b:1": "new.corp/a/b:1@" +
			world("new.corp/a/b", "1").String(),
		"old.corp/upstream:1": "",
		"new.corp/t:good": "new.corp/t:good@" +
			world("new.corp/t", "good").String(),
		"new.corp/t:bad":         "",
		"new.corp/t@" + pin:      "",
		"new.corp/t:good@" + pin: "",
		"NEW.CORP/t:bad":         "",
		"new.corp:443/t:bad":     "",
		"docker/tagged-evil:1":   "",
		"docker/tagged/evil:1":   "",
		"index.docker.io/docker/tagged:1": "docker.io/docker/tagged:1@" +
			world("docker.io/docker/tagged", "1").String(),
		"evil.example/docker.io/docker/tagged:1": "",
		"docker/tagged:1.evil":                   "",
		"mirror.corp/hub/docker.io/docker/hub:1": "",
		"new.corp/a/docker-image/new.corp/a/evil": "new.corp/a/docker-image/new.corp/a/evil:latest@" +
			world("new.corp/a/docker-image/new.corp/a/evil", "latest").String(),
	} {
		runs, err := bySourcePolicy(out.Data, asked)
		if want == "" {
			require.ErrorContains(t, err, "denied by policy", asked)
			continue
		}
		require.NoError(t, err, asked)
		require.Equal(t, want, runs.String(), asked)
	}
}

// What can't be held strictly is refused, also where another rule would allow it.
func TestStrictSourcePolicyRefusesWhatItCannotHold(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name, doc, asked string
	}{
		{
			"a tag of a denied pattern",
			`frontends: [{match: [docker/a]}, {match: ["docker/*"], tags: [bad], action: deny}]`,
			"docker/a:good",
		},
		{
			"a rule with options, and one without behind it",
			`frontends: [{match: [docker/a], options: {deny: [target]}}, {match: [docker/a]}]`,
			"docker/a:1",
		},
		{
			"a rule with options by default",
			"default: allow\nfrontends: [{match: [docker/a], options: {only: [target]}}]", "docker/a:1",
		},
		{"an alias behind one that is left out", `
aliases: [{from: docker/a, to: docker/b}, {from: docker/b, to: docker/c}, {from: docker/**, to: new.corp/**}]
frontends: [{match: ["new.corp/**"]}]`, "docker/a:1"},
		{
			"a denied tag, where an allow rule names another one and the digest", `
frontends:
  - {match: ["docker/*"], tags: ["2"], digests: ["` + fuzzDigest(1) + `"]}
  - {match: [docker/a], tags: ["1"], action: deny}`, "docker/a:2@" + fuzzDigest(1),
		},
		{"a rule that expires", `frontends: [{match: [docker/a], expires: 2027-03-01}]`, "docker/a:1"},
		{"a rule that expired", `frontends: [{match: [docker/a], expires: 2027-01-01}]`, "docker/a:1"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			out, err := Export(parsed(t, tt.doc), SourcePolicy, Options{Time: at(), Strict: true})
			require.NoError(t, err)
			_, err = bySourcePolicy(out.Data, tt.asked)
			require.ErrorContains(t, err, "denied by policy")
		})
	}
}

func TestExpiredRulesAreNotExported(t *testing.T) {
	t.Parallel()
	doc := "frontends: [{match: [docker/a], expires: 2027-03-01}, {match: [docker/b]}, {match: [docker/b], expires: 2027-03-01, action: deny}]"
	for name, tt := range map[string]struct {
		time time.Time
		runs map[string]bool
	}{
		"before": {at(), map[string]bool{"docker/a": true, "docker/b": false}},
		"at": {
			time.Date(2027, 3, 1, 0, 0, 0, 0, time.UTC),
			map[string]bool{"docker/a": false, "docker/b": true},
		},
		"never": {time.Time{}, map[string]bool{"docker/a": false, "docker/b": false}},
	} {
		out, err := Export(parsed(t, doc), SourcePolicy, Options{Time: tt.time})
		require.NoError(t, err)
		for asked, runs := range tt.runs {
			_, err := bySourcePolicy(out.Data, asked)
			require.Equal(t, runs, err == nil, "%s: %s", name, asked)
		}
	}
}

func TestSourcePolicyIsRulesOfVersion1(t *testing.T) {
	t.Parallel()
	out, err := Export(parsed(t, ""), SourcePolicy, Options{Time: time.Time{}})
	require.NoError(t, err)
	var p struct{ Version int }
	require.NoError(t, json.Unmarshal(out.Data, &p))
	require.Equal(t, 1, p.Version)
}

// A build that a rule refuses for what it builds is not for later rules.
func TestStrictExportsDenyWhatIsJudgedInBuilds(t *testing.T) {
	t.Parallel()
	const doc = "frontends: [{name: a, match: [docker/a], build: {exec: {ssh: true}}}, {name: b, match: [docker/*]}]"
	denies := func(doc string, strict bool) bool {
		out, err := Export(parsed(t, doc), SourcePolicy, Options{Time: at(), Strict: strict})
		require.NoError(t, err)
		var p struct{ Rules []sourceRule }
		require.NoError(t, json.Unmarshal(out.Data, &p))
		return slices.ContainsFunc(p.Rules, func(r sourceRule) bool {
			return r.Action == "DENY" && strings.Contains(r.Selector.Identifier, "docker/a")
		})
	}
	require.True(t, denies(doc, true))
	require.False(t, denies(doc, false))
	require.False(t, denies(strings.Replace(doc, ", build: {exec: {ssh: true}}", "", 1), true))

	out, err := Export(parsed(t, "default: allow\nbuild: {exec: {ssh: true}}"), Buildkitd,
		Options{Time: at()})
	require.NoError(t, err)
	require.False(t,
		slices.ContainsFunc(out.Notes, func(n Note) bool { return n.Effect == AllowsMore }),
		"buildkitd's list has no default")
}

func TestWhatOnlyPolicyGuardAppliesIsNoted(t *testing.T) {
	t.Parallel()
	p, err := policy.Parse("p", []byte("version: 1\nllb: allow\ndebug: allow\nexports: {client: [oci]}\n"+
		"caches: {imports: {local: allow}}\nadministration: {clients: [\"uid:0\"]}\n"+
		"sbom: {generators: {allow: [a]}}\nattest: true\nfrontends: [{name: a, match: [docker/dockerfile]}]\n"))
	require.NoError(t, err)
	for _, f := range []Format{SourcePolicy, Buildkitd, Rego} {
		for _, strict := range []bool{false, true} {
			r, err := Export(p, f, Options{Strict: strict})
			require.NoError(t, err)
			var notes []string
			for _, n := range r.Notes {
				if n.Effect == Different {
					notes = append(notes, n.Message)
				}
			}
			require.Subset(t, notes, []string{
				"llb is not exported: only policy-guard applies it",
				"debug is not exported: only policy-guard applies it",
				"exports is not exported: only policy-guard applies it",
				"caches is not exported: only policy-guard applies it",
				"administration is not exported: only policy-guard applies it",
				"sbom is not exported: only policy-guard applies it",
				"attest is not exported: only policy-frontend makes summaries",
			})
		}
	}
}
