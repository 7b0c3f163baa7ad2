package integration

import (
	"bytes"
	"crypto/tls"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	controlapi "github.com/moby/buildkit/api/services/control"
	"github.com/moby/buildkit/client/llb"
	gwpb "github.com/moby/buildkit/frontend/gateway/pb"
	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/proto"

	"github.com/policy-frontend/policy-frontend/integration/harness"
)

const (
	// exhausted is the status ResourceExhausted.
	exhausted = "8"
	// maxGuard is what policy-guard may take with --memory=256MiB, in MiB: twice as much and 128 MiB.
	// Each of the attacks would take more than 900 MiB.
	maxGuard = 2*256 + 128
	// attackTime is how long a client tries to send what the guard doesn't take yet.
	attackTime = 5 * time.Second
)

// attackers are users who work together.
var attackers = []int{bob, bob - 1, bob - 2}

// guardMemoryAttacks are attacks on the memory of policy-guard by one user. They return how many
// calls were refused because there was no memory.
func guardMemoryAttacks(
	g *harness.Guarded,
) map[string]func(t *testing.T, uid int) (refused int) {
	const solve = "/moby.buildkit.v1.Control/Solve"
	endless := append([]byte{0, 0, 0xff, 0xff, 0xff}, bytes.Repeat([]byte{0}, 16<<20-1024)...)
	growing := messageOf(bytes.Repeat([]byte{0x6a, 0}, 8<<20-8))
	// each runs on each of some streams of some connections at once.
	each := func(
		t *testing.T, uid, conns, calls int, window uint32, attack func(w *wireClient, i int),
	) (refused int) {
		var wait sync.WaitGroup
		var all []*wireClient
		for range conns {
			w := dialWire(t, g.Daemon, uid, window)
			all = append(all, w)
			for i := range calls {
				wait.Go(func() { attack(w, i) })
			}
		}
		wait.Wait()
		for _, w := range all {
			refused += w.count(exhausted)
		}
		return refused
	}
	return map[string]func(*testing.T, int) int{
		"64 messages of 16 MiB that never end": func(t *testing.T, uid int) int {
			return each(t, uid, 4, 16, 65535, func(w *wireClient, _ int) {
				if id, err := w.call(solve); err == nil {
					w.send(id, endless, 16<<10, attackTime)
				}
			})
		},
		// gRPC compacts what comes in small frames.
		"8 messages of 1 MiB that come byte by byte": func(t *testing.T, uid int) int {
			return each(t, uid, 2, 4, 65535, func(w *wireClient, _ int) {
				if id, err := w.call(solve); err == nil {
					w.send(id, endless[:1<<20], 1, 3*attackTime)
				}
			})
		},
		"64 messages that grow to a gigabyte when they are read": func(t *testing.T, uid int) int {
			return each(t, uid, 4, 16, 65535, func(w *wireClient, _ int) {
				if id, err := w.call(solve); err == nil && w.send(id, growing, 16<<10, 2*attackTime) {
					w.finish(id)
				}
			})
		},
		"4000 calls whose handlers don't read": func(t *testing.T, uid int) int {
			return each(t, uid, 4, 1000, 65535, func(w *wireClient, i int) {
				id, err := w.call("/moby.buildkit.v1.frontend.LLBBridge/Solve",
					headerBuildID, fmt.Sprintf("nobodys%d", i))
				if err == nil {
					w.send(id, endless[:256<<10], 16<<10, attackTime/2)
				}
			})
		},
		// gRPC's own pool has buffers of 4 KiB for frames of 1025 bytes.
		"1000 answered calls that send on in small frames": func(t *testing.T, uid int) int {
			return each(t, uid, 4, 250, 0, func(w *wireClient, _ int) {
				id, err := w.call("/grpc.health.v1.Health/Check")
				if err == nil && w.send(id, messageOf(nil), 5, attackTime) {
					w.send(id, endless[:250<<10], 1025, attackTime)
				}
				harness.Poll(attackTime, func() bool { return w.count("0") > 0 })
			})
		},
		"256 answered calls that send on in padded frames": func(t *testing.T, uid int) int {
			return each(t, uid, 4, 64, 0, func(w *wireClient, _ int) {
				id, err := w.call("/grpc.health.v1.Health/Check")
				if err != nil || !w.send(id, messageOf(nil), 5, attackTime) {
					return
				}
				for range 4000 {
					if !w.sendPadded(id, 57, 255) {
						return
					}
				}
				harness.Poll(attackTime, func() bool { return w.count("0") > 0 })
			})
		},
		"64 answers of 15 MB that nobody reads": func(t *testing.T, uid int) int {
			id, ref := largeFile(t, g, uid)
			request, err := proto.Marshal(&gwpb.ReadFileRequest{Ref: ref, FilePath: "/large"})
			require.NoError(t, err)
			return each(t, uid, 4, 16, 0, func(w *wireClient, _ int) {
				call, err := w.call("/moby.buildkit.v1.frontend.LLBBridge/ReadFile",
					headerBuildID, id)
				if err == nil {
					w.send(call, messageOf(request), 16<<10, attackTime)
					w.finish(call)
				}
				// The guard may answer meanwhile.
				harness.Poll(attackTime, func() bool { return w.count(exhausted) == 16 })
			})
		},
	}
}

// largeFile begins a build of a user, and has it make a file of 15 MB.
func largeFile(t *testing.T, g *harness.Guarded, uid int) (build, ref string) {
	t.Helper()
	build = fmt.Sprintf("large%d", time.Now().UnixNano())
	c := clientOf(t, g.Daemon, uid)
	go func() {
		_, _ = controlapi.NewControlClient(c).Solve(t.Context(),
			&controlapi.SolveRequest{Ref: build, Cache: &controlapi.CacheOptions{}})
	}()
	def, err := llb.Image("busybox").Run(
		llb.Shlex("dd if=/dev/zero of=/large bs=1000000 count=15")).Root().Marshal(t.Context())
	require.NoError(t, err)
	resp, err := gwpb.NewLLBBridgeClient(c).Solve(
		withHeaders(t, headerBuildID, build), &gwpb.SolveRequest{
			Definition: def.ToPB(), AllowResultReturn: true, AllowResultArrayRef: true, Evaluate: true,
		})
	require.NoError(t, err)
	return build, resp.GetResult().GetRef().GetId()
}

// guardPeak returns the peak of the guard's memory while f runs, in MiB.
func guardPeak(t *testing.T, g *harness.Guarded, f func()) float64 {
	t.Helper()
	dir := fmt.Sprintf("/proc/%d/", g.Pid())
	require.NoError(t, os.WriteFile(dir+"clear_refs", []byte("5"), 0)) // VmHWM begins again
	f()
	status, err := os.ReadFile(dir + "status")
	require.NoError(t, err)
	return mebibytes(string(status), "VmHWM:")
}

// Whatever clients send or don't read, policy-guard stays within its memory, and others build.
func TestGuardWithinMemory(t *testing.T) {
	t.Parallel()
	socket := filepath.Join(t.TempDir(), "metrics")
	g := env.Guard(t, harness.DaemonConfig{}, guardPolicy+"llb: allow\n", "--memory", "256MiB",
		"--metrics", "unix://"+socket)
	dir := harness.WriteContext(t, dockerfile(""))
	build := func() {
		g.Buildctl(t, byBuildctl(dir, "docker/dockerfile:1")...).RequireSuccess(t)
	}
	idle := func() bool {
		_, body := get(t, socket, "/metrics")
		return strings.Contains(body, "\npolicy_guard_memory_bytes 0\n") &&
			strings.Contains(body, "\npolicy_guard_connections 0\n")
	}
	build()
	for name, attack := range guardMemoryAttacks(g) {
		uids := attackers
		if strings.Contains(name, "byte by byte") {
			uids = uids[:1] // three take minutes
		}
		t.Run(fmt.Sprintf("%s, by %d", name, len(uids)), func(t *testing.T) {
			require.True(t, harness.Poll(time.Minute, idle), "nothing is left of the attack before")
			began, refused := time.Now(), 0
			peak := guardPeak(t, g, func() {
				var wait sync.WaitGroup
				var mu sync.Mutex
				for _, uid := range uids {
					wait.Go(func() {
						n := attack(t, uid)
						mu.Lock()
						defer mu.Unlock()
						refused += n
					})
				}
				harness.Poll(attackTime, func() bool { return !idle() })
				build() // meanwhile
				wait.Wait()
				build()
			})
			t.Logf("| %s | %.0f MiB | %.0f s | %d refused |", t.Name(), peak,
				time.Since(began).Seconds(), refused)
			require.LessOrEqual(t, peak, float64(maxGuard))
		})
	}
	require.True(t, harness.Poll(20*time.Second, idle), "nothing is left of it")
}

// A client with 1,000 connections keeps nobody out.
func TestGuardAndIdleConnections(t *testing.T) {
	socket := filepath.Join(t.TempDir(), "metrics")
	g := env.Guard(t, harness.DaemonConfig{}, guardPolicy, "--metrics", "unix://"+socket)
	dir := harness.WriteContext(t, dockerfile(""))
	var all []*wireClient
	for range 1000 {
		all = append(all, dialWire(t, g.Daemon, bob, 65535))
	}
	require.True(t, harness.Poll(20*time.Second, func() bool {
		_, body := get(t, socket, "/metrics")
		full := strings.Contains(body, "\npolicy_guard_connections 500\n")
		if !full { // of so many at once, some are closed before the guard knows their user
			all = append(all, dialWire(t, g.Daemon, bob, 65535))
		}
		return full
	}))
	require.True(t, harness.Poll(20*time.Second, func() bool {
		w := dialWire(t, g.Daemon, bob, 65535)
		all = append(all, w) // it is one of the 500 if the guard has just closed another one
		id, err := w.call("/moby.buildkit.v1.Control/Info")
		return err == nil && w.send(id, messageOf(nil), 100, time.Second) &&
			harness.Poll(time.Second, func() bool { return w.count(exhausted) == 1 })
	}))
	g.Buildctl(t, byBuildctl(dir, "docker/dockerfile:1")...).RequireSuccess(t)
	require.Contains(t, g.Log(), "has 500 connections already")
	for _, w := range all {
		_ = w.conn.Close()
	}
	require.True(t, harness.Poll(20*time.Second, func() bool {
		_, body := get(t, socket, "/metrics")
		return strings.Contains(body, "\npolicy_guard_connections 0\n")
	}))
}

// Who connects and doesn't say who it is takes neither all file descriptors nor anybody's place.
func TestGuardAndSilentConnections(t *testing.T) {
	c := newCertificates(t)
	c.issue(t, "guard")
	c.issue(t, "alice")
	hostPort := freeAddress(t)
	g := env.Guard(t, harness.DaemonConfig{}, guardPolicy, "--listen", "tcp://"+hostPort,
		"--tls-cert", c.file("guard.pem"), "--tls-key", c.file("guard.key"),
		"--tls-client-ca", c.file("ca.pem"))
	for i := range 1500 {
		conn, err := net.Dial("tcp", hostPort)
		require.NoError(t, err)
		t.Cleanup(func() { _ = conn.Close() })
		if i%2 == 0 { // half of them begin to speak
			secure := tls.Client(conn, &tls.Config{InsecureSkipVerify: true})
			_ = secure.SetDeadline(time.Now().Add(50 * time.Millisecond))
			go func() { _ = secure.Handshake() }()
		}
	}
	descriptors := func() int {
		all, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", g.Pid()))
		require.NoError(t, err)
		return len(all)
	}
	// After 20 seconds, all of them would be closed.
	require.True(t, harness.Poll(10*time.Second, func() bool { return descriptors() < 600 }),
		"%d descriptors", descriptors())
	g.Buildctl(t, "--addr", "tcp://"+hostPort, "--tlsservername", "localhost", "--tlscacert",
		c.file("ca.pem"), "--tlscert", c.file("alice.pem"), "--tlskey", c.file("alice.key"),
		"debug", "info").RequireSuccess(t)
}
