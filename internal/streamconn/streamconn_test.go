package streamconn

import (
	"bytes"
	"io"
	"net"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// buffer is a stream in memory that knows whether it was closed.
type buffer struct {
	bytes.Buffer
	closed bool
}

func (b *buffer) Close() error {
	b.closed = true
	return nil
}

func TestAConnectionIsItsStream(t *testing.T) {
	t.Parallel()
	stream := &buffer{}
	c := New(stream, "inner frontend")

	_, err := c.Write([]byte("hello"))
	require.NoError(t, err)
	got, err := io.ReadAll(c)
	require.NoError(t, err)
	require.Equal(t, "hello", string(got))

	require.Equal(t, "inner frontend", c.LocalAddr().String())
	require.Equal(t, "inner frontend", c.RemoteAddr().String())
	require.NoError(t, c.SetDeadline(time.Time{}))
	require.NoError(t, c.Close())
	require.True(t, stream.closed)
}

func TestAListenerAcceptsOneConnection(t *testing.T) {
	t.Parallel()
	c := New(&buffer{}, "inner frontend")
	l := Listen(c)
	require.Equal(t, "inner frontend", l.Addr().String())

	accepted, err := l.Accept()
	require.NoError(t, err)
	require.Equal(t, c, accepted)

	ended := make(chan error)
	go func() {
		_, err := l.Accept()
		ended <- err
	}()
	require.NoError(t, l.Close())
	require.NoError(t, l.Close())
	require.ErrorIs(t, <-ended, net.ErrClosed)
}
