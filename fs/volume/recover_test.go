package volume

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"

	"satchel/fs/tree"
)

func put(t *testing.T, n *Node, b []byte, off int64) {
	t.Helper()
	h := must[*Handle](t)(n.Open(ctx, true, false, false))
	must[int](t)(h.WriteAt(ctx, b, off))
	h.Close()
}

// TestOpenFails: an Open that fails behind what it took leaves it for the next
// one, and the budget alone. A full disk is no reason to fail.
func TestOpenFails(t *testing.T) {
	w := newWorld(t)
	w.journal = filepath.Join(t.TempDir(), "journal")
	v := w.open("Private", Last{})
	dir := must[*Node](t)(v.Root().Create(ctx, "dir", New{Kind: tree.Dir, Mode: 0o700}))
	if err := v.Commit(ctx); err != nil {
		t.Fatal(err)
	}
	big := random(1, 300_000)
	write(t, dir, "f", big)
	write(t, dir, "g", random(2, 100_000))
	if err := v.Sync(ctx); err != nil {
		t.Fatal(err)
	}
	last := v.Last()
	w.reopen()
	o := w.options("Private")
	o.Free = func() int64 { return 0 }
	o.Warn = func(err error) { t.Errorf("warned: %v", err) }
	gone, cancel := context.WithCancel(ctx)
	cancel()
	if _, err := Open(gone, last, o); !errors.Is(err, context.Canceled) {
		t.Fatalf("%v", err)
	}
	if used := o.Budget.inUse(); used != 0 {
		t.Errorf("%d bytes stay taken", used)
	}
	v = must[*Volume](t)(Open(ctx, last, o))
	dir = must[*Node](t)(v.Root().Lookup(ctx, "dir"))
	if got := read(t, dir, "f"); !bytes.Equal(got, big) {
		t.Error("what was synced is lost")
	}
	short, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	if err := v.Commit(short); err != nil {
		t.Error(err)
	}
}

// TestSettledOfOthers: a commit of a volume to which something was moved leaves
// alone what the journal of a third one refers to.
func TestSettledOfOthers(t *testing.T) {
	w := newWorld(t)
	dir := t.TempDir()
	open := func(l string, last Last) *Volume {
		w.journal = filepath.Join(dir, l)
		o := w.options(l)
		o.Warn = func(err error) { t.Errorf("warned: %v", err) }
		return must[*Volume](t)(Open(ctx, last, o))
	}
	c, a, b := open("c", Last{}), open("a", Last{}), open("b", Last{})
	big := random(1, 300_000)
	write(t, c.Root(), "f", big)
	if err := c.Sync(ctx); err != nil {
		t.Fatal(err)
	}
	n := must[*Node](t)(c.Root().Create(ctx, "more", New{Mode: 0o600}))
	for i := range 9 { // the pack is full and closed
		put(t, n, random(int64(i), chunkSize), int64(i)*chunkSize)
	}
	time.Sleep(300 * time.Millisecond)
	if len(w.packs.Staged()) == 0 {
		t.Fatal("no pack closed")
	}
	write(t, a.Root(), "x", []byte("y"))
	if err := Move(ctx, a.Root(), "x", b.Root(), "x", false); err != nil {
		t.Fatal(err)
	}
	if err := b.Commit(ctx); err != nil {
		t.Fatal(err)
	}
	w.reopen()
	c = open("c", c.Last())
	x := must[*Node](t)(c.Root().Lookup(ctx, "f"))
	h := must[*Handle](t)(x.Open(ctx, false, false, false))
	p := make([]byte, len(big))
	cc, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	if _, err := h.ReadAt(cc, p, 0); err != nil && err.Error() != "EOF" || !bytes.Equal(p, big) {
		t.Errorf("synced file lost: %v", err)
	}
}

// TestCommitFailsBetween: a commit that fails between the files and the tree does
// not hide from the journal what the files hold.
func TestCommitFailsBetween(t *testing.T) {
	w := newWorld(t)
	w.journal = filepath.Join(t.TempDir(), "journal")
	v := w.open("Private", Last{})
	n := write(t, v.Root(), "f", []byte("old"))
	if err := v.Sync(ctx); err != nil {
		t.Fatal(err)
	}
	put(t, n, []byte("new"), 0)
	open := filepath.Join(w.dir, "open")
	if err := os.Rename(open, open+".x"); err != nil { // the disk is full
		t.Fatal(err)
	}
	if err := v.Commit(ctx); err == nil {
		t.Fatal("committed")
	}
	if err := os.Rename(open+".x", open); err != nil {
		t.Fatal(err)
	}
	if err := v.Sync(ctx); err != nil {
		t.Fatal(err)
	}
	last := v.Last()
	w.reopen()
	if got := read(t, w.open("Private", last).Root(), "f"); string(got) != "new" {
		t.Errorf("after a crash: %q", got)
	}
}

// TestTimeAfterSync: the time of a file that was synced is set, and synced.
func TestTimeAfterSync(t *testing.T) {
	w := newWorld(t)
	w.journal = filepath.Join(t.TempDir(), "journal")
	v := w.open("Private", Last{})
	n := write(t, v.Root(), "f", []byte("data"))
	if err := v.Sync(ctx); err != nil {
		t.Fatal(err)
	}
	m := int64(1234567890)
	must[tree.Info](t)(n.SetAttr(ctx, Change{Mtime: &m}))
	if err := v.Sync(ctx); err != nil {
		t.Fatal(err)
	}
	w.reopen()
	x := must[*Node](t)(w.open("Private", Last{}).Root().Lookup(ctx, "f"))
	if i := must[tree.Info](t)(x.Info(ctx)); i.Mtime != m {
		t.Errorf("mtime %d", i.Mtime)
	}
}

// TestBatchFailsAfterCommit: a batch that was taken before a commit and fails
// behind it says nothing of what the file is by then.
func TestBatchFailsAfterCommit(t *testing.T) {
	w := newWorld(t)
	w.journal = filepath.Join(t.TempDir(), "journal")
	v := w.open("Private", Last{})
	big := random(1, 100_000)
	n := write(t, v.Root(), "f", nil)
	if err := v.Commit(ctx); err != nil {
		t.Fatal(err)
	}
	put(t, n, big, 0)
	var b *batch
	if err := v.locked(func() (err error) { b, err = v.instant(); return err }); err != nil { // its Append hangs
		t.Fatal(err)
	}
	// Publish is where a writer comes between the freeze and the Begin.
	w.fail = func(string) error {
		w.fail = nil
		put(t, n, []byte("X"), 50_000)
		v.mu.Lock()
		b.putBack(v) // and fails
		v.mu.Unlock()
		return nil
	}
	if err := v.Commit(ctx); err != nil {
		t.Fatal(err)
	}
	seq := v.Last().Seq
	if err := v.Sync(ctx); err != nil {
		t.Fatal(err)
	}
	if v.Last().Seq != seq {
		t.Fatal("committed")
	}
	want := bytes.Clone(big)
	want[50_000] = 'X'
	last := v.Last()
	w.reopen()
	if got := read(t, w.open("Private", last).Root(), "f"); !bytes.Equal(got, want) {
		t.Error("what was committed is lost")
	}
}

// TestRestoredIsNumbered: what was found in the journal is a datum of the commit that
// it gets into, and of no later one.
func TestRestoredIsNumbered(t *testing.T) {
	w := newWorld(t)
	w.journal = filepath.Join(t.TempDir(), "journal")
	v := w.open("Private", Last{})
	write(t, v.Root(), "f", []byte("data"))
	must[*Node](t)(v.Root().Create(ctx, "dir", New{Kind: tree.Dir, Mode: 0o700}))
	if err := v.Sync(ctx); err != nil {
		t.Fatal(err)
	}
	w.reopen()
	v = w.open("Private", Last{})
	if err := v.Commit(ctx); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"f", "dir"} {
		n := must[*Node](t)(v.Root().Lookup(ctx, name))
		if i := must[tree.Info](t)(n.Info(ctx)); i.Dot.Seq != 1 || name == "f" && i.DataDot.Seq != 1 {
			t.Errorf("%s is of commit %d, its datum of %d", name, i.Dot.Seq, i.DataDot.Seq)
		}
	}
}
