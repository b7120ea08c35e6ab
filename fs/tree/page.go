package tree

import (
	"encoding/binary"
	"math/bits"
	"slices"

	"satchel/crypto"
)

// pageLimit is the weight above which a page is split.
const pageLimit = 128 << 10

// A page holds the rows of a folder whose hashes begin with the same bits.
type page struct {
	prefix uint64 // left-aligned
	bits   int
	rows   []*row
	weight int
	away   bool // one of the table that is stored and not in memory: its rows are not known
	dirty  bool // differs from ref and digest
	ref    Ref  // zero of a page that was not written
	digest crypto.Hash
}

func (p *page) empty() bool { return len(p.rows) == 0 && !p.away }

// A row is what a page holds of a node: its entry or, of one that stands in the
// table, a stub for one of its names.
type row struct {
	n      *node
	page   *page
	slot   int32 // in page.rows
	spot   int32 // of a stub: which of n's spots
	hash   uint64
	weight int
}

func (r *row) isStub() bool { return r != &r.n.row }

// name is that of a stub.
func (r *row) name() string { return r.n.spots[r.spot].name }

// stubWeight is the weight of a stub without its name.
const stubWeight = 64

// weigh sets the row's weight.
func (r *row) weigh() {
	if r.isStub() {
		r.weight = stubWeight + len(r.name())
	} else {
		r.weight = r.n.e.weigh()
	}
}

// nameHash returns the first 64 bits of BLAKE3(name).
func nameHash(name string) uint64 {
	h := crypto.Sum([]byte(name))
	return binary.BigEndian.Uint64(h[:])
}

// holds tells whether h begins with the page's bits.
func (p *page) holds(h uint64) bool { return (h^p.prefix)&mask(p.bits) == 0 }

func mask(n int) uint64 { return ^uint64(0) << (64 - n) } // of 0 bits: 0

// weigh returns the weight of an entry: for each version 256 and the bytes of
// its names, attributes and inline content, and 64 for each place but the first.
func (e *entry) weigh() (w int) {
	for i := range e.versions {
		v := &e.versions[i]
		w += 256 + 64*max(0, len(v.places)-1)
		for _, p := range v.places {
			w += len(p.name)
		}
		for k, x := range v.attr.Xattrs {
			w += len(k) + len(x)
		}
		if v.data != nil {
			w += len(v.data.content.Inline)
		}
	}
	return w
}

// add puts r into its page, which is in memory.
func (f *folder) add(r *row, hash uint64) {
	r.hash = hash
	r.weigh()
	if len(f.pages) == 0 {
		f.pages = []*page{{}}
	}
	p := f.pages[f.pageOf(hash)]
	p.put(r)
	p.dirty = true
}

// pageOf returns the index of the page that holds h.
func (f *folder) pageOf(h uint64) int {
	i, ok := slices.BinarySearchFunc(f.pages, h, func(p *page, h uint64) int {
		switch {
		case p.prefix < h:
			return -1
		case p.prefix > h:
			return 1
		}
		return 0
	})
	if !ok {
		i--
	}
	return i
}

func (p *page) put(r *row) {
	r.page, r.slot = p, int32(len(p.rows))
	p.rows = append(p.rows, r)
	p.weight += r.weight
}

func (p *page) remove(r *row) {
	last := p.rows[len(p.rows)-1]
	p.rows[r.slot], last.slot = last, r.slot
	p.rows[len(p.rows)-1] = nil
	p.rows = p.rows[:len(p.rows)-1]
	p.weight -= r.weight
	p.dirty = true
	r.page = nil
}

func (p *page) reweigh(r *row) {
	p.weight -= r.weight
	r.weigh()
	p.weight += r.weight
}

// heavy tells whether these rows don't fit one page and can be told apart.
func heavy(weight, limit int, lists ...[]*row) bool {
	if weight <= limit {
		return false
	}
	var first *row
	for _, l := range lists {
		for _, r := range l {
			if first == nil {
				first = r
			}
			if r.hash != first.hash {
				return true
			}
		}
	}
	return false
}

// balance splits pages that are too heavy and joins siblings that fit together,
// so that equal folders have equal pages. Clean pages can't need it. Siblings
// that are not in memory are read.
func (f *folder) balance(limit int, read func(*page) error) error {
	for i := 0; i < len(f.pages); {
		p := f.pages[i]
		if !p.dirty {
			i++
			continue
		}
		if heavy(p.weight, limit, p.rows) {
			a, b := p.halves()
			f.pages = slices.Replace(f.pages, i, i+1, a, b)
			continue
		}
		j := f.sibling(i)
		if j >= 0 && f.pages[j].away {
			if err := read(f.pages[j]); err != nil {
				return err
			}
		}
		if j >= 0 && !heavy(p.weight+f.pages[j].weight, limit, p.rows, f.pages[j].rows) {
			lo := min(i, j)
			f.pages = slices.Replace(f.pages, lo, lo+2, unitePages(f.pages[lo], f.pages[lo+1]))
			i = lo
			continue
		}
		i++
	}
	if len(f.pages) == 1 && f.pages[0].empty() {
		f.pages = nil
	}
	return nil
}

// halves splits p by its next bit.
func (p *page) halves() (a, b *page) {
	a = &page{prefix: p.prefix, bits: p.bits + 1, dirty: true}
	b = &page{prefix: p.prefix | 1<<(63-p.bits), bits: p.bits + 1, dirty: true}
	for _, r := range p.rows {
		if b.holds(r.hash) {
			b.put(r)
		} else {
			a.put(r)
		}
	}
	return a, b
}

// sibling returns the index of the page that page i would be joined with, -1 if
// that is split further.
func (f *folder) sibling(i int) int {
	p := f.pages[i]
	if p.bits == 0 {
		return -1
	}
	j := i + 1
	if p.prefix&(1<<(64-p.bits)) != 0 {
		j = i - 1
	}
	if j < 0 || j >= len(f.pages) || f.pages[j].bits != p.bits {
		return -1
	}
	return j
}

func unitePages(a, b *page) *page {
	u := &page{prefix: a.prefix, bits: a.bits - 1, dirty: true}
	for _, p := range []*page{a, b} {
		for _, r := range p.rows {
			u.put(r)
		}
	}
	return u
}

// splitIndex returns the groups of pages that stand in an index node each: of
// all groups of pages with common first bits the largest that are not over
// width.
func splitIndex(list []child, width int) (groups [][]child) {
	if len(list) <= width {
		return [][]child{list}
	}
	common := 64
	for _, c := range list {
		common = min(common, c.bits-1, bits.LeadingZeros64(c.prefix^list[0].prefix))
	}
	at := slices.IndexFunc(list, func(c child) bool { return c.prefix&(1<<(63-common)) != 0 })
	return append(splitIndex(list[:at], width), splitIndex(list[at:], width)...)
}
