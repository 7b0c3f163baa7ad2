package lock

import (
	"context"
	"errors"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/opencontainers/go-digest"
	"github.com/stretchr/testify/require"

	"github.com/policy-frontend/policy-frontend/policy"
	"github.com/policy-frontend/policy-frontend/policy/imageref"
)

// The digests before and after a tag moved.
const (
	oldDigest = "sha256:aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
	newDigest = "sha256:bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb"
)

func now() time.Time { return time.Date(2027, 2, 1, 0, 0, 0, 0, time.UTC) }

// moved is a registry in which every tag has the new digest.
func moved(context.Context, imageref.Reference) (digest.Digest, error) { return newDigest, nil }

// locked pins all that can be pinned in a policy of one document.
func locked(t *testing.T, doc string) (string, error) {
	t.Helper()
	p, err := policy.Parse("policy.yaml", []byte(doc))
	require.NoError(t, err)
	pins, _, err := Find(p, now())
	require.NoError(t, err)
	require.NoError(t, Resolve(context.Background(), pins, moved))
	out, err := Edit("policy.yaml", []byte(doc), pins, true)
	return string(out), err
}

func fill(s string) string {
	return strings.NewReplacer("{old}", oldDigest, "{new}", newDigest).Replace(s)
}

func TestPinsAreWrittenInTheLayoutOfTheFile(t *testing.T) {
	t.Parallel()
	tests := []struct{ name, doc, want string }{
		{"a pin that moved", `version: 1
aliases:
  - from: docker/dockerfile # hub
    to: mirror.corp/docker/dockerfile
    pins: # by lock
      "1": {old} # one
      '1.7': '{old}'
      1.10: "{old}"
`, `version: 1
aliases:
  - from: docker/dockerfile # hub
    to: mirror.corp/docker/dockerfile
    pins: # by lock
      "1": {new} # one
      '1.7': '{new}'
      1.10: "{new}"
`},
		{"pins in flow style", `version: 1
aliases:
  - {from: docker/dockerfile, to: mirror.corp/docker/dockerfile, pins: {"1": "{old}"}} # x
frontends: [{match: [mirror.corp/docker/dockerfile], tags: ["1", "1.7"]}]
`, `version: 1
aliases:
  - {from: docker/dockerfile, to: mirror.corp/docker/dockerfile, pins: {"1": "{new}", "1.7": "{new}"}} # x
frontends: [{match: [mirror.corp/docker/dockerfile], tags: ["1", "1.7"]}]
`},
		{"a tag more than is pinned", `version: 1
aliases:
- from: docker/dockerfile
  to: docker/dockerfile
  pins:
    "1": {new}   # stays

# the rules
frontends:
- match: [docker/dockerfile]
  tags: ["1", "1.7"]
`, `version: 1
aliases:
- from: docker/dockerfile
  to: docker/dockerfile
  pins:
    "1": {new}   # stays
    "1.7": {new}

# the rules
frontends:
- match: [docker/dockerfile]
  tags: ["1", "1.7"]
`},
		{"an alias without pins", `version: 1
aliases:
  - to: mirror.corp/docker/dockerfile
    from: docker/dockerfile # hub
  - {from: docker/a, to: docker/b}
frontends:
  - {match: [mirror.corp/docker/dockerfile], tags: ["1"]}
  - {match: [docker/b], tags: ["2"]}
`, `version: 1
aliases:
  - to: mirror.corp/docker/dockerfile
    from: docker/dockerfile # hub
    pins:
      "1": {new}
  - {from: docker/a, to: docker/b, pins: {"2": "{new}"}}
frontends:
  - {match: [mirror.corp/docker/dockerfile], tags: ["1"]}
  - {match: [docker/b], tags: ["2"]}
`},
		{"no aliases", `version: 1
id: corp

# What may run.
frontends:
  - match: [docker/dockerfile]
    tags: ["1.7"]
  - {match: [docker/dockerfile], tags: ["1"]}
  - {match: ["localhost:5000/x"], tags: [latest]}
`, `version: 1
id: corp

aliases:
  - from: docker/dockerfile
    to: docker/dockerfile
    pins:
      "1.7": {new}
      "1": {new}
  - from: localhost:5000/x
    to: localhost:5000/x
    pins:
      "latest": {new}

# What may run.
frontends:
  - match: [docker/dockerfile]
    tags: ["1.7"]
  - {match: [docker/dockerfile], tags: ["1"]}
  - {match: ["localhost:5000/x"], tags: [latest]}
`},
		{"an alias of a folder", `version: 1
aliases:
  - {from: docker/other, to: docker/other2}
  # All of Docker Hub.
  - from: docker.io/**
    to: mirror.corp/**
frontends:
  - {match: [mirror.corp/docker/dockerfile], tags: ["1"]}
`, `version: 1
aliases:
  - {from: docker/other, to: docker/other2}
  - from: docker/dockerfile
    to: mirror.corp/docker/dockerfile
    pins:
      "1": {new}
  # All of Docker Hub.
  - from: docker.io/**
    to: mirror.corp/**
frontends:
  - {match: [mirror.corp/docker/dockerfile], tags: ["1"]}
`},
		{"one more alias", `version: 1
aliases:
    - from: docker/other
      to: docker/other2 # two
frontends:
    - {match: [docker/dockerfile], tags: ["1"]}
`, `version: 1
aliases:
    - from: docker/other
      to: docker/other2 # two
    - from: docker/dockerfile
      to: docker/dockerfile
      pins:
        "1": {new}
frontends:
    - {match: [docker/dockerfile], tags: ["1"]}
`},
		{"JSON", `{
  "version": 1,
  "frontends": [{"match": ["docker/dockerfile"], "tags": ["1"]}]
}
`, `{
  "version": 1,
  "aliases": [{"from": "docker/dockerfile", "to": "docker/dockerfile", "pins": {"1": "{new}"}}],
  "frontends": [{"match": ["docker/dockerfile"], "tags": ["1"]}]
}
`},
		{
			"JSON on one line with aliases",
			`{"version": 1, "aliases": [{"from": "docker/a", "to": "docker/b"}], "frontends": [{"match": ["docker/b"], "tags": ["1"]}, {"match": ["docker/c"], "tags": ["1"]}]}`,
			`{"version": 1, "aliases": [{"from": "docker/a", "to": "docker/b", "pins": {"1": "{new}"}}, {"from": "docker/c", "to": "docker/c", "pins": {"1": "{new}"}}], "frontends": [{"match": ["docker/b"], "tags": ["1"]}, {"match": ["docker/c"], "tags": ["1"]}]}`,
		},
		{
			"a byte order mark and CRLF",
			"\ufeffversion: 1\r\n# é ü\r\nfrontends:\r\n- {match: [docker/dockerfile], tags: ['1']}\r\n",
			"\ufeffversion: 1\r\naliases:\r\n  - from: docker/dockerfile\r\n    to: docker/dockerfile\r\n    pins:\r\n      \"1\": {new}\r\n# é ü\r\nfrontends:\r\n- {match: [docker/dockerfile], tags: ['1']}\r\n",
		},
		{
			"no newline at the end",
			"version: 1\nfrontends: [{match: [docker/b], tags: ['1'], message: \"é\"}]\naliases:\n- {from: docker/a, to: docker/b}",
			"version: 1\nfrontends: [{match: [docker/b], tags: ['1'], message: \"é\"}]\naliases:\n- {from: docker/a, to: docker/b, pins: {\"1\": \"{new}\"}}",
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			out, err := locked(t, fill(tt.doc))
			require.NoError(t, err)
			require.Equal(t, fill(tt.want), out)
			again, err := locked(t, out)
			require.NoError(t, err)
			require.Equal(t, out, again, "a second run changes something")
		})
	}
}

func TestWhatCannotBeEditedIsAnError(t *testing.T) {
	t.Parallel()
	for name, doc := range map[string]string{
		"a folded digest":        "version: 1\naliases:\n- from: docker/a\n  to: docker/b\n  pins:\n    '1': >-\n      {old}\n",
		"an escaped digest":      "version: 1\naliases:\n- from: docker/a\n  to: docker/b\n  pins:\n    '1': \"\\x73ha256:aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\"\n",
		"a name in a block text": "version: 1\naliases:\n- from: docker/a\n  to: |-\n    docker/b\nfrontends: [{match: [docker/b], tags: ['1']}]\n",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := locked(t, fill(doc))
			require.ErrorContains(t, err, "policy.yaml: ")
		})
	}
}

func TestFind(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name, doc string
		want      []string // of pins, "from to:tag"
		skipped   []string
	}{
		{
			"literal tags of one repository",
			`frontends: [{name: a, match: [docker/dockerfile], tags: ["1", "1.7"]}]`,
			[]string{"docker/dockerfile docker/dockerfile:1", "docker/dockerfile docker/dockerfile:1.7"},
			nil,
		},
		{
			"patterns and ranges",
			`frontends: [{name: a, match: ["docker/*"], tags: ["1"]}, {name: b, match: [docker/b], tags: ["1.*", "2"]}, {name: c, match: [docker/c], versions: "1.x", tags: [latest]}, {name: d, match: [docker/d]}, {name: e, match: [docker/e, docker/f], tags: ["1"]}]`,
			[]string{"docker/b docker/b:2", "docker/c docker/c:latest"},
			[]string{
				"a: its match is a pattern", "b: its tag 1.* is a pattern",
				"c: its versions are a range; only literal tags can be pinned",
				"d: it matches every tag; only literal tags can be pinned",
				"e: it matches more than one repository",
			},
		},
		{
			"what is over, denied or has digests",
			`frontends: [{name: a, match: [docker/a], tags: ["1"], expires: 2027-01-01}, {name: b, match: [docker/b], tags: ["1", "2"]}, {name: c, match: [docker/b], tags: ["1"], action: deny}, {name: d, match: [docker/d], tags: ["1"], digests: ["` + oldDigest + `"]}]`,
			[]string{"docker/b docker/b:2"},
			[]string{
				"a: it expired on 2027-01-01", `b: rule "c" denies docker/b:1`,
				"d: its digests already determine which images may run",
			},
		},
		{
			"all aliases that lead to a repository", `
aliases: [{from: docker/a, to: docker/z}, {from: docker/b, to: docker/z}, {from: docker/a, to: docker/y}]
frontends: [{name: z, match: [docker/z], tags: ["1"]}]`,
			[]string{"docker/a docker/z:1", "docker/b docker/z:1"},
			nil,
		},
		{
			"a repository that an alias replaces", `
aliases: [{from: docker/a, to: docker/z}]
frontends: [{name: a, match: [docker/a], tags: ["1"]}]`, nil,
			[]string{"a: an alias replaces docker.io/docker/a, so the rule never sees this name"},
		},
		{
			"a folder that is shadowed for the name", `
aliases: [{from: docker/dockerfile, to: docker/x}, {from: docker/**, to: mirror.corp/**}]
frontends: [{name: a, match: [mirror.corp/dockerfile], tags: ["1"]}]`,
			[]string{"mirror.corp/dockerfile mirror.corp/dockerfile:1"},
			nil,
		},
		{
			"pins whatever the rules are", `
aliases: [{from: docker/a, to: docker/z, pins: {"3": "` + oldDigest + `"}}]`,
			[]string{"docker/a docker/z:3"},
			nil,
		},
		{
			"pins of images that builds read", `
build: {images: {pins: {"golang:1": "` + oldDigest + `"}}}
frontends: [{name: a, match: [docker/a], tags: ["1"], build: {images: {pins: {"redis:7": "` + oldDigest + `"}}}}]`,
			[]string{"docker/a docker/a:1"},
			[]string{
				"a: only the pins of aliases are updated, and build.images.pins stay as they are",
				": only the pins of aliases are updated, and build.images.pins stay as they are",
			},
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			p, err := policy.Parse("policy.yaml", []byte("version: 1\n"+tt.doc))
			require.NoError(t, err)
			pins, skipped, err := Find(p, now())
			require.NoError(t, err)
			var got, why []string
			for _, pin := range pins {
				got = append(got, pin.From+" "+pin.To+":"+pin.Tag)
			}
			for _, s := range skipped {
				why = append(why, s.Rule+": "+s.Reason)
			}
			require.Equal(t, tt.want, got)
			require.Equal(t, tt.skipped, why)
		})
	}
}

func TestResolveAsksOnceForEachTagAndReportsAllErrors(t *testing.T) {
	t.Parallel()
	pins := []Pin{
		{From: "docker/a", To: "docker/z", Tag: "1"},
		{From: "docker/b", To: "docker/z", Tag: "1"},
		{From: "docker/c", To: "docker/c", Tag: "2"},
	}
	var mu sync.Mutex
	asked := map[string]int{}
	count := func(_ context.Context, ref imageref.Reference) (digest.Digest, error) {
		mu.Lock()
		defer mu.Unlock()
		asked[ref.String()]++
		return newDigest, nil
	}
	require.NoError(t, Resolve(context.Background(), pins, count))
	require.Equal(t, map[string]int{"docker.io/docker/z:1": 1, "docker.io/docker/c:2": 1}, asked)
	for _, p := range pins {
		require.True(t, p.Moved())
		require.Equal(t, digest.Digest(newDigest), p.New)
	}
	err := Resolve(context.Background(), pins,
		func(context.Context, imageref.Reference) (digest.Digest, error) {
			return "", errors.New("gone")
		})
	require.EqualError(t, err, "docker.io/docker/z:1: gone\ndocker.io/docker/c:2: gone")
}

func TestPinsOfIncludedFilesStayWhereTheyAre(t *testing.T) {
	t.Parallel()
	doc := []byte(
		fill("version: 1\naliases: [{from: docker/a, to: docker/a, pins: {'1': '{old}'}}]\n"))
	p, err := policy.Parse("team.yaml", doc)
	require.NoError(t, err)
	pins, _, err := Find(p, now())
	require.NoError(t, err)
	require.NoError(t, Resolve(context.Background(), pins, moved))
	out, err := Edit("policy.yaml", doc, pins, true)
	require.NoError(t, err)
	require.Equal(t, string(doc), string(out), "the pin of another file was written")
}

// The example of docs/lock.md is what comes out.
func TestTheExampleOfLockMd(t *testing.T) {
	t.Parallel()
	page, err := os.ReadFile("../../docs/lock.md")
	require.NoError(t, err)
	blocks := strings.Split(string(page), "```yaml\n")
	require.Len(t, blocks, 3)
	before, _, _ := strings.Cut(blocks[1], "```\n")
	after, _, _ := strings.Cut(blocks[2], "```\n")
	p, err := policy.Parse("policy.yaml", []byte(before))
	require.NoError(t, err)
	pins, _, err := Find(p, now())
	require.NoError(t, err)
	for i := range pins {
		pins[i].New = "sha256:4edbfe3a2b0d0d3f3c5fb3e7bb4b4e3c2b7f9c0f7d3e1a2b5c6d7e8f90a1b2c3"
	}
	out, err := Edit("policy.yaml", []byte(before), pins, true)
	require.NoError(t, err)
	require.Equal(t, after, string(out))
}

// What only policy-guard applies names repositories, and no images that run.
func TestNamesForPolicyGuardAreNotPinned(t *testing.T) {
	t.Parallel()
	const doc = `version: 1
llb: allow
exports: {push: {allow: [corp.example/app]}, store: {allow: [corp.example/app]}} # kept
caches: {imports: {registry: {allow: [corp.example/cache]}}}
aliases: [{from: docker/dockerfile, to: corp.example/app, pins: {"1": "{old}"}}]
`
	got, err := locked(t, fill(doc))
	require.NoError(t, err)
	require.Equal(t, fill(strings.ReplaceAll(doc, "{old}", "{new}")), got)
}
