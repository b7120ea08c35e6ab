package tree

import (
	"bytes"
	"cmp"
	"maps"
	"slices"
)

// A nameKey is a name in a directory.
type nameKey struct {
	dir  Identity
	name string
}

// touched returns the names at which the view may change.
func (m *merge) touched() map[nameKey]bool {
	keys := make(map[nameKey]bool)
	for id, e := range m.result {
		n := m.t.nodes[id]
		moved := n == nil || len(n.spots) != len(m.at[id])
		if !moved {
			for i, p := range m.at[id] {
				moved = moved || n.dirAt(i) != p.dir || n.spots[i].name != p.name
			}
		}
		if !moved && n.e == e {
			continue
		}
		if n != nil {
			n.keys(keys)
		}
		for _, p := range m.at[id] {
			keys[nameKey{p.dir, p.name}] = true
		}
		if id == Root {
			keys[nameKey{}] = true
		}
	}
	if m.unites() {
		// Whole directories come to be shown as one, or cease to.
		for _, n := range m.t.nodes {
			n.keys(keys)
		}
	}
	return keys
}

// keys notes the names under which n stands.
func (n *node) keys(keys map[nameKey]bool) {
	for i, s := range n.spots {
		keys[nameKey{n.dirAt(i), s.name}] = true
	}
}

// unites tells whether several directories of one name are shown as one, before
// or after.
func (m *merge) unites() bool {
	if m.t.unions > 0 {
		return true
	}
	dirs := make(map[nameKey]Identity)
	for id, e := range m.result {
		if id == Root || e == nil || e.kind() != Dir {
			continue
		}
		k := nameKey{m.at[id][0].dir, m.at[id][0].name}
		if _, two := dirs[k]; two {
			return true
		}
		dirs[k] = id
		if d := m.t.nodes[k.dir]; d != nil && d.isDir() {
			for _, n := range d.sub.names[k.name] {
				if _, gathered := m.result[n.id]; n.isDir() && !gathered {
					return true
				}
			}
		}
	}
	return false
}

// A shot is what the view shows of identities, under the names that were asked for.
type shot map[Identity][]Info

func (s shot) add(in Info) {
	if !slices.ContainsFunc(s[in.ID], func(o Info) bool { return o.Dir == in.Dir && o.Name == in.Name }) {
		s[in.ID] = append(s[in.ID], in)
	}
}

// snapshot returns what the view shows at the given names, and all conflict
// copies beside them.
func (t *Tree) snapshot(keys map[nameKey]bool) shot {
	out := make(shot)
	done := make(map[*node]bool)
	for k := range keys {
		d := t.nodes[k.dir]
		if d == nil || !d.isDir() {
			continue
		}
		if k == (nameKey{}) {
			out.add(t.info(t.at(t.root, Dot{})))
			continue
		}
		g := t.group(d)
		if i := t.look(g, k.name); i != nil {
			out.add(t.info(i))
		}
		if done[g[0]] || len(g) == 1 && len(d.sub.odd) == 0 {
			continue
		}
		done[g[0]] = true
		for _, i := range t.viewOf(g).items {
			out.add(t.info(i))
		}
	}
	return out
}

// diff returns what differs between two snapshots. Of a file with several names
// there is a change for each of them; where it came from and where it went is
// told while it has a name at all.
func (t *Tree) diff(before, after shot) (out []Change) {
	for id, old := range before {
		out = append(out, changesOf(id, old, t.still(id, after[id]))...)
	}
	for id, now := range after {
		if before[id] == nil {
			out = append(out, changesOf(id, nil, now)...)
		}
	}
	slices.SortFunc(out, func(a, b Change) int { return bytes.Compare(a.ID[:], b.ID[:]) })
	return out
}

// still returns now or, if that is empty though id is shown under a name that was
// not asked for, what is shown there. Of a directory that is not in memory that
// is what can be told.
func (t *Tree) still(id Identity, now []Info) []Info {
	n := t.nodes[id]
	if len(now) > 0 || n == nil || n.linked == nil {
		return now
	}
	for i, s := range n.spots {
		if s.dir == nil {
			in := t.info(&item{name: s.name, members: []member{{n, n.e.shown()[0]}}})
			in.Dir = n.linked.dirs[i]
			return []Info{in}
		}
		if i := t.atSpot(n, s, n.e.shown()[0].dot); i != nil && i.members[0].n == n {
			return []Info{t.info(i)}
		}
	}
	return nil
}

// changesOf returns how one identity changed. What has stayed under its name is
// matched with that, the rest in order.
func changesOf(id Identity, before, after []Info) (out []Change) {
	byName := func(a, b Info) int {
		return cmp.Or(compareID(a.Dir, b.Dir), cmp.Compare(a.Name, b.Name))
	}
	slices.SortFunc(before, byName)
	slices.SortFunc(after, byName)
	var gone, come []Info
	for _, o := range before {
		if _, ok := slices.BinarySearchFunc(after, o, byName); !ok {
			gone = append(gone, o)
		}
	}
	for _, n := range after {
		i, ok := slices.BinarySearchFunc(before, n, byName)
		switch {
		case !ok:
			come = append(come, n)
		case !before[i].same(&n):
			out = append(out, Change{ID: id, Old: &before[i], New: &n})
		}
	}
	for i := range max(len(gone), len(come)) {
		c := Change{ID: id}
		if i < len(gone) {
			c.Old = &gone[i]
		} else if len(before) > 0 {
			c.Old = &before[0]
		}
		if i < len(come) {
			c.New = &come[i]
		} else if len(after) > 0 {
			c.New = &after[0]
		}
		out = append(out, c)
	}
	return out
}

// same tells whether i and j look the same to who looks at a file.
func (i *Info) same(j *Info) bool {
	return i.ID == j.ID && i.Dir == j.Dir && i.Name == j.Name && i.Kind == j.Kind && i.Mode == j.Mode &&
		i.UID == j.UID && i.GID == j.GID && i.Atime == j.Atime && i.Ctime == j.Ctime && i.Btime == j.Btime &&
		i.Mtime == j.Mtime && i.Links == j.Links && i.Size == j.Size && i.DataDot == j.DataDot && i.Conflict == j.Conflict &&
		maps.EqualFunc(i.Xattrs, j.Xattrs, bytes.Equal)
}
