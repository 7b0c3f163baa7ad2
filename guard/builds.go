package guard

import (
	"context"
	"errors"
	"strings"
	"time"

	controlapi "github.com/moby/buildkit/api/services/control"
	tracepb "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	"google.golang.org/grpc/connectivity"

	"github.com/policy-frontend/policy-frontend/internal/rawcall"
)

// buildIDHeader names the build of a call of LLBBridge (client/buildid).
const buildIDHeader = "buildkit-controlapi-buildid"

// ping passes on the question what the daemon can do, for the build that its header names. It
// isn't read.
func (c *call) ping() error {
	b, err := c.bridgeBuild()
	if err != nil {
		return err
	}
	raw := c.raw()
	send := raw.Send
	raw.Send = func(f *rawcall.Frame) error {
		b.keepPong(f.Data)
		return send(f)
	}
	return raw.Run(c.outgoing(c.stream.Context(), buildIDHeader, b.ref))
}

// buildRef returns the daemon's name of the build that the call's header names.
func (c *call) buildRef() (string, error) {
	client, err := c.header(buildIDHeader)
	if err != nil {
		return "", c.refuse(err)
	}
	return c.ref(client)
}

// ref returns the daemon's name of a build of the caller.
func (c *call) ref(client string) (string, error) {
	ref, err := c.guard.names.ref(c.who, client)
	if err != nil {
		return "", c.refuse(err)
	}
	return ref, nil
}

// status passes on the progress of a build of the caller. That of a build which is refused ends
// without an error: a client would show that one instead of the refusal. The build may also have
// ended long ago.
func (c *call) status() error {
	var req controlapi.StatusRequest
	if err := c.receive(&req); err != nil {
		return err
	}
	var err error
	if req.Ref, err = c.ref(req.Ref); err != nil {
		return err
	}
	f, err := written(&req)
	if err != nil {
		return err
	}
	ctx, done := c.guard.builds.untilRefused(c.stream.Context(), req.Ref)
	defer done()
	raw := c.raw()
	raw.First = f
	send := raw.Send
	raw.Send = func(f *rawcall.Frame) error {
		f, err := c.scrubProgress(f)
		if err != nil {
			return err
		}
		return send(f)
	}
	err = raw.Run(c.outgoing(ctx))
	var r *refusedBuildError
	if errors.As(context.Cause(ctx), &r) {
		return nil
	}
	return err
}

// dropTraces takes a client's traces and forgets them. A client that gets an error would send them
// again.
func (c *call) dropTraces() error {
	f, _, err := c.next()
	if err != nil {
		return err
	}
	f.Data.Free()
	return c.send(&tracepb.ExportTraceServiceResponse{})
}

// lostTime is how long gRPC may take to say that the daemon's connection is lost, when the calls on
// it have failed.
const lostTime = 200 * time.Millisecond

// isDaemonLost reports whether the connection to the daemon is lost.
func (g *Guard) isDaemonLost() bool {
	ctx, cancel := context.WithTimeout(context.Background(), lostTime)
	defer cancel()
	return g.daemon.WaitForStateChange(ctx, connectivity.Ready)
}

// Headers of a session (session/session.go).
const (
	sessionID         = "x-docker-expose-session-uuid"
	sessionName       = "x-docker-expose-session-name"
	sessionSharedKey  = "x-docker-expose-session-sharedkey"
	sessionKeyEncoded = "x-docker-expose-session-sharedkey-encoded"
	sessionMethod     = "x-docker-expose-session-grpc-method"
)

// maxSessionMethods is how many methods a client may serve in its session. Real ones have about 20.
const maxSessionMethods = 100

// session passes on a session, in which the daemon calls the client, without reading it.
func (c *call) session() error {
	id, err := c.header(sessionID)
	if err != nil {
		return c.refuse(err)
	}
	keys, encoded := c.headers.Get(sessionSharedKey), c.headers.Get(sessionKeyEncoded)
	methods := c.headers.Get(sessionMethod)
	if len(keys) > 1 || len(encoded) > 1 || len(methods) > maxSessionMethods {
		return c.refuse(errors.New("the session has a header too often"))
	}
	end, err := c.guard.sessions.connect(id, c.who)
	if err != nil {
		return c.refuse(err)
	}
	defer end()
	// Whatever the key means, it is the same only for the same identity and the same headers.
	key := c.guard.names.sharedKey(c.who, strings.Join(keys, "")+"\x00"+strings.Join(encoded, ""))
	pairs := []string{sessionID, id, sessionSharedKey, key}
	if name := c.headers.Get(sessionName); len(name) == 1 {
		pairs = append(pairs, sessionName, name[0])
	}
	for _, m := range methods {
		pairs = append(pairs, sessionMethod, m)
	}
	return c.pipe(c.outgoing(c.stream.Context(), pairs...), nil)
}
