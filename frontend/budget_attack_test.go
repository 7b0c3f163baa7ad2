package frontend

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"runtime"
	"runtime/debug"
	"runtime/metrics"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/moby/buildkit/client/llb"
	gwpb "github.com/moby/buildkit/frontend/gateway/pb"
	"github.com/moby/buildkit/solver/pb"
	"github.com/stretchr/testify/require"
	"google.golang.org/grpc"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"

	"github.com/policy-frontend/policy-frontend/internal/streamconn"
)

// mediatedWithin is the policy mediated with the smallest limit of memory.
const mediatedWithin = mediated + "limits: {memory: 64MiB}\n"

// peakOf returns the largest live heap while attack runs, above the heap before it, in bytes.
func peakOf(t *testing.T, attack func()) int64 {
	t.Helper()
	debug.FreeOSMemory()
	// What dies between the collection and the reading isn't live, so HeapAlloc says too much.
	live := func() int64 {
		runtime.GC()
		s := []metrics.Sample{{Name: "/gc/heap/live:bytes"}}
		metrics.Read(s)
		return int64(s[0].Value.Uint64())
	}
	before := live()
	var peak int64
	done, measured := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(measured)
		for {
			peak = max(peak, live()-before)
			select {
			case <-done:
				peak = max(peak, live()-before)
				return
			case <-time.After(10 * time.Millisecond):
			}
		}
	}()
	attack()
	close(done)
	<-measured
	t.Logf("peak of the live heap: %.1f MiB", float64(peak)/(1<<20))
	return peak
}

// wire is the end of a hostile client at the connection to a broker. It writes HTTP/2 by itself.
type wire struct {
	net.Conn
	broker  *broker
	windows *windows
}

func attackBroker(t *testing.T) wire {
	t.Helper()
	s := serveBroker(t, mediatedWithin)
	ours, theirs := net.Pipe()
	server := s.broker.server()
	go func() { _ = server.Serve(streamconn.Listen(ours)) }()
	t.Cleanup(func() { _ = theirs.Close(); server.Stop() })
	w := wire{Conn: theirs, broker: s.broker}
	w.windows = newWindows(w) // the broker writes first
	_, err := io.WriteString(w, "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")
	require.NoError(t, err)
	return w
}

// Types and flags of HTTP/2 frames.
const (
	frameData         = 0
	frameHeaders      = 1
	frameSettings     = 4
	framePing         = 6
	frameWindowUpdate = 8
	ack               = 1
	endStream         = 1
	endHeaders        = 4
)

func (w wire) frame(kind, flags byte, stream uint32, payload []byte) error {
	head := []byte{
		byte(len(payload) >> 16), byte(len(payload) >> 8), byte(len(payload)), kind, flags,
	}
	_, err := w.Write(append(binary.BigEndian.AppendUint32(head, stream), payload...))
	return err
}

// call is the block of headers that begins a call.
func callHeaders(method string) []byte {
	path := "/moby.buildkit.v1.frontend.LLBBridge/" + method
	if strings.HasPrefix(method, "/") { // of another service
		path = method
	}
	b := []byte{0x83, 0x86, 0x04, byte(len(path))}
	b = append(b, path...)
	b = append(b, "\x01\x01x\x0f\x10\x10application/grpc\x00\x02te\x08trailers"...)
	return b
}

func (w wire) call(stream uint32, method string, message []byte) error {
	if err := w.frame(frameHeaders, endHeaders, stream, callHeaders(method)); err != nil {
		return err
	}
	return w.data(stream, binary.BigEndian.AppendUint32([]byte{0}, uint32(len(message))), message)
}

// data writes a stream's bytes in frames of 16 KiB, and its end. It waits for the broker to take
// them, because the broker ends a stream that sends more than it may.
func (w wire) data(stream uint32, head, message []byte) error {
	w.windows.add(stream, 0)
	all := append(head, message...)
	for len(all) > 16<<10 {
		if err := w.windows.wait(stream, 16<<10); err != nil {
			return err
		}
		if err := w.frame(frameData, 0, stream, all[:16<<10]); err != nil {
			return err
		}
		all = all[16<<10:]
	}
	if err := w.windows.wait(stream, len(all)); err != nil {
		return err
	}
	return w.frame(frameData, endStream, stream, all)
}

// settle waits until the broker has read all that was sent, or has ended the connection. It may be
// called once.
func (w wire) settle(t *testing.T) {
	t.Helper()
	if w.frame(framePing, 0, 0, make([]byte, 8)) != nil {
		return
	}
	select {
	case <-w.windows.settled:
	case <-time.After(time.Minute):
		require.Fail(t, "the broker answers no ping")
	}
}

const mib = 1 << 20

// mostUnderAttack is how many bytes an attack may take: the project's limit for the whole process
// (docs/performance.md). Without its bound, an attack takes several times as much. A peak contains
// garbage too: what is allocated while the collector marks counts as live.
const mostUnderAttack int64 = 128 * mib

// This test and its like aren't parallel, because they measure the heap.
func TestHeadersThatDecompressToMegabytes(t *testing.T) { //nolint:paralleltest // see above
	w := attackBroker(t)
	peak := peakOf(t, func() {
		require.NoError(t, w.frame(frameSettings, 0, 0, nil))
		const size = 4000
		for i := range uint32(64) {
			block := append(callHeaders("Ping"), "\x40\x05x-bin\x7f"...)
			block = append(block, 0xa1, 0x1e) // 4000 = 127 + 0x21 + 0x1e<<7
			block = append(block, bytes.Repeat([]byte("A"), size)...)
			// Each byte is the whole header again.
			block = append(block, bytes.Repeat([]byte{0xbe}, size)...)
			if err := w.frame(frameHeaders, endHeaders, 2*i+1, block); err != nil {
				return
			}
		}
		w.settle(t)
	})
	require.Less(t, peak, mostUnderAttack)
}

func TestRequestsThatNeverEnd(t *testing.T) { //nolint:paralleltest // it measures the heap
	for _, method := range []string{"Solve", "/grpc.health.v1.Health/Check"} {
		w := attackBroker(t)
		peak := peakOf(t, func() { w.sendUnended(t, method, 64, 16<<10) })
		require.Less(t, peak, mostUnderAttack, method)
	}
}

func TestMessagesToProcessesThatNeverEnd(t *testing.T) { //nolint:paralleltest // see above
	w := attackBroker(t)
	w.broker.daemon = &silentProcesses{}
	peak := peakOf(t, func() { w.sendUnended(t, "ExecProcess", 64, 16<<10) })
	require.Less(t, peak, mostUnderAttack)
}

// sendUnended begins calls of a method and sends as much of their requests as the broker takes, in
// frames of a size.
func (w wire) sendUnended(t *testing.T, method string, calls, size int) {
	t.Helper()
	const promised = 16*mib - 1
	require.NoError(t, w.frame(frameSettings, 0, 0, nil))
	for i := range calls {
		stream := uint32(2*i + 1)
		require.NoError(t, w.frame(frameHeaders, endHeaders, stream, callHeaders(method)))
		head := binary.BigEndian.AppendUint32([]byte{0}, promised)
		require.NoError(t, w.frame(frameData, 0, stream, head))
		w.windows.add(stream, -5)
	}
	chunk := make([]byte, size)
	sent := make([]int, calls)
	for {
		for i := range calls {
			stream := uint32(2*i + 1)
			for w.windows.take(stream, size) && sent[i]+size < promised-size {
				if w.frame(frameData, 0, stream, chunk) != nil {
					return
				}
				sent[i] += size
			}
		}
		select {
		case <-w.windows.grown:
		case <-time.After(100 * time.Millisecond): // the broker takes no more
			return
		}
	}
}

// windows are the windows of flow control that the broker has given. One goroutine may wait for
// them.
type windows struct {
	mu      sync.Mutex
	left    map[uint32]int
	grown   chan struct{} // gets a value after the broker has given more
	settled chan struct{} // closed once the broker has answered a ping, or ended the connection
}

// newWindows reads what a broker sends, and keeps its windows.
func newWindows(w wire) *windows {
	v := &windows{
		left: map[uint32]int{0: 65535}, grown: make(chan struct{}, 1),
		settled: make(chan struct{}),
	}
	settled := sync.OnceFunc(func() { close(v.settled) })
	go func() {
		defer settled()
		head := make([]byte, 9)
		for {
			if _, err := io.ReadFull(w, head); err != nil {
				return
			}
			body := make([]byte, int(head[0])<<16|int(head[1])<<8|int(head[2]))
			if _, err := io.ReadFull(w, body); err != nil {
				return
			}
			switch kind, flags := head[3], head[4]; {
			case kind == frameWindowUpdate:
				v.add(binary.BigEndian.Uint32(head[5:]), int(binary.BigEndian.Uint32(body)))
				select {
				case v.grown <- struct{}{}:
				default:
				}
			case kind == framePing && flags == ack:
				settled()
			}
		}
	}()
	return v
}

func (v *windows) add(stream uint32, n int) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if _, ok := v.left[stream]; !ok {
		v.left[stream] = 65535
	}
	v.left[stream] += n
	if stream > 0 && n < 0 {
		v.left[0] += n
	}
}

// wait takes bytes of the windows as soon as they are there. It gives up after a minute.
func (v *windows) wait(stream uint32, n int) error {
	late := time.After(time.Minute)
	for !v.take(stream, n) {
		select {
		case <-v.grown:
		case <-late:
			return errors.New("the broker takes no more")
		}
	}
	return nil
}

func (v *windows) take(stream uint32, n int) bool {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.left[stream] < n || v.left[0] < n {
		return false
	}
	v.left[stream] -= n
	v.left[0] -= n
	return true
}

// largeDaemon answers each ReadFile with many bytes.
type largeDaemon struct {
	fakeDaemon
	size int
	asks atomic.Int64
}

func (d *largeDaemon) Invoke(
	ctx context.Context, method string, req, reply any, opts ...grpc.CallOption,
) error {
	if _, ok := req.(*gwpb.ReadFileRequest); ok {
		d.asks.Add(1)
		reply.(*gwpb.ReadFileResponse).Data = make([]byte, d.size)
		return nil
	}
	return d.fakeDaemon.Invoke(ctx, method, req, reply, opts...)
}

func TestAnswersThatNobodyReads(t *testing.T) { //nolint:paralleltest // it measures the heap
	w := attackBroker(t)
	w.broker.daemon = gwpb.NewLLBBridgeClient(&largeDaemon{size: 15 * mib})
	w.broker.refs["r"] = nil
	w.broker.monitor.budget.patience = 100 * time.Millisecond
	read, err := proto.Marshal(&gwpb.ReadFileRequest{Ref: "r", FilePath: "/x"})
	require.NoError(t, err)
	peak := peakOf(t, func() {
		require.NoError(t, w.frame(frameSettings, 0, 0, nil))
		for i := range uint32(64) {
			require.NoError(t, w.call(2*i+1, "ReadFile", read))
		}
		require.Eventually(t, func() bool { return w.broker.monitor.refused() != nil },
			time.Minute, 10*time.Millisecond)
	})
	require.Less(t, peak, mostUnderAttack)
	requireRefusal(t, w.broker.monitor.refused(), "limits: docker/dockerfile:1@"+
		digestOne.String()+" makes the policy "+
		"frontend take more than 64MiB of memory, which is as much as the limits allow "+
		"(limits.memory); split the build, or have the limit raised")
}

func TestRequestsThatGrowInMemory(t *testing.T) { //nolint:paralleltest // it measures the heap
	w := attackBroker(t)
	// Millions of empty source policies.
	policy := protowire.AppendBytes(protowire.AppendTag(nil, sourcePoliciesField(t), 2), nil)
	policies := bytes.Repeat(policy, 8*mib/len(policy))
	peak := peakOf(t, func() {
		require.NoError(t, w.frame(frameSettings, 0, 0, nil))
		require.NoError(t, w.call(1, "Solve", policies))
		require.Eventually(t, func() bool { return w.broker.monitor.refused() != nil },
			time.Minute, 10*time.Millisecond)
	})
	require.Less(t, peak, mostUnderAttack)
	require.ErrorContains(t, w.broker.monitor.refused(), "limits.memory")
}

func sourcePoliciesField(t *testing.T) protowire.Number {
	t.Helper()
	f := (&gwpb.SolveRequest{}).ProtoReflect().Descriptor().Fields().ByName("SourcePolicies")
	require.NotNil(t, f)
	return f.Number()
}

func TestNestedFrontendsThatKeepDefinitions(t *testing.T) { //nolint:paralleltest // see above
	outer := serveBroker(t, mediatedWithin)
	peak := peakOf(t, func() {
		for range 20 {
			nested := *outer.broker.build
			nested.nested = true
			s := nested.newBroker("copy", outer.broker.monitor.within(outer.broker.monitor.inner),
				func(error) {})
			for i := range 30 {
				def := marshalState(t, llb.Image("mirror.corp/base:1"))
				def.Def = append(def.Def, bytes.Repeat([]byte{byte(i)}, mib))
				require.NoError(t, s.track(t.Context(), &gwpb.Result{
					Result: &gwpb.Result_Ref{Ref: &gwpb.Ref{Id: string(rune('a' + i)), Def: def}},
				}))
			}
			defer s.account.close()
		}
	})
	require.Less(t, peak, mostUnderAttack)
}

// slowDaemon takes a while for each solve.
type slowDaemon struct{ fakeDaemon }

func (d *slowDaemon) Invoke(
	ctx context.Context, method string, req, reply any, opts ...grpc.CallOption,
) error {
	if _, ok := req.(*gwpb.SolveRequest); ok {
		<-time.After(200 * time.Millisecond)
		proto.Merge(reply.(proto.Message), &gwpb.SolveResponse{Result: &gwpb.Result{
			Result: &gwpb.Result_RefDeprecated{RefDeprecated: "solved"},
		}})
		return nil
	}
	return d.fakeDaemon.Invoke(ctx, method, req, reply, opts...)
}

// largeDefinition is 6.5 MiB of LLB with 10,000 operations, and with all that docker/dockerfile
// says about each.
func largeDefinition(t *testing.T) *pb.Definition {
	t.Helper()
	st := llb.Image("mirror.corp/base:1")
	def := marshalState(t, st)
	op, err := (&pb.Op{Op: &pb.Op_File{File: &pb.FileOp{Actions: []*pb.FileAction{{
		Action: &pb.FileAction_Mkfile{Mkfile: &pb.FileActionMkFile{
			Path: "/f", Data: bytes.Repeat([]byte("x"), 400),
		}},
	}}}}}).MarshalVT()
	require.NoError(t, err)
	def.Source = &pb.Source{Locations: map[string]*pb.Locations{}, Infos: []*pb.SourceInfo{
		{Filename: "Dockerfile", Data: make([]byte, 400<<10)},
	}}
	for i := range 10_000 {
		d := strings.Repeat("0", 50) + string(rune('a'+i%26)) + strings.Repeat("1", i%10) +
			time.Duration(i).String()
		def.Def = append(def.Def, bytes.Clone(op))
		def.Metadata[d] = &pb.OpMetadata{
			Description: map[string]string{"llb.customname": "[stage 1/2] COPY a b"},
			Caps:        map[string]bool{"source.image": true},
		}
		def.Source.Locations[d] = &pb.Locations{Locations: []*pb.Location{{
			Ranges: []*pb.Range{{Start: &pb.Position{Line: 3}, End: &pb.Position{Line: 3}}},
		}}}
	}
	require.InDelta(t, 6.5, float64(proto.Size(def))/mib, 1.5)
	return def
}

func TestAnHonestBuildOfTwentyLargePlatforms(t *testing.T) { //nolint:paralleltest // see above
	s := serveBroker(t, mediated)
	s.broker.daemon = gwpb.NewLLBBridgeClient(&slowDaemon{})
	def := largeDefinition(t)
	peakOf(t, func() {
		var platforms sync.WaitGroup
		for range 20 {
			platforms.Go(func() {
				_, err := s.Solve(context.Background(), &gwpb.SolveRequest{Definition: def})
				if err != nil {
					t.Error(err)
				}
			})
		}
		platforms.Wait()
	})
	require.NoError(t, s.broker.monitor.refused())
}
