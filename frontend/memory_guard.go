package frontend

import (
	"context"
	"fmt"
	"runtime/debug"
	"runtime/metrics"
	"time"
)

// memoryInterval is how often the memory of the process is looked at. A frontend that does nothing
// but allocate gets about ten megabytes in this time.
const memoryInterval = 10 * time.Millisecond

// guardMemory bounds the memory of this process while it runs frontends behind brokers. It is the
// last line: the budget bounds what is known to grow, and the built-in frontend runs in this
// process and has no budget.
//
// Above the policy's limit, the returned context ends with a refusal. What was asked to end may go
// on allocating until this process ends, so above twice the limit the process exits at once,
// without a word to the client if the refusal hasn't reached it.
//
// The operating system has no such limit: Go reserves address space far beyond what it uses, so
// RLIMIT_AS ends a process at its start, and RLIMIT_DATA ends one with a crash of its runtime.
func (b *build) guardMemory(ctx context.Context, m *monitor) (context.Context, func()) {
	ctx, end := context.WithCancelCause(ctx)
	limit := uint64(m.inner.decision.Memory)
	done := make(chan struct{})
	go func() {
		ticker := time.NewTicker(memoryInterval)
		defer ticker.Stop()
		for {
			select {
			case <-done:
				return
			case <-ticker.C:
			}
			used := b.bridge.memory()
			if used > limit && used < 2*limit && ctx.Err() == nil {
				debug.FreeOSMemory() // a part may be garbage
				used = b.bridge.memory()
			}
			if used > limit && ctx.Err() == nil {
				end(m.outOfMemory())
			}
			if used > 2*limit && b.bridge.exit != nil {
				fmt.Fprintf(b.log,
					"policy-frontend: the build takes %d MiB, more than twice the limit\n", used>>20)
				b.bridge.exit(1)
			}
		}
	}()
	return ctx, func() {
		end(nil)
		if b.bridge.exit == nil || m.refused() == nil {
			close(done)
		}
	}
}

// processMemory returns how many bytes of memory Go's runtime holds. The program itself comes on
// top.
func processMemory() uint64 {
	samples := []metrics.Sample{
		{Name: "/memory/classes/total:bytes"}, {Name: "/memory/classes/heap/released:bytes"},
	}
	metrics.Read(samples)
	return samples[0].Value.Uint64() - samples[1].Value.Uint64()
}
