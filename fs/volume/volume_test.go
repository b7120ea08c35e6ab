package volume

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"math/rand"
	"slices"
	"testing"

	"satchel/crypto"
	"satchel/fs/tree"
	"satchel/storage"
	"satchel/storage/pack"
)

var ctx = context.Background()

// world is a device with packs of its own and nobody else.
type world struct {
	t         *testing.T
	dir       string
	packs     *pack.Store
	order     []string // of published volumes
	needs     [][]pack.ID
	fail      func(label string) error
	journal   string // folder, none if empty
	budget    int64
	published func(Last)
}

func newWorld(t *testing.T) *world {
	w := &world{t: t, dir: t.TempDir()}
	w.reopen()
	return w
}

func (w *world) reopen() {
	w.t.Helper()
	if w.packs != nil {
		w.packs.Close()
	}
	var err error
	if w.packs, err = pack.Open(w.dir, 1<<30); err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(func() { w.packs.Close() })
}

func (w *world) open(label string, last Last) *Volume {
	w.t.Helper()
	v, err := Open(ctx, last, w.options(label))
	if err != nil {
		w.t.Fatal(err)
	}
	return v
}

func (w *world) options(label string) Options {
	return Options{
		Label: label, Self: crypto.DeviceID{1}, Name: "a.id", Packs: w.packs, Budget: &Budget{Max: cmp.Or(w.budget, 4<<20)}, Journal: w.journal,
		Member: func(string) bool { return true },
		Source: func(context.Context, string) ([]storage.Provider, func(string, error), error) {
			return nil, func(string, error) {}, nil
		},
		Publish: func(ctx context.Context, c Commit) (crypto.Hash, error) {
			if w.fail != nil {
				if err := w.fail(label); err != nil {
					return crypto.Hash{}, err
				}
			}
			w.order = append(w.order, label)
			w.needs = append(w.needs, c.Packs)
			head := crypto.Sum(fmt.Append(nil, label, c.Seq))
			if w.published != nil {
				w.published(Last{c, head})
			}
			return head, nil
		},
	}
}

func must[T any](t *testing.T) func(T, error) T {
	return func(v T, err error) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}

func write(t *testing.T, dir *Node, name string, data []byte) *Node {
	t.Helper()
	n := must[*Node](t)(dir.Create(ctx, name, New{Mode: 0o644}))
	h := must[*Handle](t)(n.Open(ctx, true, false, false))
	must[int](t)(h.WriteAt(ctx, data, 0))
	h.Close()
	return n
}

func read(t *testing.T, dir *Node, name string) []byte {
	t.Helper()
	n := must[*Node](t)(dir.Lookup(ctx, name))
	info := must[tree.Info](t)(n.Info(ctx))
	h := must[*Handle](t)(n.Open(ctx, false, false, false))
	defer h.Close()
	p := make([]byte, info.Size)
	if _, err := h.ReadAt(ctx, p, 0); err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	return p
}

func random(seed int64, n int) []byte {
	b := make([]byte, n)
	rand.New(rand.NewSource(seed)).Read(b)
	return b
}

// sparse writes one byte at the beginning of each of a file's chunks.
func sparse(t *testing.T, dir *Node, name string, chunks int) *Node {
	t.Helper()
	n := write(t, dir, name, nil)
	h := must[*Handle](t)(n.Open(ctx, true, false, false))
	defer h.Close()
	for i := range chunks {
		must[int](t)(h.WriteAt(ctx, []byte{byte(i + 1)}, int64(i)*chunkSize))
	}
	return n
}

// An inline file that grew needs a pack after the others' nodes were written:
// the commit takes two rounds, and the nodes of the first must survive it. In
// which order the files come is chance, so it is tried several times.
func TestCommitInSeveralRounds(t *testing.T) {
	for range 8 {
		w := newWorld(t)
		v := w.open("P", Last{})
		root := v.Root()
		small := write(t, root, "small", []byte("hello"))
		if err := v.Commit(ctx); err != nil {
			t.Fatal(err)
		}
		for i := range 4 {
			sparse(t, root, fmt.Sprint("big", i), 4)
		}
		size := uint64(1 << 20)
		must[tree.Info](t)(small.SetAttr(ctx, Change{Size: &size}))
		if err := v.Commit(ctx); err != nil {
			t.Fatal(err)
		}
		last := v.Last()
		w.reopen()
		root = w.open("P", last).Root()
		for i := range 4 {
			got := read(t, root, fmt.Sprint("big", i))
			for c := range 4 {
				if got[c*chunkSize] != byte(c+1) {
					t.Errorf("big%d: chunk %d differs", i, c)
				}
			}
		}
		if want := append([]byte("hello"), make([]byte, 1<<20-5)...); !bytes.Equal(read(t, root, "small"), want) {
			t.Error("small differs")
		}
	}
}

// A head that could not be published is published by the next commit, with all
// that changed since.
func TestCommitAfterFailure(t *testing.T) {
	w := newWorld(t)
	v := w.open("P", Last{})
	write(t, v.Root(), "a", random(1, 3<<20))
	w.fail = func(string) error { return errors.New("no") }
	if err := v.Commit(ctx); err == nil {
		t.Fatal("commit went well")
	}
	write(t, v.Root(), "b", random(2, 3<<20))
	w.fail = nil
	if err := v.Commit(ctx); err != nil {
		t.Fatal(err)
	}
	last := v.Last()
	if last.Seq != 2 {
		t.Fatalf("seq %d, want 2", last.Seq)
	}
	w.reopen()
	root := w.open("P", last).Root()
	for i, name := range []string{"a", "b"} {
		if !bytes.Equal(read(t, root, name), random(int64(i+1), 3<<20)) {
			t.Errorf("%s differs", name)
		}
	}
}

// What was moved is published where it went before it is gone from where it was.
func TestMovesArePublishedInOrder(t *testing.T) {
	w := newWorld(t)
	a, b := w.open("A", Last{}), w.open("B", Last{})
	write(t, a.Root(), "x", []byte("x"))
	write(t, b.Root(), "y", []byte("y"))
	for _, v := range []*Volume{a, b} {
		if err := v.Commit(ctx); err != nil {
			t.Fatal(err)
		}
	}
	if err := Move(ctx, a.Root(), "x", b.Root(), "x", false); err != nil {
		t.Fatal(err)
	}
	if err := Move(ctx, b.Root(), "y", a.Root(), "y", false); err != nil {
		t.Fatal(err)
	}
	w.order = nil
	if err := b.Commit(ctx); err != nil {
		t.Fatal(err)
	}
	if want := []string{"A", "B"}; !slices.Equal(w.order, want) {
		t.Fatalf("published %q, want %q", w.order, want)
	}
	w.reopen()
	if got := read(t, w.open("A", a.Last()).Root(), "y"); string(got) != "y" {
		t.Fatalf("y: %q", got)
	}
	if got := read(t, w.open("B", b.Last()).Root(), "x"); string(got) != "x" {
		t.Fatalf("x: %q", got)
	}
}

// A deep tree of which nothing is in memory moves.
func TestMoveColdTree(t *testing.T) {
	w := newWorld(t)
	a := w.open("A", Last{})
	n := a.Root()
	for range 12 {
		n = must[*Node](t)(n.Create(ctx, "d", New{Kind: tree.Dir, Mode: 0o755}))
	}
	write(t, n, "leaf", random(3, 3<<20))
	if err := a.Commit(ctx); err != nil {
		t.Fatal(err)
	}
	a, b := w.open("A", a.Last()), w.open("B", Last{})
	if err := Move(ctx, a.Root(), "d", b.Root(), "e", false); err != nil {
		t.Fatal(err)
	}
	n = must[*Node](t)(b.Root().Lookup(ctx, "e"))
	for range 11 {
		n = must[*Node](t)(n.Lookup(ctx, "d"))
	}
	if !bytes.Equal(read(t, n, "leaf"), random(3, 3<<20)) {
		t.Error("leaf differs")
	}
}

// An append rewrites the last chunk and nothing else.
func TestAppendWritesOneChunk(t *testing.T) {
	w := newWorld(t)
	v := w.open("P", Last{})
	n := write(t, v.Root(), "f", random(1, 20<<20+100))
	if err := v.Commit(ctx); err != nil {
		t.Fatal(err)
	}
	before := len(w.packs.Packs())
	var size int64
	sum := func() (total int64) {
		for _, id := range w.packs.Packs() {
			f, n, err := w.packs.OpenPack(id)
			if err != nil {
				t.Fatal(err)
			}
			f.Close()
			total += n
		}
		return total
	}
	size = sum()
	h := must[*Handle](t)(n.Open(ctx, true, false, false))
	must[int](t)(h.WriteAt(ctx, []byte("more"), 20<<20+100))
	h.Close()
	if err := v.Commit(ctx); err != nil {
		t.Fatal(err)
	}
	if grown := sum() - size; grown > 64<<10 {
		t.Errorf("4 bytes appended to 20 MiB put %d bytes into %d packs", grown, len(w.packs.Packs())-before)
	}
	if got := read(t, v.Root(), "f"); string(got[20<<20+100:]) != "more" || !bytes.Equal(got[:20<<20+100], random(1, 20<<20+100)) {
		t.Error("content differs")
	}
}

// Written data that is dropped before it is committed leaves nothing in the budget.
func TestBudgetComesBack(t *testing.T) {
	w := newWorld(t)
	v := w.open("P", Last{})
	root := v.Root()
	n := sparse(t, root, "f", 8)
	if v.opt.Budget.used == 0 {
		t.Fatal("nothing is in memory")
	}
	for _, size := range []uint64{5<<20 + 17, 100, 3 << 20} {
		must[tree.Info](t)(n.SetAttr(ctx, Change{Size: &size}))
	}
	write(t, root, "g", random(2, 1<<20-1))
	if err := root.Remove(ctx, "g", false); err != nil {
		t.Fatal(err)
	}
	if err := v.Commit(ctx); err != nil {
		t.Fatal(err)
	}
	if used := v.opt.Budget.used; used != 0 {
		t.Errorf("%d bytes of the budget are still in use", used)
	}
}

// A pack that closes while a head is being signed is a need of the next head.
func TestPackClosedWhilePublishing(t *testing.T) {
	w := newWorld(t)
	v := w.open("P", Last{})
	root := v.Root()
	write(t, root, "a", random(1, 1<<20))
	w.fail = func(string) error {
		w.fail = nil
		write(t, root, "b", random(2, packSize+2<<20))
		v.packMu.Lock()
		defer v.packMu.Unlock()
		for len(v.closing) > 0 {
			v.packCond.Wait()
		}
		return nil
	}
	for range 2 {
		if err := v.Commit(ctx); err != nil {
			t.Fatal(err)
		}
	}
	needed := make(map[pack.ID]bool)
	for _, list := range w.needs {
		for _, id := range list {
			needed[id] = true
		}
	}
	for _, id := range w.packs.Staged() {
		if !needed[id] {
			t.Errorf("no head needs pack %v", id)
		}
	}
}
