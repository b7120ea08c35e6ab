package tree

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"slices"

	"satchel/crypto"
)

// A flush writes what differs from what is stored. It changes the tree only at
// its end, when nothing can fail any more.
type flush struct {
	t     *Tree
	dot   Dot  // what pending dots become
	sink  Sink // nil: only find out what is stored already
	limit int
	width int
	tops  map[*folder]child
	used  map[*folder]map[crypto.Hash]Ref
	done  []func()
}

// Flush gives the pending changes their number and writes the pages that
// changed, and those above them; pages that are stored already, as they were or
// in a merged head, keep their refs. After an error nothing has changed.
func (t *Tree) Flush(seq uint64, sink Sink) (root Ref, digest crypto.Hash, err error) {
	if seq == 0 || seq > maxSeq {
		return Ref{}, crypto.Hash{}, fmt.Errorf("commit number %d", seq)
	}
	for id, e := range t.vec {
		if e.Seq >= seq {
			return Ref{}, crypto.Hash{}, fmt.Errorf("commit number %d is not above %d of %v", seq, e.Seq, id)
		}
	}
	w := t.newFlush(Dot{seq, t.self}, sink)
	root, digest, err = t.ref, t.digest, nil
	if t.root.sub.dirty || root.IsZero() {
		root, digest, err = w.root()
	}
	if err != nil {
		return Ref{}, crypto.Hash{}, err
	}
	w.apply()
	for n := range t.pend {
		n.e = n.e.numbered(w.dot)
	}
	clear(t.pend)
	t.fresh = make(map[Identity][]Identity)
	t.ref, t.digest, t.changed = root, digest, false
	t.vec[t.self] = VectorEntry{Name: t.name, Seq: seq}
	t.gen++
	return root, digest, nil
}

func (t *Tree) newFlush(dot Dot, sink Sink) *flush {
	w := &flush{t: t, dot: dot, sink: sink, limit: pageLimit, width: indexWidth,
		tops: make(map[*folder]child), used: make(map[*folder]map[crypto.Hash]Ref)}
	if t.limit > 0 {
		w.limit, w.width = t.limit, t.width
	}
	return w
}

func (w *flush) apply() {
	for _, f := range w.done {
		f()
	}
}

// Root returns where the tree of the last flush is.
func (t *Tree) Root() Ref { return t.ref }

// Digest returns the digest of the last flush.
func (t *Tree) Digest() crypto.Hash { return t.digest }

// errOpen says that something isn't stored and there is no sink.
var errOpen = errors.New("not stored")

// root writes the root node.
func (w *flush) root() (Ref, crypto.Hash, error) {
	top, err := w.folder(w.t.root.sub, Root)
	if err != nil && err != errOpen {
		return Ref{}, crypto.Hash{}, err
	}
	table, e := w.folder(w.t.table, nowhere)
	if err := cmp.Or(e, err); err != nil {
		return Ref{}, crypto.Hash{}, err
	}
	s := standing{e: w.t.root.e.numbered(w.dot), top: top.ref, digest: top.digest}
	if !table.ref.IsZero() {
		s.table = &table
	}
	return w.node(w.t.root.sub, kindRoot, leaf{list: []standing{s}})
}

// node writes a page or root, unless f knows where it is stored already.
func (w *flush) node(f *folder, kind byte, l leaf) (Ref, crypto.Hash, error) {
	digest, err := pageDigest(kind, l)
	if err != nil {
		return Ref{}, digest, err
	}
	r, err := w.put(f, digest, func(local func(Ref) Ref) ([]byte, error) { return encodePage(kind, l, local) })
	return r, digest, err
}

func (w *flush) put(f *folder, digest crypto.Hash, encode func(local func(Ref) Ref) ([]byte, error)) (Ref, error) {
	used := w.used[f]
	if used == nil {
		used = make(map[crypto.Hash]Ref)
		w.used[f] = used
	}
	r, ok := f.known[digest]
	if !ok {
		r, ok = used[digest]
	}
	if !ok {
		if w.sink == nil {
			return Ref{}, errOpen
		}
		var err error
		if r, err = w.sink.Node(encode); err != nil {
			return Ref{}, err
		}
		if r.IsZero() {
			return Ref{}, errors.New("a sink gave no ref")
		}
	}
	used[digest] = r
	return r, nil
}

// folder writes the pages of the directory dir, or the table, and all below it.
func (w *flush) folder(f *folder, dir Identity) (child, error) {
	if !f.dirty {
		return child{ref: f.top, digest: f.digest}, nil
	}
	if top, ok := w.tops[f]; ok {
		return top, nil
	}
	if err := f.balance(w.limit, w.t.fetch); err != nil {
		return child{}, err
	}
	var list []child
	var open error
	for _, p := range f.pages {
		c, err := w.page(f, dir, p)
		switch {
		case err == errOpen:
			open = err
		case err != nil:
			return child{}, err
		case !p.empty():
			list = append(list, c)
		}
	}
	if open != nil {
		return child{}, open
	}
	top, err := w.index(f, list)
	if err != nil {
		return child{}, err
	}
	w.tops[f] = top
	w.done = append(w.done, func() {
		f.top, f.digest, f.dirty = top.ref, top.digest, false
		f.known = w.used[f] // older ones may be deleted by and by
		if f.known == nil {
			f.known = make(map[crypto.Hash]Ref)
		}
		for _, p := range f.pages {
			if !p.empty() {
				f.known[p.digest] = p.ref
			}
		}
	})
	return top, nil
}

// page writes the page p of the folder f, which is that of dir.
func (w *flush) page(f *folder, dir Identity, p *page) (child, error) {
	c := child{prefix: p.prefix, bits: p.bits, ref: p.ref, digest: p.digest}
	if !p.dirty {
		return c, nil
	}
	l := leaf{list: make([]standing, 0, len(p.rows))}
	open := false
	for _, r := range p.rows {
		if r.isStub() {
			l.stubs = append(l.stubs, stub{r.name(), r.n.id})
			continue
		}
		s, err := w.standing(r.n, dir)
		if err == errOpen {
			open = true
		} else if err != nil {
			return c, err
		}
		l.list = append(l.list, s)
	}
	if open {
		return c, errOpen
	}
	if len(p.rows) == 0 {
		w.done = append(w.done, func() { p.ref, p.digest, p.dirty = Ref{}, crypto.Hash{}, false })
		return c, nil
	}
	if dir == nowhere {
		l.ways = w.t.waysTo(p)
	}
	l.sort()
	r, digest, err := w.node(f, kindPage, l)
	if err != nil {
		return c, err
	}
	w.done = append(w.done, func() { p.ref, p.digest, p.dirty = r, digest, false })
	return child{prefix: p.prefix, bits: p.bits, ref: r, digest: digest}, nil
}

// standing returns what the page of n, in dir, says of it.
func (w *flush) standing(n *node, dir Identity) (s standing, err error) {
	s = standing{e: n.e, dir: dir}
	if n.isDir() {
		var top child
		if top, err = w.folder(n.sub, n.id); err != nil {
			return s, err
		}
		s.top, s.digest = top.ref, top.digest
	}
	if n.e.pending() {
		if w.sink == nil {
			return s, errOpen
		}
		s.e = n.e.numbered(w.dot)
	}
	if n.linked != nil {
		s.gone = n.e.gone(n.linked.dirs)
	}
	return s, nil
}

// sort brings a leaf into the order in which it is stored.
func (l *leaf) sort() {
	slices.SortFunc(l.list, func(a, b standing) int {
		if a.dir == nowhere {
			return compareID(a.e.id, b.e.id)
		}
		p, _ := a.e.standsIn(a.dir)
		q, _ := b.e.standsIn(b.dir)
		return cmp.Or(cmp.Compare(p.name, q.name), bytes.Compare(a.e.id[:], b.e.id[:]))
	})
	slices.SortFunc(l.stubs, stub.compare)
}

// index writes the index of a folder's pages, and indexes of that until there is
// one.
func (w *flush) index(f *folder, list []child) (child, error) {
	if len(list) == 0 {
		return child{}, nil
	}
	for level := 0; len(list) > 1; level++ {
		var above []child
		for _, g := range splitIndex(list, w.width) {
			digest := indexDigest(level, g)
			r, err := w.put(f, digest, func(local func(Ref) Ref) ([]byte, error) { return encodeIndex(level, g, local) })
			if err != nil {
				return child{}, err
			}
			above = append(above, cover(g, r, digest))
		}
		list = above
	}
	return list[0], nil
}

// cover returns what an index says of an index over g.
func cover(g []child, r Ref, digest crypto.Hash) child {
	c := child{prefix: g[0].prefix, bits: g[0].bits, ref: r, digest: digest}
	for _, x := range g {
		for (x.prefix^c.prefix)&mask(c.bits) != 0 || x.bits < c.bits {
			c.bits--
		}
	}
	c.prefix &= mask(c.bits)
	return c
}

// reuse finds out which changed pages are stored already: after a join most are,
// in one head or the other.
func (t *Tree) reuse() {
	if !t.root.sub.dirty {
		return
	}
	w := t.newFlush(Dot{}, nil)
	root, digest, err := w.root()
	w.apply()
	if err != nil {
		t.root.sub.dirty = true // the root's own node is
		return
	}
	t.ref, t.digest = root, digest
}
