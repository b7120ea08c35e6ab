package journal

import (
	"os"
	"path/filepath"
	"testing"
)

// TestPrepare: until Begin the batches so far count on the one commit, and the first
// batch on the other; then that and what follows.
func TestPrepare(t *testing.T) {
	for before := range 3 {
		dir := t.TempDir()
		last, next := Base{Seq: uint64(before)}, Base{Seq: 9}
		l, _ := open(t, dir, Base{})
		for i := range before {
			if err := l.Begin(Base{Seq: uint64(i + 1)}); err != nil {
				t.Fatal(err)
			}
		}
		must := func(err error) {
			t.Helper()
			if err != nil {
				t.Fatal(err)
			}
		}
		want := func(base Base, batches ...string) {
			t.Helper()
			_, got := open(t, dir, base)
			bytes := make([][]byte, len(batches))
			for i, b := range batches {
				bytes[i] = []byte(b)
			}
			if !sameBatches(got, bytes) {
				t.Errorf("after %d others, on commit %d: %q, want %q", before, base.Seq, got, batches)
			}
		}
		must(l.Append([]byte("one")))
		must(l.Prepare(next, []byte("first")))
		want(last, "one")
		want(next, "first")
		must(l.Append([]byte("two")))
		must(l.Prepare(next, []byte("other")))
		want(last, "one", "two")
		want(next, "first")
		must(l.Begin(next))
		must(l.Append([]byte("three")))
		want(next, "first", "three")
		if l.Prepare(next, nil) == nil {
			t.Error("prepared what it stands on")
		}

		// Something else is committed than what was prepared.
		must(l.Prepare(Base{Seq: 10}, make([]byte, partSize+1)))
		other := Base{Seq: 10, Root: [32]byte{1}}
		must(l.Begin(other))
		want(other)
		want(Base{Seq: 10})
	}
}

// TestPrepareTorn: what was prepared by half is nothing, whichever half.
func TestPrepareTorn(t *testing.T) {
	dir := t.TempDir()
	l, _ := open(t, dir, Base{})
	if err := l.Append([]byte("one")); err != nil {
		t.Fatal(err)
	}
	pipe, feed, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer pipe.Close()
	defer feed.Close()
	next := l.files[1]
	l.files[1] = feed // can't be written at an offset
	if l.Prepare(Base{Seq: 1}, []byte("first")) == nil {
		t.Fatal("no error")
	}
	l.files[1] = next
	if err := l.Append([]byte("two")); err != nil {
		t.Errorf("after a failed Prepare: %v", err)
	}
	if err := l.Prepare(Base{Seq: 1}, []byte("first")); err != nil {
		t.Fatal(err)
	}
	l.Close()
	// The crash comes before the head is written.
	b, err := os.ReadFile(filepath.Join(dir, "b"))
	if err != nil {
		t.Fatal(err)
	}
	clear(b[:block])
	if err := os.WriteFile(filepath.Join(dir, "b"), b, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, got := open(t, dir, Base{}); len(got) != 2 {
		t.Errorf("%d batches", len(got))
	}
	if _, got := open(t, dir, Base{Seq: 1}); len(got) != 0 {
		t.Errorf("%d batches of a commit that was not prepared", len(got))
	}
}
