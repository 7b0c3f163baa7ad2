package provision

import (
	"fmt"
	"io"
	"sync"
	"sync/atomic"
	"time"
)

// stillEvery is how often a long step says that it goes on.
const stillEvery = 20 * time.Second

// Progress prints one line for each step that may take long. Its methods may be called
// by several goroutines at once.
type Progress struct {
	mu sync.Mutex
	w  io.Writer
}

// NewProgress returns a Progress that prints to w.
func NewProgress(w io.Writer) *Progress { return &Progress{w: w} }

// Say prints one line.
func (p *Progress) Say(format string, args ...any) {
	p.mu.Lock()
	defer p.mu.Unlock()
	fmt.Fprintf(p.w, "harness: "+format+"\n", args...)
}

// Step runs f, which does what the text says, such as "building the image". It prints a
// line at the start, one every twenty seconds while f runs, and one with the time it took.
func (p *Progress) Step(what string, f func() error) error {
	return p.Count(what, "", nil, f)
}

// Count is a [Progress.Step] that also tells how many things f has done so far: the value
// of n, and the unit, such as "packages compiled".
func (p *Progress) Count(what, unit string, n *atomic.Int64, f func() error) error {
	start := time.Now()
	soFar := func() string {
		taken := fmt.Sprintf("%.0fs", time.Since(start).Seconds())
		if n == nil {
			return taken
		}
		return fmt.Sprintf("%s, %d %s", taken, n.Load(), unit)
	}
	p.Say("%s", what)
	done := make(chan struct{})
	var reporter sync.WaitGroup
	reporter.Go(func() {
		tick := time.NewTicker(stillEvery)
		defer tick.Stop()
		for {
			select {
			case <-done:
				return
			case <-tick.C:
				p.Say("%s: %s so far", what, soFar())
			}
		}
	})
	err := f()
	close(done)
	reporter.Wait()
	if err == nil {
		p.Say("%s: done in %s", what, soFar())
	}
	return err
}
