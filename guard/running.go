package guard

import (
	"context"
	"slices"
	"sync"
	"time"

	controlapi "github.com/moby/buildkit/api/services/control"
	gwpb "github.com/moby/buildkit/frontend/gateway/pb"
	"google.golang.org/grpc"
	"google.golang.org/grpc/metadata"

	"github.com/policy-frontend/policy-frontend/frontend"
	"github.com/policy-frontend/policy-frontend/internal/safetext"
)

const (
	// maxProgress bounds a message about the progress of a build, in bytes. The daemon cuts logs into
	// pieces of one MiB (client.SolveStatus, Marshal).
	maxProgress = 4 << 20
	// maxVertexes bounds the steps that are looked at.
	maxVertexes = 10_000
	// progressTime bounds the time to read what has happened, and progressPause is how long nothing
	// more arrives then.
	progressTime  = 2 * time.Second
	progressPause = 100 * time.Millisecond
)

// shownStep is a step of a build, as its client sees it.
type shownStep struct{ digest, name string }

// follow reads the progress of the build from its beginning, for at most a time. It calls each with
// every message, one after another. ended is closed when the daemon has ended the build, or when
// that can't be known any more. stop is called when nobody waits for that. ok is false if it can't
// be read.
func (b *build) follow(
	ctx context.Context, most time.Duration, each func(*controlapi.StatusResponse),
) (ended <-chan struct{}, stop func(), ok bool) {
	memory := b.guard.memory.open(b.who)
	if _, ok := memory.tryTake(maxProgress); !ok {
		return nil, nil, false
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), most)
	stream, err := controlapi.NewControlClient(b.guard.daemon).Status(ctx,
		&controlapi.StatusRequest{Ref: b.ref}, grpc.MaxCallRecvMsgSize(maxProgress))
	if err != nil {
		cancel()
		memory.close()
		return nil, nil, false
	}
	over := make(chan struct{})
	go func() {
		defer cancel()
		defer memory.close()
		defer close(over)
		var panicked error
		defer b.guard.contain(b.who, "the progress of a build", &panicked)
		for {
			m, err := stream.Recv()
			if err != nil {
				return
			}
			each(m)
		}
	}()
	return over, cancel, true
}

// isRunning reports whether the daemon runs a step.
func isRunning(v *controlapi.Vertex) bool {
	return v.GetStarted() != nil && v.GetCompleted() == nil
}

// runningSteps returns the steps that the daemon runs now in the build, or the last one if none
// runs. The channel and stop are those of [build.follow]. If the progress can't be read, there are
// no steps, and the channel is nil.
func (b *build) runningSteps(
	ctx context.Context,
) (now []shownStep, gone <-chan struct{}, stop func()) {
	p := &progress{vertexes: map[string]*controlapi.Vertex{}, news: make(chan struct{}, 1)}
	ended, stop, ok := b.follow(ctx, answerTimeout, p.add)
	if !ok {
		return nil, nil, func() {}
	}
	late := time.After(progressTime)
	var pause <-chan time.Time
	for {
		select {
		case <-p.news:
			pause = time.After(progressPause)
			continue
		case <-pause:
		case <-late:
		case <-ctx.Done(): // the command doesn't wait
		case <-ended:
		}
		return p.steps(), ended, stop
	}
}

// progress is what is known of the steps of a build.
type progress struct {
	mu       sync.Mutex
	vertexes map[string]*controlapi.Vertex
	order    []string
	full     bool // nobody wants to know more
	news     chan struct{}
}

func (p *progress) add(m *controlapi.StatusResponse) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.full {
		return
	}
	for _, v := range m.GetVertexes() {
		if p.vertexes[v.GetDigest()] == nil {
			if len(p.order) >= maxVertexes {
				continue
			}
			p.order = append(p.order, v.GetDigest())
		}
		p.vertexes[v.GetDigest()] = v
	}
	select {
	case p.news <- struct{}{}:
	default:
	}
}

// steps returns the steps that run, or the last one. Nothing is noted after that.
func (p *progress) steps() (now []shownStep) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.full = true
	var last *controlapi.Vertex
	for _, digest := range p.order {
		switch v := p.vertexes[digest]; {
		case isRunning(v):
			now = append(now, shownStep{v.GetDigest(), v.GetName()})
		case v.GetStarted() != nil:
			last = v
		}
	}
	if len(now) == 0 && last != nil {
		now = []shownStep{{last.GetDigest(), last.GetName()}}
	}
	p.vertexes, p.order = nil, nil
	return slices.Clip(now)
}

// showWarning shows the client a warning of the policy at a step. One that can't be shown doesn't
// fail a build that is allowed.
func (b *build) showWarning(ctx context.Context, text string, at []shownStep) {
	if len(at) == 0 {
		return
	}
	ctx = metadata.NewOutgoingContext(ctx, metadata.Pairs(buildIDHeader, b.ref))
	_, _ = gwpb.NewLLBBridgeClient(b.guard.daemon).Warn(ctx, &gwpb.WarnRequest{
		Digest: at[0].digest, Level: 1, Short: []byte("policy: " + safetext.OneLine(text)),
	})
}

// showAlone shows the client a warning of the policy at a step of its own, which does nothing.
// Plain progress shows no warning at a step that is over (util/progress/progressui/printer.go). So
// the step's name has it too.
func (b *build) showAlone(ctx context.Context, text string) {
	def, err := frontend.ProgressLine(ctx, "warning: "+text)
	if err != nil {
		return
	}
	digest, err := def.Head()
	if err != nil {
		return
	}
	ctx = metadata.NewOutgoingContext(ctx, metadata.Pairs(buildIDHeader, b.ref))
	_, err = gwpb.NewLLBBridgeClient(b.guard.daemon).Solve(ctx, &gwpb.SolveRequest{
		Definition: def.ToPB(), Evaluate: true, AllowResultReturn: true, AllowResultArrayRef: true,
	})
	if err == nil {
		b.showWarning(ctx, text, []shownStep{{digest: digest.String()}})
	}
}
