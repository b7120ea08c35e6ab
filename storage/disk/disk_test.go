package disk_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"satchel/storage"
	"satchel/storage/disk"
	"satchel/storage/storagetest"
)

func open(t *testing.T, dir string, o storage.Options) storage.Driver {
	t.Helper()
	d, err := storage.Mux{"file": disk.Open}.Open(t.Context(), disk.URL(dir), o)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func put(t *testing.T, d storage.Driver, key, s string) {
	t.Helper()
	if err := d.Put(t.Context(), key, strings.NewReader(s), int64(len(s))); err != nil {
		t.Fatal(err)
	}
}

func get(d storage.Driver, key string) (string, error) {
	b, err := storage.ReadBlob(context.Background(), d, key, 0, -1, storage.MaxBlob)
	return string(b), err
}

func TestDriver(t *testing.T) {
	storagetest.Test(t, func(t *testing.T) storage.Driver {
		return open(t, filepath.Join(t.TempDir(), "a folder", "50% & more#?"), storage.Options{})
	})
}

var badURLs = []string{
	"file:relative", "file://relative", "file://host/x", "file:", "file://", "http://x/y", "file:///x?y", "file:///x#y",
	"file://u:p@localhost/x", "file:///x%00y", "file:///%zz", "",
}

func TestURL(t *testing.T) {
	for _, u := range badURLs {
		if _, err := disk.Path(u); !errors.Is(err, os.ErrInvalid) {
			t.Errorf("%s: got %v, want invalid", u, err)
		}
	}
	for _, dir := range []string{"/", "/a b", "/50%", "/a#b?c", "/ä\n"} {
		if got, err := disk.Path(disk.URL(dir)); got != dir || err != nil {
			t.Errorf("%q: got %q, %v", dir, got, err)
		}
	}
	if got, err := disk.Path("file:///a/../../b/./c/"); got != "/b/c" || err != nil {
		t.Errorf("got %q, %v", got, err)
	}
}

func TestModes(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "new", "folder")
	d := open(t, dir, storage.Options{})
	put(t, d, "p/ab/ab", "x")
	err := filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := e.Info()
		want := fs.FileMode(0o600)
		if e.IsDir() {
			want = 0o700
		}
		if info.Mode().Perm() != want {
			t.Errorf("%s: got %v, want %v", path, info.Mode(), want)
		}
		return err
	})
	if err != nil {
		t.Error(err)
	}
}

// TestLeftovers: nothing stays of a put that failed, and what a crash left is
// removed, but not what somebody may still be writing.
func TestLeftovers(t *testing.T) {
	dir := t.TempDir()
	d := open(t, dir, storage.Options{})
	if err := d.Put(t.Context(), "profile", strings.NewReader("x"), 2); err == nil {
		t.Error("half a blob was stored")
	}
	temp := filepath.Join(dir, ".tmp")
	if left, err := os.ReadDir(temp); len(left) != 0 || err != nil {
		t.Errorf("got %v, %v", left, err)
	}
	for _, name := range []string{"old", "new"} {
		if err := os.WriteFile(filepath.Join(temp, name), nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	past := time.Now().Add(-25 * time.Hour)
	if err := os.Chtimes(filepath.Join(temp, "old"), past, past); err != nil {
		t.Fatal(err)
	}
	open(t, dir, storage.Options{})
	left, err := os.ReadDir(temp)
	if err != nil || len(left) != 1 || left[0].Name() != "new" {
		t.Errorf("got %v, %v, want the new one alone", left, err)
	}
}

// TestFolderGone: a disk that isn't mounted is not a blob that isn't there,
// and nothing is written beside it.
func TestFolderGone(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "x")
	d := open(t, dir, storage.Options{})
	put(t, d, "profile", "x")
	if err := os.Rename(dir, dir+".away"); err != nil {
		t.Fatal(err)
	}
	if _, err := get(d, "profile"); err == nil || errors.Is(err, os.ErrNotExist) {
		t.Errorf("get: got %v", err)
	}
	if err := d.Put(t.Context(), "profile", strings.NewReader("y"), 1); err == nil || errors.Is(err, os.ErrNotExist) {
		t.Errorf("put: got %v", err)
	}
	if err := d.Delete(t.Context(), "profile"); err == nil {
		t.Error("delete: a missing folder was taken for a missing blob")
	}
	if _, err := os.Stat(dir); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the folder was made again: %v", err)
	}
	if err := os.Rename(dir+".away", dir); err != nil {
		t.Fatal(err)
	}
	if s, err := get(d, "profile"); s != "x" || err != nil {
		t.Errorf("got %q, %v after it came back", s, err)
	}
}

// TestLinksDoNotEscape: links in the folder lead nowhere outside it.
func TestLinksDoNotEscape(t *testing.T) {
	dir, out := t.TempDir(), t.TempDir()
	if err := os.WriteFile(filepath.Join(out, "secret"), []byte("secret"), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, to := range map[string]string{"profile": filepath.Join(out, "secret"), "h": out, "up": ".."} {
		if err := os.Symlink(to, filepath.Join(dir, name)); err != nil {
			t.Fatal(err)
		}
	}
	for _, o := range []storage.Options{{}, {Foreign: &storage.Policy{AllowFiles: []string{dir}}}} {
		d := open(t, dir, o)
		for _, key := range []string{"profile", "h/secret", "up/" + filepath.Base(out) + "/secret"} {
			if s, err := get(d, key); err == nil {
				t.Errorf("%s: read %q outside the folder", key, s)
			}
		}
	}
	d := open(t, dir, storage.Options{})
	if err := d.Put(t.Context(), "h/new", strings.NewReader("x"), 1); err == nil {
		t.Error("wrote outside the folder")
	}
	put(t, d, "profile", "mine") // replaces the link, not what it points to
	if b, _ := os.ReadFile(filepath.Join(out, "secret")); string(b) != "secret" {
		t.Errorf("wrote %q through a link", b)
	}
}

func TestPolicy(t *testing.T) {
	base := t.TempDir()
	allowed, denied := filepath.Join(base, "allowed"), filepath.Join(base, "denied")
	put(t, open(t, filepath.Join(allowed, "ada"), storage.Options{}), "profile", "ada's")
	put(t, open(t, denied, storage.Options{}), "profile", "not for us")
	if err := os.Symlink(denied, filepath.Join(allowed, "link")); err != nil {
		t.Fatal(err)
	}
	p := &storage.Policy{AllowFiles: []string{allowed}}
	m := storage.Mux{"file": disk.Open}
	for _, dir := range []string{denied, "/etc", filepath.Join(allowed, "link"), allowed + "/../denied", base} {
		if _, err := m.Open(t.Context(), disk.URL(dir), storage.Options{Foreign: p}); !errors.Is(err, storage.ErrRefused) {
			t.Errorf("%s: got %v, want a refusal", dir, err)
		}
	}
	d := open(t, filepath.Join(allowed, "ada"), storage.Options{Foreign: p})
	if s, err := get(d, "profile"); s != "ada's" || err != nil {
		t.Errorf("got %q, %v", s, err)
	}
	// A folder that is exchanged for a link later is found out too.
	if err := os.Rename(filepath.Join(allowed, "ada"), filepath.Join(base, "old")); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(denied, filepath.Join(allowed, "ada")); err != nil {
		t.Fatal(err)
	}
	if s, err := get(d, "profile"); !errors.Is(err, storage.ErrRefused) {
		t.Errorf("got %q, %v, want a refusal", s, err)
	}
	// Somebody else's folder is never made.
	gone := filepath.Join(allowed, "gone")
	d = open(t, gone, storage.Options{Foreign: p})
	if _, err := get(d, "profile"); err == nil || errors.Is(err, os.ErrNotExist) {
		t.Errorf("got %v", err)
	}
	if _, err := os.Stat(gone); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("somebody else's folder was made: %v", err)
	}
}

// TestFifo: something that isn't a file stops nobody.
func TestFifo(t *testing.T) {
	dir := t.TempDir()
	if err := syscall.Mkfifo(filepath.Join(dir, "profile"), 0o600); err != nil {
		t.Skip(err)
	}
	d := open(t, dir, storage.Options{Foreign: &storage.Policy{AllowFile: true}})
	if _, err := get(d, "profile"); err == nil {
		t.Error("a fifo was read")
	}
}

// A full disk is said clearly, and what was there stays.
func TestFull(t *testing.T) {
	dir := t.TempDir()
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, "size=64k"); err != nil {
		t.Skipf("cannot mount a small disk: %v", err)
	}
	defer func() { _ = syscall.Unmount(dir, syscall.MNT_DETACH) }()
	d := open(t, dir, storage.Options{})
	put(t, d, "profile", "old")
	b := make([]byte, 1<<20)
	err := d.Put(t.Context(), "profile", bytes.NewReader(b), int64(len(b)))
	if !errors.Is(err, syscall.ENOSPC) || storage.CanPass(err) || !strings.Contains(err.Error(), "file://"+dir) {
		t.Errorf("got %v, want no space left and where", err)
	}
	if s, err := get(d, "profile"); s != "old" || err != nil {
		t.Errorf("got %q, %v", s, err)
	}
	put(t, d, "profile", "new") // the failed put left no rest
}

// TestPutStopsReading: a put ends with its context, not with its source.
func TestPutStopsReading(t *testing.T) {
	d := open(t, t.TempDir(), storage.Options{})
	ctx, cancel := context.WithCancel(t.Context())
	n := 0
	r := readerFunc(func(p []byte) (int, error) {
		if n++; n == 3 {
			cancel()
		}
		return len(p), nil
	})
	if err := d.Put(ctx, "profile", r, 1<<20*16); !errors.Is(err, context.Canceled) || n > 4 {
		t.Errorf("got %v after %d reads", err, n)
	}
}

type readerFunc func(p []byte) (int, error)

func (f readerFunc) Read(p []byte) (int, error) { return f(p) }

var _ io.Reader = readerFunc(nil)
