package gatewaycodec

import "google.golang.org/grpc/mem"

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

// minWatched is the size in bytes from which package mem counts who uses a buffer.
const minWatched = 4 << 10

// Watch returns the bytes of a message so that written is called when they are freed. Bytes are
// freed in their order, so it watches the last large buffer. The small ones after it don't count:
// if all are small, written is called at once.
func Watch(data mem.BufferSlice, written func()) mem.BufferSlice {
	for i := len(data) - 1; i >= 0; i-- {
		last := data[i]
		if last.Len() < minWatched {
			continue
		}
		bytes := last.ReadOnlyData()
		data[i] = mem.NewBuffer(&bytes, onPut(func() {
			last.Free()
			written()
		}))
		return data
	}
	written()
	return data
}

// onPut is a pool that only sees a buffer come back.
type onPut func()

// Get implements [mem.BufferPool].
func (onPut) Get(length int) *[]byte {
	b := make([]byte, length)
	return &b
}

// Put implements [mem.BufferPool].
func (f onPut) Put(*[]byte) { f() }
