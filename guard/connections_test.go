package guard

import (
	"errors"
	"net"
	"os"
	"testing"
	"time"

	controlapi "github.com/moby/buildkit/api/services/control"
	"github.com/stretchr/testify/require"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

func TestConnectionsAreBounded(t *testing.T) {
	t.Parallel()
	_, g := newDaemon(t)
	add := func(who Identity) (*counted, error) {
		a, b := net.Pipe()
		t.Cleanup(func() { _, _ = a.Close(), b.Close() })
		return g.clients.add(a, who)
	}
	var last *counted
	for range maxConnections {
		c, err := add("alice")
		require.NoError(t, err)
		last = c
	}
	_, err := add("alice")
	require.ErrorContains(t, err, "alice has 500 connections already")
	_, err = add("bob")
	require.NoError(t, err)
	require.Equal(t, maxConnections+1, g.Connections())
	require.NoError(t, last.Close())
	_ = last.Close() // counts once
	require.Equal(t, maxConnections, g.Connections())
	_, err = add("alice")
	require.NoError(t, err)
	_, err = add("alice")
	require.Error(t, err)

	for i := 0; g.Connections() < maxAllConnections; i++ {
		_, err := add(Identity(rune('a' + i/maxConnections)))
		require.NoError(t, err)
	}
	_, err = add("carol")
	require.ErrorContains(t, err, "all clients together have 4000 connections already")
}

// A client sees why its connection is refused.
func TestARefusedConnectionSaysWhy(t *testing.T) {
	t.Parallel()
	_, g := newDaemon(t)
	g.clients.of["alice"] = maxConnections
	ctx := of(t)
	var err error
	require.Eventually(t, func() bool { // a client that is late isn't told
		_, err = controlapi.NewControlClient(as(t, g, "alice")).Info(ctx, &controlapi.InfoRequest{})
		return status.Code(err) != codes.Unavailable
	}, soon, time.Millisecond)
	requireCode(t, codes.ResourceExhausted, err)
	require.ErrorContains(t, err, "alice has 500 connections already")
	g.clients.of["alice"] = 0
	_, err = controlapi.NewControlClient(as(t, g, "alice")).Info(ctx, &controlapi.InfoRequest{})
	require.NoError(t, err)
}

func TestAConnectionTakesMemoryUntilItIsClosed(t *testing.T) {
	t.Parallel()
	_, g := newDaemon(t)
	conn := as(t, g, "alice")
	_, err := controlapi.NewControlClient(conn).Info(t.Context(), &controlapi.InfoRequest{})
	require.NoError(t, err)
	require.Eventually(t, func() bool { return g.Memory() == heldByConnection },
		soon, time.Millisecond)
	require.NoError(t, conn.Close())
	require.Eventually(t, func() bool { return g.Memory() == 0 && g.Connections() == 0 },
		soon, time.Millisecond)
}

// Whoever opens connections and says nothing doesn't keep others from saying who they are.
func TestTheOldestOfTooManyHandshakesIsClosed(t *testing.T) {
	t.Parallel()
	var h handshakes
	var leave []func() bool
	conns := make([]net.Conn, maxHandshakes+2)
	for i := range conns {
		a, b := net.Pipe()
		t.Cleanup(func() { _, _ = a.Close(), b.Close() })
		conns[i] = b
		leave = append(leave, h.enter(a))
	}
	closed := func(c net.Conn) bool {
		_ = c.SetReadDeadline(time.Now().Add(10 * time.Millisecond))
		_, err := c.Read(make([]byte, 1))
		return !errors.Is(err, os.ErrDeadlineExceeded)
	}
	require.True(t, closed(conns[0]))
	require.True(t, closed(conns[1]))
	require.False(t, closed(conns[2]))
	require.False(t, closed(conns[maxHandshakes+1]))
	for i, f := range leave {
		require.Equal(t, i >= 2, f(), "the guard has closed two of them")
	}
	require.Zero(t, h.open.Len())
}

// The place of a client that is known the moment after is free again.
func TestAHandshakeThatWasClosedDoesNotCount(t *testing.T) {
	t.Parallel()
	_, g := newDaemon(t)
	creds := (&identify{
		handshake: func(conn net.Conn) (net.Conn, caller, error) {
			for range maxHandshakes {
				other, _ := net.Pipe()
				g.clients.handshakes.enter(other)
			}
			return conn, caller{id: "alice"}, nil
		},
	}).countedBy(g.clients)
	a, b := net.Pipe()
	_, _, err := creds.ServerHandshake(a)
	require.ErrorIs(t, err, errEvicted)
	_, err = b.Write([]byte("x"))
	require.Error(t, err, "the connection is closed")
	require.Zero(t, g.Connections())
	require.Zero(t, g.Memory())
}
