package volume

import (
	"bytes"
	"errors"
	"maps"
	"os"
	"path/filepath"
	"testing"
)

// openFile holds a file open for writing, with what was written and cut off in it.
func openFile(t *testing.T, v *Volume, name string) (*Handle, []byte) {
	t.Helper()
	n := write(t, v.Root(), name, random(1, chunkSize+500_000))
	if err := v.Commit(ctx); err != nil {
		t.Fatal(err)
	}
	h := must[*Handle](t)(n.Open(ctx, true, false, false))
	want := random(1, 900_000)
	must[int](t)(h.WriteAt(ctx, []byte("small"), 10))
	copy(want[10:], "small")
	size := uint64(len(want))
	if _, err := n.SetAttr(ctx, Change{Size: &size}); err != nil {
		t.Fatal(err)
	}
	want = append(want, make([]byte, 3*chunkSize-len(want))...)
	for _, part := range []struct {
		off int64
		b   []byte
	}{{chunkSize + 1000, random(2, 300_000)}, {2*chunkSize + 5, []byte("more")}, {3*chunkSize - 1, []byte{1}}} {
		must[int](t)(h.WriteAt(ctx, part.b, part.off))
		copy(want[part.off:], part.b)
	}
	return h, want
}

// TestIdleLeavesOut: a commit on idleness leaves out what was written to a file
// that is open for writing, and the journal keeps it, wherever the crash comes; a
// commit for another reason has it.
func TestIdleLeavesOut(t *testing.T) {
	w := newWorld(t)
	w.journal = filepath.Join(t.TempDir(), "journal")
	v := w.open("Private", Last{})
	h, want := openFile(t, v, "open")
	write(t, v.Root(), "closed", []byte("closed"))
	if err := v.Sync(ctx); err != nil {
		t.Fatal(err)
	}
	before := v.Last()
	var during crashed
	w.published = func(Last) { during = w.crashed() } // the head is there, the journal not yet begun
	if err := v.CommitIdle(ctx); err != nil {
		t.Fatal(err)
	}
	w.published = nil
	last := v.Last()
	if last.Seq != before.Seq+1 {
		t.Fatalf("commit %d after %d", last.Seq, before.Seq)
	}
	if err := v.CommitIdle(ctx); err != nil || v.Last().Seq != last.Seq {
		t.Errorf("nothing was committed again: %d, %v", v.Last().Seq, err)
	}
	if dirty, _, since := v.Dirty(); !dirty || since.IsZero() {
		t.Error("what was left out waits for no commit")
	}
	must[int](t)(h.WriteAt(ctx, []byte("later"), 2_000))
	later := bytes.Clone(want)
	copy(later[2_000:], "later")
	if err := v.Sync(ctx); err != nil {
		t.Fatal(err)
	}
	if v.Last().Seq != last.Seq {
		t.Error("a sync was a commit")
	}
	now := w.crashed()
	check := func(what string, c crashed, last Last, journal bool, want []byte) {
		t.Helper()
		w := &world{t: t, dir: copyOf(t, c.packs)}
		if journal {
			w.journal = copyOf(t, c.journal)
		}
		w.reopen()
		o := w.options("Private")
		o.Warn = func(err error) { t.Errorf("%s: warned: %v", what, err) }
		v := must[*Volume](t)(Open(ctx, last, o))
		for range 2 {
			if got := read(t, v.Root(), "open"); !bytes.Equal(got, want) {
				t.Errorf("%s: the open file is another one, of %d bytes", what, len(got))
			}
			if got := read(t, v.Root(), "closed"); string(got) != "closed" {
				t.Errorf("%s: closed: %q", what, got)
			}
			if err := v.Commit(ctx); err != nil {
				t.Fatal(err)
			}
		}
		v.Close()
	}
	check("published", now, last, false, random(1, chunkSize+500_000))
	check("crash before the head", during, before, true, want)
	check("crash behind the head", during, last, true, want)
	check("crash later", now, last, true, later)
}

// crashed is what a crash leaves of packs and journal.
type crashed struct{ packs, journal string }

func (w *world) crashed() crashed { return crashed{copyOf(w.t, w.dir), copyOf(w.t, w.journal)} }

func copyOf(t *testing.T, dir string) string {
	t.Helper()
	to := t.TempDir()
	if err := os.CopyFS(to, os.DirFS(dir)); err != nil {
		t.Fatal(err)
	}
	return to
}

// TestIdleThenCommit: what was left out is in the next commit, and in the one on
// idleness after the file was closed.
func TestIdleThenCommit(t *testing.T) {
	for _, closed := range []bool{false, true} {
		w := newWorld(t)
		w.journal = filepath.Join(t.TempDir(), "journal")
		v := w.open("Private", Last{})
		h, want := openFile(t, v, "open")
		write(t, v.Root(), "closed", nil)
		if err := v.CommitIdle(ctx); err != nil {
			t.Fatal(err)
		}
		commit := v.Commit
		if closed {
			h.Close()
			commit = v.CommitIdle
		}
		if err := commit(ctx); err != nil {
			t.Fatal(err)
		}
		last := v.Last()
		w.reopen()
		w.journal = ""
		if got := read(t, w.open("Private", last).Root(), "open"); !bytes.Equal(got, want) {
			t.Errorf("closed %v: it is not in the commit", closed)
		}
	}
}

// TestPublishFailsOnIdle: a commit that leaves something out and fails loses
// nothing, nor when it succeeds later.
func TestPublishFailsOnIdle(t *testing.T) {
	w := newWorld(t)
	w.journal = filepath.Join(t.TempDir(), "journal")
	v := w.open("Private", Last{})
	h, _ := openFile(t, v, "open")
	if err := v.Sync(ctx); err != nil {
		t.Fatal(err)
	}
	want, last := shown(t, v), v.Last()
	write(t, v.Root(), "closed", nil)
	w.fail = func(string) error { return errors.New("no") }
	if v.CommitIdle(ctx) == nil {
		t.Fatal("no error")
	}
	must[int](t)(h.WriteAt(ctx, []byte("meanwhile"), 3))
	w.fail = nil
	w.reopen()
	if got := shown(t, w.open("Private", last)); !maps.Equal(got, want) {
		t.Errorf("after a crash\n%s", differ(got, want))
	}
}
