package guard

import (
	"encoding/binary"

	"golang.org/x/net/http2"
)

// frame is what a frame of HTTP/2 says before its payload (RFC 9113, section 4.1).
type frame struct {
	kind   http2.FrameType
	flags  http2.Flags
	stream uint32
	size   int // of its payload
	data   int // of a DATA frame, how much of the payload isn't padding
}

const (
	frameHead = 9 // bytes
	// anyFrame is the kind of what comes before the first frame of a client.
	anyFrame http2.FrameType = 0xff
)

// frames finds the frames in what one side of a connection sends, in whatever pieces it comes.
type frames struct {
	head  [frameHead + 1]byte // the last byte is the length of the padding
	got   int                 // bytes of head
	now   frame               // the one that has begun last
	begun bool                // now hasn't ended
	left  int                 // bytes of now that haven't come
}

// afterPreface are the frames of a client, which sends some bytes before them.
func afterPreface() frames {
	return frames{now: frame{kind: anyFrame}, begun: true, left: len(http2.ClientPreface)}
}

// next reads up to the end of a frame, or all bytes if there is none. n is how many bytes it has
// read. It calls begins for a frame of which it has read the head.
func (s *frames) next(p []byte, begins func(frame)) (n int, ended bool) {
	for n < len(p) && !s.begun {
		s.head[s.got] = p[n]
		s.got, n = s.got+1, n+1
		if s.got < frameHead {
			continue
		}
		s.now = s.parse()
		padded := s.now.kind == http2.FrameData && s.now.flags.Has(http2.FlagDataPadded)
		if padded && s.now.size > 0 && s.got == frameHead {
			continue
		}
		s.begun, s.left = true, s.now.size-(s.got-frameHead)
		begins(s.now)
	}
	if !s.begun {
		return n, false
	}
	skip := min(s.left, len(p)-n)
	n, s.left = n+skip, s.left-skip
	if s.left > 0 {
		return n, false
	}
	s.begun, s.got = false, 0
	return n, true
}

// parse returns the frame to which the head belongs.
func (s *frames) parse() frame {
	f := frame{
		kind: http2.FrameType(s.head[3]), flags: http2.Flags(s.head[4]),
		stream: binary.BigEndian.Uint32(s.head[5:]) & (1<<31 - 1),
		size:   int(binary.BigEndian.Uint32(s.head[:4]) >> 8),
	}
	f.data = f.size
	if s.got > frameHead {
		f.data = max(0, f.size-1-int(s.head[frameHead]))
	}
	return f
}

// endsHeaders reports whether a stream has all of its headers by this frame.
func (f frame) endsHeaders() bool {
	return f.kind == http2.FrameHeaders && f.flags.Has(http2.FlagHeadersEndHeaders) ||
		f.kind == http2.FrameContinuation && f.flags.Has(http2.FlagContinuationEndHeaders)
}

// endsStream reports whether the side that sends this frame sends no more in its stream.
func (f frame) endsStream() bool {
	return f.kind == http2.FrameRSTStream ||
		f.kind == http2.FrameHeaders && f.flags.Has(http2.FlagHeadersEndStream) ||
		f.kind == http2.FrameData && f.flags.Has(http2.FlagDataEndStream)
}
