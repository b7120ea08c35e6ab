package tree

import (
	"bytes"
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
				s := n.spots[i]
				moved = moved || s.dir.id != p.dir || s.name != p.name
			}
		}
		if !moved && n.e == e {
			continue
		}
		if n != nil {
			for _, s := range n.spots {
				keys[nameKey{s.dir.id, s.name}] = true
			}
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
			for _, s := range n.spots {
				keys[nameKey{s.dir.id, s.name}] = true
			}
		}
	}
	return keys
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

// snapshot returns what the view shows at the given names, and all conflict
// copies beside them.
func (t *Tree) snapshot(keys map[nameKey]bool) map[Identity]Info {
	out := make(map[Identity]Info)
	done := make(map[*node]bool)
	for k := range keys {
		d := t.nodes[k.dir]
		if d == nil || !d.isDir() {
			continue
		}
		if k == (nameKey{}) {
			out[Root] = t.info(t.at(t.root, Dot{}))
			continue
		}
		g := t.group(d)
		if i := t.look(g, k.name); i != nil {
			out[i.members[0].id()] = t.info(i)
		}
		if done[g[0]] || len(g) == 1 && len(d.sub.odd) == 0 {
			continue
		}
		done[g[0]] = true
		for _, i := range t.viewOf(g).items {
			out[i.members[0].id()] = t.info(i)
		}
	}
	return out
}

// diff returns what differs between two snapshots.
func diff(before, after map[Identity]Info) (out []Change) {
	for id, old := range before {
		now, ok := after[id]
		switch {
		case !ok:
			out = append(out, Change{ID: id, Old: &old})
		case !old.same(&now):
			out = append(out, Change{ID: id, Old: &old, New: &now})
		}
	}
	for id, now := range after {
		if _, ok := before[id]; !ok {
			out = append(out, Change{ID: id, New: &now})
		}
	}
	slices.SortFunc(out, func(a, b Change) int { return bytes.Compare(a.ID[:], b.ID[:]) })
	return out
}

// same tells whether i and j look the same to who looks at a file.
func (i *Info) same(j *Info) bool {
	return i.ID == j.ID && i.Dir == j.Dir && i.Name == j.Name && i.Kind == j.Kind && i.Mode == j.Mode &&
		i.UID == j.UID && i.GID == j.GID && i.Atime == j.Atime && i.Ctime == j.Ctime && i.Btime == j.Btime &&
		i.Mtime == j.Mtime && i.Size == j.Size && i.DataDot == j.DataDot && i.Conflict == j.Conflict &&
		maps.EqualFunc(i.Xattrs, j.Xattrs, bytes.Equal)
}
