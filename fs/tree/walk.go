package tree

import (
	"fmt"

	"satchel/crypto"
)

// A walk finds all identities that differ between the tree and another head's.
// Equal digests are passed over; of unequal directories all unequal entries are
// gathered. A directory that one side has is first looked for on the other by
// its identity; only when no pair is left to compare it is descended alone, and
// if it shows up on the other side after all, there too.
type walk struct {
	t   *Tree
	h   Head
	vec Vector // what is merged in h, itself included
	ld  Loader
	// The other head has all that is here. What is not in memory is taken over
	// unread, unless something that is in memory must be found.
	forward bool
	eager   bool // but read it after all

	ours   map[Identity]bool // gathered here
	table  sameTable
	theirs map[Identity]*their // gathered there
	dirs   map[Identity]*pair
	todo   []Identity
	miss   missing
	odd    map[Contradiction]struct{}
}

// A their is an entry of the other head.
type their struct {
	standing
	at     []place // where it stands, of all but the root
	parent Identity
	depth  int
}

// A pair is a directory that is descended, on both sides or one.
type pair struct {
	whole       bool // with pages that are equal on both sides
	here, there bool // done
	known       map[crypto.Hash]Ref
}

func (t *Tree) newWalk(h Head, vec Vector, ld Loader, forward bool) *walk {
	if t.memo == nil {
		t.memo = make(map[Ref]leaf)
	}
	return &walk{t: t, h: h, vec: vec, ld: ld, forward: forward, odd: make(map[Contradiction]struct{}),
		theirs: make(map[Identity]*their), ours: make(map[Identity]bool), dirs: make(map[Identity]*pair)}
}

// run does the walk. If it misses nodes it has found out all that it could.
func (w *walk) run() error {
	if !w.t.root.sub.loaded {
		w.miss.add(w.t.load(w.t.root))
	}
	s, err := readRoot(w.ld, w.h.Root, w.h.Digest)
	if w.miss.add(err) {
		w.ours[Root], w.theirs[Root] = true, &their{standing: s}
		w.todo = append(w.todo, Root)
		w.tables(s)
	}
	for {
		for len(w.todo) > 0 {
			id := w.todo[0]
			w.todo = w.todo[1:]
			w.compare(id)
		}
		if err := w.miss.err(); err != nil {
			return err
		}
		if !w.alone() && !w.gone() {
			break
		}
	}
	if w.forward {
		return nil
	}
	return w.strays()
}

// here returns our directory id, nil if there is none in memory.
func (w *walk) here(id Identity) *node {
	if n := w.t.nodes[id]; n != nil && n.isDir() {
		return n
	}
	return nil
}

// there returns their directory id, nil if it was not read.
func (w *walk) there(id Identity) *their {
	if x := w.theirs[id]; x != nil && x.e.kind() == Dir {
		return x
	}
	return nil
}

// clean tells whether the folder is known to equal x's.
func (f *folder) clean(x *their) bool { return !f.dirty && f.digest == x.digest }

// compare compares the directory id if it is known on both sides.
func (w *walk) compare(id Identity) {
	a, b := w.here(id), w.there(id)
	if a == nil || b == nil {
		return
	}
	p := w.dirs[id]
	if p == nil {
		if a.sub.clean(b) || w.forward && !a.sub.loaded {
			return
		}
		p = &pair{}
		w.dirs[id] = p
	}
	w.descend(id, p)
}

// descend gathers what stands in the directory id, on the sides that have it
// and where that was not done.
func (w *walk) descend(id Identity, p *pair) {
	a, b := w.here(id), w.there(id)
	if a != nil && !a.sub.loaded {
		if w.forward {
			a = nil // nothing of it is in memory
		} else if !w.miss.add(w.t.load(a)) {
			return
		}
	}
	var same map[crypto.Hash]bool
	if b != nil && !p.there {
		var ok bool
		if same, ok = w.gatherTheirs(b, a, p); !ok {
			return
		}
	}
	if a != nil && !p.here {
		p.here = true
		w.gatherOurs(a, same)
	}
}

// gatherOurs gathers what stands in a, but for pages that are the same there.
func (w *walk) gatherOurs(a *node, same map[crypto.Hash]bool) {
	for _, pg := range a.sub.pages {
		if !pg.dirty && same[pg.digest] {
			continue
		}
		for _, r := range pg.rows {
			w.ours[r.n.id] = true
			if r.n.isDir() {
				w.todo = append(w.todo, r.n.id)
			}
			if r.isStub() {
				_, err := w.linkedThere(r.n.id)
				w.miss.add(err)
			}
		}
	}
}

// gatherTheirs reads what stands in b, but for pages that a has too.
func (w *walk) gatherTheirs(b *their, a *node, p *pair) (same map[crypto.Hash]bool, ok bool) {
	mine := make(map[crypto.Hash]uint64)
	if a != nil && !p.whole {
		for _, pg := range a.sub.pages {
			if !pg.dirty && len(pg.rows) > 0 {
				mine[pg.digest] = pg.prefix
			}
		}
	}
	same = make(map[crypto.Hash]bool)
	p.known = make(map[crypto.Hash]Ref)
	pages, err := readFolder(w.ld, b.e.id, b.top, b.standing.digest, func(c child) bool {
		at, ok := mine[c.digest]
		if ok && at == c.prefix {
			same[c.digest] = true
		}
		return same[c.digest]
	}, p.known, w.t.memo)
	if !w.miss.add(err) {
		return nil, false
	}
	p.there = true
	for _, pg := range pages {
		p.known[pg.digest] = pg.ref
		for _, s := range pg.list {
			at, _ := s.e.standsIn(s.dir)
			at.dir = s.dir
			w.take(s, []place{at}, b)
		}
		for _, s := range pg.stubs {
			w.takeStub(s, b.e.id)
		}
	}
	return same, true
}

// take notes an entry of theirs.
func (w *walk) take(s standing, at []place, in *their) {
	id := s.e.id
	if x := w.theirs[id]; x != nil {
		if x.e == s.e {
			return // a page that is read again
		}
		w.miss.add(badf("identity %v is in the tree twice", id))
		return
	}
	if in.depth > 4*maxDepth {
		w.miss.add(badf("directories %d deep", in.depth))
		return
	}
	w.theirs[id] = &their{standing: s, at: at, parent: in.e.id, depth: in.depth + 1}
	if s.e.kind() == Dir {
		w.todo = append(w.todo, id)
	}
}

// alone descends the directories that one side has alone, and tells whether
// there were any.
func (w *walk) alone() bool {
	var ids []Identity
	search := !w.forward || w.eager || w.lost()
	for id := range w.theirs {
		b, a := w.there(id), w.here(id)
		if b == nil || !search {
			continue
		}
		if a == nil || w.forward && !a.sub.loaded && !a.sub.clean(b) {
			ids = append(ids, id)
		}
	}
	for id := range w.ours {
		if w.here(id) != nil && w.there(id) == nil {
			ids = append(ids, id)
		}
	}
	more := false
	for _, id := range ids {
		if w.dirs[id] == nil {
			p := &pair{whole: true}
			w.dirs[id] = p
			more = true
			w.descend(id, p)
		}
	}
	return more
}

// gone descends, whole, the directories that both sides have and that are gone
// when they are joined, since each side has removed what the other has; what
// stands in them has to stand elsewhere. It tells whether there were any.
func (w *walk) gone() bool {
	if w.forward {
		return false
	}
	more := false
	for id := range w.theirs {
		a, b := w.here(id), w.there(id)
		if a == nil || b == nil || id == Root || a.e.equal(b.e) || w.join(a.e, b.e) != nil {
			continue
		}
		if p := w.dirs[id]; p == nil || !p.whole {
			w.dirs[id] = &pair{whole: true}
			w.descend(id, w.dirs[id])
			more = true
		}
	}
	return more
}

// join joins two states of one identity, theirs being b.
func (w *walk) join(a, b *entry) *entry {
	return joinEntry(a, b, seen{w.t.vec, w.t.self}, seen{w.vec, w.h.Writer}, func(id Identity, d Dot) {
		w.odd[Contradiction{id, d}] = struct{}{}
	})
}

// lost tells whether something that is in memory here was not found there.
func (w *walk) lost() bool {
	for id := range w.ours {
		if w.theirs[id] == nil {
			return true
		}
	}
	return false
}

// strays loads what is below directories that stand in the root, though their
// places put them elsewhere, and that are not the same on both sides: the
// directory that each wants to be in may be down there, in a ring.
func (w *walk) strays() error {
	for id := range w.ours {
		a := w.here(id)
		if a == nil || a.parent() != w.t.root || a.e.wanted().dir == Root {
			continue
		}
		if b := w.there(id); b == nil || !a.sub.clean(b) || !a.e.equal(b.e) {
			w.miss.add(w.t.loadBelow(a))
		}
	}
	for id, b := range w.theirs {
		if id == Root || b.parent != Root || b.e.kind() != Dir || b.e.wanted().dir == Root {
			continue
		}
		for sub := range w.theirs {
			if a := w.here(sub); a != nil && w.under(sub, id) {
				w.miss.add(w.t.loadBelow(a))
			}
		}
	}
	if err := w.miss.err(); err != nil {
		return fmt.Errorf("directories that lost their place: %w", err)
	}
	return nil
}

// under tells whether their directory sub stands in id, or is it.
func (w *walk) under(sub, id Identity) bool {
	for sub != Root {
		if sub == id {
			return true
		}
		sub = w.theirs[sub].parent
	}
	return false
}
