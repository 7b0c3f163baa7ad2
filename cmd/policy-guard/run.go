package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/spf13/pflag"
	"google.golang.org/grpc"

	"github.com/policy-frontend/policy-frontend/guard"
	"github.com/policy-frontend/policy-frontend/policy"
)

// Exit codes.
const (
	exitOK     = 0 // it was asked to end
	exitFailed = 1
	exitUsage  = 2 // wrong flags, or a policy that isn't valid
)

// drainTime is how long builds may go on after the program was asked to end.
const drainTime = 10 * time.Second

// flags are the program's flags.
type flags struct {
	policy, upstream, keyFile  string
	image                      string
	listen                     []string
	cert, certKey, clientCerts string
}

// parse reads the flags. help is their description.
func parse(args []string) (f flags, help string, err error) {
	set := pflag.NewFlagSet("policy-guard", pflag.ContinueOnError)
	set.SetOutput(io.Discard)
	set.SortFlags = false
	set.StringVar(&f.policy, "policy", "", "the `FILE` with the policy; each build reads it")
	set.StringArrayVar(&f.listen, "listen", nil,
		"an `ADDRESS` for clients, unix:///path or tcp://host:port; can be given several times")
	set.StringVar(&f.upstream, "upstream", "",
		"the `ADDRESS` of buildkitd, unix:///path or tcp://127.0.0.1:port")
	set.StringVar(&f.image, "image", "",
		"the `REFERENCE` of the policy image; it runs what the daemon can't hold to the policy")
	set.StringVar(&f.cert, "tls-cert", "", "the `FILE` with the certificate for tcp:// addresses")
	set.StringVar(&f.certKey, "tls-key", "", "the `FILE` with the certificate's key")
	set.StringVar(&f.clientCerts, "tls-client-ca", "",
		"the `FILE` with the authorities of clients' certificates")
	set.StringVar(&f.keyFile, "ref-key", "",
		"a `FILE` with at least 32 secret bytes; with it, clients see their history after a restart")
	help = "Usage: policy-guard --policy FILE --listen ADDRESS --upstream ADDRESS [flags]\n\n" +
		set.FlagUsages()
	if err := set.Parse(args); err != nil {
		return f, help, err
	}
	for name, value := range map[string]string{
		"policy": f.policy, "upstream": f.upstream, "listen": strings.Join(f.listen, ""),
	} {
		if value == "" {
			return f, help, fmt.Errorf("the flag --%s is missing", name)
		}
	}
	if set.NArg() > 0 {
		return f, help, fmt.Errorf("it takes no arguments: %s", set.Arg(0))
	}
	return f, help, nil
}

// usageError is an error of the person who started the program.
type usageError struct{ error }

// run runs the program until ctx ends, and returns its exit code.
func run(ctx context.Context, args []string, stderr io.Writer) int {
	f, help, err := parse(args)
	switch {
	case errors.Is(err, pflag.ErrHelp):
		fmt.Fprint(stderr, help)
		return exitOK
	case err != nil:
		fmt.Fprintf(stderr, "policy-guard: %v\n\n%s", err, help)
		return exitUsage
	}
	err = serve(ctx, f, stderr)
	var wrong usageError
	switch {
	case err == nil:
		return exitOK
	case errors.As(err, &wrong):
		fmt.Fprintf(stderr, "policy-guard: %v\n", err)
		return exitUsage
	}
	fmt.Fprintf(stderr, "policy-guard: %v\n", err)
	return exitFailed
}

// serve serves clients until ctx ends.
func serve(ctx context.Context, f flags, stderr io.Writer) error {
	if err := checkPolicy(f.policy); err != nil {
		return usageError{err}
	}
	key, err := readKey(f.keyFile)
	if err != nil {
		return usageError{err}
	}
	daemon, err := guard.Dial(f.upstream)
	if err != nil {
		return usageError{fmt.Errorf("--upstream: %w", err)}
	}
	defer daemon.Close()
	g, err := guard.New(daemon, guard.Options{
		PolicyPath: f.policy, Image: f.image, Key: key, Log: &lines{out: stderr},
	})
	if err != nil {
		return usageError{err}
	}
	open, err := f.open()
	if err != nil {
		return err
	}
	failed := make(chan error, len(open))
	servers := make([]*grpc.Server, len(open))
	for i, l := range open {
		s := g.Server(l.clients)
		servers[i] = s
		go func() { failed <- s.Serve(l.listener) }()
	}
	fmt.Fprintf(stderr, "policy-guard: ready on %s, before %s\n",
		strings.Join(f.listen, " "), f.upstream)
	running := len(open)
	select {
	case <-ctx.Done():
		err = nil
	case err = <-failed:
		running--
	}
	stop(servers)
	for range running { // each closes its socket
		if e := <-failed; !errors.Is(e, grpc.ErrServerStopped) { // it was stopped before it began
			err = errors.Join(err, e)
		}
	}
	return err
}

// stop lets calls end by themselves for a while.
func stop(servers []*grpc.Server) {
	late := time.AfterFunc(drainTime, func() {
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

// checkPolicy fails if the policy isn't valid.
func checkPolicy(path string) error {
	dir, err := os.OpenRoot(filepath.Dir(path))
	if err != nil {
		return err
	}
	defer dir.Close()
	_, err = policy.Load(dir.FS(), filepath.Base(path))
	return err
}

// readKey reads the key that names builds. A key that others can read is none.
func readKey(path string) ([]byte, error) {
	if path == "" {
		return nil, nil
	}
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	if info.Mode().Perm()&0o077 != 0 {
		return nil, fmt.Errorf("others than its owner have access to %s: chmod 600 it", path)
	}
	return os.ReadFile(path)
}

// lines writes each line of the log at once, with the program's name.
type lines struct {
	mu  sync.Mutex
	out io.Writer
}

// Write implements [io.Writer] for whole lines.
func (l *lines) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if _, err := fmt.Fprintf(l.out, "policy-guard: %s", b); err != nil {
		return 0, err
	}
	return len(b), nil
}
