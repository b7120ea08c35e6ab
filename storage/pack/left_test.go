package pack

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	"satchel/storage/storagetest"
)

// TestAdopt goes on twice with a pack that was left open, writing over what was
// not known to count, and finds it whole when it is closed.
func TestAdopt(t *testing.T) {
	dir := t.TempDir()
	parts := [][]byte{storagetest.Bytes(1, 5000), storagetest.Bytes(2, 3000), storagetest.Bytes(3, 100)}
	s := openStore(t, dir, 0)
	w, err := s.Create()
	if err != nil {
		t.Fatal(err)
	}
	id := w.ID()
	size := int64(0)
	for i, p := range parts {
		if i > 0 {
			if err := s.Close(); err != nil {
				t.Fatal(err)
			}
			s = openStore(t, dir, 0)
			if _, err := s.ReadAt(id, 0, 1); !errors.Is(err, os.ErrNotExist) {
				t.Errorf("read before it is adopted: %v", err)
			}
			if short, err := s.Adopt(id, 99_999); err != nil || short.Size() != size+50 {
				t.Errorf("adopted more than there is: %v", err)
			} else {
				short.Leave()
			}
			if w, err = s.Adopt(id, size); err != nil {
				t.Fatal(err)
			}
			if w.named {
				t.Error("the folder is taken for synced")
			}
			if _, err := s.Adopt(id, size); !errors.Is(err, os.ErrNotExist) {
				t.Errorf("adopted twice: %v", err)
			}
		}
		if off, err := w.Append(p); err != nil || off != size {
			t.Fatalf("at %d, %v", off, err)
		}
		size += int64(len(p))
		if err := w.Sync(); err != nil {
			t.Fatal(err)
		}
		if _, err := w.Append(make([]byte, 50)); err != nil { // not known to count
			t.Fatal(err)
		}
	}
	// The last one stays as it is.
	real, err := w.Close()
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(s.Close()); err != nil {
		t.Fatal(err)
	}
	s = openStore(t, dir, 0)
	if got, closed := s.Resolve(id); !closed || got != real {
		t.Fatalf("%v, %v; want %v", got, closed, real)
	}
	size = 0
	for _, p := range parts {
		wantLocal(t, s, id, size, p)
		size += int64(len(p))
	}
	if err := s.DropLeft(); err != nil {
		t.Fatal(err)
	}
	if err := s.Settled([]ID{real}); err != nil {
		t.Fatal(err)
	}
	if list, err := os.ReadDir(filepath.Join(dir, "open")); err != nil || len(list) != 0 {
		t.Errorf("%v, %v", list, err)
	}
}

// TestAliasBeforeTheRename: a pack whose closing was cut short between its alias
// and its new name is open, whatever the alias says.
func TestAliasBeforeTheRename(t *testing.T) {
	dir := t.TempDir()
	s := openStore(t, dir, 0)
	w, err := s.Create()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.Append(storagetest.Bytes(1, 500)); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(w.Sync(), s.alias(w.ID(), ID{9}), s.Close()); err != nil {
		t.Fatal(err)
	}
	s = openStore(t, dir, 0)
	if _, closed := s.Resolve(w.ID()); closed {
		t.Error("an alias of no pack counts")
	}
	if w, err = s.Adopt(w.ID(), 500); err != nil {
		t.Fatal(err)
	}
	if _, err := w.Close(); err != nil {
		t.Fatal(err)
	}
}

// TestDropLeft removes what nobody went on with.
func TestDropLeft(t *testing.T) {
	dir := t.TempDir()
	s := openStore(t, dir, 0)
	w, err := s.Create()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.Append([]byte("x")); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	s = openStore(t, dir, 0)
	if err := s.DropLeft(); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Adopt(w.ID(), 1); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("%v", err)
	}
	if list, err := os.ReadDir(filepath.Join(dir, "open")); err != nil || len(list) != 0 {
		t.Errorf("%v, %v", list, err)
	}
}

// TestEvictedAlias: a pack that was closed, stored and evicted is known by its
// provisional id all the same.
func TestEvictedAlias(t *testing.T) {
	dir := t.TempDir()
	s := openStore(t, dir, 1)
	w, err := s.Create()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.Append(storagetest.Bytes(1, 5000)); err != nil {
		t.Fatal(err)
	}
	provisional := w.ID()
	id, err := w.Close()
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(s.Unpin(id), s.Close()); err != nil {
		t.Fatal(err)
	}
	s = openStore(t, dir, 1)
	if got, _ := s.Resolve(provisional); got != id || len(s.Packs()) != 0 {
		t.Errorf("%v, want %v; here are %v", got, id, s.Packs())
	}
}

// TestSyncAfterFailure: a file of which a sync failed is written anew before
// another sync counts.
func TestSyncAfterFailure(t *testing.T) {
	s := openStore(t, t.TempDir(), 0)
	w, err := s.Create()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.Append(storagetest.Bytes(1, 5000)); err != nil {
		t.Fatal(err)
	}
	before := w.f
	w.broken = true
	if err := w.Sync(); err != nil || w.broken || w.f == before {
		t.Errorf("%v, broken %v", err, w.broken)
	}
	wantLocal(t, s, w.ID(), 0, storagetest.Bytes(1, 5000))
}

// TestLeave gives a pack up and goes on with it.
func TestLeave(t *testing.T) {
	s := openStore(t, t.TempDir(), 0)
	w, err := s.Create()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.Append(storagetest.Bytes(1, 5000)); err != nil {
		t.Fatal(err)
	}
	w.Leave()
	if _, err := w.Append([]byte("x")); err == nil {
		t.Error("appended to what was given up")
	}
	if w, err = s.Adopt(w.ID(), 5000); err != nil {
		t.Fatal(err)
	}
	if _, err := w.Close(); err != nil {
		t.Fatal(err)
	}
}

// TestAbortAfterFailedClose: a Close that fails behind the alias, and then an Abort,
// leave nothing.
func TestAbortAfterFailedClose(t *testing.T) {
	dir := t.TempDir()
	s := openStore(t, dir, 0)
	w, err := s.Create()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.Append(storagetest.Bytes(1, 500)); err != nil {
		t.Fatal(err)
	}
	staged := filepath.Join(dir, "staged")
	if err := os.Rename(staged, staged+".x"); err != nil {
		t.Fatal(err)
	}
	if _, err := w.Close(); err == nil {
		t.Fatal("closed")
	}
	if err := errors.Join(w.Abort(), os.Rename(staged+".x", staged)); err != nil {
		t.Fatal(err)
	}
	if list, err := os.ReadDir(filepath.Join(dir, "open")); err != nil || len(list) != 0 {
		t.Errorf("%v, %v", list, err)
	}
}

// TestBrokenTwice: the file that was synced before stays until another one has all
// of it.
func TestBrokenTwice(t *testing.T) {
	dir := t.TempDir()
	s := openStore(t, dir, 0)
	w, err := s.Create()
	if err != nil {
		t.Fatal(err)
	}
	a := storagetest.Bytes(1, 5000)
	if _, err := w.Append(a); err != nil {
		t.Fatal(err)
	}
	if err := w.Sync(); err != nil {
		t.Fatal(err)
	}
	before := w.f
	w.broken = true
	temp := filepath.Join(dir, "open", w.ID().String()+".new")
	if err := os.Symlink("/dev/null", temp); err != nil { // can be written and not synced
		t.Fatal(err)
	}
	if err := w.Sync(); err == nil || w.f != before || !w.broken {
		t.Errorf("%v, broken %v", err, w.broken)
	}
	if err := w.Sync(); err != nil {
		t.Error(err)
	}
	wantLocal(t, s, w.ID(), 0, a)
}
