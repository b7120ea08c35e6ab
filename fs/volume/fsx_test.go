package volume

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math/rand"
	"os"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"satchel/fs/tree"
)

// An fsx does the same to files of a volume and to plain slices of bytes.
type fsx struct {
	t     *testing.T
	r     *rand.Rand
	w     *world
	v     *Volume
	files []*modelled
	log   []string
	stop  func() // what happens beside
}

type modelled struct {
	name string
	n    *Node
	h    *Handle
	app  *Handle
	want []byte
}

const fsxMax = 3*chunkSize + 100_000

// TestFileAgainstModel runs for 5 s, or for as long as SATCHEL_FSX says.
func TestFileAgainstModel(t *testing.T) {
	long := 5 * time.Second
	if s := os.Getenv("SATCHEL_FSX"); s != "" {
		var err error
		if long, err = time.ParseDuration(s); err != nil {
			t.Fatal(err)
		}
	}
	if testing.Short() {
		long = time.Second
	}
	steps := 0
	for end, seed := time.Now().Add(long), time.Now().UnixNano(); time.Now().Before(end) && !t.Failed(); seed++ {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			x := newFsx(t, seed)
			for range 400 {
				if t.Failed() || time.Now().After(end) {
					break
				}
				x.step()
				steps++
			}
			x.reopen(true)
		})
	}
	t.Logf("%d steps", steps)
}

func newFsx(t *testing.T, seed int64) *fsx {
	x := &fsx{t: t, r: rand.New(rand.NewSource(seed)), w: newWorld(t)}
	if x.r.Intn(2) == 0 {
		x.w.journal = t.TempDir()
	}
	x.w.budget = []int64{1 << 10, 300 << 10, 16 << 20}[x.r.Intn(3)]
	x.v = x.w.open("P", Last{})
	for i := range 2 {
		n := write(t, x.v.Root(), fmt.Sprint("f", i), nil)
		x.files = append(x.files, &modelled{name: fmt.Sprint("f", i), n: n})
	}
	x.openHandles()
	x.beside()
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("budget %d, last steps:\n%s", x.v.opt.Budget.Max, strings.Join(x.log[max(0, len(x.log)-40):], "\n"))
		}
	})
	return x
}

func (x *fsx) openHandles() {
	for _, f := range x.files {
		f.h = must[*Handle](x.t)(f.n.Open(ctx, true, false, false))
		f.app = must[*Handle](x.t)(f.n.Open(ctx, true, true, false))
	}
}

// beside starts to seal, sync and commit beside the steps, every other time.
func (x *fsx) beside() {
	if x.r.Intn(2) == 0 {
		x.stop = func() {}
		return
	}
	v, r, done := x.v, rand.New(rand.NewSource(x.r.Int63())), make(chan struct{})
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			select {
			case <-done:
				return
			case <-time.After(time.Duration(r.Intn(5)) * time.Millisecond):
			}
			var err error
			switch r.Intn(10) {
			case 0:
				err = v.Commit(ctx)
			case 1:
				err = v.Sync(ctx)
			default:
				if n, i, c := v.anyChunk(nil); c != nil {
					err = n.sealChunk(ctx, i, c, false)
				}
			}
			if err != nil {
				x.t.Errorf("beside: %v", err)
			}
		}
	})
	x.stop = sync.OnceFunc(func() { close(done); wg.Wait() })
	x.t.Cleanup(x.stop)
}

func (x *fsx) note(format string, a ...any) { x.log = append(x.log, fmt.Sprintf(format, a...)) }

func (x *fsx) check(err error) {
	x.t.Helper()
	if err != nil {
		x.t.Fatal(err)
	}
}

// offset is most often near a boundary of a page, a chunk or the file.
func (x *fsx) offset(f *modelled) int {
	near := []int{0, chunkSize, 2 * chunkSize, 3 * chunkSize, len(f.want), x.r.Intn(fsxMax), x.r.Intn(fsxMax) &^ 4095, x.r.Intn(len(f.want) + 1)}
	off := near[x.r.Intn(len(near))]
	switch x.r.Intn(4) {
	case 0:
		off += x.r.Intn(10_000) - 5000
	case 1:
		off += x.r.Intn(3) - 1
	}
	return min(max(0, off), fsxMax)
}

func (x *fsx) length() int {
	n := []int{1, 4096, 300, 64 << 10, 200 << 10, chunkSize, 2 * chunkSize}[x.r.Intn(7)]
	if x.r.Intn(2) == 0 {
		n = 1 + x.r.Intn(n)
	}
	return n
}

// span is an offset and a length that fit.
func (x *fsx) span(f *modelled) (off, n int) {
	off = x.offset(f)
	return off, min(x.length(), fsxMax+2*chunkSize-off)
}

// grown returns b with at least n bytes.
func grown(b []byte, n int) []byte {
	if n > len(b) {
		b = append(b, make([]byte, n-len(b))...)
	}
	return b
}

func (x *fsx) step() {
	f := x.files[x.r.Intn(len(x.files))]
	switch k := x.r.Intn(100); {
	case k < 35:
		x.write(f, false)
	case k < 42:
		x.write(f, true)
	case k < 52:
		x.truncate(f)
	case k < 68:
		x.allocate(f)
	case k < 76:
		x.copyRange()
	case k < 84:
		x.seal(f)
	case k < 88:
		x.note("commit")
		x.check(x.v.Commit(ctx))
	case k < 93:
		x.note("sync")
		x.check(x.v.Sync(ctx))
	case k < 95:
		x.reopen(x.r.Intn(2) == 0)
	default:
		x.seek(f)
	}
	for _, f := range x.files {
		x.compare(f)
	}
}

func (x *fsx) write(f *modelled, app bool) {
	off, n := x.span(f)
	h := f.h
	if app {
		off, n, h = len(f.want), min(n, chunkSize/2), f.app
		if off > fsxMax {
			return
		}
	}
	p := make([]byte, n)
	if x.r.Intn(8) > 0 {
		x.r.Read(p)
	}
	x.note("%s: write %d at %d, append %v", f.name, n, off, app)
	got := must[int](x.t)(h.WriteAt(ctx, p, int64(off)))
	if got != n {
		x.t.Fatalf("wrote %d of %d", got, n)
	}
	f.want = grown(f.want, off+n)
	copy(f.want[off:], p)
}

func (x *fsx) truncate(f *modelled) {
	size := x.offset(f)
	if x.r.Intn(5) == 0 {
		size = x.r.Intn(300)
	}
	x.note("%s: truncate to %d", f.name, size)
	s := uint64(size)
	must[tree.Info](x.t)(f.n.SetAttr(ctx, Change{Size: &s}))
	f.want = grown(f.want, size)[:size:size]
}

func (x *fsx) allocate(f *modelled) {
	off, n := x.span(f)
	mode := []uint32{0, unix.FALLOC_FL_KEEP_SIZE, unix.FALLOC_FL_PUNCH_HOLE | unix.FALLOC_FL_KEEP_SIZE,
		unix.FALLOC_FL_PUNCH_HOLE | unix.FALLOC_FL_KEEP_SIZE, unix.FALLOC_FL_ZERO_RANGE, unix.FALLOC_FL_ZERO_RANGE | unix.FALLOC_FL_KEEP_SIZE}[x.r.Intn(6)]
	x.note("%s: allocate %x, %d at %d", f.name, mode, n, off)
	x.check(f.h.Allocate(ctx, mode, int64(off), int64(n)))
	if mode&unix.FALLOC_FL_KEEP_SIZE == 0 {
		f.want = grown(f.want, off+n)
	}
	if mode&^unix.FALLOC_FL_KEEP_SIZE != 0 && off < len(f.want) {
		clear(f.want[off:min(off+n, len(f.want))])
	}
}

func (x *fsx) copyRange() {
	a, b := x.files[x.r.Intn(2)], x.files[x.r.Intn(2)]
	in, n := x.span(a)
	out := x.offset(b)
	if x.r.Intn(2) == 0 {
		in, out = in&^(chunkSize-1), out&^(chunkSize-1)
	}
	x.note("copy %d from %s at %d to %s at %d", n, a.name, in, b.name, out)
	got, err := CopyRange(ctx, a.h, int64(in), b.h, int64(out), int64(n))
	n = max(0, min(n, len(a.want)-in))
	if a == b && n > 0 && in < out+n && out < in+n {
		if err != syscall.EINVAL {
			x.t.Fatalf("overlap: %v", err)
		}
		return
	}
	x.check(err)
	if got != int64(n) {
		x.t.Fatalf("copied %d, want %d", got, n)
	}
	if n > 0 {
		p := slices.Clone(a.want[in : in+n])
		b.want = grown(b.want, out+n)
		copy(b.want[out:], p)
	}
}

// seal seals a chunk that is in memory, if one is.
func (x *fsx) seal(f *modelled) {
	v := f.n.lock()
	var at uint64
	var big *chunk
	if f.n.file != nil {
		for i, c := range f.n.file.chunks {
			at, big = i, c
		}
	}
	v.mu.Unlock()
	if big == nil {
		return
	}
	if x.r.Intn(3) == 0 {
		x.note("%s: make chunk %d whole", f.name, at)
		x.check(f.n.makeWhole(ctx, at))
		return
	}
	x.note("%s: seal chunk %d", f.name, at)
	x.check(f.n.sealChunk(ctx, at, big, false))
}

// reopen starts again from the last commit, or from the journal.
func (x *fsx) reopen(commit bool) {
	x.note("reopen, commit %v", commit)
	x.stop()
	if commit {
		x.check(x.v.Commit(ctx))
	} else {
		x.check(x.v.Sync(ctx))
	}
	for _, f := range x.files {
		f.h.Close()
		f.app.Close()
	}
	x.v.sealers.close()
	if used, sum := x.v.opt.Budget.used, x.inMemory(); used != sum {
		x.t.Fatalf("%d bytes of the budget are in use, want %d", used, sum)
	}
	if x.v.sync.log != nil {
		x.check(x.v.sync.log.Close())
	}
	x.w.reopen()
	x.v = x.w.open("P", x.v.Last())
	for _, f := range x.files {
		f.n = must[*Node](x.t)(x.v.Root().Lookup(ctx, f.name))
	}
	x.openHandles()
	for _, f := range x.files {
		x.compareAll(f)
	}
	x.beside()
}

func (x *fsx) inMemory() (sum int64) {
	x.v.mu.Lock()
	defer x.v.mu.Unlock()
	for n := range x.v.dirty {
		for _, c := range n.file.chunks {
			sum += int64(c.took)
		}
	}
	return sum
}

func (x *fsx) compare(f *modelled) {
	x.t.Helper()
	if x.r.Intn(20) == 0 {
		x.compareAll(f)
		return
	}
	off, n := x.span(f)
	p := make([]byte, n)
	x.r.Read(p[:min(n, 100)])
	got, err := f.h.ReadAt(ctx, p, int64(off))
	want := f.want[min(off, len(f.want)):min(off+n, len(f.want))]
	if got != len(want) || (got < n) != (err == io.EOF) || err != nil && err != io.EOF {
		x.t.Fatalf("%s: read %d at %d: %d, %v, want %d", f.name, n, off, got, err, len(want))
	}
	x.same(f, off, p[:got], want)
}

func (x *fsx) compareAll(f *modelled) {
	x.t.Helper()
	info := must[tree.Info](x.t)(f.n.Info(ctx))
	if info.Size != uint64(len(f.want)) {
		x.t.Fatalf("%s: size %d, want %d", f.name, info.Size, len(f.want))
	}
	p := make([]byte, len(f.want))
	if _, err := f.h.ReadAt(ctx, p, 0); err != nil {
		x.t.Fatal(err)
	}
	x.same(f, 0, p, f.want)
	if b := must[Stat](x.t)(f.n.Stat(ctx)).Blocks; b > uint64(len(p)+511)/512 {
		x.t.Fatalf("%s: %d blocks for %d bytes", f.name, b, len(p))
	}
}

func (x *fsx) same(f *modelled, off int, got, want []byte) {
	x.t.Helper()
	if bytes.Equal(got, want) {
		return
	}
	for i := range got {
		if got[i] != want[i] {
			x.t.Fatalf("%s: byte %d is %d, want %d", f.name, off+i, got[i], want[i])
		}
	}
}

// seek checks that a hole has nothing but zeros and that each call gets on.
func (x *fsx) seek(f *modelled) {
	off := int64(x.offset(f))
	x.note("%s: seek from %d", f.name, off)
	data, err := f.h.Seek(ctx, off, unix.SEEK_DATA)
	if off >= int64(len(f.want)) {
		if err != syscall.ENXIO {
			x.t.Fatalf("seek behind the end: %v", err)
		}
		return
	}
	if errors.Is(err, syscall.ENXIO) {
		data, err = int64(len(f.want)), nil
	}
	x.check(err)
	if data < off || !allZero(f.want[off:data]) {
		x.t.Fatalf("%s: data from %d is at %d", f.name, off, data)
	}
	hole := must[int64](x.t)(f.h.Seek(ctx, off, unix.SEEK_HOLE))
	if hole < off || hole > int64(len(f.want)) || (data == off) == (hole == off) {
		x.t.Fatalf("%s: from %d data is at %d, a hole at %d", f.name, off, data, hole)
	}
}
