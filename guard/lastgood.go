package guard

import (
	"errors"
	"io"
	"io/fs"
	"os"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

const (
	// settle is how long changed files have to stay the same before they count. A program that writes
	// a file in place may be seen between two writes.
	settle = 100 * time.Millisecond
	// maxReads is how often files that keep changing are read at a time.
	maxReads = 20
	// maxLook is how long a caller waits for the files. Reading files that keep changing takes two
	// seconds.
	maxLook = 10 * time.Second
)

// lastGood is a value from files that may change while the guard runs. The last valid one stays in
// force until there is another valid one.
//
// The files are looked at for each caller, by one goroutine at a time. Callers that come while it
// looks share the next look: the one under way may have read a file before they came. A disk that
// doesn't answer is like a missing file.
type lastGood[T any] struct {
	// load reads the files.
	load func() (T, snapshot, error)
	// tell is told of changes.
	tell   func(news[T])
	settle func()        // waits for writers of the files
	most   time.Duration // that a caller waits for a look

	seen snapshot // what the files had when they were read last, or nil; only for the one who looks

	mu      sync.Mutex
	inForce T
	problem error     // why the newest value isn't in force; nil if it is
	began   time.Time // of the look under way; zero if there is none
	next    *look     // for callers that have come since then; nil if there are none
	late    bool      // the look under way takes longer than most
}

// news is what has become of files.
type news[T any] struct {
	inForce T
	problem error // why the newest value isn't in force; nil if it is
	again   bool  // they can be read again, and had no new text meanwhile
}

// snapshot is what files had when they were read.
type snapshot interface {
	// unchanged reports whether they have the same text now.
	unchanged() bool
}

// readRegular reads a file that open opens, up to one byte more than most. It reads nothing of what
// isn't a regular file, and never waits, as it would for a pipe.
func readRegular(
	open func(name string, flag int, mode fs.FileMode) (*os.File, error), name string, most int,
) (fs.FileInfo, []byte, error) {
	f, err := open(name, os.O_RDONLY|unix.O_NONBLOCK, 0)
	if err != nil {
		return nil, nil, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil || !info.Mode().IsRegular() {
		return info, nil, err
	}
	data, err := io.ReadAll(io.LimitReader(f, int64(most)+1))
	return info, data, err
}

// look is one look at the files, for which callers wait.
type look struct{ done chan struct{} }

// openLastGood reads the files, which have to be valid. It doesn't tell of them.
func openLastGood[T any](
	load func() (T, snapshot, error), tell func(news[T]),
) (*lastGood[T], error) {
	value, seen, err := load()
	if err != nil {
		return nil, err
	}
	return &lastGood[T]{
		load: load, tell: tell, settle: func() { <-time.After(settle) }, most: maxLook,
		inForce: value, seen: seen,
	}, nil
}

var (
	errUnsettled = errors.New("the files change each time that they are read")
	errLate      = errors.New("the files can't be read in time")
)

// current returns the value in force.
func (l *lastGood[T]) current() T {
	value, _ := l.state()
	return value
}

// state returns the value in force, and why the newest one isn't, or nil. It looks at the files
// first: their text is compared, because the times of files tell little about it.
func (l *lastGood[T]) state() (T, error) {
	next := l.join()
	for left := l.left(); left > 0; left = l.left() {
		late := time.NewTimer(left)
		select {
		case <-next.done:
			late.Stop()
			return l.now()
		case <-late.C:
		}
	}
	return l.now()
}

func (l *lastGood[T]) now() (T, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.late {
		return l.inForce, errLate
	}
	return l.inForce, l.problem
}

// join returns a look that hasn't begun yet.
func (l *lastGood[T]) join() *look {
	l.mu.Lock()
	defer l.mu.Unlock()
	next := l.next
	if next == nil {
		next = &look{done: make(chan struct{})}
		l.next = next
	}
	if l.began.IsZero() {
		l.began = time.Now()
		go l.lookAround()
	}
	return next
}

// lookAround looks as long as callers wait for that.
func (l *lastGood[T]) lookAround() {
	for {
		l.mu.Lock()
		next := l.next
		l.next = nil
		if next == nil {
			l.began = time.Time{}
			l.mu.Unlock()
			return
		}
		l.began = time.Now()
		l.mu.Unlock()
		l.look()
		close(next.done)
	}
}

// look looks at the files once.
func (l *lastGood[T]) look() {
	for range maxReads {
		if l.seen != nil && l.seen.unchanged() {
			l.inTime()
			return
		}
		value, now, err := l.load()
		l.settle()
		if now.unchanged() {
			l.seen = now
			l.inTime()
			l.changed(value, err)
			return
		}
	}
	l.seen = nil // the next look reads them again
	l.inTime()
	var none T
	l.changed(none, errUnsettled)
}

// left returns how long callers wait for the look under way. When that is over, it tells so.
func (l *lastGood[T]) left() time.Duration {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.began.IsZero() {
		return l.most
	}
	left := l.most - time.Since(l.began)
	if left <= 0 && !l.late {
		l.late = true
		l.tell(news[T]{inForce: l.inForce, problem: errLate})
	}
	return left
}

// inTime tells that a look has ended, if it was late.
func (l *lastGood[T]) inTime() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.late {
		l.late = false
		l.tell(news[T]{inForce: l.inForce, problem: l.problem, again: true})
	}
}

// changed notes that the files have a new text, and tells of it. The same problem is told once.
func (l *lastGood[T]) changed(value T, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if err != nil && l.problem != nil && err.Error() == l.problem.Error() {
		return
	}
	l.problem = err
	if err == nil {
		l.inForce = value
	}
	l.tell(news[T]{inForce: l.inForce, problem: err})
}
