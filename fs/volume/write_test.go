package volume

import (
	"bytes"
	"encoding/binary"
	"errors"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"satchel/fs/tree"
)

// What several writers append at the same time is there, each piece whole, while
// it is sealed and committed.
func TestAppendersDoNotMix(t *testing.T) {
	w := newWorld(t)
	w.budget = 200 << 10
	v := w.open("P", Last{})
	n := write(t, v.Root(), "f", nil)
	const writers, pieces, size = 4, 60, 40_000
	var wg sync.WaitGroup
	for i := range writers {
		wg.Go(func() {
			h := must[*Handle](t)(n.Open(ctx, true, true, false))
			defer h.Close()
			for k := range pieces {
				p := bytes.Repeat(binary.BigEndian.AppendUint32(nil, uint32(i*pieces+k)), size/4)
				if _, err := h.WriteAt(ctx, p, 0); err != nil {
					t.Errorf("append: %v", err)
				}
			}
		})
	}
	for range 5 {
		time.Sleep(5 * time.Millisecond)
		if err := v.Commit(ctx); err != nil {
			t.Fatal(err)
		}
	}
	wg.Wait()
	got := read(t, v.Root(), "f")
	if len(got) != writers*pieces*size {
		t.Fatalf("%d bytes, want %d", len(got), writers*pieces*size)
	}
	seen := make(map[uint32]bool)
	for at := 0; at < len(got); at += size {
		tag := got[at : at+4]
		if !bytes.Equal(got[at:at+size], bytes.Repeat(tag, size/4)) {
			t.Fatalf("the piece at %d is mixed", at)
		}
		seen[binary.BigEndian.Uint32(tag)] = true
	}
	if len(seen) != writers*pieces {
		t.Errorf("%d pieces, want %d", len(seen), writers*pieces)
	}
}

// Writers and one who truncates, at the same time: afterwards each page is as
// somebody wrote it, or zero.
func TestWritesWhileTruncating(t *testing.T) {
	w := newWorld(t)
	w.budget = 200 << 10
	v := w.open("P", Last{})
	n := write(t, v.Root(), "f", nil)
	const page, pages = 4096, 600
	var wg sync.WaitGroup
	for i := range 2 {
		wg.Go(func() {
			h := must[*Handle](t)(n.Open(ctx, true, false, false))
			defer h.Close()
			for k := range 1500 {
				at := (k*7 + i*300) % pages
				if _, err := h.WriteAt(ctx, bytes.Repeat([]byte{byte(at)%250 + 1}, page), int64(at*page)); err != nil {
					t.Errorf("write: %v", err)
				}
			}
		})
	}
	for k := range uint64(60) {
		size := k * 37_777 % (pages * page)
		must[tree.Info](t)(n.SetAttr(ctx, Change{Size: &size}))
		if k%20 == 0 {
			if err := v.Commit(ctx); err != nil {
				t.Fatal(err)
			}
		}
	}
	wg.Wait()
	size := uint64(pages * page)
	must[tree.Info](t)(n.SetAttr(ctx, Change{Size: &size}))
	for at, got := 0, read(t, v.Root(), "f"); at < pages; at++ {
		p := got[at*page : (at+1)*page]
		end := 0
		for end < page && p[end] == byte(at)%250+1 {
			end++
		}
		if !allZero(p[end:]) {
			t.Errorf("page %d differs", at)
		}
	}
}

// An open file that was removed is written and read until it is closed, and
// takes no memory afterwards.
func TestWriteToRemovedFile(t *testing.T) {
	w := newWorld(t)
	w.budget = 100 << 10
	v := w.open("P", Last{})
	data := random(1, 3*chunkSize+100)
	n := write(t, v.Root(), "f", data)
	if err := v.Commit(ctx); err != nil {
		t.Fatal(err)
	}
	h := must[*Handle](t)(n.Open(ctx, true, false, false))
	if err := v.Root().Remove(ctx, "f", false); err != nil {
		t.Fatal(err)
	}
	for _, off := range []int{10, chunkSize - 3, 3 * chunkSize} {
		copy(data[off:], "some more")
		must[int](t)(h.WriteAt(ctx, []byte("some more"), int64(off)))
	}
	if err := h.Allocate(ctx, unix.FALLOC_FL_PUNCH_HOLE|unix.FALLOC_FL_KEEP_SIZE, 2000, chunkSize); err != nil {
		t.Fatal(err)
	}
	clear(data[2000 : 2000+chunkSize])
	if err := v.Commit(ctx); err != nil {
		t.Fatal(err)
	}
	got := make([]byte, len(data))
	must[int](t)(h.ReadAt(ctx, got, 0))
	if !bytes.Equal(got, data) {
		t.Error("content differs")
	}
	h.Close()
	if used := v.opt.Budget.inUse(); used != 0 {
		t.Errorf("%d bytes are still in memory", used)
	}
}

// What is too far for a file is refused, whatever is asked for.
func TestFileTooLarge(t *testing.T) {
	w := newWorld(t)
	v := w.open("P", Last{})
	n := write(t, v.Root(), "f", nil)
	h := must[*Handle](t)(n.Open(ctx, true, false, false))
	defer h.Close()
	if _, err := h.WriteAt(ctx, []byte("x"), maxFile); err != syscall.EFBIG {
		t.Errorf("write: %v", err)
	}
	if err := h.Allocate(ctx, 0, maxFile, 1); err != syscall.EFBIG {
		t.Errorf("allocate: %v", err)
	}
	size := uint64(maxFile + 1)
	if _, err := n.SetAttr(ctx, Change{Size: &size}); err != syscall.EFBIG {
		t.Errorf("truncate: %v", err)
	}
	// The last byte that is allowed: a hole before it costs nothing.
	must[int](t)(h.WriteAt(ctx, []byte("x"), maxFile-1))
	if at := must[int64](t)(h.Seek(ctx, 0, unix.SEEK_DATA)); at != maxFile-1 {
		t.Errorf("data at %d", at)
	}
	if err := v.Commit(ctx); err != nil {
		t.Fatal(err)
	}
	if at := must[int64](t)(h.Seek(ctx, 5, unix.SEEK_DATA)); at/chunkSize != (maxFile-1)/chunkSize {
		t.Errorf("data at %d", at)
	}
	if err := h.Allocate(ctx, unix.FALLOC_FL_PUNCH_HOLE|unix.FALLOC_FL_KEEP_SIZE, 1, maxFile-1); err != nil {
		t.Fatal(err)
	}
	if _, err := h.Seek(ctx, 0, unix.SEEK_DATA); err != syscall.ENXIO {
		t.Errorf("data in a hole: %v", err)
	}
}

// A full disk refuses what is written before it is accepted; what was accepted
// is there, and is committed when there is room.
func TestWriteToFullDisk(t *testing.T) {
	w := newWorld(t)
	var free atomic.Int64
	free.Store(3 << 20)
	o := w.options("P")
	o.Free = free.Load
	v := must[*Volume](t)(Open(ctx, Last{}, o))
	n := write(t, v.Root(), "f", nil)
	h := must[*Handle](t)(n.Open(ctx, true, false, false))
	defer h.Close()
	p := random(1, 500_000)
	done := 0
	var err error
	for err == nil && done < 100<<20 {
		var m int
		m, err = h.WriteAt(ctx, p, int64(done))
		if done += m; done > 2<<20 {
			free.Store(0)
		}
	}
	if !errors.Is(err, syscall.ENOSPC) || done > 8<<20 {
		t.Fatalf("after %d bytes: %v", done, err)
	}
	if err := h.Allocate(ctx, 0, 0, int64(done)+1); !errors.Is(err, syscall.ENOSPC) {
		t.Errorf("allocate: %v", err)
	}
	for at, got := 0, read(t, v.Root(), "f")[:done]; at < done; at += len(p) {
		if m := min(len(p), done-at); !bytes.Equal(got[at:at+m], p[:m]) {
			t.Fatalf("bytes at %d differ", at)
		}
	}
	if err := v.Commit(ctx); err != nil {
		t.Fatal(err)
	}
}

// What can't be read does not keep others from writing, and comes to light where
// it is needed.
func TestWriteOverUnreadable(t *testing.T) {
	w := newWorld(t)
	v := w.open("P", Last{})
	n := write(t, v.Root(), "f", random(1, chunkSize))
	if err := v.Commit(ctx); err != nil {
		t.Fatal(err)
	}
	info := must[tree.Info](t)(n.Info(ctx))
	id, _ := w.packs.Resolve(info.Content.Refs[0].Pack)
	if err := w.packs.Drop(id); err != nil {
		t.Fatal(err)
	}
	h := must[*Handle](t)(n.Open(ctx, true, false, false))
	defer h.Close()
	must[int](t)(h.WriteAt(ctx, []byte("over"), 100)) // nothing is read for that
	p := make([]byte, 4)
	if must[int](t)(h.ReadAt(ctx, p, 100)); string(p) != "over" {
		t.Errorf("read %q", p)
	}
	if _, err := h.ReadAt(ctx, p, 99); err == nil {
		t.Error("read what is gone")
	}
	v.opt.Budget.Max = 10_000
	o := must[*Handle](t)(write(t, v.Root(), "other", nil).Open(ctx, true, false, false))
	defer o.Close()
	for i := range int64(40) {
		must[int](t)(o.WriteAt(ctx, random(2, 9000), i*9000))
	}
	if err := v.Commit(ctx); err == nil {
		t.Error("committed what is gone")
	}
	// All of it written anew, nothing is missing any more.
	must[int](t)(h.WriteAt(ctx, random(3, chunkSize), 0))
	if err := v.Commit(ctx); err != nil {
		t.Error(err)
	}
	if !bytes.Equal(read(t, v.Root(), "f"), random(3, chunkSize)) {
		t.Error("content differs")
	}
}
