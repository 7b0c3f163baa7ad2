package harness

import (
	"errors"
	"os"
	"os/signal"
	"sync"
	"syscall"
)

// reaper holds what has to be undone when the process ends, in whatever way
// it gets to know of. Each entry is run once.
type reaper struct {
	mu      sync.Mutex
	order   []string
	entries map[string]func() error
}

func newReaper() *reaper { return &reaper{entries: map[string]func() error{}} }

func (r *reaper) add(key string, undo func() error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.order = append(r.order, key)
	r.entries[key] = undo
}

// run undoes one entry; an unknown one, or one that was run, is no error.
func (r *reaper) run(key string) error {
	r.mu.Lock()
	undo := r.entries[key]
	delete(r.entries, key)
	r.mu.Unlock()
	if undo == nil {
		return nil
	}
	return undo()
}

// runAll undoes everything, latest first.
func (r *reaper) runAll() error {
	r.mu.Lock()
	order := r.order
	r.order = nil
	r.mu.Unlock()
	var errs []error
	for i := len(order) - 1; i >= 0; i-- {
		errs = append(errs, r.run(order[i]))
	}
	return errors.Join(errs...)
}

// onSignal undoes everything when the process is interrupted or terminated,
// then ends it as the signal would have. The returned function ends the watch;
// once a signal came it doesn't return, because the process is about to end.
func (r *reaper) onSignal() (stop func()) {
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	done := make(chan struct{})
	stopped := make(chan struct{})
	go func() {
		select {
		case <-done:
			close(stopped)
		case s := <-signals:
			_ = r.runAll() // nobody is left to be told
			signal.Reset()
			_ = syscall.Kill(os.Getpid(), s.(syscall.Signal))
		}
	}()
	return func() {
		signal.Stop(signals)
		close(done)
		<-stopped
	}
}
