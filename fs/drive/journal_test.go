package drive_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"satchel/fs/drive"
	. "satchel/fs/drive/drivetest"
	"satchel/fs/journal"
)

// TestDamagedJournal: a folder with a damaged journal doesn't open, and status names
// the file, until it may be set aside. Then what it may refer to is kept with it.
func TestDamagedJournal(t *testing.T) {
	w := New(t)
	p := w.Person("alice.id", "a")
	d := p.Open()
	p.Register(d)
	a := As(t, d)
	a.Write("Private/f", "1")
	a.Wait()
	if err := d.Close(); err != nil {
		t.Fatal(err)
	}
	files, err := filepath.Glob(filepath.Join(p.Dir, "data", "journal", "*", "[ab]"))
	if err != nil || len(files) == 0 {
		t.Fatalf("journals: %q, %v", files, err)
	}
	for _, f := range files {
		if err := os.WriteFile(f, []byte("not a journal"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	left := filepath.Join(p.Dir, "data", "staged", "open", strings.Repeat("ab", 32))
	if err := os.WriteFile(left, []byte("a pack"), 0o600); err != nil {
		t.Fatal(err)
	}

	d = p.Open()
	if _, err := d.Root().Lookup(context.Background(), "Private"); !errors.Is(err, journal.ErrDamaged) || !strings.Contains(err.Error(), "--set-aside") {
		t.Errorf("looked up: %v", err)
	}
	s, err := d.Status(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	said := false
	for _, v := range s.Volumes {
		said = said || v.Folder == "Private" && v.State == "damaged" && strings.Contains(v.CommitErr, filepath.Join(p.Dir, "data", "journal"))
	}
	if !said {
		t.Errorf("status says %+v", s.Volumes)
	}
	if err := d.Close(); err != nil {
		t.Fatal(err)
	}

	o := p.Options()
	o.SetAside = true
	if d, err = drive.Open(context.Background(), o); err != nil {
		t.Fatal(err)
	}
	a.D = d
	a.Want("Private/f", "1")
	if err := d.Sync(context.Background()); err != nil { // all folders are open
		t.Fatal(err)
	}
	if err := d.Close(); err != nil {
		t.Fatal(err)
	}
	d = p.Open()
	a.D = d
	a.Want("Private/f", "1")
	if err := d.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(left); err != nil {
		t.Error("the pack that a crash left is gone, though nobody knows who refers to it")
	}
	for _, f := range files {
		if b, err := os.ReadFile(f + ".damaged1"); err != nil || string(b) != "not a journal" {
			t.Errorf("kept: %q, %v", b, err)
		}
	}
}
