package volume

import (
	"slices"
	"sync"
)

// maxExtents bounds the extents of a chunk: every second page of it, and some.
// A chunk with more is filled up with what lies below.
const maxExtents = 160

// A chunk is what was written to 1 MiB of a file and is not sealed yet. It lies
// over what is stored of that MiB, which is read only when the chunk is sealed
// and counts where the chunk has nothing.
type chunk struct {
	exts   []extent      // in order, none overlaps another
	fresh  ranges        // written since the last journal batch
	frozen chan struct{} // not nil while being sealed: to be copied before it is changed; closed afterwards
	took   int           // of the budget
}

// An extent is n bytes of a chunk, zeros if there is no data.
type extent struct {
	off, n int
	data   []byte
}

func (e *extent) end() int { return e.off + e.n }

// mem is what the chunk takes of the budget.
func (c *chunk) mem() int {
	n := 128
	for i := range c.exts {
		n += 48 + cap(c.exts[i].data)
	}
	return n
}

// clone returns a copy that may be changed.
func (c *chunk) clone() *chunk {
	d := &chunk{exts: slices.Clone(c.exts), fresh: slices.Clone(c.fresh)}
	for i := range d.exts {
		d.exts[i].data = slices.Clone(d.exts[i].data)
	}
	return d
}

// end is where the last extent ends.
func (c *chunk) end() int {
	if len(c.exts) == 0 {
		return 0
	}
	return c.exts[len(c.exts)-1].end()
}

// at returns the index of the first extent that ends behind off.
func (c *chunk) at(off int) int {
	i, _ := slices.BinarySearchFunc(c.exts, off+1, func(e extent, off int) int { return e.end() - off })
	return i
}

// covers tells whether everything from lo to hi is in the chunk.
func (c *chunk) covers(lo, hi int) bool {
	for i := c.at(lo); lo < hi; i++ {
		if i == len(c.exts) || c.exts[i].off > lo {
			return false
		}
		lo = c.exts[i].end()
	}
	return true
}

// write puts p at off.
func (c *chunk) write(off int, p []byte) {
	c.fresh.add(off, off+len(p))
	c.put(off, p)
	c.bound()
}

// put puts p at off, without noting it.
func (c *chunk) put(off int, p []byte) {
	i := c.at(off)
	if i < len(c.exts) && c.exts[i].off <= off && c.exts[i].data != nil {
		c.extend(i, off-c.exts[i].off, p)
		return
	}
	if i > 0 && c.exts[i-1].end() == off && c.exts[i-1].data != nil {
		c.extend(i-1, c.exts[i-1].n, p)
		return
	}
	i = c.carve(off, off+len(p))
	c.exts = slices.Insert(c.exts, i, extent{off, len(p), slices.Clone(p)})
}

// extend puts p at its offset at of extent i, which has data up to there at
// least and grows if need be.
func (c *chunk) extend(i, at int, p []byte) {
	e := &c.exts[i]
	n := at + len(p)
	if n <= e.n {
		copy(e.data[at:], p)
		return
	}
	off := e.off
	if n > cap(e.data) {
		e.data = append(newData(off, max(n, 2*cap(e.data), 4096)), e.data...)
	}
	grown := extent{off, n, e.data[:n]}
	c.carve(e.end(), off+n)
	copy(grown.data[at:], p)
	c.exts[i] = grown
}

// fullFrom is how much of a chunk is written in a row for the rest of it to be expected.
const fullFrom = 256 << 10

// fullChunks are buffers of a whole chunk.
var fullChunks = sync.Pool{New: func() any { b := make([]byte, chunkSize); return &b }}

// newData returns an empty buffer for an extent at off, of n bytes if there can
// be that many.
func newData(off, n int) []byte {
	if off == 0 && n > fullFrom {
		return (*fullChunks.Get().(*[]byte))[:0]
	}
	return make([]byte, 0, min(n, chunkSize-off))
}

// recycle gives back the memory of a chunk that nobody uses any more.
func (c *chunk) recycle() {
	for _, e := range c.exts {
		if cap(e.data) == chunkSize {
			b := e.data[:chunkSize]
			fullChunks.Put(&b)
		}
	}
	c.exts = nil
}

// zero makes the bytes from lo to hi zeros.
func (c *chunk) zero(lo, hi int) {
	if lo >= hi {
		return
	}
	c.fresh.add(lo, hi)
	i := c.carve(lo, hi)
	c.exts = slices.Insert(c.exts, i, extent{off: lo, n: hi - lo})
	c.bound()
}

// clip drops what lies from n on.
func (c *chunk) clip(n int) {
	c.fresh.clip(n)
	c.carve(n, max(n, c.end()))
}

// carve drops what the extents have between lo and hi. It returns where an
// extent that begins at lo has to be inserted.
func (c *chunk) carve(lo, hi int) int {
	i := c.at(lo)
	if lo >= hi {
		return i
	}
	j := i
	var rest []extent
	for ; j < len(c.exts) && c.exts[j].off < hi; j++ {
		e := c.exts[j]
		if e.off < lo {
			rest = append(rest, e.part(e.off, lo))
		}
		if e.end() > hi {
			rest = append(rest, e.part(hi, e.end()))
		}
	}
	if i == j {
		return i
	}
	before := len(rest) > 0 && rest[0].off < lo
	c.exts = slices.Replace(c.exts, i, j, rest...)
	if before {
		i++
	}
	return i
}

// part is what of e lies between lo and hi. It does not share memory that
// another part could grow into, nor keep much that nobody needs.
func (e *extent) part(lo, hi int) extent {
	p := extent{off: lo, n: hi - lo}
	if e.data != nil {
		p.data = e.data[lo-e.off : hi-e.off : hi-e.off]
		if p.n < cap(e.data)/2 {
			p.data = slices.Clone(p.data)
		}
	}
	return p
}

// bound joins extents that touch when there are many, and notes more as fresh
// than is when that has too many parts.
func (c *chunk) bound() {
	if len(c.exts) > maxExtents {
		c.join()
	}
	if len(c.fresh) > maxExtents {
		c.fresh = c.hull()
	}
}

// join makes one extent of those that touch.
func (c *chunk) join() {
	var out []extent
	for i := 0; i < len(c.exts); {
		j, n := i+1, c.exts[i].n
		for j < len(c.exts) && c.exts[j].off == c.exts[j-1].end() && (c.exts[j].data == nil) == (c.exts[i].data == nil) {
			n += c.exts[j].n
			j++
		}
		e := extent{off: c.exts[i].off, n: n, data: c.exts[i].data}
		if j > i+1 && e.data != nil {
			e.data = make([]byte, 0, n)
			for _, x := range c.exts[i:j] {
				e.data = append(e.data, x.data...)
			}
		}
		out = append(out, e)
		i = j
	}
	c.exts = out
}

// hull returns, of each run of extents, the least range that has all that is
// fresh of it.
func (c *chunk) hull() (out ranges) {
	k := 0
	for i := 0; i < len(c.exts); {
		j := i + 1
		for j < len(c.exts) && c.exts[j].off == c.exts[j-1].end() {
			j++
		}
		first := k
		for k < len(c.fresh) && c.fresh[k].hi <= c.exts[j-1].end() {
			k++
		}
		if k > first {
			out = append(out, byteRange{c.fresh[first].lo, c.fresh[k-1].hi})
		}
		i = j
	}
	return out
}

// crowded tells whether the chunk must be filled up from below.
func (c *chunk) crowded() bool { return len(c.exts) > maxExtents }

// all returns what the extents cover.
func (c *chunk) all() (r ranges) {
	for i := range c.exts {
		r.add(c.exts[i].off, c.exts[i].end())
	}
	return r
}

// read puts what the chunk has from off on into p and returns which parts of p
// it has nothing for.
func (c *chunk) read(p []byte, off int) (gaps []byteRange) {
	pos := 0
	for i := c.at(off); i < len(c.exts) && c.exts[i].off < off+len(p); i++ {
		e := &c.exts[i]
		if lo := e.off - off; lo > pos {
			gaps = append(gaps, byteRange{pos, lo})
			pos = lo
		}
		m := min(e.end()-off, len(p))
		if e.data == nil {
			clear(p[pos:m])
		} else {
			copy(p[pos:m], e.data[off+pos-e.off:])
		}
		pos = m
	}
	if pos < len(p) {
		gaps = append(gaps, byteRange{pos, len(p)})
	}
	return gaps
}

// fill puts below where the chunk has nothing, and makes one extent of all.
func (c *chunk) fill(below []byte) {
	buf := make([]byte, max(len(below), c.end()))
	copy(buf, below)
	c.over(buf)
	c.exts = []extent{{0, len(buf), buf}}
}

// over puts what the chunk has over buf.
func (c *chunk) over(buf []byte) {
	for i := range c.exts {
		e := &c.exts[i]
		if e.off >= len(buf) {
			return
		}
		if e.data == nil {
			clear(buf[e.off:min(e.end(), len(buf))])
		} else {
			copy(buf[e.off:], e.data)
		}
	}
}
