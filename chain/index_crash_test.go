package chain

import (
	"bytes"
	"errors"
	"io"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/btcsuite/btcd/chaincfg/v2"
	"github.com/dgraph-io/badger/v4"
)

// crashed returns a copy of an index's folder as a process that is killed now
// would leave it.
func crashed(t *testing.T, ix *Index) string {
	t.Helper()
	for {
		before, dir := listing(t, ix.dir), t.TempDir()
		err := os.CopyFS(dir, os.DirFS(ix.dir))
		if slices.Equal(before, listing(t, ix.dir)) {
			if err != nil {
				t.Fatal(err)
			}
			return dir
		}
		time.Sleep(10 * time.Millisecond) // the database tidies up
	}
}

func listing(t *testing.T, dir string) (names []string) {
	t.Helper()
	files, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		names = append(names, f.Name())
	}
	return names
}

func openDir(t *testing.T, dir string, p *Params) *Index {
	t.Helper()
	ix, err := OpenIndex(dir, p)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { ix.Close() })
	return ix
}

// TestMemTableOf: a file is read with at least the memory that it was written with.
func TestMemTableOf(t *testing.T) {
	for size := int64(minMemTable); size <= 2*maxMemTable; size *= 2 {
		if got := memTableOf(2 * size); size < 2*maxMemTable && got != size {
			t.Errorf("a fresh file for %d: %d", size, got)
		}
		for _, file := range []int64{size/2 + 1, size*2/3 + 1, size + 1, size + size/7} {
			if got := memTableOf(file); got < min(file*16/10, size) {
				t.Errorf("a file of %d bytes for %d: %d", file, size, got)
			}
		}
	}
	if got := memTableOf(minMemTable / 2); got != minMemTable {
		t.Errorf("a small file: %d", got)
	}
}

// TestReopenFails: while the database can't be opened again everything fails, and
// when it can it goes on.
func TestReopenFails(t *testing.T) {
	p := Satchel(&chaincfg.RegressionNetParams, 2)
	ix := openDir(t, t.TempDir(), p)
	connectBelow(t, ix)
	before := dump(t, ix)
	dir := ix.dir
	ix.dir = filepath.Join(dir, "LOCK", "no folder")
	if err := ix.reopenBigger(); err == nil {
		t.Fatal("it was opened where no folder is")
	}
	if _, err := ix.Namespace("id"); !errors.Is(err, errClosed) {
		t.Errorf("a look-up: %v", err)
	}
	if err := ix.revive(); err == nil {
		t.Error("revived where no folder is")
	}
	ix.dir = dir
	if err := ix.revive(); err != nil {
		t.Fatal(err)
	}
	sameRows(t, dump(t, ix), before)
	if err := ix.Close(); err != nil {
		t.Fatal(err)
	}
	if err := ix.revive(); err != nil || !ix.db.IsClosed() {
		t.Errorf("what was closed was opened, %v", err)
	}
}

// TestUndoNeedsMemory undoes a block that takes more memory than there is, and one
// that takes more than there can be.
func TestUndoNeedsMemory(t *testing.T) {
	p := Satchel(&chaincfg.RegressionNetParams, 2)
	ix := openDir(t, t.TempDir(), p)
	c := newCrowd(t, ix, 2000)
	before := dump(t, ix)
	c.all(c.steps()[0])
	shrink := func(memTable int64) {
		t.Helper()
		if err := ix.db.Close(); err != nil {
			t.Fatal(err)
		}
		db, err := ix.openWith(1 << 20)
		if err != nil {
			t.Fatal(err)
		}
		ix.db, ix.memTable = db, memTable
	}
	shrink(maxMemTable)
	if _, err := ix.disconnect(); !errors.Is(err, badger.ErrTxnTooBig) {
		t.Fatal(err)
	}
	shrink(1 << 20)
	if _, err := ix.disconnect(); err != nil {
		t.Fatal(err)
	}
	if ix.memTable == 1<<20 {
		t.Error("there was enough memory")
	}
	sameRows(t, dump(t, ix), before)
}

// TestBitRot changes a byte of a name's owner on the disk: nobody is told of another
// owner, nor of operations that were none.
func TestBitRot(t *testing.T) {
	p := Satchel(&chaincfg.RegressionNetParams, 2)
	for _, kind := range []string{".sst", ".vlog"} {
		ix := openDir(t, t.TempDir(), p)
		c := newCrowd(t, ix, 20)
		c.all(c.steps()[0])
		c.all(c.steps()[1])
		height, _ := ix.Tip()
		if err := ix.Close(); err != nil {
			t.Fatal(err)
		}
		rot(t, ix.dir, kind, c.owner(7)[3:23])
		again, err := OpenIndex(ix.dir, p)
		if kind == ".sst" {
			if !errors.Is(err, errDamaged) {
				t.Errorf("opened: %v", err)
			}
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		defer again.Close()
		if all, err := again.Operations(height); !errors.Is(err, errDamaged) {
			t.Errorf("%d operations, %v", len(all), err)
		}
		if h, err := again.History(c.name(7), 0, 0); !errors.Is(err, errDamaged) {
			t.Errorf("%d operations on a name, %v", len(h), err)
		}
		if _, err := Export(again, io.Discard, keyOf("ada")); !errors.Is(err, errDamaged) {
			t.Errorf("exported: %v", err)
		}
	}
}

// rot changes a byte wherever something is found in files of a kind.
func rot(t *testing.T, dir, kind string, where []byte) {
	t.Helper()
	found := false
	for _, name := range listing(t, dir) {
		file := filepath.Join(dir, name)
		b, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if filepath.Ext(name) != kind || !bytes.Contains(b, where) {
			continue
		}
		found = true
		b = bytes.ReplaceAll(b, where, append([]byte{where[0] ^ 1}, where[1:]...))
		if err := os.WriteFile(file, b, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if !found {
		t.Fatalf("no file %s has it", kind)
	}
}
