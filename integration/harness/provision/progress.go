package provision

import (
	"fmt"
	"io"
	"sync"
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

// Step runs f, which does what the text says, such as "building buildkitd". It prints a
// line at the start, one every twenty seconds while f runs, and one with the time it took.
func (p *Progress) Step(what string, f func() error) error {
	p.Say("%s", what)
	start := time.Now()
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
				p.Say("%s: %.0fs so far", what, time.Since(start).Seconds())
			}
		}
	})
	err := f()
	close(done)
	reporter.Wait()
	if err == nil {
		p.Say("%s: done in %.1fs", what, time.Since(start).Seconds())
	}
	return err
}
