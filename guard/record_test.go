package guard

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	controlapi "github.com/moby/buildkit/api/services/control"
	"github.com/moby/buildkit/client/llb"
	"github.com/moby/buildkit/exporter/containerimage/exptypes"
	gwpb "github.com/moby/buildkit/frontend/gateway/pb"
	"github.com/moby/buildkit/solver/pb"
	"github.com/moby/buildkit/sourcepolicy/policysession"
	"github.com/stretchr/testify/require"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/policy-frontend/policy-frontend/internal/record"
	"github.com/policy-frontend/policy-frontend/internal/safetext"
	"github.com/policy-frontend/policy-frontend/policy"
	"github.com/policy-frontend/policy-frontend/policy/clients"
)

// recorded gives a guard a record, and returns its path.
func recorded(t *testing.T, g *Guard) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "record")
	recordInto(t, g, path)
	return path
}

func recordInto(t *testing.T, g *Guard, path string) {
	t.Helper()
	file, err := OpenRecord(path)
	require.NoError(t, err)
	t.Cleanup(file.close)
	g.recorder, err = newRecorder(file, g.log, g.builds.ending)
	require.NoError(t, err)
}

// lines returns the entries of a record, and fails for a line that isn't one.
func lines(t *testing.T, path string) []*record.Entry {
	t.Helper()
	data, err := os.ReadFile(path)
	require.NoError(t, err)
	r := record.NewReader(bytes.NewReader(data))
	var all []*record.Entry
	for {
		e, err := r.Next()
		if errors.Is(err, io.EOF) {
			return all
		}
		require.NoError(t, err)
		all = append(all, e)
	}
}

// ended waits for the last line of a record to be about the end of a build, and returns it.
func ended(t *testing.T, path string) *record.Entry {
	t.Helper()
	var last *record.Entry
	require.Eventually(t, func() bool {
		all := lines(t, path)
		if len(all) > 0 {
			last = all[len(all)-1]
		}
		return last != nil && last.Event == record.Ended
	}, soon, time.Millisecond)
	return last
}

// direct is a build that asks for a frontend as it begins.
func direct(source string, pairs ...string) *controlapi.SolveRequest {
	return &controlapi.SolveRequest{
		Ref: "b", Session: "s1", Frontend: "gateway.v0",
		FrontendAttrs: asking(source, pairs...).FrontendOpt,
	}
}

func TestTheRecordOfABuild(t *testing.T) {
	t.Parallel()
	d, g := newDaemonFor(t, forwarding+
		"id: corp\nexports: {push: {allow: [registry.example/app]}, annotations: [org.*]}\n", "")
	d.ends = true
	d.exporterResponse = map[string]string{exptypes.ExporterImageDigestKey: fakeDigest}
	path := recorded(t, g)
	who := caller{id: "uid:7", client: clients.Peer(7, 8)}
	req := direct("docker/dockerfile:1", "build-arg:TOKEN", "hunter22", "label:a", "b", "platform",
		"linux/amd64", "target", "release")
	req.Exporters = []*controlapi.Exporter{{Type: "image", Attrs: map[string]string{
		"name": "registry.example/app:1,registry.example/app:2", "push": "true",
		"annotation.org.a": "secret-value",
	}}}
	req.Cache = &controlapi.CacheOptions{
		Exports: []*controlapi.CacheOptionsEntry{{Type: "inline"}},
	}
	_, err := controlapi.NewControlClient(dial(t, listen(t, g.Server(known(who))))).Solve(of(t), req)
	require.NoError(t, err)

	all := lines(t, path)
	require.Len(t, all, 2)
	begun, end := all[0], all[1]
	require.Equal(t, record.Begun, begun.Event)
	require.Equal(t, begun.ID, end.ID)
	require.Equal(t, begun.Asked, end.Asked)
	require.Equal(t, begun.Client, end.Client)
	require.Nil(t, begun.Decision)
	require.False(t, end.Time.Before(begun.Time))
	require.Positive(t, end.Seconds)
	require.Equal(t, record.Client{Identity: "uid:7", Names: []string{"uid:7", "gid:8"}}, end.Client)
	require.Equal(t, "corp", end.Policy.ID)
	require.Equal(t, g.policy.current().Digest().String(), end.Policy.Digest)
	export := record.Export{
		Type: "image", Push: true, Names: []string{"registry.example/app:1", "registry.example/app:2"},
		Annotations: []string{"org.a"},
	}
	require.Equal(t, record.Asked{
		Frontend: "gateway.v0", Platform: "linux/amd64", Target: "release",
		Options: []string{"build-arg:TOKEN", "label:a", "platform", "source", "target"},
		Exports: []record.Export{export}, Caches: []record.Cache{{Type: "inline", Export: true}},
	}, end.Asked)
	require.Equal(t, record.Done, end.Outcome)
	require.Equal(t, &record.Decision{
		Verdict: "allow", Requested: "docker/dockerfile:1",
		Image: "docker.io/docker/dockerfile:1@" + fakeDigest, Digest: fakeDigest, Dispatch: "forward",
		Rule: "dockerfile", Layer: "policy", Reason: end.Decision.Reason,
	}, end.Decision)
	require.Equal(t, []record.Exported{{Export: export, Digest: fakeDigest}}, end.Exported)
	require.Empty(t, end.Refusals)
	require.Empty(t, end.Omitted)
	text, err := os.ReadFile(path)
	require.NoError(t, err)
	for _, secret := range []string{"hunter22", "secret-value"} {
		require.NotContains(t, string(text), secret)
	}
	info, err := os.Stat(path)
	require.NoError(t, err)
	require.Equal(t, os.FileMode(recordMode), info.Mode().Perm())
}

func TestHowABuildEnds(t *testing.T) {
	t.Parallel()
	const warned = "version: 1\nmode: warn\nfrontends: [{name: dockerfile, match: [docker/dockerfile]}]\n"
	for name, tc := range map[string]struct {
		policy  string
		req     *controlapi.SolveRequest
		fails   error // of the frontend
		outcome record.Outcome
		verdict string
		code    codes.Code
		refused string // in the reason of the only refusal
		rule    string
		begins  bool
	}{
		"with success": {
			forwarding, direct("docker/dockerfile:1"), nil, record.Done, "allow", 0, "", "", true,
		},
		"with a warning": {
			warned, direct("evil/frontend:1"), nil, record.Done, "warn", 0, "", "", true,
		},
		"with an error": {
			forwarding, direct("docker/dockerfile:1"), status.Error(codes.NotFound, "hunter22"),
			record.Failed, "allow", codes.NotFound, "", "", true,
		},
		"with a refused frontend": {
			forwarding, direct("evil/frontend:1"), nil, record.Refused, "deny", codes.PermissionDenied,
			"no rule allows evil/frontend:1", "default", true,
		},
		"with a refused option": {
			forwarding, direct("docker/dockerfile:1", "cgroup-parent", "/"), nil, record.Refused, "",
			codes.PermissionDenied, "of the option cgroup-parent", GuardsRule, false,
		},
		"before it begins": {
			forwarding, &controlapi.SolveRequest{
				Ref: "b", Exporters: []*controlapi.Exporter{{
					Type: "image", Attrs: map[string]string{"name": "corp.example/a", "push": "true"},
				}},
			}, nil, record.Refused, "", codes.PermissionDenied, "refuses pushing to corp.example/a:latest",
			"exports", false,
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d, g := newDaemonFor(t, tc.policy, "")
			d.ends, d.frontendFails = true, tc.fails
			path := recorded(t, g)
			_, err := controlapi.NewControlClient(as(t, g, "alice")).Solve(of(t), tc.req)
			require.Equal(t, tc.outcome == record.Done, err == nil)
			all := lines(t, path)
			require.Len(t, all, map[bool]int{true: 2, false: 1}[tc.begins])
			e := all[len(all)-1]
			require.Equal(t, record.Ended, e.Event)
			require.Equal(t, tc.outcome, e.Outcome)
			if tc.verdict == "" {
				require.Nil(t, e.Decision)
			} else {
				require.Equal(t, tc.verdict, e.Decision.Verdict)
			}
			require.Equal(t, tc.verdict == "warn", len(e.Warnings) > 0)
			if tc.outcome == record.Done {
				require.Empty(t, e.Code)
			} else if tc.refused == "" {
				require.Equal(t, tc.code.String(), e.Code)
			}
			if tc.refused == "" {
				require.Empty(t, e.Refusals)
			} else {
				require.Len(t, e.Refusals, 1)
				require.Contains(t, e.Refusals[0].Reason, tc.refused)
				require.Equal(t, tc.rule, e.Refusals[0].Rule)
			}
			text, err := os.ReadFile(path)
			require.NoError(t, err)
			require.NotContains(t, string(text), "hunter22")
		})
	}
}

// Whoever reads a record leaves out what only looks something up.
func TestABuildThatExportsIsNotHiddenInTheRecord(t *testing.T) {
	t.Parallel()
	for name, exports := range map[string]bool{
		"it exports": true, "it only looks something up": false,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d, g := newDaemon(t)
			path := recorded(t, g)
			req := &controlapi.SolveRequest{Ref: "b", Internal: true}
			if exports {
				req.Exporters = []*controlapi.Exporter{{Type: "local"}}
			}
			begunAs(t, d, g, req)
			all := lines(t, path)
			require.Len(t, all, 1)
			require.Equal(t, record.Begun, all[0].Event)
			require.Equal(t, !exports, all[0].Asked.Hidden)
		})
	}
}

func TestABuildThatItsClientEndsIsCanceled(t *testing.T) {
	t.Parallel()
	d, g := newDaemon(t)
	path := recorded(t, g)
	ctx, cancel := context.WithCancel(of(t))
	conn := as(t, g, "alice")
	go func() {
		_, _ = controlapi.NewControlClient(conn).Solve(ctx, &controlapi.SolveRequest{Ref: "b"})
	}()
	d.await(t, "Solve")
	require.Len(t, lines(t, path), 1)
	cancel()
	require.Equal(t, record.Canceled, ended(t, path).Outcome)
}

// ofAlice opens the record of a build that alice asks for.
func ofAlice(g *Guard) *buildRecord {
	c := &call{guard: g, who: "alice"}
	return c.openRecord(&controlapi.SolveRequest{Ref: "b"}, g.policy.current())
}

// A client may learn from another call that its build has ended, and end its own.
func TestABuildThatBreaksHasFailedAlthoughItsClientEndsItToo(t *testing.T) {
	t.Parallel()
	gone, cancel := context.WithCancel(t.Context())
	cancel()
	for name, tc := range map[string]struct {
		err  error
		want record.Outcome
	}{
		"the daemon was lost":  {status.Error(codes.Unavailable, "lost"), record.Failed},
		"the guard ended it":   {brokenError("why").status(), record.Failed},
		"the client ended it":  {errGone, record.Canceled},
		"a command had failed": {status.Error(codes.Unknown, "exit code: 1"), record.Canceled},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, g := newDaemon(t)
			path := recorded(t, g)
			b := ofAlice(g)
			require.NoError(t, b.begin(g.memory.open("alice")))
			b.end(gone, tc.err)
			require.Equal(t, tc.want, ended(t, path).Outcome)
		})
	}
}

// A panic ends a build as an error does.
func TestABuildThatPanicsIsRecorded(t *testing.T) {
	t.Parallel()
	_, g := newDaemon(t)
	path := recorded(t, g)
	func() {
		defer func() { require.NotNil(t, recover()) }()
		b := ofAlice(g)
		defer func() { b.end(t.Context(), nil) }()
		require.NoError(t, b.begin(g.memory.open("alice")))
		panic("x")
	}()
	e := ended(t, path)
	require.Equal(t, record.Failed, e.Outcome)
	require.Equal(t, "Internal", e.Code)
}

// question is the daemon's question about a source.
func question(id string) *policysession.CheckPolicyRequest {
	return &policysession.CheckPolicyRequest{
		Source: &gwpb.ResolveSourceMetaResponse{Source: &pb.SourceOp{Identifier: id}},
	}
}

func TestTheSourcesOfABuildAreRecorded(t *testing.T) {
	t.Parallel()
	const mirrored = `version: 1
frontends:
  - name: dockerfile
    match: [docker/dockerfile]
llb: allow
build:
  images:
    allow: ["mirror.example/**"]
    convert: [{from: "docker.io/library/**", to: "mirror.example/**"}]
  http: {allow: ["https://files.example/**"]}
`
	d, g := newDaemonFor(t, mirrored, "")
	path := recorded(t, g)
	c, ctx := begunBefore(t, d, g)
	_, err := c.Solve(ctx, solving(definition(t, llb.Image("mirror.example/base:1"))))
	require.NoError(t, err)
	b, ask := asker(ctx, t, g)
	answer := func(id string) {
		t.Helper()
		_, _, err := b.answer(ctx, question(id))
		require.NoError(t, err)
	}
	const other = "sha256:2222222222222222222222222222222222222222222222222222222222222222"
	answer("docker-image://docker.io/library/busybox:1")            // is replaced
	answer("docker-image://mirror.example/busybox:1")               // what replaces it
	answer("docker-image://mirror.example/busybox:1@" + fakeDigest) // and its digest
	answer("docker-image://mirror.example/busybox:1@" + other)      // of another platform
	answer("docker-image://mirror.example/busybox:1@" + other)
	require.Empty(t, ask("https://files.example/a?token=hunter22"))
	require.Empty(t, ask("https://user:hunter22@files.example/b", pb.AttrHTTPChecksum, other))
	require.NotEmpty(t, ask("https://evil.example/c?token=hunter22"))
	require.NotEmpty(t, ask("https://evil.example/c?token=hunter22"))
	require.Equal(t, "from s1 ", ask("local://context"))
	require.Empty(t, ask("git://git.example/a.git#main", pb.AttrGitSkipSubmodules, "true",
		pb.AttrAuthTokenSecret, "deploy"))
	b.cancel(brokenError("test"))
	e := ended(t, path)
	const busybox, mirror = "docker.io/library/busybox:1", "mirror.example/busybox:1"
	require.Equal(t, []record.Source{
		{Kind: "image", Name: busybox, Read: mirror, Digest: fakeDigest, Verdict: "allow"},
		{Kind: "image", Name: busybox, Read: mirror, Digest: other, Verdict: "allow"},
		{Kind: "http", Name: "https://files.example/a?***", Verdict: "allow"},
		{Kind: "http", Name: "https://***@files.example/b", Checksum: other, Verdict: "allow"},
		{Kind: "http", Name: "https://evil.example/c?***", Verdict: "deny"},
		{Kind: "local", Name: "context", Verdict: "allow"},
		{
			Kind: "git", Name: "https://git.example/a.git", Ref: "main", Secrets: []string{"deploy"},
			Verdict: "allow",
		},
	}, e.Sources)
	require.Len(t, e.Refusals, 2)
	require.Equal(t, aSource, e.Refusals[0].What)
	text, err := os.ReadFile(path)
	require.NoError(t, err)
	require.NotContains(t, string(text), "hunter22")
}

// What the guard reads to find out what a client asks for is marked, unless the build wants it too.
func TestWhatTheGuardItselfReadsIsRecorded(t *testing.T) {
	t.Parallel()
	_, g := newDaemon(t)
	recorded(t, g)
	b := ofAlice(g)
	local := &pb.SourceOp{Identifier: "local://dockerfile"}
	tag := &pb.SourceOp{Identifier: "docker-image://docker.io/docker/dockerfile:1"}
	runs := &pb.SourceOp{
		Identifier: tag.Identifier + "@" + fakeDigest,
		Attrs:      map[string]string{pb.AttrImageRecordType: "frontend"},
	}
	b.read(local, nil, true, nil)
	b.read(tag, nil, true, nil)
	b.read(runs, nil, false, nil)
	name := "docker.io/docker/dockerfile:1"
	require.Equal(t, []record.Source{
		{Kind: "local", Name: "dockerfile", For: "request", Verdict: "allow"},
		{Kind: "image", Name: name, Digest: fakeDigest, For: "frontend", Verdict: "allow"},
	}, b.entry.Sources)
	b.read(local, nil, false, nil)
	require.Empty(t, b.entry.Sources[0].For)
	b.read(&pb.SourceOp{Identifier: tag.Identifier}, nil, false, nil)
	require.Equal(t, "frontend", b.entry.Sources[1].For)
}

// Values of build-args can be in the words of a refusal.
func TestReasonsHaveNoValuesOfBuildArgs(t *testing.T) {
	t.Parallel()
	d, g := newDaemonFor(t, forwarding+"dispatch: forward\nbuild: {http: deny}\n", "corp/image:1")
	d.ends = true
	path := recorded(t, g)
	_, err := controlapi.NewControlClient(as(t, g, "alice")).Solve(of(t),
		direct("docker/dockerfile:1", "build-arg:SOURCE_DATE_EPOCH", "hunter22", "build-arg:A", "hunter"))
	require.ErrorContains(t, err, "hunter22")
	text, err := os.ReadFile(path)
	require.NoError(t, err)
	require.NotContains(t, string(text), "hunter22")
	require.Contains(t, ended(t, path).Refusals[0].Reason, "SOURCE_DATE_EPOCH=*** ")
}

// Messages repeat a value in another form: escaped, and cut.
func TestReasonsHaveNoPartOfALongValue(t *testing.T) {
	t.Parallel()
	for name, value := range map[string]string{
		"a long token":  strings.Repeat("0123456789", 50),
		"a key":         "-----BEGIN KEY-----\nc2VjcmV0IHNlY3JldA==\n-----END KEY-----\n",
		"a backslash":   `pass\word`,
		"quotes":        `pass"word"`,
		"other letters": strings.Repeat("é", 300),
	} {
		_, g := newDaemon(t)
		recorded(t, g)
		b := ofAlice(g)
		b.hideValue(value)
		for _, text := range []string{value, safetext.Quote(value), safetext.Plain(value)} {
			got := b.reason("build-arg:TOKEN=" + text + " isn't allowed")
			require.NotContains(t, got, value[:8], name)
			require.Contains(t, got, "isn't allowed", name)
		}
	}
}

// Where there is no memory for the values, there are no reasons.
func TestValuesForWhichThereIsNoMemory(t *testing.T) {
	t.Parallel()
	_, g := newDaemon(t)
	path := recorded(t, g)
	g.memory = newMemory(MinMemory)
	b := ofAlice(g)
	require.NoError(t, b.begin(g.memory.open("alice")))
	other := g.memory.open("alice")
	for size := 1 << 20; size > 0; size /= 2 {
		for ok := true; ok; {
			_, ok = other.tryTake(size)
		}
	}
	b.mu.Lock()
	require.Equal(t, "of hunter22", b.reason("of hunter22"))
	b.mu.Unlock()
	b.asks(asking("docker/dockerfile:1", "build-arg:A", "hunter22"))
	b.mu.Lock()
	require.Equal(t, safetext.Hidden, b.reason("of hunter22"))
	b.mu.Unlock()
	other.close()
	b.end(t.Context(), errors.New("x"))
	require.Positive(t, ended(t, path).Omitted["options"])
}

func TestNoBuildBeginsThatCanNotBeRecorded(t *testing.T) {
	t.Parallel()
	d, g := newDaemon(t)
	d.ends = true
	disk := &fullDisk{}
	log, text := textLog()
	g.log = log
	var err error
	g.recorder, err = newRecorder(RecordTo(disk), log, g.builds.ending)
	require.NoError(t, err)
	client := controlapi.NewControlClient(as(t, g, "alice"))
	build := func() error {
		_, err := client.Solve(of(t), direct("docker/dockerfile:1"))
		return err
	}
	require.NoError(t, build())
	require.NotContains(t, text.String(), "the record")

	calls := len(d.all())
	disk.fill(10)
	for range 3 {
		err = build()
		requireCode(t, codes.Unavailable, err)
		require.ErrorContains(t, err, "policy-guard can't write its record")
	}
	for _, call := range d.all()[calls:] { // it is asked only for its version
		require.Contains(t, call.method, "Info")
	}
	require.Zero(t, g.Builds())
	require.ErrorContains(t, g.Ready(t.Context()), "the record can't be written: no space")
	const full = "the record can't be written, so no build begins"
	require.Equal(t, 1, strings.Count(text.String(), full))

	disk.fill(-1)
	require.NoError(t, g.Ready(t.Context()))
	require.Equal(t, 1, strings.Count(text.String(), "the record can be written again"))
	require.NoError(t, build())
	var whole, torn int
	for r := record.NewReader(strings.NewReader(disk.text())); ; {
		e, err := r.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			require.ErrorIs(t, err, record.ErrTorn)
			torn++
			continue
		}
		require.Contains(t, []record.Outcome{"", record.Done}, e.Outcome)
		whole++
	}
	require.Equal(t, 1, torn, disk.text())
	require.Equal(t, 2+2, whole, "two builds, and not those that couldn't begin")
}

// The end of a build that had begun before the disk was full isn't lost.
func TestTheEndOfABuildIsWrittenLater(t *testing.T) {
	t.Parallel()
	_, g := newDaemon(t)
	disk := &fullDisk{}
	var err error
	g.recorder, err = newRecorder(RecordTo(disk), g.log, g.builds.ending)
	require.NoError(t, err)
	b := ofAlice(g)
	require.NoError(t, b.begin(g.memory.open("alice")))
	disk.fill(0)
	b.end(t.Context(), errors.New("x"))
	require.Error(t, g.recorder.check())
	disk.fill(-1)
	require.NoError(t, g.recorder.check())
	require.Equal(t, 1, strings.Count(disk.text(), `"ended"`))
	require.NoError(t, g.recorder.check())
	require.Equal(t, 1, strings.Count(disk.text(), `"ended"`))
}

// fullDisk takes what is written as long as there is room.
type fullDisk struct {
	mu    sync.Mutex
	bytes bytes.Buffer
	full  bool
	room  int // if it is full
}

// fill leaves room for some bytes; -1 for any.
func (d *fullDisk) fill(room int) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.full, d.room = room >= 0, room
}

func (d *fullDisk) text() string {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.bytes.String()
}

func (d *fullDisk) Write(p []byte) (int, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if !d.full || len(p) <= d.room {
		return d.bytes.Write(p)
	}
	n, _ := d.bytes.Write(p[:d.room])
	d.room -= n
	return n, errors.New("no space left on device")
}

func TestTheRecordFollowsARotation(t *testing.T) {
	t.Parallel()
	d, g := newDaemon(t)
	path := recorded(t, g)
	conn := as(t, g, "alice")
	ctx, cancel := context.WithCancel(of(t))
	go func() {
		_, _ = controlapi.NewControlClient(conn).Solve(ctx, &controlapi.SolveRequest{Ref: "long"})
	}()
	d.await(t, "Solve")
	require.NoError(t, os.Rename(path, path+".1"))
	// One that is refused writes a line too.
	_, err := controlapi.NewControlClient(conn).Solve(of(t),
		&controlapi.SolveRequest{Ref: "other", SourcePolicySession: "x"})
	requireCode(t, codes.PermissionDenied, err)
	old, all := lines(t, path+".1"), lines(t, path)
	require.Len(t, old, 1)
	require.Len(t, all, 2)
	require.Equal(t, old[0], all[0], "a restarted guard reads the new file alone")
	require.Equal(t, "other", all[1].Build)

	require.NoError(t, os.Rename(path, path+".2"))
	require.NoError(t, g.ReopenRecord())
	require.Len(t, lines(t, path), 1)
	require.NoError(t, os.Truncate(path, 0))
	require.NoError(t, g.ReopenRecord())
	require.Len(t, lines(t, path), 1)
	require.NoError(t, os.Remove(path))
	cancel()
	require.Eventually(t, func() bool {
		_, err := os.Stat(path)
		return err == nil && len(lines(t, path)) == 1
	}, soon, time.Millisecond)
	require.Equal(t, "long", ended(t, path).Build)
}

// While the file can't be opened, nothing piles up.
func TestARecordWhoseFolderIsGone(t *testing.T) {
	t.Parallel()
	d, g := newDaemon(t)
	folder := filepath.Join(t.TempDir(), "folder")
	require.NoError(t, os.Mkdir(folder, 0o700))
	path := filepath.Join(folder, "record")
	recordInto(t, g, path)
	begunAs(t, d, g, &controlapi.SolveRequest{Ref: "b", Session: "s1"})
	require.NoError(t, os.RemoveAll(folder))
	for range 3 {
		require.Error(t, g.ReopenRecord())
	}
	require.Empty(t, g.recorder.owed)
	require.NoError(t, os.Mkdir(folder, 0o700))
	require.NoError(t, g.ReopenRecord())
	require.Len(t, lines(t, path), 1)
}

func TestBuildsThatWereBrokenOff(t *testing.T) {
	t.Parallel()
	d, g := newDaemon(t)
	path := recorded(t, g)
	begunAs(t, d, g, &controlapi.SolveRequest{Ref: "b", Session: "s1"})
	before := lines(t, path)
	require.Len(t, before, 1)
	g.recorder.file.close() // as if it was killed
	f, err := os.OpenFile(path, os.O_APPEND|os.O_WRONLY, 0)
	require.NoError(t, err)
	_, err = f.WriteString(`{"version":1,"event":"en`)
	require.NoError(t, err)
	require.NoError(t, f.Close())

	log, text := textLog()
	_, next := newDaemon(t)
	next.log = log
	recordInto(t, next, path)
	require.Contains(t, text.String(), "builds in the record were broken off\" builds=1")
	data, err := os.ReadFile(path)
	require.NoError(t, err)
	written := strings.Split(strings.TrimSpace(string(data)), "\n")
	require.Len(t, written, 3)
	e, err := record.Parse([]byte(written[2]))
	require.NoError(t, err)
	require.Equal(t, record.BrokenOff, e.Outcome)
	want := *before[0]
	want.Event, want.Outcome, want.Time = e.Event, e.Outcome, e.Time
	require.Equal(t, &want, e)

	next.recorder.file.close()
	_, third := newDaemon(t)
	recordInto(t, third, path)
	again, err := os.ReadFile(path)
	require.NoError(t, err)
	require.Equal(t, string(data), string(again), "it was broken off only once")
}

func TestOneGuardHasARecord(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "record")
	file, err := OpenRecord(path)
	require.NoError(t, err)
	_, err = OpenRecord(path)
	require.ErrorContains(t, err, "another program writes its record to "+path)
	file.close()
	file, err = OpenRecord(path)
	require.NoError(t, err)
	file.close()
	_, err = OpenRecord(filepath.Join(path, "x"))
	require.Error(t, err)
}

func TestOnlyTheLastPartOfARecordIsRead(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "record")
	of := func(id string) string {
		e := &record.Entry{
			Version: 1, Event: record.Begun, ID: strings.Repeat(id, 32), Time: time.Unix(1, 0),
			Began: time.Unix(1, 0), Client: record.Client{Identity: "x"},
			Policy: record.Document{Digest: fakeDigest},
		}
		line, err := e.Line()
		require.NoError(t, err)
		return string(line)
	}
	filler := strings.Repeat(strings.Repeat("\n", 1<<20), maxTail>>20)
	require.NoError(t, os.WriteFile(path, []byte(of("a")+filler+of("b")), 0o600))
	file, err := OpenRecord(path)
	require.NoError(t, err)
	defer file.close()
	open, err := file.unfinished()
	require.NoError(t, err)
	require.Len(t, open, 1)
	require.Equal(t, strings.Repeat("b", 32), open[0].ID)
}

// A client that has builds refused as fast as it can doesn't fill the disk.
func TestRefusedBuildsAreRecordedUpToABound(t *testing.T) {
	t.Parallel()
	_, g := newDaemon(t)
	path := recorded(t, g)
	now := time.Now()
	g.recorder.early.clock = func() time.Time { return now }
	client := controlapi.NewControlClient(as(t, g, "alice"))
	refuse := func() {
		_, err := client.Solve(of(t), &controlapi.SolveRequest{Ref: "b", SourcePolicySession: "x"})
		requireCode(t, codes.PermissionDenied, err)
	}
	for range maxRefusalLines + 30 {
		refuse()
	}
	require.Len(t, lines(t, path), maxRefusalLines)
	now = now.Add(refusalPeriod)
	refuse()
	require.Equal(t, map[string]int{"builds": 30}, ended(t, path).Omitted)

	// A build that begins says so too.
	for range maxRefusalLines + 5 {
		refuse()
	}
	g.recorder.early.clock = time.Now
	_, err := controlapi.NewControlClient(as(t, g, "bob")).Solve(of(t), direct("docker/dockerfile:1"))
	_ = err // whatever becomes of it
	require.NotContains(t, ended(t, path).Omitted, "builds", "another client's aren't its")
	_, err = client.Solve(of(t), direct("docker/dockerfile:1"))
	_ = err
	require.Equal(t, 6, ended(t, path).Omitted["builds"])
}

func TestTheRecordOfABuildIsBounded(t *testing.T) {
	t.Parallel()
	_, g := newDaemon(t)
	path := recorded(t, g)
	b := ofAlice(g)
	a := g.memory.open("alice")
	require.NoError(t, b.begin(a))
	const many = 20_000
	for i := range many {
		b.read(&pb.SourceOp{
			Identifier: fmt.Sprintf("https://files.example/%s/%d", strings.Repeat("<", 100), i),
		}, nil, false, nil)
		b.refused(aSource, errors.New(strings.Repeat("\\", 100)))
	}
	b.end(t.Context(), errors.New("x"))
	e := ended(t, path)
	require.Equal(t, many, len(e.Sources)+e.Omitted["sources"])
	require.Equal(t, many, len(e.Refusals)+e.Omitted["refusals"])
	require.Greater(t, len(e.Sources), 2000)
	require.Greater(t, len(e.Refusals), 2000)
	info, err := os.Stat(path)
	require.NoError(t, err)
	require.Less(t, info.Size(), int64(record.MaxLine))
	require.Positive(t, g.Memory())
	a.close()
	require.Zero(t, g.Memory())
}

// A command chooses how much it requests, and could fill the record before what it is refused.
func TestACommandPushesNothingOutOfTheRecordOfABuild(t *testing.T) {
	t.Parallel()
	const many, warnings = 1000, 50
	long := strings.Repeat("a", 3900)
	url := func(i int) string { return fmt.Sprintf("https://files.example/%d/%s", i, long) }
	for name, tc := range map[string]struct {
		fills   func(b *buildRecord, i int)
		omitted string
		leaves  func(b *buildRecord) // what there is still room for
		want    func(e *record.Entry) int
		least   int
	}{
		"requests leave room for warnings": {
			func(b *buildRecord, i int) { b.download(url(i), policy.Allow, "r") }, downloadsList,
			func(b *buildRecord) {
				for i := range warnings {
					b.inherited([]string{url(i)})
				}
			}, func(e *record.Entry) int { return len(e.Warnings) }, warnings - 10,
		},
		"warnings leave room for refused sources": {
			func(b *buildRecord, i int) { b.inherited([]string{url(i)}) }, warningsList,
			func(b *buildRecord) { b.refused(aSource, errors.New(long)) },
			func(e *record.Entry) int { return len(e.Refusals) }, 1,
		},
		"refused sources leave room for a refused call of the client": {
			func(b *buildRecord, _ int) { b.refused(aSource, errors.New(long)) }, refusalsList,
			func(b *buildRecord) { b.refused(bridge+"Solve", errors.New(long)) },
			func(e *record.Entry) int {
				if e.Refusals[len(e.Refusals)-1].What == bridge+"Solve" {
					return 1
				}
				return 0
			}, 1,
		},
		"refused sources leave room for the refusal that ends the build": {
			func(b *buildRecord, _ int) { b.refused(aSource, errors.New(long)) }, refusalsList,
			func(b *buildRecord) { b.refused(aDownload, errors.New(long)) },
			func(e *record.Entry) int {
				if e.Refusals[len(e.Refusals)-1].What == aDownload {
					return 1
				}
				return 0
			}, 1,
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, g := newDaemon(t)
			path := recorded(t, g)
			b := ofAlice(g)
			a := g.memory.open("alice")
			defer a.close()
			require.NoError(t, b.begin(a))
			for i := range many {
				tc.fills(b, i)
			}
			tc.leaves(b)
			b.end(t.Context(), errors.New("x"))
			e := ended(t, path)
			require.Greater(t, e.Omitted[tc.omitted], many/4, "it is full")
			require.GreaterOrEqual(t, tc.want(e), tc.least)
			info, err := os.Stat(path)
			require.NoError(t, err)
			require.Less(t, info.Size(), int64(record.MaxLine))
		})
	}
}

// The lines of builds at once don't mix, and none is missing.
func TestBuildsAtOnceAreAllRecorded(t *testing.T) {
	t.Parallel()
	d, g := newDaemon(t)
	d.ends = true
	path := recorded(t, g)
	conn := as(t, g, "alice")
	var wait sync.WaitGroup
	const builds = 50
	for i := range builds {
		wait.Go(func() {
			req := direct("docker/dockerfile:1")
			req.Ref, req.Session = fmt.Sprintf("b%d", i), fmt.Sprintf("s%d", i)
			_, _ = controlapi.NewControlClient(conn).Solve(of(t), req)
		})
		if i == builds/2 {
			require.Eventually(t, func() bool {
				_, err := os.Stat(path)
				return err == nil
			}, soon, time.Millisecond)
		}
	}
	wait.Wait()
	begun, ended := map[string]int{}, map[string]int{}
	for _, e := range lines(t, path) {
		if e.Event == record.Begun {
			begun[e.Build]++
			continue
		}
		ended[e.Build]++
	}
	require.Len(t, begun, builds)
	for build, n := range begun {
		require.Equal(t, 1, n)
		require.Equal(t, 1, ended[build])
	}
	require.Len(t, ended, builds)
}

// What ends with the guard is recorded before it ends.
func TestClosingARecordWaitsForBuilds(t *testing.T) {
	t.Parallel()
	d, g := newDaemon(t)
	path := recorded(t, g)
	s := g.Server(fixed("alice"))
	conn := dial(t, listen(t, s))
	go func() {
		_, _ = controlapi.NewControlClient(conn).Solve(of(t), &controlapi.SolveRequest{Ref: "b"})
	}()
	d.await(t, "Solve")
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	g.Drain(ctx)
	s.Stop()
	g.CloseRecord(t.Context())
	all := lines(t, path)
	require.Len(t, all, 2)
	require.Equal(t, record.BrokenOff, all[1].Outcome)
	g.CloseRecord(t.Context())
	_, other := newDaemon(t)
	other.CloseRecord(t.Context())
}

// A guard without a record records nothing, and has nothing to do for it.
func TestAGuardWithoutARecord(t *testing.T) {
	t.Parallel()
	d, g := newDaemon(t)
	d.ends = true
	_, err := controlapi.NewControlClient(as(t, g, "alice")).Solve(of(t),
		direct("docker/dockerfile:1"))
	require.NoError(t, err)
	require.NoError(t, g.ReopenRecord())
	require.NoError(t, g.Ready(t.Context()))
}

// The decision that the policy frontend's image reports has the warnings about operations.
func TestTheWarningsOfTheImageAreRecorded(t *testing.T) {
	t.Parallel()
	_, g := newDaemon(t)
	recorded(t, g)
	b := ofAlice(g)
	b.entry.Decision = &record.Decision{Verdict: "allow"}
	b.reported([]byte("{"))
	text, err := json.Marshal(map[string]any{"warnings": []string{"a", "b", "a"}})
	require.NoError(t, err)
	b.reported(text)
	require.Equal(t, []string{"a", "b"}, b.entry.Warnings)
	require.Equal(t, "warn", b.entry.Decision.Verdict)
}

// A build that reads 20 sources.
func BenchmarkRecord(b *testing.B) {
	file, err := OpenRecord(filepath.Join(b.TempDir(), "record"))
	require.NoError(b, err)
	defer file.close()
	r, err := newRecorder(file, slog.New(slog.DiscardHandler), func() bool { return false })
	require.NoError(b, err)
	g := &Guard{recorder: r, memory: newMemory(DefaultMemory)}
	p, err := policy.Parse("p", []byte(forwarding))
	require.NoError(b, err)
	c := &call{guard: g, who: "uid:7", client: clients.Peer(7, 8)}
	b.ReportAllocs()
	for b.Loop() {
		rec := c.openRecord(direct("docker/dockerfile:1", "build-arg:A", "b"), &Policy{Policy: p})
		a := g.memory.open("uid:7")
		require.NoError(b, rec.begin(a))
		for i := range 10 {
			id := fmt.Sprintf("docker-image://docker.io/library/image-%d:1", i)
			rec.read(&pb.SourceOp{Identifier: id}, nil, false, nil)
			rec.read(&pb.SourceOp{Identifier: id + "@" + fakeDigest}, nil, false, nil)
			url := fmt.Sprintf("https://files.example/%d?token=x", i)
			rec.read(&pb.SourceOp{Identifier: url}, nil, false, nil)
		}
		rec.finished(&controlapi.SolveResponse{})
		a.close()
		rec.end(b.Context(), nil)
	}
}
