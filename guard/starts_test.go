package guard

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/moby/buildkit/solver/pb"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// starter begins starts in the background and notes those that began, in their order.
type starter struct {
	of *starts

	mu    sync.Mutex
	ended map[string]*start
	order []string
}

func (s *starter) begin(ctx context.Context, who Identity, name string) {
	go func() {
		begun, err := s.of.begin(ctx, who)
		if err != nil {
			name += ": " + err.Error()
		}
		s.mu.Lock()
		defer s.mu.Unlock()
		s.ended[name], s.order = begun, append(s.order, name)
	}()
	synctest.Wait()
}

func newStarter(most int) *starter {
	s := newStarts()
	s.most = most
	return &starter{of: s, ended: map[string]*start{}}
}

// end ends a start that has begun.
func (s *starter) end(name string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.ended[name].end()
}

// begun returns the starts that have begun, as soon as nothing else can go on.
func (s *starter) begun() []string {
	synctest.Wait()
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.order)
}

func TestSomeFrontendsStartAtOnceAndOthersWaitInTheirOrder(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newStarter(2)
		for i := range 4 {
			s.begin(t.Context(), "a", fmt.Sprint(i))
		}
		require.Equal(t, []string{"0", "1"}, s.begun())
		s.end("1")
		s.end("1") // once more makes no place
		require.Equal(t, []string{"0", "1", "2"}, s.begun())
		s.end("0")
		require.Equal(t, []string{"0", "1", "2", "3"}, s.begun())
		s.end("2")
		s.end("3")
		require.Empty(t, s.of.of)
		require.Zero(t, s.of.now)
	})
}

func TestAStartEndsByItselfAfterSomeTime(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newStarter(1)
		s.begin(t.Context(), "a", "0")
		s.begin(t.Context(), "a", "1")
		<-time.After(startTime - 1)
		require.Equal(t, []string{"0"}, s.begun())
		<-time.After(1)
		require.Equal(t, []string{"0", "1"}, s.begun())
		s.end("0") // too late
		require.Equal(t, 1, s.of.now)
		s.end("1")
	})
}

func TestAClientWithManyStartsKeepsOthersWaitingForOneOfThem(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newStarter(2)
		for i := range 5 {
			s.begin(t.Context(), "a", fmt.Sprint(i))
		}
		s.begin(t.Context(), "b", "other")
		s.end("0")
		require.Equal(t, []string{"0", "1", "other"}, s.begun())
		<-time.After(3 * startTime)
		require.Len(t, s.begun(), 6)
	})
}

// Others that have much to start have one start each, too.
func TestClientsWithManyStartsTakeTurnsWithOthers(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newStarter(2)
		for i := range 3 {
			s.begin(t.Context(), "a", fmt.Sprint("a", i))
			s.begin(t.Context(), "b", fmt.Sprint("b", i))
		}
		s.begin(t.Context(), "c", "c0")
		want := []string{"a0", "b0", "a1", "b1", "c0", "a2", "b2"}
		for i, ends := range want {
			require.Equal(t, want[:min(i+2, len(want))], s.begun())
			s.end(ends)
		}
	})
}

func TestWhoStopsWaitingTakesNoPlace(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newStarter(1)
		ctx, cancel := context.WithCancel(t.Context())
		s.begin(t.Context(), "a", "0")
		s.begin(ctx, "a", "1")
		s.begin(t.Context(), "a", "2")
		cancel()
		require.Equal(t, []string{"0", "1: context canceled"}, s.begun())
		s.end("0")
		require.Equal(t, []string{"0", "1: context canceled", "2"}, s.begun())
		s.end("2")
		require.Zero(t, s.of.now)
	})
}

// Either one may see the other first.
func TestATurnThatComesAsItsBuildEndsIsGivenBack(t *testing.T) {
	t.Parallel()
	s := newStarts()
	w := &waitingStart{"a", make(chan struct{})}
	s.waiting = append(s.waiting, w)
	s.next()
	<-w.ready
	require.Equal(t, 1, s.now)
	s.leave(w)
	require.Zero(t, s.now)

	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	for range 100 {
		begun, err := s.begin(ctx, "a")
		if err == nil {
			begun.end()
		} else {
			require.ErrorIs(t, err, context.Canceled)
		}
	}
	require.Zero(t, s.now)
	require.Empty(t, s.of)
}

func TestAFrontendStartsUntilItReadsSomething(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		policy string
		source string // what is read then; "" for nothing
		atOnce bool   // another frontend runs meanwhile
	}{
		"nothing is read": {forwarding, "", false},
		"the daemon reads the frontend's image": {
			forwarding, "docker-image://docker.io/docker/dockerfile:1@" + fakeDigest, false,
		},
		"the frontend reads its context": {forwarding, "local://context", true},
		"the daemon's own frontend starts none": {
			strings.Replace(forwarding, "}]", ", dispatch: builtin}]", 1), "", true,
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d, g, c, ctx := begunUnder(t, tc.policy)
			g.starts.most, g.starts.time = 1, time.Hour
			running, end := make(chan struct{}), make(chan struct{})
			d.makes = func(map[string]string) *pb.Definition {
				running <- struct{}{}
				<-end
				return d.result
			}
			await := func() {
				select {
				case <-running:
				case <-time.After(10 * time.Second):
					t.Fatal("it doesn't start")
				}
			}
			b, ask := asker(ctx, t, g)
			var solving sync.WaitGroup
			solve := func() {
				_, err := c.Solve(ctx, asking("docker/dockerfile:1"))
				assert.NoError(t, err)
			}
			solving.Go(solve)
			await()
			if tc.source != "" {
				require.Empty(t, ask(tc.source, pb.AttrLocalSessionID, "s1"))
			}
			solving.Go(solve)
			if tc.atOnce {
				await()
			} else {
				require.Eventually(t, func() bool {
					g.starts.mu.Lock()
					defer g.starts.mu.Unlock()
					return len(g.starts.waiting) == 1
				}, 10*time.Second, time.Millisecond)
			}
			close(end)
			if !tc.atOnce { // the first has returned
				await()
			}
			solving.Wait()
			require.Zero(t, g.starts.now)
			require.Empty(t, g.starts.waiting)
			require.Empty(t, b.starting)
		})
	}
}
