package volume

import (
	"bytes"
	"math/rand/v2"
	"testing"

	"satchel/fs/tree"
)

// A chunk has what was written to it, and knows what of that is new.
func TestChunkAgainstModel(t *testing.T) {
	for seed := range uint64(30) {
		r := rand.New(rand.NewPCG(seed, 0))
		size := []int{100, 5000, 40_000}[seed%3]
		c := &chunk{}
		bytesOf, have, fresh := make([]byte, size), make([]bool, size), make([]bool, size)
		for step := range 600 {
			lo := r.IntN(size)
			hi := min(size, lo+1+r.IntN(max(2, size>>r.IntN(10))))
			switch k := r.IntN(20); {
			case k < 14:
				p := make([]byte, hi-lo)
				for i := range p {
					p[i] = byte(r.Uint32())
				}
				c.write(lo, p)
				copy(bytesOf[lo:], p)
				for i := lo; i < hi; i++ {
					have[i], fresh[i] = true, true
				}
			case k < 18:
				c.zero(lo, hi)
				clear(bytesOf[lo:hi])
				for i := lo; i < hi; i++ {
					have[i], fresh[i] = true, true
				}
			case k == 18:
				c.clip(lo)
				clear(bytesOf[lo:])
				clear(have[lo:])
				clear(fresh[lo:])
			case r.IntN(10) == 0:
				c.fresh = nil
				clear(fresh)
			default:
				c = c.clone()
			}
			checkChunk(t, c, bytesOf, have, fresh)
			if t.Failed() {
				t.Fatalf("seed %d, step %d", seed, step)
			}
		}
	}
}

func checkChunk(t *testing.T, c *chunk, want []byte, have, fresh []bool) {
	t.Helper()
	last := 0
	for _, e := range c.exts {
		if e.off < last || e.n <= 0 || e.data != nil && len(e.data) != e.n || e.end() > chunkSize {
			t.Fatalf("extent of %d at %d behind %d, %d bytes", e.n, e.off, last, len(e.data))
		}
		last = e.end()
	}
	p := bytes.Repeat([]byte{0xff}, len(want))
	gaps := c.read(p, 0)
	for _, g := range gaps {
		for i := g.lo; i < g.hi; i++ {
			if have[i] {
				t.Fatalf("byte %d is missing", i)
			}
		}
		clear(p[g.lo:g.hi])
	}
	if !bytes.Equal(p, want) {
		t.Fatal("bytes differ")
	}
	told, all := make([]bool, len(want)), make([]bool, len(want))
	for _, r := range c.fresh {
		for i := r.lo; i < r.hi; i++ {
			told[i] = true
		}
	}
	for _, r := range c.all() {
		if !c.covers(r.lo, r.hi) || r.hi < chunkSize && c.covers(r.lo, r.hi+1) {
			t.Fatalf("covers %d to %d is wrong", r.lo, r.hi)
		}
		for i := r.lo; i < r.hi; i++ {
			all[i] = true
		}
	}
	for i := range want {
		if fresh[i] && !told[i] || told[i] && !have[i] || all[i] != have[i] {
			t.Fatalf("byte %d: fresh %v, noted as fresh %v, written %v, covered %v", i, fresh[i], told[i], have[i], all[i])
		}
	}
}

// What a chunk takes is what was written, not what could be.
func TestChunkTakesWhatIsWritten(t *testing.T) {
	c := &chunk{}
	c.write(chunkSize-4096, make([]byte, 4096))
	if m := c.mem(); m > 5000 {
		t.Errorf("4 KiB at the end take %d bytes", m)
	}
	for i := range chunkSize / 8192 { // backwards, every second page
		c.write(chunkSize-8192*(i+1), make([]byte, 4096))
	}
	if m := c.mem(); m > chunkSize/2+chunkSize/8 {
		t.Errorf("half of a chunk takes %d bytes", m)
	}
}

// A sync after a truncation within a sealed chunk tells what was written over it
// and synced before.
func TestCutBelowSyncedBytes(t *testing.T) {
	w := newWorld(t)
	w.journal = t.TempDir()
	v := w.open("P", Last{})
	want := random(1, chunkSize)
	n := write(t, v.Root(), "f", append(want, 1)) // the first chunk is full and sealed
	h := must[*Handle](t)(n.Open(ctx, true, false, false))
	must[int](t)(h.WriteAt(ctx, []byte("over it"), 100))
	copy(want[100:], "over it")
	for _, size := range []uint64{chunkSize, 5000} {
		must[tree.Info](t)(n.SetAttr(ctx, Change{Size: &size}))
		if err := v.Sync(ctx); err != nil {
			t.Fatal(err)
		}
		w.reopen()
		if err := v.sync.log.Close(); err != nil {
			t.Fatal(err)
		}
		v = w.open("P", v.Last())
		n = must[*Node](t)(v.Root().Lookup(ctx, "f"))
		if got := read(t, v.Root(), "f"); !bytes.Equal(got, want[:size]) {
			t.Fatalf("%d bytes differ", size)
		}
	}
}
