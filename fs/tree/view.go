package tree

import (
	"bytes"
	"cmp"
	"maps"
	"slices"

	"satchel/crypto"
)

// An item is what one name of a shown directory stands for: directories that
// are shown as one, or data of equal content.
type item struct {
	name    string
	in      *node // the directory that shows it, nil for the root
	dir     bool
	copy    bool     // a conflict copy: name is not under what it stands
	stands  string   // under what it stands, of an odd name
	number  int      // of a copy's name, 1 if that was not taken
	members []member // the first is the one that is shown
}

// A member is a directory, or one datum of a file.
type member struct {
	n *node
	shown
}

// id is the identity of the node that is shown for m: the file's own for its
// highest datum, a derived one for others.
func (m member) id() Identity {
	if m.n.isDir() || m.dot == m.n.e.shown()[0].dot {
		return m.n.id
	}
	return derived(m.n.id, m.dot)
}

// derived is the identity to which a second datum of id moves.
func derived(id Identity, data Dot) (out Identity) {
	var b [40]byte
	copy(b[:], id[:])
	for i := range 8 {
		b[16+i] = byte(data.Seq >> (56 - 8*i))
	}
	copy(b[24:], data.Writer[:])
	h := crypto.Sum(b[:])
	copy(out[:], h[:])
	return out
}

// A view holds the items of one shown directory that are not plain: those with
// odd names, and the copies.
type view struct {
	gen   uint64
	items map[string]*item
	names map[string][]*node // all that stands there
}

// group returns the directories that are shown as one with n, the lowest
// identity first. All folders on the way to them must be loaded.
func (t *Tree) group(n *node) []*node {
	if t.unions == 0 || n == t.root {
		return []*node{n}
	}
	name := n.spots[0].name
	var g []*node
	for _, p := range t.group(n.spots[0].dir) {
		for _, m := range p.sub.names[name] {
			if m.isDir() {
				g = append(g, m)
			}
		}
	}
	slices.SortFunc(g, func(a, b *node) int { return compareID(a.id, b.id) })
	return g
}

// look returns what name stands for in the shown directory g, nil if nothing does.
func (t *Tree) look(g []*node, name string) *item {
	if len(g) == 1 && len(g[0].sub.odd) == 0 {
		return plain(g, name, g[0].sub.names[name])
	}
	v := t.viewOf(g)
	if i := v.items[name]; i != nil {
		return i
	}
	return plain(g, name, v.names[name])
}

// list returns all that the shown directory g shows, by name.
func (t *Tree) list(g []*node) []*item {
	var out []*item
	if len(g) == 1 && len(g[0].sub.odd) == 0 {
		for name, nodes := range g[0].sub.names {
			out = append(out, plain(g, name, nodes))
		}
	} else {
		v := t.viewOf(g)
		for _, i := range v.items {
			out = append(out, i)
		}
		for name, nodes := range v.names {
			if v.items[name] == nil {
				out = append(out, plain(g, name, nodes))
			}
		}
	}
	slices.SortFunc(out, func(a, b *item) int { return cmp.Compare(a.name, b.name) })
	return out
}

// plain returns the item of a name under which at most one thing stands.
func plain(g []*node, name string, nodes []*node) *item {
	if len(nodes) == 0 {
		return nil
	}
	n := nodes[0]
	i := &item{name: name, in: g[0], dir: n.isDir(), members: []member{{n: n}}}
	if !i.dir {
		i.members[0].shown = n.e.shown()[0]
	}
	return i
}

// viewOf returns the view of the shown directory g.
func (t *Tree) viewOf(g []*node) *view {
	f := g[0].sub
	if f.view != nil && f.view.gen == t.gen {
		return f.view
	}
	v := &view{gen: t.gen, items: make(map[string]*item), names: f.names}
	odd := slices.Sorted(maps.Keys(f.odd))
	if len(g) > 1 {
		v.names, odd = unite(g)
	}
	var copies []*item
	for _, name := range odd {
		keep, rest := split(g, name, v.names[name])
		v.items[name] = keep
		copies = append(copies, rest...)
	}
	slices.SortFunc(copies, func(a, b *item) int {
		return cmp.Or(a.members[0].dot.compare(b.members[0].dot), compareID(a.members[0].id(), b.members[0].id()))
	})
	last := make(map[string]int)
	for _, c := range copies {
		t.nameCopy(v, c, last)
		v.items[c.name] = c
		for _, m := range c.members {
			t.derived[m.id()] = m.n.id
		}
	}
	f.view = v
	return v
}

// unite returns what stands in the folders of g together, and which names are odd.
func unite(g []*node) (names map[string][]*node, odd []string) {
	names = make(map[string][]*node)
	for _, d := range g {
		for name, nodes := range d.sub.names {
			names[name] = append(names[name], nodes...)
		}
	}
	for name, nodes := range names {
		if len(nodes) > 1 || nodes[0].e.several() {
			odd = append(odd, name)
			slices.SortFunc(nodes, func(a, b *node) int { return compareID(a.id, b.id) })
		}
	}
	slices.Sort(odd)
	return names, odd
}

// split returns what keeps a name and what is shown as a copy, of the nodes that
// stand under it: equal content is one item, the highest datum keeps the name
// unless a directory has it. Of a file with several names the lower data are
// shown beside the lowest.
func split(g []*node, name string, nodes []*node) (keep *item, copies []*item) {
	var files []*item
	for i, n := range nodes {
		if slices.Contains(nodes[:i], n) {
			continue // two names of it are shown as one
		}
		if n.isDir() {
			if keep == nil {
				keep = &item{name: name, in: g[0], dir: true}
			}
			keep.members = append(keep.members, member{n: n})
			continue
		}
		data := n.e.shown()
		if low := n.spots[0]; low.name != name || !slices.Contains(g, low.dir) {
			data = data[:1]
		}
		for _, d := range data {
			files = join1(files, member{n, d})
		}
	}
	for _, i := range files {
		i.name, i.stands, i.in = name, name, g[0]
		slices.SortFunc(i.members, func(a, b member) int {
			return cmp.Or(b.dot.compare(a.dot), compareID(a.n.id, b.n.id))
		})
	}
	slices.SortFunc(files, func(a, b *item) int {
		return cmp.Or(b.members[0].dot.compare(a.members[0].dot), compareID(a.members[0].n.id, b.members[0].n.id))
	})
	if keep == nil {
		keep, files = files[0], files[1:]
	}
	for _, i := range files {
		i.copy = true
	}
	return keep, files
}

// join1 puts m to the item of its content, or makes one.
func join1(files []*item, m member) []*item {
	for _, i := range files {
		if o := i.members[0]; o.n.e.kind() == m.n.e.kind() && o.content.equal(&m.content) {
			i.members = append(i.members, m)
			return files
		}
	}
	return append(files, &item{members: []member{m}})
}

// equal tells whether c and d are known to hold the same bytes. Content with
// index nodes is not looked into.
func (c *Content) equal(d *Content) bool {
	if c.Size != d.Size || c.Level != d.Level || (c.Inline == nil) != (d.Inline == nil) {
		return false
	}
	return c.Level == 0 && bytes.Equal(c.Inline, d.Inline) && slices.EqualFunc(c.Refs, d.Refs, Ref.same)
}

// copyName returns the name of the copy c with the given number.
func (t *Tree) copyName(c *item, number int) string {
	m := c.members[0]
	return copyName(c.stands, t.writerName(m.dot.Writer), m.mtime, number)
}

// nameCopy gives c the first name that is free. last has the numbers that were
// given, by the name without one.
func (t *Tree) nameCopy(v *view, c *item, last map[string]int) {
	first := t.copyName(c, 1)
	for c.number = last[first] + 1; ; c.number++ {
		c.name = t.copyName(c, c.number)
		if v.names[c.name] == nil && v.items[c.name] == nil {
			break
		}
	}
	last[first] = c.number
	if c.number > 1 && t.taken != nil {
		t.taken()
	}
}

// at returns the item that shows the datum of n with the given dot; of a directory
// dot doesn't matter. Of several names it is one at which n isn't shown as one
// with another, if there is such.
func (t *Tree) at(n *node, dot Dot) *item {
	if n == t.root {
		return &item{dir: true, members: []member{{n: n}}}
	}
	var found *item
	for _, s := range n.spots {
		if s.dir == nil {
			continue
		}
		if i := t.atSpot(n, s, dot); i != nil && (found == nil || i.members[0].n == n) {
			if found = i; i.members[0].n == n {
				break
			}
		}
	}
	return found
}

func (t *Tree) atSpot(n *node, s spot, dot Dot) *item {
	g := t.group(s.dir)
	if len(g) == 1 && len(g[0].sub.odd) == 0 {
		return plain(g, s.name, g[0].sub.names[s.name])
	}
	v := t.viewOf(g)
	if i := v.items[s.name]; i == nil {
		return plain(g, s.name, v.names[s.name])
	} else if i.has(n, dot) {
		return i
	}
	for _, i := range v.items {
		if i.copy && i.stands == s.name && i.has(n, dot) {
			return i
		}
	}
	return nil
}

func (i *item) has(n *node, dot Dot) bool {
	return slices.ContainsFunc(i.members, func(m member) bool { return m.n == n && (i.dir || m.dot == dot) })
}

func compareID(a, b Identity) int { return bytes.Compare(a[:], b[:]) }

// info returns what i shows.
func (t *Tree) info(i *item) Info {
	m := i.members[0]
	n := m.n
	in := Info{ID: m.id(), Name: i.name, Kind: n.e.kind(), Content: m.content, Size: m.content.Size,
		DataDot: m.dot, Mtime: m.mtime, Conflict: i.copy, Links: 1}
	if n.linked != nil && in.ID == n.id {
		in.Links = uint32(len(n.spots))
	}
	if len(n.e.versions) > 0 {
		in.Dot = n.e.top().dot
	}
	a, _ := n.e.attr()
	in.Mode, in.UID, in.GID = a.Mode, a.UID, a.GID
	in.Atime, in.Btime, in.Xattrs = a.Atime, a.Btime, a.Xattrs
	in.By = in.DataDot.Writer
	if i.dir {
		in.Mtime, _ = n.e.mtime()
		if n.sub.lately > in.Mtime && n.sub.lately != 0 {
			in.Mtime = n.sub.lately
		}
		in.By = in.Dot.Writer
	}
	in.Ctime = max(a.Ctime, in.Mtime)
	if i.in != nil {
		in.Dir = i.in.id
	}
	return in
}
