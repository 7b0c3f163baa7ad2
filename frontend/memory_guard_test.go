package frontend

import (
	"context"
	"runtime"
	"runtime/debug"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
)

func TestAProcessThatTakesTooMuchMemory(t *testing.T) {
	t.Parallel()
	const limit = 64 << 20
	for name, tc := range map[string]struct {
		used            uint64
		refused, exited bool
	}{
		"as much as it may":            {limit, false, false},
		"more than it may":             {limit + 1, true, false},
		"more than twice what it may":  {2*limit + 1, true, true},
		"what no host should bear":     {100 * limit, true, true},
		"as much as a small build has": {10 << 20, false, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				m := monitorOf(t, newFake(t, "", nil), mediatedWithin)
				b := m.build
				b.log = &strings.Builder{}
				var used atomic.Uint64
				exited := make(chan int, 100)
				b.bridge = &bridge{memory: used.Load, exit: func(code int) { exited <- code }}
				ctx, done := b.guardMemory(t.Context(), m)
				used.Store(tc.used)
				<-time.After(2 * memoryInterval)
				synctest.Wait()
				require.Equal(t, tc.exited, len(exited) > 0)
				b.bridge.exit = nil // so that it ends with the test
				if tc.refused {
					requireRefusal(t, context.Cause(ctx), "limits: docker/dockerfile:1@"+
						digestOne.String()+" makes the policy frontend take more than 64MiB of "+
						"memory, which is as much as the limits allow (limits.memory); split the "+
						"build, or have the limit raised")
				} else {
					require.NoError(t, ctx.Err())
				}
				done()
			})
		})
	}
}

func TestTheMemoryOfTheProcess(t *testing.T) { //nolint:paralleltest // it measures the heap
	debug.FreeOSMemory()
	debug.FreeOSMemory() // of what finalizers let go in the first one
	before := processMemory()
	ballast := make([]byte, 64<<20)
	for i := 0; i < len(ballast); i += 4 << 10 {
		ballast[i] = 1
	}
	require.InDelta(t, 64<<20, int64(processMemory())-int64(before), 16<<20)
	runtime.KeepAlive(ballast)
	debug.FreeOSMemory()
	require.Less(t, processMemory(), before+16<<20, "not what is free again")
}

// What grows here is like the variables of a Dockerfile that the built-in frontend expands: each
// text is twice as long as the last one.
func TestMemoryThatGrowsEndsABuildInTime(t *testing.T) { //nolint:paralleltest // see above
	m := monitorOf(t, newFake(t, "", nil), mediatedWithin)
	debug.FreeOSMemory()
	before := processMemory()
	used := func() uint64 { return max(processMemory(), before) - before }
	m.build.bridge = &bridge{memory: used}
	ctx, done := m.build.guardMemory(t.Context(), m)
	defer done()
	var kept []string
	text := strings.Repeat("x", 1<<20)
	for ctx.Err() == nil && len(kept) < 2000 {
		kept = append(kept, strings.Clone(text))
		time.Sleep(500 * time.Microsecond) //nolint:forbidigo // a gigabyte in a second
	}
	t.Logf("ended at %d MiB", used()>>20)
	require.ErrorContains(t, context.Cause(ctx), "limits.memory")
	require.Less(t, used(), uint64(192<<20))
	runtime.KeepAlive(kept)
}
