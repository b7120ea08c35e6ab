package journal

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"syscall"
	"testing"
)

// TestBeginAgain begins twice on one commit: what is appended then is found,
// whichever file it is in.
func TestBeginAgain(t *testing.T) {
	for before := range 3 {
		dir := t.TempDir()
		l, _ := open(t, dir, Base{})
		for i := range before {
			if err := l.Begin(Base{Seq: uint64(i + 1)}); err != nil {
				t.Fatal(err)
			}
		}
		last := Base{Seq: 9}
		for _, b := range []string{"forgotten", "kept"} {
			if err := l.Begin(last); err != nil {
				t.Fatal(err)
			}
			if err := l.Append([]byte(b)); err != nil {
				t.Fatal(err)
			}
		}
		l.Close()
		if _, got := open(t, dir, last); !sameBatches(got, [][]byte{[]byte("kept")}) {
			t.Errorf("after %d others: %q", before, got)
		}
	}
}

// TestFailedBegin: after a Begin that failed, and whose bytes may be on the disk all
// the same, what is appended behind the next one is found.
func TestFailedBegin(t *testing.T) {
	for before := range 3 {
		dir := t.TempDir()
		l, _ := open(t, dir, Base{})
		for i := range before {
			if err := l.Begin(Base{Seq: uint64(i + 1)}); err != nil {
				t.Fatal(err)
			}
		}
		next := 1 - l.at
		f := l.files[next]
		pipe, feed, err := os.Pipe()
		if err != nil {
			t.Fatal(err)
		}
		defer pipe.Close()
		defer feed.Close()
		l.files[next] = feed // can't be written at an offset
		last := Base{Seq: 9}
		if l.Begin(last) == nil || l.Append([]byte("x")) == nil {
			t.Fatal("no error")
		}
		l.files[next] = f
		if err := l.Begin(last); err != nil {
			t.Fatal(err)
		}
		if l.at != next {
			t.Error("begun in the file with the last batches, while the other may say the same")
		}
		if err := l.Append([]byte("kept")); err != nil {
			t.Fatal(err)
		}
		l.Close()
		if _, got := open(t, dir, last); !sameBatches(got, [][]byte{[]byte("kept")}) {
			t.Errorf("after %d others: %q", before, got)
		}
	}
}

// TestFoundIsWritten: the last batch that Open finds may be in memory alone, after
// a sync that failed, and without one the head. It is written again.
func TestFoundIsWritten(t *testing.T) {
	dir := t.TempDir()
	for _, n := range []int{-1, 10, 5000, partSize, partSize + 1} {
		l, found := open(t, dir, Base{})
		last := block
		if n >= 0 {
			begin := l.end
			if err := l.Append(make([]byte, n)); err != nil {
				t.Fatal(err)
			}
			last = int(l.end - begin)
		}
		want := len(found) + min(n+1, 1)
		l.Close()
		before := writtenByUs(t)
		if _, got := open(t, dir, Base{}); len(got) != want {
			t.Fatalf("%d batches, want %d", len(got), want)
		}
		if n := writtenByUs(t) - before; n < last {
			t.Errorf("%d bytes were written, want at least %d", n, last)
		}
	}
}

// writtenByUs is how many bytes this process has written to anything.
func writtenByUs(t *testing.T) int {
	f, err := os.Open("/proc/self/io")
	if err != nil {
		t.Skip(err)
	}
	defer f.Close()
	var read, written int
	if _, err := fmt.Fscanf(f, "rchar: %d\nwchar: %d\n", &read, &written); err != nil {
		t.Fatal(err)
	}
	return written
}

// TestUnreadable: a file that can't be read now is no reason to forget what is
// in it.
func TestUnreadable(t *testing.T) {
	dir := t.TempDir()
	l, _ := open(t, dir, Base{})
	if err := l.Append([]byte("x")); err != nil {
		t.Fatal(err)
	}
	l.Close()
	blind, err := os.OpenFile(filepath.Join(dir, "a"), os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer blind.Close()
	l = &Log{dir: dir, key: key, files: l.files, sizes: l.sizes}
	l.files[0] = blind
	if err := l.find(Base{}, func([]byte) error { return nil }); !errors.Is(err, syscall.EBADF) || !errors.Is(err, ErrDamaged) {
		t.Errorf("%v", err)
	}
	if _, got := open(t, dir, Base{}); len(got) != 1 {
		t.Error("the batch is gone")
	}
}

// TestFoundButNotWritten: what can't be written again is found all the same, but
// nothing is appended to it.
func TestFoundButNotWritten(t *testing.T) {
	dir := t.TempDir()
	l, _ := open(t, dir, Base{})
	if err := l.Append([]byte("x")); err != nil {
		t.Fatal(err)
	}
	f, err := os.Open(filepath.Join(dir, "a"))
	if err != nil {
		t.Fatal(err)
	}
	l.files[0].Close()
	l = &Log{dir: dir, key: key, files: [2]*os.File{f, l.files[1]}, sizes: l.sizes}
	defer l.Close()
	n := 0
	if err := l.find(Base{}, func([]byte) error { n++; return nil }); err != nil || n != 1 {
		t.Fatalf("%d batches, %v", n, err)
	}
	if err := l.Append([]byte("y")); !errors.Is(err, syscall.EBADF) {
		t.Errorf("appended: %v", err)
	}
	if err := errors.Join(l.Begin(Base{Seq: 1}), l.Append([]byte("y"))); err != nil {
		t.Error(err)
	}
}
