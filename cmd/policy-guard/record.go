package main

import (
	"context"
	"io"
	"os"
	"os/signal"
	"syscall"

	"github.com/policy-frontend/policy-frontend/guard"
)

// onStdout is the value of --record for stdout.
const onStdout = "-"

// openRecord opens the record that --record names. It is nil if there is none.
func openRecord(file string, stdout io.Writer) (*guard.RecordFile, error) {
	switch file {
	case "":
		return nil, nil
	case onStdout:
		// When nobody reads stdout any more, the program goes on and lets no build begin.
		signal.Ignore(syscall.SIGPIPE)
		return guard.RecordTo(stdout), nil
	}
	return guard.OpenRecord(file)
}

// keepRecord opens the record again at each SIGHUP, for programs that have renamed it. The function
// that it returns closes the record.
func keepRecord(g *guard.Guard, record *guard.RecordFile) func() {
	if record == nil {
		return func() {}
	}
	hangups, end := make(chan os.Signal, 1), make(chan struct{})
	signal.Notify(hangups, syscall.SIGHUP)
	go func() {
		for {
			select {
			case <-hangups:
				_ = g.ReopenRecord() // the log says why it fails
			case <-end:
				return
			}
		}
	}()
	return func() {
		signal.Stop(hangups)
		close(end)
		ctx, cancel := context.WithTimeout(context.Background(), lastCalls)
		defer cancel()
		g.CloseRecord(ctx)
	}
}
