package integration

import (
	"bytes"
	"context"
	"errors"
	"io"
	"maps"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	contentapi "github.com/containerd/containerd/api/services/content/v1"
	controlapi "github.com/moby/buildkit/api/services/control"
	"github.com/moby/buildkit/client/llb"
	gwpb "github.com/moby/buildkit/frontend/gateway/pb"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"
	reflection "google.golang.org/grpc/reflection/grpc_reflection_v1"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/encoding/protowire"

	"github.com/policy-frontend/policy-frontend/integration/harness"
)

// forbidden is a frontend that guardPolicy doesn't allow. It is not the evil one: these tests show
// first that it runs on the bare daemon.
const forbidden = string(harness.EchoFrontend)

// Each of these works on the bare daemon, and fails through the guard with a message.
func TestGuardRefusesTheWaysAroundThePolicy(t *testing.T) {
	t.Parallel()
	env.Frontend(t, harness.EchoFrontend)
	guards := guardsByDispatch(t, harness.DaemonConfig{Entitlements: []string{"network.host"}}, "")
	forwarding := guards[0]

	var rawLLB bytes.Buffer
	def, err := llb.Image("busybox").Run(llb.Shlex("true")).Root().Marshal(t.Context())
	require.NoError(t, err)
	require.NoError(t, llb.WriteTo(def, &rawLLB))
	sourcePolicies := filepath.Join(t.TempDir(), "policy.json")
	require.NoError(t, os.WriteFile(sourcePolicies, []byte(`{"rules": [{"action": "CONVERT",
		"selector": {"identifier": "docker-image://docker.io/docker/dockerfile*"},
		"updates": {"identifier": "docker-image://docker.io/`+forbidden+`"}}]}`), 0o600))
	pinned := "docker/dockerfile:1@" + digestOf(t, "docker/dockerfile:1")

	for name, tc := range map[string]struct {
		syntax string // of the Dockerfile
		args   func(dir, out string) []string
		stdin  []byte
		want   string
		// The attack is one on the image that the daemon runs. Others are tried with each dispatch.
		forwarded bool
	}{
		"raw LLB": {
			args:  func(string, string) []string { return []string{"build", "--progress=plain"} },
			stdin: rawLLB.Bytes(), want: "LLB that no frontend made is refused",
		},
		"a frontend that the build file names": {
			syntax: forbidden,
			args: func(dir, out string) []string {
				return []string{
					"build", "--progress=plain", "--frontend=dockerfile.v0", "--local", "context=" + dir,
					"--local", "dockerfile=" + dir, "--output", "type=local,dest=" + out,
				}
			}, want: "frontend " + forbidden + " is refused",
		},
		"a frontend that the client names": {
			args: func(dir, out string) []string {
				return byBuildctl(dir, forbidden, "--output", "type=local,dest="+out)
			}, want: "frontend " + forbidden + " is refused",
		},
		"a named context over the frontend": {
			args: func(dir, out string) []string {
				return byBuildctl(dir, "docker/dockerfile:1", "--output", "type=local,dest="+out, "--opt",
					"context:docker/dockerfile:1=docker-image://docker.io/"+forbidden)
			}, want: "would replace the frontend", forwarded: true,
		},
		"a named context over the frontend's digest": {
			args: func(dir, out string) []string {
				return byBuildctl(dir, pinned, "--output", "type=local,dest="+out, "--opt",
					"context:"+pinned+"=docker-image://docker.io/"+forbidden)
			}, want: "would replace the frontend", forwarded: true,
		},
		"a source policy that converts the frontend": {
			args: func(dir, out string) []string {
				return byBuildctl(dir, "docker/dockerfile:1", "--output", "type=local,dest="+out,
					"--source-policy-file", sourcePolicies)
			}, want: "its source policy converts sources",
		},
		"an exporter's own configuration of the image": {
			args: func(dir, out string) []string {
				return byBuildctl(dir, "docker/dockerfile:1", "--output",
					"type=oci,dest="+out+`/x.tar,"containerimage.config={""os"":""linux"",`+
						`""architecture"":""amd64"",""rootfs"":{""type"":""layers""}}"`)
			}, want: "the attribute containerimage.config",
		},
		"an image that is pushed": {
			args: func(dir, _ string) []string {
				return byBuildctl(dir, "docker/dockerfile:1", "--output",
					"type=image,name="+env.Registry.Ref("guard/pushed:1")+",push=true")
			}, want: "the policy refuses pushing to " + env.Registry.Ref("guard/pushed:1"),
		},
		"an entitlement": {
			args: func(dir, _ string) []string {
				return byBuildctl(dir, "docker/dockerfile:1", "--allow", "network.host")
			}, want: "the policy refuses the entitlement network.host",
		},
		"a cache that is imported": {
			args: func(dir, _ string) []string {
				return byBuildctl(dir, "docker/dockerfile:1", "--import-cache",
					"type=registry,ref="+env.Registry.Ref("guard/cache:1"))
			}, want: "the policy refuses importing the build cache",
		},
		"a cache that is exported": {
			args: func(dir, out string) []string {
				return byBuildctl(dir, "docker/dockerfile:1", "--export-cache", "type=local,dest="+out)
			}, want: "the policy refuses exporting a build cache",
		},
		"an SBOM by a generator of the client's choice": {
			args: func(dir, out string) []string {
				env.Frontend(t, harness.SBOMScanner)
				return byBuildctl(dir, "docker/dockerfile:1", "--output", "type=oci,dest="+out+"/x.tar",
					"--opt", "attest:sbom=generator="+string(harness.SBOMScanner))
			}, want: "the policy refuses an SBOM by docker.io/" + string(harness.SBOMScanner),
		},
		"a builder of the client's choice in the provenance": {
			args: func(dir, out string) []string {
				return byBuildctl(dir, "docker/dockerfile:1", "--output", "type=oci,dest="+out+"/x.tar",
					"--opt", "attest:provenance=builder-id=https://trusted.example")
			}, want: "the parameter builder-id",
		},
		"a control group for commands": {
			args: func(dir, _ string) []string {
				return byBuildctl(dir, "docker/dockerfile:1", "--opt", "cgroup-parent=a")
			}, want: "the option cgroup-parent",
		},
		"commands that look like those of another policy": {
			args: func(dir, _ string) []string {
				return byBuildctl(dir, "docker/dockerfile:1", "--opt",
					"add-hosts=0123456789abcdef0123456789abcdef.policy-guard.invalid=127.0.0.1")
			}, want: "which is policy-guard's",
		},
		"the disk usage of all clients": {
			args: func(string, string) []string { return []string{"du"} },
			want: "the policy refuses disk usage for uid:0",
		},
		"pruning what others need": {
			args: func(string, string) []string { return []string{"prune", "--keep-storage=99999"} },
			want: "the policy refuses pruning for uid:0",
		},
	} {
		t.Run(name, func(t *testing.T) {
			attack := func(d *harness.Daemon) harness.Output {
				dir := harness.WriteContext(t, dockerfile(tc.syntax))
				c := d.BuildctlCommand(tc.args(dir, t.TempDir())...)
				c.Stdin = bytes.NewReader(tc.stdin)
				return d.Run(t, c)
			}
			attack(forwarding.Behind).RequireSuccess(t)
			for _, g := range guards {
				if tc.forwarded && g != forwarding {
					continue
				}
				attack(g.Daemon).RequireFailure(t, tc.want)
			}
		})
	}
}

// clientOf returns a client that connects as the user, who matters only to a guard.
func clientOf(t *testing.T, d *harness.Daemon, uid int) *grpc.ClientConn {
	t.Helper()
	conn, err := grpc.NewClient("passthrough:///"+strings.TrimPrefix(d.Addr, "unix://"),
		grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithContextDialer(dialerOf(d, uid)))
	require.NoError(t, err)
	t.Cleanup(func() { conn.Close() })
	return conn
}

// dialerOf returns what connects as a user, who matters only to a guard.
func dialerOf(
	d *harness.Daemon, uid int,
) func(ctx context.Context, address string) (net.Conn, error) {
	if d.LogFile != "" {
		uid = 0 // a bare daemon, to which all clients are one
	}
	return func(context.Context, string) (net.Conn, error) {
		return dialAs(strings.TrimPrefix(d.Addr, "unix://"), uid)
	}
}

// dialAs connects to a socket as a user. The kernel tells the other end the user of the thread that
// connects.
func dialAs(path string, uid int) (net.Conn, error) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	const keep = ^uintptr(0)
	if _, _, err := unix.RawSyscall(unix.SYS_SETRESUID, keep, uintptr(uid), keep); err != 0 {
		return nil, err
	}
	conn, err := net.Dial("unix", path)
	if _, _, back := unix.RawSyscall(unix.SYS_SETRESUID, keep, 0, keep); back != 0 {
		return nil, back // the thread isn't used again, because it stays locked
	}
	return conn, err
}

// Two users of one guard are alice, who is the user of the tests, and bob.
const bob = 65534

func withHeaders(t *testing.T, pairs ...string) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	t.Cleanup(cancel)
	return metadata.AppendToOutgoingContext(ctx, pairs...)
}

// records returns the records of the history that a user sees, or only those of builds under way.
func records(
	t *testing.T, d *harness.Daemon, uid int, active bool,
) (all []*controlapi.BuildHistoryRecord) {
	t.Helper()
	s, err := controlapi.NewControlClient(clientOf(t, d, uid)).ListenBuildHistory(withHeaders(t),
		&controlapi.BuildHistoryRequest{ActiveOnly: active, EarlyExit: true})
	require.NoError(t, err)
	for {
		event, err := s.Recv()
		if errors.Is(err, io.EOF) {
			return all
		}
		require.NoError(t, err)
		if event.Record != nil {
			all = append(all, event.Record)
		}
	}
}

func TestGuardKeepsClientsApart(t *testing.T) {
	t.Parallel()
	g := env.Guard(t, harness.DaemonConfig{}, guardPolicy+"llb: allow\n")
	dir := harness.WriteContext(t, dockerfile(""))

	// Alice's build goes on until the test ends.
	const id = "alicesbuild"
	ctx, cancel := context.WithCancel(t.Context())
	t.Cleanup(cancel)
	for _, d := range []*harness.Daemon{g.Behind, g.Daemon} {
		c := clientOf(t, d, 0)
		go func() {
			_, _ = controlapi.NewControlClient(c).Solve(ctx,
				&controlapi.SolveRequest{Ref: id, Cache: &controlapi.CacheOptions{}})
		}()
	}
	ping := func(d *harness.Daemon, uid int) error {
		_, err := gwpb.NewLLBBridgeClient(clientOf(t, d, uid)).Ping(
			withHeaders(t, headerBuildID, id), &gwpb.PingRequest{})
		return err
	}
	require.NoError(t, ping(g.Behind, 0))
	require.NoError(t, ping(g.Daemon, 0), "her own build")

	t.Run("another's build id", func(t *testing.T) {
		c := gwpb.NewLLBBridgeClient(clientOf(t, g.Behind, 0))
		_, err := c.Return(withHeaders(t, headerBuildID, id), &gwpb.ReturnRequest{Result: &gwpb.Result{
			Result: &gwpb.Result_Ref{Ref: &gwpb.Ref{}},
		}})
		require.NoError(t, err, "on the bare daemon, it ends the build")
		require.Error(t, ping(g.Daemon, bob))
		_, err = gwpb.NewLLBBridgeClient(clientOf(t, g.Daemon, bob)).Return(
			withHeaders(t, headerBuildID, id), &gwpb.ReturnRequest{Result: &gwpb.Result{
				Result: &gwpb.Result_Ref{Ref: &gwpb.Ref{}},
			}})
		require.ErrorContains(t, err, "there is no such build")
		require.NoError(t, ping(g.Daemon, 0), "her build goes on")
	})
	t.Run("another's history", func(t *testing.T) {
		list := func(d *harness.Daemon, uid int) (refs []string) {
			for _, r := range records(t, d, uid, false) {
				refs = append(refs, r.Ref)
			}
			return refs
		}
		// buildctl runs as alice.
		g.Buildctl(t, byBuildctl(dir, "docker/dockerfile:1")...).RequireSuccess(t)
		all, hers := list(g.Behind, bob), list(g.Daemon, 0)
		require.NotEmpty(t, hers)
		require.NotEmpty(t, all, "on the bare daemon, he sees her builds")
		require.Empty(t, list(g.Daemon, bob))
		for _, ref := range hers {
			require.True(t, slices.ContainsFunc(all, func(r string) bool {
				return strings.HasSuffix(r, "-"+ref)
			}), ref)
		}
		// The name at the daemon is of no use.
		_, err := controlapi.NewControlClient(clientOf(t, g.Daemon, bob)).UpdateBuildHistory(
			withHeaders(t), &controlapi.UpdateBuildHistoryRequest{Ref: all[0], Delete: true})
		require.Error(t, err)
		require.Equal(t, hers, list(g.Daemon, 0))
	})
	t.Run("the daemon's content", func(t *testing.T) {
		g.Buildctl(t, byBuildctl(dir, "docker/dockerfile:1")...).RequireSuccess(t)
		read := func(d *harness.Daemon, uid int, digest string) (string, error) {
			s, err := contentapi.NewContentClient(clientOf(t, d, uid)).Read(withHeaders(t),
				&contentapi.ReadContentRequest{Digest: digest})
			require.NoError(t, err)
			var all []byte
			for {
				part, err := s.Recv()
				if errors.Is(err, io.EOF) {
					return string(all), nil
				}
				if err != nil {
					return "", err
				}
				all = append(all, part.Data...)
			}
		}
		info := func(d *harness.Daemon, uid int, digest string) (int64, error) {
			resp, err := contentapi.NewContentClient(clientOf(t, d, uid)).Info(withHeaders(t),
				&contentapi.InfoRequest{Digest: digest})
			return resp.GetInfo().GetSize(), err
		}
		hers := records(t, g.Daemon, 0, false)
		hers = slices.DeleteFunc(hers, func(r *controlapi.BuildHistoryRecord) bool {
			return len(r.GetResult().GetAttestations()) == 0 // it is under way
		})
		require.NotEmpty(t, hers)
		for what, digest := range map[string]string{
			"her logs":       hers[0].GetLogs().GetDigest(),
			"her provenance": hers[0].GetResult().GetAttestations()[0].GetDigest(),
		} {
			want, err := read(g.Behind, bob, digest)
			require.NoError(t, err, "on the bare daemon, he reads %s", what)
			size, err := info(g.Behind, bob, digest)
			require.NoError(t, err)
			require.EqualValues(t, len(want), size, what)

			const refused = "no record of the history that this client has seen names the content"
			_, err = read(g.Daemon, bob, digest)
			require.ErrorContains(t, err, refused, what)
			_, err = info(g.Daemon, bob, digest)
			require.ErrorContains(t, err, refused, what)

			got, err := read(g.Daemon, 0, digest)
			require.NoError(t, err)
			require.Equal(t, want, got, what)
			size, err = info(g.Daemon, 0, digest)
			require.NoError(t, err)
			require.EqualValues(t, len(want), size, what)
		}
		list := func(d *harness.Daemon) error {
			s, err := contentapi.NewContentClient(clientOf(t, d, bob)).List(withHeaders(t),
				&contentapi.ListContentRequest{})
			require.NoError(t, err)
			_, err = s.Recv()
			return err
		}
		require.NoError(t, list(g.Behind))
		require.Equal(t, codes.PermissionDenied, status.Code(list(g.Daemon)))
	})
	t.Run("another's session id", func(t *testing.T) { requireSessionsApart(t, g) })
}

func TestGuardRefusesWhatItDoesNotKnow(t *testing.T) {
	t.Parallel()
	g := env.Guard(t, harness.DaemonConfig{}, guardPolicy)
	unknown := &controlapi.SolveRequest{Ref: "b", Cache: &controlapi.CacheOptions{}}
	unknown.ProtoReflect().SetUnknown(protowire.AppendVarint(
		protowire.AppendTag(nil, 99, protowire.VarintType), 1))
	solve := func(ctx context.Context, d *harness.Daemon) error {
		_, err := controlapi.NewControlClient(clientOf(t, d, 0)).Solve(ctx, unknown)
		return err
	}
	short, cancel := context.WithTimeout(t.Context(), 2*time.Second)
	defer cancel()
	require.Equal(t, codes.DeadlineExceeded, status.Code(solve(short, g.Behind)), "the build begins")
	require.ErrorContains(t, solve(withHeaders(t), g.Daemon), "fields that this version doesn't know")

	call := func(d *harness.Daemon, method string) error {
		return clientOf(t, d, 0).Invoke(withHeaders(t), method, &controlapi.InfoRequest{},
			&controlapi.InfoResponse{})
	}
	require.ErrorContains(t, call(g.Daemon, "/moby.buildkit.v1.Control/Future"),
		"doesn't know the method")
	require.NoError(t, call(g.Daemon, "/moby.buildkit.v1.Control/Info"))
}

// A service that a daemon serves and the guard's table doesn't have is refused, and it should be
// looked at.
func TestGuardKnowsAllServices(t *testing.T) {
	t.Parallel()
	d := env.Plain(t)
	c := reflection.NewServerReflectionClient(clientOf(t, d, 0))
	s, err := c.ServerReflectionInfo(withHeaders(t))
	require.NoError(t, err)
	require.NoError(t, s.Send(&reflection.ServerReflectionRequest{
		MessageRequest: &reflection.ServerReflectionRequest_ListServices{},
	}))
	resp, err := s.Recv()
	require.NoError(t, err)
	served := map[string]bool{}
	for _, service := range resp.GetListServicesResponse().GetService() {
		served[service.Name] = true
	}
	require.Equal(t, []string{
		"containerd.services.content.v1.Content",
		"grpc.health.v1.Health",
		"grpc.reflection.v1.ServerReflection",
		"grpc.reflection.v1alpha.ServerReflection",
		"moby.buildkit.v1.Control",
		"moby.buildkit.v1.frontend.LLBBridge",
		"opentelemetry.proto.collector.trace.v1.TraceService",
	}, slices.Sorted(maps.Keys(served)), "guard/table_test.go has the same list")
}
