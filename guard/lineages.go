package guard

import (
	"crypto/rand"
	"encoding/hex"
	"sync"
)

const (
	// maxLineages is how many lineages wait for a build. Then the one that has waited for longest is
	// forgotten.
	maxLineages = 10_000
	// maxLineageWarnings bounds what a lineage remembers.
	maxLineageWarnings = 20
	// lineageBytes is the length of the random part of a lineage.
	lineageBytes = 16
)

// A lineage is a series of builds, one after the other, whose commands share the daemon's cache. A
// result in the cache has no questions: whatever a command has downloaded for it, the daemon doesn't
// ask again. And of builds at once that share a command, the daemon asks one session at random. So
// builds under rules on downloads share commands only in a lineage, and in it:
//
//   - there is at most one build at a time, so a question is about that build;
//   - each request of each command was allowed. A lineage in which one wasn't is spoiled, and no build
//     follows: the command may have gone on without what it was refused, and its result is cached.
//
// What was only warned about is kept: builds that follow get the warnings too.
type lineage struct {
	id string
	// of is what the builds of a lineage have in common.
	of string

	// Under the lock of the lineages:

	spoiled bool
	warned  []string
}

// lineages are those that wait for a build. They are random: no lineage of a guard that has ended,
// or that was killed in the middle of a build, comes again.
type lineages struct {
	mu   sync.Mutex
	free []*lineage // the one that has waited for longest comes first
}

// take begins a build in a lineage: in the one that has waited for the shortest time of those with
// the same of, or in a new one. done must be called.
func (s *lineages) take(of string) *lineage {
	s.mu.Lock()
	defer s.mu.Unlock()
	for i := len(s.free) - 1; i >= 0; i-- {
		if l := s.free[i]; l.of == of {
			s.free = append(s.free[:i], s.free[i+1:]...)
			return l
		}
	}
	id := make([]byte, lineageBytes)
	_, _ = rand.Read(id) // never fails
	return &lineage{id: hex.EncodeToString(id), of: of}
}

// spoil ends a lineage: no build comes after the one under way.
func (s *lineages) spoil(l *lineage) {
	s.mu.Lock()
	defer s.mu.Unlock()
	l.spoiled = true
}

// warn notes a warning about a download, for the builds that follow. It reports whether the lineage
// hadn't got it before. If there are too many, no build follows, because it wouldn't get them all.
func (s *lineages) warn(l *lineage, warning string) (isNew bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, w := range l.warned {
		if w == warning {
			return false
		}
	}
	if len(l.warned) >= maxLineageWarnings {
		l.spoiled = true
		return true
	}
	l.warned = append(l.warned, warning)
	return true
}

// warnings returns the warnings about downloads whose results the builds of a lineage may share.
func (s *lineages) warnings(l *lineage) []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]string(nil), l.warned...)
}

// done ends a build in a lineage. Clean says that the daemon has ended the build by itself, and that
// no question was open then. Otherwise, a command may have gone on without an answer.
func (s *lineages) done(l *lineage, clean bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if l.spoiled || !clean {
		l.spoiled = true
		return
	}
	s.free = append(s.free, l)
	if more := len(s.free) - maxLineages; more > 0 {
		s.free = append(s.free[:0], s.free[more:]...)
	}
}
