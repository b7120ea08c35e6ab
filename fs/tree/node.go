package tree

import (
	"slices"

	"satchel/crypto"
)

// A node is an identity in memory: its state, and where it stands.
type node struct {
	id    Identity
	e     *entry
	spots []spot  // by link; a directory has one, the root none
	sub   *folder // of a directory

	page   *page // of the folder of the first spot
	slot   int   // in page.nodes
	hash   uint64
	weight int
}

// A spot is a directory and a name in it, under which the view shows a node.
type spot struct {
	dir  *node
	name string
	link link
}

func (n *node) isDir() bool { return n.sub != nil }

// parent returns the directory in which a directory stands, nil for the root.
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
		if n.page != nil {
			n.page.dirty = true
		}
		n = n.parent()
	}
}

// stand puts n where spots say and takes it from where it was.
func (t *Tree) stand(n *node, spots []spot) {
	t.leave(n)
	n.spots = spots
	for _, s := range spots {
		f := s.dir.sub
		list := append(slices.Clone(f.names[s.name]), n)
		slices.SortFunc(list, func(a, b *node) int { return compareID(a.id, b.id) })
		t.setName(f, s.name, list)
	}
	if len(spots) > 0 {
		spots[0].dir.sub.addPage(n, spots[0].name)
		spots[0].dir.mark()
	}
	t.gen++
}

// leave takes n from where it stands.
func (t *Tree) leave(n *node) {
	if n.spots != nil {
		t.note(n)
	}
	for _, s := range n.spots {
		f := s.dir.sub
		t.setName(f, s.name, slices.DeleteFunc(slices.Clone(f.names[s.name]), func(m *node) bool { return m == n }))
	}
	if n.page != nil {
		n.page.remove(n)
		n.spots[0].dir.mark()
	}
	n.spots = nil
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
		s.dir.sub.checkOdd(s.name)
	}
	if n.page != nil {
		n.page.reweigh(n)
		n.page.dirty = true
		n.spots[0].dir.mark()
	}
	if n == t.root {
		n.mark()
	}
	t.gen++
}

// add puts a new node into the tree.
func (t *Tree) add(e *entry, spots []spot) *node {
	n := &node{id: e.id}
	if e.kind() == Dir {
		n.sub = newFolder()
	}
	t.nodes[e.id] = n
	t.set(n, e)
	t.stand(n, spots)
	return n
}

// remove takes n out of the tree.
func (t *Tree) remove(n *node) {
	t.leave(n)
	delete(t.nodes, n.id)
	delete(t.pend, n)
}
