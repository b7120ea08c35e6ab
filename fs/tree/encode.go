package tree

import (
	"bytes"
	"cmp"
	"fmt"
	"maps"
	"slices"

	"satchel/crypto"
	"satchel/crypto/canon"
)

// An encoder turns entries into a page. With a nil local it leaves out refs and
// content: what remains is what a digest is of.
type encoder struct {
	local   func(Ref) Ref
	writers map[crypto.DeviceID]uint32
	packs   packTable
}

// A standing is an entry in the directory in which it stands, or in the table,
// and, of a directory, where its own pages are.
type standing struct {
	e      *entry
	dir    Identity // nowhere: the table
	top    Ref
	digest crypto.Hash
	table  *child     // of the root: where the table is, nil if there is none
	gone   []Identity // in the table: the directories of its places that are not there
}

// A leaf is what is in a page.
type leaf struct {
	list  []standing
	stubs []stub
	ways  []way // in the table
}

// A packTable numbers the packs of a node.
type packTable struct {
	list []wirePack
	at   map[packKey]uint32
}

type packKey struct {
	owner string
	id    [32]byte
}

// newPackTable numbers the packs of refs, which are in the form in which they
// are written, in order.
func newPackTable(refs []Ref) packTable {
	t := packTable{at: make(map[packKey]uint32)}
	for _, r := range refs {
		if !r.IsZero() {
			t.at[packKey{r.Owner, r.Pack}] = 0
		}
	}
	keys := slices.SortedFunc(maps.Keys(t.at), func(a, b packKey) int {
		return cmp.Or(cmp.Compare(a.owner, b.owner), bytes.Compare(a.id[:], b.id[:]))
	})
	for i, k := range keys {
		t.at[k] = uint32(i)
		p := wirePack{Owner: k.owner}
		if k.id != [32]byte{} {
			p.ID = k.id[:]
		}
		t.list = append(t.list, p)
	}
	return t
}

func (t *packTable) ref(r Ref) wireRef {
	if r.IsZero() {
		return wireRef{}
	}
	return wireRef{Pack: t.at[packKey{r.Owner, r.Pack}], Off: r.Off, Len: r.Len, Hash: r.Hash[:], Key: r.Key[:]}
}

// encodePage returns the node, of the given kind, that holds l.
func encodePage(kind byte, l leaf, local func(Ref) Ref) ([]byte, error) {
	c := &encoder{local: local, writers: make(map[crypto.DeviceID]uint32)}
	p := wirePage{Writers: c.number(l.list)}
	if local != nil {
		c.packs = newPackTable(c.refs(l.list))
		p.Packs = c.packs.list
		for _, w := range l.ways {
			p.Ways = append(p.Ways, wireWay{Dir: w.dir, Up: w.up})
		}
	}
	for i := range l.list {
		p.Entries = append(p.Entries, c.entry(&l.list[i]))
	}
	for _, s := range l.stubs {
		p.Stubs = append(p.Stubs, wireStub{Name: []byte(s.name), ID: s.id})
	}
	return marshal(kind, p)
}

// marshal encodes a node.
func marshal(kind byte, v any) ([]byte, error) {
	b, err := canon.Marshal(v)
	if err != nil {
		return nil, fmt.Errorf("tree node: %w", err)
	}
	if len(b) >= maxNode {
		return nil, fmt.Errorf("tree node of %d bytes: %w", len(b), errFull)
	}
	return append([]byte{kind}, b...), nil
}

// pageDigest returns the digest of a page or root: of its bytes without refs,
// ways and content.
func pageDigest(kind byte, l leaf) (crypto.Hash, error) {
	b, err := encodePage(kind, l, nil)
	if err != nil {
		return crypto.Hash{}, err
	}
	return crypto.Sum(append([]byte("satchel page v1"), b...)), nil
}

// digest returns the digest of a version alone.
func (v *version) digest() crypto.Hash {
	d, _ := pageDigest(kindPage, leaf{list: []standing{{e: single(Identity{}, *v)}}})
	return d
}

// number numbers the writers in list by their order.
func (c *encoder) number(list []standing) []crypto.DeviceID {
	note := func(d Dot) { c.writers[d.Writer] = 0 }
	for _, s := range list {
		for i := range s.e.versions {
			v := &s.e.versions[i]
			note(v.dot)
			note(v.stamp)
			note(v.mstamp)
			for _, p := range v.places {
				note(p.link.Dot)
				note(p.stamp)
			}
			if v.data != nil {
				note(v.data.dot)
			}
		}
	}
	ids := slices.SortedFunc(maps.Keys(c.writers), func(a, b crypto.DeviceID) int { return bytes.Compare(a[:], b[:]) })
	for i, id := range ids {
		c.writers[id] = uint32(i)
	}
	return ids
}

// refs returns all refs in list, in the form in which they are written.
func (c *encoder) refs(list []standing) (refs []Ref) {
	add := func(r Ref) {
		if !r.IsZero() {
			refs = append(refs, c.local(r))
		}
	}
	for i := range list {
		s := &list[i]
		add(s.top)
		if s.table != nil {
			add(s.table.ref)
		}
		for j := range s.e.versions {
			if d := s.e.versions[j].data; d != nil {
				for _, r := range d.content.Refs {
					add(r)
				}
			}
		}
	}
	return refs
}

// dot is 0 if it is pending, which it is in no page that is stored.
func (c *encoder) dot(d Dot) wireDot {
	w := wireDot{Writer: c.writers[d.Writer], Seq: d.Seq}
	if d.IsPending() {
		w.Seq = 0
	}
	return w
}

// unless returns d, or nothing if it is the version's own dot.
func (c *encoder) unless(d, own Dot) *wireDot {
	if d == own {
		return nil
	}
	w := c.dot(d)
	return &w
}

// top returns where pages are, nil for a digest and if there are none.
func (c *encoder) top(r Ref) *wireRef {
	if c.local == nil || r.IsZero() {
		return nil
	}
	w := c.packs.ref(c.local(r))
	return &w
}

func (c *encoder) entry(s *standing) wireEntry {
	w := wireEntry{ID: s.e.id, Digest: s.digest, Gone: s.gone, Top: c.top(s.top)}
	if s.table != nil {
		w.Table, w.TableSum = c.top(s.table.ref), s.table.digest
	}
	for i := range s.e.versions {
		w.Versions = append(w.Versions, c.version(&s.e.versions[i], s.dir))
	}
	links, data := s.e.dead()
	for _, l := range links {
		d := c.dot(l.Dot)
		w.Links = append(w.Links, wireLink{Writer: d.Writer, Seq: d.Seq, Number: l.n})
	}
	for _, d := range data {
		w.Data = append(w.Data, c.dot(d))
	}
	return w
}

// dead returns the links and data in e's versions that are not live.
func (e *entry) dead() (links []link, data []Dot) {
	if len(e.versions) == 1 {
		v := &e.versions[0] // the usual case: all are live
		if len(e.links) == len(v.places) && (v.data == nil) == (len(e.data) == 0) {
			return nil, nil
		}
	}
	for i := range e.versions {
		v := &e.versions[i]
		for _, p := range v.places {
			if _, ok := slices.BinarySearchFunc(e.links, p.link, link.compare); !ok {
				links = append(links, p.link)
			}
		}
		if v.data != nil && !e.isLive(v.data.dot) {
			data = append(data, v.data.dot)
		}
	}
	slices.SortFunc(links, link.compare)
	slices.SortFunc(data, Dot.compare)
	return slices.Compact(links), slices.Compact(data)
}

func (c *encoder) version(v *version, dir Identity) wireVersion {
	a := &v.attr
	w := wireVersion{
		Dot: c.dot(v.dot), Kind: uint8(v.kind),
		Mode: a.Mode, UID: a.UID, GID: a.GID, Atime: a.Atime, Ctime: a.Ctime, Btime: a.Btime,
		Stamp: c.unless(v.stamp, v.dot), Mtime: v.mtime, Mstamp: c.unless(v.mstamp, v.dot), Extra: v.extra,
	}
	for _, name := range slices.Sorted(maps.Keys(a.Xattrs)) {
		w.Xattrs = append(w.Xattrs, wireXattr{Name: []byte(name), Value: a.Xattrs[name]})
	}
	for _, p := range v.places {
		q := wirePlace{Link: c.unless(p.link.Dot, v.dot), Number: p.link.n, Name: []byte(p.name), Stamp: c.unless(p.stamp, v.dot)}
		if p.dir != dir {
			q.Dir = p.dir[:]
		}
		w.Places = append(w.Places, q)
	}
	if v.data != nil {
		w.Data = c.data(v.data, v.dot)
	}
	return w
}

func (c *encoder) data(d *datum, own Dot) *wireData {
	w := &wireData{Dot: c.unless(d.dot, own)}
	if c.local == nil {
		return w
	}
	w.Copy, w.Level = d.copy, d.content.Level
	if d.content.Inline != nil {
		w.Inline = d.content.Inline
		return w
	}
	w.Size = d.content.Size
	for _, r := range d.content.Refs {
		if !r.IsZero() {
			r = c.local(r)
		}
		w.Refs = append(w.Refs, c.packs.ref(r))
	}
	return w
}

// encodeIndex returns the index node of list, of which level says how many
// indexes are below.
func encodeIndex(level int, list []child, local func(Ref) Ref) ([]byte, error) {
	refs := make([]Ref, len(list))
	for i, c := range list {
		refs[i] = local(c.ref)
	}
	packs := newPackTable(refs)
	w := wireIndex{Level: uint8(level), Packs: packs.list}
	for i, c := range list {
		w.Children = append(w.Children, wireChild{Bits: uint8(c.bits), Prefix: c.prefix, Ref: packs.ref(refs[i]), Digest: c.digest})
	}
	return marshal(kindIndex, w)
}

// indexDigest returns the digest of an index: of its level and, for each child,
// bits, prefix and digest.
func indexDigest(level int, list []child) crypto.Hash {
	b := append([]byte("satchel index v1"), byte(level))
	for _, c := range list {
		b = append(b, byte(c.bits))
		for i := range 8 {
			b = append(b, byte(c.prefix>>(56-8*i)))
		}
		b = append(b, c.digest[:]...)
	}
	return crypto.Sum(b)
}
