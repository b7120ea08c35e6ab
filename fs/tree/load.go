package tree

import (
	"errors"
	"fmt"
	"slices"

	"satchel/crypto"
)

// Load returns the tree of a head: vec is what is merged in it, the head itself
// included. It reads nothing; ld is asked when something is looked up.
func Load(self crypto.DeviceID, name string, vec Vector, root Ref, digest crypto.Hash, ld Loader) (*Tree, error) {
	if root.IsZero() {
		return nil, errors.New("a tree without a root")
	}
	t := New(self, name, ld)
	t.vec, t.ref, t.digest = vec.clone(), root, digest
	t.root.sub.loaded = false
	return t, nil
}

// A stored is a page as it is stored.
type stored struct {
	child
	leaf
}

// readRoot reads a root node: the root's entry and where its pages are.
func readRoot(ld Loader, r Ref, digest crypto.Hash) (standing, error) {
	b, err := ld(r)
	if err != nil {
		return standing{}, err
	}
	l, err := decodePage(kindRoot, b, r, Root)
	if err != nil {
		return standing{}, fmt.Errorf("root: %w", err)
	}
	if len(l.list) != 1 || l.list[0].e.id != Root {
		return standing{}, fmt.Errorf("root: %w", badf("%d entries", len(l.list)))
	}
	if d, err := pageDigest(kindRoot, l); err != nil || d != digest {
		return standing{}, fmt.Errorf("root: %w", badf("not what its digest says"))
	}
	return l.list[0], nil
}

// readFolder reads the pages of a directory or the table. skip tells of a page
// that need not be read; indexes gets the index nodes; memo, if not nil, keeps what was decoded.
// Nothing is returned unless all is there.
func readFolder(ld Loader, dir Identity, top Ref, digest crypto.Hash, skip func(child) bool, indexes map[crypto.Hash]Ref, memo map[Ref]leaf) ([]stored, error) {
	if top.IsZero() {
		return nil, nil
	}
	leaves, err := readIndex(ld, child{ref: top, digest: digest}, maxIndex, indexes)
	if err != nil {
		return nil, fmt.Errorf("directory %v: %w", dir, err)
	}
	var miss missing
	pages := make([]stored, len(leaves))
	for i, c := range leaves {
		pages[i].child = c
		if skip != nil && skip(c) {
			continue
		}
		var ok bool
		if pages[i].leaf, ok = memo[c.ref]; ok {
			continue
		}
		pages[i].leaf, err = readPage(ld, dir, c)
		if miss.add(err) && memo != nil {
			memo[c.ref] = pages[i].leaf
		}
	}
	if err := miss.err(); err != nil {
		return nil, fmt.Errorf("directory %v: %w", dir, err)
	}
	return pages, nil
}

// readIndex returns the pages below c, which is one or an index of at most the
// given level.
func readIndex(ld Loader, c child, level int, indexes map[crypto.Hash]Ref) ([]child, error) {
	b, err := ld(c.ref)
	if err != nil {
		return nil, err
	}
	if len(b) > 0 && b[0] == kindPage {
		return []child{c}, nil
	}
	l, list, err := decodeIndex(b, c.ref)
	if err != nil {
		return nil, err
	}
	if l > level || indexDigest(l, list) != c.digest {
		return nil, badf("index is not what its digest says")
	}
	for _, s := range list {
		if (s.prefix^c.prefix)&mask(c.bits) != 0 || s.bits < c.bits {
			return nil, badf("child of an index is out of its place")
		}
	}
	if indexes != nil {
		indexes[c.digest] = c.ref
	}
	if l == 0 {
		return list, nil
	}
	var out []child
	var miss missing
	for _, s := range list {
		below, err := readIndex(ld, s, l-1, indexes)
		miss.add(err)
		out = append(out, below...)
	}
	return out, miss.err()
}

// readPage reads a page and checks that what is in it stands there rightly.
func readPage(ld Loader, dir Identity, c child) (leaf, error) {
	b, err := ld(c.ref)
	if err != nil {
		return leaf{}, err
	}
	l, err := decodePage(kindPage, b, c.ref, dir)
	if err != nil {
		return leaf{}, err
	}
	if d, err := pageDigest(kindPage, l); err != nil || d != c.digest {
		return leaf{}, badf("page is not what its digest says")
	}
	p := page{prefix: c.prefix, bits: c.bits}
	for i := range l.list {
		if s := &l.list[i]; !p.fits(s) {
			return leaf{}, badf("identity %v stands where it doesn't belong", s.e.id)
		}
	}
	for _, s := range l.stubs {
		if !p.holds(nameHash(s.name)) || s.id == Root {
			return leaf{}, badf("name of identity %v stands where it doesn't belong", s.id)
		}
	}
	return l, nil
}

// fits tells whether s belongs in p.
func (p *page) fits(s *standing) bool {
	if s.e.id == Root || s.e.id == s.dir || s.e.tabled() != (s.dir == nowhere) {
		return false
	}
	if s.dir == nowhere {
		return p.holds(idHash(s.e.id))
	}
	at, ok := s.e.standsIn(s.dir)
	return ok && p.holds(nameHash(at.name))
}

// standsIn returns the place at which e stands in the pages of dir. In the root
// that may be what has lost its directory.
func (e *entry) standsIn(dir Identity) (at place, ok bool) {
	var lost place
	for i, p := range e.places() {
		if i == 0 || lost.compare(p) < 0 {
			lost = p
		}
		if p.dir == dir && (!ok || at.compare(p) < 0) {
			at, ok = p, true
		}
	}
	if !ok && dir == Root {
		return lost, true
	}
	return at, ok
}

// load loads the folder of d.
func (t *Tree) load(d *node) error {
	f := d.sub
	if d == t.root {
		if err := t.readTop(); err != nil {
			return err
		}
	}
	known := make(map[crypto.Hash]Ref)
	pages, err := readFolder(t.ld, d.id, f.top, f.digest, nil, known, nil)
	if err != nil {
		return err
	}
	links, err := t.attachable(d.id, pages)
	if err != nil {
		return fmt.Errorf("directory %v: %w", d.id, err)
	}
	fresh := newFolder()
	fresh.top, fresh.digest, fresh.known, fresh.lately = f.top, f.digest, known, f.lately
	*f = *fresh
	for _, p := range pages {
		f.known[p.digest] = p.ref
	}
	if d == t.root {
		f.known[t.digest] = t.ref
	}
	t.fill(d, pages)
	for _, s := range links {
		t.fillStub(d, s)
	}
	t.gen++
	return nil
}

// readTop reads the root node, if that was not done.
func (t *Tree) readTop() error {
	f := t.root.sub
	if f.loaded || !f.top.IsZero() || t.ref.IsZero() {
		return nil
	}
	s, err := readRoot(t.ld, t.ref, t.digest)
	if err != nil {
		return err
	}
	t.root.e, f.top, f.digest = s.e, s.top, s.digest
	if s.table != nil && t.table.top.IsZero() {
		t.table = &folder{top: s.table.ref, digest: s.table.digest}
	}
	return nil
}

// attachable returns what the stubs in pages of the directory dir stand for. It
// checks that they and the entries can be put there.
func (t *Tree) attachable(dir Identity, pages []stored) (links []*row, err error) {
	var miss missing
	for _, p := range pages {
		for _, s := range p.stubs {
			miss.add(t.hold(s.id))
		}
	}
	if err := miss.err(); err != nil {
		return nil, err
	}
	if err := t.unused(pages); err != nil {
		return nil, err
	}
	for _, p := range pages {
		for _, s := range p.stubs {
			r, err := t.attach(dir, s)
			if err != nil {
				return nil, err
			}
			links = append(links, r)
		}
	}
	return links, nil
}

// unused tells whether no identity of pages is in memory or there twice.
func (t *Tree) unused(pages []stored) error {
	seen := make(map[Identity]bool)
	for _, p := range pages {
		for _, s := range p.list {
			if seen[s.e.id] || t.nodes[s.e.id] != nil {
				return badf("identity %v is in the tree twice", s.e.id)
			}
			seen[s.e.id] = true
		}
	}
	return nil
}

// fill puts the entries of pages into the empty folder of d, as they are stored.
func (t *Tree) fill(d *node, pages []stored) {
	f := d.sub
	for _, s := range pages {
		f.pages = append(f.pages, fillGap(f.pages, s.prefix)...)
		p := &page{prefix: s.prefix, bits: s.bits, ref: s.ref, digest: s.digest}
		f.pages = append(f.pages, p)
		for _, x := range s.list {
			at, _ := x.e.standsIn(d.id)
			n := &node{id: x.e.id, e: x.e, spots: []spot{{d, at.name, at.link}}}
			n.row = row{n: n, hash: nameHash(at.name)}
			n.row.weigh()
			if x.e.kind() == Dir {
				n.sub = &folder{top: x.top, digest: x.digest}
				if x.top.IsZero() {
					n.sub = newFolder()
				}
			}
			t.nodes[n.id] = n
			delete(t.parents, n.id)
			t.setName(f, at.name, append(slices.Clone(f.names[at.name]), n))
			p.put(&n.row)
		}
	}
	if len(f.pages) > 0 {
		f.pages = append(f.pages, fillGap(f.pages, 0)...)
	}
}

// fillStub puts a stub into the folder of d, as it is stored.
func (t *Tree) fillStub(d *node, r *row) {
	n, name := r.n, r.name()
	n.spots[r.spot].dir, n.linked.stubs[r.spot] = d, r
	list := append(slices.Clone(d.sub.names[name]), n)
	slices.SortFunc(list, func(a, b *node) int { return compareID(a.id, b.id) })
	t.setName(d.sub, name, list)
	r.weigh()
	d.sub.pages[d.sub.pageOf(r.hash)].put(r)
}

// fillGap returns empty pages for the hashes between the last of pages and next,
// where 0 is the end: an index leaves empty pages out.
func fillGap(pages []*page, next uint64) (gap []*page) {
	var at uint64
	if n := len(pages); n > 0 {
		last := pages[n-1]
		at = last.prefix + (^mask(last.bits) + 1)
		if last.bits == 0 || at == 0 {
			return nil
		}
	}
	for at != next {
		// The largest page that begins at at and doesn't reach beyond next.
		b := 0
		for b < 64 && (at&^mask(b) != 0 || next != 0 && ^mask(b) >= next-at || b == 0 && next != 0) {
			b++
		}
		gap = append(gap, &page{prefix: at, bits: b})
		size := ^mask(b) + 1
		if size == 0 {
			break
		}
		at += size
	}
	return gap
}
