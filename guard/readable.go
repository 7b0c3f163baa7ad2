package guard

import (
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
	warned bool // the policy has warned about what it stands for
}

func newRemembered(most int, keep time.Duration) *remembered {
	return &remembered{most: most, keep: keep, now: time.Now, of: map[Identity]*digests{}}
}

// add remembers digests. If the policy has warned about what they stand for, that stays with them.
func (r *remembered) add(who Identity, named []string, warned bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	d := r.of[who]
	if d == nil {
		d = &digests{known: map[string]*list.Element{}}
		r.of[who] = d
	}
	for _, digest := range named {
		added := &knownDigest{digest, r.now(), warned}
		if at := d.known[digest]; at != nil {
			before := d.order.Remove(at).(*knownDigest)
			added.warned = warned || before.warned && !r.isOld(before)
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

// has reports whether an identity knows a digest, and whether the policy has warned about what that
// stands for.
func (r *remembered) has(who Identity, digest string) (known, warned bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	d := r.of[who]
	if d == nil || d.known[digest] == nil {
		return false, false
	}
	k := d.known[digest].Value.(*knownDigest)
	if r.isOld(k) {
		return false, false
	}
	return true, k.warned
}
