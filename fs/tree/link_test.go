package tree

import (
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"syscall"
	"testing"

	"satchel/crypto"
)

func (p *pen) link(id, dir Identity, name string) Info {
	p.t.Helper()
	*p.ids++
	return p.must(p.Link(id, dir, name, int64(*p.ids)))
}

// again loads the last head into a fresh tree.
func (p *pen) again() *pen {
	p.t.Helper()
	vec := p.head.Vector.clone()
	vec.merge(Vector{p.head.Writer: {p.head.Name, p.head.Seq, p.head.Hash}})
	t, err := Load(p.self, p.name, vec, p.head.Root, p.head.Digest, p.s.load)
	if err != nil {
		p.t.Fatal(err)
	}
	q := *p
	q.Tree = t
	return &q
}

// missed makes all stored nodes missing once, runs f until it misses nothing,
// and returns how many were asked for.
func (p *pen) missed(f func() error) int {
	p.t.Helper()
	p.s.away, p.s.missed = make(map[Ref]bool), 0
	for r := range p.s.nodes {
		p.s.away[r] = true
	}
	retry(p.t, f)
	p.s.away = nil
	return p.s.missed
}

func (p *pen) wantLinks(dir Identity, name string, want uint32) Info {
	p.t.Helper()
	in := p.must(p.Lookup(dir, name))
	if in.Links != want {
		p.t.Errorf("%s has %d links, want %d", name, in.Links, want)
	}
	return in
}

func TestLinks(t *testing.T) {
	a := pens(t, 1)[0]
	d := a.mkdir(Root, "d")
	f := a.create(d.ID, "f", "text")
	if in := a.link(f.ID, Root, "g"); in.ID != f.ID || in.Name != "g" || in.Links != 2 {
		t.Errorf("%+v", in)
	}
	a.flush()
	a = a.again()
	a.wantLinks(Root, "g", 2)
	a.wantLinks(d.ID, "f", 2)
	a.must(a.SetAttr(f.ID, func(x *Attr) { x.Mode = 0o640 }))
	g := a.must(a.Lookup(Root, "g"))
	a.must(a.SetData(g, g.DataDot, InlineContent([]byte("more")), 9, 9))
	if in := a.must(a.Lookup(d.ID, "f")); in.Mode != 0o640 || string(in.Content.Inline) != "more" {
		t.Errorf("under the other name: %+v", in)
	}

	// One name over another of the same file is nothing, unless that must not be.
	if _, replaced, err := a.Rename(d.ID, "f", Root, "g", false, 9); err != nil || replaced != nil {
		t.Errorf("%v, %v", replaced, err)
	}
	if _, _, err := a.Rename(d.ID, "f", Root, "g", true, 9); !errors.Is(err, os.ErrExist) {
		t.Error(err)
	}
	a.wantLinks(d.ID, "f", 2)

	// A file over one of its names leaves the other.
	a.create(Root, "h", "new")
	_, replaced, err := a.Rename(Root, "h", Root, "g", false, 9)
	if err != nil || replaced == nil || replaced.ID != f.ID || replaced.Links != 1 {
		t.Errorf("%+v, %v", replaced, err)
	}
	if in := a.wantLinks(d.ID, "f", 1); in.ID != f.ID || string(in.Content.Inline) != "more" {
		t.Errorf("%+v", in)
	}
	if n := a.nodes[f.ID]; n.linked != nil {
		t.Error("a file with one name is in the table")
	}
	if in := a.must(a.Remove(d.ID, "f", false, 9)); in.Links != 0 {
		t.Errorf("%d links left", in.Links)
	}
	a.flush()
	if top := a.table.top; !top.IsZero() {
		t.Error("a table without an entry")
	}
}

func TestTooManyLinks(t *testing.T) {
	a := pens(t, 1)[0]
	f := a.create(Root, "f", "text")
	n := a.nodes[f.ID]
	a.touch(n, func(v *version) {
		for i := range MaxLinks - 2 {
			v.link(place{dir: Root, name: fmt.Sprint("l", i), stamp: a.pending()}, n.e.links)
		}
	})
	a.stand(n, a.placesOf(n))
	a.link(f.ID, Root, "one")
	if _, err := a.Link(f.ID, Root, "one more", 9); !errors.Is(err, syscall.EMLINK) {
		t.Error(err)
	}
	a.flush()
	a = a.again()
	a.wantLinks(Root, "f", MaxLinks)
	if err := a.missed(func() error { _, err := a.SetAttr(f.ID, func(x *Attr) { x.Mode = 1 }); return err }); err != 0 {
		t.Errorf("%d nodes were read", err)
	}
}

// TestLongNames gives a file as many long names as it may have, has several
// change it at once, and writes what that makes.
func TestLongNames(t *testing.T) {
	p := pens(t, 4)
	a := p[0]
	f := a.create(Root, "f", "text")
	for i := 0; ; i++ {
		name := fmt.Sprint(i, strings.Repeat("n", 250))
		if _, err := a.Link(f.ID, Root, name, 9); errors.Is(err, syscall.EMLINK) && i > 300 {
			break
		} else if err != nil {
			t.Fatal(i, err)
		}
	}
	a.flush()
	for _, q := range p[1:] {
		q.join(a)
		g := q.must(q.Lookup(Root, "f"))
		q.must(q.SetData(g, g.DataDot, InlineContent(fmt.Append(nil, q.i)), 9, 9))
		q.must(q.SetAttr(f.ID, func(x *Attr) { x.Xattrs = map[string][]byte{"user.x": make([]byte, 60<<10)} }))
		q.flush()
	}
	for _, q := range p[1:] {
		a.join(q)
	}
	a.create(Root, "new", "")
	a.flush()
	if list := files(t, a.again().Tree); len(list) < 300 {
		t.Errorf("%d names", len(list))
	}
}

// TestNamesFarApart changes a file of which one name is deep in a tree that is
// not in memory: the way there is known, and nothing else is read.
func TestNamesFarApart(t *testing.T) {
	for _, moved := range []bool{false, true} {
		a := pens(t, 1)[0]
		var deep []Identity
		for i := range 30 {
			dir := a.mkdir(Root, fmt.Sprint("d", i))
			for j := range 5 {
				dir = a.mkdir(dir.ID, fmt.Sprint("e", j))
			}
			deep = append(deep, dir.ID)
		}
		f := a.create(deep[7], "f", "text")
		a.link(f.ID, Root, "g")
		a.flush()
		if moved {
			// The page of the table still says where it was.
			if _, _, err := a.Rename(a.must(a.Lookup(Root, "d7")).ID, "e0", a.must(a.Lookup(Root, "d3")).ID, "x", false, 9); err != nil {
				t.Fatal(err)
			}
			a.flush()
		}
		a = a.again()
		a.must(a.Lookup(Root, "g"))
		a.wantLinks(Root, "g", 2)
		read := a.missed(func() error { _, err := a.Remove(Root, "g", false, 9); return err })
		if (read > 6) != moved {
			t.Errorf("moved %v: %d nodes were read", moved, read)
		}
		if n := a.nodes[f.ID]; n == nil || n.linked != nil {
			t.Error("the file is not where it is left")
		}
		a.wantLinks(deep[7], "f", 1)
	}
}

// TestTableIsReadByPage lists one of many directories with hard links, and
// changes a file, without reading the table whole.
func TestTableIsReadByPage(t *testing.T) {
	a := pens(t, 1)[0]
	a.limit, a.width = 2000, 4
	one, two := a.mkdir(Root, "one"), a.mkdir(Root, "two")
	var last Info
	for i := range 200 {
		last = a.create(one.ID, fmt.Sprint("f", i), "text")
		a.link(last.ID, two.ID, fmt.Sprint("g", i))
	}
	three := a.mkdir(Root, "three")
	a.link(last.ID, three.ID, "h")
	a.flush()
	pages := len(a.table.pages)
	inMemory := func(a *pen) (c int) {
		for _, p := range a.table.pages {
			if !p.away {
				c++
			}
		}
		return c
	}
	a = a.again()
	a.limit, a.width = 2000, 4
	a.must(a.Lookup(Root, "three"))
	if a.must(a.Lookup(three.ID, "h")); inMemory(a) != 1 || pages < 20 {
		t.Fatalf("%d of %d pages were read", inMemory(a), pages)
	}
	if list, err := a.List(two.ID); err != nil || len(list) != 200 || inMemory(a) != pages {
		t.Fatalf("%d names, %v, %d pages", len(list), err, inMemory(a))
	}
	a.Evict(func(Identity) bool { return false })
	if inMemory(a) != 0 || len(a.nodes) != 1 {
		t.Errorf("%d pages and %d nodes are left", inMemory(a), len(a.nodes))
	}
	if in := a.must(a.Lookup(three.ID, "h")); in.ID != last.ID || in.Links != 3 {
		t.Errorf("%+v", in)
	}
}

func TestGraftKeepsLinks(t *testing.T) {
	p := pens(t, 2)
	a, b := p[0], p[1]
	d := a.mkdir(Root, "d")
	e := a.mkdir(d.ID, "e")
	f := a.create(d.ID, "f", "text")
	a.link(f.ID, e.ID, "g")
	a.link(f.ID, d.ID, "h")
	sub, err := a.Export(Root, "d")
	if err != nil || sub.Outside() {
		t.Fatal(err, "outside")
	}
	if part, err := a.Export(d.ID, "e"); err != nil || !part.Outside() {
		t.Error("a name elsewhere is not told of", err)
	}
	count := 0
	if err := b.Prepare(sub, func(Identity) Identity { count++; return ident(1000 + count) }); err != nil {
		t.Fatal(err)
	}
	x := b.must(b.Graft(Root, "x", sub, 9))
	in := b.wantLinks(x.ID, "f", 3)
	if o := b.wantLinks(b.must(b.Lookup(x.ID, "e")).ID, "g", 3); o.ID != in.ID || in.ID == f.ID || count != 3 {
		t.Errorf("%v, %v, %d identities", in.ID, o.ID, count)
	}
	b.flush()
	if err := b.again().RemoveAll(Root, "x", 9); err != nil {
		t.Error(err)
	}
}

// TestLinksAreTold joins what another did to the names of a file.
func TestLinksAreTold(t *testing.T) {
	p := pens(t, 2)
	a, b := p[0], p[1]
	d := a.mkdir(Root, "d")
	f := a.create(Root, "f", "text")
	a.flush()
	b.join(a)
	files(t, b.Tree)
	told := func(changes []Change, old, now string) {
		t.Helper()
		name := func(i *Info) string {
			if i == nil {
				return ""
			}
			return fmt.Sprint(i.Name, i.Links)
		}
		if !slices.ContainsFunc(changes, func(c Change) bool { return c.ID == f.ID && name(c.Old) == old && name(c.New) == now }) {
			t.Errorf("not told of %s, now %s: %+v", old, now, changes)
		}
	}
	a.link(f.ID, d.ID, "g")
	a.flush()
	c := b.join(a)
	told(c, "f1", "f2")
	told(c, "f1", "g2")
	if b.Root() != a.Root() || b.Digest() != a.Digest() {
		t.Error("what the other has stored is not taken over")
	}
	a.must(a.Remove(Root, "f", false, 9))
	a.flush()
	c = b.join(a)
	told(c, "g2", "g1")
	told(c, "f2", "g1")
	a.must(a.Remove(d.ID, "g", false, 9))
	a.flush()
	told(b.join(a), "g1", "")
}

// TestDirectoryOfANameIsGone has one remove the directory in which the other
// makes a name without touching it; the other name stays, and the entry says so.
func TestDirectoryOfANameIsGone(t *testing.T) {
	p := pens(t, 2)
	a, b := p[0], p[1]
	d, e := a.mkdir(Root, "d"), a.mkdir(Root, "e")
	f := a.create(d.ID, "f", "text")
	a.link(f.ID, e.ID, "g")
	a.link(f.ID, Root, "h")
	a.flush()
	b.join(a)
	files(t, b.Tree)
	if err := b.RemoveAll(Root, "e", 9); err != nil {
		t.Fatal(err)
	}
	b.must(b.Remove(Root, "h", false, 9))
	b.must(b.Remove(d.ID, "f", false, 9))
	b.flush()
	a.must(a.SetAttr(f.ID, func(x *Attr) { x.Mode = 0o600 }))
	a.flush()
	a.join(b) // the chmod had not been seen: all names are back, but for one
	a.must(a.Remove(Root, "h", false, 9))
	a.mkdir(Root, "z")
	a.flush()
	n := a.nodes[f.ID]
	if gone := n.e.gone(n.linked.dirs); len(gone) != 1 || gone[0] != e.ID {
		t.Fatalf("gone: %v", gone)
	}
	a = a.again()
	a.must(a.Lookup(Root, "d"))
	if in := a.wantLinks(d.ID, "f", 1); in.Mode != 0o600 {
		t.Errorf("%+v", in)
	}
	b.join(a)
	b.wantLinks(d.ID, "f", 1)
	if in := a.must(a.Remove(d.ID, "f", false, 9)); in.Links != 0 || a.nodes[f.ID] != nil {
		t.Errorf("%+v", in)
	}
}

// TestDirectoryOfANameComesBack has a third keep the directory alive, so that it
// is back when his head is joined: the name in it is shown again, though the
// file is what it was.
func TestDirectoryOfANameComesBack(t *testing.T) {
	p := pens(t, 3)
	a, b, c := p[0], p[1], p[2]
	e := a.mkdir(Root, "e")
	f := a.create(Root, "f", "text")
	a.link(f.ID, e.ID, "g")
	a.link(f.ID, Root, "h")
	a.flush()
	b.join(a)
	c.join(a)
	files(t, b.Tree)
	files(t, c.Tree)
	if err := b.RemoveAll(Root, "e", 9); err != nil {
		t.Fatal(err)
	}
	b.must(b.Remove(Root, "h", false, 9))
	b.must(b.Remove(Root, "f", false, 9))
	b.flush()
	a.must(a.SetAttr(f.ID, func(x *Attr) { x.Mode = 0o600 }))
	a.join(b)
	a.flush()
	a.wantLinks(Root, "f", 2)
	c.create(e.ID, "x", "alive")
	c.flush()
	a.join(c)
	a.wantLinks(Root, "f", 3)
	a.wantLinks(e.ID, "g", 3)
	a.create(Root, "new", "")
	a.flush()
	a.wantAnew()
	a = a.again()
	a.must(a.Lookup(Root, "e"))
	a.wantLinks(e.ID, "g", 3)
}

// wantAnew checks that the pages are those of a tree that is written anew.
func (p *pen) wantAnew() {
	p.t.Helper()
	fresh := New(p.self, p.name, p.s.load)
	fresh.limit, fresh.width = p.limit, p.width
	whole := p.again()
	files(p.t, whole.Tree)
	adopt(fresh, state{snapshot(whole.Tree).ents, Vector{}})
	if _, d, err := fresh.Flush(maxSeq, newStore()); err != nil || d != p.head.Digest {
		p.t.Fatalf("other pages than those of a tree written anew (%v)", err)
	}
}

// TestPlaceInADirectoryThatWasNotRead has a removal take the newer of two places
// of a file: the older one is in a directory that nothing else led to.
func TestPlaceInADirectoryThatWasNotRead(t *testing.T) {
	p := pens(t, 4)
	a, b, c, d := p[0], p[1], p[2], p[3]
	x := a.mkdir(Root, "x")
	y := a.mkdir(x.ID, "y")
	f := a.create(y.ID, "f", "text")
	a.flush()
	b.join(a)
	files(t, b.Tree)
	if _, _, err := a.Rename(y.ID, "f", Root, "moved", false, 9); err != nil {
		t.Fatal(err)
	}
	a.flush()
	b.must(b.SetAttr(f.ID, func(x *Attr) { x.Mode = 0o600 }))
	b.flush()
	d.join(a)
	d.must(d.Remove(Root, "moved", false, 9))
	d.flush()
	c.join(a)
	c.join(b)
	c.create(Root, "new", "")
	c.flush()
	c = c.again()
	c.must(c.Lookup(Root, "moved"))
	c.missed(func() error { _, err := c.Join(d.head, c.s.load); return err })
	if in, err := c.Lookup(y.ID, "f"); err != nil || in.Mode != 0o600 {
		t.Errorf("%+v, %v; %v", in, err, slices.Collect(maps.Keys(files(t, c.Tree))))
	}
}

// TestCopyWithANameElsewhere removes a copy of which another, that stands under
// another name, would take the number: that becomes real under all its names.
func TestCopyWithANameElsewhere(t *testing.T) {
	p := pens(t, 2)
	const other = "f (conflict from z.id, 2000-01-01 00.00)"
	for i, q := range p {
		q.Tree = New(writer(i), "w0.id", q.s.load) // one who has two devices
		f, g := q.create(Root, "f", fmt.Sprint("f", i)), q.create(Root, other, fmt.Sprint("other", i))
		if i == 0 {
			q.link(f.ID, q.mkdir(Root, "d").ID, "x")
			q.link(g.ID, q.mkdir(Root, "e").ID, "y")
		}
		q.flush()
	}
	a := p[0]
	a.join(p[1])
	a.create(Root, "new", "")
	a.flush()
	a = a.again()
	a.must(a.Lookup(Root, "f"))
	two := copyName("f", "w0.id", 1, 2)
	if in := a.must(a.Lookup(Root, two)); in.Links != 2 || !in.Conflict {
		t.Fatalf("%+v", in)
	}
	a.missed(func() error { _, err := a.Remove(Root, copyName("f", "w0.id", 1, 1), false, 9); return err })
	if in := a.must(a.Lookup(Root, two)); in.Links != 2 || in.Conflict {
		t.Errorf("%+v", in)
	}
}

// TestPagesOfAGrowingTable makes and removes names at random, on a tree of which
// little is in memory.
func TestPagesOfAGrowingTable(t *testing.T) {
	r := rand.New(rand.NewPCG(9, 9))
	a := pens(t, 1)[0]
	a.limit, a.width = 1500, 3
	var dirs []Identity
	for i := range 40 {
		dirs = append(dirs, a.mkdir(Root, fmt.Sprint("d", i)).ID)
	}
	type name struct {
		dir  int
		name string
	}
	var names []name
	for round := range 200 {
		for range r.IntN(6) {
			*a.ids++
			n := name{r.IntN(40), fmt.Sprint("n", *a.ids)}
			a.must(a.Lookup(Root, fmt.Sprint("d", n.dir)))
			var err error
			switch {
			case len(names) == 0 || r.IntN(4) == 0:
				_, err = a.Create(dirs[n.dir], n.name, Spec{ID: ident(*a.ids)})
				names = append(names, n)
			case r.IntN(2) == 0 && round%40 < 25:
				o := names[r.IntN(len(names))]
				a.must(a.Lookup(Root, fmt.Sprint("d", o.dir)))
				in := a.must(a.Lookup(dirs[o.dir], o.name))
				_, err = a.Link(in.ID, dirs[n.dir], n.name, 1)
				names = append(names, n)
			default:
				i := r.IntN(len(names))
				a.must(a.Lookup(Root, fmt.Sprint("d", names[i].dir)))
				_, err = a.Remove(dirs[names[i].dir], names[i].name, false, 1)
				names = slices.Delete(names, i, i+1)
			}
			if err != nil {
				t.Fatal(err)
			}
		}
		seq := a.seq + 1
		vec := a.Vector()
		var root Ref
		var digest crypto.Hash
		a.missed(func() (err error) { root, digest, err = a.Flush(seq, a.s); return err })
		a.seq, a.head = seq, Head{Writer: a.self, Name: a.name, Seq: seq, Vector: vec, Root: root, Digest: digest}
		a.wantAnew()
		if got := files(t, a.again().Tree); len(got) != len(names)+40 {
			t.Fatalf("%d names, want %d", len(got), len(names)+40)
		}
		limit, width := a.limit, a.width
		a = a.again()
		a.limit, a.width = limit, width
	}
}

// A file that stands in the root since its directory was removed elsewhere keeps that
// name when it gets another one.
func TestLinkOfAStray(t *testing.T) {
	p := pens(t, 2)
	a, b := p[0], p[1]
	d := a.mkdir(Root, "d")
	f := a.create(d.ID, "f", "text")
	a.flush()
	b.join(a)
	b.must(b.Lookup(b.must(b.Lookup(Root, "d")).ID, "f"))
	b.must(b.SetAttr(f.ID, func(x *Attr) { x.Mode = 0o600 }))
	b.flush()
	if err := a.RemoveAll(Root, "d", 9); err != nil {
		t.Fatal(err)
	}
	a.flush()
	a.join(b)
	a.link(f.ID, Root, "g")
	a.wantLinks(Root, "f", 2)
	a.wantLinks(Root, "g", 2)
	a.flush()
	b.join(a)
	b.wantLinks(Root, "f", 2)
	b.wantLinks(Root, "g", 2)
}
