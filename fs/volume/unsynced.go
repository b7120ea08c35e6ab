package volume

import (
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

// wrote notes that the bytes from lo to hi of the chunk were written.
func (c *chunk) wrote(lo, hi int) {
	if c.hi == 0 {
		c.lo, c.hi = lo, hi
		return
	}
	c.lo, c.hi = min(c.lo, lo), max(c.hi, hi)
}

// resealed notes that what is stored of chunk i changed.
func (f *file) resealed(i uint64) {
	if f.since.stale == nil {
		f.since.stale = make(map[uint64]struct{})
	}
	f.since.stale[i] = struct{}{}
	f.since.any = true
}

// bytesUnsynced is how many bytes unsynced would copy.
func (f *file) bytesUnsynced() (n int) {
	for _, c := range f.chunks {
		n += c.hi - c.lo
	}
	return n
}

// unsynced returns what was written since the last journal batch and is in
// memory, in order, with the lock held.
func (f *file) unsynced() (spans []span) {
	for i, c := range f.chunks {
		if c.hi > c.lo {
			spans = append(spans, span{i, c.lo, slices.Clone(c.buf[c.lo:min(c.hi, len(c.buf))])})
		}
	}
	slices.SortFunc(spans, func(a, b span) int { return int(int64(a.chunk) - int64(b.chunk)) })
	return spans
}

// synced forgets what changed so far: it is in a journal batch.
func (f *file) synced() {
	f.since = since{low: f.size}
	for _, c := range f.chunks {
		c.lo, c.hi = 0, 0
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
		if c := f.chunks[s.chunk]; c != nil && s.off < len(c.buf) {
			c.wrote(s.off, min(s.off+len(s.data), len(c.buf)))
		}
	}
}

// restoreStored puts back what is stored of chunk i: ref and, if it is not the
// whole chunk, how much of it counts. Nothing of it is in memory then.
func (f *file) restoreStored(v *Volume, i uint64, stored bool, ref tree.Ref, edge int) {
	if c := f.chunks[i]; c != nil {
		v.opt.Budget.add(-len(c.buf))
		delete(f.chunks, i)
	}
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
	}
}
