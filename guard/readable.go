package guard

import (
	"cmp"
	"container/list"
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
// ones replace those that were added least recently.
type remembered struct {
	most int
	keep time.Duration // 0 is for ever
	now  func() time.Time

	mu sync.Mutex
	of map[Identity]*digests
}

type digests struct {
	known map[string]*list.Element
	order list.List // of *knownDigest; the one that was added least recently comes first
}

// knownDigest is one that an identity knows. What else is known of it is forgotten with it.
type knownDigest struct {
	digest string
	since  time.Time
	maker  madeBy
}

// madeBy is what a guard that signs summaries knows about the build that made a result.
type madeBy struct {
	frontend string // and what allowed it; "" for a guard that doesn't sign
	against  string // why what builds on the result gets no summary; "" if it may get one
}

// and is what is known of a result that another build has made too.
func (m madeBy) and(other madeBy) madeBy {
	m.against = cmp.Or(m.against, other.against)
	if m.frontend != other.frontend {
		m.against = cmp.Or(m.against, "it builds on a result that "+m.frontend+" and "+
			other.frontend+" have made")
	}
	return m
}

func newRemembered(most int, keep time.Duration) *remembered {
	return &remembered{most: most, keep: keep, now: time.Now, of: map[Identity]*digests{}}
}

// add remembers digests. What speaks against what they stand for stays with them.
func (r *remembered) add(who Identity, named []string, by madeBy) {
	r.mu.Lock()
	defer r.mu.Unlock()
	d := r.of[who]
	if d == nil {
		d = &digests{known: map[string]*list.Element{}}
		r.of[who] = d
	}
	for _, digest := range named {
		added := &knownDigest{digest, r.now(), by}
		if at := d.known[digest]; at != nil {
			before := d.order.Remove(at).(*knownDigest)
			if !r.isOld(before) {
				added.maker = by.and(before.maker)
			}
		}
		d.known[digest] = d.order.PushBack(added)
		if d.order.Len() > r.most {
			oldest := d.order.Remove(d.order.Front()).(*knownDigest)
			delete(d.known, oldest.digest)
		}
	}
}

func (r *remembered) isOld(k *knownDigest) bool {
	return r.keep > 0 && r.now().Sub(k.since) > r.keep
}

// has reports whether an identity knows a digest, and what is known of what that stands for.
func (r *remembered) has(who Identity, digest string) (known bool, by madeBy) {
	r.mu.Lock()
	defer r.mu.Unlock()
	d := r.of[who]
	if d == nil || d.known[digest] == nil {
		return false, madeBy{}
	}
	k := d.known[digest].Value.(*knownDigest)
	if r.isOld(k) {
		return false, madeBy{}
	}
	return true, k.maker
}
