package tree

import (
	"encoding/binary"
	"math/bits"
	"slices"

	"satchel/crypto"
)

// pageLimit is the weight above which a page is split.
const pageLimit = 128 << 10

// A page holds the entries of a folder whose names' hashes begin with the same
// bits.
type page struct {
	prefix uint64 // left-aligned
	bits   int
	nodes  []*node
	weight int
	dirty  bool // differs from ref and digest
	ref    Ref  // zero of a page that was not written
	digest crypto.Hash
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
// its names, attributes and inline content.
func (e *entry) weigh() (w int) {
	for i := range e.versions {
		v := &e.versions[i]
		w += 256
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

// addPage puts n, which stands in f under name, into its page.
func (f *folder) addPage(n *node, name string) {
	n.hash = nameHash(name)
	n.weight = n.e.weigh()
	if len(f.pages) == 0 {
		f.pages = []*page{{}}
	}
	p := f.pages[f.pageOf(n.hash)]
	p.put(n)
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

func (p *page) put(n *node) {
	n.page, n.slot = p, len(p.nodes)
	p.nodes = append(p.nodes, n)
	p.weight += n.weight
}

func (p *page) remove(n *node) {
	last := p.nodes[len(p.nodes)-1]
	p.nodes[n.slot], last.slot = last, n.slot
	p.nodes[len(p.nodes)-1] = nil
	p.nodes = p.nodes[:len(p.nodes)-1]
	p.weight -= n.weight
	p.dirty = true
	n.page = nil
}

func (p *page) reweigh(n *node) {
	w := n.e.weigh()
	p.weight += w - n.weight
	n.weight = w
}

// heavy tells whether these nodes don't fit one page and can be told apart.
func heavy(weight, limit int, lists ...[]*node) bool {
	if weight <= limit {
		return false
	}
	var first *node
	for _, l := range lists {
		for _, n := range l {
			if first == nil {
				first = n
			}
			if n.hash != first.hash {
				return true
			}
		}
	}
	return false
}

// balance splits pages that are too heavy and joins siblings that fit together,
// so that equal folders have equal pages. Clean pages can't need it.
func (f *folder) balance(limit int) {
	for i := 0; i < len(f.pages); {
		p := f.pages[i]
		if !p.dirty {
			i++
			continue
		}
		if heavy(p.weight, limit, p.nodes) {
			a, b := p.halves()
			f.pages = slices.Replace(f.pages, i, i+1, a, b)
			continue
		}
		if j := f.sibling(i); j >= 0 && !heavy(p.weight+f.pages[j].weight, limit, p.nodes, f.pages[j].nodes) {
			lo := min(i, j)
			f.pages = slices.Replace(f.pages, lo, lo+2, unitePages(f.pages[lo], f.pages[lo+1]))
			i = lo
			continue
		}
		i++
	}
	if len(f.pages) == 1 && len(f.pages[0].nodes) == 0 {
		f.pages = nil
	}
}

// halves splits p by its next bit.
func (p *page) halves() (a, b *page) {
	a = &page{prefix: p.prefix, bits: p.bits + 1, dirty: true}
	b = &page{prefix: p.prefix | 1<<(63-p.bits), bits: p.bits + 1, dirty: true}
	for _, n := range p.nodes {
		if b.holds(n.hash) {
			b.put(n)
		} else {
			a.put(n)
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
		for _, n := range p.nodes {
			u.put(n)
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
