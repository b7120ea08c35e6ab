package journal

import (
	"bytes"
	"errors"
	"math/rand/v2"
	"os"
	"path/filepath"
	"syscall"
	"testing"
)

// quickDir returns a folder on which a sync takes no time, if there is one.
func quickDir(t testing.TB) string {
	dir, err := os.MkdirTemp("/dev/shm", "journal")
	if err != nil {
		return t.TempDir()
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	return dir
}

// A sample is a small log as it lies on the disk.
type sample struct {
	dir   string
	bytes []byte
	want  [][]byte
	from  []int64 // where each record begins
	to    []int64 // and ends, without what fills its block
}

func newSample(t testing.TB) *sample {
	r := rand.New(rand.NewPCG(3, 1))
	s := &sample{dir: quickDir(t)}
	l, _ := open(t, s.dir, Base{})
	for _, n := range []int{0, 4051, 4052, 30} { // whole blocks, one byte more, little
		b := batch(r, n)
		s.want, s.from, s.to = append(s.want, b), append(s.from, l.end), append(s.to, l.end+4+int64(overhead+1+n))
		if err := l.Append(b); err != nil {
			t.Fatal(err)
		}
	}
	end := l.end
	l.Close()
	all, err := os.ReadFile(filepath.Join(s.dir, "a"))
	if err != nil {
		t.Fatal(err)
	}
	s.bytes = all[:end]
	return s
}

// open has the log opened with these bytes in its file. If that is damaged it is
// set aside, the log must open then, and damaged is true.
func (s *sample) open(t testing.TB, b []byte) (got [][]byte, damaged bool) {
	t.Helper()
	file := filepath.Join(s.dir, "a")
	if err := os.WriteFile(file, b, 0o600); err != nil {
		t.Fatal(err)
	}
	l, err := Open(s.dir, key, Base{}, func(b []byte) error { got = append(got, b); return nil })
	if err == nil {
		l.Close()
		return got, false
	}
	if !errors.Is(err, ErrDamaged) {
		t.Fatal(err)
	}
	kept, err := SetAside(s.dir, key, Base{})
	if err != nil || len(kept) != 1 {
		t.Fatalf("%q, %v", kept, err)
	}
	if is, err := os.ReadFile(kept[0]); err != nil || !bytes.Equal(is, b) {
		t.Fatalf("what was set aside is another file: %v", err)
	}
	os.Remove(kept[0])
	l, got = open(t, s.dir, Base{})
	l.Close()
	return got, true
}

// near tells whether a byte is one of those that are tried: near the bounds of
// something, and some others.
func (s *sample) near(at int) bool {
	near := at < headSize+9 || at%block < 60 || at%block > block-60 || at%11 == 0
	for _, to := range s.to {
		near = near || at > int(to)-60 && at < int(to)+9
	}
	return near
}

// TestEachCut cuts a log off at many bytes: what was whole before is found.
func TestEachCut(t *testing.T) {
	s := newSample(t)
	for cut := range len(s.bytes) + 1 {
		if !s.near(cut) {
			continue
		}
		n := 0
		for n < len(s.to) && s.to[n] <= int64(cut) {
			n++
		}
		got, damaged := s.open(t, s.bytes[:cut])
		if !sameBatches(got, s.want[:n]) || damaged != (cut > 0 && cut < headSize) {
			t.Fatalf("cut at %d: %d batches, want %d; damage %v", cut, len(got), n, damaged)
		}
	}
}

// TestEachFlip flips a bit of many bytes: what was written before is found, and
// all of it where the byte only fills a block. If there was more it is damage,
// except in what says where that is.
func TestEachFlip(t *testing.T) {
	s := newSample(t)
	for at := range s.bytes {
		if !s.near(at) {
			continue
		}
		n := len(s.want)
		damage := at < headSize
		if damage {
			n = 0
		}
		for i := range s.want {
			if from, to := s.from[i], s.to[i]; from <= int64(at) && int64(at) < to {
				n = i
				damage = i < len(s.want)-1 && from+4 <= int64(at) && int64(at) < to-16
			}
		}
		s.bytes[at] ^= 1 << (at % 8)
		got, damaged := s.open(t, s.bytes)
		s.bytes[at] ^= 1 << (at % 8)
		if !sameBatches(got, s.want[:n]) || damaged != damage {
			t.Fatalf("flipped at %d: %d batches, want %d; damage %v, want %v", at, len(got), n, damaged, damage)
		}
	}
}

// FuzzDamage writes anything over a part of a log: what is found is a beginning of
// what was appended, with all that lies before the damage.
func FuzzDamage(f *testing.F) {
	s := newSample(f)
	f.Add(uint16(0), []byte(magic))
	f.Add(uint16(block), s.bytes[2*block:3*block])
	f.Add(uint16(2*block), s.bytes[block:])
	f.Add(uint16(2*block), []byte{0, 0x40, 0, 0x29})
	f.Fuzz(func(t *testing.T, at uint16, over []byte) {
		b := bytes.Clone(s.bytes)
		if end := int(at) + len(over); end > len(b) {
			b = append(b, make([]byte, end-len(b))...)
		}
		copy(b[at:], over)
		got, _ := s.open(t, b)
		least := 0
		for least < len(s.to) && s.to[least] <= int64(at) {
			least++
		}
		if len(got) < least || len(got) > len(s.want) || !sameBatches(got, s.want[:len(got)]) {
			t.Errorf("%d batches, want a beginning of %d, at least %d", len(got), len(s.want), least)
		}
	})
}

// TestTornLarge tears a batch of several records, of which a later one was written
// and an earlier wasn't: that is no damage.
func TestTornLarge(t *testing.T) {
	dir := quickDir(t)
	l, _ := open(t, dir, Base{})
	kept := []byte("kept")
	if err := l.Append(kept); err != nil {
		t.Fatal(err)
	}
	at := l.end
	if err := l.Append(make([]byte, 2*partSize+9)); err != nil {
		t.Fatal(err)
	}
	for _, part := range []int64{0, 1} {
		if _, err := l.files[0].WriteAt([]byte("torn"), at+part*(partSize+block)+9000); err != nil {
			t.Fatal(err)
		}
		if _, got := open(t, dir, Base{}); !sameBatches(got, [][]byte{kept}) {
			t.Fatalf("%d batches", len(got))
		}
	}
}

// TestLaterCommit: a journal on a later commit than the last one that is known
// is not forgotten.
func TestLaterCommit(t *testing.T) {
	dir := t.TempDir()
	l, _ := open(t, dir, Base{Seq: 7, Root: [32]byte{1}})
	if err := l.Append([]byte("x")); err != nil {
		t.Fatal(err)
	}
	l.Close()
	for _, b := range []Base{{}, {Seq: 6}} {
		if _, err := Open(dir, key, b, nil); !errors.Is(err, ErrDamaged) {
			t.Errorf("on %d: %v", b.Seq, err)
		}
	}
	if kept, err := SetAside(dir, key, Base{Seq: 7, Root: [32]byte{1}}); err != nil || kept != nil {
		t.Errorf("set aside without damage: %q, %v", kept, err)
	}
	if kept, err := SetAside(dir, key, Base{Seq: 6}); err != nil || len(kept) != 1 {
		t.Errorf("%q, %v", kept, err)
	}
	if _, got := open(t, dir, Base{Seq: 6}); got != nil {
		t.Error("batches of another commit")
	}
}

// TestSetAsideTwice damages both files, one of them again: nothing that was set
// aside is written over.
func TestSetAsideTwice(t *testing.T) {
	dir := t.TempDir()
	files := []string{filepath.Join(dir, "a"), filepath.Join(dir, "b")}
	for i, name := range append(files, files[0]) {
		if err := os.WriteFile(name, []byte{byte(i + 1)}, 0o600); err != nil {
			t.Fatal(err)
		}
		if i == 0 {
			continue
		}
		if _, err := SetAside(dir, key, Base{}); err != nil {
			t.Fatal(err)
		}
	}
	if kept, err := Kept(dir); err != nil || len(kept) != 3 {
		t.Errorf("kept: %q, %v", kept, err)
	}
	for i, name := range []string{"a.damaged1", "b.damaged1", "a.damaged2"} {
		if b, err := os.ReadFile(filepath.Join(dir, name)); err != nil || !bytes.Equal(b, []byte{byte(i + 1)}) {
			t.Errorf("%s: %q, %v", name, b, err)
		}
	}
	open(t, dir, Base{})
}

// TestUsedAgain begins in a file that holds more of an earlier commit.
func TestUsedAgain(t *testing.T) {
	dir := t.TempDir()
	l, _ := open(t, dir, Base{})
	for range 20 {
		if err := l.Append(make([]byte, 5000)); err != nil {
			t.Fatal(err)
		}
	}
	var want [][]byte
	for seq := range uint64(2) {
		if err := l.Begin(Base{Seq: seq + 1}); err != nil {
			t.Fatal(err)
		}
	}
	for i := range 10 {
		l.Close()
		var got [][]byte
		if l, got = open(t, dir, Base{Seq: 2}); !sameBatches(got, want) {
			t.Fatalf("%d batches, want %d", len(got), len(want))
		}
		b := make([]byte, 5000) // where the earlier ones begin
		b[0] = byte(i)
		want = append(want, b)
		if err := l.Append(b); err != nil {
			t.Fatal(err)
		}
	}
}

// TestLargeFileShrinks: what one large commit took is given back.
func TestLargeFileShrinks(t *testing.T) {
	dir := quickDir(t)
	l, _ := open(t, dir, Base{})
	if err := l.Append(make([]byte, keepSize)); err != nil {
		t.Fatal(err)
	}
	for seq := range uint64(2) {
		if err := l.Begin(Base{Seq: seq + 1}); err != nil {
			t.Fatal(err)
		}
	}
	info, err := os.Stat(filepath.Join(dir, "a"))
	if err != nil || info.Size() > step {
		t.Errorf("%v, %v", info, err)
	}
}

// TestFull: a full disk fails an Append, and a Begin while it is full, loses
// nothing, and is no fault any more when there is room.
func TestFull(t *testing.T) {
	disk := t.TempDir()
	if err := syscall.Mount("tmpfs", disk, "tmpfs", 0, "size=400k"); err != nil {
		t.Skipf("cannot mount a small disk: %v", err)
	}
	defer func() { _ = syscall.Unmount(disk, syscall.MNT_DETACH) }()
	dir := filepath.Join(disk, "above", "journal")
	l, _ := open(t, dir, Base{})
	if err := l.Append([]byte("kept")); err != nil {
		t.Fatal(err)
	}
	for _, size := range []int{1 << 20, 1} {
		if err := l.Append(make([]byte, size)); !errors.Is(err, syscall.ENOSPC) {
			t.Fatalf("got %v, want no space left", err)
		}
	}
	next := Base{Seq: 1}
	if err := l.Begin(next); !errors.Is(err, syscall.ENOSPC) {
		t.Fatalf("got %v, want no space left", err)
	}
	l.Close()
	l, got := open(t, dir, Base{})
	if !sameBatches(got, [][]byte{[]byte("kept")}) {
		t.Fatalf("%q", got)
	}
	if err := syscall.Mount("tmpfs", disk, "tmpfs", syscall.MS_REMOUNT, "size=4m"); err != nil {
		t.Skip(err)
	}
	if err := l.Append(make([]byte, 1<<20)); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(l.Begin(next), l.Append([]byte("more"))); err != nil {
		t.Fatal(err)
	}
	l.Close()
	if _, got := open(t, dir, next); !sameBatches(got, [][]byte{[]byte("more")}) {
		t.Fatalf("%q", got)
	}
}
