package tree

import (
	"slices"

	"satchel/crypto"
)

// A node is an identity in memory: its state, and where it stands.
type node struct {
	id     Identity
	e      *entry
	spots  []spot  // by link; a directory has one, the root none
	sub    *folder // of a directory
	linked *linked // of a file that stands in the table of hard links
	row    row     // of its entry
}

// A spot is a directory and a name in it, under which the view shows a node.
type spot struct {
	dir  *node // nil as long as it isn't loaded, which only a file in the table allows
	name string
	link link
}

func (n *node) isDir() bool { return n.sub != nil }

// parent returns the directory in which n stands, nil for the root. Of a file in
// the table it is that of the lowest name, whose directory must be loaded.
func (n *node) parent() *node {
	if len(n.spots) == 0 {
		return nil
	}
	return n.spots[0].dir
}

// A folder is what stands in a directory.
type folder struct {
	loaded bool
	names  map[string][]*node  // not what is shown: that is the view
	odd    map[string]struct{} // names under which the view shows more than one thing
	view   *view               // of the odd names, while its gen is the tree's
	dirs   int                 // how many of names are directories
	lately int64               // when something was removed here; not stored

	// What is stored. A folder that is not loaded has nothing but top and digest.
	pages  []*page // by prefix; they cover all hashes, or there is none
	top    Ref     // of the only page or the index
	digest crypto.Hash
	dirty  bool                // it or one below it differs from what is stored; so do all above it
	known  map[crypto.Hash]Ref // pages and indexes that are stored, here or in a head that was merged
}

func newFolder() *folder {
	return &folder{loaded: true, names: make(map[string][]*node), odd: make(map[string]struct{}), known: make(map[crypto.Hash]Ref)}
}

// mark notes that the folder of the directory n differs from what is stored.
func (n *node) mark() {
	for n != nil && !n.sub.dirty {
		n.sub.dirty = true
		if n.row.page != nil {
			n.row.page.dirty = true
		}
		n = n.parent()
	}
}

// marks notes that the page of n's entry differs from what is stored.
func (t *Tree) marks(n *node) {
	n.row.page.dirty = true
	if n.linked != nil {
		t.table.dirty = true
		t.root.mark()
		return
	}
	n.spots[0].dir.mark()
}

// stand puts n at places and takes it from where it was. The page of the table
// to which it belongs, if it does, must be in memory.
func (t *Tree) stand(n *node, at []place) {
	if n.linked != nil && n.e.tabled() {
		t.restand(n, at)
		return
	}
	t.leave(n)
	n.spots = make([]spot, len(at))
	if n.e.tabled() {
		n.linked = newLinked(at)
		t.table.add(&n.row, idHash(n.id))
	}
	for i, p := range at {
		n.spots[i] = spot{name: p.name, link: p.link}
		if n.linked == nil {
			t.appear(n, i, t.nodes[p.dir])
		} else if d := t.loaded(p.dir); d != nil {
			t.appear(n, i, d)
		}
	}
	if n.linked == nil && len(at) > 0 {
		n.spots[0].dir.sub.add(&n.row, nameHash(at[0].name))
	}
	if n.row.page != nil {
		t.marks(n)
	}
	t.gen++
}

// loaded returns the directory dir, nil if it isn't loaded.
func (t *Tree) loaded(dir Identity) *node {
	if d := t.nodes[dir]; d != nil && d.isDir() && d.sub.loaded {
		return d
	}
	return nil
}

// appear puts n's spot i into the directory d.
func (t *Tree) appear(n *node, i int, d *node) {
	s := &n.spots[i]
	s.dir = d
	if n.linked != nil {
		r := &row{n: n, spot: int32(i)}
		n.linked.stubs[i] = r
		d.sub.add(r, nameHash(s.name))
		d.mark()
	}
	list := append(slices.Clone(d.sub.names[s.name]), n)
	slices.SortFunc(list, func(a, b *node) int { return compareID(a.id, b.id) })
	t.setName(d.sub, s.name, list)
}

// vanish takes n's spot i from its directory.
func (t *Tree) vanish(n *node, i int) {
	s := n.spots[i]
	if s.dir == nil {
		return
	}
	if n.linked != nil {
		n.linked.stubs[i].page.remove(n.linked.stubs[i])
		s.dir.mark()
	}
	f := s.dir.sub
	t.setName(f, s.name, slices.DeleteFunc(slices.Clone(f.names[s.name]), func(m *node) bool { return m == n }))
}

// leave takes n from where it stands.
func (t *Tree) leave(n *node) {
	if n.spots != nil {
		t.note(n)
	}
	if n.row.page != nil {
		t.marks(n)
		n.row.page.remove(&n.row)
	}
	for i := range n.spots {
		t.vanish(n, i)
	}
	n.spots, n.linked = nil, nil
	t.gen++
}

// setName says which nodes stand in f under name.
func (t *Tree) setName(f *folder, name string, list []*node) {
	if dirs(f.names[name]) > 1 {
		t.unions--
	}
	if dirs(list) > 1 {
		t.unions++
	}
	f.dirs += min(dirs(list), 1) - min(dirs(f.names[name]), 1)
	if len(list) == 0 {
		delete(f.names, name)
	} else {
		f.names[name] = list
	}
	f.checkOdd(name)
}

// checkOdd notes whether name shows more than one thing.
func (f *folder) checkOdd(name string) {
	list := f.names[name]
	if len(list) > 1 || len(list) == 1 && list[0].e.several() {
		f.odd[name] = struct{}{}
	} else {
		delete(f.odd, name)
	}
}

func dirs(list []*node) (c int) {
	for _, n := range list {
		if n.isDir() {
			c++
		}
	}
	return c
}

// set gives n another state. Where it stands is the caller's business.
func (t *Tree) set(n *node, e *entry) {
	t.note(n)
	n.e = e
	if e.pending() {
		t.pend[n] = struct{}{}
	}
	for _, s := range n.spots {
		if s.dir != nil {
			s.dir.sub.checkOdd(s.name)
		}
	}
	if n.row.page != nil {
		n.row.page.reweigh(&n.row)
		t.marks(n)
	}
	if n == t.root {
		n.mark()
	}
	t.gen++
}

// add puts a new node into the tree.
func (t *Tree) add(e *entry, at []place) *node {
	n := &node{id: e.id}
	n.row.n = n
	if e.kind() == Dir {
		n.sub = newFolder()
	}
	t.nodes[e.id] = n
	t.set(n, e)
	t.stand(n, at)
	return n
}

// remove takes n out of the tree.
func (t *Tree) remove(n *node) {
	t.leave(n)
	delete(t.nodes, n.id)
	delete(t.pend, n)
}
