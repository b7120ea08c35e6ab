// Package storagetest has the suite that every storage.Driver passes, and
// drivers that misbehave: they lie, fail, are slow or show an old state.
package storagetest

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"strings"
	"sync"
	"testing"
	"testing/iotest"

	"satchel/storage"
)

// Test runs the suite; open returns an empty driver.
func Test(t *testing.T, open func(t *testing.T) storage.Driver) {
	for _, c := range []struct {
		name string
		test func(t *testing.T, d storage.Driver)
	}{
		{"RoundTrip", roundTrip},
		{"Missing", missing},
		{"Ranges", ranges},
		{"Replace", replace},
		{"Delete", remove},
		{"BadKeys", badKeys},
		{"ShortPut", shortPut},
		{"LongPut", longPut},
		{"TooLarge", tooLarge},
		{"Canceled", canceled},
		{"Concurrent", concurrent},
		{"Stat", stat},
	} {
		t.Run(c.name, func(t *testing.T) { c.test(t, open(t)) })
	}
}

// Bytes returns n bytes that are the same for the same seed.
func Bytes(seed uint64, n int) []byte {
	b := make([]byte, n)
	var s [32]byte
	binary.LittleEndian.PutUint64(s[:], seed)
	r := rand.NewChaCha8(s)
	_, _ = r.Read(b) // never fails
	return b
}

func put(t *testing.T, d storage.Driver, key string, b []byte) {
	t.Helper()
	if err := d.Put(t.Context(), key, bytes.NewReader(b), int64(len(b))); err != nil {
		t.Fatalf("put %s: %v", key, err)
	}
}

// want checks that n bytes from off of key are b.
func want(t *testing.T, d storage.Driver, key string, off, n int64, b []byte) {
	t.Helper()
	got, err := storage.ReadBlob(t.Context(), d, key, off, n, storage.MaxBlob)
	if err != nil {
		t.Errorf("get %s [%d, +%d]: %v", key, off, n, err)
	} else if !bytes.Equal(got, b) {
		t.Errorf("get %s [%d, +%d]: got %d bytes %.20x, want %d bytes %.20x", key, off, n, len(got), got, len(b), b)
	}
}

func wantMissing(t *testing.T, d storage.Driver, key string) {
	t.Helper()
	r, err := d.Get(t.Context(), key, 0, -1)
	if err == nil {
		_ = r.Close()
	}
	if !errors.Is(err, os.ErrNotExist) {
		t.Errorf("get %s: got %v, want os.ErrNotExist", key, err)
	}
}

func roundTrip(t *testing.T, d storage.Driver) {
	for i, n := range []int{0, 1, 100, 64 << 10, 1<<20 + 1, 16 << 20} {
		for _, key := range []string{"profile", fmt.Sprintf("h/%d", i), fmt.Sprintf("p/ab/ab%d", i)} {
			b := Bytes(uint64(i), n)
			put(t, d, key, b)
			want(t, d, key, 0, -1, b)
		}
	}
}

func missing(t *testing.T, d storage.Driver) {
	wantMissing(t, d, "profile")
	wantMissing(t, d, "p/aa/aabb")
	put(t, d, "p/aa/aabb", []byte("x"))
	wantMissing(t, d, "p/aa/aabc")
	wantMissing(t, d, "p/aa") // a folder, to a driver that has such
	wantMissing(t, d, "p")
	wantMissing(t, d, "p/aa/aabb/cc") // below a blob
}

func ranges(t *testing.T, d storage.Driver) {
	b := Bytes(7, 200_000)
	put(t, d, "p/ab/ab", b)
	for _, c := range []struct{ off, n, end int64 }{
		{0, 200_000, 200_000},
		{0, 1, 1},
		{0, 0, 0},
		{100, 0, 100},
		{65536, 65536, 131072},
		{199_999, 1, 200_000},
		{199_999, -1, 200_000},
		{1, -1, 200_000},
		{150_000, 100_000, 200_000}, // reaches over the end
		{200_000, 10, 200_000},      // at the end
		{200_000, -1, 200_000},
		{300_000, 10, 300_000}, // behind it
		{300_000, -1, 300_000},
	} {
		from, to := min(c.off, 200_000), min(c.end, 200_000)
		want(t, d, "p/ab/ab", c.off, c.n, b[from:to])
	}
	if r, err := d.Get(t.Context(), "p/ab/ab", -1, 1); err == nil {
		_ = r.Close()
		t.Error("a negative offset was taken")
	}
	put(t, d, "profile", nil)
	want(t, d, "profile", 0, 10, nil)
	want(t, d, "profile", 0, -1, nil)
}

func replace(t *testing.T, d storage.Driver) {
	a, b := Bytes(1, 5000), Bytes(2, 3000)
	put(t, d, "profile", a)
	put(t, d, "profile", b) // shorter
	want(t, d, "profile", 0, -1, b)
	put(t, d, "profile", a)
	want(t, d, "profile", 0, -1, a)
}

func remove(t *testing.T, d storage.Driver) {
	put(t, d, "h/aa", []byte("x"))
	put(t, d, "h/ab", []byte("y"))
	for range 2 { // the second time it isn't there
		if err := d.Delete(t.Context(), "h/aa"); err != nil {
			t.Errorf("delete: %v", err)
		}
		wantMissing(t, d, "h/aa")
	}
	want(t, d, "h/ab", 0, -1, []byte("y"))
	put(t, d, "h/aa", []byte("z"))
	want(t, d, "h/aa", 0, -1, []byte("z"))
}

// BadKeys are keys that no driver takes.
var BadKeys = []string{
	"", "/", ".", "..", "../x", "a/../../x", "/etc/passwd", "a//b", "a/", "A", "a.b", ".tmp", "a\\b", "a%2fb", "a?b",
	"a#b", "a b", "a\x00b", "a\nb", "ü", "~", "-a", strings.Repeat("a", 300),
}

func badKeys(t *testing.T, d storage.Driver) {
	for _, key := range BadKeys {
		if err := d.Put(t.Context(), key, strings.NewReader("x"), 1); !errors.Is(err, os.ErrInvalid) {
			t.Errorf("put %q: got %v, want os.ErrInvalid", key, err)
		}
		if r, err := d.Get(t.Context(), key, 0, -1); !errors.Is(err, os.ErrInvalid) {
			t.Errorf("get %q: got %v, want os.ErrInvalid", key, err)
			if err == nil {
				_ = r.Close()
			}
		}
		if err := d.Delete(t.Context(), key); !errors.Is(err, os.ErrInvalid) {
			t.Errorf("delete %q: got %v, want os.ErrInvalid", key, err)
		}
	}
}

// shortPut: a source that ends early or fails stores nothing.
func shortPut(t *testing.T, d storage.Driver) {
	old := Bytes(1, 1000)
	put(t, d, "profile", old)
	broken := errors.New("the source broke")
	for _, key := range []string{"profile", "h/aa"} {
		if err := d.Put(t.Context(), key, bytes.NewReader(Bytes(2, 99_999)), 100_000); err == nil {
			t.Errorf("put %s: a source that ended early was stored", key)
		}
		r := io.MultiReader(bytes.NewReader(Bytes(3, 99_999)), iotest.ErrReader(broken))
		if err := d.Put(t.Context(), key, r, 100_000); err == nil {
			t.Errorf("put %s: a source that failed was stored", key)
		}
		if err := d.Put(t.Context(), key, bytes.NewReader(nil), -1); err == nil {
			t.Errorf("put %s: a negative size was stored", key)
		}
	}
	want(t, d, "profile", 0, -1, old)
	wantMissing(t, d, "h/aa")
}

// longPut: of a longer source size bytes are stored.
func longPut(t *testing.T, d storage.Driver) {
	b := Bytes(1, 1000)
	if err := d.Put(t.Context(), "profile", bytes.NewReader(b), 600); err != nil {
		t.Error(err)
	}
	want(t, d, "profile", 0, -1, b[:600])
}

func tooLarge(t *testing.T, d storage.Driver) {
	source := iotest.ErrReader(errors.New("was read"))
	if err := d.Put(t.Context(), "profile", source, storage.MaxBlob+1); !errors.Is(err, storage.ErrTooLarge) {
		t.Errorf("got %v, want storage.ErrTooLarge", err)
	}
	wantMissing(t, d, "profile")
}

func canceled(t *testing.T, d storage.Driver) {
	put(t, d, "profile", []byte("x"))
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := d.Put(ctx, "profile", strings.NewReader("y"), 1); !errors.Is(err, context.Canceled) {
		t.Errorf("put: got %v, want context.Canceled", err)
	}
	if err := d.Delete(ctx, "profile"); !errors.Is(err, context.Canceled) {
		t.Errorf("delete: got %v, want context.Canceled", err)
	}
	r, err := d.Get(ctx, "profile", 0, -1)
	if err == nil {
		_ = r.Close()
	}
	if !errors.Is(err, context.Canceled) {
		t.Errorf("get: got %v, want context.Canceled", err)
	}
	want(t, d, "profile", 0, -1, []byte("x"))
}

// concurrent: a reader sees one put or another, whole, never a mixture.
func concurrent(t *testing.T, d storage.Driver) {
	const writers, rounds, size = 4, 15, 40_000
	whole := make(map[string]bool)
	for w := range writers {
		whole[string(Bytes(uint64(w), size+w))] = true
	}
	put(t, d, "profile", Bytes(0, size))
	var wg sync.WaitGroup
	for w := range writers {
		b := Bytes(uint64(w), size+w)
		wg.Go(func() {
			for i := range rounds {
				if err := d.Put(t.Context(), "profile", bytes.NewReader(b), int64(len(b))); err != nil {
					t.Errorf("put: %v", err)
				}
				key := fmt.Sprintf("p/%02d/%d", i, w)
				if err := d.Put(t.Context(), key, bytes.NewReader(b), int64(len(b))); err != nil {
					t.Errorf("put %s: %v", key, err)
				}
			}
		})
		wg.Go(func() {
			for range rounds {
				got, err := storage.ReadBlob(t.Context(), d, "profile", 0, -1, storage.MaxBlob)
				if err != nil || !whole[string(got)] {
					t.Errorf("get: %d bytes that nobody put, %v", len(got), err)
				}
			}
		})
	}
	wg.Wait()
	for w := range writers {
		for i := range rounds {
			want(t, d, fmt.Sprintf("p/%02d/%d", i, w), 0, -1, Bytes(uint64(w), size+w))
		}
	}
}

func stat(t *testing.T, d storage.Driver) {
	put(t, d, "h/aa", Bytes(1, 777))
	if n, err := storage.Stat(t.Context(), d, "h/aa"); err != nil || n != 777 && n != -1 {
		t.Errorf("got %d, %v, want 777", n, err)
	}
	if _, err := storage.Stat(t.Context(), d, "h/ab"); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("got %v, want os.ErrNotExist", err)
	}
	r, err := d.Get(t.Context(), "h/aa", 5, 10)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	if n := storage.SizeOf(r); n != 777 && n != -1 {
		t.Errorf("a reader says the blob has %d bytes, want 777", n)
	}
}
