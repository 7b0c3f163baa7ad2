package guard

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/policy-frontend/policy-frontend/internal/record"
)

// recorder writes the record. A nil recorder writes none.
//
// Each build has a line when it begins and one when it has ended. If the line of its beginning
// can't be written, it doesn't begin. That of its end is kept then, and written before the next
// line.
type recorder struct {
	log      *slog.Logger
	clock    func() time.Time
	early    *refusals   // bounds the lines about builds that didn't begin
	isEnding func() bool // whether the guard ends

	mu      sync.Mutex // lines are written one after the other
	file    *RecordFile
	open    map[string][]byte // of builds under way: the line of their beginning
	owed    [][]byte          // lines that couldn't be written
	problem error             // why the last line couldn't be written; nil if it was
	closed  chan struct{}     // closed when no build is under way any more, if anybody waits
}

// newRecorder returns a recorder to the file, nil for none. Builds that are under way in the file
// were broken off: nobody else writes it.
func newRecorder(
	file *RecordFile, log *slog.Logger, isEnding func() bool,
) (*recorder, error) {
	if file == nil {
		return nil, nil
	}
	broken, err := file.unfinished()
	if err != nil {
		return nil, fmt.Errorf("the record can't be read: %w", err)
	}
	r := &recorder{
		log: log, clock: time.Now, early: newRefusals(), isEnding: isEnding, file: file,
		open: map[string][]byte{},
	}
	for _, e := range broken {
		e.Event, e.Outcome, e.Time = record.Ended, record.BrokenOff, r.clock().UTC()
		line, err := e.Line()
		if err != nil { // it has been read by the same rules
			return nil, fmt.Errorf("internal: %w", err)
		}
		r.owed = append(r.owed, line)
	}
	if len(broken) > 0 {
		log.Warn("builds in the record were broken off", "builds", len(broken))
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.settle(r.flush())
	return r, nil
}

// newID returns what the lines of a build have in common.
func newID() string {
	var id [16]byte
	_, _ = rand.Read(id[:]) // never fails
	return hex.EncodeToString(id[:])
}

// errUnrecorded is the error of a build that can't be recorded. The client may try again.
var errUnrecorded = status.Error(codes.Unavailable,
	"policy-guard can't write its record, and begins no build without it; its log says why")

// begin writes that a build has begun.
func (r *recorder) begin(id string, line []byte) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	err := r.write(line)
	r.settle(err)
	if err != nil {
		return errUnrecorded
	}
	r.open[id] = line
	return nil
}

// end writes that a build has ended. Only the line of one that had begun is kept if it can't be
// written, because others can come as fast as clients send requests.
func (r *recorder) end(id string, line []byte) {
	r.mu.Lock()
	defer r.mu.Unlock()
	_, begun := r.open[id]
	delete(r.open, id)
	err := r.write(line)
	if err != nil && begun {
		r.owed = append(r.owed, line)
	}
	r.settle(err)
	if r.closed != nil && len(r.open) == 0 {
		close(r.closed)
		r.closed = nil
	}
}

// write writes what is owed, and a line. mu is held.
func (r *recorder) write(line []byte) error {
	if err := r.flush(); err != nil {
		return err
	}
	return r.file.add(line)
}

// flush writes what is owed. If the file is a new one, it also has to have the builds under way:
// after a restart, the guard reads this file alone. mu is held.
func (r *recorder) flush() error {
	renewed, err := r.file.renew()
	if err != nil {
		return err
	}
	if renewed {
		for _, line := range r.open {
			r.owed = append(r.owed, line)
		}
	}
	for len(r.owed) > 0 {
		if err := r.file.add(r.owed[0]); err != nil {
			return err
		}
		r.owed = r.owed[1:]
	}
	return nil
}

// settle notes whether lines can be written. mu is held.
func (r *recorder) settle(err error) {
	switch {
	case err != nil && r.problem == nil:
		r.log.Error("the record can't be written, so no build begins", "why", logText(err.Error()))
	case err == nil && r.problem != nil:
		r.log.Info("the record can be written again")
	}
	r.problem = err
}

// check returns why no line can be written now, or nil. It writes what is owed.
func (r *recorder) check() error {
	if r == nil {
		return nil
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	err := r.flush()
	if err == nil && r.problem != nil {
		err = r.file.add([]byte("\n")) // readers leave out empty lines
	}
	r.settle(err)
	if err != nil {
		return fmt.Errorf("the record can't be written: %w", err)
	}
	return nil
}

// ReopenRecord opens the file of the record again if it was renamed. The guard does so before each
// line too. It fails if the record can't be written.
func (g *Guard) ReopenRecord() error { return g.recorder.check() }

// CloseRecord waits until the end of each build under way is recorded, or ctx ends. Nothing is
// recorded after that. Call it when no server serves clients any more.
func (g *Guard) CloseRecord(ctx context.Context) {
	r := g.recorder
	if r == nil {
		return
	}
	r.mu.Lock()
	none := make(chan struct{})
	if len(r.open) == 0 {
		close(none)
	} else {
		r.closed = none
	}
	r.mu.Unlock()
	select {
	case <-none:
	case <-ctx.Done():
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.settle(r.flush())
	r.file.close()
}
