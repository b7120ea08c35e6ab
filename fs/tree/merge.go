package tree

import (
	"errors"
	"fmt"
	"maps"
	"slices"

	"satchel/crypto"
)

// ErrVector reports a head that claims what can't be: more of this writer's own
// commits than there are, or other heads under the same numbers.
var ErrVector = errors.New("impossible claim about what was merged")

// Join merges another writer's head, which the caller has verified, into the
// tree; pending changes stay pending. It returns what the view shows
// differently, of what was in memory. After an error nothing has changed.
func (t *Tree) Join(h Head, ld Loader) ([]Change, error) {
	vec := h.Vector.clone()
	vec.merge(Vector{h.Writer: {h.Name, h.Seq, h.Hash}})
	if err := t.checkVector(vec); err != nil {
		return nil, err
	}
	if t.vec.CoversAll(vec) {
		t.vec.merge(vec)
		return nil, nil
	}
	forward := !t.changed && len(t.pend) == 0 && vec.CoversAll(t.vec)
	if forward && !t.root.sub.loaded {
		if _, err := readRoot(ld, h.Root, h.Digest); err != nil {
			return nil, fmt.Errorf("head %d of %s: %w", h.Seq, h.Name, err)
		}
		t.replace(h, vec, ld)
		return nil, nil
	}
	m, err := t.plan(h, vec, ld, forward, false)
	if err == nil && forward && m.unites() {
		m, err = t.plan(h, vec, ld, forward, true) // what is shown as one is needed whole
	}
	if err != nil {
		return nil, fmt.Errorf("head %d of %s: %w", h.Seq, h.Name, err)
	}
	changes := m.apply()
	t.memo = nil
	t.reuse()
	return changes, nil
}

// plan finds out what the join with h does.
func (t *Tree) plan(h Head, vec Vector, ld Loader, forward, eager bool) (*merge, error) {
	w := t.newWalk(h, vec, ld, forward)
	w.eager = eager
	if err := w.run(); err != nil {
		return nil, err
	}
	m := &merge{w: w, t: t, result: make(map[Identity]*entry), at: make(map[Identity][]place)}
	return m, m.plan()
}

// checkVector returns why vec can't be.
func (t *Tree) checkVector(vec Vector) error {
	if mine, claim := t.vec[t.self].Seq, vec[t.self].Seq; claim > mine {
		return fmt.Errorf("%w: commit %d of this writer, of which %d is the last", ErrVector, claim, mine)
	}
	for id, e := range vec {
		old := t.vec[id]
		if e.Seq == 0 || e.Seq > maxSeq {
			return fmt.Errorf("%w: head %d of %s", ErrVector, e.Seq, e.Name)
		}
		if e.Seq == old.Seq && e.Head != old.Head && e.Head != (crypto.Hash{}) && old.Head != (crypto.Hash{}) {
			return fmt.Errorf("%w: two heads %d of %s", ErrVector, e.Seq, e.Name)
		}
	}
	return nil
}

// replace takes over a head's tree when nothing of the old one was looked at.
func (t *Tree) replace(h Head, vec Vector, ld Loader) {
	old := t.parents
	t.clear()
	t.parents = old
	t.ld, t.ref, t.digest = ld, h.Root, h.Digest
	t.root.sub.loaded = false
	t.vec.merge(vec)
	t.gen++
}

// A merge makes of what a walk gathered the state in which both are joined.
type merge struct {
	w      *walk
	t      *Tree
	result map[Identity]*entry  // of all that was gathered; nil is gone
	at     map[Identity][]place // where it stands
}

func (m *merge) get(id Identity) *entry {
	if e, ok := m.result[id]; ok {
		return e
	}
	return m.t.get(id)
}

// plan finds out what becomes of all that was gathered, and changes nothing.
func (m *merge) plan() error {
	for id := range m.w.ours {
		m.join(id)
	}
	for id := range m.w.theirs {
		m.join(id)
	}
	for id, e := range m.result {
		n := m.t.nodes[id]
		switch {
		case id == Root && e == nil:
			m.result[id] = &entry{}
		case n != nil && e != nil && n.isDir() != (e.kind() == Dir):
			return badf("identity %v is a directory and a file", id)
		}
	}
	if m.w.forward {
		m.placeThere()
	} else if err := m.place(); err != nil {
		return err
	}
	return m.check()
}

// join joins one identity.
func (m *merge) join(id Identity) {
	if _, done := m.result[id]; done {
		return
	}
	var a, b *entry
	if n := m.t.nodes[id]; n != nil {
		a = n.e
	}
	if x := m.w.theirs[id]; x != nil {
		b = x.e
	}
	if m.w.forward {
		if a != nil && b != nil && a.equal(b) {
			b = a
		}
		m.result[id] = b
		return
	}
	m.result[id] = m.w.join(a, b)
}

// placeThere puts everything where the other head has it.
func (m *merge) placeThere() {
	for id, x := range m.w.theirs {
		if id != Root {
			m.at[id] = x.at
		}
	}
}

// place puts everything where the view shows it. A ring that the join made may
// be broken at a directory that nobody changed.
func (m *merge) place() error {
	get := lookup(m.get)
	var dirs []Identity
	for id, e := range m.result {
		if id != Root && e != nil && e.kind() == Dir {
			dirs = append(dirs, id)
		}
	}
	rings := get.rings(dirs)
	for id := range rings {
		if _, ok := m.result[id]; !ok {
			m.result[id] = m.t.nodes[id].e
		}
	}
	var miss missing
	for id, e := range m.result {
		if id != Root && e != nil {
			m.at[id] = standingAt(e, rings[id], func(dir Identity) bool {
				is, err := m.isDir(e.id, dir)
				miss.add(err)
				return is
			})
		}
	}
	return miss.err()
}

// isDir tells whether the place dir of id is a directory. One that is neither
// gathered nor in memory is the same on both sides: where id stands tells, or
// else a search.
func (m *merge) isDir(id, dir Identity) (bool, error) {
	if dir == Root {
		return true, nil
	}
	if e, ok := m.result[dir]; ok {
		return e != nil && e.kind() == Dir, nil
	}
	if n := m.t.nodes[dir]; n != nil {
		return n.isDir(), nil
	}
	in := func(p place) bool { return p.dir == dir }
	if n := m.t.nodes[id]; n != nil && slices.ContainsFunc(n.e.places(), in) {
		return slices.ContainsFunc(n.places(), in), nil
	}
	if x := m.w.theirs[id]; x != nil && slices.ContainsFunc(x.e.places(), in) {
		return slices.ContainsFunc(x.at, in), nil
	}
	n, err := m.t.seek(dir)
	return n != nil, err
}

// check tells whether the result can be: what something is put into must be in
// memory, and no page may grow too large.
func (m *merge) check() error {
	var miss missing
	type key struct {
		dir  Identity
		name string
	}
	weight := make(map[key]int)
	for id := range m.result {
		miss.add(m.reach(id))
	}
	for id, places := range m.at {
		w := m.result[id].weigh()
		if m.result[id].tabled() {
			weight[key{nowhere, string(id[:])}] = w
			w = stubWeight + maxName
		}
		for _, p := range places {
			weight[key{p.dir, p.name}] += w
		}
		for _, v := range m.result[id].versions {
			if v.kind != m.result[id].kind() {
				return badf("identity %v is of two kinds", id)
			}
		}
		if len(m.result[id].versions) > maxVersions {
			return badf("identity %v: %d versions", id, len(m.result[id].versions))
		}
	}
	if e := m.result[Root]; e != nil {
		weight[key{}] = e.weigh()
	}
	for k, w := range weight {
		if w > maxGroup && (k.dir != nowhere || w > maxTabled) {
			return fmt.Errorf("%q: %w", k.name, errFull)
		}
	}
	return miss.err()
}

// reach loads what must be in memory before id stands elsewhere: the directories
// in which it stood and those in which it will, and its page of the table.
func (m *merge) reach(id Identity) error {
	n, at := m.t.nodes[id], m.at[id]
	var miss missing
	if e := m.result[id]; e != nil && e.tabled() {
		miss.add(m.t.hold(id))
	}
	if n != nil && n.linked != nil && !m.w.forward && !(m.result[id] != nil && m.result[id].tabled() && n.standsAt(at)) {
		miss.add(m.t.attachAll(n))
	}
	for _, p := range at {
		if n != nil && n.linked != nil && slices.Contains(n.linked.dirs, p.dir) || m.w.forward && m.result[id].tabled() {
			continue // a name that is there, or may be
		}
		d := m.t.nodes[p.dir]
		if _, gathered := m.result[p.dir]; d == nil && !gathered && !m.w.forward {
			var err error
			if d, err = m.t.seek(p.dir); err == nil && d == nil {
				err = badf("identity %v stands in a directory that is not there", id)
			}
			miss.add(err)
		}
		if d != nil && d.isDir() && !d.sub.loaded && m.w.dirs[p.dir] == nil {
			miss.add(m.t.load(d))
		}
	}
	return miss.err()
}

// standsAt tells whether n stands at these places.
func (n *node) standsAt(at []place) bool {
	return slices.EqualFunc(n.places(), at, func(p, q place) bool { return p.dir == q.dir && p.name == q.name })
}

// apply makes the tree what plan found.
func (m *merge) apply() []Change {
	t := m.t
	spots := m.touched()
	before := t.snapshot(spots)
	for id, e := range m.result {
		if n := t.nodes[id]; n == nil && e != nil {
			n = &node{id: id, e: e}
			n.row.n = n
			if e.kind() == Dir {
				n.sub = newFolder()
			}
			t.nodes[id] = n
			delete(t.parents, id)
			if e.pending() {
				t.pend[n] = struct{}{}
			}
		}
	}
	for id := range m.result {
		m.takeOver(id)
	}
	for id, e := range m.result {
		if n := t.nodes[id]; n != nil && e == nil {
			t.remove(n)
		}
	}
	for id, e := range m.result {
		n := t.nodes[id]
		if n == nil {
			continue
		}
		if n.e != e {
			t.set(n, e)
			if !e.pending() {
				delete(t.pend, n)
			}
		}
		m.stand(n)
	}
	for c := range m.w.odd {
		t.odd = append(t.odd, c)
	}
	t.vec.merge(m.w.vec) // copies are named by it
	t.gen++
	return t.diff(before, t.snapshot(spots))
}

// takeOver prepares the folder of a directory: what of their pages is stored,
// and, of one that was not read, where its pages are.
func (m *merge) takeOver(id Identity) {
	n, x, p := m.t.nodes[id], m.w.theirs[id], m.w.dirs[id]
	if n == nil || !n.isDir() || x == nil || m.result[id] == nil {
		return
	}
	f := n.sub
	fresh := n.parent() == nil && id != Root
	switch {
	case p != nil && p.there:
		if !f.loaded { // only forward: all of it was read
			*f = *newFolder()
		}
		maps.Copy(f.known, p.known)
	case fresh || !f.loaded && m.w.forward:
		*f = folder{top: x.top, digest: x.digest}
		if x.top.IsZero() {
			*f = *newFolder()
		}
		if n.row.page != nil {
			m.t.marks(n)
		}
	}
	if id == Root {
		maps.Copy(m.t.table.known, m.w.table.known)
		f.known[m.w.h.Digest] = m.w.h.Root
	}
}

// stand puts n where it belongs, if it isn't there.
func (m *merge) stand(n *node) {
	if n == m.t.root {
		return
	}
	at := m.at[n.id]
	if n.e.tabled() != (n.linked != nil) || !n.standsAt(at) {
		m.t.stand(n, at)
		return
	}
	for i, p := range at {
		n.spots[i].link = p.link
		if d := m.t.loaded(p.dir); n.spots[i].dir == nil && d != nil {
			m.t.appear(n, i, d) // it was read as theirs
		}
	}
}

// maxGroup bounds the weight of what stands under one name, so that its page
// stays below the node limit.
const maxGroup = 384 << 10

// maxTabled is the same for an entry in the table, which has a page of its own
// then, with nothing else but ways.
const maxTabled = 768 << 10
