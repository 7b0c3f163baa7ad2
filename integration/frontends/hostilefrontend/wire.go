package main

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/binary"
	"fmt"
	"io"
	"os"
	"strings"
	"sync"

	"github.com/moby/buildkit/client/llb"
	gwpb "github.com/moby/buildkit/frontend/gateway/pb"
	"google.golang.org/grpc"
)

// preface begins an HTTP/2 connection with empty settings.
const preface = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\x00\x00\x00\x04\x00\x00\x00\x00\x00"

// garbage writes bytes that aren't HTTP/2, and waits.
func garbage(options) error {
	noise := make([]byte, 64<<10)
	if _, err := rand.Read(noise); err != nil {
		return err
	}
	if _, err := os.Stdout.Write(noise); err != nil {
		return err
	}
	return never(options{argPrefix + "CHILD": "1"})
}

// prefaceAndGarbage begins a valid connection. Then it writes a frame that claims to be long.
func prefaceAndGarbage(options) error {
	if _, err := os.Stdout.WriteString(preface +
		"\x00\x3f\xff\x00\x00\x00\x00\x00\x01garbage"); err != nil {
		return err
	}
	return never(options{argPrefix + "CHILD": "1"})
}

func endlessStdout(options) error { return endless(os.Stdout) }

// endlessStderr fills the daemon's log, unless the daemon drops it.
func endlessStderr(options) error { return endless(os.Stderr) }

func endless(w io.Writer) error {
	line := []byte(strings.Repeat("endless ", 8<<10) + "\n")
	for {
		if _, err := w.Write(line); err != nil {
			return never(options{argPrefix + "CHILD": "1"})
		}
	}
}

// deaf asks for large answers and stops reading them. Its window allows the daemon to send more at
// once than fits in any pipe.
func deaf(o options) error {
	const window, questions = 1 << 30, 300
	size := 1 << 20
	if s := o.arg("SIZE"); s != "" {
		if _, err := fmt.Sscan(s, &size); err != nil {
			return err
		}
	}
	stdin := &stoppable{from: os.Stdin, stop: make(chan struct{})}
	b, err := connectBy(o, stdin, grpc.WithInitialWindowSize(window),
		grpc.WithInitialConnWindowSize(window))
	if err != nil {
		return err
	}
	ctx := context.Background()
	res, err := b.state(ctx, llb.Scratch().
		File(llb.Mkfile("/proof", 0o644, bytes.Repeat([]byte("x"), size))), evaluated)
	if err != nil {
		return err
	}
	close(stdin.stop)
	for range questions {
		go func() { _, _ = b.ReadFile(ctx, &gwpb.ReadFileRequest{Ref: id(res), FilePath: "/proof"}) }()
	}
	return never(options{argPrefix + "CHILD": "1"})
}

// stoppable is a reader that blocks for ever once it is stopped.
type stoppable struct {
	from io.Reader
	stop chan struct{}
}

func (s *stoppable) Read(p []byte) (int, error) {
	select {
	case <-s.stop:
		select {}
	default:
		return s.from.Read(p)
	}
}

// deafToPings sends pings, which all need an answer, and reads no answer.
func deafToPings(options) error {
	if _, err := os.Stdout.WriteString(preface); err != nil {
		return err
	}
	frame := append([]byte{0, 0, 8, 6, 0, 0, 0, 0, 0}, make([]byte, 8)...)
	for n := uint64(0); ; n++ {
		binary.BigEndian.PutUint64(frame[9:], n)
		if _, err := os.Stdout.Write(frame); err != nil {
			return never(options{argPrefix + "CHILD": "1"})
		}
	}
}

// streams opens many streams and leaves them open.
func streams(o options) error {
	const count = 100_000
	b, err := connect(o)
	if err != nil {
		return err
	}
	ctx := context.Background()
	var opened sync.WaitGroup
	for range count {
		opened.Go(func() { _, _ = b.ExecProcess(ctx) })
	}
	opened.Wait()
	return never(options{argPrefix + "CHILD": "1"})
}

// endlessSolving solves different definitions, one after the other.
func endlessSolving(o options) error {
	b, err := connect(o)
	if err != nil {
		return err
	}
	return b.solveForever(context.Background())
}

// endlessSolvingAtOnce does that a thousand times at once.
func endlessSolvingAtOnce(o options) error {
	const count = 1000
	b, err := connect(o)
	if err != nil {
		return err
	}
	var failed sync.WaitGroup
	for range count {
		// Solving fails, for example because there are too many.
		failed.Go(func() { _ = b.solveForever(context.Background()) })
	}
	failed.Wait()
	return never(options{argPrefix + "CHILD": "1"})
}

func (b *bridge) solveForever(ctx context.Context) error {
	for {
		if _, err := b.state(ctx, proof(rand.Text())); err != nil {
			return err
		}
	}
}
