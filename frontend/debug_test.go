package frontend

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"testing"

	gwpb "github.com/moby/buildkit/frontend/gateway/pb"
	"github.com/moby/buildkit/solver/pb"
	"github.com/stretchr/testify/require"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

func TestTheRulesOnCommandsJudgeContainersOfAClient(t *testing.T) {
	const boundPolicy = mediatedPolicy + "    build: {containers: deny, exec: {networks: [none]}}\n"
	handed := func(entrypoint string) *Choice {
		fake := newOutside(t)
		fake.configs = map[string]string{selfRef: `{"config": {"Entrypoint": ["/policy-frontend"` +
			entrypoint + `], "Labels": {"` + LabelHandOver + `": "1"}}}`}
		c, err := chooseWith(t, fake, boundPolicy, nil)
		require.NoError(t, err)
		return c
	}
	forwarded, _, err := chooseAs(t, corpPolicy, "gateway.v0", "", map[string]string{
		"source": "docker/dockerfile:1",
	})
	require.NoError(t, err)
	const onlyGuards = `, "--policy-from-guard"`
	none := &gwpb.NewContainerRequest{Network: pb.NetMode_NONE}
	for name, tc := range map[string]struct {
		choice *Choice
		req    *gwpb.NewContainerRequest
		init   *gwpb.InitMessage
		why    string // "" if it is allowed
	}{
		"no choice":                {nil, none, nil, "no frontend was allowed in this build"},
		"only an answer":           {&Choice{}, none, nil, "no frontend was allowed in this build"},
		"without build rules":      {forwarded, &gwpb.NewContainerRequest{}, nil, ""},
		"an allowed network":       {handed(onlyGuards), none, nil, ""},
		"a process with a network": {handed(onlyGuards), none, &gwpb.InitMessage{}, ""},
		"another network": {
			handed(onlyGuards), &gwpb.NewContainerRequest{}, nil,
			"refuses a command with the network default",
		},
		"no sandbox": {
			handed(onlyGuards), none, &gwpb.InitMessage{Security: pb.SecurityMode_INSECURE},
			"(build.exec.insecure)",
		},
		"an image that may have a policy of its own": {
			handed(""), none, nil, "may have a policy of its own",
		},
		"LLB that is refused": {ownUnder(t, corpPolicy), none, nil, "LLB that no frontend made is refused"},
		"LLB that is allowed": {ownUnder(t, llbBound), none, nil, ""},
		"LLB with another network": {
			ownUnder(t, llbBound), &gwpb.NewContainerRequest{}, nil, "with the network default",
		},
	} {
		err := tc.choice.Container(t.Context(), tc.req, tc.init)
		if tc.why == "" {
			require.NoError(t, err, name)
			continue
		}
		require.ErrorContains(t, err, tc.why, name)
	}
}

// waitingDaemon makes a container when it is told to, and fails to release any.
type waitingDaemon struct {
	gwpb.LLBBridgeClient
	asked, makes chan string
	released     []string
}

func (d *waitingDaemon) NewContainer(
	_ context.Context, req *gwpb.NewContainerRequest, _ ...grpc.CallOption,
) (*gwpb.NewContainerResponse, error) {
	d.asked <- req.ContainerID
	<-d.makes
	return &gwpb.NewContainerResponse{}, nil
}

func (d *waitingDaemon) ReleaseContainer(
	ctx context.Context, req *gwpb.ReleaseContainerRequest, _ ...grpc.CallOption,
) (*gwpb.ReleaseContainerResponse, error) {
	d.released = append(d.released, req.ContainerID)
	return nil, errors.Join(ctx.Err(), errors.New("a process was killed"))
}

func TestTheIDsOfContainers(t *testing.T) {
	t.Parallel()
	d := &waitingDaemon{asked: make(chan string, 1), makes: make(chan string)}
	var s Containers
	made := make(chan error)
	create := func() error {
		return s.Create(t.Context(), d, &gwpb.NewContainerRequest{
			ContainerID: "c", Mounts: make([]*pb.Mount, 2), Network: pb.NetMode_NONE,
		})
	}
	go func() { made <- create() }()
	id := <-d.asked
	require.NotEqual(t, "c", id)
	require.Equal(t, 1, s.Len(), "it counts from the beginning")
	_, err := s.Find("c")
	require.EqualError(t, err, "the container c, which isn't its own", "it isn't there yet")
	require.Equal(t, codes.AlreadyExists, status.Code(create()))
	d.makes <- ""
	require.NoError(t, <-made)
	c, err := s.Find("c")
	require.NoError(t, err)
	require.Equal(t, Container{ID: id, Network: pb.NetMode_NONE, Mounts: 2, made: true}, c)

	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	var taken atomic.Int32
	var takers sync.WaitGroup
	for range 20 {
		takers.Go(func() {
			if _, err := s.Take("c"); err == nil {
				taken.Add(1)
			}
		})
	}
	takers.Wait()
	require.EqualValues(t, 1, taken.Load(), "one of several releases has it")
	_, err = c.Release(ctx, d)
	require.EqualError(t, err, "a process was killed", "it is released although the caller has gone")
	require.Equal(t, []string{id}, d.released)
	require.Zero(t, s.Len(), "the daemon has forgotten it")
	_, err = s.Take("c")
	require.ErrorContains(t, err, "which isn't its own")
}
