package tree

import (
	"os"
	"slices"
)

// Remove removes a name: of a directory, which must be empty, if isDir, of
// anything else if not. It returns what was shown, with the links that are left.
func (t *Tree) Remove(dir Identity, name string, isDir bool, now int64) (Info, error) {
	g, err := t.dir(dir)
	if err != nil {
		return Info{}, err
	}
	i := t.look(g, name)
	switch {
	case i == nil:
		return Info{}, os.ErrNotExist
	case isDir && !i.dir:
		return Info{}, errNotDir
	case !isDir && i.dir:
		return Info{}, errIsDir
	}
	if i.dir {
		if err := t.empty(i); err != nil {
			return Info{}, err
		}
	}
	if err := t.reachGoing(g, i); err != nil {
		return Info{}, err
	}
	t.settle(i.members[0].n)
	t.free(g, name)
	i = t.look(g, name)
	in := t.info(i)
	in.Links = t.delete(g, i)
	g[0].sub.lately = max(g[0].sub.lately, now)
	return in, nil
}

// empty returns why the directories that i shows can't be removed.
func (t *Tree) empty(i *item) error {
	g, err := t.open(i.members[0].n)
	if err != nil {
		return err
	}
	for _, d := range g {
		if len(d.sub.names) > 0 {
			return errNotEmpty
		}
	}
	return nil
}

// reachGoing loads what must be in memory before i goes from g.
func (t *Tree) reachGoing(g []*node, i *item) error {
	var miss missing
	miss.add(t.reachAll(i))
	miss.add(t.reachCopies(g))
	return miss.err()
}

// reachTree loads what must be in memory before i goes from g with all below it.
func (t *Tree) reachTree(g []*node, i *item) error {
	if err := t.loadAll(i); err != nil {
		return err
	}
	var miss missing
	miss.add(t.reachGoing(g, i))
	if i.dir {
		miss.add(t.reachBelow(t.group(i.members[0].n)))
	}
	return miss.err()
}

// delete removes what i, which is settled, shows in g. It returns how many links
// are left of what is shown.
func (t *Tree) delete(g []*node, i *item) (left uint32) {
	for k, m := range slices.Clone(i.members) {
		t.unlink(m.n, g, i.name)
		if k == 0 {
			left = uint32(len(m.n.spots))
		}
	}
	t.changed = true
	return left
}

// unlink removes the name of n that stands in g, and with the last one n itself.
func (t *Tree) unlink(n *node, g []*node, name string) {
	here := n.linksAt(g, name)
	left := slices.ContainsFunc(n.spots, func(s spot) bool { return !here(s.link) })
	if !left {
		t.remove(n)
		return
	}
	t.touch(n, func(v *version) {
		v.places = slices.DeleteFunc(v.places, func(p place) bool { return here(p.link) })
	})
	t.stand(n, t.placesOf(n))
}

// RemoveAll removes a name and all that is below it.
func (t *Tree) RemoveAll(dir Identity, name string, now int64) error {
	g, err := t.dir(dir)
	if err != nil {
		return err
	}
	i := t.look(g, name)
	if i == nil {
		return os.ErrNotExist
	}
	if err := t.reachTree(g, i); err != nil {
		return err
	}
	t.settle(i.members[0].n)
	t.free(g, name)
	i = t.look(g, name)
	t.deleteAll(g, i)
	g[0].sub.lately = max(g[0].sub.lately, now)
	return nil
}

func (t *Tree) deleteAll(g []*node, i *item) {
	if i.dir {
		below := t.group(i.members[0].n)
		for _, d := range below {
			for len(d.sub.names) > 0 {
				for name, nodes := range d.sub.names {
					n := nodes[0]
					one := []*node{d}
					switch {
					case n.isDir():
						t.deleteAll(one, &item{name: name, dir: true, members: []member{{n: n}}})
					case len(n.spots) > 1 && n.e.several():
						t.settle(n) // its copies stand elsewhere, perhaps
					default:
						t.unlink(n, one, name)
					}
				}
			}
		}
	}
	t.delete(g, i)
}

// loadAll loads all that is below the directories that i shows.
func (t *Tree) loadAll(i *item) error {
	if !i.dir {
		return nil
	}
	g, err := t.open(i.members[0].n)
	if err != nil {
		return err
	}
	var miss missing
	for _, d := range g {
		miss.add(t.loadBelow(d))
	}
	return miss.err()
}

// loadBelow loads the directory d and all below it.
func (t *Tree) loadBelow(d *node) error {
	var miss missing
	for todo := []*node{d}; len(todo) > 0; todo = todo[1:] {
		d := todo[0]
		if !d.sub.loaded && !miss.add(t.load(d)) {
			continue
		}
		for _, nodes := range d.sub.names {
			for _, n := range nodes {
				if n.isDir() {
					todo = append(todo, n)
				}
			}
		}
	}
	return miss.err()
}

// Rename moves fromName of one directory to toName of another. What is there is
// removed and returned, with the links that are left of it, unless noReplace; a
// directory only if it is empty.
func (t *Tree) Rename(fromDir Identity, fromName string, toDir Identity, toName string, noReplace bool, now int64) (moved Info, replaced *Info, err error) {
	from, err := t.dir(fromDir)
	if err != nil {
		return Info{}, nil, err
	}
	to, err := t.dir(toDir)
	if err != nil {
		return Info{}, nil, err
	}
	src, dst := t.look(from, fromName), t.look(to, toName)
	if same, err := t.checkRename(src, dst, to, toName, noReplace); err != nil || same {
		if same {
			moved = t.info(src)
		}
		return moved, nil, err
	}
	if err := t.reachGoing(from, src); err != nil {
		return Info{}, nil, err
	}
	if dst != nil {
		if err := t.reachAll(dst); err != nil {
			return Info{}, nil, err
		}
	}
	t.settle(src.members[0].n)
	t.free(from, fromName)
	if dst != nil {
		t.settle(dst.members[0].n)
		dst = t.look(to, toName)
		in := t.info(dst)
		in.Links = t.delete(to, dst)
		replaced = &in
	}
	src = t.look(from, fromName)
	if src.dir {
		t.anchor(src.members[0].n)
	}
	for _, m := range src.members {
		t.move(m.n, from, fromName, to[0], toName)
	}
	t.change(to[0], now)
	from[0].sub.lately = max(from[0].sub.lately, now)
	first := src.members[0]
	return t.info(t.at(first.n, first.dot)), replaced, nil
}

// checkRename returns why src can't become toName of to, where dst is. It is
// the same if both are names of one file.
func (t *Tree) checkRename(src, dst *item, to []*node, toName string, noReplace bool) (same bool, err error) {
	if src == nil {
		return false, os.ErrNotExist
	}
	if err := checkName(toName); err != nil {
		return false, err
	}
	if src.dir {
		for d := to[0]; d != nil; d = d.parent() {
			if src.has(d, Dot{}) || slices.ContainsFunc(t.group(d), func(n *node) bool { return src.has(n, Dot{}) }) {
				return false, errInside
			}
		}
	}
	if t.depth(to[0]) >= maxDepth {
		return false, errDeep
	}
	switch {
	case dst == nil:
		return false, nil
	case noReplace:
		return false, os.ErrExist
	case slices.ContainsFunc(dst.members, func(m member) bool { return src.has(m.n, m.dot) }):
		return true, nil
	case src.dir && !dst.dir:
		return false, errNotDir
	case !src.dir && dst.dir:
		return false, errIsDir
	case dst.dir:
		return false, t.empty(dst)
	}
	return false, nil
}

// anchor makes real that directories above n stand in the root, though their
// places put them elsewhere: else they could follow n when it moves.
func (t *Tree) anchor(n *node) {
	for d := n.parent(); d != nil && d != t.root; d = d.parent() {
		if d.parent() == t.root && d.e.wanted().dir != Root {
			t.move(d, []*node{t.root}, d.spots[0].name, t.root, d.spots[0].name)
		}
	}
}
