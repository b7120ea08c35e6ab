package journal

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"testing"
)

var key = [32]byte{1, 2, 3}

func open(t testing.TB, dir string, base Base) (*Log, [][]byte) {
	t.Helper()
	var got [][]byte
	l, err := Open(dir, key, base, func(b []byte) error { got = append(got, b); return nil })
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	return l, got
}

func sameBatches(a, b [][]byte) bool { return slices.EqualFunc(a, b, bytes.Equal) }

func batch(r *rand.Rand, n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(r.Uint32())
	}
	return b
}

// TestAppendAndOpen appends, opens again in the middle, begins anew, at random:
// what is found is what was appended since the base.
func TestAppendAndOpen(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 1))
	dir := filepath.Join(t.TempDir(), "j")
	base := Base{Seq: 1}
	l, _ := open(t, dir, base)
	var want [][]byte
	for range 200 {
		switch n := r.IntN(20); {
		case n == 0:
			base = Base{base.Seq + 1, [32]byte{byte(r.Uint32())}}
			if err := l.Begin(base); err != nil {
				t.Fatal(err)
			}
			want = nil
		case n == 1:
			l.Close()
			var got [][]byte
			if l, got = open(t, dir, base); !sameBatches(got, want) {
				t.Fatalf("%d batches, want %d", len(got), len(want))
			}
		default:
			b := batch(r, []int{0, 1, 100, 4067, 4068, 4069, 9000, partSize, partSize + 1, 2*partSize + 5}[min(r.IntN(60), r.IntN(10))])
			if err := l.Append(b); err != nil {
				t.Fatal(err)
			}
			want = append(want, b)
		}
	}
	l.Close()
	if _, got := open(t, dir, Base{Seq: 999}); got != nil {
		t.Error("batches of another base")
	}
}

// TestTornTail cuts the file off and flips its bytes: what is found is always a
// prefix of what was appended, and only what was touched is lost.
func TestTornTail(t *testing.T) {
	r := rand.New(rand.NewPCG(2, 1))
	dir := t.TempDir()
	base := Base{Seq: 7}
	l, _ := open(t, dir, base)
	var want [][]byte
	var ends []int64
	for range 12 {
		b := batch(r, r.IntN(9000))
		if err := l.Append(b); err != nil {
			t.Fatal(err)
		}
		want, ends = append(want, b), append(ends, l.end)
	}
	l.Close()
	whole, err := os.ReadFile(filepath.Join(dir, "a"))
	if err != nil {
		t.Fatal(err)
	}
	whole = whole[:ends[len(ends)-1]]
	try := func(what string, b []byte, at int64) {
		t.Helper()
		dir := t.TempDir()
		if err := os.WriteFile(filepath.Join(dir, "a"), b, 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := SetAside(dir, key, base); err != nil {
			t.Fatal(err)
		}
		l, got := open(t, dir, base)
		untouched := 0
		for untouched < len(ends) && ends[untouched] <= at {
			untouched++
		}
		if len(got) < untouched || !sameBatches(got, want[:len(got)]) {
			t.Fatalf("%s at %d: %d batches, want at least %d", what, at, len(got), untouched)
		}
		// What is appended now is found behind them and nothing else.
		more := [][]byte{batch(r, 10), batch(r, 5000)}
		for _, b := range more {
			if err := l.Append(b); err != nil {
				t.Fatal(err)
			}
		}
		l.Close()
		if _, again := open(t, dir, base); !sameBatches(again, slices.Concat(got, more)) {
			t.Fatalf("%s at %d: %d batches then, want %d", what, at, len(again), len(got)+2)
		}
	}
	for range 30 {
		at := r.Int64N(int64(len(whole)))
		try("cut", whole[:at], at)
		flipped := bytes.Clone(whole)
		flipped[at] ^= 1 << r.IntN(8)
		try("flipped", flipped, at/block*block)
	}
}

// TestGivenUpBatch leaves a batch of several records behind a shorter one that
// was written in the place of its first: the rest doesn't count.
func TestGivenUpBatch(t *testing.T) {
	dir := t.TempDir()
	l, _ := open(t, dir, Base{})
	end, behind := l.end, l.behind
	if err := l.Append(make([]byte, 2*partSize)); err != nil {
		t.Fatal(err)
	}
	l.end, l.behind = end, behind
	short := make([]byte, partSize)
	if err := l.Append(short); err != nil {
		t.Fatal(err)
	}
	l.Close()
	if _, got := open(t, dir, Base{}); !sameBatches(got, [][]byte{short}) {
		t.Errorf("%d batches", len(got))
	}
}

func TestWrongKeyAndPlaintext(t *testing.T) {
	dir := t.TempDir()
	l, _ := open(t, dir, Base{})
	secret := bytes.Repeat([]byte("plaintext"), 1000)
	if err := l.Append(secret); err != nil {
		t.Fatal(err)
	}
	l.Close()
	for _, name := range []string{"a", "b"} {
		b, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil || bytes.Contains(b, []byte("plaintext")) {
			t.Errorf("%s: %v, or the plaintext is in it", name, err)
		}
	}
	_, err := Open(dir, [32]byte{9}, Base{}, func([]byte) error { t.Error("opened by another key"); return nil })
	if !errors.Is(err, ErrDamaged) {
		t.Fatal(err)
	}
}

func TestReplayFails(t *testing.T) {
	dir := t.TempDir()
	l, _ := open(t, dir, Base{})
	if err := l.Append([]byte("x")); err != nil {
		t.Fatal(err)
	}
	l.Close()
	if _, err := Open(dir, key, Base{}, func([]byte) error { return io.ErrNoProgress }); !errors.Is(err, io.ErrNoProgress) {
		t.Errorf("%v", err)
	}
	if _, got := open(t, dir, Base{}); len(got) != 1 {
		t.Error("the batch is gone")
	}
}

// TestFailedAppend has the file closed under the log: nothing more is appended
// until Begin.
func TestFailedAppend(t *testing.T) {
	dir := t.TempDir()
	l, _ := open(t, dir, Base{})
	l.files[l.at].Close()
	if l.Append([]byte("x")) == nil || l.Append([]byte("y")) == nil {
		t.Fatal("appended to a closed file")
	}
	if err := l.Begin(Base{Seq: 1}); err != nil {
		t.Fatal(err)
	}
	if err := l.Append([]byte("z")); err != nil {
		t.Fatal(err)
	}
}

func FuzzOpen(f *testing.F) {
	f.Add([]byte(magic), []byte{})
	f.Fuzz(func(t *testing.T, a, b []byte) {
		dir := t.TempDir()
		os.WriteFile(filepath.Join(dir, "a"), a, 0o600)
		os.WriteFile(filepath.Join(dir, "b"), b, 0o600)
		if _, err := Open(dir, key, Base{}, func([]byte) error { return nil }); err != nil && !errors.Is(err, ErrDamaged) {
			t.Fatal(err)
		}
		if _, err := SetAside(dir, key, Base{}); err != nil {
			t.Fatal(err)
		}
		l, got := open(t, dir, Base{})
		if got != nil {
			t.Error("a batch out of nothing")
		}
		if err := l.Append([]byte("x")); err != nil {
			t.Fatal(err)
		}
	})
}

// BenchmarkAppend appends 4 KiB, and beside it writes as much into a plain file and
// syncs that.
func BenchmarkAppend(b *testing.B) {
	dir := b.TempDir()
	l, _ := open(b, dir, Base{})
	data := make([]byte, 4096)
	b.Run("journal", func(b *testing.B) {
		for i := 0; b.Loop(); i++ {
			if i%4096 == 0 {
				if err := l.Begin(Base{Seq: uint64(i)}); err != nil {
					b.Fatal(err)
				}
			}
			if err := l.Append(data); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("file", func(b *testing.B) {
		f, err := os.Create(filepath.Join(dir, "plain"))
		if err != nil {
			b.Fatal(err)
		}
		defer f.Close()
		for i := range 1024 {
			f.WriteAt(data, int64(i)*4096)
		}
		f.Sync()
		for i := 0; b.Loop(); i++ {
			f.WriteAt(data, int64(i%1024)*4096)
			if err := fdatasync(f); err != nil {
				b.Fatal(err)
			}
		}
	})
	fmt.Fprint(io.Discard, l)
}
