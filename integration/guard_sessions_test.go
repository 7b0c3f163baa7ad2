package integration

import (
	"context"
	"errors"
	"fmt"
	"net"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	controlapi "github.com/moby/buildkit/api/services/control"
	"github.com/moby/buildkit/client/llb"
	gwpb "github.com/moby/buildkit/frontend/gateway/pb"
	"github.com/moby/buildkit/identity"
	"github.com/moby/buildkit/session"
	"github.com/moby/buildkit/session/filesync"
	spb "github.com/moby/buildkit/sourcepolicy/pb"
	"github.com/moby/buildkit/sourcepolicy/policysession"
	"github.com/moby/buildkit/util/grpcerrors"
	"github.com/stretchr/testify/require"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"

	"github.com/policy-frontend/policy-frontend/integration/harness"
	"github.com/policy-frontend/policy-frontend/internal/rawcall"
)

// Headers of the daemon's API (session/session.go).
const (
	headerBuildID        = "buildkit-controlapi-buildid"
	headerSessionID      = "x-docker-expose-session-uuid"
	headerSessionMethods = "x-docker-expose-session-grpc-method"
)

// heardConn is the connection of a session. It tells when the other end has spoken in it, or why it
// has ended before that.
type heardConn struct {
	net.Conn
	once sync.Once
	said chan error
}

// Read implements [net.Conn].
func (c *heardConn) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	c.once.Do(func() { c.said <- err })
	return n, err
}

// connectSession connects a session of a user, under an id of his choice. It returns when the
// daemon speaks in it: then the session has its place, and that of an earlier one with this id. The
// session ends with the test.
func connectSession(
	t *testing.T, d *harness.Daemon, uid int, id string, serves session.Attachable,
) error {
	t.Helper()
	ctx := t.Context()
	s, err := session.NewSession(ctx, "")
	require.NoError(t, err)
	s.Allow(serves)
	t.Cleanup(func() { s.Close() })
	_, c := asUser(t, d, uid)
	said := make(chan error, 1)
	go func() {
		err := s.Run(ctx, func(
			ctx context.Context, proto string, meta map[string][]string,
		) (net.Conn, error) {
			for name := range meta {
				if strings.EqualFold(name, headerSessionID) {
					meta[name] = []string{id}
				}
			}
			conn, err := c.Dialer()(ctx, proto, meta)
			return &heardConn{Conn: conn, said: said}, err
		})
		if err != nil {
			said <- err
		}
	}()
	select {
	case err := <-said:
		return err
	case <-time.After(time.Minute):
		return errors.New("the daemon doesn't speak in the session")
	}
}

// directory returns what sends a build file, and a file f with a text.
func directory(t *testing.T, text string) session.Attachable {
	t.Helper()
	return filesync.NewFSSyncProvider(filesync.StaticDirSource(mountsOf(t,
		harness.WriteContext(t, map[string]string{"Dockerfile": "FROM scratch\nCOPY f /\n", "f": text}))))
}

// begun is a build that a user has begun, and that goes on until end.
type begun struct {
	bridge gwpb.LLBBridgeClient
	ctx    context.Context
	end    func()
}

func beginBuild(t *testing.T, d *harness.Daemon, uid int, req *controlapi.SolveRequest) begun {
	t.Helper()
	req.Ref, req.Cache = identity.NewID(), &controlapi.CacheOptions{}
	ctx, cancel := context.WithCancel(withHeaders(t, headerBuildID, req.Ref))
	t.Cleanup(cancel)
	c := clientOf(t, d, uid)
	go func() { _, _ = controlapi.NewControlClient(c).Solve(ctx, req) }()
	return begun{gwpb.NewLLBBridgeClient(c), ctx, cancel}
}

// readF returns the file /f of the result of a request.
func (b begun) readF(req *gwpb.SolveRequest) (string, error) {
	req.AllowResultReturn, req.AllowResultArrayRef = true, true
	res, err := b.bridge.Solve(b.ctx, req)
	if err != nil {
		return "", withDenials(err)
	}
	file, err := b.bridge.ReadFile(b.ctx, &gwpb.ReadFileRequest{
		Ref: res.GetResult().GetRef().GetId(), FilePath: "/f",
	})
	return string(file.GetData()), withDenials(err)
}

// withDenials adds to an error why a source was denied, as clients show it.
func withDenials(err error) error {
	for _, m := range policysession.DenyMessages(grpcerrors.FromGRPC(err)) {
		err = fmt.Errorf("%w: %s", err, m.GetMessage())
	}
	return err
}

// asksForInner asks for docker/dockerfile.
func asksForInner(opts ...string) *gwpb.SolveRequest {
	all := map[string]string{"source": inner}
	for i := 0; i < len(opts); i += 2 {
		all[opts[i]] = opts[i+1]
	}
	return &gwpb.SolveRequest{Frontend: "gateway.v0", FrontendOpt: all}
}

// requireSessionsApart shows that nobody reads from another's session and that nobody takes its
// place, as they can do on the bare daemon. The policy allows LLB.
func requireSessionsApart(t *testing.T, g *harness.Guarded) {
	t.Helper()
	readF := func(
		d *harness.Daemon, uid int, session string, req *gwpb.SolveRequest,
	) (string, error) {
		b := beginBuild(t, d, uid, &controlapi.SolveRequest{Session: session})
		defer b.end()
		return b.readF(req)
	}
	naming := map[string]struct {
		read func(d *harness.Daemon, uid int, id string) (string, error)
		want string
	}{
		"the session of his build": {
			func(d *harness.Daemon, uid int, id string) (string, error) {
				return readF(d, uid, id, asksForInner())
			}, "the session id belongs to another client",
		},
		"options of the frontend": {
			func(d *harness.Daemon, uid int, id string) (string, error) {
				return readF(d, uid, "",
					asksForInner("local-sessionid:context", id, "local-sessionid:dockerfile", id))
			}, "the session id belongs to another client",
		},
		"a source in LLB": {
			func(d *harness.Daemon, uid int, id string) (string, error) {
				def, err := llb.Local("context", llb.SessionID(id)).Marshal(t.Context())
				require.NoError(t, err)
				return readF(d, uid, "", &gwpb.SolveRequest{Definition: def.ToPB()})
			}, "it would read from the session of another client",
		},
	}
	// The daemon keeps what it has read by the name of the session. So each attack has one of its own.
	const bare, guarded, bareTaken, guardedTaken = "bare", "guarded", "bare-taken", "guarded-taken"
	for id, d := range map[string]*harness.Daemon{
		bare: g.Behind, bareTaken: g.Behind, guarded: g.Daemon, guardedTaken: g.Daemon,
	} {
		require.NoError(t, connectSession(t, d, 0, id, directory(t, "hers")))
	}
	for how, by := range naming {
		got, err := by.read(g.Behind, bob, bare)
		require.NoError(t, err, how)
		require.Equal(t, "hers", got, "on the bare daemon, he reads her directory by %s", how)
		_, err = by.read(g.Daemon, bob, guarded)
		require.ErrorContains(t, err, by.want, how)
		got, err = by.read(g.Daemon, 0, guarded)
		require.NoError(t, err, how)
		require.Equal(t, "hers", got, "her own, by %s", how)
	}
	hers := naming["the session of his build"].read
	require.NoError(t, connectSession(t, g.Behind, bob, bareTaken, directory(t, "planted")))
	got, err := hers(g.Behind, 0, bareTaken)
	require.NoError(t, err)
	require.Equal(t, "planted", got, "on the bare daemon, he takes the place of her session")
	err = connectSession(t, g.Daemon, bob, guardedTaken, directory(t, "planted"))
	require.ErrorContains(t, err, "the session id belongs to another client")
	err = connectSession(t, g.Daemon, 0, guardedTaken, directory(t, "planted"))
	require.ErrorContains(t, err, "a session with this id is connected already")
	got, err = hers(g.Daemon, 0, guardedTaken)
	require.NoError(t, err)
	require.Equal(t, "hers", got)
}

// between stands between a guard and its daemon, and passes on all calls. It knows the policy
// sessions of the guard, whose ids clients don't learn, and it can break one.
type between struct {
	addr string

	mu       sync.Mutex
	sessions []policyConn
}

type policyConn struct {
	id         string
	disconnect func()
}

func standBetween(t *testing.T, d *harness.Daemon) *between {
	t.Helper()
	daemon, err := rawcall.Dial(d.Addr)
	require.NoError(t, err)
	socket := filepath.Join(t.TempDir(), "between")
	listener, err := net.Listen("unix", socket)
	require.NoError(t, err)
	b := &between{addr: "unix://" + socket}
	server := rawcall.Server(insecure.NewCredentials(), nil,
		func(_ any, stream grpc.ServerStream) error { return b.pass(daemon, stream) })
	go func() { _ = server.Serve(listener) }()
	t.Cleanup(func() {
		server.Stop()
		_ = daemon.Close()
	})
	return b
}

func (b *between) pass(daemon grpc.ClientConnInterface, stream grpc.ServerStream) error {
	method, _ := grpc.MethodFromServerStream(stream)
	headers, _ := metadata.FromIncomingContext(stream.Context())
	ctx, disconnect := context.WithCancel(metadata.NewOutgoingContext(stream.Context(), headers))
	defer disconnect()
	call := rawcall.Pipe{
		Client: stream, Daemon: daemon, Method: method, Error: func(err error) error { return err },
	}
	if isPolicy := func(m string) bool {
		return strings.EqualFold(m, policysession.PolicyVerifier_CheckPolicy_FullMethodName)
	}; slices.ContainsFunc(headers.Get(headerSessionMethods), isPolicy) {
		// The session has its place at the daemon when the daemon speaks in it. A session with this
		// id that comes before that would lose the place to it.
		note := sync.OnceFunc(func() {
			b.mu.Lock()
			defer b.mu.Unlock()
			b.sessions = append(b.sessions, policyConn{headers.Get(headerSessionID)[0], disconnect})
		})
		call.Send = func(f *rawcall.Frame) error {
			note()
			return stream.SendMsg(f)
		}
	}
	return call.Run(ctx)
}

// next returns the policy session after those that there have been.
func (b *between) next(t *testing.T, before int) (next policyConn) {
	t.Helper()
	require.True(t, harness.Poll(20*time.Second, func() bool {
		b.mu.Lock()
		defer b.mu.Unlock()
		if len(b.sessions) <= before {
			return false
		}
		next = b.sessions[before]
		return true
	}), "the guard has opened no policy session")
	return next
}

// betweenGuard starts a guard that reaches its daemon through somebody.
func betweenGuard(t *testing.T, policy string) (*harness.Guarded, *between) {
	t.Helper()
	d := env.Plain(t)
	b := standBetween(t, d)
	return env.GuardBefore(t, d, b.addr, policy), b
}

// deniesAll answers the daemon's questions about sources.
type deniesAll struct{ asked atomic.Int64 }

func (a *deniesAll) serve() session.Attachable {
	return policysession.NewPolicyProvider(func(
		context.Context, *policysession.CheckPolicyRequest,
	) (*policysession.DecisionResponse, *gwpb.ResolveSourceMetaRequest, error) {
		a.asked.Add(1)
		return &policysession.DecisionResponse{
			Action: spb.PolicyAction_DENY,
		}, nil, nil
	})
}

// Whoever could connect as the guard's policy session would answer in its place. So the daemon's
// socket is for the guard alone, and the guard keeps the ids of its sessions. A client that has
// learnt one all the same gets nothing by it.
func TestNobodyTakesThePlaceOfThePolicySession(t *testing.T) {
	t.Parallel()
	g, spy := betweenGuard(t, guardPolicy)
	const hers = "alicessession"
	require.NoError(t, connectSession(t, g.Daemon, 0, hers, directory(t, "hers")))
	for i, d := range []*harness.Daemon{g.Behind, g.Daemon} {
		b := beginBuild(t, g.Daemon, 0, &controlapi.SolveRequest{Session: hers})
		id := spy.next(t, i).id
		var his deniesAll
		err := connectSession(t, d, bob, id, his.serve())
		if d == g.Behind {
			require.NoError(t, err)
			_, err = b.readF(asksForInner())
			require.ErrorContains(t, err, "not allowed by policy: action DENY")
			require.Positive(t, his.asked.Load(), "at the bare daemon, he answers for the guard")
			b.end()
			continue
		}
		require.ErrorContains(t, err, "the session id belongs to another client")
		for what, tc := range map[string]struct {
			req  *controlapi.SolveRequest
			want string
		}{
			"as the session of his build": {
				&controlapi.SolveRequest{Session: id}, "the session id belongs to another client",
			},
			"as the policy session of his build": {
				&controlapi.SolveRequest{SourcePolicySession: id}, "it has a session policy of its own",
			},
		} {
			_, err = beginBuild(t, d, bob, tc.req).readF(asksForInner())
			require.ErrorContains(t, err, tc.want, what)
		}
		_, err = beginBuild(t, d, bob, &controlapi.SolveRequest{}).
			readF(asksForInner("local-sessionid:context", id))
		require.ErrorContains(t, err, "the session id belongs to another client")
		got, err := b.readF(asksForInner())
		require.NoError(t, err, "her build goes on")
		require.Equal(t, "hers", got)
		require.Zero(t, his.asked.Load())
	}
}

// A daemon that can't ask the guard any more would wait for it. The daemon itself is alive.
func TestABuildEndsWithItsPolicySession(t *testing.T) {
	t.Parallel()
	env.NeedsOwnDaemon(t, "it counts the daemon's containers")
	g, spy := betweenGuard(t, guardPolicy)
	dir := harness.WriteContext(t, map[string]string{
		"Dockerfile": "FROM busybox\nRUN [\"sleep\", \"31537005\"]\n",
	})
	p := g.Start(t, g.BuildctlCommand(byBuildctl(dir, inner)...))
	require.True(t, harness.Poll(time.Minute, func() bool {
		return len(processesWith("31537005")) > 0
	}), "%s", p.Output())
	spy.next(t, 0).disconnect()
	p.Wait(t).RequireFailure(t,
		"policy-guard ended the build: the daemon closed the policy session; it may have ended")
	require.True(t, harness.Poll(20*time.Second, func() bool {
		return len(processesWith("31537005")) == 0 && len(g.Behind.Containers()) == 0
	}), "containers %v", g.Behind.Containers())
	out := t.TempDir()
	ok := harness.WriteContext(t, dockerfile(""))
	g.Buildctl(t, byBuildctl(ok, inner, "--output", "type=local,dest="+out)...).RequireSuccess(t)
	require.Equal(t, "ran\n", read(t, filepath.Join(out, "out")))
}
