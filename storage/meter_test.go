package storage_test

import (
	"bytes"
	"context"
	"io"
	"testing"

	"satchel/storage"
	"satchel/storage/mem"
	"satchel/storage/storagetest"
)

func TestMeteredIsADriver(t *testing.T) {
	storagetest.Test(t, func(t *testing.T) storage.Driver {
		return storage.Metered(mem.New(), new(storage.Meter), new(storage.Meter))
	})
}

func TestMeteredCounts(t *testing.T) {
	var sent, received storage.Meter
	d := storage.Metered(mem.New(), &sent, &received)
	ctx := context.Background()
	b := storagetest.Bytes(1, 10_000)
	if err := d.Put(ctx, "a/b", bytes.NewReader(b), int64(len(b))); err != nil {
		t.Fatal(err)
	}
	r, err := d.Get(ctx, "a/b", 100, 3000)
	if err != nil {
		t.Fatal(err)
	}
	if got := storage.SizeOf(r); got != 10_000 {
		t.Errorf("the reader says the blob has %d bytes", got)
	}
	io.Copy(io.Discard, r)
	r.Close()
	if sent.Total() != 10_000 || received.Total() != 3000 {
		t.Errorf("got %d sent, %d received", sent.Total(), received.Total())
	}
}
