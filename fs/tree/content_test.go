package tree

import (
	"math/rand/v2"
	"testing"
)

func chunkRef(i uint64) Ref {
	r := Ref{Owner: "ada.id", Off: uint32(i), Len: 1 << 20}
	r.Pack[0] = byte(i >> 10)
	r.Pack[1] = 1
	r.Hash[0], r.Hash[1], r.Hash[2], r.Hash[3] = byte(i), byte(i>>8), byte(i>>16), byte(i>>24)
	r.Key[0] = 1
	return r
}

// wantContent checks every chunk of c.
func wantContent(t *testing.T, s *store, c Content, size uint64, want map[uint64]Ref, all bool) {
	t.Helper()
	if c.Size != size {
		t.Fatalf("size %d, want %d", c.Size, size)
	}
	if err := c.check(); err != nil {
		t.Fatal(err)
	}
	probe := func(i uint64) {
		got, err := c.Chunk(s.load, i)
		if err != nil {
			t.Fatal(err)
		}
		if got != want[i] {
			t.Fatalf("chunk %d of %d bytes: %v, want %v", i, size, got, want[i])
		}
	}
	for i := range want {
		probe(i)
	}
	if all {
		for i := range chunks(size) + 2 {
			probe(i)
		}
	}
}

func TestContentSizes(t *testing.T) {
	s := newStore()
	for _, c := range []struct {
		size  uint64
		level uint8
		nodes int // index nodes that are written
	}{
		{1, 0, 0},
		{ChunkSize, 0, 0},
		{2 * ChunkSize, 0, 0},
		{2*ChunkSize + 1, 1, 1},
		{1025 * ChunkSize, 1, 2},
		{2048 * ChunkSize, 1, 2},
		{5 << 30, 2, 6}, // 5 indexes of chunks, one above
	} {
		want := make(map[uint64]Ref)
		for i := range chunks(c.size) {
			want[i] = chunkRef(i + 1)
		}
		before := s.written
		got, err := InlineContent(nil).Edit(s.load, s, c.size, want)
		if err != nil {
			t.Fatal(err)
		}
		if got.Level != c.level || s.written-before != c.nodes {
			t.Errorf("%d bytes: level %d, %d nodes", c.size, got.Level, s.written-before)
		}
		wantContent(t, s, got, c.size, want, true)
		n := 0
		if err := got.EachRef(s.load, func(Ref) error { n++; return nil }); err != nil || n != len(want)+c.nodes {
			t.Errorf("%d bytes: %d refs, %v", c.size, n, err)
		}
	}
}

func TestAppendWritesOnePath(t *testing.T) {
	s := newStore()
	want := make(map[uint64]Ref)
	for i := range uint64(5000) {
		want[i] = chunkRef(i + 1)
	}
	c, err := InlineContent(nil).Edit(s.load, s, 5000*ChunkSize, want)
	if err != nil {
		t.Fatal(err)
	}
	before := s.written
	want[5000] = chunkRef(9999)
	c, err = c.Edit(s.load, s, 5001*ChunkSize, map[uint64]Ref{5000: want[5000]})
	if err != nil {
		t.Fatal(err)
	}
	if s.written-before != 2 {
		t.Errorf("%d nodes for an append", s.written-before)
	}
	wantContent(t, s, c, 5001*ChunkSize, want, false)
}

func TestContentRandomEdits(t *testing.T) {
	rnd := rand.New(rand.NewPCG(1, 2))
	sizes := []uint64{0, 1, ChunkSize, 3 * ChunkSize, 900 * ChunkSize, 2047 * ChunkSize, 2049*ChunkSize + 5,
		4000 * ChunkSize, 1 << 41, 1 << 52}
	for range 60 {
		s := newStore()
		c, want := InlineContent(nil), make(map[uint64]Ref)
		for range 6 {
			size := sizes[rnd.IntN(len(sizes))]
			edits := make(map[uint64]Ref)
			for range rnd.IntN(5) {
				i := rnd.Uint64N(chunks(size) + 3)
				if rnd.IntN(2) == 0 {
					i = rnd.Uint64N(3)
				}
				edits[i] = chunkRef(rnd.Uint64N(1 << 20))
				if rnd.IntN(4) == 0 {
					edits[i] = Ref{}
				}
			}
			for i, r := range edits {
				if i < chunks(size) {
					want[i] = r
				}
			}
			for i := range want {
				if i >= chunks(size) || want[i].IsZero() {
					delete(want, i)
				}
			}
			s.away = make(map[Ref]bool)
			for r := range s.nodes {
				s.away[r] = true
			}
			clear(fileNodes.refs)
			retry(t, func() error {
				n := s.written
				next, err := c.Edit(s.load, s, size, edits)
				if err == nil {
					c = next
				} else if s.written != n {
					t.Fatal("wrote before all was there")
				}
				return err
			})
			s.away = nil
			if size == 0 && c.Inline == nil {
				t.Fatal("an empty file is not inline")
			}
			wantContent(t, s, c, size, want, false)
			count := 0
			if err := c.EachRef(s.load, func(r Ref) error {
				if r.Len == 1<<20 && r.Pack[1] == 1 && r.Key[0] == 1 {
					count++
				}
				return nil
			}); err != nil || count != len(want) {
				t.Fatalf("%d chunks, want %d (%v)", count, len(want), err)
			}
		}
	}
}
