package main

import (
	"bytes"
	"cmp"
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"os"
	"strings"
	"sync"

	"github.com/moby/buildkit/client/llb"
	gwpb "github.com/moby/buildkit/frontend/gateway/pb"
	"github.com/moby/buildkit/solver/pb"
	spb "github.com/moby/buildkit/sourcepolicy/pb"
)

// Types and flags of HTTP/2 frames.
const (
	frameData         = 0
	frameHeaders      = 1
	frameWindowUpdate = 8
	endHeaders        = 4
)

func frame(kind, flags byte, stream uint32, payload []byte) error {
	head := []byte{
		byte(len(payload) >> 16), byte(len(payload) >> 8), byte(len(payload)), kind, flags,
	}
	_, err := os.Stdout.Write(append(binary.BigEndian.AppendUint32(head, stream), payload...))
	return err
}

// callHeaders is the block of headers that begins a call. The build-arg METHOD says of what, if not
// of Solve.
func callHeaders(o options) []byte {
	path := cmp.Or(o.arg("METHOD"), "/moby.buildkit.v1.frontend.LLBBridge/Solve")
	b := append([]byte{0x83, 0x86, 0x04, byte(len(path))}, path...)
	return append(b, "\x01\x01x\x0f\x10\x10application/grpc\x00\x02te\x08trailers"...)
}

// headerBombs begins calls with headers that decompress from 8 KiB to 16 MiB.
func headerBombs(o options) error {
	const size, calls = 4000, 1000
	go func() { _, _ = io.Copy(io.Discard, os.Stdin) }()
	if _, err := os.Stdout.WriteString(preface); err != nil {
		return err
	}
	for i := range uint32(calls) {
		block := append(callHeaders(o), "\x40\x05x-bin\x7f\xa1\x1e"...)
		block = append(block, bytes.Repeat([]byte("A"), size)...)
		block = append(block, bytes.Repeat([]byte{0xbe}, size)...) // the whole header again
		if frame(frameHeaders, endHeaders, 2*i+1, block) != nil {
			break
		}
	}
	return never(options{argPrefix + "CHILD": "1"})
}

// requestsWithoutEnd begins calls and sends their requests but for the last bytes, in frames of the
// size that the build-arg FRAME says: 1 for single bytes.
func requestsWithoutEnd(o options) error {
	const promised, calls = 16<<20 - 1, 128
	var size int
	if _, err := fmt.Sscan(o.arg("FRAME"), &size); err != nil {
		return err
	}
	w := &windows{left: map[uint32]int{0: 65535}}
	w.changed = sync.NewCond(&w.mu)
	go w.read()
	if _, err := os.Stdout.WriteString(preface); err != nil {
		return err
	}
	sent, chunk := map[uint32]int{}, make([]byte, size)
	for i := range uint32(calls) {
		stream := 2*i + 1
		head := binary.BigEndian.AppendUint32([]byte{0}, promised)
		if err := frame(frameHeaders, endHeaders, stream, callHeaders(o)); err != nil {
			return err
		}
		w.open(stream, len(head))
		if err := frame(frameData, 0, stream, head); err != nil {
			return err
		}
	}
	for {
		stream := w.take(size, func(stream uint32) bool { return sent[stream]+2*size < promised })
		if frame(frameData, 0, stream, chunk) != nil {
			return never(options{argPrefix + "CHILD": "1"})
		}
		sent[stream] += size
	}
}

// windows are the windows of flow control that the other side has given.
type windows struct {
	mu      sync.Mutex
	changed *sync.Cond
	left    map[uint32]int
}

func (w *windows) read() {
	head := make([]byte, 9)
	for {
		if _, err := io.ReadFull(os.Stdin, head); err != nil {
			return
		}
		body := make([]byte, int(head[0])<<16|int(head[1])<<8|int(head[2]))
		if _, err := io.ReadFull(os.Stdin, body); err != nil {
			return
		}
		if head[3] == frameWindowUpdate {
			w.mu.Lock()
			w.left[binary.BigEndian.Uint32(head[5:])] += int(binary.BigEndian.Uint32(body))
			w.changed.Broadcast()
			w.mu.Unlock()
		}
	}
}

func (w *windows) open(stream uint32, sent int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.left[stream] += 65535 - sent
	w.left[0] -= sent
}

// take waits for a stream that may send n bytes and isn't complete.
func (w *windows) take(n int, incomplete func(stream uint32) bool) uint32 {
	w.mu.Lock()
	defer w.mu.Unlock()
	for {
		for stream, left := range w.left {
			if stream > 0 && left >= n && w.left[0] >= n && incomplete(stream) {
				w.left[stream] -= n
				w.left[0] -= n
				return stream
			}
		}
		w.changed.Wait()
	}
}

// growingRequest is small to send and large to hold: it has millions of empty messages.
func growingRequest(ctx context.Context, b *bridge) (*gwpb.Result, error) {
	const count = 4 << 20
	empty := &spb.Policy{}
	req := &gwpb.SolveRequest{SourcePolicies: make([]*spb.Policy, count)}
	for i := range req.SourcePolicies {
		req.SourcePolicies[i] = empty
	}
	return b.solve(ctx, req)
}

// keeping has nested copies solve large definitions, which what runs them may keep.
func keeping(ctx context.Context, b *bridge) (*gwpb.Result, error) {
	return b.copies(ctx, 20, "keep", "what they keep is bounded")
}

// keep solves large definitions.
func keep(ctx context.Context, b *bridge) (*gwpb.Result, error) {
	const definitions, size = 2, 4 << 20
	for i := range definitions {
		text := strings.Repeat(string(rune('a'+i)), size)
		if _, err := b.file(ctx, "/large", text); err != nil {
			return nil, err
		}
	}
	return b.state(ctx, proof("kept"))
}

// crowd runs many nested copies at once.
func crowd(ctx context.Context, b *bridge) (*gwpb.Result, error) {
	return b.copies(ctx, 120, "prove", "all of them ran")
}

// copies runs copies of the frontend at once that make an attack.
func (b *bridge) copies(
	ctx context.Context, count int, attack, text string,
) (*gwpb.Result, error) {
	errs := make(chan error)
	for range count {
		go func() {
			_, err := b.nested(ctx, b.arg("SELF"), map[string]string{argPrefix + "ATTACK": attack}, nil)
			errs <- err
		}()
	}
	for range count {
		if err := <-errs; err != nil {
			return nil, err
		}
	}
	return b.state(ctx, proof(text))
}

// warnings sends 640 MB of warnings.
func warnings(ctx context.Context, b *bridge) (*gwpb.Result, error) {
	const count, size = 640, 1 << 20
	def, err := llb.Scratch().File(llb.Mkfile("/warned", 0o644, nil)).Marshal(ctx)
	if err != nil {
		return nil, err
	}
	step, err := def.Head()
	if err != nil {
		return nil, err
	}
	for range count {
		if _, err := b.Warn(ctx, &gwpb.WarnRequest{
			Digest: step.String(), Level: 1, Short: bytes.Repeat([]byte("w"), size),
		}); err != nil {
			return nil, err
		}
	}
	return b.state(ctx, proof("it warned"))
}

// leaveContainers makes many containers and never releases them. A program sleeps in the first.
func leaveContainers(ctx context.Context, b *bridge) (*gwpb.Result, error) {
	const count = 60
	def, err := image(b.arg("ALLOWED")).Marshal(ctx)
	if err != nil {
		return nil, err
	}
	res, err := b.definition(ctx, def.ToPB())
	if err != nil {
		return nil, err
	}
	for i := range count {
		if _, err := b.NewContainer(ctx, &gwpb.NewContainerRequest{
			ContainerID: fmt.Sprintf("%s%d", ownContainer(), i),
			Mounts:      []*pb.Mount{{Dest: "/", ResultID: id(res)}},
		}); err != nil {
			return nil, err
		}
	}
	if err := b.sleepIn(ctx, ownContainer()+"0"); err != nil {
		return nil, err
	}
	return nil, never(options{argPrefix + "CHILD": "1"})
}
