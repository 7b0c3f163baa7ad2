package guard

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"
	"time"

	controlapi "github.com/moby/buildkit/api/services/control"
	"github.com/moby/buildkit/client/llb"
	gwpb "github.com/moby/buildkit/frontend/gateway/pb"
	"github.com/moby/buildkit/solver/errdefs"
	"github.com/moby/buildkit/solver/pb"
	"github.com/stretchr/testify/require"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
)

func (b *fakeBridge) NewContainer(
	ctx context.Context, req *gwpb.NewContainerRequest,
) (*gwpb.NewContainerResponse, error) {
	b.daemon.record(ctx, req)
	if req.Mounts[0].Selector == "broken" {
		return nil, errors.New("broken")
	}
	return &gwpb.NewContainerResponse{}, nil
}

func (b *fakeBridge) ReleaseContainer(
	ctx context.Context, req *gwpb.ReleaseContainerRequest,
) (*gwpb.ReleaseContainerResponse, error) {
	b.daemon.record(ctx, req)
	return nil, errors.New("a process was killed")
}

func (b *fakeBridge) ReadFileContainer(
	ctx context.Context, req *gwpb.ReadFileRequest,
) (*gwpb.ReadFileResponse, error) {
	b.daemon.record(ctx, req)
	return &gwpb.ReadFileResponse{}, nil
}

// neverStarts is a command that the daemon doesn't start.
const neverStarts = "never-starts"

// ExecProcess starts each process but [neverStarts], and ends those without a standard input at
// once.
func (b *fakeBridge) ExecProcess(s gwpb.LLBBridge_ExecProcessServer) error {
	for {
		msg, err := s.Recv()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		b.daemon.record(s.Context(), msg)
		exit := &gwpb.ExitMessage{}
		switch {
		case slices.Contains(msg.GetInit().GetMeta().GetArgs(), neverStarts):
			continue
		case msg.GetInit() != nil:
			started := &gwpb.ExecMessage_Started{Started: &gwpb.StartedMessage{}}
			if err := s.Send(&gwpb.ExecMessage{ProcessID: msg.ProcessID, Input: started}); err != nil {
				return err
			}
			if slices.Contains(msg.GetInit().Fds, 0) {
				continue
			}
		case msg.GetFile().GetEOF():
			md, _ := metadata.FromIncomingContext(s.Context())
			exit.Code = 1
			exit.Error = status.New(codes.Unknown, "in "+md.Get(buildIDHeader)[0]).Proto()
		default:
			continue
		}
		for _, answer := range []*gwpb.ExecMessage{
			{Input: &gwpb.ExecMessage_Exit{Exit: exit}},
			{Input: &gwpb.ExecMessage_Done{Done: &gwpb.DoneMessage{}}},
		} {
			answer.ProcessID = msg.ProcessID
			if err := s.Send(answer); err != nil {
				return err
			}
		}
	}
}

const debugPolicy = llbPolicy + "debug: allow\n"

// newContainers are the requests for containers that reached the daemon.
func newContainers(d *fakeDaemon) []*gwpb.NewContainerRequest {
	var found []*gwpb.NewContainerRequest
	for _, call := range d.all() {
		if r, ok := call.request.(*gwpb.NewContainerRequest); ok {
			found = append(found, r)
		}
	}
	return found
}

// containing is a request for a container on a result.
func containing(id, result string) *gwpb.NewContainerRequest {
	return &gwpb.NewContainerRequest{
		ContainerID: id, Mounts: []*pb.Mount{{Dest: "/", ResultID: result}}, Network: pb.NetMode_NONE,
	}
}

// debugged begins a build under debugPolicy and solves LLB of the client in it.
func debugged(
	t *testing.T,
) (*fakeDaemon, *Guard, gwpb.LLBBridgeClient, context.Context) {
	t.Helper()
	d, g, c, ctx := begunUnder(t, debugPolicy)
	_, err := c.Solve(ctx, solving(command(t, "corp.example/base:1")))
	require.NoError(t, err)
	return d, g, c, ctx
}

func TestTheContainersOfAClient(t *testing.T) {
	t.Parallel()
	d, _, c, ctx := debugged(t)
	ask := func(req *gwpb.NewContainerRequest) error {
		_, err := c.NewContainer(ctx, req)
		return err
	}
	req := containing("x", "own")
	req.Mounts = append(req.Mounts, &pb.Mount{Dest: "/t", MountType: pb.MountType_TMPFS})
	require.NoError(t, ask(req))
	require.ErrorContains(t, ask(containing("x", "own")), "already exists")
	broken := containing("y", "own")
	broken.Mounts[0].Selector = "broken"
	require.ErrorContains(t, ask(broken), "broken")
	require.NoError(t, ask(containing("y", "own")), "the id is free")
	ids := map[string]bool{}
	for _, r := range newContainers(d) {
		require.NotContains(t, []string{"x", "y"}, r.ContainerID, "the daemon has other ids")
		ids[r.ContainerID] = true
	}
	require.Len(t, ids, 3)

	_, err := c.ReadFileContainer(ctx, &gwpb.ReadFileRequest{Ref: "x", FilePath: "/a", MountIndex: 1})
	require.NoError(t, err)
	read := d.last(t).request.(*gwpb.ReadFileRequest)
	require.Equal(t, newContainers(d)[0].ContainerID, read.Ref)
	require.EqualValues(t, 1, read.MountIndex)
	for _, index := range []int32{-1, 2} {
		_, err = c.ReadFileContainer(ctx, &gwpb.ReadFileRequest{Ref: "x", MountIndex: index})
		require.ErrorContains(t, err, fmt.Sprintf("has no mount %d", index))
	}
	_, err = c.StatFileContainer(ctx, &gwpb.StatFileRequest{Ref: read.Ref})
	require.ErrorContains(t, err, "which isn't its own", "the daemon's id is of no use")
	_, err = c.ReadFile(ctx, &gwpb.ReadFileRequest{Ref: "own", MountIndex: 1})
	require.ErrorContains(t, err, "sets MountIndex")

	_, err = c.ReleaseContainer(ctx, &gwpb.ReleaseContainerRequest{ContainerID: "x"})
	require.ErrorContains(t, err, "a process was killed")
	require.Equal(t, read.Ref, d.last(t).request.(*gwpb.ReleaseContainerRequest).ContainerID)
	_, err = c.ReleaseContainer(ctx, &gwpb.ReleaseContainerRequest{ContainerID: "x"})
	requireCode(t, codes.PermissionDenied, err)
	require.ErrorContains(t, err, "the container x, which isn't its own")
	require.NoError(t, ask(containing("x", "own")))
}

func TestWhatAContainerOfAClientMayNotHave(t *testing.T) {
	t.Parallel()
	d, _, c, ctx := debugged(t)
	mount := func(m *pb.Mount) func(*gwpb.NewContainerRequest) {
		return func(r *gwpb.NewContainerRequest) { r.Mounts = append(r.Mounts, m) }
	}
	for name, tc := range map[string]struct {
		change func(*gwpb.NewContainerRequest)
		why    string
	}{
		"a result of somebody else": {mount(&pb.Mount{Dest: "/x", ResultID: "others"}), "at /x: it has a result that isn't"},
		"no result":                 {mount(&pb.Mount{Dest: "/x"}), "a result that isn't"},
		"a tmpfs of a result": {
			mount(&pb.Mount{Dest: "/x", ResultID: "own", MountType: pb.MountType_TMPFS}),
			"a tmpfs has no result",
		},
		"a cache mount": {
			mount(&pb.Mount{Dest: "/x", CacheOpt: &pb.CacheOpt{}}), "no cache mounts, which are one for all",
		},
		"a cache mount without options": {
			mount(&pb.Mount{Dest: "/x", MountType: pb.MountType_CACHE}), "no mounts of the type CACHE",
		},
		"a secret": {mount(&pb.Mount{Dest: "/x", SecretOpt: &pb.SecretOpt{}}), "get no secrets"},
		"an agent": {mount(&pb.Mount{Dest: "/x", SSHOpt: &pb.SSHOpt{}}), "get no SSH agents"},
		"an input": {mount(&pb.Mount{Dest: "/x", ResultID: "own", Input: 1}), "sets input of pb.Mount, which isn't allowed"},
		"a mount of an unknown type": {
			mount(&pb.Mount{Dest: "/x", MountType: 9}), "doesn't know the value 9",
		},
		"a relative place": {
			mount(&pb.Mount{Dest: "x", ResultID: "own"}), "the mount at x isn't at an absolute path",
		},
		"a place in a loop": {mount(&pb.Mount{Dest: "/x/..", ResultID: "own"}), "in its shortest form"},
		"a place twice":     {mount(&pb.Mount{Dest: "/", ResultID: "own"}), "or there are two"},
		"many mounts": {func(r *gwpb.NewContainerRequest) {
			for i := range maxMounts {
				r.Mounts = append(r.Mounts, &pb.Mount{Dest: fmt.Sprintf("/%d", i), ResultID: "own"})
			}
		}, "more than 100 mounts"},
		"the host's network": {func(r *gwpb.NewContainerRequest) {
			r.Network = pb.NetMode_HOST
		}, "don't have the host's network"},
		"a network that the rules on commands refuse": {func(r *gwpb.NewContainerRequest) {
			r.Network = pb.NetMode_UNSET
		}, "with the network default"},
		"hosts": {func(r *gwpb.NewContainerRequest) {
			r.ExtraHosts = []*pb.HostIP{{Host: "a"}}
		}, "have no added hosts"},
		"a host name": {func(r *gwpb.NewContainerRequest) { r.Hostname = "a" }, "no host name"},
		"a worker": {func(r *gwpb.NewContainerRequest) {
			r.Constraints = &pb.WorkerConstraints{Filter: []string{"a"}}
		}, "sets constraints"},
		"an unknown field": {func(r *gwpb.NewContainerRequest) {
			r.ProtoReflect().SetUnknown(protowire.AppendVarint(
				protowire.AppendTag(nil, 99, protowire.VarintType), 1))
		}, "fields that this version doesn't know"},
	} {
		req := containing(name, "own")
		tc.change(req)
		_, err := c.NewContainer(ctx, req)
		require.ErrorContains(t, err, tc.why, name)
	}
	require.Empty(t, newContainers(d))
	for i := range maxContainers {
		_, err := c.NewContainer(ctx, containing(fmt.Sprint(i), "own"))
		require.NoError(t, err)
	}
	_, err := c.NewContainer(ctx, containing("more", "own"))
	require.ErrorContains(t, err, "has 100 containers in this build")
}

// Under readable, LLB may not read what a build may read from x.example as a context.
const readable = `version: 1
debug: allow
llb: allow
build: {git: {allow: ["https://corp.example/**"]}}
frontends:
  - {name: a, match: [docker/dockerfile], build: {git: {allow: ["https://x.example/**"]}}}
`

func TestWhoRunsContainers(t *testing.T) {
	t.Parallel()
	const refusal = "policy-guard refuses /moby.buildkit.v1.frontend.LLBBridge/NewContainer: the " +
		"policy refuses containers that a client runs by itself (debug: deny, which is the default)\n" +
		"  message:      run the command in a step of the build, or have them allowed by debug: allow\n"
	for name, tc := range map[string]struct {
		policy string
		ask    *gwpb.SolveRequest // nil for none
		hidden bool
		result string // that the container gets
		why    string // "" if it is allowed
	}{
		"nobody, by default": {
			policy: llbPolicy, ask: solving(command(t, "corp.example/base:1")), result: "own", why: refusal,
		},
		"nobody, by default, before anything is built": {policy: llbPolicy, result: "own", why: refusal},
		"a client without a result": {
			policy: debugPolicy, result: "own", why: "has asked for nothing yet",
		},
		"a client of a frontend": {
			policy: forwarding + "debug: allow\n", ask: asking("docker/dockerfile:1"), result: "result",
		},
		"a client that only reads": {
			policy: forwarding + "debug: allow\n", result: "own",
			ask: solving(definition(t, llb.Git("https://x.example/a.git", "main"))),
			why: "a result that isn't the client's in this build, or that the client may only read",
		},
		"a client that may build this": {
			policy: readable, result: "own",
			ask: solving(definition(t, llb.Git("https://corp.example/a.git", "main"))),
		},
		"a client that may build, and only reads this": {
			policy: readable, result: "own",
			ask: solving(definition(t, llb.Git("https://x.example/a.git", "main"))),
			why: "or that the client may only read",
		},
		"a client whose build is hidden": {
			policy: debugPolicy, hidden: true, result: "own",
			ask: solving(definition(t, llb.Git("https://x.example/a.git", "main"))),
			why: "keeps this build out of the history",
		},
		"a client whose overlay refuses it": {
			policy: forwarding + "debug: allow\n", result: "result",
			ask: asking("docker/dockerfile:1", "build-arg:POLICY_FRONTEND_POLICY",
				forwarding+"debug: deny\n"),
			why: "the overlay decided: the overlay refuses containers that a client runs by itself",
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d, g := newDaemonFor(t, tc.policy, "")
			c, ctx := begunAs(t, d, g, &controlapi.SolveRequest{
				Ref: "b", Session: "s1", Internal: tc.hidden,
			})
			if tc.ask != nil {
				_, err := c.Solve(ctx, tc.ask)
				require.NoError(t, err)
			}
			_, err := c.NewContainer(ctx, containing("x", tc.result))
			if tc.why == "" {
				require.NoError(t, err)
				return
			}
			require.ErrorContains(t, err, tc.why)
			require.Empty(t, newContainers(d))
			requireCode(t, codes.PermissionDenied, err)
			if !strings.Contains(tc.why, "only read") {
				s, err := c.ExecProcess(ctx)
				require.NoError(t, err)
				_, err = s.Recv()
				requireCode(t, codes.PermissionDenied, err)
			}
		})
	}
	_, g, _, _ := debugged(t)
	_, err := gwpb.NewLLBBridgeClient(as(t, g, "bob")).NewContainer(of(t, buildIDHeader, "b"),
		containing("x", "own"))
	require.ErrorContains(t, err, "there is no such build")
}

// A client learns the results of a failed step from the error.
func TestAClientDebugsAStepThatHasFailed(t *testing.T) {
	t.Parallel()
	d, _, c, ctx := begunUnder(t, forwarding+"debug: allow\n")
	d.evaluateFails = errdefs.WithSolveError(errors.New("exit code: 1"), nil,
		[]string{"input", ""}, []string{"mounted", ""})
	req := asking("docker/dockerfile:1")
	_, err := c.NewContainer(ctx, containing("x", "mounted"))
	require.Error(t, err)
	req.Evaluate = true
	_, err = c.Solve(ctx, req)
	require.ErrorContains(t, err, "exit code: 1")
	for _, id := range []string{"input", "mounted"} {
		_, err = c.NewContainer(ctx, containing(id, id))
		require.NoError(t, err)
	}
	_, err = c.NewContainer(ctx, containing("x", "other"))
	require.ErrorContains(t, err, "a result that isn't")
	_, err = c.ReadFile(ctx, &gwpb.ReadFileRequest{Ref: "mounted"})
	require.ErrorContains(t, err, "isn't one that a frontend returned", "it is no reference")
}

// A step that fails may be a copy of files that the client may only read.
func TestWhatAnErrorNamesIsInNoContainerIfTheClientOnlyReads(t *testing.T) {
	t.Parallel()
	d, _, c, ctx := begunUnder(t, readable)
	d.evaluateFails = errdefs.WithSolveError(errors.New("failed"), nil, []string{"input"}, nil)
	_, err := c.Solve(ctx, solving(definition(t, llb.Git("https://x.example/a.git", "main"))))
	require.NoError(t, err)
	_, err = c.Evaluate(ctx, &gwpb.EvaluateRequest{Ref: "own"})
	require.ErrorContains(t, err, "failed")
	_, err = c.NewContainer(ctx, containing("x", "input"))
	require.ErrorContains(t, err, "may only read")
}

// starting is a message that starts a process.
func starting(id, container string) *gwpb.ExecMessage {
	return &gwpb.ExecMessage{ProcessID: id, Input: &gwpb.ExecMessage_Init{Init: &gwpb.InitMessage{
		ContainerID: container, Meta: &pb.Meta{Args: []string{"true"}}, Fds: []uint32{0, 1, 2},
	}}}
}

func stdin(id string, fd uint32, eof bool) *gwpb.ExecMessage {
	return &gwpb.ExecMessage{ProcessID: id, Input: &gwpb.ExecMessage_File{
		File: &gwpb.FdMessage{Fd: fd, EOF: eof, Data: []byte("x")},
	}}
}

// processMessages are the messages of ExecProcess that reached the daemon.
func processMessages(d *fakeDaemon) []*gwpb.ExecMessage {
	var found []*gwpb.ExecMessage
	for _, call := range d.all() {
		if m, ok := call.request.(*gwpb.ExecMessage); ok {
			found = append(found, m)
		}
	}
	return found
}

func executing(
	t *testing.T,
) (*fakeDaemon, gwpb.LLBBridge_ExecProcessClient) {
	t.Helper()
	d, _, c, ctx := debugged(t)
	_, err := c.NewContainer(ctx, containing("x", "own"))
	require.NoError(t, err)
	s, err := c.ExecProcess(ctx)
	require.NoError(t, err)
	return d, s
}

func next(t *testing.T, s gwpb.LLBBridge_ExecProcessClient) *gwpb.ExecMessage {
	t.Helper()
	m, err := s.Recv()
	require.NoError(t, err)
	return m
}

func TestTheProcessesOfAClient(t *testing.T) {
	t.Parallel()
	d, s := executing(t)
	require.NoError(t, s.Send(starting("p", "x")))
	require.NotNil(t, next(t, s).GetStarted())
	init := processMessages(d)[0].GetInit()
	require.Equal(t, newContainers(d)[0].ContainerID, init.ContainerID)
	require.Equal(t, []string{"true"}, init.Meta.Args)

	// The refusal of another process is its end, and the call goes on.
	for why, change := range map[string]func(*gwpb.ExecMessage, *gwpb.InitMessage){
		"the container other, which isn't its own": func(_ *gwpb.ExecMessage, i *gwpb.InitMessage) {
			i.ContainerID = "other"
		},
		"no command":          func(_ *gwpb.ExecMessage, i *gwpb.InitMessage) { i.Meta = nil },
		"shares the file 3":   func(_ *gwpb.ExecMessage, i *gwpb.InitMessage) { i.Fds = []uint32{3} },
		"shares the file 1":   func(_ *gwpb.ExecMessage, i *gwpb.InitMessage) { i.Fds = []uint32{1, 1} },
		"run no insecure":     func(_ *gwpb.ExecMessage, i *gwpb.InitMessage) { i.Security = pb.SecurityMode_INSECURE },
		"get no secrets":      func(_ *gwpb.ExecMessage, i *gwpb.InitMessage) { i.Secretenv = []*pb.SecretEnv{{ID: "a"}} },
		"sets cgroupParent":   func(_ *gwpb.ExecMessage, i *gwpb.InitMessage) { i.Meta.CgroupParent = "a" },
		"sets ulimit":         func(_ *gwpb.ExecMessage, i *gwpb.InitMessage) { i.Meta.Ulimit = []*pb.Ulimit{{Name: "a"}} },
		"sets validExitCodes": func(_ *gwpb.ExecMessage, i *gwpb.InitMessage) { i.Meta.ValidExitCodes = []int32{1} },
		"sets proxy_env":      func(_ *gwpb.ExecMessage, i *gwpb.InitMessage) { i.Meta.ProxyEnv = &pb.ProxyEnv{} },
		"sets extraHosts":     func(_ *gwpb.ExecMessage, i *gwpb.InitMessage) { i.Meta.ExtraHosts = []*pb.HostIP{{}} },
		"sets hostname":       func(_ *gwpb.ExecMessage, i *gwpb.InitMessage) { i.Meta.Hostname = "a" },
		"doesn't know":        func(m *gwpb.ExecMessage, _ *gwpb.InitMessage) { m.ProtoReflect().SetUnknown([]byte{0xf8, 7, 1}) },
	} {
		msg := starting(why, "x")
		change(msg, msg.GetInit())
		require.NoError(t, s.Send(msg))
		require.NoError(t, s.Send(stdin(why, 0, true)), "it doesn't know yet")
		started, exit, done := next(t, s), next(t, s), next(t, s)
		require.NotNil(t, started.GetStarted(), why)
		require.EqualValues(t, gwpb.UnknownExitStatus, exit.GetExit().Code)
		require.Equal(t, int32(codes.PermissionDenied), exit.GetExit().Error.Code, why)
		require.Contains(t, exit.GetExit().Error.Message, why)
		require.NotNil(t, done.GetDone())
		require.Equal(t, []string{why, why, why},
			[]string{started.ProcessID, exit.ProcessID, done.ProcessID})
	}
	require.Len(t, processMessages(d), 1)

	for _, msg := range []*gwpb.ExecMessage{
		{ProcessID: "p", Input: &gwpb.ExecMessage_Resize{Resize: &gwpb.ResizeMessage{Rows: 1}}},
		{ProcessID: "p", Input: &gwpb.ExecMessage_Signal{Signal: &gwpb.SignalMessage{Name: "INT"}}},
		stdin("p", 0, true),
	} {
		require.NoError(t, s.Send(msg))
	}
	exit := next(t, s).GetExit()
	require.Equal(t, "in b", exit.Error.Message, "the client's name of the build")
	require.NotNil(t, next(t, s).GetDone())
	require.Len(t, processMessages(d), 4)
	require.True(t, proto.Equal(stdin("p", 0, true), processMessages(d)[3]))
	require.NoError(t, s.CloseSend())
	_, err := s.Recv()
	require.ErrorIs(t, err, io.EOF)
}

func TestMessagesThatEndTheCall(t *testing.T) {
	t.Parallel()
	for why, msg := range map[string]*gwpb.ExecMessage{
		"its standard input (Fd 0) only": stdin("p", 1, false),
		"says nothing":                   {ProcessID: "p"},
		"missing or too long":            starting("", "x"),
		"sets Started": {
			ProcessID: "p", Input: &gwpb.ExecMessage_Started{Started: &gwpb.StartedMessage{}},
		},
		"sets Exit": {ProcessID: "p", Input: &gwpb.ExecMessage_Exit{Exit: &gwpb.ExitMessage{}}},
		"sets Done": {ProcessID: "p", Input: &gwpb.ExecMessage_Done{Done: &gwpb.DoneMessage{}}},
	} {
		d, s := executing(t)
		require.NoError(t, s.Send(msg))
		_, err := s.Recv()
		requireCode(t, codes.PermissionDenied, err)
		require.ErrorContains(t, err, why)
		require.Empty(t, processMessages(d))
	}
	d, s := executing(t)
	require.NoError(t, s.Send(starting(strings.Repeat("p", maxProcessID+1), "x")))
	_, err := s.Recv()
	require.ErrorContains(t, err, "missing or too long")
	require.Empty(t, processMessages(d))
}

// A client waits for the end of a process, also when the call has ended.
func TestProcessesOfABuildThatTheGuardEnds(t *testing.T) {
	t.Parallel()
	d, g, c, ctx := debugged(t)
	_, err := c.NewContainer(ctx, containing("x", "own"))
	require.NoError(t, err)
	s, err := c.ExecProcess(ctx)
	require.NoError(t, err)
	for _, id := range []string{"first", "second"} {
		require.NoError(t, s.Send(starting(id, "x")))
		require.NotNil(t, next(t, s).GetStarted())
	}
	require.NoError(t, s.Send(stdin("second", 0, true)))
	require.NotNil(t, next(t, s).GetExit())
	require.NotNil(t, next(t, s).GetDone())
	third := starting("third", "x")
	third.GetInit().Meta.Args = []string{neverStarts}
	require.NoError(t, s.Send(third))
	require.Eventually(t, func() bool { return len(processMessages(d)) == 4 }, soon, time.Millisecond)
	b, _ := asker(ctx, t, g)
	b.cancel(refusedDownloadError{why: errors.New("not that")})
	for _, id := range []string{"first", "third"} {
		if id == "third" { // a client takes no other first answer
			started := next(t, s)
			require.NotNil(t, started.GetStarted())
			require.Equal(t, id, started.ProcessID)
		}
		exit, done := next(t, s), next(t, s)
		require.Equal(t, []string{id, id}, []string{exit.ProcessID, done.ProcessID})
		require.EqualValues(t, gwpb.UnknownExitStatus, exit.GetExit().Code)
		require.Equal(t, int32(codes.PermissionDenied), exit.GetExit().Error.Code)
		require.Contains(t, exit.GetExit().Error.Message, "policy-guard refuses a download: not that")
		require.NotNil(t, done.GetDone())
	}
	_, err = s.Recv()
	requireCode(t, codes.PermissionDenied, err)
}

func TestAClientHasOnlySoManyProcesses(t *testing.T) {
	t.Parallel()
	d, s := executing(t)
	start := func(id string, stdin bool) string {
		msg := starting(id, "x")
		if !stdin {
			msg.GetInit().Fds = []uint32{1}
		}
		require.NoError(t, s.Send(msg))
		require.NotNil(t, next(t, s).GetStarted())
		if stdin && len(processMessages(d)) > 0 &&
			processMessages(d)[len(processMessages(d))-1].ProcessID == id {
			return ""
		}
		exit := next(t, s).GetExit()
		require.NotNil(t, next(t, s).GetDone())
		return exit.GetError().GetMessage()
	}
	for i := range maxRunning {
		require.Empty(t, start(fmt.Sprint(i), true))
	}
	require.Contains(t, start("more", true), "has 100 processes")
	require.NoError(t, s.Send(stdin("0", 0, true)))
	require.NotNil(t, next(t, s).GetExit())
	require.NotNil(t, next(t, s).GetDone())
	for i := maxRunning; i < maxStarted; i++ {
		require.Empty(t, start(fmt.Sprint(i), false))
	}
	require.Contains(t, start("last", false), "has started 1000 processes")
	require.NoError(t, s.Send(starting("1", "x")))
	_, err := s.Recv()
	require.ErrorContains(t, err, "there is a process with the id 1 already")
}

func TestACallHasOnlySoManyRefusals(t *testing.T) {
	t.Parallel()
	_, s := executing(t)
	for i := range maxRefused {
		require.NoError(t, s.Send(starting(fmt.Sprint(i), "other")))
		for range 3 {
			next(t, s)
		}
	}
	require.NoError(t, s.Send(starting("more", "other")))
	_, err := s.Recv()
	requireCode(t, codes.PermissionDenied, err)
	require.ErrorContains(t, err, "the container other")
}
