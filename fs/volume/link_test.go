package volume

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"satchel/fs/tree"
)

// TestUnnamed writes to a file without a name, gives it one and crashes: it is
// there as far as that was synced, and without a name it leaves nothing.
func TestUnnamed(t *testing.T) {
	for _, size := range []int{0, 10, 5000, chunkSize, 3*chunkSize + 7} {
		w := newWorld(t)
		w.journal = filepath.Join(t.TempDir(), "journal")
		v := w.open("Private", Last{})
		content := random(1, size)
		make := func() (*Node, *Handle) {
			n := must[*Node](t)(v.Root().Unnamed(ctx, New{Kind: tree.File, Mode: 0o640}))
			h := must[*Handle](t)(n.Open(ctx, true, false, false))
			must[int](t)(h.WriteAt(ctx, content, 0))
			return n, h
		}
		before, h1 := make()
		defer h1.Close()
		if err := v.Sync(ctx); err != nil {
			t.Fatal(err)
		}
		if err := errors.Join(before.Link(ctx, v.Root(), "f"), v.Sync(ctx)); err != nil {
			t.Fatal(err)
		}
		if err := before.Link(ctx, v.Root(), "f"); !errors.Is(err, os.ErrExist) && !errors.Is(err, syscall.EMLINK) {
			t.Errorf("a name that is taken: %v", err)
		}
		_, h2 := make()
		h2.Close()
		if err := v.Sync(ctx); err != nil {
			t.Fatal(err)
		}
		last := v.Last()
		w.reopen()
		v = w.open("Private", last)
		if list := must[[]Entry](t)(v.Root().List(ctx)); len(list) != 1 || list[0].Mode != 0o640 {
			t.Fatalf("%d bytes: %v", size, list)
		}
		if got := read(t, v.Root(), "f"); !bytes.Equal(got, content) {
			t.Errorf("%d bytes come back as %d", size, len(got))
		}
	}
}

// TestExchange has two names change their places, over a crash, and finds both
// where they were when that can't be.
func TestExchange(t *testing.T) {
	w := newWorld(t)
	w.journal = filepath.Join(t.TempDir(), "journal")
	v := w.open("Private", Last{})
	root := v.Root()
	write(t, root, "a", []byte("a"))
	dir := must[*Node](t)(root.Create(ctx, "d", New{Kind: tree.Dir, Mode: 0o700}))
	write(t, dir, "b", []byte("b"))
	if err := root.Exchange(ctx, "d", dir, "b"); !errors.Is(err, syscall.EINVAL) {
		t.Errorf("a folder with what is in it: %v", err)
	}
	if err := root.Exchange(ctx, "a", dir, "missing"); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("with nothing: %v", err)
	}
	if err := errors.Join(root.Exchange(ctx, "a", dir, "b"), v.Sync(ctx)); err != nil {
		t.Fatal(err)
	}
	last := v.Last()
	w.reopen()
	root = w.open("Private", last).Root()
	dir = must[*Node](t)(root.Lookup(ctx, "d"))
	if a, b := read(t, root, "a"), read(t, dir, "b"); string(a) != "b" || string(b) != "a" {
		t.Errorf("got %q and %q", a, b)
	}
	if list := must[[]Entry](t)(root.List(ctx)); len(list) != 2 {
		t.Errorf("%d names are left", len(list))
	}
}
