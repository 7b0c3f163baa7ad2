package frontend

import (
	"context"
	"errors"
	"sync"
	"time"

	"golang.org/x/sync/semaphore"
)

const (
	// maxMessage is the largest message on any connection of the gateway API, in bytes
	// (containerd's defaults, which BuildKit uses).
	maxMessage = 16 << 20
	// budgetPatience is how long a call waits for others to give memory back.
	budgetPatience = 30 * time.Second
	// maxNestedAtOnce is how many nested frontends run at the same time on each level of
	// nesting. The next one waits. Each takes a container and about a megabyte here.
	maxNestedAtOnce = 8
)

// budget is the memory that the brokers of one build share: those of its frontend and of all nested
// frontends. It is a share of the limit of the policy (limits.memory). The rest is for what
// [guardMemory] alone sees.
//
// An eighth of the limit, but at least one message, is for requests that are being read: their size
// isn't known before. As much is for answers that the daemon is sending. Half of the limit is for
// what has arrived: a request takes its size until it is answered, and an answer until it is
// written. Both take more for a moment, while they are read, checked and written. Calls that stream
// messages take from this half only, because the size of each message is known before it is read.
type budget struct {
	reading, answering *semaphore.Weighted
	patience           time.Duration
	most               int64 // the policy's limit in bytes, for everything

	mu          sync.Mutex
	limit, used int64
	definitions int64         // of used
	freed       chan struct{} // closed when bytes are given back
	levels      map[int]*semaphore.Weighted
}

// newBudget returns the budget under a limit in bytes. The policy's limits are large enough for
// four messages.
func newBudget(limit int64) *budget {
	reservable := max(limit/8, maxMessage)
	return &budget{
		reading:   semaphore.NewWeighted(reservable),
		answering: semaphore.NewWeighted(reservable),
		patience:  budgetPatience,
		most:      limit,
		limit:     limit / 2,
		freed:     make(chan struct{}),
		levels:    map[int]*semaphore.Weighted{},
	}
}

// level waits until one more frontend may run on a level of nesting. Levels have bounds of their
// own: a frontend waits only for those below it, so no two wait for each other.
func (b *budget) level(ctx context.Context, nesting int) (leave func(), err error) {
	b.mu.Lock()
	places := b.levels[nesting]
	if places == nil {
		places = semaphore.NewWeighted(maxNestedAtOnce)
		b.levels[nesting] = places
	}
	b.mu.Unlock()
	if err := places.Acquire(ctx, 1); err != nil {
		return nil, context.Cause(ctx)
	}
	return func() { places.Release(1) }, nil
}

// errBudget says that a build has used its budget up.
var errBudget = errors.New("the build has no memory left")

// account is what one broker has taken from the budget.
type account struct {
	budget            *budget
	held, definitions int64
	closed            bool
}

func (b *budget) open() *account { return &account{budget: b} }

// take takes bytes. If they aren't there, it waits for [budgetPatience] until others give some
// back, and then fails with [errBudget].
func (a *account) take(ctx context.Context, bytes int) error {
	patience := time.NewTimer(a.budget.patience)
	defer patience.Stop()
	for {
		freed, ok := a.tryTake(int64(bytes))
		if ok {
			return nil
		}
		if int64(bytes) > a.budget.limit {
			return errBudget
		}
		select {
		case <-freed:
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-patience.C:
			return errBudget
		}
	}
}

// tryTake takes bytes if they are there. Otherwise, freed is closed when there may be more.
func (a *account) tryTake(bytes int64) (freed <-chan struct{}, ok bool) {
	b := a.budget
	b.mu.Lock()
	defer b.mu.Unlock()
	if a.closed || b.used+bytes > b.limit {
		return b.freed, false
	}
	b.used += bytes
	a.held += bytes
	return nil, true
}

// keepDefinition takes bytes for a definition. It fails if definitions have a quarter of the
// budget, because a frontend can do without.
func (a *account) keepDefinition(bytes int) bool {
	n := int64(bytes)
	b := a.budget
	b.mu.Lock()
	defer b.mu.Unlock()
	if a.closed || b.used+n > b.limit || b.definitions+n > b.limit/4 {
		return false
	}
	b.used, b.definitions = b.used+n, b.definitions+n
	a.held, a.definitions = a.held+n, a.definitions+n
	return true
}

// give gives bytes back.
func (a *account) give(bytes int) {
	a.budget.mu.Lock()
	defer a.budget.mu.Unlock()
	if !a.closed {
		a.held -= int64(bytes)
		a.budget.free(int64(bytes))
	}
}

// close gives everything back. After that, the account takes nothing.
func (a *account) close() {
	b := a.budget
	b.mu.Lock()
	defer b.mu.Unlock()
	if !a.closed {
		a.closed = true
		b.definitions -= a.definitions
		b.free(a.held)
	}
}

// free returns bytes to those who wait. The caller holds the lock.
func (b *budget) free(bytes int64) {
	b.used -= bytes
	close(b.freed)
	b.freed = make(chan struct{})
}
