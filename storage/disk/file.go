package disk

import (
	"context"
	"crypto/rand"
	"errors"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"time"
)

// tempDir is the folder of files that are being written. No key has a dot.
const tempDir = ".tmp"

// writeTemp writes size bytes of r to a new file, synced, and returns its name.
func writeTemp(ctx context.Context, root *os.Root, r io.Reader, size int64) (name string, err error) {
	if err := root.Mkdir(tempDir, 0o700); err != nil && !errors.Is(err, os.ErrExist) {
		return "", err
	}
	name = path.Join(tempDir, rand.Text())
	f, err := root.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return "", err
	}
	defer func() {
		if err != nil {
			_ = root.Remove(name)
		}
	}()
	_, err = io.CopyN(f, &ctxReader{ctx, r}, size)
	if err == io.EOF {
		err = io.ErrUnexpectedEOF
	}
	if err == nil {
		err = f.Sync()
	}
	if e := f.Close(); err == nil {
		err = e
	}
	return name, err
}

// A ctxReader stops reading when ctx ends.
type ctxReader struct {
	ctx context.Context
	r   io.Reader
}

func (c *ctxReader) Read(p []byte) (int, error) {
	if err := c.ctx.Err(); err != nil {
		return 0, err
	}
	return c.r.Read(p)
}

// makeDirs makes the folder dir below root, so that it survives a crash.
func (d *Driver) makeDirs(root *os.Root, dir string) error {
	if dir == "." {
		return nil
	}
	if _, ok := d.synced.Load(dir); ok {
		if _, err := root.Lstat(dir); err == nil {
			return nil
		}
	}
	if err := root.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	// Whoever made it, maybe another process just now: it must be on disk
	// before what stands in it counts as stored.
	for up := path.Dir(dir); ; up = path.Dir(up) {
		if err := syncDir(root, up); err != nil {
			return err
		}
		if up == "." {
			break
		}
	}
	d.synced.Store(dir, true)
	return nil
}

// syncDir makes the names in a folder survive a crash.
func syncDir(root *os.Root, dir string) error {
	f, err := root.Open(dir)
	if err != nil {
		return err
	}
	defer f.Close()
	return f.Sync()
}

// makeDir makes dir and what is missing above it, so that it survives a crash.
func makeDir(dir string) error {
	if info, err := os.Stat(dir); err == nil && info.IsDir() {
		return nil
	}
	if parent := filepath.Dir(dir); parent != dir {
		if err := makeDir(parent); err != nil {
			return err
		}
	}
	if err := os.Mkdir(dir, 0o700); err != nil && !errors.Is(err, os.ErrExist) {
		return err
	}
	if info, err := os.Stat(dir); err != nil || !info.IsDir() {
		return &fs.PathError{Op: "mkdir", Path: dir, Err: errNotFolder}
	}
	f, err := os.Open(filepath.Dir(dir))
	if err != nil {
		return err
	}
	defer f.Close()
	return f.Sync()
}

var errNotFolder = errors.New("there is something else of this name")

// clean removes what a crash left in tempDir; what is younger than a day may
// still be written by somebody else who uses the folder.
func (d *Driver) clean() {
	entries, _ := os.ReadDir(filepath.Join(d.dir, tempDir))
	for _, e := range entries {
		info, err := e.Info()
		if err == nil && info.Mode().IsRegular() && time.Since(info.ModTime()) > 24*time.Hour {
			_ = os.Remove(filepath.Join(d.dir, tempDir, e.Name()))
		}
	}
}
