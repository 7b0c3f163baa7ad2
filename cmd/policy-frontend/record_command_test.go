package main

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/policy-frontend/policy-frontend/internal/record"
)

const recordDigest = "sha256:1111111111111111111111111111111111111111111111111111111111111111"

// recordFile writes a record with five builds, and a line that breaks off.
func recordFile(t *testing.T) string {
	t.Helper()
	day := time.Date(2027, 3, 1, 12, 0, 0, 0, time.UTC)
	n := 0
	entry := func(change func(e *record.Entry)) []*record.Entry {
		n++
		e := &record.Entry{
			Version: record.Version, Event: record.Ended, ID: fmt.Sprintf("%032x", n),
			Began: day.AddDate(0, 0, n), Time: day.AddDate(0, 0, n).Add(time.Second), Seconds: 1.25,
			Client: record.Client{Identity: "uid:1000", Names: []string{"uid:1000", "gid:5"}},
			Build:  fmt.Sprintf("b%d", n), Policy: record.Document{ID: "corp", Digest: recordDigest},
			Outcome: record.Done, Decision: &record.Decision{
				Verdict: "allow", Requested: "docker/dockerfile:1",
				Image: "docker.io/docker/dockerfile:1@" + recordDigest, Digest: recordDigest,
				Dispatch: "forward", Rule: "dockerfile", Layer: "policy", Reason: "it is allowed",
			},
		}
		change(e)
		begun := *e
		begun.Event, begun.Time, begun.Outcome, begun.Seconds = record.Begun, e.Began, "", 0
		begun.Decision, begun.Sources, begun.Refusals, begun.Warnings = nil, nil, nil, nil
		begun.Exported = nil
		if e.Event == record.Begun {
			return []*record.Entry{&begun}
		}
		return []*record.Entry{&begun, e}
	}
	pushed := record.Export{Type: "image", Push: true, Names: []string{"registry.example/app:1"}}
	var text strings.Builder
	for _, entries := range [][]*record.Entry{
		entry(func(e *record.Entry) {
			e.Asked.Exports = []record.Export{pushed}
			e.Exported = []record.Exported{{Export: pushed, Digest: recordDigest}}
			e.Sources = []record.Source{{
				Kind: "image", Name: "docker.io/library/busybox:1", Digest: recordDigest, Verdict: "allow",
			}}
		}),
		entry(func(e *record.Entry) {
			e.Outcome, e.Code = record.Refused, "PermissionDenied"
			e.Client = record.Client{Identity: "uri:spiffe://corp/ci", Names: []string{"spiffe://corp/ci"}}
			e.Decision.Verdict, e.Decision.Rule = "deny", "default"
			e.Decision.Requested, e.Decision.Digest = "evil/frontend:1", ""
			e.Decision.Image = "docker.io/evil/frontend:1"
			e.Refusals = []record.Refusal{{
				What: "/moby.buildkit.v1.frontend.LLBBridge/Solve", Rule: "default",
				Reason: "no rule allows evil/frontend:1",
			}}
		}),
		entry(func(e *record.Entry) { // buildx looks for what the daemon can
			e.Asked.Hidden, e.Decision = true, nil
		}),
		entry(func(e *record.Entry) {
			e.Decision.Verdict, e.Warnings = "warn", []string{"the rule expires soon"}
			e.Exported = []record.Exported{{Export: record.Export{Type: "local"}}}
			e.Omitted = map[string]int{"builds": 3}
		}),
		entry(func(e *record.Entry) { e.Event = record.Begun }),
	} {
		for _, e := range entries {
			line, err := e.Line()
			require.NoError(t, err)
			text.Write(line)
		}
	}
	text.WriteString(`{"version":1,"event":"en`)
	return write(t, "record.jsonl", text.String())
}

func TestRecordText(t *testing.T) {
	t.Parallel()
	file := recordFile(t)
	code, stdout, stderr := run("record", file)
	require.Equal(t, exitOK, code, stderr)
	require.Equal(t, file+":10: it breaks off in the middle; it is left out\n", stderr)
	require.Equal(t, `2027-03-02T12:00:00Z  done          1.2s  uid:1000  docker/dockerfile:1
    pushed to registry.example/app:1 as `+recordDigest+`
2027-03-03T12:00:00Z  refused       1.2s  uri:spiffe://corp/ci  evil/frontend:1
    refused: no rule allows evil/frontend:1 (rule default)
2027-03-05T12:00:00Z  done          1.2s  uid:1000  docker/dockerfile:1
    sent to the client (local)
    warning: the rule expires soon
2027-03-06T12:00:00Z  no end              uid:1000  no frontend
`, stdout)
}

func TestRecordChoosesBuilds(t *testing.T) {
	t.Parallel()
	file := recordFile(t)
	for flags, want := range map[string]string{
		"--lookups":          "b1 b2 b3 b4 b5",
		"--since 2027-03-05": "b4 b5",
		"--since 2027-03-02T12:00:00Z --until 2027-03-03": "b1",
		"--client uid:1000":             "b1 b4 b5",
		"--client gid:5 --outcome done": "b1 b4",
		"--client spiffe://corp/*":      "b2",
		"--outcome refused":             "b2",
		"--outcome broken-off":          "",
		"--verdict warn":                "b4",
		"--rule default":                "b2",
		"--rule dockerfile":             "b1 b4",
		"--frontend docker/*":           "b1 b4",
		"--source busybox":              "b1",
		"--source sha256:1111":          "b1",
		"--source nothing":              "",
	} {
		args := append([]string{"record", "--format", "json"}, strings.Fields(flags)...)
		code, stdout, stderr := run(append(args, file, file)...)
		require.Equal(t, exitOK, code, stderr)
		var builds []string
		for line := range strings.Lines(stdout) {
			e, err := record.Parse([]byte(line))
			require.NoError(t, err)
			builds = append(builds, e.Build)
		}
		require.Equal(t, want, strings.Join(builds, " "), flags)
	}
	f := recordFlags{since: "36h", lookups: true}
	keeps, err := f.filter(time.Date(2027, 3, 3, 12, 0, 0, 0, time.UTC))
	require.NoError(t, err)
	require.True(t, keeps(&record.Entry{Began: time.Date(2027, 3, 2, 0, 0, 0, 0, time.UTC)}))
	require.False(t, keeps(&record.Entry{Began: time.Date(2027, 3, 1, 23, 0, 0, 0, time.UTC)}))
}

func TestRecordSum(t *testing.T) {
	t.Parallel()
	file := recordFile(t)
	code, stdout, _ := run("record", "--sum", file)
	require.Equal(t, exitOK, code)
	require.Equal(t, `builds: 4, with warnings: 1
outcomes:
       2  done
       1  no end
       1  refused
clients:
       3  uid:1000
       1  uri:spiffe://corp/ci
frontends:
       2  docker/dockerfile:1
       1  evil/frontend:1
       1  no frontend
refusals by rule:
       1  default
3 more builds were refused at once and have no line
`, stdout)
	code, stdout, _ = run("record", "--sum", "--format", "json", file)
	require.Equal(t, exitOK, code)
	require.JSONEq(t, `{"builds": 4, "outcomes": {"done": 2, "": 1, "refused": 1},
		"clients": {"uid:1000": 3, "uri:spiffe://corp/ci": 1},
		"frontends": {"docker/dockerfile:1": 2, "evil/frontend:1": 1, "no frontend": 1},
		"refusals": {"default": 1}, "warned": 1, "omitted": 3}`, stdout)
}

func TestRecordAsksAnotherPolicy(t *testing.T) {
	t.Parallel()
	file := recordFile(t)
	const dockerfile = "version: 1\nfrontends: [{name: d, match: [docker/dockerfile]}]\n"
	const pushes = "exports: {push: {allow: [registry.example/**]}}\n"
	same := write(t, "same.yaml", dockerfile+pushes)
	code, stdout, stderr := run("record", "--policy", same, file)
	require.Equal(t, exitOK, code, stderr)
	require.Equal(t, `4 builds: 0 would be refused that weren't, 1 that were would be again, 0 that were perhaps not
not asked about, in 1 builds: a frontend: the build ended before one was chosen, or needed none
`, stdout)

	strict := write(t, "strict.yaml", dockerfile+"build: {images: {allow: [mirror.example/**]}}\n")
	code, stdout, _ = run("record", "--policy", strict, file)
	require.Equal(t, exitRefused, code)
	require.Equal(t, `2027-03-02T12:00:00Z  done          1.2s  uid:1000  docker/dockerfile:1
    would be refused: the policy refuses the image busybox:1: it allows only mirror.example/** (build.images.allow) (rule build)
    would be refused: the policy refuses pushing to registry.example/app:1 (exports.push) (rule exports)
4 builds: 1 would be refused that weren't, 1 that were would be again, 0 that were perhaps not
not asked about, in 1 builds: a frontend: the build ended before one was chosen, or needed none
`, stdout)
	code, stdout, _ = run("record", "--policy", strict, "--format", "json", file)
	require.Equal(t, exitRefused, code)
	lines := strings.Split(strings.TrimSpace(stdout), "\n")
	require.Len(t, lines, 2)
	var build struct {
		Build, Verdict string
		Refusals       []map[string]string
		Unknown        []string
	}
	require.NoError(t, json.Unmarshal([]byte(lines[0]), &build))
	require.Equal(t, "b1", build.Build)
	require.Equal(t, "deny", build.Verdict)
	require.Len(t, build.Refusals, 2)
	require.JSONEq(t, `{"sum": {"builds": 4, "refused": 1, "undecidable": 0, "stillRefused": 1,
		"noLongerRefused": 0, "unknown": {
		"a frontend: the build ended before one was chosen, or needed none": 1}}}`, lines[1])

	moved := write(t, "moved.yaml", "version: 1\naliases: [{from: docker/dockerfile, to: "+
		"corp/dockerfile}]\nfrontends: [{name: d, match: [corp/dockerfile], digests: ['"+recordDigest+
		"']}]\n"+pushes)
	code, stdout, _ = run("record", "--policy", moved, "--outcome", "done", file)
	require.Equal(t, exitUndecidable, code)
	require.Contains(t, stdout, "2 depend on a digest that isn't recorded")
	require.Contains(t, stdout, "can't be said without the digest on which the answer to the frontend "+
		"docker/dockerfile:1 depends")
}

func TestRecordOfWhatIsNoRecord(t *testing.T) {
	t.Parallel()
	file := recordFile(t)
	data, err := os.ReadFile(file)
	require.NoError(t, err)
	bad := write(t, "bad.jsonl", "no\n"+string(data))
	code, stdout, stderr := run("record", "--outcome", "refused", bad)
	require.Equal(t, exitUsage, code)
	require.Contains(t, stderr, bad+":1: it isn't an entry")
	require.Contains(t, stdout, "evil/frontend:1", "the rest is printed")
	policy := write(t, "p.yaml", testPolicy)
	for _, args := range [][]string{
		{"record"},
		{"record", filepath.Join(t.TempDir(), "missing")},
		{"record", t.TempDir()},
		{"record", "--since", "yesterday", file},
		{"record", "--since=-1h", file},
		{"record", "--client", "alice", file},
		{"record", "--frontend", "a//b", file},
		{"record", "--outcome", "fine", file},
		{"record", "--verdict", "maybe", file},
		{"record", "--sum", "--policy", policy, file},
		{"record", "--policy", file, file},
		{"record", "--policy", filepath.Join(t.TempDir(), "missing"), file},
		{"record", "-", "-"},
		{"record", "--format", "xml", file},
	} {
		code, _, stderr := run(args...)
		require.Equal(t, exitUsage, code, args)
		require.NotEmpty(t, stderr, args)
	}
}
