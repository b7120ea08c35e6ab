package drive_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"satchel/fs/drive"
	. "satchel/fs/drive/drivetest"
)

// smallDisk mounts a memory disk of so many MiB at dir until the test ends.
func smallDisk(t *testing.T, dir string, mib int) {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("only root can mount a small disk")
	}
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, fmt.Sprintf("size=%dm,mode=700", mib)); err != nil {
		t.Skip("no small disk here:", err)
	}
	t.Cleanup(func() {
		if err := syscall.Unmount(dir, 0); err != nil {
			t.Error(err)
		}
	})
}

// On a disk of 160 MiB more than that is written, stored and read: the cache gives
// way. Offline writing ends with ENOSPC before the reserve is touched; what was
// accepted is kept, files can be removed, and all is stored later.
func TestFullDisk(t *testing.T) {
	w := New(t)
	p := w.Person("alice.id", "a")
	smallDisk(t, p.Dir, 160)
	d := p.Open()
	defer func() { d.Close() }()
	p.Register(d)
	a := As(t, d)
	d.SetCache(1 << 40)
	ctx := context.Background()
	const size = 4 << 20
	name := func(i int) string { return fmt.Sprintf("Private/f%02d", i) }
	const stored = 30
	for i := range stored {
		a.Write(name(i), text(uint64(i), size))
		if i%8 == 7 {
			a.Wait()
		}
	}
	for i := range stored {
		a.Want(name(i), text(uint64(i), size))
	}
	if free := freeOn(t, p.Dir); free < 40<<20 {
		t.Errorf("reading left %d MiB of the disk", free>>20)
	}

	w.Swap("a", down)
	i, err := stored, error(nil)
	for ; err == nil && i < 2*stored; i++ {
		err = try(a, name(i), text(uint64(i), size))
	}
	if !errors.Is(err, syscall.ENOSPC) {
		t.Fatalf("file %d on a full disk: %v", i, err)
	}
	accepted := i - 1
	for i := stored; i < accepted; i++ {
		a.Want(name(i), text(uint64(i), size))
	}
	if s := status(t, d).Cache; s.Used > size*2 || s.Unstored == 0 {
		t.Errorf("the cache didn't give way: %+v", s)
	}
	a.Remove(name(accepted), false) // what was cut short
	a.Remove(name(stored), false)
	if err := d.CommitAll(ctx); err != nil {
		t.Errorf("commit on a full disk: %v", err)
	}
	if err := d.Close(); err != nil {
		t.Fatal(err)
	}
	d = p.Open()
	a = As(t, d)
	for i := stored + 1; i < accepted; i++ {
		a.Want(name(i), text(uint64(i), size))
	}
	w.Swap("a", nil)
	a.Wait()
	for i := range accepted {
		if i != stored {
			a.Want(name(i), text(uint64(i), size))
		}
	}
	a.Write("Private/more", text(99, size))
	a.Wait()
}

func freeOn(t *testing.T, dir string) int64 {
	t.Helper()
	var s syscall.Statfs_t
	if err := syscall.Statfs(dir, &s); err != nil {
		t.Fatal(err)
	}
	return int64(s.Bavail) * s.Bsize
}

// try writes a file, as far as that goes.
func try(a Actor, path, content string) error {
	dir, err := a.Walk(filepath.Dir(path))
	if err != nil {
		return err
	}
	n, err := dir.Create(context.Background(), filepath.Base(path), drive.CreateOptions{Mode: 0o644})
	if err != nil {
		return err
	}
	h, err := n.Open(context.Background(), syscall.O_WRONLY)
	if err != nil {
		return err
	}
	defer h.Release()
	if _, err := h.WriteAt(context.Background(), []byte(content), 0); err != nil {
		return err
	}
	return h.Fsync(context.Background())
}
