package drive_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"satchel/fs/drive"
	. "satchel/fs/drive/drivetest"
	"satchel/storage"
	"satchel/storage/storagetest"
)

var errDown = errors.New("down")

func down(d storage.Driver) storage.Driver { return storagetest.Failing(d, errDown, nil) }

func text(seed uint64, n int) string { return string(storagetest.Bytes(seed, n)) }

// open opens a person's drive with next to no cache.
func openSmall(t *testing.T, p *Person) Actor {
	t.Helper()
	o := p.Options()
	o.CacheBytes = 1
	d, err := drive.Open(context.Background(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { d.Close() })
	return As(t, d)
}

func pinned(t *testing.T, d *drive.Drive, path string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	if err := d.WaitPinned(ctx, path, nil); err != nil {
		t.Fatal(err)
	}
}

func wantPins(t *testing.T, d *drive.Drive, want ...string) {
	t.Helper()
	var got []string
	for _, s := range d.Pins() {
		if s.Error == "" && s.Here == s.Bytes {
			got = append(got, s.Path)
		}
	}
	if strings.Join(got, " ") != strings.Join(want, " ") {
		t.Errorf("got pins %+v, want all of %v here", d.Pins(), want)
	}
}

func TestPinnedStaysAndUnpinnedLeaves(t *testing.T) {
	w, alice, _, _, _ := two(t)
	pb := w.Person("carol.id", "c")
	d := pb.Open()
	pb.Register(d)
	if err := d.Close(); err != nil {
		t.Fatal(err)
	}
	carol := openSmall(t, pb)
	big, small, other := text(1, 3<<20), text(2, 5000), text(3, 2<<20)
	alice.Mkdir("People/carol.id/dir")
	alice.Mkdir("People/carol.id/dir/sub")
	alice.Write("People/carol.id/dir/big", big)
	alice.Write("People/carol.id/dir/sub/small", small)
	alice.Wait()
	alice.Write("People/carol.id/other", other)
	alice.Wait()

	carol.Want("People/alice.id/other", other)
	if err := carol.D.Pin(context.Background(), "People/alice.id/dir"); err != nil {
		t.Fatal(err)
	}
	pinned(t, carol.D, "")
	wantPins(t, carol.D, "People/alice.id/dir")
	if s := carol.D.Pins()[0]; s.Files != 2 || s.Bytes < int64(len(big)+len(small)) {
		t.Errorf("got %+v", s)
	}

	// Without a network, and after a restart without one.
	w.Swap("a", down)
	for range 2 {
		carol.Want("People/alice.id/dir/big", big)
		carol.Want("People/alice.id/dir/sub/small", small)
		if _, err := carol.Read("People/alice.id/other"); err == nil {
			t.Error("what is not pinned was not evicted")
		}
		if err := carol.D.Close(); err != nil {
			t.Fatal(err)
		}
		carol = openSmall(t, pb)
	}

	// What comes new into a pinned folder, or changes in it, comes here too.
	w.Swap("a", nil)
	alice.Write("People/carol.id/dir/new", other)
	alice.Write("People/carol.id/dir/sub/small", big)
	alice.Wait()
	carol.Sync()
	pinned(t, carol.D, "")
	w.Swap("a", down)
	carol.Want("People/alice.id/dir/new", other)
	carol.Want("People/alice.id/dir/sub/small", big)

	// What somebody deletes of it comes again, before anybody reads it.
	w.Swap("a", nil)
	if err := os.RemoveAll(filepath.Join(pb.Dir, "cache", "packs", "cached")); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(filepath.Join(pb.Dir, "cache", "packs", "cached"), 0o700); err != nil {
		t.Fatal(err)
	}
	pinned(t, carol.D, "")
	w.Swap("a", down)
	carol.Want("People/alice.id/dir/big", big)

	if err := carol.D.Unpin("People/alice.id/dir/big"); err == nil || !strings.Contains(err.Error(), "dir") {
		t.Errorf("unpin of what is in a pinned folder: %v", err)
	}
	if err := carol.D.Unpin("People/alice.id/dir"); err != nil {
		t.Fatal(err)
	}
	for range 100 {
		if _, err := carol.Read("People/alice.id/dir/big"); err != nil {
			return
		}
		time.Sleep(50 * time.Millisecond)
	}
	t.Error("what is not pinned any more stays")
}

// A pinned file of one's own stays here when it is stored, and the pin goes
// where the file goes.
func TestPinnedOwnFile(t *testing.T) {
	w := New(t)
	p := w.Person("alice.id", "a")
	d := p.Open()
	p.Register(d)
	if err := d.Close(); err != nil {
		t.Fatal(err)
	}
	a := openSmall(t, p)
	ctx := context.Background()
	f, g := text(1, 2<<20), text(2, 2<<20)
	a.Write("Private/f", f)
	if err := a.Node("Private/f").SetXattr(ctx, "user.satchel.pin", nil, 0); err != nil {
		t.Fatal(err)
	}
	a.Write("Private/g", g)
	a.Wait()
	pinned(t, a.D, "")
	if got := status(t, a.D).Traffic.Received; got > 1<<20 {
		t.Errorf("what was written here was fetched: %d bytes", got)
	}
	if got := a.Xattr("Private/f", "user.satchel.pin"); got != "pinned" {
		t.Errorf("got %q", got)
	}
	if _, err := a.Node("Private/g").Xattr(ctx, "user.satchel.pin"); err != syscall.ENODATA {
		t.Errorf("not pinned: got %v", err)
	}
	a.Mkdir("Private/d")
	a.Rename("Private/f", "Private/d/moved")
	a.Wait()
	pinned(t, a.D, "")
	wantPins(t, a.D, "Private/d/moved")

	// Renamed just before a restart, it is known where it went.
	a.Rename("Private/d", "Private/e")
	if err := a.D.Close(); err != nil {
		t.Fatal(err)
	}
	a = openSmall(t, p)
	pinned(t, a.D, "")
	wantPins(t, a.D, "Private/e/moved")
	a.Rename("Private/e", "Private/d")

	// Saved by a rename over it: the pin is for the path then.
	a.Write("Private/d/temporary", g+f)
	a.Rename("Private/d/temporary", "Private/d/moved")
	a.Wait()
	pinned(t, a.D, "")
	wantPins(t, a.D, "Private/d/moved")
	w.Swap("a", down)
	a.Want("Private/d/moved", g+f)
	w.Swap("a", nil)

	a.Remove("Private/d/moved", false)
	a.Wait()
	for range 100 {
		if s := a.D.Pins(); len(s) == 1 && s[0].Error != "" {
			break
		}
		time.Sleep(50 * time.Millisecond)
	}
	if s := a.D.Pins(); len(s) != 1 || s[0].Error == "" || s[0].Bytes != 0 {
		t.Errorf("removed: got %+v", s)
	}
	if err := a.D.Unpin("Private/d/moved"); err != nil {
		t.Error(err)
	}
	h := a.Open("Private/g", syscall.O_RDWR)
	g0 := a.Node("Private/g")
	a.Remove("Private/g", false)
	if err := g0.SetXattr(ctx, "user.satchel.pin", nil, 0); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("pin of what was unlinked: %v; pinned are %+v", err, a.D.Pins())
	}
	h.Release()
	if err := a.D.Unpin("Private/d/moved"); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("unpinned twice: %v", err)
	}
	if err := a.D.Pin(ctx, "Private/nothing"); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("pin of nothing: %v", err)
	}
	if err := a.D.Pin(ctx, "People"); !errors.Is(err, os.ErrInvalid) {
		t.Errorf("pin of no folder: %v", err)
	}
}
