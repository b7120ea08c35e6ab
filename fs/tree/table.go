package tree

import (
	"cmp"
	"encoding/binary"
	"fmt"
	"maps"
	"slices"

	"satchel/crypto"
)

// The table holds the entries of files with several names, which directories
// only refer to. Its pages are read one by one, as they are needed: a page that
// is not in memory is away. A file of which the table's page is in memory, but
// not all of its directories, has spots without a directory. Whoever changes
// something calls reach first: then what must be seen for that is in memory.

// tabled tells whether e stands in the table: it has several places, shown or not.
func (e *entry) tabled() bool {
	return !(len(e.versions) == 0 || len(e.versions) == 1 && len(e.versions[0].places) < 2) && len(e.places()) > 1
}

// A linked is what only a node in the table has.
type linked struct {
	dirs  []Identity // of the spots
	stubs []*row     // of the spots, nil for one without a directory
}

func newLinked(at []place) *linked {
	l := &linked{stubs: make([]*row, len(at))}
	for _, p := range at {
		l.dirs = append(l.dirs, p.dir)
	}
	return l
}

// restand puts n, which stands in the table and stays there, at places. Where it
// stands already it stays.
func (t *Tree) restand(n *node, at []place) {
	t.note(n)
	old := make(map[nameKey]int)
	for i, s := range n.spots {
		old[nameKey{n.linked.dirs[i], s.name}] = i
	}
	spots, l := make([]spot, len(at)), newLinked(at)
	for i, p := range at {
		spots[i] = spot{name: p.name, link: p.link}
		k := nameKey{p.dir, p.name}
		if j, ok := old[k]; ok {
			spots[i].dir, l.stubs[i] = n.spots[j].dir, n.linked.stubs[j]
			delete(old, k)
		}
	}
	for _, i := range old {
		t.vanish(n, i)
	}
	n.spots, n.linked = spots, l
	for i, r := range l.stubs {
		if r != nil {
			r.spot = int32(i)
		} else if d := t.loaded(l.dirs[i]); d != nil {
			t.appear(n, i, d)
		}
	}
	t.marks(n)
	t.gen++
}

// idHash returns the first 64 bits of BLAKE3(id).
func idHash(id Identity) uint64 {
	h := crypto.Sum(id[:])
	return binary.BigEndian.Uint64(h[:])
}

// dirAt returns the directory of n's spot i.
func (n *node) dirAt(i int) Identity {
	if n.linked != nil {
		return n.linked.dirs[i]
	}
	return n.spots[i].dir.id
}

// places returns where n stands.
func (n *node) places() []place {
	at := make([]place, len(n.spots))
	for i, s := range n.spots {
		at[i] = place{dir: n.dirAt(i), name: s.name, link: s.link}
	}
	return at
}

// gone returns the directories of e's places that are not there, of an entry that
// is shown in dirs.
func (e *entry) gone(dirs []Identity) (gone []Identity) {
	for _, p := range e.places() {
		if !slices.Contains(dirs, p.dir) {
			gone = append(gone, p.dir)
		}
	}
	slices.SortFunc(gone, compareID)
	return slices.Compact(gone)
}

// places returns where an entry of the table is shown.
func (s *standing) places() []place {
	return standingAt(s.e, false, func(dir Identity) bool { return !slices.Contains(s.gone, dir) })
}

// openTable reads where the pages of the table are.
func (t *Tree) openTable() error {
	if err := t.readTop(); err != nil {
		return err
	}
	f := t.table
	if f.loaded {
		return nil
	}
	known := make(map[crypto.Hash]Ref)
	leaves, err := readIndex(t.ld, child{ref: f.top, digest: f.digest}, maxIndex, known)
	if err != nil {
		return fmt.Errorf("table of hard links: %w", err)
	}
	for _, c := range leaves {
		known[c.digest] = c.ref
		f.pages = append(f.pages, fillGap(f.pages, c.prefix)...)
		f.pages = append(f.pages, &page{prefix: c.prefix, bits: c.bits, ref: c.ref, digest: c.digest, away: true})
	}
	f.pages = append(f.pages, fillGap(f.pages, 0)...)
	f.loaded, f.known = true, known
	return nil
}

// hold has the table's page in memory to which id belongs.
func (t *Tree) hold(id Identity) error {
	if err := t.openTable(); err != nil || len(t.table.pages) == 0 {
		return err
	}
	return t.fetch(t.table.pages[t.table.pageOf(idHash(id))])
}

// fetch reads a page of the table that is away.
func (t *Tree) fetch(p *page) error {
	if !p.away {
		return nil
	}
	l, err := readPage(t.ld, nowhere, child{p.prefix, p.bits, p.ref, p.digest})
	if err == nil {
		err = t.unused([]stored{{leaf: l}})
	}
	if err != nil {
		return fmt.Errorf("table of hard links: %w", err)
	}
	p.away = false
	for i := range l.list {
		s := &l.list[i]
		at := s.places()
		n := &node{id: s.e.id, e: s.e, spots: make([]spot, len(at)), linked: newLinked(at)}
		for i, q := range at {
			n.spots[i] = spot{name: q.name, link: q.link}
		}
		n.row.n, n.row.hash = n, idHash(n.id)
		n.row.weigh()
		p.put(&n.row)
		t.nodes[n.id] = n
	}
	for _, w := range l.ways {
		t.ways[w.dir] = w.up
	}
	return nil
}

// A stub is what a directory's page has of a file that stands in the table.
type stub struct {
	name string
	id   Identity
}

func (s stub) compare(o stub) int {
	return cmp.Or(cmp.Compare(s.name, o.name), compareID(s.id, o.id))
}

// attach returns the row of a stub in the directory dir, which is in no page yet.
// The page of the table must be in memory.
func (t *Tree) attach(dir Identity, s stub) (*row, error) {
	n := t.nodes[s.id]
	if n == nil || n.linked == nil {
		return nil, badf("identity %v is not in the table of hard links", s.id)
	}
	for i, p := range n.spots {
		if p.name == s.name && n.linked.dirs[i] == dir {
			return &row{n: n, spot: int32(i), hash: nameHash(s.name)}, nil
		}
	}
	return nil, badf("identity %v stands under a name that it does not have", s.id)
}

// reach loads what must be in memory before n changes: the directories of all
// its names, and of those of the files that settle when it does.
func (t *Tree) reach(n *node) error {
	if n.linked == nil && t.unions == 0 && (n == t.root || len(n.spots[0].dir.sub.odd) == 0) {
		return nil
	}
	var miss missing
	todo := []*node{n}
	seen := map[*node]bool{n: true}
	for ; len(todo) > 0; todo = todo[1:] {
		n := todo[0]
		if !miss.add(t.attachAll(n)) {
			continue
		}
		for _, s := range n.spots {
			g, err := t.open(s.dir)
			if !miss.add(err) || len(g) == 1 && len(g[0].sub.odd) == 0 {
				continue
			}
			for _, m := range t.viewOf(g).names[s.name] {
				if !seen[m] && !m.isDir() {
					seen[m] = true
					todo = append(todo, m)
				}
			}
		}
	}
	return miss.err()
}

// reachAll is reach for all that i shows.
func (t *Tree) reachAll(i *item) error {
	var miss missing
	for _, m := range i.members {
		miss.add(t.reach(m.n))
	}
	return miss.err()
}

// reachCopies is reach for the copies that g shows: they may settle when one of
// its names goes.
func (t *Tree) reachCopies(g []*node) error {
	if len(g) == 1 && len(g[0].sub.odd) == 0 {
		return nil
	}
	var miss missing
	for _, i := range t.viewOf(g).items {
		if i.copy {
			miss.add(t.reachAll(i))
		}
	}
	return miss.err()
}

// reachBelow is reach for all files below the directories of g, which are loaded
// with all below them.
func (t *Tree) reachBelow(g []*node) error {
	var miss missing
	for todo := slices.Clone(g); len(todo) > 0; todo = todo[1:] {
		for _, nodes := range todo[0].sub.names {
			for _, n := range nodes {
				if n.isDir() {
					todo = append(todo, n)
				} else if n.linked != nil || len(todo[0].sub.odd) > 0 {
					miss.add(t.reach(n))
				}
			}
		}
	}
	return miss.err()
}

// attachAll loads all directories in which n stands.
func (t *Tree) attachAll(n *node) error {
	var miss missing
	for i := range n.spots {
		if n.spots[i].dir == nil {
			miss.add(t.attachSpot(n, i))
		}
	}
	return miss.err()
}

// attachAny loads one of the directories in which n stands, if none is loaded.
func (t *Tree) attachAny(n *node) error {
	if n.linked == nil || slices.ContainsFunc(n.spots, func(s spot) bool { return s.dir != nil }) {
		return nil
	}
	return t.attachSpot(n, 0)
}

func (t *Tree) attachSpot(n *node, i int) error {
	d, err := t.seek(n.linked.dirs[i])
	if err != nil {
		return err
	}
	if d == nil {
		return badf("identity %v stands in a directory that is not there", n.id)
	}
	if !d.sub.loaded {
		if err := t.load(d); err != nil {
			return err
		}
	}
	if n.spots[i].dir == nil {
		return badf("identity %v has a name that is not there", n.id)
	}
	return nil
}

// forget notes that the directory d, in which n stands, is not loaded any more.
func (n *node) forget(d *node) {
	for i := range n.spots {
		if n.spots[i].dir == d {
			n.spots[i].dir, n.linked.stubs[i] = nil, nil
		}
	}
}

// seek returns the directory dir, wherever it is; nil if it is nowhere.
func (t *Tree) seek(dir Identity) (*node, error) {
	for t.nodes[dir] == nil {
		n := t.above(dir)
		if n == nil {
			if err := t.search(dir); err != nil {
				return nil, err
			}
			break
		}
		if err := t.load(n); err != nil {
			return nil, err
		}
	}
	if n := t.nodes[dir]; n != nil && n.isDir() {
		return n, nil
	}
	return nil, nil
}

// above returns the directory that is to be loaded on the way to dir, as far as
// the way is known.
func (t *Tree) above(dir Identity) *node {
	for range 4 * maxDepth {
		up, ok := t.parents[dir]
		if !ok {
			up, ok = t.ways[dir]
		}
		if !ok {
			return nil
		}
		if n := t.nodes[up]; n != nil {
			if n.isDir() && !n.sub.loaded {
				return n
			}
			return nil // it was there
		}
		dir = up
	}
	return nil
}

// search loads all directories until dir is found, or all are.
func (t *Tree) search(dir Identity) error {
	if !t.root.sub.loaded {
		if err := t.load(t.root); err != nil {
			return err
		}
	}
	var miss missing
	for todo := []*node{t.root}; len(todo) > 0 && t.nodes[dir] == nil; todo = todo[1:] {
		if d := todo[0]; d.sub.loaded || miss.add(t.load(d)) {
			todo = slices.AppendSeq(todo, d.sub.dirNodes())
		}
	}
	if t.nodes[dir] != nil {
		return nil
	}
	return miss.err()
}

// dirNodes returns the directories in f.
func (f *folder) dirNodes() func(yield func(*node) bool) {
	return func(yield func(*node) bool) {
		if f.dirs == 0 {
			return
		}
		for _, nodes := range f.names {
			for _, n := range nodes {
				if n.isDir() && !yield(n) {
					return
				}
			}
		}
	}
}

// A way says in which directory another stands, for whoever looks for it: it may
// have moved since.
type way struct{ dir, up Identity }

// maxWays is how many ways a page has at most.
const maxWays = 4096

// waysTo returns the ways to the directories in which the files of a page of the
// table stand.
func (t *Tree) waysTo(p *page) []way {
	ups := make(map[Identity]Identity)
	for _, r := range p.rows {
		for _, dir := range r.n.linked.dirs {
			for dir != Root && len(ups) < maxWays {
				up, ok := t.upFrom(dir)
				if _, done := ups[dir]; done || !ok {
					break
				}
				ups[dir] = up
				dir = up
			}
		}
	}
	var list []way
	for _, dir := range slices.SortedFunc(maps.Keys(ups), compareID) {
		list = append(list, way{dir, ups[dir]})
	}
	return list
}

// upFrom returns the directory in which dir stands, as far as is known.
func (t *Tree) upFrom(dir Identity) (up Identity, ok bool) {
	if n := t.nodes[dir]; n != nil && n.parent() != nil {
		return n.parent().id, true
	}
	if up, ok = t.parents[dir]; !ok {
		up, ok = t.ways[dir]
	}
	return up, ok
}

// evictTable drops the pages of the table of which no file stands in a directory
// that is in memory.
func (t *Tree) evictTable() {
	for _, p := range t.table.pages {
		if p.dirty || p.away || len(p.rows) == 0 || slices.ContainsFunc(p.rows, func(r *row) bool {
			return slices.ContainsFunc(r.n.spots, func(s spot) bool { return s.dir != nil })
		}) {
			continue
		}
		for _, r := range p.rows {
			delete(t.nodes, r.n.id)
		}
		p.rows, p.weight, p.away = nil, 0, true
	}
}
