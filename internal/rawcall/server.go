package rawcall

import (
	"slices"
	"time"

	"github.com/containerd/containerd/v2/defaults"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/experimental"
	"google.golang.org/grpc/keepalive"
	"google.golang.org/grpc/mem"
	"google.golang.org/grpc/tap"
)

// Bounds of a client's connection.
const (
	// MaxMessage is the largest message in bytes, in both directions. It is the daemon's own.
	MaxMessage = defaults.DefaultMaxRecvMsgSize
	// maxStreams is how many calls a connection can have at the same time. Further ones wait in the
	// client. A build needs about ten, and bake makes many builds over one connection.
	maxStreams = 1000
	// workers is how many goroutines wait for calls. The stack of each has grown already, which takes
	// a new one longer than what it serves. Further calls have goroutines of their own.
	workers = 16
	// maxHeaders bounds the headers of a call in bytes. A session lists the methods that it serves,
	// which takes two kilobytes.
	maxHeaders = 32 << 10
	// StreamWindow is how many bytes of a call the connection takes before somebody reads them. A
	// client on the other side of a slow network sends no faster than this in the time of a round
	// trip. A small window also costs time on the same machine: the two take turns more often.
	StreamWindow = 1 << 20
	// DaemonWindow is how many bytes of a call the daemon's connection takes before somebody reads
	// them. The daemon is near.
	DaemonWindow = 64 << 10
	// daemonBuffer is how many bytes are written to the daemon's connection at once, or read from it.
	// There is one such connection. gRPC's own buffer is a little smaller than what a client sends of
	// its files at once, which took two writes.
	daemonBuffer = 128 << 10
	// connWindow is how many bytes of all calls of a connection are on their way.
	connWindow = 4 << 20
	// handshakeTimeout bounds the time until a new connection has sent its first settings.
	handshakeTimeout = 20 * time.Second
	// idleTimeout is how long a connection without calls stays open. A client connects again.
	idleTimeout = 10 * time.Minute
	// pingTime and pingTimeout find connections whose client is gone.
	pingTime    = time.Minute
	pingTimeout = 20 * time.Second
	// minPing is the shortest time between two pings of a client.
	minPing = 10 * time.Second
)

// buffers are the sizes of the buffers that a frame of data takes, in bytes. The largest frame has
// 16 KiB. gRPC's own pool has nothing between 4 KiB and that.
var buffers = []int{
	1280, 1536, 1792, 2048, 2560, 3072, 4 << 10, 5 << 10, 6 << 10, 8 << 10, 10 << 10, 12 << 10,
	14 << 10, 16 << 10,
}

// BufferSize returns the size of the buffer for a frame of data with that many bytes.
func BufferSize(frame int) int {
	i, _ := slices.BinarySearch(buffers, frame)
	if i == len(buffers) {
		return frame
	}
	return buffers[i]
}

// Server returns a server that hands each call to serve, whatever its method. Messages of its
// streams are a *[Frame]. arrive is called before that, with the headers of the call, and must not
// block. It may be nil.
func Server(
	creds credentials.TransportCredentials, arrive tap.ServerInHandle, serve grpc.StreamHandler,
) *grpc.Server {
	return grpc.NewServer(
		grpc.InTapHandle(arrive),
		experimental.BufferPool(mem.NewTieredBufferPool(slices.Clone(buffers)...)),
		grpc.Creds(creds),
		grpc.ForceServerCodecV2(Codec{}),
		grpc.UnknownServiceHandler(serve),
		grpc.MaxRecvMsgSize(MaxMessage),
		grpc.MaxSendMsgSize(MaxMessage),
		grpc.MaxConcurrentStreams(maxStreams),
		grpc.NumStreamWorkers(workers),
		grpc.MaxHeaderListSize(maxHeaders),
		grpc.ConnectionTimeout(handshakeTimeout),
		grpc.InitialWindowSize(StreamWindow),
		grpc.InitialConnWindowSize(connWindow),
		grpc.KeepaliveParams(keepalive.ServerParameters{
			MaxConnectionIdle: idleTimeout, Time: pingTime, Timeout: pingTimeout,
		}),
		grpc.KeepaliveEnforcementPolicy(keepalive.EnforcementPolicy{
			MinTime: minPing, PermitWithoutStream: true,
		}),
	)
}

// Dial returns a connection without TLS to the daemon at an address as gRPC writes it. It connects
// when it is used, and again whenever it breaks.
func Dial(target string) (*grpc.ClientConn, error) {
	return grpc.NewClient(target,
		grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithAuthority("localhost"),
		grpc.WithIdleTimeout(0),
		// What a client doesn't read waits at the daemon.
		grpc.WithReadBufferSize(daemonBuffer),
		grpc.WithWriteBufferSize(daemonBuffer),
		grpc.WithInitialWindowSize(DaemonWindow),
		grpc.WithInitialConnWindowSize(connWindow),
		// A call that may have reached the daemon isn't made twice.
		grpc.WithDisableRetry(),
		grpc.WithDefaultCallOptions(
			grpc.MaxCallRecvMsgSize(MaxMessage), grpc.MaxCallSendMsgSize(MaxMessage)),
	)
}
