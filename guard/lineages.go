package guard

import (
	"crypto/rand"
	"encoding/hex"
	"slices"
	"sync"
)

const (
	// maxLineages is how many lineages wait for a build. Then the one that has waited for longest is
	// forgotten.
	maxLineages = 10_000
	// maxLineageWarnings bounds what a lineage remembers.
	maxLineageWarnings = 20
	// moreLineageWarnings comes after them if there were others. A summary mustn't look as if it had
	// all.
	moreLineageWarnings = "there are more warnings about downloads, which are left out"
	// maxMade is how many results of an identity are remembered with their lineages.
	maxMade = 10_000
	// lineageBytes is the length of the random part of a lineage.
	lineageBytes = 16
)

// A lineage is a series of builds, one after the other, whose commands share the daemon's cache.
// The daemon asks nothing about a result in its cache, whatever a command has downloaded for it.
// And of builds at once that share a command, it asks one session at random. So builds under rules
// on downloads share commands only in a lineage, and in it:
//
//   - there is at most one build at a time, so a question is about that build;
//   - each request of each command was allowed. A lineage in which one wasn't is spoiled, and no
//     build follows: the command may have gone on without what it was refused, and its result is
//     cached.
//
// A build with a result of another one as its input has commands of that one's lineage. It needs
// the same rules, because questions about these commands can be asked in either build. If one of
// the two is refused something, or is ended early, both end.
//
// A lineage has its own cache mounts. Two commands that have one at once can pass on a connection
// to the daemon's proxy, by a socket in it. The daemon asks nothing about a connection of a command
// whose build has ended (util/network/proxyprovider, handleConnect). So no two builds at once have
// one, and no build begins in a lineage as long as another one runs its commands.
//
// What was only warned about is kept, in each lineage of the build: the command that asked may be
// of any. Builds that follow get the warnings too.
type lineage struct {
	id string
	// of is what the builds of a lineage have in common.
	of string

	// Under the lock of the lineages:

	spoiled bool
	waits   bool // the build in it has ended
	warned  []string
	users   map[lineageUser]bool
}

// lineageUser is a build with commands of a lineage.
type lineageUser interface {
	// stop ends the build, because a lineage that it uses is spoiled.
	stop(why error)
}

// lineages are those that wait for a build. They are random: no lineage of a guard that has ended,
// or that was killed in the middle of a build, comes again.
type lineages struct {
	mu   sync.Mutex
	free []*lineage // the one that has waited for longest comes first

	made map[Identity]*results
}

// results are those of an identity's builds, with the lineages of their commands.
type results struct {
	of    map[string][]*lineage
	order []string // the oldest first
}

// take begins a build in a lineage: in the one that has waited for the shortest time of those with
// the same of, or in a new one. done must be called.
func (s *lineages) take(of string, u lineageUser) *lineage {
	s.mu.Lock()
	defer s.mu.Unlock()
	for i := len(s.free) - 1; i >= 0; i-- {
		if l := s.free[i]; l.of == of {
			s.free = slices.Delete(s.free, i, i+1)
			l.users[u], l.waits = true, false
			return l
		}
	}
	id := make([]byte, lineageBytes)
	_, _ = rand.Read(id) // never fails
	return &lineage{id: hex.EncodeToString(id), of: of, users: map[lineageUser]bool{u: true}}
}

// note remembers the lineages of a result's commands.
func (s *lineages) note(who Identity, result string, all []*lineage) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.made == nil {
		s.made = map[Identity]*results{}
	}
	r := s.made[who]
	if r == nil {
		r = &results{of: map[string][]*lineage{}}
		s.made[who] = r
	}
	if r.of[result] == nil {
		r.order = append(r.order, result)
	}
	r.of[result] = all
	if len(r.order) > maxMade {
		delete(r.of, r.order[0])
		r.order = r.order[1:]
	}
}

// of returns the lineages of a result's commands; none if they aren't known.
func (s *lineages) of(who Identity, result string) []*lineage {
	s.mu.Lock()
	defer s.mu.Unlock()
	if r := s.made[who]; r != nil {
		return r.of[result]
	}
	return nil
}

// join has a build use results of a lineage with the same of. It reports false if it must not.
// leave must be called otherwise.
func (s *lineages) join(l *lineage, of string, u lineageUser) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if l.spoiled || l.of != of {
		return false
	}
	l.users[u] = true
	return true
}

// spoil ends a lineage: no build comes after those under way, and these are stopped, but for one.
func (s *lineages) spoil(l *lineage, why error, by lineageUser) {
	s.mu.Lock()
	s.endAfter(l)
	var users []lineageUser
	for u := range l.users {
		if u != by {
			users = append(users, u)
		}
	}
	s.mu.Unlock()
	for _, u := range users {
		u.stop(why)
	}
}

// endAfter lets no build follow those under way in a lineage. The lock is held.
func (s *lineages) endAfter(l *lineage) {
	l.spoiled = true
	s.free = slices.DeleteFunc(s.free, func(other *lineage) bool { return other == l })
}

// warn notes a warning about a download, for the builds that follow. It reports whether the lineage
// hadn't got it before. If there are too many, no build follows, because it wouldn't get them all.
func (s *lineages) warn(l *lineage, warning string) (isNew bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if slices.Contains(l.warned, warning) {
		return false
	}
	if len(l.warned) >= maxLineageWarnings {
		s.endAfter(l) // it may be free: a build can have it as that of an input
		if len(l.warned) == maxLineageWarnings {
			l.warned = append(l.warned, moreLineageWarnings)
		}
		return true
	}
	l.warned = append(l.warned, warning)
	return true
}

// warnings returns the warnings about downloads whose results the builds of a lineage may share.
func (s *lineages) warnings(l *lineage) []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(l.warned)
}

// leave ends the use of a lineage's results by a build.
func (s *lineages) leave(l *lineage, u lineageUser) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.unuse(l, u)
}

// done ends a build in a lineage. It is free then unless it is spoiled, or when no other build uses
// its results any more.
func (s *lineages) done(l *lineage, u lineageUser) {
	s.mu.Lock()
	defer s.mu.Unlock()
	l.waits = true
	s.unuse(l, u)
}

// unuse ends a use of a lineage. The lock is held.
func (s *lineages) unuse(l *lineage, u lineageUser) {
	delete(l.users, u)
	if l.spoiled || !l.waits || len(l.users) > 0 || slices.Contains(s.free, l) {
		return
	}
	s.free = append(s.free, l)
	if more := len(s.free) - maxLineages; more > 0 {
		s.free = slices.Delete(s.free, 0, more)
	}
}
