package volume

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"syscall"
	"testing"

	"satchel/crypto"
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
		if err := before.Link(ctx, v.Root(), "f"); !errors.Is(err, os.ErrExist) {
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

// TestLinks gives a file a second name, over a crash and over commits, and takes
// names away until none is left.
func TestLinks(t *testing.T) {
	for _, commit := range []bool{false, true} {
		w := newWorld(t)
		w.journal = filepath.Join(t.TempDir(), "journal")
		v := w.open("Private", Last{})
		dir := must[*Node](t)(v.Root().Create(ctx, "d", New{Kind: tree.Dir, Mode: 0o700}))
		f := write(t, v.Root(), "f", []byte("text"))
		if err := errors.Join(v.Commit(ctx), f.Link(ctx, dir, "g"), v.Sync(ctx)); err != nil {
			t.Fatal(err)
		}
		if err := dir.Link(ctx, v.Root(), "h"); !errors.Is(err, syscall.EPERM) {
			t.Errorf("a folder: %v", err)
		}
		if commit {
			if err := v.Commit(ctx); err != nil {
				t.Fatal(err)
			}
		}
		last := v.Last()
		w.reopen()
		v = w.open("Private", last)
		f = must[*Node](t)(v.Root().Lookup(ctx, "f"))
		dir = must[*Node](t)(v.Root().Lookup(ctx, "d"))
		g := must[*Node](t)(dir.Lookup(ctx, "g"))
		links := func(n *Node, want uint32) {
			t.Helper()
			if in := must[tree.Info](t)(n.Info(ctx)); in.Links != want {
				t.Errorf("%d links, want %d", in.Links, want)
			}
		}
		if f != g {
			t.Error("two nodes for one file")
		}
		links(f, 2)
		h := must[*Handle](t)(f.Open(ctx, true, false, false))
		must[int](t)(h.WriteAt(ctx, []byte("TEXT"), 0))
		before := must[tree.Info](t)(f.Info(ctx)).Ctime
		if err := v.Root().Remove(ctx, "f", false); err != nil {
			t.Fatal(err)
		}
		links(f, 1)
		if must[Stat](t)(f.Stat(ctx)).Unlinked || must[tree.Info](t)(f.Info(ctx)).Ctime <= before {
			t.Error("the file has a name, and its time of change is old")
		}
		if got := read(t, dir, "g"); string(got) != "TEXT" {
			t.Errorf("under the other name: %q", got)
		}
		if err := dir.Remove(ctx, "g", false); err != nil || !must[Stat](t)(f.Stat(ctx)).Unlinked {
			t.Errorf("the last name: %v", err)
		}
		h.Close()
		if err := v.Commit(ctx); err != nil {
			t.Error(err)
		}
	}
}

// TestLinksMoveTogether moves a file to another volume only with all its names.
func TestLinksMoveTogether(t *testing.T) {
	w := newWorld(t)
	a, b := w.open("Private", Last{}), w.open("Public", Last{})
	d := must[*Node](t)(a.Root().Create(ctx, "d", New{Kind: tree.Dir, Mode: 0o700}))
	f := write(t, d, "f", random(3, 5000))
	for _, name := range []string{"g", "h"} {
		if err := f.Link(ctx, d, name); err != nil {
			t.Fatal(err)
		}
	}
	if err := Move(ctx, d, "f", b.Root(), "f", false); !errors.Is(err, syscall.EXDEV) {
		t.Errorf("one name of three: %v", err)
	}
	write(t, b.Root(), "there", []byte("there"))
	there := must[*Node](t)(b.Root().Lookup(ctx, "there"))
	if err := there.Link(ctx, b.Root(), "also"); err != nil {
		t.Fatal(err)
	}
	if err := Move(ctx, a.Root(), "d", b.Root(), "d", false); err != nil {
		t.Fatal(err)
	}
	d = must[*Node](t)(b.Root().Lookup(ctx, "d"))
	for _, name := range []string{"f", "g", "h"} {
		n := must[*Node](t)(d.Lookup(ctx, name))
		if in := must[tree.Info](t)(n.Info(ctx)); n != f || in.Links != 3 || !bytes.Equal(read(t, d, name), random(3, 5000)) {
			t.Errorf("%s: %+v", name, in)
		}
	}
	if err := Move(ctx, a.Root(), "d", b.Root(), "e", false); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("it is still there: %v", err)
	}
	write(t, a.Root(), "x", []byte("x"))
	if err := Move(ctx, a.Root(), "x", b.Root(), "there", false); err != nil {
		t.Fatal(err)
	}
	if in := must[tree.Info](t)(there.Info(ctx)); must[Stat](t)(there.Stat(ctx)).Unlinked || in.Links != 1 || in.Name != "also" {
		t.Errorf("the other name of what was replaced: %+v", in)
	}
}

// TestChangeUnderBothNames has another device write to a file of which both
// names were looked up: each leads to what was written.
func TestChangeUnderBothNames(t *testing.T) {
	w := newWorld(t)
	var told []string
	open := func(self byte) *Volume {
		o := w.options("Private")
		o.Self = crypto.DeviceID{self}
		o.Notify = func(e Event) {
			if e.Kind == EntryChanged {
				told = append(told, e.Name)
			}
		}
		return must[*Volume](t)(Open(ctx, Last{}, o))
	}
	a, b := open(1), open(2)
	merge := func() {
		t.Helper()
		if err := a.Commit(ctx); err != nil {
			t.Fatal(err)
		}
		l := a.Last()
		must[bool](t)(b.Merge(ctx, tree.Head{Writer: crypto.DeviceID{1}, Name: "a.id", Seq: l.Seq, Hash: l.Head,
			Vector: l.Vector, Root: l.Root, Digest: l.Digest}))
	}
	f := write(t, a.Root(), "f", []byte("old"))
	if err := f.Link(ctx, a.Root(), "g"); err != nil {
		t.Fatal(err)
	}
	merge()
	old := must[*Node](t)(b.Root().Lookup(ctx, "f"))
	if g := must[*Node](t)(b.Root().Lookup(ctx, "g")); g != old {
		t.Error("two nodes for one file")
	}
	h := must[*Handle](t)(f.Open(ctx, true, false, false))
	must[int](t)(h.WriteAt(ctx, []byte("new"), 0))
	h.Close()
	told = nil
	merge()
	slices.Sort(told)
	if got := slices.Compact(told); !slices.Equal(got, []string{"f", "g"}) {
		t.Errorf("told of %q", got)
	}
	for _, name := range []string{"f", "g"} {
		if n := must[*Node](t)(b.Root().Lookup(ctx, name)); n == old || string(read(t, b.Root(), name)) != "new" {
			t.Errorf("%s leads to what was", name)
		}
	}
}
