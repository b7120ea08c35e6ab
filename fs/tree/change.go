package tree

import (
	"errors"
	"fmt"
	"maps"
	"os"
	"slices"

	"satchel/crypto"
)

// touch replaces n's versions by a pending one, as edit changes it.
func (t *Tree) touch(n *node, edit func(*version)) {
	t.set(n, n.e.touch(t.pending(), edit))
	t.changed = true
}

// alive touches the directory n and all above it, so that a removal elsewhere,
// by somebody who has not seen the change in it, does not take them.
func (t *Tree) alive(n *node) {
	if t.off.alive {
		return
	}
	for ; n != nil; n = n.parent() {
		if len(n.e.versions) != 1 || !n.e.pending() {
			t.touch(n, nil)
		}
	}
}

// change raises a directory's time of change and keeps it alive.
func (t *Tree) change(n *node, now int64) {
	t.alive(n)
	t.touch(n, func(v *version) {
		if now > v.mtime {
			v.mtime, v.mstamp = now, t.pending()
		}
	})
}

// A settling is a file that stands under an odd name, and how it is shown there.
type settling struct {
	n     *node
	g     []*node
	name  string
	low   bool    // it is the lowest of the file's names, where lower data are shown
	items []*item // by datum
}

// settle makes real what the view shows of the conflicts that n takes part in,
// and of those that the files in them take part in under other names.
func (t *Tree) settle(n *node) {
	var plan []settling
	todo := slices.Clone(n.spots)
	var done []spot
	for ; len(todo) > 0; todo = todo[1:] {
		s := todo[0]
		g := t.group(s.dir)
		s.dir, s.link = g[0], link{}
		if slices.Contains(done, s) {
			continue
		}
		done = append(done, s)
		for _, p := range t.settlings(g, s.name) {
			plan = append(plan, p)
			if !t.off.settle {
				todo = append(todo, p.n.spots...)
			}
		}
	}
	for _, p := range plan {
		if p.low {
			t.splitAll(p)
		}
	}
	for _, p := range plan {
		if p.n.e.several() {
			t.touch(p.n, nil)
		}
		if p.items[0].copy {
			t.move(p.n, p.g, p.name, p.n.spotIn(p.g, p.name).dir, p.items[0].name)
			t.alive(p.n.spotIn(p.g, p.items[0].name).dir)
		}
	}
}

// settlings returns the files that stand in g under an odd name.
func (t *Tree) settlings(g []*node, name string) (list []settling) {
	if len(g) == 1 && len(g[0].sub.odd) == 0 {
		return nil
	}
	v := t.viewOf(g)
	if v.items[name] == nil {
		return nil
	}
	for i, n := range v.names[name] {
		if n.isDir() || slices.Contains(v.names[name][:i], n) {
			continue
		}
		low := n.spots[0]
		p := settling{n: n, g: g, name: name, low: low.name == name && slices.Contains(g, low.dir)}
		for _, d := range n.e.shown() {
			p.items = append(p.items, v.find(name, n, d.dot))
		}
		list = append(list, p)
	}
	return list
}

// find returns the item of v that shows a datum of n, which stands under name;
// nil if v doesn't show it there.
func (v *view) find(name string, n *node, dot Dot) *item {
	for _, i := range v.items {
		if !i.dir && i.stands == name && i.has(n, dot) {
			return i
		}
	}
	return nil
}

// spotIn returns the spot at which n stands in g under name.
func (n *node) spotIn(g []*node, name string) spot {
	at := slices.IndexFunc(n.spots, func(s spot) bool { return s.name == name && slices.Contains(g, s.dir) })
	return n.spots[at]
}

// free settles the copies that would be shown as name of g if it went, so that
// nothing changes its name but what is changed.
func (t *Tree) free(g []*node, name string) {
	if len(g) == 1 && len(g[0].sub.odd) == 0 {
		return
	}
	var nodes []*node
	number := suffixNumber(name)
	for _, i := range t.viewOf(g).items {
		if i.copy && i.number > number && t.copyName(i, number) == name {
			nodes = append(nodes, i.members[0].n)
		}
	}
	for _, n := range nodes {
		if t.nodes[n.id] == n {
			t.settle(n)
		}
	}
}

// splitAll makes files of their own of the lower data of p's file, under the
// names under which they are shown.
func (t *Tree) splitAll(p settling) {
	for i, d := range p.n.e.shown() {
		if i > 0 && p.items[i] != p.items[0] && t.nodes[derived(p.n.id, d.dot)] == nil {
			t.split(p.n, d, p.n.spotIn(p.g, p.name).dir, p.items[i].name)
		}
	}
}

// split makes a file of its own of a lower datum of n. It keeps the datum's dot,
// and its link is numbered by that too, so that two who settle the same copy
// make the same. Neither is live: who has seen the dot, but not the settling,
// would take it for removed; the view shows them since nothing else is there.
func (t *Tree) split(n *node, d shown, dir *node, name string) {
	a, stamp := n.e.attr()
	l := link{Dot: d.dot}
	e := &entry{id: derived(n.id, d.dot), versions: []version{{
		dot: t.pending(), kind: n.e.kind(), attr: a, stamp: stamp,
		places: []place{{l, dir.id, name, t.pending()}},
		data:   &d.datum, mtime: d.mtime, mstamp: d.mstamp,
	}}}
	t.add(e, e.versions[0].places)
	t.changed = true
	t.alive(dir)
}

// linksAt returns which links of n put it under name into g. Two may put it at
// the same name; then only one is among the spots.
func (n *node) linksAt(g []*node, name string) func(link) bool {
	var at []link
	for _, s := range n.spots {
		if s.name == name && slices.Contains(g, s.dir) {
			at = append(at, s.link)
		}
	}
	for _, p := range n.e.places() {
		if p.name == name && slices.ContainsFunc(g, func(d *node) bool { return d.id == p.dir }) {
			at = append(at, p.link)
		}
	}
	return func(l link) bool { return slices.Contains(at, l) }
}

// move makes what stands under from in g stand under name in dir.
func (t *Tree) move(n *node, g []*node, from string, dir *node, name string) {
	here := n.linksAt(g, from)
	t.touch(n, func(v *version) {
		for i := range v.places {
			if p := &v.places[i]; here(p.link) {
				p.dir, p.name, p.stamp = dir.id, name, t.pending()
			}
		}
	})
	t.stand(n, t.placesOf(n))
}

// Create makes name in a directory. What is there already is os.ErrExist.
func (t *Tree) Create(dir Identity, name string, n Spec) (Info, error) {
	g, err := t.dir(dir)
	if err != nil {
		return Info{}, err
	}
	if err := n.check(name); err != nil {
		return Info{}, err
	}
	if t.look(g, name) != nil {
		return Info{}, os.ErrExist
	}
	if t.nodes[n.ID] != nil || n.ID == Root {
		return Info{}, os.ErrExist
	}
	if t.depth(g[0]) >= maxDepth {
		return Info{}, errDeep
	}
	a := Attr{n.Mode & 0o7777, n.UID, n.GID, n.Now, n.Now, n.Now, maps.Clone(n.Xattrs)}
	c := t.make(g[0], name, n.ID, n.Kind, a, n.Content, n.Now)
	t.change(g[0], n.Now)
	return t.info(t.at(c, t.pending())), nil
}

// check tells what of a spec can't be made.
func (n *Spec) check(name string) error {
	if err := checkName(name); err != nil {
		return err
	}
	if n.Kind >= kinds || n.Kind == Dir && (n.Content.Size > 0 || len(n.Content.Refs) > 0) {
		return errSpec
	}
	if err := n.Content.fits(n.Kind); err != nil {
		return err
	}
	return checkXattrs(n.Xattrs)
}

// fits tells whether c can be stored as the content of something of kind k.
func (c *Content) fits(k Kind) error {
	limit := MaxInline
	if k == Symlink {
		limit = maxTarget
	}
	if len(c.Inline) > limit || k == Symlink && len(c.Inline) == 0 || k != File && c.Inline == nil && c.Size > 0 ||
		c.Inline != nil && (c.Size != uint64(len(c.Inline)) || len(c.Refs) > 0 || c.Level > 0) || c.check() != nil {
		return errSpec
	}
	return nil
}

func checkXattrs(x map[string][]byte) error {
	size := 0
	for k, v := range x {
		if len(k) == 0 || len(k) > maxName {
			return errSpec
		}
		size += len(k) + len(v)
	}
	if size > maxXattrs {
		return errXattrs
	}
	return nil
}

// make puts a new identity under name into the directory dir.
func (t *Tree) make(dir *node, name string, id Identity, k Kind, a Attr, c Content, mtime int64) *node {
	p := t.pending()
	v := version{dot: p, kind: k, attr: a, stamp: p, mtime: mtime, mstamp: p,
		places: []place{{link{Dot: p}, dir.id, name, p}}}
	if k != Dir {
		if c.Size == 0 {
			c = Content{Inline: []byte{}}
		}
		v.data = &datum{dot: p, content: c}
	}
	t.changed = true
	return t.add(single(id, v), v.places)
}

func (t *Tree) depth(n *node) (d int) {
	for ; n != t.root; n = n.parent() {
		d++
	}
	return d
}

// settled returns the item that id stands for after its conflicts were made real.
func (t *Tree) settled(id Identity) (*item, error) {
	i, err := t.show(id)
	if err != nil {
		return nil, err
	}
	if err := t.reachAll(i); err != nil {
		return nil, err
	}
	t.settle(i.members[0].n)
	return t.show(i.members[0].id())
}

// SetAttr changes what edit changes.
func (t *Tree) SetAttr(id Identity, edit func(*Attr)) (Info, error) {
	i, err := t.show(id)
	if err != nil {
		return Info{}, err
	}
	a, _ := i.members[0].n.e.attr()
	a.Xattrs = maps.Clone(a.Xattrs)
	edit(&a)
	a.Mode &= 0o7777
	if err := checkXattrs(a.Xattrs); err != nil {
		return Info{}, err
	}
	return t.edit(id, func(v *version) { v.attr, v.stamp = a, t.pending() })
}

// SetMtime sets the time of change of a file's content or of a directory.
func (t *Tree) SetMtime(id Identity, mtime, now int64) (Info, error) {
	return t.edit(id, func(v *version) { v.mtime, v.mstamp = mtime, t.pending() })
}

// edit settles id and changes all files that are shown as it, or the directory.
func (t *Tree) edit(id Identity, f func(*version)) (Info, error) {
	i, err := t.settled(id)
	if err != nil {
		return Info{}, err
	}
	for _, m := range i.members {
		t.touch(m.n, f)
		if i.dir {
			m.n.sub.lately = 0
			break
		}
	}
	return t.Get(i.members[0].id())
}

// SetData is a write to the file of which the caller last saw known, and the
// datum base. It supersedes base if that is shown. If the identity now shows
// something else, or nothing, what was written becomes a file beside it, with
// an identity of its own: the Info that is returned has it.
func (t *Tree) SetData(known Info, base Dot, c Content, mtime, now int64) (Info, error) {
	if known.Kind == Dir {
		return Info{}, errIsDir
	}
	if err := c.fits(known.Kind); err != nil {
		return Info{}, err
	}
	if c.Size == 0 {
		c = InlineContent(nil)
	}
	n, err := t.find(known.ID)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return Info{}, err
	}
	if n == nil || n.isDir() {
		dir, err := t.find(known.Dir)
		if err != nil && !errors.Is(err, os.ErrNotExist) {
			return Info{}, err
		}
		if dir == nil || !dir.isDir() {
			dir = t.root
		}
		return t.beside(known, base, c, mtime, now, dir, known.Name)
	}
	if err := t.reach(n); err != nil {
		return Info{}, err
	}
	if i := t.at(n, base); i == nil || !i.has(n, base) {
		return t.beside(known, base, c, mtime, now, n.parent(), n.spots[0].name)
	}
	id := member{n, shown{datum: datum{dot: base}}}.id()
	i, err := t.settled(id)
	if err != nil {
		return Info{}, err
	}
	p := t.pending()
	for _, m := range i.members {
		t.touch(m.n, func(v *version) {
			v.data, v.mtime, v.mstamp = &datum{dot: p, content: c}, mtime, p
		})
		t.alive(m.n.parent())
	}
	return t.Get(id)
}

// beside makes a file, name in dir, of what was written to a datum that is not
// shown any more.
func (t *Tree) beside(known Info, base Dot, c Content, mtime, now int64, dir *node, name string) (Info, error) {
	g, err := t.open(dir)
	if err != nil {
		return Info{}, err
	}
	if i := t.look(g, name); i != nil {
		if err := t.reachAll(i); err != nil {
			return Info{}, err
		}
		t.settle(i.members[0].n)
	}
	id := besideID(known.ID, base, t.self, now)
	for t.nodes[id] != nil {
		id = besideID(id, base, t.self, now)
	}
	a := Attr{known.Mode & 0o7777, known.UID, known.GID, known.Atime, now, known.Btime, known.Xattrs}
	m := t.make(dir, name, id, known.Kind, a, c, mtime)
	t.change(dir, now)
	return t.info(t.at(m, t.pending())), nil
}

// besideID derives the identity of a file beside another; with the writer and
// the time in it, it is nobody else's.
func besideID(id Identity, base Dot, self crypto.DeviceID, now int64) (out Identity) {
	d := derived(id, base)
	h := crypto.Sum(fmt.Appendf(nil, "satchel beside v1%s%s%d", d[:], self[:], now))
	copy(out[:], h[:])
	return out
}
