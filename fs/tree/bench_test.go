package tree

import (
	"fmt"
	"testing"
)

// manyFiles returns a tree of 100,000 files in 100 directories.
func manyFiles(b *testing.B, s *store) *Tree {
	tr := New(writer(0), "ada.id", s.load)
	n := 0
	for d := range 100 {
		n++
		dir, err := tr.Create(Root, fmt.Sprintf("dir%d", d), Spec{ID: ident(n), Kind: Dir, Mode: 0o755, Now: int64(n)})
		if err != nil {
			b.Fatal(err)
		}
		for f := range 1000 {
			n++
			if _, err := tr.Create(dir.ID, fmt.Sprintf("file %d", f), Spec{ID: ident(n), Mode: 0o644, Now: int64(n)}); err != nil {
				b.Fatal(err)
			}
		}
	}
	return tr
}

func BenchmarkFlush(b *testing.B) {
	for b.Loop() {
		b.StopTimer()
		s := newStore()
		tr := manyFiles(b, s)
		b.StartTimer()
		if _, _, err := tr.Flush(1, s); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkLoad(b *testing.B) {
	s := newStore()
	tr := manyFiles(b, s)
	root, digest, err := tr.Flush(1, s)
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		back, err := Load(writer(0), "ada.id", tr.Vector(), root, digest, s.load)
		if err != nil {
			b.Fatal(err)
		}
		list, err := back.List(Root)
		if err != nil {
			b.Fatal(err)
		}
		for _, d := range list {
			if _, err := back.List(d.ID); err != nil {
				b.Fatal(err)
			}
		}
	}
}

func BenchmarkCreate(b *testing.B) {
	b.ReportAllocs()
	for b.Loop() {
		manyFiles(b, newStore())
	}
}
