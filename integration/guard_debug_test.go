package integration

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"
	"time"

	controlapi "github.com/moby/buildkit/api/services/control"
	"github.com/moby/buildkit/client"
	gateway "github.com/moby/buildkit/frontend/gateway/client"
	gwpb "github.com/moby/buildkit/frontend/gateway/pb"
	"github.com/moby/buildkit/session"
	"github.com/moby/buildkit/session/secrets"
	"github.com/moby/buildkit/solver/errdefs"
	"github.com/moby/buildkit/solver/pb"
	"github.com/stretchr/testify/require"
	"google.golang.org/grpc"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/encoding/protowire"

	"github.com/policy-frontend/policy-frontend/integration/harness"
)

// debugPolicy lets clients run containers without a network on what LLB of theirs has made.
const debugPolicy = llbPolicy + "debug: allow\n"

// inContainer is what a program does by BuildKit's client: it builds something and runs a command
// in a container that has the result.
type inContainer struct {
	solve   func(ctx context.Context, c gateway.Client) (*gateway.Result, error)
	mounts  []gateway.Mount // besides the result
	command string
	stdin   string
	network pb.NetMode
	secrets []*pb.SecretEnv
	uid     int // of the client
}

// ownResult solves LLB of the client's own, which leaves the file /out.
func ownResult(t *testing.T) func(context.Context, gateway.Client) (*gateway.Result, error) {
	t.Helper()
	return ownLLB{image: "busybox", network: pb.NetMode_NONE}.result(t)
}

// result solves the LLB.
func (o ownLLB) result(t *testing.T) gateway.BuildFunc {
	t.Helper()
	def := o.marshal(t)
	return func(ctx context.Context, c gateway.Client) (*gateway.Result, error) {
		return c.Solve(ctx, gateway.SolveRequest{Definition: def.ToPB(), Evaluate: true})
	}
}

// run returns what the command has written.
func (i inContainer) run(t *testing.T, d *harness.Daemon, opt client.SolveOpt) (string, error) {
	t.Helper()
	ctx, c := asUser(t, d, i.uid)
	var written bytes.Buffer
	_, err := c.Build(ctx, opt, "", func(
		ctx context.Context, c gateway.Client,
	) (*gateway.Result, error) {
		res, err := i.solve(ctx, c)
		root := gateway.Mount{Dest: "/", MountType: pb.MountType_BIND}
		var failed *errdefs.SolveError
		switch {
		case errors.As(err, &failed):
			root.ResultID = failed.MountIDs[0]
		case err != nil:
			return nil, err
		default:
			root.Ref = res.Ref
		}
		ctr, err := c.NewContainer(ctx, gateway.NewContainerRequest{
			Mounts: append([]gateway.Mount{root}, i.mounts...), NetMode: i.network,
		})
		if err != nil {
			return nil, err
		}
		defer ctr.Release(context.WithoutCancel(ctx))
		p, err := ctr.Start(ctx, gateway.StartRequest{
			Args: []string{"sh", "-c", i.command}, Cwd: "/", SecretEnv: i.secrets,
			Stdin:  io.NopCloser(strings.NewReader(i.stdin)),
			Stdout: noClose{&written}, Stderr: noClose{io.Discard},
		})
		if err != nil {
			return nil, err
		}
		if err := p.Wait(); err != nil {
			return nil, err
		}
		if _, err := ctr.StatFile(ctx, gateway.StatContainerRequest{
			StatRequest: gateway.StatRequest{Path: "/bin/sh"},
		}); err != nil {
			return nil, err
		}
		file, err := ctr.ReadFile(ctx, gateway.ReadContainerRequest{
			ReadRequest: gateway.ReadRequest{Filename: "/made"},
		})
		written.Write(file)
		return gateway.NewResult(), err
	}, nil)
	return written.String(), err
}

type noClose struct{ io.Writer }

func (noClose) Close() error { return nil }

// oneSecret is the value of each secret of a client.
type oneSecret string

func (s oneSecret) Register(server *grpc.Server) { secrets.RegisterSecretsServer(server, s) }

func (s oneSecret) GetSecret(
	context.Context, *secrets.GetSecretRequest,
) (*secrets.GetSecretResponse, error) {
	return &secrets.GetSecretResponse{Data: []byte(s)}, nil
}

const sayAndMake = "cat /out; cat > /made"

func TestGuardLetsClientsRunContainers(t *testing.T) {
	t.Parallel()
	g := env.Guard(t, harness.DaemonConfig{}, debugPolicy)
	own := inContainer{
		solve: ownResult(t), command: sayAndMake, stdin: "typed\n", network: pb.NetMode_NONE,
		mounts: []gateway.Mount{{Dest: "/t", MountType: pb.MountType_TMPFS}},
	}
	for _, d := range []*harness.Daemon{g.Behind, g.Daemon} {
		out, err := own.run(t, d, client.SolveOpt{})
		require.NoError(t, err)
		require.Equal(t, "own\ntyped\n", out)
	}
	t.Run("a command that fails", func(t *testing.T) {
		failing := own
		failing.command = "exit 7"
		_, err := failing.run(t, g.Daemon, client.SolveOpt{})
		var exit *gwpb.ExitError
		require.ErrorAs(t, err, &exit)
		require.EqualValues(t, 7, exit.ExitCode)
	})
	t.Run("a network that the rules on commands refuse", func(t *testing.T) {
		other := own
		other.network = pb.NetMode_UNSET
		_, err := other.run(t, g.Behind, client.SolveOpt{})
		require.NoError(t, err)
		_, err = other.run(t, g.Daemon, client.SolveOpt{})
		require.ErrorContains(t, err, "with the network default")
	})
	t.Run("secrets", func(t *testing.T) {
		opt := client.SolveOpt{Session: []session.Attachable{oneSecret("hidden")}}
		file, variable := own, own
		file.command = "cat /s > /made"
		file.mounts = []gateway.Mount{{
			Dest: "/s", MountType: pb.MountType_SECRET, SecretOpt: &pb.SecretOpt{ID: "s", Mode: 0o400},
		}}
		variable.command = "echo -n $S > /made"
		variable.secrets = []*pb.SecretEnv{{ID: "s", Name: "S"}}
		for _, i := range []inContainer{file, variable} {
			out, err := i.run(t, g.Behind, opt)
			require.NoError(t, err)
			require.Equal(t, "hidden", out)
			_, err = i.run(t, g.Daemon, opt)
			require.ErrorContains(t, err, "containers of clients get no secrets")
		}
	})
	t.Run("without debug: allow", func(t *testing.T) {
		refusing := env.Guard(t, harness.DaemonConfig{}, llbPolicy)
		_, err := own.run(t, refusing.Daemon, client.SolveOpt{})
		require.ErrorContains(t, err, "the policy refuses containers that a client runs by itself "+
			"(debug: deny, which is the default)\n  message:      run the command in a step of the "+
			"build, or have them allowed by debug: allow\n")
		require.ErrorContains(t, err, "#build-help")
	})
}

// failing has a step that writes something and fails.
func failing(t *testing.T) string {
	t.Helper()
	return harness.WriteContext(t, map[string]string{
		"Dockerfile": "FROM busybox\nRUN --network=none echo partial > /out && false\n",
	})
}

func TestGuardLetsClientsDebugAStepThatHasFailed(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		policy string
		flags  func() []string
	}{
		"forward": {guardPolicy, func() []string { return nil }},
		"mediate": {
			guardPolicy + "build: {exec: {networks: [none]}}\n",
			func() []string { return []string{"--image", env.Mediator(t)} },
		},
	} {
		t.Run(name, func(t *testing.T) {
			g := env.Guard(t, harness.DaemonConfig{}, tc.policy+"debug: allow\n", tc.flags()...)
			i := inContainer{
				solve: func(ctx context.Context, c gateway.Client) (*gateway.Result, error) {
					return c.Solve(ctx, gateway.SolveRequest{
						Frontend: "gateway.v0", Evaluate: true,
						FrontendOpt: map[string]string{"source": "docker/dockerfile:1"},
					})
				},
				command: sayAndMake, stdin: "typed\n", network: pb.NetMode_NONE,
			}
			opt := client.SolveOpt{LocalMounts: mountsOf(t, failing(t))}
			for _, d := range []*harness.Daemon{g.Behind, g.Daemon} {
				out, err := i.run(t, d, opt)
				require.NoError(t, err)
				require.Equal(t, "partial\ntyped\n", out)
			}
		})
	}
}

// buildx debugs a failed step on a terminal.
func TestGuardServesBuildxDebug(t *testing.T) {
	t.Parallel()
	const refused = "the policy refuses containers that a client runs by itself"
	dir := failing(t)
	debug := func(d *harness.Daemon) string {
		c := d.BuildxCommand(dir, "debug", "--invoke", "/bin/sh", "--on=error", "build",
			"--progress=plain", "--no-cache", ".")
		c.Env = append(c.Env, "BUILDX_EXPERIMENTAL=1")
		c.TTY = true
		p := d.Start(t, c)
		shows := func(texts ...string) bool {
			return harness.Poll(30*time.Second, func() bool {
				o := p.Output()
				return o.ExitCode >= 0 || slices.ContainsFunc(texts, func(text string) bool {
					return strings.Contains(o.Text(), text)
				})
			})
		}
		const prompt = "/ # "
		require.True(t, shows(prompt, refused), "%s", p.Output())
		if strings.Contains(p.Output().Text(), prompt) {
			p.Type(t, "echo shown-$(cat /out)\n")
			require.True(t, shows("shown-partial"), "%s", p.Output())
		}
		p.Interrupt(t) // it waits for commands, also after the refusal
		return p.Wait(t).Text()
	}
	g := env.Guard(t, harness.DaemonConfig{}, guardPolicy+"debug: allow\n")
	require.Contains(t, debug(g.Behind), "shown-partial")
	require.Contains(t, debug(g.Daemon), "shown-partial")
	refusing := env.Guard(t, harness.DaemonConfig{}, guardPolicy)
	shown := debug(refusing.Daemon)
	require.NotContains(t, shown, "shown-partial")
	require.Contains(t, shown, refused)
}

// rawBuild is a build of a client that sends any message.
type rawBuild struct {
	client gwpb.LLBBridgeClient
	ctx    func() context.Context // of a call
	ref    string                 // a result of the build
}

// beginRaw begins a build and solves LLB in it. The build goes on until the test ends.
func beginRaw(t *testing.T, d *harness.Daemon, uid int, id string, entitled ...string) rawBuild {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	t.Cleanup(cancel)
	conn := clientOf(t, d, uid)
	go func() {
		_, _ = controlapi.NewControlClient(conn).Solve(ctx, &controlapi.SolveRequest{
			Ref: id, Cache: &controlapi.CacheOptions{}, Entitlements: entitled,
		})
	}()
	b := rawBuild{
		client: gwpb.NewLLBBridgeClient(conn),
		ctx:    func() context.Context { return withBuild(t, id) },
	}
	res, err := b.client.Solve(b.ctx(), &gwpb.SolveRequest{
		Definition:        ownLLB{image: "busybox", network: pb.NetMode_NONE}.marshal(t).ToPB(),
		AllowResultReturn: true, AllowResultArrayRef: true, Evaluate: true,
	})
	require.NoError(t, err)
	b.ref = res.GetResult().GetRef().GetId()
	return b
}

func withBuild(t *testing.T, id string) context.Context {
	return withHeaders(t, headerBuildID, id)
}

// container makes a container on the build's result.
func (b rawBuild) container(id string, change func(*gwpb.NewContainerRequest)) error {
	req := &gwpb.NewContainerRequest{
		ContainerID: id, Mounts: []*pb.Mount{{Dest: "/", ResultID: b.ref}}, Network: pb.NetMode_NONE,
	}
	if change != nil {
		change(req)
	}
	_, err := b.client.NewContainer(b.ctx(), req)
	return err
}

// exec runs a command and returns why it failed.
func (b rawBuild) exec(id string, change func(*gwpb.ExecMessage, *gwpb.InitMessage)) error {
	s, err := b.client.ExecProcess(b.ctx())
	if err != nil {
		return err
	}
	init := &gwpb.InitMessage{
		ContainerID: id, Meta: &pb.Meta{Args: []string{"true"}, Cwd: "/"}, Fds: []uint32{1, 2},
	}
	msg := &gwpb.ExecMessage{ProcessID: "p", Input: &gwpb.ExecMessage_Init{Init: init}}
	if change != nil {
		change(msg, init)
	}
	if err := s.Send(msg); err != nil {
		return err
	}
	for {
		msg, err := s.Recv()
		if err != nil {
			return err
		}
		if exit := msg.GetExit(); exit != nil {
			if exit.Code != 0 {
				return fmt.Errorf("exit code %d: %w", exit.Code, status.ErrorProto(exit.Error))
			}
			return nil
		}
	}
}

// Each of these works on the bare daemon, and fails through the guard with a message. The rules on
// commands would let a build step do it.
func TestGuardRefusesWhatNoContainerOfAClientMayHave(t *testing.T) {
	t.Parallel()
	g := env.Guard(t, harness.DaemonConfig{Entitlements: []string{"network.host", "security.insecure"}},
		guardPolicy+`llb: allow
debug: allow
build: {exec: {networks: [none, default, host], insecure: true, secrets: [s], hosts: [a.example]}}
`)
	builds := map[*harness.Daemon]rawBuild{}
	for _, d := range []*harness.Daemon{g.Behind, g.Daemon} {
		builds[d] = beginRaw(t, d, 0, "alicesbuild", "network.host", "security.insecure")
		require.NoError(t, builds[d].container("hers", nil))
	}
	making := func(change func(*gwpb.NewContainerRequest)) func(rawBuild) error {
		return func(b rawBuild) error { return b.container(fmt.Sprint(time.Now().UnixNano()), change) }
	}
	run := func(change func(*gwpb.ExecMessage, *gwpb.InitMessage)) func(rawBuild) error {
		return func(b rawBuild) error { // a container ends with its first process
			id := fmt.Sprint(time.Now().UnixNano())
			return errors.Join(b.container(id, nil), b.exec(id, change))
		}
	}
	mount := func(m *pb.Mount) func(rawBuild) error {
		return making(func(r *gwpb.NewContainerRequest) { r.Mounts = append(r.Mounts, m) })
	}
	for name, tc := range map[string]struct {
		attack func(rawBuild) error
		want   string
	}{
		"a cache mount": {mount(&pb.Mount{
			Dest: "/c", MountType: pb.MountType_CACHE, CacheOpt: &pb.CacheOpt{ID: "everybodys"},
		}), "containers of clients have no cache mounts"},
		"the host's network": {making(func(r *gwpb.NewContainerRequest) {
			r.Network = pb.NetMode_HOST
		}), "don't have the host's network"},
		"addresses of hosts": {making(func(r *gwpb.NewContainerRequest) {
			r.ExtraHosts = []*pb.HostIP{{Host: "a.example", IP: "192.0.2.1"}}
		}), "have no added hosts"},
		"a host name": {making(func(r *gwpb.NewContainerRequest) { r.Hostname = "a" }), "no host name"},
		"a mount of an input": {making(func(r *gwpb.NewContainerRequest) {
			r.Mounts[0].Input = 1
		}), "sets input of pb.Mount"},
		"a container with unknown fields": {making(func(r *gwpb.NewContainerRequest) {
			r.ProtoReflect().SetUnknown(protowire.AppendVarint(
				protowire.AppendTag(nil, 99, protowire.VarintType), 1))
		}), "fields that this version doesn't know"},
		"no sandbox": {run(func(_ *gwpb.ExecMessage, i *gwpb.InitMessage) {
			i.Security = pb.SecurityMode_INSECURE
		}), "no insecure commands"},
		"a file that nobody reads": {run(func(_ *gwpb.ExecMessage, i *gwpb.InitMessage) {
			i.Fds = append(i.Fds, 7)
		}), "the file 7"},
		"a proxy": {run(func(_ *gwpb.ExecMessage, i *gwpb.InitMessage) {
			i.Meta.ProxyEnv = &pb.ProxyEnv{HttpProxy: "http://a.example"}
		}), "sets proxy_env of pb.Meta"},
		"a process with unknown fields": {run(func(m *gwpb.ExecMessage, _ *gwpb.InitMessage) {
			m.ProtoReflect().SetUnknown(protowire.AppendVarint(
				protowire.AppendTag(nil, 99, protowire.VarintType), 1))
		}), "fields that this version doesn't know"},
	} {
		t.Run(name, func(t *testing.T) {
			require.NoError(t, tc.attack(builds[g.Behind]))
			require.ErrorContains(t, tc.attack(builds[g.Daemon]), tc.want)
		})
	}
	t.Run("another client's build", func(t *testing.T) {
		for _, d := range []*harness.Daemon{g.Behind, g.Daemon} {
			his := builds[d]
			his.client = gwpb.NewLLBBridgeClient(clientOf(t, d, bob))
			made := his.container("his", nil)
			ran := his.exec("hers", nil)
			if d == g.Behind {
				require.NoError(t, made)
				require.NoError(t, ran)
				continue
			}
			require.ErrorContains(t, made, "there is no such build")
			require.ErrorContains(t, ran, "there is no such build")
		}
	})
	t.Run("what belongs to another build", func(t *testing.T) {
		his := beginRaw(t, g.Daemon, bob, "bobsbuild")
		require.ErrorContains(t, his.exec("hers", nil), "the container hers, which isn't its own")
		his.ref = builds[g.Daemon].ref
		require.ErrorContains(t, his.container("c", nil), "a result that isn't the client's")
	})
}

// What a client leaves behind ends with its build.
func TestContainersOfAClientEndWithItsBuild(t *testing.T) {
	t.Parallel()
	g := env.Guard(t, harness.DaemonConfig{}, debugPolicy)
	ctx, end := context.WithCancel(t.Context())
	defer end()
	conn := clientOf(t, g.Daemon, 0)
	go func() {
		_, _ = controlapi.NewControlClient(conn).Solve(ctx, &controlapi.SolveRequest{
			Ref: "b", Cache: &controlapi.CacheOptions{},
		})
	}()
	b := rawBuild{
		client: gwpb.NewLLBBridgeClient(conn),
		ctx:    func() context.Context { return withBuild(t, "b") },
	}
	res, err := b.client.Solve(b.ctx(), &gwpb.SolveRequest{
		Definition:        ownLLB{image: "busybox", network: pb.NetMode_NONE}.marshal(t).ToPB(),
		AllowResultReturn: true, AllowResultArrayRef: true, Evaluate: true,
	})
	require.NoError(t, err)
	b.ref = res.GetResult().GetRef().GetId()
	require.NoError(t, b.container("c", nil))
	// With cgroups v2, the daemon removes the container of a step after the step has ended.
	has := func(n int) func() bool {
		return func() bool { return len(g.Behind.Containers()) == n }
	}
	require.True(t, harness.Poll(time.Minute, has(0)))
	s, err := b.client.ExecProcess(b.ctx())
	require.NoError(t, err)
	require.NoError(t, s.Send(&gwpb.ExecMessage{ProcessID: "p", Input: &gwpb.ExecMessage_Init{
		Init: &gwpb.InitMessage{
			ContainerID: "c", Meta: &pb.Meta{Args: []string{"sleep", "600"}, Cwd: "/"}, Fds: []uint32{1},
		},
	}}))
	msg, err := s.Recv()
	require.NoError(t, err)
	require.NotNil(t, msg.GetStarted())
	require.True(t, harness.Poll(time.Minute, has(1)))
	end()
	require.True(t, harness.Poll(time.Minute, has(0)))
	for err = nil; err == nil; { // the end of the process may come first
		_, err = s.Recv()
	}
	require.NotErrorIs(t, err, io.EOF)
}
