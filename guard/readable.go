package guard

import (
	"sync"
	"time"
)

const (
	// maxReadable is how many digests of content an identity can have.
	maxReadable = 10_000
	// maxResults is how many results of builds are remembered for an identity, and resultsFor for how
	// long. A client builds on the results of builds that it has just made.
	maxResults = 10_000
	resultsFor = time.Hour
)

// remembered are digests that identities know. Beyond the largest number for one identity, further
// ones replace the oldest.
type remembered struct {
	most int
	keep time.Duration // 0 is for ever
	now  func() time.Time

	mu sync.Mutex
	of map[Identity]*digests
}

type digests struct {
	since map[string]time.Time
	order []string
}

func newRemembered(most int, keep time.Duration) *remembered {
	return &remembered{most: most, keep: keep, now: time.Now, of: map[Identity]*digests{}}
}

func (r *remembered) add(who Identity, named []string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	d := r.of[who]
	if d == nil {
		d = &digests{since: map[string]time.Time{}}
		r.of[who] = d
	}
	for _, digest := range named {
		if _, known := d.since[digest]; !known {
			if len(d.order) >= r.most {
				delete(d.since, d.order[0])
				d.order = d.order[1:]
			}
			d.order = append(d.order, digest)
		}
		d.since[digest] = r.now()
	}
}

func (r *remembered) has(who Identity, digest string) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	d := r.of[who]
	if d == nil {
		return false
	}
	since, known := d.since[digest]
	return known && (r.keep == 0 || r.now().Sub(since) <= r.keep)
}
