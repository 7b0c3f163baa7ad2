package guard

import (
	"fmt"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// replace writes a policy as one should: to another file, which is renamed.
func replace(t *testing.T, path, text string) {
	t.Helper()
	write(t, path+".new", text)
	require.NoError(t, os.Rename(path+".new", path))
}

func TestABuildSeesEachChangeBeforeItWhoeverLooks(t *testing.T) {
	t.Parallel()
	p, path, _ := opened(t, withID("id0"), unobserved{})
	p.settle = func() {}

	end := make(chan struct{})
	var others sync.WaitGroup
	for range 8 {
		others.Go(func() {
			for {
				select {
				case <-end:
					return
				default:
					_ = p.current()
				}
			}
		})
	}
	for i := range 200 {
		id := fmt.Sprintf("id%d", i)
		replace(t, path, withID(id))
		require.Equal(t, id, p.current().Identity().ID)
	}
	close(end)
	others.Wait()
}

// slowly makes the disk not answer until the channel is closed.
func slowly(p policyFile) (answers chan struct{}) {
	answers = make(chan struct{})
	p.settle = func() { <-answers }
	return answers
}

func TestADiskThatDoesNotAnswerHoldsUpBuildsForAWhile(t *testing.T) {
	t.Parallel()
	seen := &observed{}
	p, path, text := opened(t, withID("one"), seen)
	p.most = 50 * time.Millisecond
	answers := slowly(p)
	replace(t, path, withID("two"))

	began := time.Now()
	for range 200 { // the first one waits, and after it nobody does
		require.Equal(t, "one", p.current().Identity().ID)
	}
	require.Less(t, time.Since(began), 5*time.Second)
	require.Equal(t, 1, strings.Count(text.String(), "can't be read in time"), text)
	inForce, problem := p.state()
	require.Equal(t, "one", inForce.Identity().ID)
	require.ErrorIs(t, problem, errLate)

	p.mu.Lock()
	p.most = 10 * time.Second
	p.mu.Unlock()
	close(answers)
	inForce, problem = p.state()
	require.NoError(t, problem)
	require.Equal(t, "two", inForce.Identity().ID)
	require.Contains(t, text.String(), "can be read again")
	seen.mu.Lock()
	defer seen.mu.Unlock()
	require.NoError(t, seen.problems[len(seen.problems)-1])
}

func TestBuildsThatBeginTogetherShareALook(t *testing.T) {
	t.Parallel()
	p, path, _ := opened(t, withID("one"), unobserved{})
	var mu sync.Mutex
	reads := 0
	answers := make(chan struct{})
	p.settle = func() {
		mu.Lock()
		reads++
		mu.Unlock()
		<-answers
	}
	replace(t, path, withID("two"))
	var builds sync.WaitGroup
	var ids sync.Map
	for range 500 {
		builds.Go(func() { ids.Store(p.current().Identity().ID, true) })
	}
	require.Eventually(t, func() bool {
		mu.Lock()
		defer mu.Unlock()
		return reads == 1
	}, soon, time.Millisecond)
	close(answers)
	builds.Wait()
	ids.Range(func(id, _ any) bool {
		require.Equal(t, "two", id)
		return true
	})
	mu.Lock()
	defer mu.Unlock()
	require.Equal(t, 1, reads, "the next look sees that nothing has changed since")
}
