package tree

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"syscall"

	"satchel/crypto"
)

// A Tree is the working tree of one writer: what is merged, and the changes that
// are not committed yet. It is not safe for concurrent use; the volume holds a
// lock around each call.
type Tree struct {
	self crypto.DeviceID
	name string
	vec  Vector
	ld   Loader

	nodes   map[Identity]*node // all that is in memory
	root    *node
	derived map[Identity]Identity   // of copies that were shown: whose they are
	parents map[Identity]Identity   // of nodes that were evicted: where they stood
	table   *folder                 // of the entries with several places
	ways    map[Identity]Identity   // of directories in which those stand: where to look for them
	pend    map[*node]struct{}      // with the pending dot
	fresh   map[Identity][]Identity // changed since the last batch: the directories in which it stood then
	changed bool                    // since the last commit
	unions  int                     // names that several directories of one folder share
	gen     uint64                  // grows with every change

	ref    Ref // of the root's node, as of the last flush
	digest crypto.Hash
	memo   map[Ref]leaf // what a join that could not finish has decoded
	odd    []Contradiction

	limit int    // of a page's weight, and
	width int    // of an index, if a test sets them
	off   rules  // what a test turned off
	taken func() // is told of a copy's name that was taken
}

// Rules that a test turns off to see that they are needed.
type rules struct {
	alive  bool // touching the directories above
	settle bool // under all names of a file
}

// A Contradiction is a version of which two heads gave different payloads. Its
// writer's device is broken, or somebody claims its dot.
type Contradiction struct {
	ID  Identity
	Dot Dot
}

// New returns an empty tree. name is the writer's; ld gives it the nodes that it
// will have flushed and dropped, or merged.
func New(self crypto.DeviceID, name string, ld Loader) *Tree {
	t := &Tree{self: self, name: name, ld: ld, vec: make(Vector)}
	t.clear()
	return t
}

func (t *Tree) clear() {
	t.nodes = make(map[Identity]*node)
	t.derived = make(map[Identity]Identity)
	t.parents = make(map[Identity]Identity)
	t.pend = make(map[*node]struct{})
	t.fresh = make(map[Identity][]Identity)
	t.table = newFolder()
	t.ways = make(map[Identity]Identity)
	t.root = &node{e: &entry{}, sub: newFolder()}
	t.root.row.n = t.root
	t.nodes[Root] = t.root
	t.unions = 0
}

// Vector returns what is merged, the writer's own last commit included. After a
// Flush the hash of the own head is not known here; the caller fills it in.
func (t *Tree) Vector() Vector { return t.vec.clone() }

// Dirty tells whether there is a change that is not committed. A merge is none.
func (t *Tree) Dirty() bool { return t.changed }

// Contradictions returns the versions that joins found with two payloads.
func (t *Tree) Contradictions() []Contradiction { return slices.Clone(t.odd) }

func (t *Tree) pending() Dot { return Dot{Pending, t.self} }

// dir returns the directories that are shown as id, loaded.
func (t *Tree) dir(id Identity) ([]*node, error) {
	n, err := t.find(id)
	if err != nil {
		return nil, err
	}
	if !n.isDir() {
		return nil, errNotDir
	}
	return t.open(n)
}

// open returns the directories that are shown as one with n, all loaded.
func (t *Tree) open(n *node) ([]*node, error) {
	if p := n.parent(); p != nil && (t.unions > 0 || !n.sub.loaded) {
		if _, err := t.open(p); err != nil {
			return nil, err
		}
	}
	g := t.group(n)
	var miss missing
	for _, d := range g {
		if !d.sub.loaded {
			miss.add(t.load(d))
		}
	}
	return g, miss.err()
}

// find returns the node of id. Of a copy that is not real it is the file's.
func (t *Tree) find(id Identity) (*node, error) {
	if n := t.nodes[id]; n != nil {
		return n, t.attachAny(n)
	}
	if of, ok := t.derived[id]; ok {
		if n := t.nodes[of]; n != nil {
			return n, t.attachAny(n)
		}
	}
	if p, ok := t.parents[id]; ok && p != id {
		n, err := t.find(p)
		if err != nil {
			return nil, err
		}
		if n.isDir() && !n.sub.loaded {
			if err := t.load(n); err != nil {
				return nil, err
			}
			return t.find(id)
		}
		delete(t.parents, id)
	}
	return nil, os.ErrNotExist
}

// show returns the item that id stands for.
func (t *Tree) show(id Identity) (*item, error) {
	n, err := t.find(id)
	if err != nil {
		return nil, err
	}
	if n.linked != nil && id != n.id { // a copy, which stands beside the lowest name
		if err := t.attachAll(n); err != nil {
			return nil, err
		}
	}
	for _, s := range n.spots {
		if s.dir == nil {
			continue
		}
		if _, err := t.open(s.dir); err != nil {
			return nil, err
		}
	}
	if n == t.root {
		if _, err := t.open(n); err != nil {
			return nil, err
		}
	}
	if n.isDir() {
		return t.at(n, Dot{}), nil
	}
	for _, d := range n.e.shown() {
		if m := (member{n, d}); m.id() == id {
			if i := t.at(n, d.dot); i != nil {
				return i, nil
			}
		}
	}
	return nil, os.ErrNotExist
}

// Lookup returns what a directory shows under a name.
func (t *Tree) Lookup(dir Identity, name string) (Info, error) {
	g, err := t.dir(dir)
	if err != nil {
		return Info{}, err
	}
	i := t.look(g, name)
	if i == nil {
		return Info{}, os.ErrNotExist
	}
	return t.info(i), nil
}

// List returns all that a directory shows, by name.
func (t *Tree) List(dir Identity) ([]Info, error) {
	g, err := t.dir(dir)
	if err != nil {
		return nil, err
	}
	var out []Info
	for _, i := range t.list(g) {
		out = append(out, t.info(i))
	}
	return out, nil
}

// Get returns what is shown of something that was looked up before. Its ID
// differs from id if that is now shown as one with another.
func (t *Tree) Get(id Identity) (Info, error) {
	i, err := t.show(id)
	if err != nil {
		return Info{}, err
	}
	return t.info(i), nil
}

// Path returns the names that lead from the root to id, with slashes between.
func (t *Tree) Path(id Identity) (string, error) {
	var names []string
	for id != Root {
		in, err := t.Get(id)
		if err != nil {
			return "", err
		}
		names = append(names, in.Name)
		id = in.Dir
	}
	slices.Reverse(names)
	return strings.Join(names, "/"), nil
}

// Errors of changes, with their numbers for the kernel.
var (
	errNotEmpty = fmt.Errorf("directory is not empty: %w", syscall.ENOTEMPTY)
	errNotDir   = fmt.Errorf("not a directory: %w", syscall.ENOTDIR)
	errIsDir    = fmt.Errorf("is a directory: %w", syscall.EISDIR)
	errInside   = fmt.Errorf("a directory can't be moved into itself: %w", syscall.EINVAL)
	errName     = fmt.Errorf("not a file name: %w", syscall.EINVAL)
	errLongName = fmt.Errorf("file name over 255 bytes: %w", syscall.ENAMETOOLONG)
	errXattrs   = fmt.Errorf("extended attributes over 64 KiB: %w", syscall.ENOSPC)
	errFull     = fmt.Errorf("too much under one name: %w", syscall.ENOSPC)
	errDeep     = fmt.Errorf("over 128 directories deep: %w", syscall.ENAMETOOLONG)
	errSpec     = fmt.Errorf("not something that can be made: %w", syscall.EINVAL)
)

const (
	maxDepth  = 128
	maxXattrs = 64 << 10
	maxTarget = 4095 // bytes of a symlink's target
)

func checkName(name string) error {
	switch {
	case name == "" || name == "." || name == ".." || strings.ContainsAny(name, "/\x00"):
		return errName
	case len(name) > maxName:
		return errLongName
	}
	return nil
}

// Published tells the hash of the head that published the last Flush.
func (t *Tree) Published(head crypto.Hash) {
	e := t.vec[t.self]
	e.Head = head
	t.vec[t.self] = e
}
