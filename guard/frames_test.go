package guard

import (
	"bytes"
	"testing"

	"github.com/stretchr/testify/require"
	"golang.org/x/net/http2"
)

// framesIn returns the frames that are found in bytes which come in pieces of one size.
func framesIn(t *testing.T, s frames, sent []byte, piece int) (begun []frame, ended int) {
	t.Helper()
	for len(sent) > 0 {
		p := sent[:min(piece, len(sent))]
		sent = sent[len(p):]
		for len(p) > 0 {
			n, end := s.next(p, func(f frame) { begun = append(begun, f) })
			require.True(t, n > 0 && n <= len(p) && (end || n == len(p)))
			if end {
				ended++
			}
			p = p[n:]
		}
	}
	return begun, ended
}

func TestFramesAreFoundInAnyPieces(t *testing.T) {
	t.Parallel()
	var sent bytes.Buffer
	sent.WriteString(http2.ClientPreface)
	f := http2.NewFramer(&sent, nil)
	require.NoError(t, f.WriteSettings(http2.Setting{ID: http2.SettingInitialWindowSize, Val: 1}))
	require.NoError(t, f.WriteSettingsAck())
	require.NoError(t, f.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, BlockFragment: []byte("x")}))
	require.NoError(t, f.WriteContinuation(1, true, []byte("y")))
	require.NoError(t, f.WriteData(1, false, make([]byte, 300)))
	require.NoError(t, f.WriteData(1<<31-1, false, nil))
	require.NoError(t, f.WriteDataPadded(1, false, make([]byte, 7), make([]byte, 255)))
	require.NoError(t, f.WriteDataPadded(1, true, nil, make([]byte, 3)))
	require.NoError(t, f.WriteRawFrame(http2.FrameData, http2.FlagDataPadded, 1, nil))
	require.NoError(t, f.WriteRawFrame(http2.FrameData, http2.FlagDataPadded, 1, []byte{9}))
	require.NoError(t, f.WriteRSTStream(1, http2.ErrCodeCancel))
	want := []frame{
		{http2.FrameSettings, 0, 0, 6, 6},
		{http2.FrameSettings, http2.FlagSettingsAck, 0, 0, 0},
		{http2.FrameHeaders, 0, 1, 1, 1},
		{http2.FrameContinuation, http2.FlagContinuationEndHeaders, 1, 1, 1},
		{http2.FrameData, 0, 1, 300, 300},
		{http2.FrameData, 0, 1<<31 - 1, 0, 0},
		{http2.FrameData, http2.FlagDataPadded, 1, 263, 7},
		{http2.FrameData, http2.FlagDataPadded | http2.FlagDataEndStream, 1, 4, 0},
		{http2.FrameData, http2.FlagDataPadded, 1, 0, 0},
		{http2.FrameData, http2.FlagDataPadded, 1, 1, 0},
		{http2.FrameRSTStream, 0, 1, 4, 4},
	}
	for _, piece := range []int{1, 2, 7, 9, 10, 100, sent.Len()} {
		got, ended := framesIn(t, afterPreface(), sent.Bytes(), piece)
		require.Equal(t, want, got, "pieces of %d", piece)
		require.Equal(t, len(want)+1, ended, "with the preface")
	}
	require.True(t, want[3].endsHeaders())
	require.False(t, want[2].endsHeaders())
	require.True(t, want[7].endsStream())
	require.True(t, want[10].endsStream())
	require.False(t, want[4].endsStream())
	require.True(t, frame{kind: http2.FrameHeaders, flags: http2.FlagHeadersEndStream}.endsStream())
}
