package volume

import (
	"cmp"
	"slices"

	"satchel/fs/tree"
)

// A span is what was written to one chunk since the last journal batch.
type span struct {
	chunk uint64
	off   int
	data  []byte
}

// Changes of a file since the last journal batch.
type since struct {
	low   int64               // the smallest size that it had
	stale map[uint64]struct{} // chunks of which sealed or edge changed
	any   bool                // anything changed, the time perhaps
}

// resealed notes that what is stored of chunk i changed.
func (f *file) resealed(i uint64) {
	if f.since.stale == nil {
		f.since.stale = make(map[uint64]struct{})
	}
	f.since.stale[i] = struct{}{}
	f.since.any = true
}

// fresh returns what a batch must say of chunk i in memory: what was written to
// it, or all of it if what lies below changed too.
func (f *file) fresh(i uint64, c *chunk) ranges {
	if _, stale := f.since.stale[i]; stale {
		return c.all()
	}
	return c.fresh
}

// unsynced returns what was written since the last journal batch and is in
// memory, in order, with the lock held.
func (f *file) unsynced() (spans []span) {
	for i, c := range f.chunks {
		for _, r := range f.fresh(i, c) {
			data := make([]byte, r.hi-r.lo)
			c.read(data, r.lo)
			spans = append(spans, span{i, r.lo, data})
		}
	}
	slices.SortFunc(spans, func(a, b span) int { return cmp.Or(cmp.Compare(a.chunk, b.chunk), cmp.Compare(a.off, b.off)) })
	return spans
}

// synced forgets what changed so far: it is in a journal batch.
func (f *file) synced() {
	f.since = since{low: f.size}
	for _, c := range f.chunks {
		c.fresh = nil
	}
}

// unsync takes back synced: that batch could not be written.
func (f *file) unsync(old since, spans []span) {
	f.since.any = true
	f.since.low = min(f.since.low, old.low)
	for i := range old.stale {
		f.resealed(i)
	}
	for _, s := range spans {
		if c := f.chunks[s.chunk]; c != nil {
			for _, r := range c.all() { // it may have been cut
				c.fresh.add(max(r.lo, s.off), min(r.hi, s.off+len(s.data)))
			}
		}
	}
}

// restoreStored puts back what is stored of chunk i: ref and, if it is not the
// whole chunk, how much of it counts. Nothing of it is in memory then.
func (f *file) restoreStored(v *Volume, i uint64, stored bool, ref tree.Ref, edge int) {
	f.drop(v, i)
	delete(f.sealed, i)
	delete(f.edge, i)
	if !stored {
		return
	}
	f.sealed[i] = ref
	if edge > 0 {
		if f.edge == nil {
			f.edge = make(map[uint64]int)
		}
		f.edge[i] = edge
		f.edit(v, i, func(*chunk) {}) // to be sealed anew
	}
}
