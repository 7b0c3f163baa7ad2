package frontend

import (
	"bytes"
	"context"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	gwpb "github.com/moby/buildkit/frontend/gateway/pb"
	"github.com/stretchr/testify/require"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/status"
)

// silentProcesses is a daemon whose processes take messages and say nothing.
type silentProcesses struct {
	gwpb.LLBBridgeClient
	running  atomic.Int64
	received atomic.Int64 // bytes of stdin
}

func (d *silentProcesses) ExecProcess(
	ctx context.Context, _ ...grpc.CallOption,
) (gwpb.LLBBridge_ExecProcessClient, error) {
	s := &fakeStream{
		ctx: ctx, sent: make(chan *gwpb.ExecMessage), received: make(chan *gwpb.ExecMessage),
	}
	d.running.Add(1)
	go func() {
		defer d.running.Add(-1)
		for {
			select {
			case m := <-s.sent:
				d.received.Add(int64(len(m.GetFile().GetData())))
			case <-ctx.Done():
				return
			}
		}
	}()
	return s, nil
}

func toStdin(data []byte) *gwpb.ExecMessage {
	return &gwpb.ExecMessage{
		ProcessID: "p", Input: &gwpb.ExecMessage_File{File: &gwpb.FdMessage{Data: data}},
	}
}

// A frontend may have a stream for each of its processes.
func TestManyProcessesAtOnce(t *testing.T) {
	t.Parallel()
	s := serveBroker(t, mediated)
	d := &silentProcesses{}
	s.broker.daemon = d
	budget := s.broker.monitor.budget
	budget.patience = 100 * time.Millisecond
	const processes, size = 60, 32 << 10
	ctx, end := context.WithCancel(t.Context())
	var started sync.WaitGroup
	for range processes {
		started.Go(func() {
			stream, err := s.ExecProcess(ctx)
			if err == nil {
				err = stream.Send(toStdin(make([]byte, size)))
			}
			if err != nil {
				t.Error(err)
			}
		})
	}
	started.Wait()
	require.Eventually(t, func() bool {
		return d.received.Load() == processes*size || s.broker.monitor.refused() != nil
	}, time.Minute, time.Millisecond)
	require.NoError(t, s.broker.monitor.refused())
	require.EqualValues(t, processes, d.running.Load())

	end()
	require.Eventually(t, func() bool {
		budget.mu.Lock()
		defer budget.mu.Unlock()
		return budget.used == 0
	}, time.Minute, time.Millisecond, "they give back what they took")
}

// What was passed on to the daemon no longer counts.
func TestALongInputOfAProcess(t *testing.T) {
	t.Parallel()
	s := serveBroker(t, mediatedWithin)
	d := &silentProcesses{}
	s.broker.daemon = d
	s.broker.monitor.budget.patience = 100 * time.Millisecond
	stream, err := s.ExecProcess(t.Context())
	require.NoError(t, err)
	const messages, size = 20, 8 * mib
	for range messages {
		require.NoError(t, stream.Send(toStdin(bytes.Repeat([]byte("x"), size))))
	}
	require.Eventually(t, func() bool { return d.received.Load() == messages*size },
		time.Minute, time.Millisecond)
	require.NoError(t, s.broker.monitor.refused())
}

func TestAMessageToAProcessThatIsTooLarge(t *testing.T) {
	t.Parallel()
	s := serveBroker(t, mediated)
	s.broker.daemon = &silentProcesses{}
	stream, err := s.ExecProcess(t.Context(), grpc.MaxCallSendMsgSize(2*maxMessage))
	require.NoError(t, err)
	require.NoError(t, stream.Send(toStdin(make([]byte, maxMessage+1))))
	_, err = stream.Recv()
	require.Equal(t, codes.ResourceExhausted, status.Code(err), err)
	require.NoError(t, s.broker.monitor.refused())
}

func TestAMessageToAProcessThatIsNoMessage(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		flags byte
		data  []byte
	}{
		// gRPC's server refuses a compression that it doesn't know, but only one that has a name.
		"a compressed one":    {0, []byte{1, 0, 0, 0, 0}},
		"one that is cut off": {endStream, []byte{0, 0, 0, 0, 9}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := attackBroker(t)
			d := &silentProcesses{}
			w.broker.daemon = d
			require.NoError(t, w.frame(frameSettings, 0, 0, nil))
			require.NoError(t, w.frame(frameHeaders, endHeaders, 1, callHeaders("ExecProcess")))
			require.Eventually(t, func() bool { return d.running.Load() == 1 }, time.Minute,
				time.Millisecond)
			require.NoError(t, w.frame(frameData, tc.flags, 1, tc.data))
			require.Eventually(t, func() bool { return d.running.Load() == 0 }, 10*time.Second,
				time.Millisecond, "the call ends")
		})
	}
}

// Its calls count like others.
func TestTheHealthServiceAnswers(t *testing.T) {
	t.Parallel()
	s := serveBroker(t, mediated)
	health := grpc_health_v1.NewHealthClient(s.conn)
	got, err := health.Check(t.Context(), &grpc_health_v1.HealthCheckRequest{})
	require.NoError(t, err)
	require.Equal(t, grpc_health_v1.HealthCheckResponse_SERVING, got.Status)
	watch, err := health.Watch(t.Context(), &grpc_health_v1.HealthCheckRequest{})
	require.NoError(t, err)
	got, err = watch.Recv()
	require.NoError(t, err)
	require.Equal(t, grpc_health_v1.HealthCheckResponse_SERVING, got.Status)
}
