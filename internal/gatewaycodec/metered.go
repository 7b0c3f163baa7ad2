package gatewaycodec

import (
	"sync/atomic"

	"google.golang.org/grpc/mem"
)

// Incoming is a message whose receiver decides by its size whether it is read.
type Incoming struct {
	// Message is what the message is read into.
	Message any
	// Accept gets an estimate of the bytes of memory that the message will take. If it returns
	// an error, the message isn't read.
	Accept func(bytes int) error
	// Err is the error of Accept. It isn't the error of the codec, because a server would
	// answer a call with that one at once.
	Err error
}

func (in *Incoming) accept(size int) bool {
	if in.Err == nil {
		in.Err = in.Accept(size)
	}
	return in.Err == nil
}

// Outgoing is a message whose sender has to know when it no longer takes memory. Marshal takes the
// message out of it, so that a message doesn't take memory beside its bytes.
type Outgoing struct {
	Message any
	// Written is called once, when the connection has taken the message or drops it. It isn't
	// called for a connection that breaks.
	Written func()
}

// Watch returns the bytes of a message so that written is called once, when they are freed. Bytes
// are freed in their order, so it watches the last buffer.
func Watch(data mem.BufferSlice, written func()) mem.BufferSlice {
	if len(data) == 0 {
		data = mem.BufferSlice{mem.SliceBuffer(nil)}
	}
	last := len(data) - 1
	w := &watched{Buffer: data[last], freed: written}
	w.refs.Store(1)
	data[last] = w
	return data
}

// watched is a buffer that counts its users itself: package mem doesn't count those of small ones.
type watched struct {
	mem.Buffer
	refs  atomic.Int32
	freed func()
}

// Ref implements [mem.Buffer].
func (w *watched) Ref() { w.refs.Add(1) }

// Free implements [mem.Buffer].
func (w *watched) Free() {
	if w.refs.Add(-1) == 0 {
		w.Buffer.Free()
		w.freed()
	}
}
