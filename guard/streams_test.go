package guard

import (
	"bytes"
	"io"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	controlapi "github.com/moby/buildkit/api/services/control"
	"github.com/stretchr/testify/require"
	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
	"google.golang.org/grpc/test/bufconn"

	"github.com/policy-frontend/policy-frontend/internal/rawcall"
)

// rawClient speaks HTTP/2 frame by frame, as no client of gRPC does.
type rawClient struct {
	t      *testing.T
	conn   net.Conn
	framer *http2.Framer
	last   uint32 // stream

	mu    sync.Mutex
	taken map[uint32]int // bytes of answers, by stream
	ended map[uint32]bool
	gone  bool
}

// dialRaw connects to the guard as alice. Each stream has that window. The client reads what
// comes only if reads.
func dialRaw(t *testing.T, g *Guard, window uint32, reads bool) *rawClient {
	t.Helper()
	l := bufconn.Listen(8 << 10)
	s := g.Server(fixed("alice"))
	go func() { _ = s.Serve(l) }()
	t.Cleanup(s.Stop)
	conn, err := l.DialContext(t.Context())
	require.NoError(t, err)
	c := &rawClient{
		t: t, conn: conn, framer: http2.NewFramer(conn, nil),
		taken: map[uint32]int{}, ended: map[uint32]bool{},
	}
	t.Cleanup(func() { _ = conn.Close() })
	_, err = conn.Write([]byte(http2.ClientPreface))
	require.NoError(t, err)
	require.NoError(t, c.framer.WriteSettings(
		http2.Setting{ID: http2.SettingInitialWindowSize, Val: window}))
	if reads {
		go c.read()
	}
	return c
}

func (c *rawClient) read() {
	framer := http2.NewFramer(nil, c.conn)
	for {
		f, err := framer.ReadFrame()
		c.mu.Lock()
		if err != nil {
			c.gone = true
			c.mu.Unlock()
			return
		}
		if f.Header().Type == http2.FrameData {
			c.taken[f.Header().StreamID] += int(f.Header().Length)
		}
		if f.Header().Type == http2.FrameHeaders && f.Header().Flags.Has(http2.FlagHeadersEndStream) {
			c.ended[f.Header().StreamID] = true
		}
		c.mu.Unlock()
	}
}

// call begins a call, which is a stream.
func (c *rawClient) call(method string, pairs ...string) uint32 {
	c.t.Helper()
	var block bytes.Buffer
	h := hpack.NewEncoder(&block)
	all := append([]string{
		":method", "POST", ":scheme", "http", ":path", method, ":authority", "localhost",
		"content-type", "application/grpc", "te", "trailers",
	}, pairs...)
	for i := 0; i < len(all); i += 2 {
		f := hpack.HeaderField{Name: all[i], Value: all[i+1], Sensitive: true}
		require.NoError(c.t, h.WriteField(f))
	}
	c.last = max(1, c.last+2)
	if c.last%2 == 0 {
		c.last++
	}
	require.NoError(c.t, c.framer.WriteHeaders(http2.HeadersFrameParam{
		StreamID: c.last, BlockFragment: block.Bytes(), EndHeaders: true,
	}))
	return c.last
}

func (c *rawClient) data(id uint32, b []byte) {
	c.t.Helper()
	require.NoError(c.t, c.framer.WriteData(id, false, b))
}

func (c *rawClient) has(f func() bool) func() bool {
	return func() bool {
		c.mu.Lock()
		defer c.mu.Unlock()
		return f()
	}
}

const soon = 30 * time.Second

// requireFree waits until only that many bytes are taken.
func requireFree(t *testing.T, g *Guard, left int64) {
	t.Helper()
	require.Eventually(t, func() bool { return g.Memory() == left }, soon, time.Millisecond)
}

// answeredInfo makes a call that is answered, and whose answer the client doesn't take.
func answeredInfo(t *testing.T, d *fakeDaemon, c *rawClient) (id uint32) {
	t.Helper()
	before := len(d.all())
	id = c.call(control + "UpdateBuildHistory")
	req := &controlapi.UpdateBuildHistoryRequest{Ref: "b", Pinned: true}
	c.data(id, whole(mustMarshal(t, req)))
	require.Eventually(t, func() bool { return len(d.all()) > before }, soon, time.Millisecond)
	return id
}

// A client that doesn't take its answers can send on: gRPC keeps what it sends.
func TestAnAnsweredCallCountsUntilTheClientHasItsAnswer(t *testing.T) {
	t.Parallel()
	d, g := newDaemon(t)
	c := dialRaw(t, g, 0, true)
	var ids []uint32
	for range 10 {
		id := answeredInfo(t, d, c)
		for range 15 {
			c.data(id, make([]byte, 16<<10))
		}
		ids = append(ids, id)
	}
	require.Never(t, func() bool { return g.Memory() < 10*heldByCall }, 300*time.Millisecond,
		time.Millisecond)
	for _, id := range ids {
		require.NoError(t, c.framer.WriteWindowUpdate(id, 1<<20))
	}
	require.Eventually(t, c.has(func() bool { return len(c.ended) == len(ids) }), soon,
		time.Millisecond)
	requireFree(t, g, heldByConnection)

	id := answeredInfo(t, d, c)
	require.NoError(t, c.framer.WriteRSTStream(id, http2.ErrCodeCancel))
	requireFree(t, g, heldByConnection)
	answeredInfo(t, d, c)
	require.NoError(t, c.conn.Close())
	requireFree(t, g, 0)
}

// Errors have no data, so HTTP/2 always lets them through. The client doesn't read its socket.
func TestARefusedCallCountsUntilItsEndIsWritten(t *testing.T) {
	t.Parallel()
	_, g := newDaemon(t)
	g.clients.writing = 5 * time.Second
	c := dialRaw(t, g, 0, false)
	go func() {
		for range 400 {
			c.call("/no.such/Method")
		}
	}()
	require.Eventually(t, func() bool { return g.Memory() > 20*heldByCall }, soon, time.Millisecond)
	require.Eventually(t, func() bool { return g.Connections() == 0 }, soon, time.Millisecond,
		"a client that takes nothing loses its connection")
	requireFree(t, g, 0)
}

// The part of gRPC that writes has a stream until it comes to its end, which it doesn't while it
// waits for the client.
func TestAStreamThatIsResetCountsAsLongAsNothingCanBeWritten(t *testing.T) {
	t.Parallel()
	_, g := newDaemon(t)
	client, server := net.Pipe()
	conn, err := g.clients.add(server, "alice")
	require.NoError(t, err)
	conn.in, conn.newest = frames{}, 1 // without a preface
	go func() {
		for {
			if _, err := conn.Read(make([]byte, 100)); err != nil {
				return
			}
		}
	}()
	reset := func() {
		s := conn.begin(nil)
		require.NoError(t, s.serve())
		require.NoError(t, http2.NewFramer(client, nil).WriteRSTStream(s.id, http2.ErrCodeCancel))
		require.ErrorIs(t, s.done(errGone), errGone)
	}
	reset()
	requireFree(t, g, heldByConnection)

	const writes = maxWrites + 1
	go func() {
		for range writes {
			_, _ = conn.Write(make([]byte, frameHead))
		}
	}()
	_, err = client.Read(make([]byte, 1)) // the first write is under way
	require.NoError(t, err)
	reset()
	require.Never(t, func() bool { return g.Memory() < heldByConnection+heldByCall }, 3*quietTime,
		quietTime)
	_, err = io.ReadFull(client, make([]byte, writes*frameHead-2))
	require.NoError(t, err)
	require.Equal(t, int64(heldByConnection), g.Memory(), "there were many writes")

	reset()
	require.Equal(t, int64(heldByConnection+heldByCall), g.Memory())
	require.NoError(t, conn.Close())
	require.Zero(t, g.Memory())
}

func TestAnAnswerHasToBeTakenInTime(t *testing.T) {
	t.Parallel()
	d, g := newDaemon(t)
	d.version = strings.Repeat("x", 1000)
	g.clients.taking = 4 * time.Second
	c := dialRaw(t, g, 1, true)
	id := c.call(control + "Info")
	require.NoError(t, c.framer.WriteData(id, true, whole(nil)))
	stop := time.After(2 * g.clients.taking)
	for slow := true; slow; {
		select {
		case <-time.After(g.clients.taking / 40):
			require.NoError(t, c.framer.WriteWindowUpdate(id, 1), "a slow client goes on")
		case <-stop:
			slow = false
		}
	}
	require.True(t, c.has(func() bool { return !c.gone && c.taken[id] > 10 })())
	require.NotZero(t, g.Memory())
	require.Eventually(t, c.has(func() bool { return c.gone }), soon, time.Millisecond)
	requireFree(t, g, 0)
}

// Small and padded frames take several times what is in them.
func TestDataThatNobodyReadsCountsWithItsFrames(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		data, padding int
		sent          int
		times         float64
	}{
		"large frames":               {16 << 10, 0, rawcall.StreamWindow, 1},
		"frames of a few buffers":    {1025, 0, rawcall.StreamWindow - 2000, 1.3},
		"small frames":               {57, 0, rawcall.StreamWindow / 2, 3},
		"small frames, much padding": {57, 255, rawcall.StreamWindow / 2, 8},
		"frames of a byte":           {1, 0, 10_000, 100},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, g := newDaemon(t)
			g.builds.early = time.Hour
			c := dialRaw(t, g, 0, true)
			id := c.call(bridge+"Solve", buildIDHeader, "b") // waits for a build
			for n := 0; n < tc.sent; n += tc.data {
				if tc.padding == 0 {
					c.data(id, make([]byte, tc.data))
					continue
				}
				require.NoError(t, c.framer.WriteDataPadded(id, false, make([]byte, tc.data),
					make([]byte, tc.padding)))
			}
			want := max(heldByCall, int64(tc.times*float64(tc.sent)))
			require.Eventually(t, func() bool { return g.Memory() >= want }, soon, time.Millisecond)
			require.NoError(t, c.framer.WriteRSTStream(id, http2.ErrCodeCancel))
			requireFree(t, g, heldByConnection)
		})
	}
}

// What is read is no longer counted with its frames.
func TestDataThatIsReadCountsAsItsMessage(t *testing.T) {
	t.Parallel()
	_, g := newDaemon(t)
	c := dialRaw(t, g, 0, true)
	id := c.call(control + "Solve")
	const size = 1 << 20
	message := whole(make([]byte, size))
	for n := 0; n < rawcall.StreamWindow-64; n += 64 {
		c.data(id, message[n:n+64])
	}
	require.Eventually(t, func() bool {
		return g.Memory() >= size+heldByCall && g.Memory() < size+heldByCall+heldByConnection+2*step
	}, soon, time.Millisecond)
}

// Headers count, and those of several calls may come at once.
func TestHeadersOfACallCount(t *testing.T) {
	t.Parallel()
	_, g := newDaemon(t)
	c := dialRaw(t, g, 0, true)
	var both bytes.Buffer
	conn, framer := c.conn, c.framer
	c.framer = http2.NewFramer(&both, nil)
	var many []string
	for i := range 400 {
		many = append(many, "x-"+string(rune('a'+i%26))+string(rune('a'+i/26)), "")
	}
	waits := append([]string{buildIDHeader, "b"}, many...)
	first := c.call(bridge+"Solve", waits...)
	second := c.call(bridge+"Solve", waits...)
	c.data(second, make([]byte, 1))
	c.data(first, make([]byte, 250<<10/16))
	_, err := conn.Write(both.Bytes())
	require.NoError(t, err)
	c.framer = framer
	require.Eventually(t, func() bool { return g.Memory() == heldByConnection+2*heldByCall }, soon,
		time.Millisecond)
	for range 15 {
		c.data(first, make([]byte, 250<<10/16))
	}
	require.Eventually(t, func() bool {
		return g.Memory() > heldByConnection+2*heldByCall+400*2*heldByHeader-step/2
	}, soon, time.Millisecond, "the data of the first, with its headers")
	require.NoError(t, c.framer.WriteRSTStream(first, http2.ErrCodeCancel))
	requireFree(t, g, heldByConnection+heldByCall)
}

// A call for which there is no memory is refused, and its connection goes on.
func TestACallWithoutMemoryIsRefused(t *testing.T) {
	t.Parallel()
	d, g := newDaemon(t)
	g.memory = newMemory(MinMemory)
	other := g.memory.open("alice")
	c := dialRaw(t, g, 1<<20, true)
	requireFree(t, g, heldByConnection)
	require.NoError(t, other.take(t.Context(), MinMemory/2-heldByConnection-heldByCall+1))
	id := c.call(control + "UpdateBuildHistory")
	c.data(id, make([]byte, 16<<10))
	require.Eventually(t, c.has(func() bool { return c.ended[id] }), soon, time.Millisecond)
	require.Empty(t, d.all())
	other.close()
	answeredInfo(t, d, c)
	requireFree(t, g, heldByConnection)
}

// A frame that the transport would refuse takes no memory before that.
func TestAFrameThatIsTooLargeEndsTheConnection(t *testing.T) {
	t.Parallel()
	_, g := newDaemon(t)
	c := dialRaw(t, g, 0, true)
	id := c.call(bridge+"Solve", buildIDHeader, "b") // waits for a build
	require.Eventually(t, func() bool { return g.Memory() >= heldByCall }, soon, time.Millisecond)
	before := g.Memory()
	// The guard may close the connection before it has the whole frame.
	_ = c.framer.WriteRawFrame(http2.FrameData, 0, id, make([]byte, maxFrame+1))
	require.Eventually(t, c.has(func() bool { return c.gone }), soon, time.Millisecond)
	require.LessOrEqual(t, g.Memory(), before)
	requireFree(t, g, 0)
}
