package guard

import (
	"context"
	"errors"
	"io"
	"strings"
	"testing"

	controlapi "github.com/moby/buildkit/api/services/control"
	gwpb "github.com/moby/buildkit/frontend/gateway/pb"
	"github.com/moby/buildkit/identity"
	"github.com/stretchr/testify/require"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/mem"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"

	"github.com/policy-frontend/policy-frontend/internal/rawcall"
)

// policySession returns the name of the only policy session that the daemon has.
func policySession(t *testing.T, d *fakeDaemon) string {
	t.Helper()
	return d.await(t, "Control/Session").headers.Get(sessionID)[0]
}

func TestErrorsTellNothingOfOtherBuilds(t *testing.T) {
	t.Parallel()
	d, g := newDaemon(t)
	own, err := g.names.ref("alice", "mine")
	require.NoError(t, err)
	others, err := g.names.ref("bob", "his")
	require.NoError(t, err)
	st, err := status.New(codes.NotFound, "no such job "+own+" but "+others).
		WithDetails(&controlapi.StatusRequest{Ref: others}, &controlapi.StatusRequest{Ref: "harmless"})
	require.NoError(t, err)
	d.failure = st.Err()
	_, err = controlapi.NewControlClient(as(t, g, "alice")).Info(of(t), &controlapi.InfoRequest{})
	requireCode(t, codes.NotFound, err)
	got := status.Convert(err)
	require.Equal(t, "no such job mine but (another build)", got.Message())
	require.Len(t, got.Details(), 1)
}

// Files are often named by a digest of what is in them.
func TestWhatOnlyLooksLikeTheNameOfABuildStays(t *testing.T) {
	t.Parallel()
	_, g := newDaemon(t)
	others, err := g.names.ref("bob", "his")
	require.NoError(t, err)
	const file = "d41d8cd98f00b204e9800998ecf8427e-main.js"
	for said, want := range map[string]string{
		`"/` + file + `": not found`:             `"/` + file + `": not found`,
		fakeDigest + "-x " + file:                fakeDigest + "-x " + file,
		file + ", " + others:                     file + ", (another build)",
		strings.TrimSuffix(file, ".js") + others: strings.TrimSuffix(file, ".js") + "(another build)",
		file + "-" + file + "-" + others + ".js": file + "-" + file + "-(another build).js",
	} {
		require.Equal(t, want, g.scrubText("alice", said))
	}
}

// The daemon names a session that has ended, and the error of a step that several builds share goes
// to all of them.
func TestErrorsTellNothingOfOthersSessions(t *testing.T) {
	t.Parallel()
	d, g, c, ctx := begun(t)
	own, bobs := identity.NewID(), identity.NewID()
	require.NoError(t, g.sessions.claim(own, "alice"))
	require.NoError(t, g.sessions.claim(bobs, "bob"))
	require.NoError(t, g.sessions.claim("bobs", "bob"))
	guards := policySession(t, d)
	_, err := c.Solve(ctx, asking("docker/dockerfile:1"))
	require.NoError(t, err)
	for name, tc := range map[string]struct{ said, want string }{
		"the policy session of the build": {
			"no active session for " + guards + ": context canceled",
			"no active session for (the policy session): context canceled",
		},
		"the policy session in other words": {
			"the vertex " + guards + "-export-0", "the vertex (the policy session)-export-0",
		},
		"another's session": {
			"secret x: no active session for bobs: timeout",
			"secret x: no active session for (another session): timeout",
		},
		"another's session in other words": {bobs + " broke", "(another session) broke"},
		"a session that nobody knows any more": {
			"no active session for old-1", "no active session for (a session)",
		},
		"the client's own": {
			"no active session for s1, and " + own, "no active session for s1, and " + own,
		},
		"what isn't a session": {
			identity.NewID()[:24] + " bobs " + fakeDigest, "",
		},
	} {
		want := tc.want
		if want == "" {
			want = tc.said
		}
		d.evaluateFails = errors.New(tc.said)
		_, err := c.Evaluate(ctx, &gwpb.EvaluateRequest{Ref: "result"})
		require.Error(t, err)
		require.Equal(t, want, status.Convert(err).Message(), name)
	}
}

func TestDetailsOfErrorsTellNothingOfOthersSessions(t *testing.T) {
	t.Parallel()
	d, g := newDaemon(t)
	require.NoError(t, g.sessions.claim("bobs", "bob"))
	st, err := status.New(codes.Unknown, "broken").WithDetails(
		&controlapi.StatusRequest{Ref: "no active session for bobs"},
		&controlapi.StatusRequest{Ref: "harmless"})
	require.NoError(t, err)
	d.failure = st.Err()
	_, err = controlapi.NewControlClient(as(t, g, "alice")).Info(of(t), &controlapi.InfoRequest{})
	details := status.Convert(err).Details()
	require.Len(t, details, 1)
	require.Equal(t, "harmless", details[0].(*controlapi.StatusRequest).Ref)
}

func TestErrorsInTheHistoryTellNothingOfOthers(t *testing.T) {
	t.Parallel()
	d, g := newDaemon(t)
	own, err := g.names.ref("alice", "mine")
	require.NoError(t, err)
	others, err := g.names.ref("bob", "his")
	require.NoError(t, err)
	end, err := g.sessions.connect("guards", itself)
	require.NoError(t, err)
	end() // as when the build has ended
	st, err := status.New(codes.NotFound, own+", "+others+": no active session for guards").
		WithDetails(&controlapi.StatusRequest{Ref: others}, &controlapi.StatusRequest{Ref: "harmless"})
	require.NoError(t, err)
	d.history = []*controlapi.BuildHistoryEvent{
		{Record: &controlapi.BuildHistoryRecord{Ref: own, Error: st.Proto()}},
		{Record: &controlapi.BuildHistoryRecord{Ref: own}},
	}
	stream, err := controlapi.NewControlClient(as(t, g, "alice")).ListenBuildHistory(of(t),
		&controlapi.BuildHistoryRequest{EarlyExit: true})
	require.NoError(t, err)
	event, err := stream.Recv()
	require.NoError(t, err)
	require.Equal(t, "mine, (another build): no active session for (the policy session)",
		event.Record.Error.Message)
	require.Equal(t, codes.NotFound, codes.Code(event.Record.Error.Code))
	require.Len(t, event.Record.Error.Details, 1)
	event, err = stream.Recv()
	require.NoError(t, err)
	require.Nil(t, event.Record.Error)
	_, err = stream.Recv()
	require.ErrorIs(t, err, io.EOF)
}

func TestErrorsOfStepsTellNothingOfOthers(t *testing.T) {
	t.Parallel()
	d, g := newDaemon(t)
	others, err := g.names.ref("bob", "his")
	require.NoError(t, err)
	require.NoError(t, g.sessions.claim("bobs", "bob"))
	const harmless = "exit code: 1"
	for name, errs := range map[string]struct{ said, want []string }{
		"no errors":       {[]string{"", ""}, []string{"", ""}},
		"harmless errors": {[]string{harmless, ""}, []string{harmless, ""}},
		"one with another's session": {
			[]string{harmless, "secret x: no active session for bobs: timeout"},
			[]string{harmless, "secret x: no active session for (another session): timeout"},
		},
		"one with another's build": {
			[]string{"", "no such job " + others}, []string{"", "no such job (another build)"},
		},
	} {
		progress := func(errs []string) *controlapi.StatusResponse {
			p := &controlapi.StatusResponse{
				Logs:     []*controlapi.VertexLog{{Msg: make([]byte, 100<<10)}}, // several frames of HTTP/2
				Statuses: []*controlapi.VertexStatus{{ID: "s"}},
			}
			for _, e := range errs {
				p.Vertexes = append(p.Vertexes, &controlapi.Vertex{
					Digest: fakeDigest, Name: "no active session for bobs", Cached: true, Error: e,
				})
			}
			return p
		}
		d.progress = progress(errs.said)
		ctx, cancel := context.WithCancel(of(t))
		stream, err := controlapi.NewControlClient(as(t, g, "alice")).Status(ctx,
			&controlapi.StatusRequest{Ref: "b"})
		require.NoError(t, err)
		got, err := stream.Recv()
		require.NoError(t, err)
		require.True(t, proto.Equal(progress(errs.want), got), name)
		cancel()
	}
}

// Nobody has to read messages of progress but those in which a name is hidden.
func TestProgressIsReadOnlyIfItNamesOthers(t *testing.T) {
	t.Parallel()
	_, g := newDaemon(t)
	c := &call{guard: g, who: "alice"}
	message := func(kind protowire.Type, inner ...byte) []byte {
		return append(protowire.AppendTag(nil, vertexesField, kind), inner...)
	}
	failed := func(text string) []byte {
		data, err := proto.Marshal(&controlapi.StatusResponse{
			Vertexes: []*controlapi.Vertex{{Name: "x"}, {Error: text}},
		})
		require.NoError(t, err)
		return data
	}
	for name, tc := range map[string]struct {
		data []byte
		want bool
	}{
		"nothing":                         {nil, false},
		"a harmless error":                {failed("exit code: 1"), false},
		"an error with a name":            {failed("no active session for x"), true},
		"a broken tag":                    {[]byte{0xff}, true},
		"a number where a step should be": {message(protowire.VarintType, 1), true},
		"a step without a size":           {message(protowire.BytesType), true},
		"a step that is cut off":          {message(protowire.BytesType, 2, 0), true},
		"a step with a broken tag":        {message(protowire.BytesType, 1, 0xff), true},
		"a step with a broken field":      {message(protowire.BytesType, 2, 0x3a, 9), true},
	} {
		var pieces mem.BufferSlice // of a byte each
		for i := range tc.data {
			pieces = append(pieces, mem.SliceBuffer(tc.data[i:i+1]))
		}
		got, err := c.tellsName(pieces)
		require.NoError(t, err)
		require.Equal(t, tc.want, got, name)
	}
	_, err := c.scrubProgress(&rawcall.Frame{Data: mem.BufferSlice{mem.SliceBuffer{0xff}}})
	requireCode(t, codes.Internal, err)
}
