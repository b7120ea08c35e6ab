package storagetest_test

import (
	"bytes"
	"context"
	"errors"
	"testing"
	"time"

	"satchel/storage"
	"satchel/storage/mem"
	"satchel/storage/storagetest"
)

func TestWrappersAreDrivers(t *testing.T) {
	never := func(string) bool { return false }
	for name, wrap := range map[string]func(storage.Driver) storage.Driver{
		"Lying":   func(d storage.Driver) storage.Driver { return storagetest.Lying(d, storagetest.Garbage, never) },
		"Old":     func(d storage.Driver) storage.Driver { return storagetest.Lying(d, storagetest.Old, never) },
		"Failing": func(d storage.Driver) storage.Driver { return storagetest.Failing(d, errors.New("down"), never) },
		"Slow":    func(d storage.Driver) storage.Driver { return storagetest.Slow(d, 0, nil) },
		"Switch":  func(d storage.Driver) storage.Driver { return storagetest.NewSwitch(d) },
		"Count":   func(d storage.Driver) storage.Driver { return storagetest.Count(d) },
	} {
		t.Run(name, func(t *testing.T) {
			storagetest.Test(t, func(t *testing.T) storage.Driver { return wrap(mem.New()) })
		})
	}
}

func TestLies(t *testing.T) {
	first, second, other := []byte("first version"), []byte("second version!"), []byte("another key's")
	for lie, want := range map[storagetest.Lie][]byte{
		storagetest.Flipped:   []byte("second wersion!"),
		storagetest.Truncated: []byte("second "),
		storagetest.Empty:     {},
		storagetest.OtherKey:  other,
		storagetest.Old:       first,
	} {
		d := storagetest.Lying(mem.New(), lie, nil)
		for _, p := range []struct {
			key string
			b   []byte
		}{{"profile", first}, {"profile", second}, {"h/aa", other}} {
			if err := d.Put(t.Context(), p.key, bytes.NewReader(p.b), int64(len(p.b))); err != nil {
				t.Fatal(err)
			}
		}
		got, err := storage.ReadBlob(t.Context(), d, "profile", 0, -1, 100)
		if err != nil || !bytes.Equal(got, want) {
			t.Errorf("lie %d: got %q, %v, want %q", lie, got, err, want)
		}
	}
}

func TestSlowStops(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
	defer cancel()
	err := storagetest.Slow(mem.New(), -1, nil).Delete(ctx, "profile")
	if !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("got %v, want the deadline", err)
	}
}
