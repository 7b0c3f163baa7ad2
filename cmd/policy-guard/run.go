package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"runtime/debug"
	"strings"
	"sync"
	"time"

	"github.com/spf13/pflag"
	"google.golang.org/grpc"

	"github.com/policy-frontend/policy-frontend/guard"
)

// Exit codes.
const (
	exitOK     = 0 // it was asked to end
	exitFailed = 1
	exitUsage  = 2 // wrong flags, or a policy that isn't valid
)

const (
	// askTime is how long the daemon may take at the start to tell its version.
	askTime = 10 * time.Second
	// lastCalls is how long clients may take for their last calls when no build is under way any
	// more.
	lastCalls = 2 * time.Second
)

// usageError is an error of the person who started the program.
type usageError struct{ error }

// run runs the program until ctx ends, and returns its exit code.
func run(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	f, help, err := parse(args)
	switch {
	case errors.Is(err, pflag.ErrHelp):
		fmt.Fprint(stderr, help)
		return exitOK
	case err != nil:
		fmt.Fprintf(stderr, "policy-guard: %v\n\n%s", err, help)
		return exitUsage
	}
	if f.version {
		fmt.Fprintln(stderr, "policy-guard", version)
		return exitOK
	}
	out := newOutput(stderr, f.logFormat)
	err = serve(ctx, f, stdout, out)
	var wrong usageError
	switch {
	case err == nil:
		return exitOK
	case errors.As(err, &wrong):
		out.failed(err)
		return exitUsage
	}
	out.failed(err)
	return exitFailed
}

// output is what the program says on stderr: a log, and lines about the program itself.
type output struct {
	log  *slog.Logger
	text io.Writer // nil if everything is in the log
}

func newOutput(stderr io.Writer, format string) output {
	if format == "json" {
		return output{log: slog.New(slog.NewJSONHandler(stderr, nil))}
	}
	return output{log: slog.New(slog.NewTextHandler(stderr, nil)), text: stderr}
}

// ready says that the program accepts clients.
func (o output) ready(listen []string, upstream string) {
	if o.text == nil {
		o.log.Info("ready", "listen", listen, "upstream", upstream)
		return
	}
	fmt.Fprintf(o.text, "policy-guard: ready on %s, before %s\n", strings.Join(listen, " "), upstream)
}

// failed says why the program ends.
func (o output) failed(err error) {
	if o.text == nil {
		o.log.Error("policy-guard ends", "why", err.Error())
		return
	}
	fmt.Fprintf(o.text, "policy-guard: %v\n", err)
}

// serve serves clients until ctx ends.
func serve(ctx context.Context, f flags, stdout io.Writer, out output) error {
	key, err := readKey(f.keyFile)
	if err != nil {
		return usageError{err}
	}
	memory, err := f.memoryBytes()
	if err != nil {
		return usageError{err}
	}
	summaries, err := f.signed()
	if err != nil {
		return usageError{err}
	}
	debug.SetMemoryLimit(2 * memory) // near it, Go collects its garbage more often
	daemon, err := guard.Dial(f.upstream)
	if err != nil {
		return usageError{fmt.Errorf("--upstream: %w", err)}
	}
	defer daemon.Close()
	record, err := openRecord(f.record, stdout)
	if err != nil {
		return usageError{fmt.Errorf("--record: %w", err)}
	}
	m := newMetrics()
	g, err := guard.New(daemon, guard.Options{
		PolicyPath: f.policy, Image: f.image, Key: key, AcceptOldDaemon: f.acceptOldDaemon,
		Memory: memory, Log: out.log, Observer: m, Record: record,
		Summaries: summaries,
	})
	if err != nil {
		return usageError{err}
	}
	defer keepRecord(g, record)()
	if err := checkDaemon(ctx, g, f, out.log); err != nil {
		return err
	}
	open, err := f.open(out.log)
	if err != nil {
		return err
	}
	web, err := openWeb(f.metrics, m, g)
	if err != nil {
		closeAll(open)
		return err
	}
	defer web.close()
	failed := make(chan error, len(open)+1)
	servers := make([]*grpc.Server, len(open))
	for i, l := range open {
		s := g.Server(l.clients)
		servers[i] = s
		go func() { failed <- s.Serve(l.listener) }()
	}
	go func() { failed <- web.serve() }()
	out.ready(addresses(open), f.upstream)
	tellManager(isReady, out.log)
	running := len(open)
	select {
	case <-ctx.Done():
		err = nil
	case err = <-failed:
		running--
	}
	tellManager(isStopping, out.log)
	end(g, servers, f.drain, out.log)
	web.close()
	for range running + 1 { // each closes its socket
		if e := <-failed; !errors.Is(e, grpc.ErrServerStopped) { // it was stopped before it began
			err = errors.Join(err, e)
		}
	}
	return err
}

// checkDaemon fails if the daemon is too old. A daemon that doesn't answer may come later: its
// version is checked for each build.
func checkDaemon(ctx context.Context, g *guard.Guard, f flags, log *slog.Logger) error {
	ctx, cancel := context.WithTimeout(ctx, askTime)
	defer cancel()
	err := g.CheckDaemon(ctx)
	var old *guard.OldDaemonError
	switch {
	case errors.As(err, &old) && f.acceptOldDaemon:
		log.Warn("the daemon is too old, and accepted", "version", old.Version, "lacks",
			strings.Join(old.Lacks, "; "))
	case errors.As(err, &old):
		return fmt.Errorf("%w (--accept-old-daemon lets it build all the same)", err)
	case err != nil:
		log.Warn("the daemon doesn't answer, and no build can begin until it does", "upstream",
			f.upstream, "why", err.Error())
	}
	return nil
}

// end lets the builds under way end, for a while, and then stops the servers.
func end(g *guard.Guard, servers []*grpc.Server, drain time.Duration, log *slog.Logger) {
	log.Info("ending", "builds", g.Builds())
	ctx, cancel := context.WithTimeout(context.Background(), drain)
	defer cancel()
	last := lastCalls
	if left := g.Drain(ctx); left > 0 {
		log.Warn("builds under way are ended", "builds", left)
		last = 0
	}
	late := time.AfterFunc(last, func() {
		for _, s := range servers {
			s.Stop()
		}
	})
	defer late.Stop()
	var wait sync.WaitGroup
	for _, s := range servers {
		wait.Go(s.GracefulStop)
	}
	wait.Wait()
}

// readKey reads the key that names builds. A key that others can read is none. The file's group may
// read it: Kubernetes and systemd give a secret to a program in that way.
func readKey(path string) ([]byte, error) {
	if path == "" {
		return nil, nil
	}
	return readSecret(path)
}

// readSecret reads a file that others than its owner and its group have no access to.
func readSecret(path string) ([]byte, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	if info.Mode().Perm()&0o027 != 0 {
		return nil, fmt.Errorf("others than its owner and its group have access to %s, or the group can "+
			"write it: chmod 600 it", path)
	}
	return os.ReadFile(path)
}
