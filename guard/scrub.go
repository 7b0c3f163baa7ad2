package guard

import (
	"encoding/binary"
	"io"
	"regexp"
	"strings"

	controlapi "github.com/moby/buildkit/api/services/control"
	spb "google.golang.org/genproto/googleapis/rpc/status"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/mem"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/types/known/anypb"

	"github.com/policy-frontend/policy-frontend/internal/rawcall"
)

// daemonRef is the form of a build's name at the daemon, of any identity; see [names.isRef].
var daemonRef = regexp.MustCompile(`[0-9a-f]{32}-[A-Za-z0-9_-]{1,128}`)

// noSession is how the daemon says that a session has ended (session/manager.go, Get). The daemon
// runs the same step of several builds once, for all of their sessions (solver/jobs.go,
// sessionGroup). So each of these builds gets the error that names one of the sessions.
const noSession = "no active session for "

// mayBeSession is where a text may have the name of a session: after noSession, and anywhere in the
// form that BuildKit's clients and the guard itself give it (identity.NewID).
var mayBeSession = regexp.MustCompile(noSession + `[A-Za-z0-9_-]{1,128}|\b[a-z0-9]{25}\b`)

// scrub removes the names of builds and sessions from an error of the daemon; see [Guard.scrubText]
// and [Guard.scrubStatus].
func (g *Guard) scrub(who Identity, st *status.Status) error {
	p := st.Proto()
	g.scrubStatus(who, p)
	if st.Code() == codes.Unavailable && g.isDaemonLost() {
		p.Message = "policy-guard lost the daemon, and what was under way has ended: " + p.Message
	}
	return status.ErrorProto(p)
}

// scrubStatus removes the names of builds and sessions from an error. Details that hold such a name
// are left out.
func (g *Guard) scrubStatus(who Identity, p *spb.Status) {
	p.Message = g.scrubText(who, p.GetMessage())
	var details []*anypb.Any
	for _, d := range p.GetDetails() {
		if value := string(d.GetValue()); g.scrubText(who, value) == value {
			details = append(details, d)
		}
	}
	p.Details = details
}

// scrubText removes names that clients may not learn from a text of the daemon: the names of the
// caller's own builds become what the caller named them, and those of other builds disappear. So do
// the names of sessions that aren't the caller's own. Most of all these are the names of policy
// sessions.
func (g *Guard) scrubText(who Identity, text string) string {
	text = g.scrubRefs(who, text)
	return mayBeSession.ReplaceAllStringFunc(text, func(found string) string {
		id := strings.TrimPrefix(found, noSession)
		intro := strings.TrimSuffix(found, id)
		switch owner := g.sessions.owner(id); {
		case owner == who, owner == "" && intro == "":
			return found
		case owner == itself:
			return intro + "(the policy session)"
		case owner == "": // it may be anybody's, from before a restart
			return intro + "(a session)"
		}
		return intro + "(another session)"
	})
}

// scrubRefs is scrubText for names of builds.
func (g *Guard) scrubRefs(who Identity, text string) string {
	return daemonRef.ReplaceAllStringFunc(text, func(ref string) string {
		if !g.names.isRef(ref) {
			const first = markDigits + ownDigits + len("-") // what follows may be a name
			return ref[:first] + g.scrubRefs(who, ref[first:])
		}
		if client, ok := g.names.clientRef(who, ref); ok {
			return client
		}
		return "(another build)"
	})
}

// Fields of the messages in which progress has the errors of steps
// (api/services/control/control.proto).
const (
	vertexesField protowire.Number = 1 // of StatusResponse
	errorField    protowire.Number = 7 // of Vertex
)

// scrubProgress removes the names of builds and sessions from the errors of steps in a message of
// progress. A build has very many such messages, so it reads only one in which there is a name. It
// fails if there is no memory for that.
func (c *call) scrubProgress(f *rawcall.Frame) (*rawcall.Frame, error) {
	tells, err := c.tellsName(f.Data)
	if err != nil {
		return nil, err
	}
	if !tells {
		return f, nil
	}
	done, err := c.copies(f.Data.Len())
	if err != nil {
		return nil, err
	}
	defer done()
	var progress controlapi.StatusResponse
	if err := readFrame(f, &progress); err != nil {
		return nil, status.Error(codes.Internal, "policy-guard can't read an answer of the daemon")
	}
	for _, v := range progress.Vertexes {
		v.Error = c.guard.scrubText(c.who, v.Error)
	}
	return written(&progress)
}

// copies takes memory for what is copied to read that many bytes of progress: the bytes themselves,
// their errors without names, and the message again. A few bytes need none. done gives it back.
func (c *call) copies(size int) (done func(), err error) {
	const small, times = 64 << 10, 3
	if size <= small {
		return func() {}, nil
	}
	if err := c.take(times * size); err != nil {
		return nil, err
	}
	return func() { c.account.give(times * size) }, nil
}

// tellsName reports whether an error of a step in a message of progress has a name to remove, or
// may have one. A step may be as large as a message. It fails if there is no memory for a copy.
func (c *call) tellsName(progress mem.BufferSlice) (bool, error) {
	r := progress.Reader()
	defer func() { _ = r.Close() }()
	for r.Remaining() > 0 {
		tag, err := binary.ReadUvarint(r)
		field, kind := protowire.DecodeTag(tag)
		if err != nil || kind != protowire.BytesType {
			return true, nil
		}
		size, err := binary.ReadUvarint(r)
		if err != nil || size > uint64(r.Remaining()) {
			return true, nil
		}
		if field != vertexesField {
			_, _ = r.Discard(int(size)) // it is there
			continue
		}
		tells, err := c.stepTellsName(r, int(size))
		if tells || err != nil {
			return tells, err
		}
	}
	return false, nil
}

// stepTellsName is tellsName for the step of so many bytes that is next.
func (c *call) stepTellsName(r *mem.Reader, size int) (bool, error) {
	done, err := c.copies(size)
	if err != nil {
		return false, err
	}
	defer done()
	vertex := make([]byte, size)
	_, _ = io.ReadFull(r, vertex)
	return c.vertexTellsName(vertex), nil
}

// vertexTellsName is tellsName for one step.
func (c *call) vertexTellsName(vertex []byte) bool {
	for len(vertex) > 0 {
		field, kind, n := protowire.ConsumeTag(vertex)
		if n < 0 {
			return true
		}
		vertex = vertex[n:]
		if n = protowire.ConsumeFieldValue(field, kind, vertex); n < 0 {
			return true
		}
		if field == errorField && kind == protowire.BytesType {
			data, _ := protowire.ConsumeBytes(vertex)
			if text := string(data); c.guard.scrubText(c.who, text) != text {
				return true
			}
		}
		vertex = vertex[n:]
	}
	return false
}
