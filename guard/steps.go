package guard

import (
	"container/list"
	"sync"
	"time"

	"github.com/moby/buildkit/client"
	digest "github.com/opencontainers/go-digest"
)

// maxSteps is how many steps are remembered, by about 300 bytes each. Beyond it, those are
// forgotten that no build has had for the longest time.
const maxSteps = 50_000

// steps remembers under which rules the daemon has run which steps, so that a build whose steps
// come from the cache can show that no other rules filled it. A step is known by its digest: that
// of its operation and of all before it.
type steps struct {
	most int

	mu    sync.Mutex
	of    map[digest.Digest]*list.Element // of *stepRun
	order *list.List                      // the latest first
}

// stepRun is the newest run of a step. The daemon loads the newest result that its cache has
// (solver/exporter.go, getBestResult).
type stepRun struct {
	step    digest.Digest
	rules   string
	started time.Time
	mixed   bool // builds under several rules shared it, or it had begun before anybody looked
	done    bool
	clean   bool // it is done, and so was all before it under the same rules
}

func newSteps(most int) *steps {
	return &steps{most: most, of: map[digest.Digest]*list.Element{}, order: list.New()}
}

// began notes that a build under the rules has, or shares, the run of a step that began at a time.
// joined says that it began before the build did.
func (s *steps) began(step digest.Digest, rules string, started time.Time, joined bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if e := s.of[step]; e != nil {
		s.order.MoveToFront(e)
		run := e.Value.(*stepRun)
		switch {
		case started.Equal(run.started):
			run.mixed = run.mixed || run.rules != rules
		case started.After(run.started):
			*run = stepRun{step: step, rules: rules, started: started, mixed: joined}
		}
		return
	}
	if s.order.Len() >= s.most {
		last := s.order.Back()
		delete(s.of, s.order.Remove(last).(*stepRun).step)
	}
	s.of[step] = s.order.PushFront(
		&stepRun{step: step, rules: rules, started: started, mixed: joined})
}

// ended notes that a run of a step has ended well. before are the steps on which it builds.
func (s *steps) ended(
	step digest.Digest, rules string, started time.Time, before []digest.Digest,
	isSource func(digest.Digest) bool,
) {
	s.mu.Lock()
	defer s.mu.Unlock()
	e := s.of[step]
	if e == nil {
		return
	}
	run := e.Value.(*stepRun)
	if !started.Equal(run.started) {
		return
	}
	clean := true
	for _, b := range before {
		clean = clean && (isSource(b) || s.isClean(b, rules))
	}
	run.clean = clean && (!run.done || run.clean)
	run.done = true
}

// clean reports whether the newest run of a step, and the runs on which it built, were under these
// rules and no others.
func (s *steps) clean(step digest.Digest, rules string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if e := s.of[step]; e != nil {
		s.order.MoveToFront(e)
	}
	return s.isClean(step, rules)
}

// isClean is clean under the lock.
func (s *steps) isClean(step digest.Digest, rules string) bool {
	e := s.of[step]
	if e == nil {
		return false
	}
	run := e.Value.(*stepRun)
	return run.done && run.clean && !run.mixed && run.rules == rules
}

// stepsOfBuild is what the daemon tells about the steps of one build.
type stepsOfBuild struct {
	all   *steps
	since time.Time // when the build began
	// waiting are the runs that come to be remembered as soon as the rules of the build are known, in
	// the order in which they began.
	known   map[digest.Digest]*knownStep
	needed  map[digest.Digest]bool // other steps build on them
	waiting []*client.Vertex
	full    bool
}

// knownStep is a step of a build.
type knownStep struct {
	name   string
	source bool // it builds on no other step
	used   bool // it ran, or came from the cache
}

// maxVertices bounds the steps of a build, and maxWaiting what happens before its rules are known.
const (
	maxVertices = 20_000
	maxWaiting  = 1_000
)

func newStepsOfBuild(all *steps, since time.Time) *stepsOfBuild {
	return &stepsOfBuild{
		all: all, since: since, known: map[digest.Digest]*knownStep{},
		needed: map[digest.Digest]bool{},
	}
}

// isSource reports whether a step builds on no other. Those are sources, which the policy judges in
// each build, and files that the daemon makes from the operation alone.
func (b *stepsOfBuild) isSource(step digest.Digest) bool {
	k := b.known[step]
	return k != nil && k.source
}

// add takes what is new about steps. The daemon sends what happened at about the same time in the
// order in which it began (solver/progress.go, Status).
func (b *stepsOfBuild) add(vertices []*client.Vertex) {
	for _, v := range vertices {
		k := b.known[v.Digest]
		if k == nil {
			if len(b.known) >= maxVertices {
				b.full = true
				return
			}
			k = &knownStep{name: v.Name, source: len(v.Inputs) == 0}
			b.known[v.Digest] = k
			for _, in := range v.Inputs {
				b.needed[in] = true
			}
		}
		k.used = k.used || v.Completed != nil || v.Cached
		if v.Started == nil || v.Cached || k.source {
			continue
		}
		if len(b.waiting) >= maxWaiting {
			b.full = true
			return
		}
		b.waiting = append(b.waiting, v)
	}
}

// note remembers, under the rules of the build, what has been added.
func (b *stepsOfBuild) note(rules string) {
	for _, v := range b.waiting {
		b.all.began(v.Digest, rules, *v.Started, v.Started.Before(b.since))
		if v.Completed != nil && v.Error == "" {
			b.all.ended(v.Digest, rules, *v.Started, v.Inputs, b.isSource)
		}
	}
	b.waiting = nil
}

// foreign returns the name of a step that may come from a cache which other rules filled. It
// reports whether there is one.
//
// The daemon says nothing about a step whose work another build does at the same time, under
// another digest (solver/scheduler.go, dispatch). A step on top of it isn't clean, and a last step
// has to be seen.
func (b *stepsOfBuild) foreign(rules string) (name string, found bool) {
	for step, k := range b.known {
		if !k.source && (k.used || !b.needed[step]) && !b.all.clean(step, rules) {
			return k.name, true
		}
	}
	return "", false
}
