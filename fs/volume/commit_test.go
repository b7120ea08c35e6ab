package volume

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"satchel/crypto"
	"satchel/fs/tree"
	"satchel/storage"
	"satchel/storage/mem"
	"satchel/storage/pack"
)

// TestMovedNeedsPacks: the next head of a volume to which something was moved and
// synced waits for the packs with it, after a crash too.
func TestMovedNeedsPacks(t *testing.T) {
	w := newWorld(t)
	dir := t.TempDir()
	open := func(l string, last Last) *Volume {
		w.journal = filepath.Join(dir, l)
		return w.open(l, last)
	}
	a, b := open("a", Last{}), open("b", Last{})
	write(t, a.Root(), "f", random(1, 300_000))
	if err := a.Commit(ctx); err != nil {
		t.Fatal(err)
	}
	data := w.needs[0]
	if err := Move(ctx, a.Root(), "f", b.Root(), "f", false); err != nil {
		t.Fatal(err)
	}
	if err := b.Sync(ctx); err != nil {
		t.Fatal(err)
	}
	w.reopen()
	b = open("b", b.Last())
	if err := b.Republish(ctx); err != nil {
		t.Fatal(err)
	}
	var needs []pack.ID
	for i, l := range w.order {
		if l == "b" {
			needs = append(needs, w.needs[i]...)
		}
	}
	for _, id := range data {
		if !slices.Contains(needs, id) {
			t.Errorf("pack %s is not waited for", id)
		}
	}
	if got := read(t, b.Root(), "f"); !bytes.Equal(got, random(1, 300_000)) {
		t.Error("lost")
	}
}

// TestSettledAfterCopy: a volume into which something was copied from another one
// leaves alone what the other's journal says of packs, after a crash too.
func TestSettledAfterCopy(t *testing.T) {
	w := newWorld(t)
	dir := t.TempDir()
	open := func(l string, last Last) *Volume {
		w.journal = filepath.Join(dir, l)
		o := w.options(l)
		o.Warn = func(err error) { t.Errorf("warned: %v", err) }
		return must[*Volume](t)(Open(ctx, last, o))
	}
	a, b := open("a", Last{}), open("b", Last{})
	big := random(1, chunkSize)
	f := write(t, a.Root(), "f", big)
	if err := a.Sync(ctx); err != nil { // refers to an open pack
		t.Fatal(err)
	}
	if err := a.closePacks(); err != nil {
		t.Fatal(err)
	}
	g := must[*Node](t)(b.Root().Create(ctx, "g", New{Mode: 0o600}))
	from, to := must[*Handle](t)(f.Open(ctx, false, false, false)), must[*Handle](t)(g.Open(ctx, true, false, false))
	must[int64](t)(CopyRange(ctx, from, 0, to, 0, chunkSize))
	if _, sealed := g.file.sealed[0]; !sealed {
		t.Fatal("copied by bytes")
	}
	if err := b.Sync(ctx); err != nil {
		t.Fatal(err)
	}
	w.reopen()
	if err := open("b", b.Last()).Commit(ctx); err != nil {
		t.Fatal(err)
	}
	w.reopen()
	a = open("a", a.Last())
	n := must[*Node](t)(a.Root().Lookup(ctx, "f"))
	h := must[*Handle](t)(n.Open(ctx, false, false, false))
	got := make([]byte, len(big))
	if _, err := h.ReadAt(ctx, got, 0); err != nil || !bytes.Equal(got, big) {
		t.Errorf("synced file lost: %v", err)
	}
}

// TestKnownHeadAgain: a head that is known already is no reason for a commit.
func TestKnownHeadAgain(t *testing.T) {
	w := newWorld(t)
	a := w.open("Private", Last{})
	write(t, a.Root(), "f", []byte("old"))
	if err := a.Commit(ctx); err != nil {
		t.Fatal(err)
	}
	w.journal = filepath.Join(t.TempDir(), "journal")
	o := w.options("Private")
	o.Self = crypto.DeviceID{2}
	b := must[*Volume](t)(Open(ctx, Last{}, o))
	l := a.Last()
	head := tree.Head{Writer: crypto.DeviceID{1}, Name: "a.id", Seq: l.Seq, Hash: l.Head, Vector: l.Vector, Root: l.Root, Digest: l.Digest}
	for i, want := range []int{2, 2, 2} { // commits so far, a's among them
		must[bool](t)(b.Merge(ctx, head))
		write(t, b.Root(), string(rune('a'+i)), nil)
		if err := b.Sync(ctx); err != nil {
			t.Fatal(err)
		}
		if len(w.order) != want {
			t.Errorf("%d commits, want %d", len(w.order), want)
		}
	}
}

// TestClosedStaysClosed: nothing is written to a closed volume, whoever allows it.
func TestClosedStaysClosed(t *testing.T) {
	v := newWorld(t).open("Private", Last{})
	if err := v.Close(); err != nil {
		t.Fatal(err)
	}
	for _, why := range []error{nil, os.ErrPermission} {
		v.Freeze(why)
		if _, err := v.Root().Create(ctx, "f", New{Mode: 0o600}); !errors.Is(err, os.ErrClosed) {
			t.Errorf("created: %v", err)
		}
	}
}

// away puts all closed packs to a provider and removes them here.
func (w *world) away() storage.Provider {
	w.t.Helper()
	d := mem.New()
	for _, id := range w.packs.Packs() {
		f, size, err := w.packs.OpenPack(id)
		if err == nil {
			err = errors.Join(d.Put(ctx, id.Key(), io.NewSectionReader(f, 0, size), size), f.Close(), w.packs.Drop(id))
		}
		if err != nil {
			w.t.Fatal(err)
		}
	}
	return storage.Provider{URL: "mem://x", Driver: d}
}

// TestFetchWithoutStall: while a commit fetches what it needs writers go on, though
// they write so much that it has them wait for its instant.
func TestFetchWithoutStall(t *testing.T) {
	w := newWorld(t)
	w.budget = 64 << 20
	v := w.open("Private", Last{})
	const chunks = 6
	write(t, v.Root(), "f", random(1, chunks*chunkSize))
	if err := v.Commit(ctx); err != nil {
		t.Fatal(err)
	}
	last := v.Last()
	w.reopen()
	provider := w.away()
	o := w.options("Private")
	next, asked := 0, false
	var h *Handle
	o.Source = func(context.Context, string) ([]storage.Provider, func(string, error), error) {
		if v != nil {
			v.mu.Lock()
			stalled := v.stalled != nil
			v.mu.Unlock()
			if stalled {
				t.Error("writers wait for a provider")
			} else if asked && next < chunks {
				n := next
				next++
				must[int](t)(h.WriteAt(ctx, []byte("new"), int64(n)*chunkSize+5000))
			}
		}
		return []storage.Provider{provider}, func(string, error) {}, nil
	}
	v = nil
	v = must[*Volume](t)(Open(ctx, last, o))
	f := must[*Node](t)(v.Root().Lookup(ctx, "f"))
	h = must[*Handle](t)(f.Open(ctx, true, false, false))
	must[int](t)(h.WriteAt(ctx, []byte("new"), 0))
	next, asked = 1, true
	if err := v.Commit(ctx); err != nil {
		t.Fatal(err)
	}
	if next < 3 {
		t.Errorf("%d chunks were written meanwhile: that tests nothing", next)
	}
}
