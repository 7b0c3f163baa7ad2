package main

import (
	"errors"
	"fmt"
	"net"
	"os"
	"strings"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"github.com/policy-frontend/policy-frontend/internal/rawcall"
)

// passAll serves at one address what the daemon serves at another, by the code with which
// policy-guard passes on calls. Each method is passed on, with all headers of the client. The
// channel is closed when the server has ended.
func passAll(listen, behind string) (ended <-chan struct{}, stop func(), err error) {
	daemon, err := rawcall.Dial(behind)
	if err != nil {
		return nil, nil, err
	}
	listener, err := net.Listen("unix", strings.TrimPrefix(listen, "unix://"))
	if err != nil {
		return nil, nil, errors.Join(err, daemon.Close())
	}
	every := func(_ any, stream grpc.ServerStream) error { return passOn(daemon, stream) }
	server := rawcall.Server(insecure.NewCredentials(), nil, every)
	done := make(chan struct{})
	go func() {
		defer close(done)
		if err := server.Serve(listener); err != nil {
			fmt.Fprintln(os.Stderr, "suite:", err)
		}
	}()
	return done, func() { server.Stop(); <-done; _ = daemon.Close() }, nil
}

func passOn(daemon grpc.ClientConnInterface, stream grpc.ServerStream) error {
	ctx := stream.Context()
	method, ok := grpc.MethodFromServerStream(stream)
	if !ok {
		return status.Error(codes.Internal, "a call without a method")
	}
	if headers, ok := metadata.FromIncomingContext(ctx); ok {
		ctx = metadata.NewOutgoingContext(ctx, headers) // gRPC leaves out its own
	}
	return rawcall.Pipe{
		Client: stream, Daemon: daemon, Method: method,
		Headers: []string{"buildkit-current-timestamp"}, // those that policy-guard passes on
		Error:   func(err error) error { return err },
	}.Run(ctx)
}
