package tree

import (
	"slices"

	"satchel/crypto"
)

// A sameTable is what a walk knows of the tables of both sides.
type sameTable struct {
	all   bool                 // they are equal
	read  bool                 // or what differs was gathered
	pages map[crypto.Hash]bool // that are equal, by digest
	known map[crypto.Hash]Ref  // of theirs
}

// has tells whether our page p is the same there.
func (s *sameTable) has(p *page) bool { return !p.dirty && (s.all || s.pages[p.digest]) }

// tables gathers what differs between the tables of files with several names. s
// is their root.
func (w *walk) tables(s standing) {
	f, top := w.t.table, child{}
	if s.table != nil {
		top = *s.table
	}
	if !f.dirty && f.digest == top.digest {
		w.table.all, w.table.read = true, true
		return
	}
	if !w.miss.add(w.t.openTable()) {
		return
	}
	mine := make(map[crypto.Hash]uint64)
	for _, p := range f.pages {
		if !p.dirty && !p.empty() {
			mine[p.digest] = p.prefix
		}
	}
	w.table.pages, w.table.known = make(map[crypto.Hash]bool), make(map[crypto.Hash]Ref)
	pages, err := readFolder(w.ld, nowhere, top.ref, top.digest, func(c child) bool {
		if at, ok := mine[c.digest]; ok && at == c.prefix {
			w.table.pages[c.digest] = true
		}
		return w.table.pages[c.digest]
	}, w.table.known, w.t.memo)
	if !w.miss.add(err) {
		return
	}
	w.table.read = true
	for _, p := range pages {
		w.table.known[p.digest] = p.ref
		for i := range p.list {
			w.takeLinked(p.list[i])
		}
	}
	for _, p := range f.pages {
		if !w.table.has(p) && w.miss.add(w.t.fetch(p)) {
			for _, r := range p.rows {
				w.ours[r.n.id] = true
			}
		}
	}
}

func (w *walk) takeLinked(s standing) { w.take(s, s.places(), w.theirs[Root]) }

// takeStub notes a name of theirs in the directory dir.
func (w *walk) takeStub(s stub, dir Identity) {
	x, err := w.linkedThere(s.id)
	if !w.miss.add(err) || !w.table.read {
		return
	}
	if x == nil || x.dir != nowhere || !slices.ContainsFunc(x.at, func(p place) bool { return p.dir == dir && p.name == s.name }) {
		w.miss.add(badf("identity %v stands under a name that it does not have", s.id))
	}
}

// linkedThere returns the entry of their table for id, nil if there is none. One
// that is in a page that is equal on both sides is gathered now.
func (w *walk) linkedThere(id Identity) (*their, error) {
	if x := w.theirs[id]; x != nil {
		return x, nil
	}
	if !w.table.read {
		return nil, nil // what is missing was noted
	}
	if err := w.t.hold(id); err != nil {
		return nil, err
	}
	n := w.t.nodes[id]
	if n == nil || n.linked == nil || !w.table.has(n.row.page) {
		return nil, nil
	}
	w.ours[id] = true
	w.take(standing{e: n.e, dir: nowhere}, n.places(), w.theirs[Root])
	return w.theirs[id], nil
}
