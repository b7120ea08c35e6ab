package tree

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"
)

func TestPagesOfAGrowingDirectory(t *testing.T) {
	rnd := rand.New(rand.NewPCG(5, 6))
	s := newStore()
	tr := New(writer(0), "ada.id", s.load)
	tr.limit, tr.width = 1500, 3
	var names []string
	seq := uint64(0)
	for range 60 {
		for range rnd.IntN(40) {
			if len(names) > 0 && rnd.IntN(5) < 2 {
				i := rnd.IntN(len(names))
				if _, err := tr.Remove(Root, names[i], false, 1); err != nil {
					t.Fatal(err)
				}
				names = slices.Delete(names, i, i+1)
				continue
			}
			seq++
			name := fmt.Sprintf("name %d", seq)
			names = append(names, name)
			x := map[string][]byte{"user.a": make([]byte, rnd.IntN(900))}
			if _, err := tr.Create(Root, name, Spec{ID: ident(int(seq)), Xattrs: x}); err != nil {
				t.Fatal(err)
			}
		}
		if rnd.IntN(8) == 0 {
			for len(names) > 3 {
				if _, err := tr.Remove(Root, names[0], false, 1); err != nil {
					t.Fatal(err)
				}
				names = names[1:]
			}
		}
		seq++
		root, digest, err := tr.Flush(seq, s)
		if err != nil {
			t.Fatal(err)
		}
		// Written anew, from nothing, it has the same pages.
		fresh := New(writer(0), "ada.id", s.load)
		fresh.limit, fresh.width = tr.limit, tr.width
		adopt(fresh, state{snapshot(tr).ents, Vector{}})
		if _, d, err := fresh.Flush(maxSeq, newStore()); err != nil || d != digest {
			t.Fatalf("%d names: other pages than those of a tree written anew (%v)", len(names), err)
		}
		back, err := Load(writer(0), "ada.id", tr.Vector(), root, digest, s.load)
		if err != nil {
			t.Fatal(err)
		}
		if got := len(files(t, back)); got != len(names) {
			t.Fatalf("%d names, want %d", got, len(names))
		}
		if rnd.IntN(2) == 0 {
			back.limit, back.width = tr.limit, tr.width
			tr = back
		}
	}
}

func TestOneChangeInALargeDirectory(t *testing.T) {
	s := newStore()
	tr := New(writer(0), "ada.id", s.load)
	const n = 100_000
	start := time.Now()
	for i := range n {
		if _, err := tr.Create(Root, fmt.Sprintf("file %d", i), Spec{ID: ident(i + 1)}); err != nil {
			t.Fatal(err)
		}
	}
	t.Logf("made in %v", time.Since(start))
	start = time.Now()
	if _, _, err := tr.Flush(1, s); err != nil {
		t.Fatal(err)
	}
	t.Logf("%d nodes in %v", s.written, time.Since(start))
	in, err := tr.Lookup(Root, "file 4711")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := tr.SetAttr(in.ID, func(a *Attr) { a.Mode = 0o600 }); err != nil {
		t.Fatal(err)
	}
	before := s.written
	start = time.Now()
	if _, _, err := tr.Flush(2, s); err != nil {
		t.Fatal(err)
	}
	t.Logf("one change: %d nodes in %v", s.written-before, time.Since(start))
	if s.written-before > 4 { // root, index, page
		t.Errorf("%d nodes for one change", s.written-before)
	}
}

func TestSplitIndex(t *testing.T) {
	rnd := rand.New(rand.NewPCG(1, 1))
	var hashes []uint64
	for range 5000 {
		hashes = append(hashes, rnd.Uint64()&mask(40))
	}
	slices.Sort(hashes)
	var list []child
	for _, h := range slices.Compact(hashes) {
		list = append(list, child{prefix: h, bits: 40})
	}
	for _, width := range []int{1, 2, 7, 512} {
		var joined []child
		for _, g := range splitIndex(list, width) {
			if len(g) == 0 || len(g) > width {
				t.Fatalf("group of %d", len(g))
			}
			joined = append(joined, g...)
		}
		if !slices.Equal(joined, list) {
			t.Fatalf("width %d: not the same pages", width)
		}
	}
}
