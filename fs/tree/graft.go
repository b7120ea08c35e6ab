package tree

import (
	"maps"
	"os"
	"slices"
)

// A Subtree is a copy of what a name shows and all below it, to be put into
// another volume.
type Subtree struct {
	info   Info
	below  []*Subtree
	owners map[string]struct{}   // at the top only
	ids    map[Identity]Identity // the new ones, likewise
}

// Owners returns the names in whose packs the content is.
func (s *Subtree) Owners() []string { return slices.Sorted(maps.Keys(s.owners)) }

// Export returns a copy of what a directory shows under a name. What RemoveAll
// needs to remove it is in memory then.
func (t *Tree) Export(dir Identity, name string) (*Subtree, error) {
	g, err := t.dir(dir)
	if err != nil {
		return nil, err
	}
	i := t.look(g, name)
	if i == nil {
		return nil, os.ErrNotExist
	}
	if err := t.reachTree(g, i); err != nil {
		return nil, err
	}
	owners := make(map[string]struct{})
	var miss missing
	s := t.export(i, owners, &miss)
	if err := miss.err(); err != nil {
		return nil, err
	}
	s.owners = owners
	return s, nil
}

func (t *Tree) export(i *item, owners map[string]struct{}, miss *missing) *Subtree {
	s := &Subtree{info: t.info(i)}
	if i.dir {
		for _, c := range t.list(t.group(i.members[0].n)) {
			s.below = append(s.below, t.export(c, owners, miss))
		}
		return s
	}
	miss.add(s.info.Content.EachRef(t.ld, func(r Ref) error {
		owners[r.Owner] = struct{}{}
		return nil
	}))
	return s
}

// Outside tells whether a file in s has names elsewhere, too.
func (s *Subtree) Outside() bool {
	names := make(map[Identity]uint32)
	outside := false
	s.each(func(i *Info) { names[i.ID]++ })
	s.each(func(i *Info) { outside = outside || i.Links > names[i.ID] })
	return outside
}

// each calls f with all that s shows, with a file for each of its names.
func (s *Subtree) each(f func(*Info)) {
	f(&s.info)
	for _, c := range s.below {
		c.each(f)
	}
}

// Prepare gives everything in s a new identity, from newID, and has in memory
// what Graft needs.
func (t *Tree) Prepare(s *Subtree, newID func(old Identity) Identity) error {
	s.ids = make(map[Identity]Identity)
	var miss missing
	s.each(func(i *Info) {
		if id, ok := s.ids[i.ID]; ok {
			miss.add(t.hold(id))
		} else {
			s.ids[i.ID] = newID(i.ID)
		}
	})
	return miss.err()
}

// Graft puts a subtree, which was prepared, under name into a directory.
// Everything in it has a new identity and gets new dots: those of another volume
// could be taken for removed here. Content keeps its refs. Names of one file
// stay that.
func (t *Tree) Graft(dir Identity, name string, s *Subtree, now int64) (Info, error) {
	g, err := t.dir(dir)
	if err != nil {
		return Info{}, err
	}
	if err := checkName(name); err != nil {
		return Info{}, err
	}
	if t.look(g, name) != nil {
		return Info{}, os.ErrExist
	}
	if t.depth(g[0])+s.height() > maxDepth {
		return Info{}, errDeep
	}
	n := t.graft(g[0], name, s, s.ids, now)
	t.change(g[0], now)
	return t.info(t.at(n, t.pending())), nil
}

func (s *Subtree) height() (h int) {
	for _, c := range s.below {
		h = max(h, c.height())
	}
	return h + 1
}

func (t *Tree) graft(dir *node, name string, s *Subtree, ids map[Identity]Identity, now int64) *node {
	i := &s.info
	if n := t.nodes[ids[i.ID]]; n != nil { // another name of it was grafted
		t.touch(n, func(v *version) { v.link(place{dir: dir.id, name: name, stamp: t.pending()}, n.e.links) })
		t.stand(n, t.placesOf(n))
		return n
	}
	a := Attr{i.Mode, i.UID, i.GID, i.Atime, now, i.Btime, maps.Clone(i.Xattrs)}
	n := t.make(dir, name, ids[i.ID], i.Kind, a, i.Content, i.Mtime)
	for _, c := range s.below {
		t.graft(n, c.info.Name, c, ids, now)
	}
	return n
}

// InMemory returns how many files and directories are in memory.
func (t *Tree) InMemory() int { return len(t.nodes) }

// Evict drops what can be loaded again: what stands in directories in which
// nothing was changed, unless keep says of something in it that somebody may be
// looking at it. Directories will still be found by their identity, files only
// where they stand.
func (t *Tree) Evict(keep func(Identity) bool) {
	copied := make(map[Identity]bool) // files of which a copy may be looked at
	for id, of := range t.derived {
		copied[of] = copied[of] || keep(id)
	}
	if t.root.sub.loaded {
		t.evict(t.root, func(id Identity) bool { return keep(id) || copied[id] })
	}
	t.evictTable()
}

// evict evicts what it can below d and tells whether d is not loaded any more.
func (t *Tree) evict(d *node, keep func(Identity) bool) bool {
	f := d.sub
	all := !f.dirty && !f.top.IsZero()
	for _, nodes := range f.names {
		for _, n := range nodes {
			if n.isDir() && n.sub.loaded && len(n.sub.pages) > 0 && !t.evict(n, keep) {
				all = false
			}
			all = all && !keep(n.id)
		}
		if !all && f.dirs == 0 {
			return false
		}
	}
	if !all {
		return false
	}
	for name, nodes := range f.names {
		for _, n := range nodes {
			if n.linked == nil {
				delete(t.nodes, n.id)
			} else {
				n.forget(d)
			}
			if n.isDir() {
				t.parents[n.id] = d.id
			}
		}
		t.setName(f, name, nil)
	}
	*f = folder{top: f.top, digest: f.digest, lately: f.lately, dirs: f.dirs}
	t.gen++
	return true
}
