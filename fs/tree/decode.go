package tree

import (
	"errors"
	"fmt"
	"slices"

	"satchel/crypto"
	"satchel/crypto/canon"
)

// ErrFormat reports a node that is not what a writer of this format makes.
var ErrFormat = errors.New("not a node of a tree")

func badf(format string, args ...any) error {
	return fmt.Errorf("%w: %s", ErrFormat, fmt.Sprintf(format, args...))
}

const (
	maxVersions = 1024    // of an entry: more than that many devices are no volume
	maxPlaces   = 1 << 14 // of a version: more than maxTabled has room for
	maxOwner    = 64      // bytes of a pack's owner's name
)

// A decoder turns a page into entries. Every number in it is checked against
// the page's tables.
type decoder struct {
	at      Ref // of the node: owner and pack of what is in the same pack
	writers []crypto.DeviceID
	packs   []wirePack
	pending bool  // seq 0 is the pending one
	err     error // the first
}

func (d *decoder) fail(format string, args ...any) {
	if d.err == nil {
		d.err = badf(format, args...)
	}
}

// unmarshal decodes a node of the given kind.
func unmarshal(kind byte, b []byte, v any) error {
	if len(b) == 0 || len(b) > maxNode {
		return badf("%d bytes", len(b))
	}
	if b[0] != kind {
		return badf("kind %d, not %d", b[0], kind)
	}
	if err := canon.Unmarshal(b[1:], v); err != nil {
		return fmt.Errorf("%w: %w", ErrFormat, err)
	}
	return nil
}

// decodePage decodes the page or root node that was read at ref. dir is the
// directory whose entries are in it, nowhere for the table.
func decodePage(kind byte, b []byte, at Ref, dir Identity) (leaf, error) {
	var p wirePage
	if err := unmarshal(kind, b, &p); err != nil {
		return leaf{}, err
	}
	d := &decoder{at: at, writers: p.Writers, packs: p.Packs}
	d.checkPacks()
	l := leaf{list: make([]standing, 0, len(p.Entries))}
	for i := range p.Entries {
		l.list = append(l.list, d.entry(&p.Entries[i], dir))
	}
	for i := range p.Stubs {
		l.stubs = append(l.stubs, d.stub(&p.Stubs[i]))
	}
	for _, w := range p.Ways {
		l.ways = append(l.ways, way{w.Dir, w.Up})
	}
	switch {
	case kind == kindRoot || dir == nowhere:
		if len(l.stubs) > 0 {
			d.fail("names where there are none")
		}
	default:
		for i := 1; i < len(l.stubs); i++ {
			if l.stubs[i-1].compare(l.stubs[i]) >= 0 {
				d.fail("names out of order")
			}
		}
	}
	if len(l.ways) > 0 && dir != nowhere || len(l.ways) > maxWays {
		d.fail("%d ways", len(l.ways))
	}
	if d.err != nil {
		return leaf{}, d.err
	}
	return l, nil
}

func (d *decoder) stub(w *wireStub) stub {
	s := stub{string(w.Name), w.ID}
	if err := checkName(s.name); err != nil {
		d.fail("%q: %v", s.name, err)
	}
	return s
}

func (d *decoder) checkPacks() {
	for _, p := range d.packs {
		if p.Owner == "" || len(p.Owner) > maxOwner || len(p.ID) != 0 && len(p.ID) != 32 {
			d.fail("pack of %q", p.Owner)
		}
	}
}

func (d *decoder) ref(w *wireRef) (r Ref) {
	if w.Len == 0 {
		if w.Pack != 0 || w.Off != 0 || len(w.Hash) != 0 || len(w.Key) != 0 {
			d.fail("hole with a place")
		}
		return Ref{}
	}
	if int64(w.Pack) >= int64(len(d.packs)) || len(w.Hash) != 32 || len(w.Key) != 32 || w.Len > 16<<20 {
		d.fail("ref to pack %d, %d bytes", w.Pack, w.Len)
		return Ref{}
	}
	p := d.packs[w.Pack]
	r = Ref{Owner: p.Owner, Pack: d.at.Pack, Off: w.Off, Len: w.Len, Hash: crypto.Hash(w.Hash), Key: [32]byte(w.Key)}
	if len(p.ID) == 32 {
		r.Pack = [32]byte(p.ID)
	} else if p.Owner != d.at.Owner {
		d.fail("pack of %q in a pack of %q", p.Owner, d.at.Owner)
	}
	return r
}

func (d *decoder) dot(w wireDot) Dot {
	if w.Seq == 0 && d.pending && int64(w.Writer) < int64(len(d.writers)) {
		return Dot{Pending, d.writers[w.Writer]}
	}
	if int64(w.Writer) >= int64(len(d.writers)) || w.Seq == 0 || w.Seq > maxSeq {
		d.fail("dot %d of writer %d", w.Seq, w.Writer)
		return Dot{}
	}
	return Dot{w.Seq, d.writers[w.Writer]}
}

func (d *decoder) or(w *wireDot, own Dot) Dot {
	if w == nil {
		return own
	}
	return d.dot(*w)
}

func (d *decoder) entry(w *wireEntry, dir Identity) standing {
	e := &entry{id: w.ID}
	if len(w.Versions) > maxVersions {
		d.fail("identity %v: %d versions", w.ID, len(w.Versions))
		return standing{e: e}
	}
	for i := range w.Versions {
		e.versions = append(e.versions, d.version(&w.Versions[i], dir))
	}
	if d.err == nil {
		d.check(e)
	}
	var links []link
	for _, l := range w.Links {
		links = append(links, link{d.dot(wireDot{Writer: l.Writer, Seq: l.Seq}), l.Number})
	}
	var data []Dot
	for _, x := range w.Data {
		data = append(data, d.dot(x))
	}
	if !slices.IsSortedFunc(links, link.compare) || !slices.IsSortedFunc(data, Dot.compare) {
		d.fail("identity %v: dead links or data out of order", e.id)
	}
	e.revive(links, data)
	s := standing{e: e, dir: dir, digest: w.Digest, gone: w.Gone}
	if w.Top != nil {
		s.top = d.ref(w.Top)
	}
	if s.top.IsZero() != (s.digest == crypto.Hash{}) || s.digest != (crypto.Hash{}) && d.err == nil && e.kind() != Dir {
		d.fail("identity %v: pages without a digest, a digest without pages, or pages of a file", e.id)
	}
	if w.Table != nil {
		s.table = &child{ref: d.ref(w.Table), digest: w.TableSum}
	}
	if (s.table == nil || s.table.ref.IsZero()) != (w.TableSum == crypto.Hash{}) || s.table != nil && e.id != Root {
		d.fail("identity %v: a table without a digest, a digest without a table, or a table of its own", e.id)
	}
	if d.err == nil && len(s.gone) > 0 {
		d.checkGone(&s)
	}
	return s
}

// checkGone checks the directories that an entry of the table says are gone.
func (d *decoder) checkGone(s *standing) {
	if s.dir != nowhere || !slices.IsSortedFunc(s.gone, compareID) {
		d.fail("identity %v: directories gone out of order, or outside of the table", s.e.id)
	}
	places := s.e.places()
	for i, dir := range s.gone {
		if dir == Root || i > 0 && s.gone[i-1] == dir || !slices.ContainsFunc(places, func(p place) bool { return p.dir == dir }) {
			d.fail("identity %v: directory %v can't be gone", s.e.id, dir)
		}
	}
}

// revive makes all links and data of e's versions live but the dead.
func (e *entry) revive(links []link, data []Dot) {
	for i := range e.versions {
		v := &e.versions[i]
		for _, p := range v.places {
			if _, dead := slices.BinarySearchFunc(links, p.link, link.compare); !dead {
				e.links = append(e.links, p.link)
			}
		}
		if v.data == nil {
			continue
		}
		if _, dead := slices.BinarySearchFunc(data, v.data.dot, Dot.compare); !dead {
			e.data = append(e.data, v.data.dot)
		}
	}
	slices.SortFunc(e.links, link.compare)
	slices.SortFunc(e.data, Dot.compare)
	e.links, e.data = slices.Compact(e.links), slices.Compact(e.data)
}

func (d *decoder) version(w *wireVersion, dir Identity) version {
	dot := d.dot(w.Dot)
	v := version{
		dot: dot, kind: Kind(w.Kind), stamp: d.or(w.Stamp, dot), mtime: w.Mtime, mstamp: d.or(w.Mstamp, dot),
		attr:  Attr{Mode: w.Mode, UID: w.UID, GID: w.GID, Atime: w.Atime, Ctime: w.Ctime, Btime: w.Btime},
		extra: w.Extra,
	}
	if w.Mode > 0o7777 {
		d.fail("mode %o", w.Mode)
	}
	for i, x := range w.Xattrs {
		if v.attr.Xattrs == nil {
			v.attr.Xattrs = make(map[string][]byte, len(w.Xattrs))
		}
		if len(x.Name) == 0 || len(x.Name) > 255 || i > 0 && string(w.Xattrs[i-1].Name) >= string(x.Name) {
			d.fail("extended attribute %q", x.Name)
		}
		v.attr.Xattrs[string(x.Name)] = x.Value
	}
	if err := checkXattrs(v.attr.Xattrs); err != nil {
		d.fail("%v", err)
	}
	if len(w.Places) > maxPlaces {
		d.fail("%d places", len(w.Places))
		return v
	}
	for i := range w.Places {
		v.places = append(v.places, d.place(&w.Places[i], dir, dot))
	}
	if w.Data != nil {
		v.data = d.data(w.Data, &v)
	}
	return v
}

func (d *decoder) place(w *wirePlace, dir Identity, own Dot) place {
	p := place{link: link{d.or(w.Link, own), w.Number}, dir: dir, name: string(w.Name), stamp: d.or(w.Stamp, own)}
	if err := checkName(p.name); err != nil {
		d.fail("%q: %v", p.name, err)
	}
	switch len(w.Dir) {
	case 0:
	case 16:
		if p.dir = Identity(w.Dir); p.dir == dir {
			d.fail("directory stated that is understood")
		}
	default:
		d.fail("directory of %d bytes", len(w.Dir))
	}
	return p
}

func (d *decoder) data(w *wireData, v *version) *datum {
	x := &datum{dot: d.or(w.Dot, v.dot), copy: w.Copy, content: Content{Size: w.Size, Level: w.Level}}
	c := &x.content
	for i := range w.Refs {
		c.Refs = append(c.Refs, d.ref(&w.Refs[i]))
	}
	if w.Size == 0 {
		c.Inline = append([]byte{}, w.Inline...)
		c.Size = uint64(len(c.Inline))
		if len(w.Refs) > 0 || w.Level > 0 {
			d.fail("refs without a size")
		}
	} else if len(w.Inline) > 0 {
		d.fail("content both here and elsewhere")
	}
	limit := MaxInline
	if v.kind == Symlink {
		limit = maxTarget
	}
	if len(c.Inline) > limit || v.kind != File && c.Inline == nil || v.kind == Symlink && len(c.Inline) == 0 {
		d.fail("%d bytes inline", len(c.Inline))
	}
	if err := c.check(); err != nil {
		d.fail("%v", err)
	}
	return x
}

// check checks what only the whole entry shows.
func (d *decoder) check(e *entry) {
	if len(e.versions) == 0 && e.id != Root {
		d.fail("identity %v without a version", e.id)
	}
	for i := range e.versions {
		v := &e.versions[i]
		switch {
		case v.kind >= kinds || v.kind != e.kind() || e.id == Root && v.kind != Dir:
			d.fail("identity %v: kind %d", e.id, v.kind)
		case (v.kind == Dir) != (v.data == nil):
			d.fail("identity %v: a file without content or a directory with it", e.id)
		case e.id == Root && len(v.places) != 0, e.id != Root && len(v.places) == 0, v.kind == Dir && len(v.places) > 1:
			d.fail("identity %v: %d places", e.id, len(v.places))
		case i > 0 && e.versions[i-1].dot.compare(v.dot) >= 0:
			d.fail("identity %v: versions out of order", e.id)
		}
		for j := 1; j < len(v.places); j++ {
			if v.places[j-1].link.compare(v.places[j].link) >= 0 {
				d.fail("identity %v: links out of order", e.id)
			}
		}
	}
}

// decodeIndex decodes the index node that was read at ref.
func decodeIndex(b []byte, at Ref) (level int, list []child, err error) {
	var w wireIndex
	if err := unmarshal(kindIndex, b, &w); err != nil {
		return 0, nil, err
	}
	d := &decoder{at: at, packs: w.Packs}
	d.checkPacks()
	if len(w.Children) == 0 || len(w.Children) > indexWidth || w.Level > maxIndex {
		d.fail("index of %d, level %d", len(w.Children), w.Level)
	}
	for i := range w.Children {
		x := &w.Children[i]
		c := child{prefix: x.Prefix, bits: int(x.Bits), ref: d.ref(&x.Ref), digest: x.Digest}
		if c.bits > 64 || c.prefix&^mask(c.bits) != 0 || c.ref.IsZero() {
			d.fail("child %d of an index", i)
		}
		if i > 0 {
			if p := list[i-1]; c.prefix <= p.prefix || (c.prefix^p.prefix)&mask(p.bits) == 0 {
				d.fail("children of an index overlap")
			}
		}
		list = append(list, c)
	}
	return int(w.Level), list, d.err
}
