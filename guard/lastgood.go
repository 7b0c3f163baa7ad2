package guard

import (
	"errors"
	"sync"
	"time"
)

const (
	// settle is how long changed files have to stay the same before they count. A program that writes
	// a file in place may be seen between two writes.
	settle = 100 * time.Millisecond
	// maxReads is how often files that keep changing are read at a time.
	maxReads = 20
)

// lastGood is a value from files that may change while the guard runs. The last valid one stays in
// force until there is another valid one.
type lastGood[T any] struct {
	// load reads the files.
	load func() (T, snapshot, error)
	// tell is told of a change: what is in force now, and why the newest isn't, or nil.
	tell   func(inForce T, problem error)
	settle func() // waits for writers of the files

	mu      sync.Mutex
	inForce T
	seen    snapshot // what the files had when they were read last; nil is unknown
	problem error    // why that isn't in force; nil if it is
}

// snapshot is what files had when they were read.
type snapshot interface {
	// unchanged reports whether they have the same text now.
	unchanged() bool
}

// openLastGood reads the files, which have to be valid. It doesn't tell of them.
func openLastGood[T any](
	load func() (T, snapshot, error), tell func(inForce T, problem error),
) (*lastGood[T], error) {
	value, seen, err := load()
	if err != nil {
		return nil, err
	}
	return &lastGood[T]{
		load: load, tell: tell, settle: func() { <-time.After(settle) }, inForce: value, seen: seen,
	}, nil
}

// current returns the value in force.
func (l *lastGood[T]) current() T {
	value, _ := l.state()
	return value
}

// state returns the value in force, and why the newest one isn't, or nil. It looks at the files
// first: their text is compared, because the times of files tell little about it.
func (l *lastGood[T]) state() (T, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for range maxReads {
		if l.seen != nil && l.seen.unchanged() {
			return l.inForce, l.problem
		}
		value, now, err := l.load()
		l.settle()
		if now.unchanged() {
			l.seen = now
			l.changed(value, err)
			return l.inForce, l.problem
		}
	}
	l.seen = nil // the next one who asks looks again
	l.changed(l.inForce, errUnsettled)
	return l.inForce, l.problem
}

var errUnsettled = errors.New("the files change each time that they are read")

// changed notes that the files have a new text, and tells of it. The same problem is told once.
func (l *lastGood[T]) changed(value T, err error) {
	if err != nil && l.problem != nil && err.Error() == l.problem.Error() {
		return
	}
	l.problem = err
	if err == nil {
		l.inForce = value
	}
	l.tell(l.inForce, err)
}
