package guard

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"sync"

	gwpb "github.com/moby/buildkit/frontend/gateway/pb"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/policy-frontend/policy-frontend/frontend"
	"github.com/policy-frontend/policy-frontend/internal/rawcall"
	"github.com/policy-frontend/policy-frontend/internal/safetext"
)

const (
	// maxRunning is how many processes a client can have in its containers at once, and maxStarted
	// how many in a build. The daemon keeps something of each until the call ends.
	maxRunning = 100
	maxStarted = 1000
	// maxRefused is how many processes a call can ask for that are refused. Then it ends.
	maxRefused = 100
	// maxProcessID bounds the id of a process, in bytes. BuildKit's own clients take 51.
	maxProcessID = 256
	// maxFd is the largest number of a file that a process shares with the client. To others, nobody
	// listens in the daemon.
	maxFd = 2
)

// processes are the processes of one call of ExecProcess: those of all containers of a client in a
// build.
type processes struct {
	call   *call
	build  *build
	choice *frontend.Choice

	sending sync.Mutex // a stream takes one message at a time

	mu      sync.Mutex
	running map[string]bool // by id; whether the client knows that it has started
	refused map[string]bool
	failure error // why the client's side was broken off
}

// execProcess runs processes in containers of the client.
func (c *call) execProcess() error {
	b, choice, err := c.debugged()
	if err != nil {
		return err
	}
	ctx, stop := b.during(c.stream.Context())
	defer stop()
	p := &processes{
		call: c, build: b, choice: choice, running: map[string]bool{}, refused: map[string]bool{},
	}
	raw := c.raw()
	next := raw.Next
	raw.Next = func() (*rawcall.Frame, error) { return p.toDaemon(ctx, next) }
	raw.Send, raw.Error, raw.Headers = p.toClient, b.fromDaemon, nil
	err = raw.Run(c.outgoing(ctx, buildIDHeader, b.ref))
	if cause := b.broken(); cause != nil {
		p.endAll(cause)
		return cause
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.failure != nil {
		return p.failure
	}
	return err
}

// toDaemon returns the client's next message that the daemon may have.
func (p *processes) toDaemon(
	ctx context.Context, next func() (*rawcall.Frame, error),
) (*rawcall.Frame, error) {
	for {
		f, err := next()
		if errors.Is(err, io.EOF) {
			return nil, err
		}
		var passed *rawcall.Frame
		if err == nil {
			passed, err = p.judged(ctx, f)
		}
		if err != nil {
			p.mu.Lock()
			p.failure = err
			p.mu.Unlock()
			return nil, err
		}
		if passed != nil {
			return passed, nil
		}
	}
}

// judged returns a message as the daemon gets it, nil if it doesn't get it. The error ends the
// call.
//
// A client waits for the answer to the start of a process, whatever becomes of the call
// (grpcclient, messageForwarder). So the refusal of a process is an answer, and the call goes on.
func (p *processes) judged(ctx context.Context, f *rawcall.Frame) (*rawcall.Frame, error) {
	held := 0
	defer func() { p.call.account.give(held) }()
	var msg gwpb.ExecMessage
	err := p.call.read(f, &msg, func(weight int) error {
		err := p.call.take(weight)
		if err == nil {
			held = weight
		}
		return err
	})
	id, init := msg.GetProcessID(), msg.GetInit()
	named := id != "" && len(id) <= maxProcessID
	switch {
	case named && init != nil:
		if err == nil {
			err = p.start(ctx, id, init)
		}
		if err != nil {
			return nil, p.refuse(id, err)
		}
	case err != nil:
		return nil, err
	case !named:
		return nil, p.call.refuse(errors.New("the id of a process is missing or too long"))
	case msg.Input == nil:
		return nil, p.call.refuse(errors.New("a message about a process says nothing"))
	case msg.GetFile().GetFd() != 0:
		return nil, p.call.refuse(errors.New("a client sends a process its standard input (Fd 0) only"))
	case p.isRefused(id): // the client has sent it before it got the answer
		return nil, nil
	}
	return written(&msg)
}

// start judges a process, and replaces the client's id of its container with the daemon's.
func (p *processes) start(ctx context.Context, id string, init *gwpb.InitMessage) error {
	c := p.call
	if init.Meta == nil {
		return c.refuse(errors.New("the process has no command"))
	}
	seen := map[uint32]bool{}
	for _, fd := range init.Fds {
		if fd > maxFd || seen[fd] {
			return c.refuse(fmt.Errorf("the process shares the file %d with the client; it can share 0, 1 "+
				"and 2, each once", fd))
		}
		seen[fd] = true
	}
	found, err := p.build.container(init.ContainerID)
	if err != nil {
		return c.refuse(err)
	}
	made := &gwpb.NewContainerRequest{Network: found.Network}
	if err := p.choice.Container(ctx, made, init); err != nil {
		return p.build.refuseContainer(ctx, c, err)
	}
	if err := p.begin(id); err != nil {
		return c.refuse(err)
	}
	init.ContainerID = found.ID
	return nil
}

// begin counts a process.
func (p *processes) begin(id string) error {
	b := p.build
	p.mu.Lock()
	defer p.mu.Unlock()
	b.mu.Lock()
	defer b.mu.Unlock()
	_, runs := p.running[id]
	switch {
	case runs || p.refused[id]:
		return fmt.Errorf("there is a process with the id %s already", safetext.Plain(id))
	case b.running >= maxRunning:
		return fmt.Errorf("the client has %d processes in containers of this build", maxRunning)
	case b.started >= maxStarted:
		return fmt.Errorf("the client has started %d processes in this build; begin another build",
			maxStarted)
	}
	b.running++
	b.started++
	p.running[id] = false
	return nil
}

// started notes that the client learns of the start of a process.
func (p *processes) started(id string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if _, runs := p.running[id]; runs {
		p.running[id] = true
	}
}

// end counts a process no more. One whose end the call doesn't see may run until its container is
// released, and counts until the build ends.
func (p *processes) end(id string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if _, runs := p.running[id]; !runs {
		return
	}
	delete(p.running, id)
	p.build.mu.Lock()
	defer p.build.mu.Unlock()
	p.build.running--
}

func (p *processes) isRefused(id string) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.refused[id]
}

// refuse answers the start of a process as if it had ended with the error. It returns the error if
// that ends the call.
func (p *processes) refuse(id string, why error) error {
	p.mu.Lock()
	_, runs := p.running[id]
	ends := runs || len(p.refused) >= maxRefused
	if !ends {
		p.refused[id] = true
	}
	p.mu.Unlock()
	if ends {
		return why
	}
	return p.fail(id, why)
}

// fail tells the client that a process has started, and ended with an error.
func (p *processes) fail(id string, why error) error {
	err := p.send(&gwpb.ExecMessage{
		ProcessID: id, Input: &gwpb.ExecMessage_Started{Started: &gwpb.StartedMessage{}},
	})
	if err != nil {
		return err
	}
	return p.exit(id, why)
}

// exit tells the client that a process has ended with an error.
func (p *processes) exit(id string, why error) error {
	err := p.send(&gwpb.ExecMessage{ProcessID: id, Input: &gwpb.ExecMessage_Exit{
		Exit: &gwpb.ExitMessage{
			Code: gwpb.UnknownExitStatus, Error: status.Convert(why).Proto(),
		},
	}})
	if err != nil {
		return err
	}
	return p.send(&gwpb.ExecMessage{
		ProcessID: id, Input: &gwpb.ExecMessage_Done{Done: &gwpb.DoneMessage{}},
	})
}

// endAll tells the client why the guard has ended its processes with the build. A client waits for
// the end of each, also when the call has ended (grpcclient, containerProcess.Wait).
func (p *processes) endAll(why error) {
	p.mu.Lock()
	running := maps.Clone(p.running)
	p.mu.Unlock()
	for _, id := range slices.Sorted(maps.Keys(running)) {
		tell := p.exit
		if !running[id] { // a client takes no other first answer
			tell = p.fail
		}
		if tell(id, why) != nil { // the client is gone
			return
		}
	}
}

// toClient passes on a message of the daemon. Its errors become the client's.
func (p *processes) toClient(f *rawcall.Frame) error {
	var msg gwpb.ExecMessage
	if err := readFrame(f, &msg); err != nil {
		return status.Error(codes.Internal, "policy-guard can't read an answer of the daemon")
	}
	switch in := msg.Input.(type) {
	case *gwpb.ExecMessage_Started:
		p.started(msg.ProcessID)
	case *gwpb.ExecMessage_Exit:
		if st := in.Exit.GetError(); st.GetCode() != 0 {
			in.Exit.Error = status.Convert(p.build.fromDaemon(status.ErrorProto(st))).Proto()
		}
	case *gwpb.ExecMessage_Done:
		p.end(msg.ProcessID)
	}
	return p.send(&msg)
}

func (p *processes) send(msg *gwpb.ExecMessage) error {
	p.sending.Lock()
	defer p.sending.Unlock()
	return p.call.send(msg)
}
