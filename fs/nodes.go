package fs

import (
	"sync"

	"bazil.org/fuse"

	"satchel/fs/drive"
)

// A table says which of the drive's nodes the kernel knows, and by what number.
// A number is given to one node only, ever.
type table struct {
	mu      sync.Mutex
	byID    map[fuse.NodeID]*known
	ids     map[*drive.Node]fuse.NodeID
	last    fuse.NodeID
	finds   map[*find]struct{}
	ring    known         // of all but the root: next is the one that was looked at longest ago
	most    int           // nodes that the kernel may know before it is asked to forget some
	crowded chan struct{} // holds a token while it knows more
}

// A known node has been looked up by the kernel n times; the root has no count.
type known struct {
	node       *drive.Node
	n          uint64
	used       bool // since it was looked at
	prev, next *known
}

func newTable(root *drive.Node) *table {
	t := &table{
		byID:    map[fuse.NodeID]*known{fuse.RootID: {node: root}},
		ids:     map[*drive.Node]fuse.NodeID{root: fuse.RootID},
		last:    fuse.RootID,
		finds:   make(map[*find]struct{}),
		most:    mostKnown,
		crowded: make(chan struct{}, 1),
	}
	t.ring.prev, t.ring.next = &t.ring, &t.ring
	return t
}

// node returns the node with that number, nil if there is none.
func (t *table) node(id fuse.NodeID) *drive.Node {
	t.mu.Lock()
	defer t.mu.Unlock()
	if k := t.byID[id]; k != nil {
		k.used = true
		return k.node
	}
	return nil
}

// id returns the node's number, 0 if the kernel doesn't know it.
func (t *table) id(n *drive.Node) fuse.NodeID {
	if n == nil {
		return 0
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.ids[n]
}

// A find is the time between asking the drive for a node and counting it here.
// The kernel may forget that very node meanwhile; then the drive has to be asked
// again, for what it gave is forgotten too.
type find struct{ gone map[*drive.Node]struct{} }

// start begins a find; end must follow.
func (t *table) start() *find {
	f := &find{}
	t.mu.Lock()
	t.finds[f] = struct{}{}
	t.mu.Unlock()
	return f
}

func (t *table) end(f *find) {
	t.mu.Lock()
	delete(t.finds, f)
	t.mu.Unlock()
}

// add counts a look-up of n and returns its number; 0 if n was forgotten since
// f started.
func (t *table) add(f *find, n *drive.Node) fuse.NodeID {
	t.mu.Lock()
	defer t.mu.Unlock()
	if _, gone := f.gone[n]; gone {
		return 0
	}
	id, ok := t.ids[n]
	if !ok {
		t.last++
		id = t.last
		t.ids[n] = id
		k := &known{node: n}
		t.byID[id] = k
		t.queue(k)
		if len(t.byID) > t.most {
			signal(t.crowded)
		}
	}
	t.byID[id].n++
	return id
}

// forget takes back n look-ups of a node.
func (t *table) forget(id fuse.NodeID, n uint64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	k := t.byID[id]
	if k == nil || id == fuse.RootID {
		return
	}
	if k.n > n {
		k.n -= n
		return
	}
	t.drop(id, k)
}

// drop forgets a node, with the lock held: nobody may get hold of it between its
// end here and its end in the drive.
func (t *table) drop(id fuse.NodeID, k *known) {
	delete(t.byID, id)
	delete(t.ids, k.node)
	k.unqueue()
	for f := range t.finds {
		if f.gone == nil {
			f.gone = make(map[*drive.Node]struct{})
		}
		f.gone[k.node] = struct{}{}
	}
	k.node.Forget()
}

// clear forgets every node: the kernel is gone.
func (t *table) clear() {
	t.mu.Lock()
	defer t.mu.Unlock()
	for id, k := range t.byID {
		if id != fuse.RootID {
			t.drop(id, k)
		}
	}
}
