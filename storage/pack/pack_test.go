package pack

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"syscall"
	"testing"

	"satchel/storage"
	"satchel/storage/mem"
	"satchel/storage/storagetest"
)

func openStore(t *testing.T, dir string, limit int64) *Store {
	t.Helper()
	s, err := Open(dir, limit)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

// write makes a closed pack of segments.
func write(t *testing.T, s *Store, segments ...[]byte) ID {
	t.Helper()
	w, err := s.Create()
	if err != nil {
		t.Fatal(err)
	}
	for _, b := range segments {
		if _, err := w.Append(b); err != nil {
			t.Fatal(err)
		}
	}
	id, err := w.Close()
	if err != nil {
		t.Fatal(err)
	}
	return id
}

// wantLocal checks bytes that are on this machine; nil means that they aren't.
func wantLocal(t *testing.T, s *Store, id ID, off int64, want []byte) {
	t.Helper()
	got, err := s.ReadAt(id, off, max(int64(len(want)), 1))
	if want == nil {
		if !errors.Is(err, os.ErrNotExist) {
			t.Errorf("pack %s: got %d bytes, %v, want os.ErrNotExist", id, len(got), err)
		}
		return
	}
	if err != nil || !bytes.Equal(got, want) {
		t.Errorf("pack %s at %d: got %d bytes %.10x, %v, want %.10x", id, off, len(got), got, err, want)
	}
}

// all returns a closed pack's bytes.
func all(t *testing.T, s *Store, id ID) []byte {
	t.Helper()
	f, size, err := s.OpenPack(id)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	b, err := io.ReadAll(io.NewSectionReader(f, 0, size))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestPadded(t *testing.T) {
	for n, want := range map[int64]int64{
		0: 0, 1: 1, 2: 2, 3: 3, 8: 8, 9: 10, 100: 104, 1000: 1024, 4096: 4096, 4097: 4352,
		1 << 20: 1 << 20, 1<<20 + 1: 1<<20 + 1<<15, 10_000_000: 10_223_616, MaxSize: MaxSize, MaxSize - 1: MaxSize,
	} {
		if got := Padded(n); got != want {
			t.Errorf("%d: got %d, want %d", n, got, want)
		}
	}
	for n := int64(2); n <= MaxSize; n += 1 + n/100 {
		p := Padded(n)
		if p < n || float64(p) > 1.12*float64(n)+1 || Padded(p) != p {
			t.Fatalf("%d: padded to %d", n, p)
		}
	}
}

func TestKey(t *testing.T) {
	id := ID{0xab, 0x01, 31: 0xff}
	want := "p/ab/ab010000000000000000000000000000000000000000000000000000000000ff"
	if got := id.Key(); got != want || storage.CheckKey(got) != nil {
		t.Errorf("got %s, want %s", got, want)
	}
	if got, ok := parseID(id.String()); !ok || got != id {
		t.Errorf("got %s, %v", got, ok)
	}
	for _, s := range []string{"", "ab", id.String() + "00", "AB" + id.String()[2:], "zz" + id.String()[2:]} {
		if _, ok := parseID(s); ok {
			t.Errorf("%q was read as an id", s)
		}
	}
}

// TestSample reads a pack of this format that was written once and for all:
// segments of 1,000, 20 and 70,000 bytes, and the padding.
func TestSample(t *testing.T) {
	names, err := filepath.Glob("testdata/*.pack")
	if err != nil || len(names) != 1 {
		t.Fatal(names, err)
	}
	b, err := os.ReadFile(names[0])
	if err != nil {
		t.Fatal(err)
	}
	id, ok := parseID(filepath.Base(names[0][:len(names[0])-len(".pack")]))
	if !ok || int64(len(b)) != Padded(71_020) {
		t.Fatalf("%s: %v, %d bytes", names[0], ok, len(b))
	}
	d := mem.New()
	if err := d.Put(t.Context(), id.Key(), bytes.NewReader(b), int64(len(b))); err != nil {
		t.Fatal(err)
	}
	s := openStore(t, t.TempDir(), 0)
	from := []storage.Provider{{URL: "mem://x", Driver: d}}
	off := int64(0)
	for i, n := range []int64{1000, 20, 70_000} {
		want := storagetest.Bytes(uint64(i), int(n))
		got, err := s.Read(t.Context(), from, id, off, n, equal(want), nil)
		if err != nil || !bytes.Equal(got, want) {
			t.Errorf("segment %d: %v", i, err)
		}
		off += n
	}
	if got := s.Packs(); !slices.Contains(got, id) {
		t.Errorf("the pack was not fetched whole and verified by its id: %v", got)
	}
}

func TestWriter(t *testing.T) {
	dir := t.TempDir()
	s := openStore(t, dir, 0)
	w, err := s.Create()
	if err != nil {
		t.Fatal(err)
	}
	prov := w.ID()
	a, b := storagetest.Bytes(1, 1000), storagetest.Bytes(2, 5000)
	for _, c := range []struct {
		b   []byte
		off int64
	}{{a, 0}, {b, 1000}} {
		if off, err := w.Append(c.b); off != c.off || err != nil {
			t.Fatalf("got %d, %v, want %d", off, err, c.off)
		}
		wantLocal(t, s, prov, c.off, c.b)
	}
	if _, err := s.ReadAt(prov, 5999, 2); err == nil || errors.Is(err, os.ErrNotExist) {
		t.Errorf("read behind the end: got %v", err)
	}
	if id, closed := s.Resolve(prov); id != prov || closed {
		t.Errorf("got %s, %v before Close", id, closed)
	}
	if _, _, err := s.OpenPack(prov); err == nil {
		t.Error("an unclosed pack was opened for upload")
	}
	if len(s.Packs()) != 0 || w.Size() != 6000 {
		t.Errorf("got %v, %d bytes", s.Packs(), w.Size())
	}
	if err := w.Sync(); err != nil {
		t.Error(err)
	}
	id, err := w.Close()
	if err != nil {
		t.Fatal(err)
	}
	if real, closed := s.Resolve(prov); real != id || !closed || w.ID() != id {
		t.Errorf("got %s, %v, want %s", real, closed, id)
	}
	if again, err := w.Close(); again != id || err != nil {
		t.Errorf("a second Close: %s, %v", again, err)
	}
	if _, err := w.Append(a); err == nil {
		t.Error("a closed pack grew")
	}
	if err := w.Abort(); err != nil {
		t.Error(err)
	}
	whole := all(t, s, id)
	if got, _ := hashOf(bytes.NewReader(whole), int64(len(whole))); got != id || int64(len(whole)) != Padded(6000) {
		t.Errorf("got %d bytes with hash %s", len(whole), got)
	}
	if bytes.Equal(whole[6000:], make([]byte, len(whole)-6000)) {
		t.Error("the padding is zeros")
	}
	for _, name := range []ID{prov, id} {
		wantLocal(t, s, name, 0, a)
		wantLocal(t, s, name, 1000, b)
	}
	info, err := os.Stat(filepath.Join(dir, "staged", id.String()))
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("got %v, %v", info, err)
	}
}

func TestWriterLimits(t *testing.T) {
	s := openStore(t, t.TempDir(), 0)
	w, err := s.Create()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.Close(); !errors.Is(err, os.ErrInvalid) {
		t.Errorf("empty pack: got %v", err)
	}
	mib := storagetest.Bytes(1, 1<<20)
	for range 16 {
		if _, err := w.Append(mib); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := w.Append([]byte{1}); !errors.Is(err, ErrFull) {
		t.Errorf("got %v, want ErrFull", err)
	}
	id, err := w.Close()
	if err != nil || len(all(t, s, id)) != MaxSize {
		t.Error(err)
	}
	w, err = s.Create()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.Append(mib); err != nil {
		t.Fatal(err)
	}
	prov := w.ID()
	if err := w.Abort(); err != nil {
		t.Error(err)
	}
	wantLocal(t, s, prov, 0, nil)
	if _, err := w.Close(); err == nil {
		t.Error("an aborted pack was closed")
	}
	if u := s.Usage(); u.Pinned != MaxSize || u.Open != 0 {
		t.Errorf("got %+v", u)
	}
}

func TestWriterConcurrent(t *testing.T) {
	s := openStore(t, t.TempDir(), 0)
	w, err := s.Create()
	if err != nil {
		t.Fatal(err)
	}
	prov := w.ID()
	var mu sync.Mutex
	at := make(map[int64][]byte)
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			for j := range 20 {
				b := storagetest.Bytes(uint64(100*i+j), 1000+i)
				off, err := w.Append(b)
				if err != nil {
					t.Error(err)
				}
				wantLocal(t, s, prov, off, b)
				mu.Lock()
				at[off] = b
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	var id ID
	for range 2 { // readers while it is being closed
		wg.Go(func() {
			for off, b := range at {
				wantLocal(t, s, prov, off, b)
			}
		})
	}
	if id, err = w.Close(); err != nil {
		t.Fatal(err)
	}
	wg.Wait()
	for off, b := range at {
		wantLocal(t, s, id, off, b)
	}
}

// TestBrokenSync: after a sync that failed the segments go to a new file.
func TestBrokenSync(t *testing.T) {
	s := openStore(t, t.TempDir(), 0)
	w, err := s.Create()
	if err != nil {
		t.Fatal(err)
	}
	a := storagetest.Bytes(1, 3000)
	if _, err := w.Append(a); err != nil {
		t.Fatal(err)
	}
	old := w.f
	w.broken = true
	id, err := w.Close()
	if err != nil || w.f == old {
		t.Fatal(err)
	}
	wantLocal(t, s, id, 0, a)
}

// TestRestOfFailedAppend: what a write that failed left behind the segments is
// no part of the pack.
func TestRestOfFailedAppend(t *testing.T) {
	dir := t.TempDir()
	s := openStore(t, dir, 0)
	w, err := s.Create()
	if err != nil {
		t.Fatal(err)
	}
	a := storagetest.Bytes(1, 3000)
	if _, err := w.Append(a); err != nil {
		t.Fatal(err)
	}
	if _, err := w.f.WriteAt(a, 50_000); err != nil {
		t.Fatal(err)
	}
	id, err := w.Close()
	if err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(filepath.Join(dir, "staged", id.String()))
	if err != nil || info.Size() != Padded(3000) {
		t.Errorf("got %d bytes, %v, want %d", info.Size(), err, Padded(3000))
	}
}

func TestRestart(t *testing.T) {
	dir := t.TempDir()
	s := openStore(t, dir, 0)
	a, b := storagetest.Bytes(1, 1000), storagetest.Bytes(2, 2000)
	pinned, free := write(t, s, a), write(t, s, b)
	if err := s.Unpin(free); err != nil {
		t.Fatal(err)
	}
	w, err := s.Create() // is lost by the "crash"
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.Append(a); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(dir, 0); err == nil {
		t.Fatal("two stores have one folder")
	}
	lost := w.ID()
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := s.ReadAt(pinned, 0, 1); !errors.Is(err, os.ErrClosed) {
		t.Errorf("got %v after Close", err)
	}
	if err := os.WriteFile(filepath.Join(dir, "fetch", "pack-1"), a, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "cached", "README"), a, 0o600); err != nil {
		t.Fatal(err)
	}
	s = openStore(t, dir, 0)
	wantLocal(t, s, pinned, 0, a)
	wantLocal(t, s, free, 0, b)
	wantLocal(t, s, lost, 0, nil)
	if got := s.Staged(); len(got) != 1 || got[0] != pinned || len(s.Packs()) != 2 {
		t.Errorf("got %v pinned of %v", got, s.Packs())
	}
	if err := errors.Join(s.DropLeft(), s.Settled(s.Packs())); err != nil {
		t.Fatal(err)
	}
	for _, sub := range []string{"open", "fetch"} {
		if left, err := os.ReadDir(filepath.Join(dir, sub)); len(left) != 0 || err != nil {
			t.Errorf("%s: got %v, %v, want nothing", sub, left, err)
		}
	}
	if _, err := os.Stat(filepath.Join(dir, "cached", "README")); err != nil {
		t.Error("a file that isn't ours was removed")
	}
}

func TestEvict(t *testing.T) {
	dir := t.TempDir()
	s := openStore(t, dir, 10_000)
	ids := make([]ID, 6)
	for i := range ids {
		ids[i] = write(t, s, storagetest.Bytes(uint64(i), 4096))
	}
	if len(s.Packs()) != 6 {
		t.Fatal("pinned packs were evicted")
	}
	for _, id := range ids[:3] {
		if err := s.Unpin(id); err != nil {
			t.Fatal(err)
		}
	}
	wantLocal(t, s, ids[0], 0, nil) // 3 of 4 KiB are over 10,000 bytes
	wantLocal(t, s, ids[1], 0, storagetest.Bytes(1, 4096))
	wantLocal(t, s, ids[2], 0, storagetest.Bytes(2, 4096))
	wantLocal(t, s, ids[1], 0, storagetest.Bytes(1, 4096)) // used last
	if err := s.Unpin(ids[3]); err != nil {
		t.Fatal(err)
	}
	wantLocal(t, s, ids[2], 0, nil) // the least recently used
	wantLocal(t, s, ids[1], 0, storagetest.Bytes(1, 4096))
	if err := s.Pin(ids[1]); err != nil {
		t.Fatal(err)
	}
	if err := s.Pin(ids[0]); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("pinned what isn't here: %v", err)
	}
	s.SetCap(1)
	wantLocal(t, s, ids[3], 0, nil)
	for _, i := range []int{1, 4, 5} {
		wantLocal(t, s, ids[i], 0, storagetest.Bytes(uint64(i), 4096))
	}
	if u := s.Usage(); u.Cached != 0 || u.Pinned != 3*4096 || u.Cap != 1 {
		t.Errorf("got %+v", u)
	}
	if err := s.Drop(ids[4]); err != nil {
		t.Error(err)
	}
	if err := s.Drop(ids[0]); err != nil {
		t.Error(err)
	}
	wantLocal(t, s, ids[4], 0, nil)
	if err := s.Settled(ids); err != nil {
		t.Fatal(err)
	}
	left, err := filepath.Glob(filepath.Join(dir, "*", "????????????????*"))
	if err != nil || len(left) != 2 {
		t.Errorf("got files %v", left)
	}
}

// TestSplit: staged packs on one file system, the cache on another.
func TestSplit(t *testing.T) {
	stage, cache := t.TempDir(), t.TempDir()
	if err := syscall.Mount("tmpfs", cache, "tmpfs", 0, "size=4m"); err != nil {
		t.Skipf("cannot mount another disk: %v", err)
	}
	defer func() { _ = syscall.Unmount(cache, syscall.MNT_DETACH) }()
	s, err := OpenSplit(stage, cache, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	b := storagetest.Bytes(1, 5000)
	id := write(t, s, b)
	for range 2 {
		if err := s.Unpin(id); err != nil {
			t.Fatal(err)
		}
		wantLocal(t, s, id, 0, b)
		if _, err := os.Stat(filepath.Join(cache, "cached", id.String())); err != nil {
			t.Error(err)
		}
		if err := s.Pin(id); err != nil {
			t.Fatal(err)
		}
		wantLocal(t, s, id, 0, b)
		if _, err := os.Stat(filepath.Join(stage, "staged", id.String())); err != nil {
			t.Error(err)
		}
	}
}

// TestFull: a full disk fails an Append or a Close and nothing else.
func TestFull(t *testing.T) {
	dir := t.TempDir()
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, "size=1000k"); err != nil {
		t.Skipf("cannot mount a small disk: %v", err)
	}
	defer func() { _ = syscall.Unmount(dir, syscall.MNT_DETACH) }()
	s, err := Open(dir, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	w, err := s.Create()
	if err != nil {
		t.Fatal(err)
	}
	prov := w.ID()
	b := storagetest.Bytes(1, 100_000)
	var n int
	for n = range 20 {
		if _, err = w.Append(b); err != nil {
			break
		}
	}
	if !errors.Is(err, syscall.ENOSPC) || n < 5 {
		t.Fatalf("got %v after %d appends, want no space left", err, n)
	}
	if w.Size() != int64(n)*100_000 {
		t.Errorf("got %d bytes after %d appends", w.Size(), n)
	}
	for err = nil; err == nil; { // until there is no room for the padding
		_, err = w.Append(make([]byte, 1000))
	}
	size := w.Size()
	if _, err = w.Close(); err == nil {
		t.Fatalf("%d bytes were padded to %d", size, Padded(size))
	}
	if !errors.Is(err, syscall.ENOSPC) {
		t.Errorf("got %v, want no space left", err)
	}
	for i := range n {
		wantLocal(t, s, prov, int64(i)*100_000, b)
	}
	if err := syscall.Mount("tmpfs", dir, "tmpfs", syscall.MS_REMOUNT, "size=2m"); err != nil {
		t.Skip(err)
	}
	id, err := w.Close()
	if err != nil {
		t.Fatal(err)
	}
	for i := range n {
		wantLocal(t, s, id, int64(i)*100_000, b)
	}
	if got := int64(len(all(t, s, id))); got != Padded(size) {
		t.Errorf("got %d bytes, want %d", got, Padded(size))
	}
}

func TestManyFiles(t *testing.T) {
	s := openStore(t, t.TempDir(), 0)
	ids := make([]ID, maxFiles+20)
	for i := range ids {
		ids[i] = write(t, s, fmt.Appendf(nil, "pack %4d", i))
	}
	for i, id := range ids {
		wantLocal(t, s, id, 0, fmt.Appendf(nil, "pack %4d", i))
	}
	s.mu.Lock()
	n := len(s.files)
	s.mu.Unlock()
	if n > maxFiles {
		t.Errorf("%d files are open", n)
	}
}
