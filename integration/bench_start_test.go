package integration

import (
	"archive/tar"
	"context"
	"errors"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/crane"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	gwpb "github.com/moby/buildkit/frontend/gateway/pb"
	"github.com/moby/buildkit/solver/pb"
	"github.com/stretchr/testify/require"
	"google.golang.org/grpc"

	"github.com/policy-frontend/policy-frontend/integration/harness"
	"github.com/policy-frontend/policy-frontend/internal/streamconn"
)

// BenchmarkStart measures a frontend's process from its start to its first request about the inner
// frontend. The policy frontend makes that request after it has decided on the name.
//
// It measures the image's program and the forwarder without policy in turn. Their stdin and stdout
// lead to a gateway of this test that answers nothing. So the figures contain neither a container
// nor a registry.
func BenchmarkStart(b *testing.B) {
	us, noop := extract(b, env.WithPolicy(b, corpPolicy)), extract(b,
		env.Registry.Ref(env.Frontend(b, harness.NoopForwarder)))
	var ours, theirs, diff, rss []float64
	for b.Loop() {
		a := firstRequest(b, us, "/policy-frontend")
		n := firstRequest(b, noop, "/noopforwarder")
		ours, theirs = append(ours, a.seconds*1000), append(theirs, n.seconds*1000)
		diff = append(diff, (a.seconds-n.seconds)*1000)
		rss = append(rss, a.peakMiB)
	}
	b.ReportMetric(median(ours), "ms-to-decision")
	b.ReportMetric(median(theirs), "ms-noop")
	b.ReportMetric(median(diff), "ms-over-noop")
	b.ReportMetric(median(rss), "MiB-peak")
	b.ReportMetric(0, "ns/op")
}

// extract unpacks an image's files to a folder.
func extract(b *testing.B, ref string) string {
	b.Helper()
	image, err := crane.Pull(ref, crane.Insecure)
	require.NoError(b, err)
	files := mutate.Extract(image)
	defer files.Close()
	root := b.TempDir()
	for r := tar.NewReader(files); ; {
		h, err := r.Next()
		if errors.Is(err, io.EOF) {
			return root
		}
		require.NoError(b, err)
		if h.Typeflag != tar.TypeReg {
			continue
		}
		name := filepath.Join(root, filepath.Clean("/"+h.Name))
		require.NoError(b, os.MkdirAll(filepath.Dir(name), 0o755))
		data, err := io.ReadAll(r)
		require.NoError(b, err)
		require.NoError(b, os.WriteFile(name, data, h.FileInfo().Mode()))
	}
}

type started struct{ seconds, peakMiB float64 }

// firstRequest runs the program as the daemon would, with root as its root folder.
func firstRequest(b *testing.B, root, program string) started {
	b.Helper()
	mine, theirs, err := socketPair()
	require.NoError(b, err)
	defer mine.Close()
	defer theirs.Close()

	cmd := exec.Command(program)
	cmd.SysProcAttr = &syscall.SysProcAttr{Chroot: root}
	cmd.Dir = "/"
	cmd.Env = []string{
		"BUILDKIT_SESSION_ID=bench", "BUILDKIT_WORKERS=[]", "BUILDKIT_EXPORTEDPRODUCT=buildkit",
		"BUILDKIT_FRONTEND_OPT_0=source=localhost:5000/policy-frontend:v1",
		"BUILDKIT_FRONTEND_OPT_1=cmdline=localhost:5000/policy-frontend:v1 docker/dockerfile:1",
	}
	cmd.Stdin, cmd.Stdout = theirs, theirs

	gateway := &silentGateway{asked: make(chan time.Time, 1), measured: make(chan struct{})}
	server := grpc.NewServer()
	gwpb.RegisterLLBBridgeServer(server, gateway)
	conn, err := net.FileConn(mine)
	require.NoError(b, err)
	served := make(chan struct{})
	go func() {
		defer close(served)
		_ = server.Serve(streamconn.Listen(conn))
	}()
	defer func() { server.Stop(); <-served }()

	start := time.Now()
	require.NoError(b, cmd.Start())
	theirs.Close()
	select {
	case at := <-gateway.asked:
		peak := peakMiB(b, cmd.Process.Pid)
		close(gateway.measured)
		_ = cmd.Wait() // it fails with the gateway's error
		return started{seconds: at.Sub(start).Seconds(), peakMiB: peak}
	case <-time.After(20 * time.Second):
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		b.Fatalf("%s asked nothing", program)
		return started{}
	}
}

// peakMiB returns the largest memory that a process has held so far. The resource usage that wait
// returns is useless here, because it includes this process before the exec.
func peakMiB(b *testing.B, pid int) float64 {
	b.Helper()
	return memoryOf(b, pid, "VmHWM")
}

// silentGateway claims every capability and fails the first request.
type silentGateway struct {
	gwpb.UnimplementedLLBBridgeServer
	asked    chan time.Time
	once     sync.Once
	measured chan struct{}
}

func (g *silentGateway) Ping(context.Context, *gwpb.PingRequest) (*gwpb.PongResponse, error) {
	return &gwpb.PongResponse{FrontendAPICaps: gwpb.Caps.All(), LLBCaps: pb.Caps.All()}, nil
}

func (g *silentGateway) Inputs(context.Context, *gwpb.InputsRequest) (*gwpb.InputsResponse, error) {
	return &gwpb.InputsResponse{}, nil
}

func (g *silentGateway) ResolveSourceMeta(
	context.Context, *gwpb.ResolveSourceMetaRequest,
) (*gwpb.ResolveSourceMetaResponse, error) {
	g.once.Do(func() { g.asked <- time.Now() })
	<-g.measured
	return nil, errors.New("not answered")
}

func (g *silentGateway) Return(context.Context, *gwpb.ReturnRequest) (*gwpb.ReturnResponse, error) {
	return &gwpb.ReturnResponse{}, nil
}

func socketPair() (mine, theirs *os.File, err error) {
	fds, err := syscall.Socketpair(syscall.AF_UNIX, syscall.SOCK_STREAM|syscall.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, nil, err
	}
	return os.NewFile(uintptr(fds[0]), "gateway"), os.NewFile(uintptr(fds[1]), "frontend"), nil
}
