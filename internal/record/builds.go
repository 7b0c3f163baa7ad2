package record

import (
	"maps"
	"slices"
)

// Builds joins the entries of a record: of each build, only one counts. The zero Builds has none.
type Builds struct {
	begun map[string]*Entry
	ended map[string]bool
}

// Add adds an entry. It returns the entry if it is the one that counts. It returns nil if that one
// may be still to come, or was there already.
func (b *Builds) Add(e *Entry) *Entry {
	if b.begun == nil {
		b.begun, b.ended = map[string]*Entry{}, map[string]bool{}
	}
	switch {
	case b.ended[e.ID]:
		return nil
	case e.Event == Ended:
		delete(b.begun, e.ID)
		b.ended[e.ID] = true
		return e
	case b.begun[e.ID] == nil:
		b.begun[e.ID] = e
	}
	return nil
}

// Open returns the entries of builds that have begun and of which no end is recorded, in the order
// in which they began.
func (b *Builds) Open() []*Entry {
	return slices.SortedFunc(maps.Values(b.begun), func(x, y *Entry) int {
		return x.Began.Compare(y.Began)
	})
}
