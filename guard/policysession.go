package guard

import (
	"context"
	"errors"
	"net"
	"sync"
	"time"

	controlapi "github.com/moby/buildkit/api/services/control"
	"github.com/moby/buildkit/identity"
	"github.com/moby/buildkit/session"
	"github.com/moby/buildkit/session/grpchijack"
	"github.com/moby/buildkit/sourcepolicy/policysession"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	grpchealth "google.golang.org/grpc/health"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/stats"
	"google.golang.org/grpc/status"

	"github.com/policy-frontend/policy-frontend/internal/rawcall"
	"github.com/policy-frontend/policy-frontend/internal/streamconn"
)

// policyBuffer is the size in bytes of the buffers of a policy session. Each build has one, and a
// question has some hundred bytes.
const policyBuffer = 4 << 10

const (
	// maxQuestion bounds a question, in bytes. The names of sources are shorter, and so are the
	// requests of honest commands.
	maxQuestion = 64 << 10
	// maxQuestions is how many questions of a build are open at once. The daemon waits with others.
	maxQuestions = 64
)

// policyHandshake is how long the daemon may take until it speaks in a policy session.
const policyHandshake = 10 * time.Second

// openPolicySession opens the session in which the daemon asks about each source of this build, and
// returns its name, which no client may learn. If the session breaks, the build ends: the daemon
// would wait for it.
func (b *build) openPolicySession() (string, error) {
	id := identity.NewID()
	// No client may connect as this session.
	end, err := b.guard.sessions.connect(id, itself)
	if err != nil {
		return "", err
	}
	ctx, closeSession := context.WithCancel(context.WithoutCancel(b.ctx))
	b.downloads.closeWith(closeSession)
	go func() {
		defer closeSession()
		defer end()
		why := "the daemon closed the policy session; it may have ended"
		switch err := b.runPolicySession(ctx, id); {
		case errors.Is(err, errPanic):
			why = internalError
		case err != nil:
			why = "the policy session broke; the daemon may have ended"
		}
		b.cancel(brokenError(why))
	}()
	return id, nil
}

// internalError is why a build is ended after a panic.
const internalError = "internal error; the log of policy-guard has more about it"

// runPolicySession serves a policy session until it is closed.
//
// The server is gRPC's own. That of [session.Session] is the one of net/http, whose
// goroutines and pings take more processor time in a small build.
func (b *build) runPolicySession(ctx context.Context, id string) (err error) {
	defer b.guard.contain(b.who, "a policy session", &err)
	server := b.policyServer()
	conn, err := grpchijack.Dialer(controlapi.NewControlClient(b.guard.daemon))(ctx, "h2c",
		map[string][]string{sessionID: {id}, sessionMethod: methodsOf(server)})
	if err != nil {
		return err
	}
	sole := &soleConn{Conn: conn}
	sole.listener = streamconn.Listen(sole)
	stop := context.AfterFunc(ctx, server.Stop)
	defer stop()
	_ = server.Serve(sole.listener) // it ends as the connection does
	return nil
}

// policyServer returns a server that answers the daemon's questions.
func (b *build) policyServer() *grpc.Server {
	s := grpc.NewServer(
		grpc.ConnectionTimeout(policyHandshake),
		grpc.ReadBufferSize(policyBuffer), grpc.WriteBufferSize(policyBuffer),
		grpc.MaxRecvMsgSize(maxQuestion), grpc.MaxConcurrentStreams(maxQuestions),
		grpc.StatsHandler(unread{b}),
		// A fixed window: the server would measure the connection otherwise, by pings.
		grpc.InitialWindowSize(rawcall.DaemonWindow), grpc.InitialConnWindowSize(rawcall.DaemonWindow),
	)
	policysession.NewPolicyProvider(b.observedAnswer).Register(s)
	healthpb.RegisterHealthServer(s, grpchealth.NewServer()) // the daemon checks each session
	return s
}

// unread notes questions that can't be read: they are too long, or no valid messages. gRPC refuses
// them, so nobody has judged them.
type unread struct{ build *build }

// TagRPC implements [stats.Handler].
func (unread) TagRPC(ctx context.Context, info *stats.RPCTagInfo) context.Context {
	return context.WithValue(ctx, unread{}, info.FullMethodName)
}

// HandleRPC implements [stats.Handler].
func (u unread) HandleRPC(ctx context.Context, s stats.RPCStats) {
	method, _ := ctx.Value(unread{}).(string)
	end, ended := s.(*stats.End)
	if !ended || end.Error == nil ||
		method != policysession.PolicyVerifier_CheckPolicy_FullMethodName {
		return
	}
	switch status.Code(end.Error) {
	case codes.Canceled, codes.DeadlineExceeded, codes.Unavailable: // nobody waits for an answer
	default:
		u.build.refuseUnread(end.Error)
	}
}

// TagConn implements [stats.Handler].
func (unread) TagConn(ctx context.Context, _ *stats.ConnTagInfo) context.Context { return ctx }

// HandleConn implements [stats.Handler].
func (unread) HandleConn(context.Context, stats.ConnStats) {}

// methodsOf returns the methods of a server as a session names them.
func methodsOf(s *grpc.Server) (all []string) {
	for name, service := range s.GetServiceInfo() {
		for _, m := range service.Methods {
			all = append(all, session.MethodURL(name, m.Name))
		}
	}
	return all
}

// soleConn is the only connection of a server, which ends with it. It has deadlines, unlike the
// connection over a session.
type soleConn struct {
	net.Conn
	listener net.Listener

	mu   sync.Mutex
	late *time.Timer
}

// SetDeadline implements [net.Conn]. It closes the connection at that time.
func (c *soleConn) SetDeadline(t time.Time) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.late != nil {
		c.late.Stop()
	}
	if !t.IsZero() {
		c.late = time.AfterFunc(time.Until(t), func() { _ = c.Close() })
	}
	return nil
}

// Close implements [net.Conn].
func (c *soleConn) Close() error {
	_ = c.listener.Close()
	return c.Conn.Close()
}
