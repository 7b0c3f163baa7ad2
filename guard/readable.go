package guard

import "sync"

// maxReadable is how many digests an identity can have. Further ones replace the oldest.
const maxReadable = 10_000

// readable are the digests of content that identities may read. The daemon shows all content to
// everybody who knows its digest.
type readable struct {
	mu sync.Mutex
	of map[Identity]*digests
}

type digests struct {
	known map[string]bool
	order []string
}

func newReadable() *readable { return &readable{of: map[Identity]*digests{}} }

func (r *readable) add(who Identity, named []string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	d := r.of[who]
	if d == nil {
		d = &digests{known: map[string]bool{}}
		r.of[who] = d
	}
	for _, digest := range named {
		if d.known[digest] {
			continue
		}
		if len(d.order) >= maxReadable {
			delete(d.known, d.order[0])
			d.order = d.order[1:]
		}
		d.known[digest] = true
		d.order = append(d.order, digest)
	}
}

func (r *readable) has(who Identity, digest string) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	d := r.of[who]
	return d != nil && d.known[digest]
}
