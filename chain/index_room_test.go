package chain

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/btcsuite/btcd/chaincfg/v2"
	"golang.org/x/sys/unix"
)

// smallDisk mounts a file system in memory of so many megabytes, and returns how
// to give it another size.
func smallDisk(t *testing.T, size string) (dir string, resize func(size string)) {
	t.Helper()
	dir = t.TempDir()
	if err := unix.Mount("tmpfs", dir, "tmpfs", 0, "size="+size); err != nil {
		t.Skip("needs to mount: ", err)
	}
	t.Cleanup(func() {
		if err := unix.Unmount(dir, 0); err != nil {
			t.Error(err)
		}
	})
	return dir, func(size string) {
		if err := unix.Mount("tmpfs", dir, "tmpfs", unix.MS_REMOUNT, "size="+size); err != nil {
			t.Fatal(err)
		}
	}
}

// TestDiskFull applies blocks until the disk is full: that is an error, the table
// is that of the last block, can be read and opened, and goes on when there is room.
func TestDiskFull(t *testing.T) {
	disk, resize := smallDisk(t, "80m")
	dir, p := filepath.Join(disk, "index"), Satchel(&chaincfg.RegressionNetParams, 2)
	ix := openDir(t, dir, p)
	c := newCrowd(t, ix, 1000)
	c.all(c.steps()[0])
	c.all(c.steps()[1])
	update := c.steps()[2]
	prev, block, err := c.prev, []*fetched(nil), error(nil)
	for err == nil {
		height, _ := ix.Tip()
		if height > 200 {
			t.Fatal("the disk is never full")
		}
		prev = c.prev
		b := &fetched{header: madeUpHeader(height+1, &c.prev)}
		for i := range c.n {
			b.txs = append(b.txs, c.tx(i, update(i)))
		}
		block = []*fetched{b}
		_, err = ix.connectBatch(block, height+1)
	}
	if !errors.Is(err, unix.ENOSPC) {
		t.Fatal(err)
	}
	height, hash := ix.Tip()
	if hash != prev {
		t.Errorf("tip %v, want %v", hash, prev)
	}
	before := dump(t, ix)
	if _, err := ix.disconnect(); !errors.Is(err, unix.ENOSPC) {
		t.Errorf("undo: %v", err)
	}
	if err := ix.Close(); err != nil {
		t.Fatal(err)
	}
	fill(t, disk)
	if ix, err := OpenIndex(dir, p); !errors.Is(err, unix.ENOSPC) {
		ix.Close()
		t.Errorf("opened on a full disk: %v", err)
	}
	resize("300m")
	ix = openDir(t, dir, p)
	sameRows(t, dump(t, ix), before)
	if _, err := ix.connectBatch(block, height+1); err != nil {
		t.Error(err)
	}
	if _, err := ix.disconnect(); err != nil {
		t.Error(err)
	}
	sameRows(t, dump(t, ix), before)
}

// fill leaves no room on a disk.
func fill(t *testing.T, disk string) {
	t.Helper()
	f, err := os.Create(filepath.Join(disk, "ballast"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for b := make([]byte, 64<<10); err == nil; {
		_, err = f.Write(b)
	}
	if !errors.Is(err, unix.ENOSPC) {
		t.Fatal(err)
	}
}
