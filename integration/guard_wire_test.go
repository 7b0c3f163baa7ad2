package integration

import (
	"bytes"
	"encoding/binary"
	"errors"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"

	"github.com/policy-frontend/policy-frontend/integration/harness"
)

// wireClient speaks HTTP/2 as no honest client does.
type wireClient struct {
	conn net.Conn

	mu      sync.Mutex
	framer  *http2.Framer // to write, under the lock
	headers *hpack.Encoder
	block   bytes.Buffer
	streams uint32

	changed  *sync.Cond
	window   int64 // of the connection
	initial  int64 // of a stream
	windows  map[uint32]int64
	statuses map[uint32]string
	ended    error
}

// dialWire connects as a user. window is how much the guard may send in a call.
func dialWire(t *testing.T, d *harness.Daemon, uid int, window uint32) *wireClient {
	t.Helper()
	conn, err := dialAs(strings.TrimPrefix(d.Addr, "unix://"), uid)
	require.NoError(t, err)
	t.Cleanup(func() { _ = conn.Close() })
	w := &wireClient{
		conn: conn, framer: http2.NewFramer(conn, conn), window: 65535, initial: 65535,
		windows: map[uint32]int64{}, statuses: map[uint32]string{},
	}
	w.changed = sync.NewCond(&w.mu)
	w.headers = hpack.NewEncoder(&w.block)
	w.framer.ReadMetaHeaders = hpack.NewDecoder(4096, nil)
	_, err = conn.Write([]byte(http2.ClientPreface))
	require.NoError(t, err)
	require.NoError(t, w.framer.WriteSettings(
		http2.Setting{ID: http2.SettingInitialWindowSize, Val: window}))
	go w.read()
	return w
}

func (w *wireClient) read() {
	for {
		frame, err := w.framer.ReadFrame()
		var stream http2.StreamError
		if errors.As(err, &stream) {
			continue
		}
		w.mu.Lock()
		if err != nil {
			w.ended = err
			w.changed.Broadcast()
			w.mu.Unlock()
			return
		}
		w.take(frame)
		w.changed.Broadcast()
		w.mu.Unlock()
	}
}

func (w *wireClient) take(frame http2.Frame) {
	switch f := frame.(type) {
	case *http2.SettingsFrame:
		if v, ok := f.Value(http2.SettingInitialWindowSize); ok {
			for id := range w.windows {
				w.windows[id] += int64(v) - w.initial
			}
			w.initial = int64(v)
		}
		if !f.IsAck() {
			_ = w.framer.WriteSettingsAck()
		}
	case *http2.PingFrame:
		if !f.IsAck() {
			_ = w.framer.WritePing(true, f.Data)
		}
	case *http2.WindowUpdateFrame:
		if f.StreamID == 0 {
			w.window += int64(f.Increment)
		} else {
			w.windows[f.StreamID] += int64(f.Increment)
		}
	case *http2.RSTStreamFrame:
		if w.statuses[f.StreamID] == "" {
			w.statuses[f.StreamID] = f.ErrCode.String()
		}
	case *http2.MetaHeadersFrame:
		for _, h := range f.Fields {
			if h.Name == "grpc-status" {
				w.statuses[f.StreamID] = h.Value
			}
		}
	}
}

// call begins a call.
func (w *wireClient) call(method string, pairs ...string) (uint32, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.streams++
	id := 2*w.streams - 1
	w.block.Reset()
	fields := append([]string{
		":method", "POST", ":scheme", "http", ":path", method, ":authority", "localhost",
		"content-type", "application/grpc", "te", "trailers",
	}, pairs...)
	for i := 0; i < len(fields); i += 2 {
		_ = w.headers.WriteField(hpack.HeaderField{Name: fields[i], Value: fields[i+1]})
	}
	w.windows[id] = w.initial
	return id, w.framer.WriteHeaders(http2.HeadersFrameParam{
		StreamID: id, BlockFragment: w.block.Bytes(), EndHeaders: true,
	})
}

// send sends data of a call in frames, as far as the guard lets it within a time. It returns false
// if the call has ended.
func (w *wireClient) send(id uint32, data []byte, frame int, within time.Duration) bool {
	late := time.AfterFunc(within, w.changed.Broadcast)
	defer late.Stop()
	began := time.Now()
	w.mu.Lock()
	defer w.mu.Unlock()
	for len(data) > 0 {
		for w.ended == nil && w.statuses[id] == "" && min(w.window, w.windows[id]) <= 0 {
			if time.Since(began) >= within {
				return true
			}
			w.changed.Wait()
		}
		if w.ended != nil || w.statuses[id] != "" {
			return false
		}
		n := min(int64(frame), int64(len(data)), w.window, w.windows[id])
		if w.framer.WriteData(id, false, data[:n]) != nil {
			return false
		}
		w.window, w.windows[id], data = w.window-n, w.windows[id]-n, data[n:]
	}
	return true
}

// sendPadded sends a frame of data and padding, whatever the guard lets it.
func (w *wireClient) sendPadded(id uint32, data, padding int) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.framer.WriteDataPadded(id, false, make([]byte, data), make([]byte, padding)) == nil
}

// finish ends the requests of a call.
func (w *wireClient) finish(id uint32) {
	w.mu.Lock()
	defer w.mu.Unlock()
	_ = w.framer.WriteData(id, true, nil)
}

// count returns how many calls have a status, which is a number of gRPC or a name of HTTP/2.
func (w *wireClient) count(status string) (n int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, s := range w.statuses {
		if s == status {
			n++
		}
	}
	return n
}

// messageOf returns a message as it is on the wire, with its size before it.
func messageOf(data []byte) []byte {
	return append(binary.BigEndian.AppendUint32([]byte{0}, uint32(len(data))), data...)
}
