package drivetest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"satchel/fs/drive"
)

// An Actor does in a drive what a user does in a mount. Every step that fails
// ends the test.
type Actor struct {
	T testing.TB
	D *drive.Drive
}

// As returns an actor in d.
func As(t testing.TB, d *drive.Drive) Actor { return Actor{T: t, D: d} }

func (a Actor) ctx() context.Context { return context.Background() }

// Node walks to a path; it ends the test if there is nothing.
func (a Actor) Node(p string) *drive.Node {
	a.T.Helper()
	n, err := a.Walk(p)
	if err != nil {
		a.T.Fatalf("%s: %v", p, err)
	}
	return n
}

// Walk walks to a path, as the kernel does, name by name.
func (a Actor) Walk(p string) (*drive.Node, error) {
	n := a.D.Root()
	for name := range strings.SplitSeq(p, "/") {
		if name == "" {
			continue
		}
		c, err := n.Lookup(a.ctx(), name)
		if err != nil {
			return nil, err
		}
		n = c
	}
	return n, nil
}

// Write makes or overwrites a file with content.
func (a Actor) Write(p, content string) {
	a.T.Helper()
	dir, name := path.Split(p)
	n, err := a.Node(dir).Create(a.ctx(), name, drive.CreateOptions{Mode: 0o644})
	a.check(p, err)
	h, err := n.Open(a.ctx(), syscall.O_WRONLY|syscall.O_TRUNC)
	a.check(p, err)
	defer h.Release()
	_, err = h.WriteAt(a.ctx(), []byte(content), 0)
	a.check(p, err)
}

// Open opens a file that is there.
func (a Actor) Open(p string, flags int) *drive.Handle {
	a.T.Helper()
	h, err := a.Node(p).Open(a.ctx(), flags)
	a.check(p, err)
	return h
}

// Read returns a file's content.
func (a Actor) Read(p string) (string, error) {
	n, err := a.Walk(p)
	if err != nil {
		return "", err
	}
	h, err := n.Open(a.ctx(), os.O_RDONLY)
	if err != nil {
		return "", err
	}
	defer h.Release()
	return ReadAll(h)
}

// ReadAll reads an open file from its beginning.
func ReadAll(h *drive.Handle) (string, error) {
	var out bytes.Buffer
	buf := make([]byte, 128<<10)
	for off := int64(0); ; {
		n, err := h.ReadAt(context.Background(), buf, off)
		out.Write(buf[:n])
		off += int64(n)
		if errors.Is(err, io.EOF) || err == nil && n == 0 {
			return out.String(), nil
		}
		if err != nil {
			return out.String(), err
		}
	}
}

// Want checks a file's content.
func (a Actor) Want(p, content string) {
	a.T.Helper()
	got, err := a.Read(p)
	if err != nil {
		a.T.Fatalf("read %s: %v", p, err)
	}
	if got != content {
		a.T.Fatalf("%s: got %s, want %s", p, clip(got), clip(content))
	}
}

func clip(s string) string {
	if len(s) > 200 {
		return fmt.Sprintf("%d bytes %q…", len(s), s[:80])
	}
	return fmt.Sprintf("%q", s)
}

// WantErr checks that a path gives an error of a kind.
func (a Actor) WantErr(p string, kind error) {
	a.T.Helper()
	if _, err := a.Walk(p); !errors.Is(err, kind) {
		a.T.Fatalf("%s: got %v, want %v", p, err, kind)
	}
}

// List returns the names in a folder.
func (a Actor) List(p string) []string {
	a.T.Helper()
	list, err := a.Node(p).ReadDir(a.ctx())
	a.check(p, err)
	var names []string
	for _, e := range list {
		names = append(names, e.Name)
	}
	return names
}

// WantList checks the names in a folder.
func (a Actor) WantList(p string, want ...string) {
	a.T.Helper()
	if got := a.List(p); !slices.Equal(got, want) {
		a.T.Fatalf("%s: got %q, want %q", p, got, want)
	}
}

// Mkdir makes a folder.
func (a Actor) Mkdir(p string) {
	a.T.Helper()
	dir, name := path.Split(p)
	_, err := a.Node(dir).Create(a.ctx(), name, drive.CreateOptions{Mode: os.ModeDir | 0o755})
	a.check(p, err)
}

// Remove removes a file, or a folder if dir.
func (a Actor) Remove(p string, dir bool) {
	a.T.Helper()
	parent, name := path.Split(p)
	a.check(p, a.Node(parent).Remove(a.ctx(), name, dir))
}

// Rename moves from to to.
func (a Actor) Rename(from, to string) {
	a.T.Helper()
	a.check(from+" to "+to, a.TryRename(from, to))
}

// TryRename is Rename with its error.
func (a Actor) TryRename(from, to string) error {
	fd, fn := path.Split(from)
	td, tn := path.Split(to)
	return a.Node(fd).Rename(a.ctx(), fn, a.Node(td), tn, false)
}

// Wait has everything stored.
func (a Actor) Wait() {
	a.T.Helper()
	ctx, cancel := context.WithTimeout(a.ctx(), 20*time.Second)
	defer cancel()
	a.check("wait", a.D.Wait(ctx))
}

// Sync has everybody's newest merged.
func (a Actor) Sync() {
	a.T.Helper()
	ctx, cancel := context.WithTimeout(a.ctx(), 20*time.Second)
	defer cancel()
	a.check("sync", a.D.Sync(ctx))
}

// Xattr returns an extended attribute.
func (a Actor) Xattr(p, name string) string {
	a.T.Helper()
	b, err := a.Node(p).Xattr(a.ctx(), name)
	a.check(p, err)
	return string(b)
}

func (a Actor) check(what string, err error) {
	a.T.Helper()
	if err != nil {
		a.T.Fatalf("%s: %v", what, err)
	}
}
