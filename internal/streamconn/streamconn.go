// Package streamconn lets gRPC speak over a stream that is no network connection, such as the
// standard input and output of a process.
package streamconn

import (
	"io"
	"net"
	"sync"
	"time"
)

// New returns the stream as a connection. Its addresses print the name. The connection has no
// deadlines of its own: the setters do nothing, and the stream decides how long it blocks.
func New(stream io.ReadWriteCloser, name string) net.Conn { return conn{stream, address(name)} }

type conn struct {
	io.ReadWriteCloser
	address address
}

func (c conn) LocalAddr() net.Addr              { return c.address }
func (c conn) RemoteAddr() net.Addr             { return c.address }
func (c conn) SetDeadline(time.Time) error      { return nil }
func (c conn) SetReadDeadline(time.Time) error  { return nil }
func (c conn) SetWriteDeadline(time.Time) error { return nil }

type address string

func (address) Network() string  { return "stream" }
func (a address) String() string { return string(a) }

// Listen returns a listener that accepts one existing connection. After that, Accept blocks until
// the listener is closed, and then returns [net.ErrClosed]. Close leaves the connection open.
func Listen(c net.Conn) net.Listener {
	l := &listener{conn: c, pending: make(chan net.Conn, 1), closed: make(chan struct{})}
	l.pending <- c
	return l
}

type listener struct {
	conn    net.Conn
	pending chan net.Conn
	closed  chan struct{}
	once    sync.Once
}

func (l *listener) Accept() (net.Conn, error) {
	select {
	case c := <-l.pending:
		return c, nil
	case <-l.closed:
		return nil, net.ErrClosed
	}
}

func (l *listener) Close() error {
	l.once.Do(func() { close(l.closed) })
	return nil
}

func (l *listener) Addr() net.Addr { return l.conn.LocalAddr() }
