package integration

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"maps"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	controlapi "github.com/moby/buildkit/api/services/control"
	"github.com/stretchr/testify/require"
	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
	"google.golang.org/grpc"

	"github.com/policy-frontend/policy-frontend/integration/harness"
)

const (
	// floodTime is how long a flood lasts, and floods how many connections make it.
	floodTime = 3 * time.Second
	floods    = 4
	// maxFlooded is how much memory a guard may ever have had under these floods, in MiB. It has had
	// about 130. Without the bounds of calls and headers, it has more than 330.
	maxFlooded = 256
)

// flood is what a client does with a connection to a guard. It returns when the guard ends the
// connection or doesn't read any more, which is for the guard to choose.
type flood struct {
	run  func(*flooder) error
	deaf bool // it reads nothing
}

// flooder is a connection of HTTP/2 as its client writes it. The framer checks nothing.
type flooder struct {
	*http2.Framer
	stream  uint32
	headers bytes.Buffer
	encoder *hpack.Encoder
}

// newFlooder connects as bob and sends the preface.
func newFlooder(t *testing.T, path string, deaf bool) *flooder {
	t.Helper()
	conn, err := dialAs(path, bob)
	require.NoError(t, err)
	t.Cleanup(func() { conn.Close() })
	require.NoError(t, conn.SetDeadline(time.Now().Add(floodTime)))
	_, err = io.WriteString(conn, http2.ClientPreface)
	require.NoError(t, err)
	if !deaf {
		go func() { _, _ = io.Copy(io.Discard, conn) }()
	}
	f := &flooder{Framer: http2.NewFramer(conn, nil), stream: 1}
	f.AllowIllegalWrites = true
	f.encoder = hpack.NewEncoder(&f.headers)
	return f
}

// fields encodes the headers of a call, and more of them.
func (f *flooder) fields(method string, more ...string) []byte {
	f.headers.Reset()
	for _, h := range []hpack.HeaderField{
		{Name: ":method", Value: "POST"},
		{Name: ":scheme", Value: "http"},
		{Name: ":path", Value: method},
		{Name: ":authority", Value: "x"},
		{Name: "content-type", Value: "application/grpc"},
		{Name: "te", Value: "trailers"},
	} {
		_ = f.encoder.WriteField(h)
	}
	for i := 0; i+1 < len(more); i += 2 {
		_ = f.encoder.WriteField(hpack.HeaderField{Name: more[i], Value: more[i+1]})
	}
	return f.headers.Bytes()
}

// call begins a call, and returns its stream.
func (f *flooder) call(method string, more ...string) (uint32, error) {
	id := f.stream
	f.stream += 2
	return id, f.WriteHeaders(http2.HeadersFrameParam{
		StreamID: id, BlockFragment: f.fields(method, more...), EndHeaders: true,
	})
}

// until calls step until it fails.
func until(step func() error) error {
	for {
		if err := step(); err != nil {
			return err
		}
	}
}

// Methods whose calls are passed on, and judged.
const (
	infoMethod  = "/moby.buildkit.v1.Control/Info"
	solveMethod = "/moby.buildkit.v1.Control/Solve"
)

// noMessage is a message of gRPC without a field.
var noMessage = make([]byte, 5)

// httpFloods are floods of HTTP/2.
func httpFloods() map[string]flood {
	control := func(step func(*flooder) error) func(*flooder) error {
		return func(f *flooder) error {
			if err := f.WriteSettings(); err != nil {
				return err
			}
			return until(func() error { return step(f) })
		}
	}
	return map[string]flood{
		// CVE-2023-44487. gRPC reads no further call as long as the handlers of 1000 go on.
		"calls that are reset at once": {run: control(func(f *flooder) error {
			id, err := f.call(infoMethod)
			if err != nil {
				return err
			}
			if err := f.WriteData(id, true, noMessage); err != nil {
				return err
			}
			return f.WriteRSTStream(id, http2.ErrCodeCancel)
		})},
		"calls of judged methods that are reset at once": {run: control(func(f *flooder) error {
			id, err := f.call(solveMethod)
			if err != nil {
				return err
			}
			if err := f.WriteData(id, false, []byte{0, 0, 0xff, 0xff, 0xff, 0}); err != nil {
				return err
			}
			return f.WriteRSTStream(id, http2.ErrCodeCancel)
		})},
		"calls of unknown methods": {run: control(func(f *flooder) error {
			_, err := f.call("/x/" + strings.Repeat("y", 1000))
			return err
		})},
		// The guard bounds the calls of a connection (maxStreams), and resets further ones.
		"calls that never end": {run: control(func(f *flooder) error {
			_, err := f.call(solveMethod)
			return err
		})},
		// The guard bounds the headers of a call (maxHeaders). By default, gRPC takes 16 MiB.
		"headers that decompress to a thousand times": {run: func(f *flooder) error {
			if err := f.WriteSettings(); err != nil {
				return err
			}
			bomb := []string{"a", strings.Repeat("b", 3000)}
			for len(bomb) < 10_000 { // a byte each, by the table of the first one
				bomb = append(bomb, bomb[0], bomb[1])
			}
			return until(func() error {
				_, err := f.call(solveMethod, bomb...)
				return err
			})
		}},
		"headers that never end": {run: func(f *flooder) error {
			if err := f.WriteHeaders(http2.HeadersFrameParam{
				StreamID: 1, BlockFragment: f.fields(infoMethod),
			}); err != nil {
				return err
			}
			return until(func() error {
				return f.WriteContinuation(1, false, bytes.Repeat([]byte("\x00\x01a\x01b"), 3000))
			})
		}},
		"pieces of headers without anything": {run: func(f *flooder) error {
			if err := f.WriteHeaders(http2.HeadersFrameParam{
				StreamID: 1, BlockFragment: f.fields(infoMethod),
			}); err != nil {
				return err
			}
			return until(func() error { return f.WriteContinuation(1, false, nil) })
		}},
		// gRPC reads on when some of what it has to say has been taken.
		"settings whose acknowledgements nobody reads": {run: control(func(f *flooder) error {
			return f.WriteSettings(http2.Setting{ID: http2.SettingMaxFrameSize, Val: 1 << 14})
		}), deaf: true},
		"settings with many values": {run: control(func(f *flooder) error {
			return f.WriteSettings(slices.Repeat([]http2.Setting{
				{ID: http2.SettingInitialWindowSize, Val: 1},
			}, 2000)...)
		})},
		"pings whose answers nobody reads": {run: control(func(f *flooder) error {
			return f.WritePing(false, [8]byte{})
		}), deaf: true},
		"pings": {run: control(func(f *flooder) error {
			return f.WritePing(false, [8]byte{})
		})},
		"windows that grow": {run: control(func(f *flooder) error {
			return f.WriteWindowUpdate(0, 1)
		})},
		"data without anything": {run: func(f *flooder) error {
			if err := f.WriteSettings(); err != nil {
				return err
			}
			id, err := f.call(solveMethod)
			if err != nil {
				return err
			}
			return until(func() error { return f.WriteData(id, false, nil) })
		}},
		"data in no call": {run: control(func(f *flooder) error {
			f.stream += 2
			return f.WriteData(f.stream, false, make([]byte, 1000))
		})},
		"frames that nobody knows": {run: control(func(f *flooder) error {
			return f.WriteRawFrame(0xee, 0, 1, make([]byte, 1000))
		})},
		"priorities": {run: control(func(f *flooder) error {
			f.stream += 2
			return f.WritePriority(f.stream, http2.PriorityParam{StreamDep: f.stream + 2})
		})},
		// The answers wait in the guard, and each call waits with its own.
		"answers that find no window": {run: func(f *flooder) error {
			if err := f.WriteSettings(
				http2.Setting{ID: http2.SettingInitialWindowSize, Val: 0},
			); err != nil {
				return err
			}
			return until(func() error {
				id, err := f.call(infoMethod)
				if err != nil {
					return err
				}
				return f.WriteData(id, true, noMessage)
			})
		}},
		"no HTTP/2 at all": {run: func(f *flooder) error {
			return until(func() error {
				return f.WriteRawFrame(0, 0xff, 0xffffffff, []byte("GET / HTTP/1.1\r\n\r\n"))
			})
		}},
	}
}

// peakMemory returns how much memory a process has had at most, in MiB.
func peakMemory(t *testing.T, pid int) int {
	t.Helper()
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	require.NoError(t, err)
	m := regexp.MustCompile(`VmHWM:\s+(\d+) kB`).FindSubmatch(data)
	require.NotNil(t, m)
	kib, err := strconv.Atoi(string(m[1]))
	require.NoError(t, err)
	return kib >> 10
}

// goroutines returns how many goroutines a guard has that serves its metrics on a socket.
func goroutines(t *testing.T, socket string) int {
	t.Helper()
	_, body := get(t, socket, "/metrics")
	m := regexp.MustCompile(`(?m)^go_goroutines (\d+)$`).FindStringSubmatch(body)
	require.NotNil(t, m)
	n, err := strconv.Atoi(m[1])
	require.NoError(t, err)
	return n
}

// Whatever one client floods a guard with, others are served, little memory is taken, and nothing
// is left of it. Most of that is gRPC's doing, and these tests see that it stays so.
func TestGuardStandsFloodsOfHTTP2(t *testing.T) { //nolint:paralleltest // it measures a process
	socket := filepath.Join(t.TempDir(), "metrics")
	g := env.Guard(t, harness.DaemonConfig{}, guardPolicy, "--metrics", "unix://"+socket)
	path := strings.TrimPrefix(g.Addr, "unix://")
	alice := clientOf(t, g.Daemon, 0)
	answered := func() error {
		_, err := controlapi.NewControlClient(alice).Info(withHeaders(t), &controlapi.InfoRequest{},
			grpc.WaitForReady(true))
		return err
	}
	require.NoError(t, answered())
	before := goroutines(t, socket)
	all := httpFloods()
	for _, name := range slices.Sorted(maps.Keys(all)) {
		t.Run(name, func(t *testing.T) {
			var running sync.WaitGroup
			ended := make(chan error, floods)
			for range floods {
				f := newFlooder(t, path, all[name].deaf)
				running.Go(func() { ended <- all[name].run(f) })
			}
			served := 0
			for over := time.After(floodTime); ; served++ {
				require.NoError(t, answered(), "alice is served during the flood")
				select {
				case <-over:
				default:
					continue
				}
				break
			}
			running.Wait()
			for range floods {
				require.Error(t, <-ended, "it floods until it can't")
			}
			peak := peakMemory(t, g.Pid())
			t.Logf("alice had %d answers, and the guard at most %d MiB", served, peak)
			require.Less(t, peak, maxFlooded)
		})
	}
	require.True(t, harness.Poll(time.Minute, func() bool {
		return goroutines(t, socket) <= before+20
	}), "%d goroutines are left, and there were %d", goroutines(t, socket), before)
	dir, out := harness.WriteContext(t, dockerfile("")), t.TempDir()
	g.Buildx(t, dir, "build", "-o", out, ".").RequireSuccess(t)
	require.Equal(t, "ran\n", read(t, filepath.Join(out, "out")))
}

// A client that stops in the middle of what it sends holds up nobody.
func TestGuardAndAClientThatStopsInTheMiddle(t *testing.T) {
	t.Parallel()
	g := env.Guard(t, harness.DaemonConfig{}, guardPolicy)
	path := strings.TrimPrefix(g.Addr, "unix://")
	whole := func(f *flooder) []byte {
		var b bytes.Buffer
		b.WriteString(http2.ClientPreface)
		to := http2.NewFramer(&b, nil)
		require.NoError(t, to.WriteSettings())
		require.NoError(t, to.WriteHeaders(http2.HeadersFrameParam{
			StreamID: 1, BlockFragment: f.fields(solveMethod), EndHeaders: true,
		}))
		require.NoError(t, to.WriteData(1, true, append([]byte{0, 0, 0, 0, 9}, "\x0a\x09too short"...)))
		return b.Bytes()
	}
	f := &flooder{}
	f.encoder = hpack.NewEncoder(&f.headers)
	bytes := whole(f)
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	for n := range bytes { // it stays connected after each byte
		conn, err := (&net.Dialer{}).DialContext(ctx, "unix", path)
		require.NoError(t, err)
		t.Cleanup(func() { conn.Close() })
		_, err = conn.Write(bytes[:n])
		require.NoError(t, err)
	}
	_, err := controlapi.NewControlClient(clientOf(t, g.Daemon, 0)).Info(ctx,
		&controlapi.InfoRequest{})
	require.NoError(t, err)
	dir := harness.WriteContext(t, dockerfile(""))
	g.Buildx(t, dir, "build", ".").RequireSuccess(t)
}
