package pack

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// TestBadDisk damages the file of a pack in each state: what it should hold is
// fetched again where there is somebody who has it, and else said to be lost.
func TestBadDisk(t *testing.T) {
	damage := map[string]func(path string) error{
		"deleted":   os.Remove,
		"truncated": func(path string) error { return os.Truncate(path, 4500) },
		"emptied":   func(path string) error { return os.Truncate(path, 0) },
		"a folder":  func(path string) error { return errors.Join(os.Remove(path), os.Mkdir(path, 0o700)) },
	}
	for what, damage := range damage {
		for _, st := range []state{staged, cached, part} {
			for _, again := range []bool{false, true} {
				t.Run(fmt.Sprint(what, st, again), func(t *testing.T) {
					w := newWorld(t, 1<<20, good)
					badPack(t, w, st)
					if !again { // the file isn't open
						w.s.mu.Lock()
						for e := range w.s.files {
							w.s.closeFile(e)
						}
						w.s.mu.Unlock()
					} else if err := w.s.Close(); err != nil {
						t.Fatal(err)
					}
					if err := damage(w.s.path(st, w.id)); err != nil {
						t.Fatal(err)
					}
					if again {
						w.s = openStore(t, w.dir, 0)
						w.s.pause = time.Millisecond
					}
					ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
					defer cancel()
					from := w.from
					w.from = nil
					if err := w.readCtx(ctx, 4000, 2000); err == nil || ctx.Err() != nil {
						t.Errorf("without providers: %v", err)
					} else if st == staged && !(again && what == "deleted" || again && what == "a folder") && !strings.Contains(err.Error(), "on this machine is damaged") {
						t.Errorf("not said: %v", err)
					}
					w.from = from
					if err := w.readCtx(ctx, 4000, 2000); err != nil {
						t.Errorf("not fetched again: %v", err)
					}
					w.wantBlamed()
				})
			}
		}
	}
}

// badPack brings the world's pack into a state.
func badPack(t *testing.T, w *world, st state) {
	t.Helper()
	n := int64(200_000)
	if st != part {
		w.know()
		n = 1 << 20
	}
	err := w.read(0, n)
	if err == nil && st == staged {
		err = w.s.Pin(w.id)
	}
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(w.s.path(st, w.id)); err != nil {
		t.Fatal(err)
	}
}

// TestReadOnlyDisk: on a disk that can't be written to the store doesn't open, and
// says why.
func TestReadOnlyDisk(t *testing.T) {
	disk := t.TempDir()
	if err := syscall.Mount("tmpfs", disk, "tmpfs", 0, "size=8m"); err != nil {
		t.Skipf("cannot mount a small disk: %v", err)
	}
	defer func() { _ = syscall.Unmount(disk, syscall.MNT_DETACH) }()
	dir := filepath.Join(disk, "packs")
	s := openStore(t, dir, 0)
	id := write(t, s, []byte("kept"))
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Mount("tmpfs", disk, "tmpfs", syscall.MS_REMOUNT|syscall.MS_RDONLY, "size=8m"); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(dir, 0); !errors.Is(err, syscall.EROFS) {
		t.Errorf("opened: %v", err)
	}
	if err := syscall.Mount("tmpfs", disk, "tmpfs", syscall.MS_REMOUNT, "size=8m"); err != nil {
		t.Fatal(err)
	}
	s = openStore(t, dir, 0)
	wantLocal(t, s, id, 0, []byte("kept"))
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
}
