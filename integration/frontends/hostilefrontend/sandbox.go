package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"time"

	gwpb "github.com/moby/buildkit/frontend/gateway/pb"
)

// network looks for a network, and connects to something outside.
func network(ctx context.Context, b *bridge) (*gwpb.Result, error) {
	interfaces, err := net.Interfaces()
	if err != nil {
		return nil, err
	}
	for _, i := range interfaces {
		if i.Flags&net.FlagLoopback == 0 && i.Flags&net.FlagUp != 0 {
			return b.state(ctx, proof("it has the interface "+i.Name))
		}
	}
	conn, err := net.DialTimeout("tcp", b.arg("ADDRESS"), 5*time.Second)
	if err != nil {
		return nil, err
	}
	conn.Close()
	return b.state(ctx, proof("it reached "+b.arg("ADDRESS")))
}

// root looks for rights that only root has.
func root(ctx context.Context, b *bridge) (*gwpb.Result, error) {
	var rights []string
	if os.Getuid() == 0 || os.Geteuid() == 0 || os.Getgid() == 0 {
		rights = append(rights, fmt.Sprintf("it is user %d and group %d", os.Geteuid(), os.Getgid()))
	}
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return nil, err
	}
	for line := range strings.Lines(string(status)) {
		name, set, _ := strings.Cut(strings.TrimSpace(line), ":")
		if name == "CapEff" || name == "CapPrm" || name == "CapInh" || name == "CapAmb" {
			if strings.Trim(set, "\t0") != "" {
				rights = append(rights, "it has capabilities: "+line)
			}
		}
	}
	if len(rights) == 0 {
		return nil, errors.New("it has no rights of root")
	}
	return b.state(ctx, proof(strings.Join(rights, "\n")))
}

// write creates files where a frontend shouldn't.
func write(ctx context.Context, b *bridge) (*gwpb.Result, error) {
	var written []string
	var errs []error
	for _, dir := range []string{
		"/", "/etc", "/run", "/run/config/buildkit/metadata", "/sys/fs/cgroup", "/proc/sys/kernel",
	} {
		name := filepath.Join(dir, "written")
		if err := os.WriteFile(name, []byte("by a frontend"), 0o600); err != nil {
			errs = append(errs, err)
			continue
		}
		written = append(written, name)
	}
	if len(written) == 0 {
		return nil, fmt.Errorf("it could write nothing: %w", errors.Join(errs...))
	}
	return b.state(ctx, proof(strings.Join(written, "\n")))
}

// readFiles reads files that may belong to others, also through the processes that it sees.
func readFiles(ctx context.Context, b *bridge) (*gwpb.Result, error) {
	var found []string
	for path := range strings.SplitSeq(b.arg("FILES"), ":") {
		names := []string{path}
		through, err := filepath.Glob("/proc/[0-9]*/root" + path)
		if err != nil {
			return nil, err
		}
		for _, name := range append(names, through...) {
			if data, err := os.ReadFile(name); err == nil {
				found = append(found, fmt.Sprintf("%s: %d bytes", name, len(data)))
			}
		}
	}
	for _, e := range os.Environ() {
		if strings.Contains(e, "POLICY_FRONTEND") {
			found = append(found, e)
		}
	}
	if len(found) == 0 {
		return nil, errors.New("it could read nothing")
	}
	return b.state(ctx, proof(strings.Join(found, "\n")))
}

// unknownMethod calls a method that the gateway's API doesn't have.
func unknownMethod(ctx context.Context, b *bridge) (*gwpb.Result, error) {
	var errs []error
	for _, method := range []string{
		"/moby.buildkit.v1.frontend.LLBBridge/Conjure",
		"/moby.buildkit.v1.Control/DiskUsage",
		"/moby.buildkit.v1.Control/Info",
		"/grpc.reflection.v1.ServerReflection/ServerReflectionInfo",
	} {
		err := b.conn.Invoke(ctx, method, &gwpb.PingRequest{}, &gwpb.ReturnResponse{})
		if err == nil {
			return b.state(ctx, proof(method+" answered"))
		}
		errs = append(errs, err)
	}
	return nil, errors.Join(errs...)
}
