package pack

import (
	"bytes"
	"encoding/hex"
	"math/rand/v2"
	"slices"
	"testing"
)

// TestSpans compares with a map of bytes.
func TestSpans(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for range 300 {
		var s spans
		var want [64]bool
		for range 30 {
			a := r.Int64N(64)
			b := a + r.Int64N(65-a)
			add := r.IntN(3) > 0
			if add {
				s = s.add(a, b)
			} else {
				s = s.remove(a, b)
			}
			for i := a; i < b; i++ {
				want[i] = add
			}
			checkSpans(t, s, want[:])
			if t.Failed() {
				t.Fatalf("after %v of [%d, %d): %v", add, a, b, s)
			}
		}
	}
}

func checkSpans(t *testing.T, s spans, want []bool) {
	t.Helper()
	last, total := int64(-1), int64(0)
	for _, x := range s {
		if x.from <= last || x.from >= x.to {
			t.Errorf("out of order, empty or touching: %v", s)
		}
		last = x.to
	}
	for i, w := range want {
		if s.covers(int64(i), int64(i)+1) != w {
			t.Errorf("byte %d: want %v", i, w)
		}
		if w {
			total++
		}
	}
	if s.total() != total {
		t.Errorf("got total %d, want %d", s.total(), total)
	}
	if p := slices.Index(want, false); p >= 0 && s.prefix() != int64(p) {
		t.Errorf("got prefix %d, want %d", s.prefix(), p)
	}
	for _, q := range [][2]int{{0, 64}, {10, 20}, {33, 34}, {5, 5}} {
		from, to := int64(q[0]), int64(q[1])
		for from < to && want[from] {
			from++
		}
		for to > from && want[to-1] {
			to--
		}
		a, b := s.missing(int64(q[0]), int64(q[1]))
		if b-a != to-from || to > from && a != from {
			t.Errorf("missing of %v: got [%d, %d), want [%d, %d)", q, a, b, from, to)
		}
		if s.covers(int64(q[0]), int64(q[1])) != (from == to) {
			t.Errorf("covers %v: want %v", q, from == to)
		}
	}
}

// TestPartHeader freezes the header of a parts file.
func TestPartHeader(t *testing.T) {
	s := spans{{0, 65536}, {131072, 140000}}
	want, err := hex.DecodeString("7361746368656c20706172747320310a" + "00000002" + "00000000" + "00010000" + "00020000" + "000222e0")
	if err != nil {
		t.Fatal(err)
	}
	got := s.header()
	if len(got) != partHeader || !bytes.HasPrefix(got, want) || !bytes.Equal(got[len(want):], make([]byte, partHeader-len(want))) {
		t.Errorf("got %x", got[:64])
	}
	if back, ok := parseSpans(got, MaxSize); !ok || !slices.Equal(back, s) {
		t.Errorf("got %v, %v", back, ok)
	}
	if _, ok := parseSpans(got, 139_999); ok {
		t.Error("a span behind the end of the file was taken")
	}
}

func FuzzPartHeader(f *testing.F) {
	f.Add(spans{}.header(), int64(MaxSize))
	f.Add(spans{{0, 65536}, {131072, 140000}}.header(), int64(MaxSize))
	f.Add(spans{{5, 4}}.header(), int64(MaxSize))
	f.Add(spans{{5, 6}, {6, 7}}.header(), int64(MaxSize))
	f.Add([]byte(partMagic), int64(0))
	f.Fuzz(func(t *testing.T, b []byte, size int64) {
		b = append(b, make([]byte, max(0, partHeader-len(b)))...)
		s, ok := parseSpans(b, size)
		if !ok {
			return
		}
		last := int64(-1)
		for _, x := range s {
			if x.from <= last || x.from >= x.to || x.to > size || x.to > MaxSize {
				t.Fatalf("accepted %v of %d bytes", s, size)
			}
			last = x.to
		}
		if again := s.header(); !bytes.Equal(again[:20+8*len(s)], b[:20+8*len(s)]) {
			t.Fatalf("%v is written as %x", s, again[:64])
		}
	})
}
