package tree

import (
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"slices"
	"syscall"
	"testing"
)

// TestRestoreIsTheSame makes changes at random on trees with and without
// conflicts, takes batches of them, and restores these on the last commit: what
// the next commit makes of both is the same.
func TestRestoreIsTheSame(t *testing.T) {
	var restored, gone, moved, linked int
	for seed := range uint64(300) {
		r := rand.New(rand.NewPCG(seed, 7))
		p := pens(t, 2)
		a, b := p[0], p[1]
		a.limit, a.width = 700, 2
		for range r.IntN(40) {
			a.random(r)
			b.random(r)
		}
		a.flush()
		b.flush()
		a.join(b) // conflict copies, unions
		a.random(r)
		a.chmodRoot()
		a.flush()
		base := a.head
		var batches [][]byte
		for range 1 + r.IntN(4) {
			for range r.IntN(30) {
				a.random(r)
			}
			before := a.Take()
			if before == nil {
				continue
			}
			if r.IntN(4) == 0 { // one that could not be written
				a.PutBack(before)
				a.random(r)
				before = a.Take()
			}
			enc, err := before.Encode(func(x Ref) Ref { return x })
			if err != nil {
				t.Fatal(err)
			}
			batches = append(batches, enc)
			gone += len(before.gone)
			for id := range before.fresh {
				if n := a.nodes[id]; n != nil && n.linked != nil {
					linked++
				}
				if n := a.nodes[id]; n != nil && len(before.fresh[id]) > 0 && len(n.spots) > 0 && before.fresh[id][0] != n.spots[0].dir.id {
					moved++
				}
			}
		}
		vec := base.Vector.clone()
		vec.merge(Vector{base.Writer: {base.Name, base.Seq, base.Hash}})
		q, err := Load(a.self, a.name, vec, base.Root, base.Digest, a.s.load)
		if err != nil {
			t.Fatal(err)
		}
		q.limit, q.width = a.limit, a.width
		if r.IntN(2) == 0 {
			a.s.away = make(map[Ref]bool)
			for ref := range a.s.nodes {
				a.s.away[ref] = true
			}
		}
		for _, enc := range batches {
			retry(t, func() error { _, err := q.Restore(enc); return err })
			restored++
		}
		a.s.away = nil
		if q.Take() != nil {
			t.Fatalf("seed %d: what was restored is taken again", seed)
		}
		if got, want := paths(t, q), paths(t, a.Tree); !maps.Equal(got, want) {
			t.Fatalf("seed %d: shows\n%v, want\n%v", seed, got, want)
		}
		if len(batches) > 0 != q.Dirty() {
			t.Fatalf("seed %d: %d batches, dirty %v", seed, len(batches), q.Dirty())
		}
		seq := base.Seq + 10
		_, want, err := a.Flush(seq, a.s)
		if err != nil {
			t.Fatal(err)
		}
		if _, got, err := q.Flush(seq, a.s); err != nil || got != want {
			t.Fatalf("seed %d: digest %v, %v; want %v", seed, got, err, want)
		}
	}
	if restored < 100 || gone < 100 || moved < 100 || linked < 100 {
		t.Errorf("%d batches, %d gone, %d moved, %d linked: that tests nothing", restored, gone, moved, linked)
	}
}

func (p *pen) chmodRoot() {
	p.t.Helper()
	p.must(p.SetAttr(Root, func(a *Attr) { a.Mode ^= 1 }))
}

// random changes something in a directory chosen at random, or tries to.
func (p *pen) random(r *rand.Rand) {
	p.t.Helper()
	dirs := []Identity{Root}
	var files []Info
	for i := 0; i < len(dirs); i++ {
		list, err := p.List(dirs[i])
		if err != nil {
			p.t.Fatal(err)
		}
		for _, in := range list {
			if in.Kind == Dir {
				dirs = append(dirs, in.ID)
			}
			files = append(files, in)
		}
	}
	*p.ids++
	now := int64(*p.ids)
	dir := dirs[r.IntN(len(dirs))]
	name := string(rune('a' + r.IntN(5)))
	var err error
	if len(files) == 0 || r.IntN(3) == 0 {
		_, err = p.Create(dir, name, Spec{ID: ident(*p.ids), Kind: Kind(r.IntN(2)), Now: now})
	} else {
		f := files[r.IntN(len(files))]
		switch r.IntN(7) {
		case 0:
			_, err = p.SetAttr(f.ID, func(a *Attr) { a.Ctime = now })
		case 1:
			if f.Kind == File {
				_, err = p.SetData(f, f.DataDot, InlineContent(fmt.Append(nil, now)), now, now)
			}
		case 2:
			_, err = p.Remove(f.Dir, f.Name, f.Kind == Dir, now)
		case 3:
			_, _, err = p.Rename(f.Dir, f.Name, dir, name, false, now)
		case 4:
			err = p.RemoveAll(f.Dir, f.Name, now)
		case 5, 6:
			_, err = p.Link(f.ID, dir, name, now)
		}
	}
	var no syscall.Errno
	if err != nil && !errors.As(err, &no) && !errors.Is(err, os.ErrExist) {
		p.t.Fatal(err)
	}
}

// paths returns what a tree shows.
func paths(t *testing.T, tr *Tree) map[string]string {
	t.Helper()
	out := make(map[string]string)
	var walk func(dir Identity, above string)
	walk = func(dir Identity, above string) {
		list, err := tr.List(dir)
		if err != nil {
			t.Fatal(err)
		}
		for _, in := range list {
			at := above + "/" + in.Name
			if in.Kind == Dir {
				out[at] = fmt.Sprint(in.ID, in.Mode) // times of removals are not stored
				walk(in.ID, at)
				continue
			}
			out[at] = fmt.Sprint(in.ID, in.Kind, in.Mode, in.Ctime, in.Mtime, string(in.Content.Inline))
		}
	}
	walk(Root, "")
	return out
}

// TestRestoreOfALink gives files, of which little is in memory, their second name.
func TestRestoreOfALink(t *testing.T) {
	a := pens(t, 1)[0]
	a.limit, a.width = 700, 2
	d, e := a.mkdir(Root, "d"), a.mkdir(Root, "e")
	var plain []Info
	for i := range 20 {
		f := a.create(d.ID, fmt.Sprint("f", i), "text")
		a.link(f.ID, d.ID, fmt.Sprint("g", i))
		plain = append(plain, a.create(e.ID, fmt.Sprint("p", i), "text"))
	}
	a.flush()
	b, c := a.again(), a.again()
	for _, q := range []*pen{b, c} {
		q.limit, q.width = 700, 2
	}
	b.must(b.Lookup(Root, "e"))
	for _, f := range plain {
		b.must(b.Lookup(e.ID, f.Name))
		b.link(f.ID, e.ID, f.Name+" too")
	}
	enc, err := b.Take().Encode(func(r Ref) Ref { return r })
	if err != nil {
		t.Fatal(err)
	}
	c.missed(func() error { _, err := c.Restore(enc); return err })
	b.flush()
	c.flush()
	if b.Digest() != c.Digest() {
		t.Error("what was restored is not what was done")
	}
	c.wantAnew()
}

func TestBatchWithoutChanges(t *testing.T) {
	a := pens(t, 1)[0]
	d := a.mkdir(Root, "d")
	f := a.create(d.ID, "f", "text")
	if a.Take() == nil || a.Take() != nil {
		t.Error("a batch is taken once")
	}
	a.must(a.Remove(d.ID, "f", false, 9))
	b := a.Take()
	if b == nil || !slices.Contains(b.gone, f.ID) {
		t.Errorf("%+v", b)
	}
	a.create(d.ID, "g", "")
	a.flush()
	if a.Take() != nil {
		t.Error("what is committed is in a batch")
	}
}

func FuzzRestore(f *testing.F) {
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, b []byte) {
		s := newStore()
		tr := New(writer(0), "w0.id", s.load)
		if _, err := tr.Create(Root, "d", Spec{ID: ident(1), Kind: Dir}); err != nil {
			t.Fatal(err)
		}
		if _, err := tr.Restore(b); err == nil {
			paths(t, tr)
		}
	})
}
