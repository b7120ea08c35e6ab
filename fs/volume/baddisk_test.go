package volume

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"satchel/fs/journal"
)

// TestOpenPackDamaged damages the open pack to which a journal refers: what is
// left of it is read, the rest is an error and no other bytes, and the volume can
// be committed.
func TestOpenPackDamaged(t *testing.T) {
	damage := map[string]struct {
		do   func(path string, size int64) error
		left []bool // which of the files
	}{
		"truncated": {func(path string, size int64) error { return os.Truncate(path, size-10) }, []bool{true, true, false}},
		"emptied":   {func(path string, _ int64) error { return os.Truncate(path, 0) }, []bool{false, false, false}},
		"deleted":   {func(path string, _ int64) error { return os.Remove(path) }, []bool{false, false, false}},
		"rotten": {func(path string, size int64) error {
			f, err := os.OpenFile(path, os.O_WRONLY, 0)
			if err != nil {
				return err
			}
			_, err = f.WriteAt([]byte("rotten"), size/2)
			return errors.Join(err, f.Close())
		}, []bool{true, false, true}},
	}
	for what, c := range damage {
		t.Run(what, func(t *testing.T) {
			w := newWorld(t)
			w.journal = filepath.Join(t.TempDir(), "journal")
			v := w.open("Private", Last{})
			names := []string{"a", "b", "c"}
			for i, name := range names {
				write(t, v.Root(), name, random(int64(i), 500_000))
				if err := v.Sync(ctx); err != nil {
					t.Fatal(err)
				}
			}
			write(t, v.Root(), "small", []byte("small"))
			if err := v.Sync(ctx); err != nil {
				t.Fatal(err)
			}
			pack := filepath.Join(w.dir, "open", v.data.ID().String())
			size := v.data.Size()
			if err := w.packs.Close(); err != nil {
				t.Fatal(err)
			}
			if err := c.do(pack, size); err != nil {
				t.Fatal(err)
			}
			w.reopen()
			v = w.open("Private", Last{})
			check := func() {
				t.Helper()
				for i, name := range names {
					h := must[*Handle](t)(must[*Node](t)(v.Root().Lookup(ctx, name)).Open(ctx, false, false, false))
					got := make([]byte, 500_000)
					_, err := h.ReadAt(ctx, got, 0)
					h.Close()
					if c.left[i] && (err != nil || !bytes.Equal(got, random(int64(i), len(got)))) {
						t.Errorf("%s, which was spared: %v", name, err)
					}
					if !c.left[i] && (err == nil || errors.Is(err, os.ErrNotExist)) {
						t.Errorf("%s, which is lost: %v", name, err)
					}
				}
				if got := read(t, v.Root(), "small"); string(got) != "small" {
					t.Errorf("small: %q", got)
				}
			}
			check()
			if err := v.Commit(ctx); err != nil {
				t.Fatal(err)
			}
			check()
			last := v.Last()
			w.reopen()
			v = w.open("Private", last)
			check()
		})
	}
}

// TestJournalDamaged damages a journal in the middle: the volume doesn't open, and
// nothing changes, until the journal may be set aside. Then what was synced before
// is there and stays.
func TestJournalDamaged(t *testing.T) {
	w := newWorld(t)
	w.journal = filepath.Join(t.TempDir(), "journal")
	v := w.open("Private", Last{})
	big := random(1, 300_000)
	for i, name := range []string{"a", "b", "c"} {
		write(t, v.Root(), name, big[i:])
		if err := v.Sync(ctx); err != nil {
			t.Fatal(err)
		}
	}
	file := filepath.Join(w.journal, "a")
	f := must[*os.File](t)(os.OpenFile(file, os.O_WRONLY, 0))
	must[int](t)(f.WriteAt([]byte("rotten"), 2*4096+100)) // the second batch
	f.Close()
	before := must[[]byte](t)(os.ReadFile(file))
	for range 2 {
		w.reopen()
		if _, err := Open(ctx, Last{}, w.options("Private")); !errors.Is(err, journal.ErrDamaged) {
			t.Fatalf("opened: %v", err)
		}
	}
	if !bytes.Equal(before, must[[]byte](t)(os.ReadFile(file))) {
		t.Error("the file was changed")
	}
	warned := 0
	o := w.options("Private")
	o.SetAside, o.Warn = true, func(error) { warned++ }
	v = must[*Volume](t)(Open(ctx, Last{}, o))
	if warned != 1 {
		t.Errorf("warned %d times", warned)
	}
	write(t, v.Root(), "d", []byte("more"))
	if err := v.Sync(ctx); err != nil {
		t.Fatal(err)
	}
	w.reopen()
	v = w.open("Private", Last{})
	if got := read(t, v.Root(), "a"); !bytes.Equal(got, big) {
		t.Error("what was synced before the damage is lost")
	}
	if got := read(t, v.Root(), "d"); string(got) != "more" {
		t.Errorf("d: %q", got)
	}
	if !bytes.Equal(before, must[[]byte](t)(os.ReadFile(file+".damaged1"))) {
		t.Error("the damaged file was not kept")
	}
}

// TestBadSector: a sector of the journal can't be read. The volume says so, and goes
// on with what is before it when it may.
func TestBadSector(t *testing.T) {
	if _, err := os.Stat("/dev/fuse"); err != nil {
		t.Skip("no /dev/fuse")
	}
	d := newDisk()
	mounted(t, d, func(dir string) { runProgram(t, d, 0, "TestBadSectorProgram", "BADSECTOR_DIR="+dir) })
}

// TestBadSectorProgram is what uses the bad disk.
func TestBadSectorProgram(t *testing.T) {
	dir := os.Getenv("BADSECTOR_DIR")
	if dir == "" {
		t.Skip("run by TestBadSector")
	}
	tell := teller(t)
	w := &world{t: t, dir: filepath.Join(dir, "packs"), journal: filepath.Join(dir, "journal")}
	w.reopen()
	v := w.open("Private", Last{})
	for i := range 3 {
		write(t, v.Root(), string(rune('a'+i)), random(int64(i), 9000))
		if err := v.Sync(ctx); err != nil {
			t.Fatal(err)
		}
	}
	again := func() {
		v.Close()
		w.reopen()
	}
	again()
	tell(told{Sector: 5 * 4096}) // in the second batch
	file := filepath.Join(w.journal, "a")
	if _, err := Open(ctx, Last{}, w.options("Private")); !errors.Is(err, journal.ErrDamaged) || !errors.Is(err, syscall.EIO) ||
		!strings.Contains(err.Error(), file) {
		t.Fatalf("opened: %v", err)
	}
	o := w.options("Private")
	o.SetAside = true
	v = must[*Volume](t)(Open(ctx, Last{}, o))
	write(t, v.Root(), "more", []byte("more"))
	if err := v.Sync(ctx); err != nil {
		t.Fatal(err)
	}
	again()
	v = w.open("Private", Last{})
	if got := shown(t, v); len(got) != 2 || !bytes.Equal(read(t, v.Root(), "a"), random(0, 9000)) || string(read(t, v.Root(), "more")) != "more" {
		t.Errorf("found %v", got)
	}
	if _, err := os.Stat(file + ".damaged1"); err != nil {
		t.Error(err)
	}
}
