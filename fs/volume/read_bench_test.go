package volume

import (
	"math/rand/v2"
	"testing"

	"satchel/storage/pack"
)

const benchSize = 1 << 30

// benchFile returns a committed file of 1 GiB, open in a volume that has read
// nothing of it, and what its index needs to be in memory.
func benchFile(b *testing.B) *Handle {
	w := &world{dir: b.TempDir(), budget: 64 << 20}
	var err error
	if w.packs, err = pack.Open(w.dir, 4<<30); err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { w.packs.Close() })
	open := func(last Last) *Volume {
		v, err := Open(ctx, last, w.options("P"))
		if err != nil {
			b.Fatal(err)
		}
		return v
	}
	v := open(Last{})
	n, err := v.Root().Create(ctx, "f", New{Mode: 0o600})
	if err != nil {
		b.Fatal(err)
	}
	h, err := n.Open(ctx, true, false, false)
	if err != nil {
		b.Fatal(err)
	}
	p := random(1, 1<<20)
	for off := int64(0); off < benchSize; off += int64(len(p)) {
		p[0] = byte(off >> 20)
		if _, err := h.WriteAt(ctx, p, off); err != nil {
			b.Fatal(err)
		}
	}
	h.Close()
	if err := v.Commit(ctx); err != nil {
		b.Fatal(err)
	}
	v = open(v.Last())
	if n, err = v.Root().Lookup(ctx, "f"); err != nil {
		b.Fatal(err)
	}
	if h, err = n.Open(ctx, false, false, false); err != nil {
		b.Fatal(err)
	}
	return h
}

func BenchmarkReadSequential(b *testing.B) {
	h := benchFile(b)
	p := make([]byte, 128<<10)
	b.SetBytes(benchSize)
	for b.Loop() {
		for off := int64(0); off < benchSize; off += int64(len(p)) {
			if _, err := h.ReadAt(ctx, p, off); err != nil {
				b.Fatal(err)
			}
		}
	}
}

func BenchmarkReadRandom(b *testing.B) {
	h := benchFile(b)
	p := make([]byte, 4096)
	for b.Loop() {
		if _, err := h.ReadAt(ctx, p, rand.Int64N(benchSize/4096)*4096); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkWriteSequential(b *testing.B) {
	w := &world{dir: b.TempDir(), budget: 64 << 20}
	var err error
	if w.packs, err = pack.Open(w.dir, 4<<30); err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { w.packs.Close() })
	v, err := Open(ctx, Last{}, w.options("P"))
	if err != nil {
		b.Fatal(err)
	}
	n, err := v.Root().Create(ctx, "f", New{Mode: 0o600})
	if err != nil {
		b.Fatal(err)
	}
	h, err := n.Open(ctx, true, false, false)
	if err != nil {
		b.Fatal(err)
	}
	p := random(1, 128<<10)
	const size = 256 << 20
	b.SetBytes(size)
	for b.Loop() {
		for off := int64(0); off < size; off += int64(len(p)) {
			if _, err := h.WriteAt(ctx, p, off); err != nil {
				b.Fatal(err)
			}
		}
		if err := v.Commit(ctx); err != nil {
			b.Fatal(err)
		}
	}
}
