// Package disk keeps blobs as files in a folder: the blob of key p/ab/abcd is
// the file p/ab/abcd below it. Files are 0600 and folders 0700; they hold
// sealed or public bytes, but whoever can't list them learns no rhythm either.
//
// A put writes a new file in the folder .tmp, syncs it, renames it over the
// old one and syncs the folder, so that a crash leaves the old blob or the new
// one. What a crash leaves in .tmp is removed a day later.
//
// The folder is opened anew for each request and nothing outside it is
// reachable by any key: not through a link that somebody put there either.
// While it is missing (a disk that isn't mounted) requests fail; they don't
// say that the blob isn't there, and they don't make it again.
package disk

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/url"
	"os"
	"path"
	"path/filepath"
	"strings"
	"sync"
	"syscall"

	"satchel/storage"
)

// A Driver keeps blobs in one folder.
type Driver struct {
	dir    string
	url    string          // for messages
	policy *storage.Policy // of somebody else's folder, else nil
	synced sync.Map        // folders below dir that survive a crash
}

// Open is the storage.Opener for file:///abs/path. It makes the folder, unless
// it is somebody else's.
func Open(_ context.Context, rawURL string, o storage.Options) (storage.Driver, error) {
	dir, err := Path(rawURL)
	if err != nil {
		return nil, err
	}
	if o.Foreign != nil {
		d := &Driver{dir: dir, url: storage.Redact(rawURL), policy: o.Foreign}
		root, err := d.open()
		if errors.Is(err, storage.ErrRefused) {
			return nil, err
		}
		if err == nil {
			_ = root.Close()
		}
		return d, nil
	}
	return New(dir)
}

// New returns a driver over the folder dir, made if need be.
func New(dir string) (*Driver, error) {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return nil, err
	}
	if err := makeDir(dir); err != nil {
		return nil, fmt.Errorf("%s: cannot make the folder: %w", URL(dir), cause(err))
	}
	d := &Driver{dir: dir, url: URL(dir)}
	d.clean()
	return d, nil
}

// URL returns the URL of a folder.
func URL(dir string) string {
	return (&url.URL{Scheme: "file", Path: dir}).String()
}

// Path returns the folder that a file: URL names.
func Path(rawURL string) (string, error) {
	u, err := url.Parse(rawURL)
	if err != nil || u.Scheme != "file" || u.Opaque != "" || u.Host != "" && u.Host != "localhost" ||
		u.User != nil || u.RawQuery != "" || u.Fragment != "" || !filepath.IsAbs(u.Path) || strings.Contains(u.Path, "\x00") {
		return "", fmt.Errorf("provider %s: a folder's URL is file:///absolute/path: %w", storage.Redact(rawURL), os.ErrInvalid)
	}
	return filepath.Clean(u.Path), nil
}

// open opens the folder, which the policy must allow as it really is.
func (d *Driver) open() (*os.Root, error) {
	root, err := os.OpenRoot(d.dir)
	if errors.Is(err, os.ErrNotExist) {
		// Not wrapped: it doesn't mean that a blob is missing.
		return nil, fmt.Errorf("%s: the folder is gone: make it, or mount its disk", d.url)
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %w", d.url, cause(err))
	}
	if d.policy == nil {
		return root, nil
	}
	real, err := realPath(root)
	if err == nil {
		err = d.policy.CheckFile(real)
	}
	if err != nil {
		_ = root.Close()
		return nil, fmt.Errorf("%s: %w", d.url, err)
	}
	return root, nil
}

// realPath returns where the open folder really stands.
func realPath(root *os.Root) (string, error) {
	f, err := root.Open(".")
	if err != nil {
		return "", err
	}
	defer f.Close()
	return os.Readlink(fmt.Sprintf("/proc/self/fd/%d", f.Fd()))
}

// begin checks what all requests have in common and opens the folder.
func (d *Driver) begin(ctx context.Context, what, key string) (*os.Root, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if err := storage.CheckKey(key); err != nil {
		return nil, fmt.Errorf("%s: %s: %w", d.url, what, err)
	}
	return d.open()
}

// fault says what failed for key, without what the os package puts around it.
func (d *Driver) fault(what, key string, err error) error {
	err = cause(err)
	switch {
	case what == "put" && errors.Is(err, os.ErrNotExist):
		return fmt.Errorf("%s: put %s: the folder went away", d.url, key)
	case what != "put" && (errors.Is(err, syscall.ENOTDIR) || errors.Is(err, syscall.EISDIR)):
		err = os.ErrNotExist // a blob where the key wants a folder, or the reverse
	case errors.Is(err, syscall.ENOSPC), errors.Is(err, syscall.EDQUOT):
		err = fmt.Errorf("%w: free some space there", err)
	}
	return fmt.Errorf("%s: %s %s: %w", d.url, what, key, err)
}

// cause returns the innermost error of the os package's.
func cause(err error) error {
	var p *fs.PathError
	var l *os.LinkError
	switch {
	case errors.As(err, &p):
		return p.Err
	case errors.As(err, &l):
		return l.Err
	}
	return err
}

// File opens the blob stored as key for reading, with its size.
func (d *Driver) File(ctx context.Context, key string) (*os.File, int64, error) {
	root, err := d.begin(ctx, "get", key)
	if err != nil {
		return nil, 0, err
	}
	defer root.Close()
	// Not blocking, so that a fifo in somebody's folder stops nobody.
	f, err := root.OpenFile(key, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil, 0, d.fault("get", key, err)
	}
	info, err := f.Stat()
	if err == nil && !info.Mode().IsRegular() {
		err = syscall.EISDIR
	}
	if err != nil {
		_ = f.Close()
		return nil, 0, d.fault("get", key, err)
	}
	return f, info.Size(), nil
}

// reader reads a part of a file.
type reader struct {
	*io.SectionReader
	f     *os.File
	whole int64
}

func (r *reader) Close() error { return r.f.Close() }
func (r *reader) Size() int64  { return r.whole }

// Get implements storage.Driver.
func (d *Driver) Get(ctx context.Context, key string, off, n int64) (io.ReadCloser, error) {
	if off < 0 {
		return nil, fmt.Errorf("%s: get %s: offset %d: %w", d.url, key, off, os.ErrInvalid)
	}
	f, size, err := d.File(ctx, key)
	if err != nil {
		return nil, err
	}
	off = min(off, size)
	if n < 0 || n > size-off {
		n = size - off
	}
	return &reader{io.NewSectionReader(f, off, n), f, size}, nil
}

// Stat implements storage.Stater.
func (d *Driver) Stat(ctx context.Context, key string) (int64, error) {
	f, size, err := d.File(ctx, key)
	if err != nil {
		return 0, err
	}
	return size, f.Close()
}

// Delete implements storage.Driver.
func (d *Driver) Delete(ctx context.Context, key string) error {
	root, err := d.begin(ctx, "delete", key)
	if err != nil {
		return err
	}
	defer root.Close()
	info, err := root.Lstat(key)
	if err == nil && info.IsDir() {
		return nil // a folder is no blob
	}
	if err == nil {
		err = root.Remove(key)
	}
	if err != nil {
		if err = d.fault("delete", key, err); errors.Is(err, os.ErrNotExist) {
			return nil
		}
	}
	return err
}

// Put implements storage.Driver.
func (d *Driver) Put(ctx context.Context, key string, r io.Reader, size int64) error {
	if size < 0 {
		return fmt.Errorf("%s: put %s: %d bytes: %w", d.url, key, size, os.ErrInvalid)
	}
	if size > storage.MaxBlob {
		return fmt.Errorf("%s: put %s: %d bytes: %w", d.url, key, size, storage.ErrTooLarge)
	}
	root, err := d.begin(ctx, "put", key)
	if err != nil {
		return err
	}
	defer root.Close()
	temp, err := writeTemp(ctx, root, r, size)
	if err != nil {
		return d.fault("put", key, err)
	}
	parent := path.Dir(key)
	if err = d.makeDirs(root, parent); err == nil {
		err = root.Rename(temp, key)
	}
	if err != nil {
		_ = root.Remove(temp)
		return d.fault("put", key, err)
	}
	if err := syncDir(root, parent); err != nil {
		return d.fault("put", key, err)
	}
	return nil
}
