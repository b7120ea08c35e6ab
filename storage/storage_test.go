package storage_test

import (
	"context"
	"errors"
	"io"
	"net/http"
	"os"
	"strings"
	"syscall"
	"testing"

	"satchel/storage"
	"satchel/storage/mem"
)

func TestCheckKey(t *testing.T) {
	good := []string{"profile", "h/00ff", "p/ab/abcd", "a-b", strings.Repeat("a", 200)}
	bad := []string{
		"", "/", "/a", "a/", "a//b", "..", "a/../b", ".", "a.b", "A", "a b", "a\\b",
		"-a", "a/-b", "a\x00", "ä", "a\n", "~", strings.Repeat("a", 201),
	}
	for _, k := range good {
		if err := storage.CheckKey(k); err != nil {
			t.Error(err)
		}
	}
	for _, k := range bad {
		if err := storage.CheckKey(k); !errors.Is(err, os.ErrInvalid) {
			t.Errorf("%q: got %v, want invalid", k, err)
		}
	}
}

func TestRedact(t *testing.T) {
	for in, want := range map[string]string{
		"https://a.example/b":                   "https://a.example/b",
		"https://u:secret@a.example/b?k=secret": "https://a.example/b",
		"https://a.example/b#secret":            "https://a.example/b",
		"file:///srv/x":                         "file:///srv/x",
		"https://u:secret@[bad":                 `"https:…"`,
		"secret words\n without a scheme":       "(unreadable URL)",
	} {
		if got := storage.Redact(in); got != want {
			t.Errorf("%q: got %q, want %q", in, got, want)
		}
	}
}

func TestMux(t *testing.T) {
	var hosts mem.Hosts
	m := storage.Mux{"mem": hosts.Open}
	ctx := t.Context()
	own, err := m.Open(ctx, "MEM://x", storage.Options{})
	if err != nil {
		t.Fatal(err)
	}
	if err := own.Put(ctx, "profile", strings.NewReader("hello"), 5); err != nil {
		t.Fatal(err)
	}
	foreign, err := m.Open(ctx, "MEM://x", storage.Options{Foreign: &storage.Policy{}})
	if err != nil {
		t.Fatal(err)
	}
	b, err := storage.ReadBlob(ctx, foreign, "profile", 0, -1, 100)
	if err != nil || string(b) != "hello" {
		t.Errorf("got %q, %v", b, err)
	}
	if _, err := storage.ReadBlob(ctx, foreign, "profile", 0, -1, 4); !errors.Is(err, storage.ErrTooLarge) {
		t.Errorf("got %v, want too large", err)
	}
	if n, err := storage.Stat(ctx, foreign, "profile"); n != 5 || err != nil {
		t.Errorf("got %d, %v, want 5", n, err)
	}
	if err := foreign.Put(ctx, "profile", strings.NewReader("x"), 1); !errors.Is(err, os.ErrPermission) {
		t.Errorf("got %v, want that foreign providers are read-only", err)
	}
	if err := foreign.Delete(ctx, "profile"); !errors.Is(err, os.ErrPermission) {
		t.Errorf("got %v, want that foreign providers are read-only", err)
	}
	for _, url := range []string{"gopher://x", "", "x", "mem", "://"} {
		if _, err := m.Open(ctx, url, storage.Options{}); !errors.Is(err, os.ErrInvalid) {
			t.Errorf("%q: got %v, want invalid", url, err)
		}
	}
}

// An endless reader stands for a provider that never stops sending.
type endless struct{ storage.Driver }

func (endless) Get(context.Context, string, int64, int64) (io.ReadCloser, error) {
	return io.NopCloser(zeros{}), nil
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) {
	clear(p)
	return len(p), nil
}

func TestForeignIsLimited(t *testing.T) {
	m := storage.Mux{"x": func(context.Context, string, storage.Options) (storage.Driver, error) { return endless{}, nil }}
	d, err := m.Open(t.Context(), "x:", storage.Options{Foreign: &storage.Policy{}})
	if err != nil {
		t.Fatal(err)
	}
	r, err := d.Get(t.Context(), "profile", 0, -1)
	if err != nil {
		t.Fatal(err)
	}
	n, err := io.Copy(io.Discard, r)
	if !errors.Is(err, storage.ErrTooLarge) || n > storage.MaxBlob {
		t.Errorf("got %d bytes, %v, want too large", n, err)
	}
}

func TestCanPass(t *testing.T) {
	no := []error{
		nil, os.ErrNotExist, os.ErrPermission, storage.ErrRefused, storage.ErrTooLarge, syscall.ENOSPC,
		syscall.EACCES, syscall.ENOENT, context.Canceled,
	}
	yes := []error{io.ErrUnexpectedEOF, syscall.ECONNREFUSED, context.DeadlineExceeded, http.ErrServerClosed}
	for _, err := range no {
		if storage.CanPass(err) {
			t.Errorf("%v: would be tried again", err)
		}
	}
	for _, err := range yes {
		if !storage.CanPass(err) {
			t.Errorf("%v: would not be tried again", err)
		}
	}
}
