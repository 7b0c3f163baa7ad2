package main

import (
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/docker/go-units"
	"github.com/spf13/pflag"

	"github.com/policy-frontend/policy-frontend/guard"
)

// drainTime is how long builds may go on by default after the program was asked to end.
const drainTime = 10 * time.Second

// defaultMemory is [guard.DefaultMemory].
const defaultMemory = "1GiB"

// version is that of the program. The linker sets it.
var version = "dev"

// flags are the program's flags.
type flags struct {
	policy, upstream, keyFile  string
	image                      string
	listen                     []string
	cert, certKey, clientCerts string
	metrics, logFormat, record string
	memory                     string
	signKey, signCommand       string
	summaries                  string
	pushSummaries              bool
	insecure                   []string
	drain                      time.Duration
	acceptOldDaemon, version   bool
}

// parse reads the flags. help is their description.
func parse(args []string) (f flags, help string, err error) {
	set := pflag.NewFlagSet("policy-guard", pflag.ContinueOnError)
	set.SetOutput(io.Discard)
	set.SortFlags = false
	set.StringVar(&f.policy, "policy", "", "the `FILE` with the policy; changes count from the next "+
		"build on")
	set.StringArrayVar(&f.listen, "listen", nil, "an `ADDRESS` for clients: unix:///path, "+
		"tcp://host:port, or fd:// for the sockets that systemd passes; can be given several times")
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
	set.StringVar(&f.metrics, "metrics", "", "an `ADDRESS` for /metrics, /healthz and /readyz over "+
		"HTTP: tcp://host:port or unix:///path")
	set.StringVar(&f.logFormat, "log-format", "text",
		"the `FORMAT` of the log on stderr, text or json")
	set.StringVar(&f.record, "record", "", "the `FILE` to which a record of each build is added, or - "+
		"for stdout; no build begins that can't be recorded")
	set.StringVar(&f.memory, "memory", defaultMemory, "the memory that the requests and answers of "+
		"all clients may take, as a `SIZE`; the program takes up to twice as much")
	set.DurationVar(&f.drain, "drain", drainTime,
		"the `TIME` that builds under way have to end after SIGTERM")
	set.StringVar(&f.signKey, "sign-key", "", "the `FILE` with the private key that signs summaries of "+
		"images, or with the public key of --sign-command")
	set.StringVar(&f.signCommand, "sign-command", "", "the `COMMAND` that signs what it reads on its "+
		"standard input, for a key in a KMS or an HSM")
	set.StringVar(&f.summaries, "summaries", "", "the `FOLDER` for summaries")
	set.BoolVar(&f.pushSummaries, "push-summaries", false,
		"push each summary beside its image, with docker's credentials")
	set.StringArrayVar(&f.insecure, "insecure-registry", nil, "a `HOST`, with its port, to which "+
		"summaries may be pushed over plain HTTP; can be given several times")
	set.BoolVar(&f.version, "version", false, "print the version")
	set.BoolVar(&f.acceptOldDaemon, "accept-old-daemon", false,
		"let a buildkitd build that is too old to ask about everything that it reads")
	help = "Usage: policy-guard --policy FILE --listen ADDRESS --upstream ADDRESS [flags]\n\n" +
		set.FlagUsages()
	if err := set.Parse(args); err != nil {
		return f, help, err
	}
	return f, help, f.check(set.Args())
}

// check returns what is wrong with the flags.
func (f flags) check(args []string) error {
	if f.version {
		return nil
	}
	for name, value := range map[string]string{
		"policy": f.policy, "upstream": f.upstream, "listen": strings.Join(f.listen, ""),
	} {
		if value == "" {
			return fmt.Errorf("the flag --%s is missing", name)
		}
	}
	switch {
	case len(args) > 0:
		return fmt.Errorf("it takes no arguments: %s", args[0])
	case f.logFormat != "text" && f.logFormat != "json":
		return fmt.Errorf("--log-format is text or json, not %s", f.logFormat)
	case f.signKey == "" && (f.signCommand != "" || f.summaries != "" || f.pushSummaries):
		return errors.New("--sign-command, --summaries and --push-summaries need --sign-key")
	case len(f.insecure) > 0 && !f.pushSummaries:
		return errors.New("--insecure-registry needs --push-summaries")
	case f.drain < 0:
		return fmt.Errorf("--drain: %s is less than nothing", f.drain)
	}
	if _, err := f.memoryBytes(); err != nil {
		return fmt.Errorf("--memory: %w", err)
	}
	return nil
}

// memoryBytes returns the size of --memory.
func (f flags) memoryBytes() (int64, error) {
	n, err := units.RAMInBytes(f.memory)
	if err != nil || n < guard.MinMemory || n > maxMemory {
		return 0, fmt.Errorf("%q isn't a size from %s to %s", f.memory,
			units.BytesSize(guard.MinMemory), units.BytesSize(maxMemory))
	}
	return n, nil
}

// maxMemory bounds --memory. Larger sizes are mistakes.
const maxMemory = 1 << 50
