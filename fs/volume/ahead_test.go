package volume

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"testing"

	"satchel/crypto"
	"satchel/fs/tree"
	"satchel/storage/pack"
)

// cold returns a committed file of some chunks in a volume that has read
// nothing of it.
func cold(t *testing.T, data []byte) (*Volume, *Handle) {
	t.Helper()
	w := newWorld(t)
	v := w.open("P", Last{})
	write(t, v.Root(), "f", data)
	if err := v.Commit(ctx); err != nil {
		t.Fatal(err)
	}
	v = w.open("P", v.Last())
	n := must[*Node](t)(v.Root().Lookup(ctx, "f"))
	return v, must[*Handle](t)(n.Open(ctx, false, false, false))
}

// text is compressible.
func text(n int) []byte { return bytes.Repeat([]byte("what is written again and again. "), n/33+1)[:n] }

// Reads of every kind give the file's bytes: small, over frames and chunks, in
// order and not, of sealed forms of each kind, from many goroutines.
func TestReadsOfSealedFile(t *testing.T) {
	for _, data := range [][]byte{
		random(1, 5*chunkSize+12_345), random(2, 300_000), text(700_000), random(3, 20_000), text(20_000), make([]byte, 3*chunkSize),
		slices.Concat(random(4, chunkSize), make([]byte, 2*chunkSize), random(5, 100)),
	} {
		v, h := cold(t, data)
		var wg sync.WaitGroup
		for i, size := range []int{1, 4096, 100_000, 128 << 10, 3 * chunkSize} {
			wg.Go(func() {
				p := make([]byte, size)
				for k := range 200 {
					off := k * size
					if i%2 == 1 {
						off = (k * 7919 * 4096) % len(data)
					}
					if off >= len(data) {
						break
					}
					n, _ := h.ReadAt(ctx, p, int64(off))
					if want := data[off:min(len(data), off+size)]; !bytes.Equal(p[:n], want) {
						t.Errorf("%d bytes at %d of %d differ", size, off, len(data))
						return
					}
				}
			})
		}
		wg.Wait()
		if err := v.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

// counting counts what is opened ahead.
func counting(v *Volume) *atomic.Int32 {
	var n atomic.Int32
	open := v.ahead.open
	v.ahead.open = func(ctx context.Context, ref tree.Ref) ([]byte, error) {
		n.Add(1)
		return open(ctx, ref)
	}
	return &n
}

// Who reads in order finds each chunk but the first opened, once; who reads here
// and there has nothing opened.
func TestReadAheadInOrderOnly(t *testing.T) {
	const chunks = 20
	v, h := cold(t, random(1, chunks*chunkSize))
	opened := counting(v)
	p := make([]byte, 64<<10)
	for i := range 100 {
		must[int](t)(h.ReadAt(ctx, p, int64(i*7%chunks)*chunkSize+int64(i%16)*65536))
	}
	if n := opened.Load(); n > 0 {
		t.Errorf("%d chunks were opened for reads at random", n)
	}
	h = must[*Handle](t)(h.n.Open(ctx, false, false, false))
	for i := range chunks * 16 {
		must[int](t)(h.ReadAt(ctx, p, int64(i^1)*65536)) // not strictly in order
	}
	if n := opened.Load(); n < chunks/2 || n > chunks-1 {
		t.Errorf("%d chunks of %d were opened", n, chunks)
	}
	v.ahead.mu.Lock()
	defer v.ahead.mu.Unlock()
	if n := len(v.ahead.by); n > 0 {
		t.Errorf("%d chunks are kept that were read", n)
	}
}

// Chunks that nobody reads after all do not heap up.
func TestReadAheadIsBounded(t *testing.T) {
	v, h := cold(t, random(1, 40*chunkSize))
	p := make([]byte, 128<<10)
	for i := range 20 {
		for k := range 3 {
			must[int](t)(h.ReadAt(ctx, p, int64(i)*2*chunkSize+int64(k*len(p))))
		}
	}
	v.ahead.wg.Wait()
	v.ahead.mu.Lock()
	defer v.ahead.mu.Unlock()
	if n := len(v.ahead.by); n == 0 || n > maxOpened {
		t.Errorf("%d chunks are open", n)
	}
}

// What can't be opened ahead is read by who wants it, with its error; Close ends
// what is under way.
func TestReadAheadFails(t *testing.T) {
	data := random(1, 6*chunkSize)
	v, h := cold(t, data)
	v.ahead.open = func(ctx context.Context, ref tree.Ref) ([]byte, error) { return nil, errors.New("no") }
	p := make([]byte, len(data))
	for off := 0; off < len(data); off += 128 << 10 {
		must[int](t)(h.ReadAt(ctx, p[off:off+128<<10], int64(off)))
	}
	if !bytes.Equal(p, data) {
		t.Error("content differs")
	}
	began := make(chan struct{}, maxAhead)
	v.ahead.open = func(ctx context.Context, ref tree.Ref) ([]byte, error) {
		began <- struct{}{}
		<-ctx.Done()
		return nil, ctx.Err()
	}
	h = must[*Handle](t)(h.n.Open(ctx, false, false, false))
	must[int](t)(h.ReadAt(ctx, p[:256<<10], 0))
	<-began
	if err := v.Close(); err != nil {
		t.Fatal(err)
	}
	must[int](t)(h.ReadAt(ctx, p[:256<<10], chunkSize))
}

// A read opens the frames that have its bytes and no more: the others may be
// damaged.
func TestReadOpensFrames(t *testing.T) {
	data := random(1, 2*chunkSize)
	w := newWorld(t)
	v := w.open("P", Last{})
	n := write(t, v.Root(), "f", data)
	if err := v.Commit(ctx); err != nil {
		t.Fatal(err)
	}
	h := must[*Handle](t)(n.Open(ctx, false, false, false))
	info := must[tree.Info](t)(n.Info(ctx))
	ref := info.Content.Refs[0]
	must[int](t)(h.ReadAt(ctx, make([]byte, 1), 0)) // the header
	id, _ := w.packs.Resolve(pack.ID(ref.Pack))
	f, err := os.OpenFile(filepath.Join(w.dir, "staged", id.String()), os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	head := v.headers.get(ref)
	const good = 5
	for i := range head.Frames() {
		if at, _ := head.FrameRange(i); i != good {
			must[int](t)(f.WriteAt([]byte("damaged"), int64(ref.Off)+int64(at)+100))
		}
	}
	const from, to = good * crypto.FrameSize, (good + 1) * crypto.FrameSize
	for _, c := range []struct {
		off, n int
		ok     bool
	}{
		{from, 4096, true}, {to - 4096, 4096, true}, {from, to - from, true}, {from + 1, 1, true},
		{from - 1, 1, false}, {from - 1, 2, false}, {to, 1, false}, {to - 1, 2, false}, {0, chunkSize, false},
	} {
		p := make([]byte, c.n)
		if _, err := h.ReadAt(ctx, p, int64(c.off)); (err == nil) != c.ok || c.ok && !bytes.Equal(p, data[c.off:c.off+c.n]) {
			t.Errorf("%d bytes at %d: %v", c.n, c.off, err)
		}
	}
}
