// Package mem keeps blobs in memory, for tests and for trying things.
package mem

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"sync"

	"satchel/storage"
)

// A Driver holds blobs until the process ends.
type Driver struct {
	mu    sync.RWMutex
	blobs map[string][]byte
}

// New returns an empty driver.
func New() *Driver {
	return &Driver{blobs: make(map[string][]byte)}
}

// reader reads a part of a blob and knows the size of the whole.
type reader struct {
	*bytes.Reader
	whole int64
}

func (r reader) Size() int64 { return r.whole }
func (reader) Close() error  { return nil }

// blob returns what is stored as key. It is never changed afterwards.
func (d *Driver) blob(ctx context.Context, key string) ([]byte, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if err := storage.CheckKey(key); err != nil {
		return nil, err
	}
	d.mu.RLock()
	b, ok := d.blobs[key]
	d.mu.RUnlock()
	if !ok {
		return nil, fmt.Errorf("memory: %s: %w", key, os.ErrNotExist)
	}
	return b, nil
}

// Get implements storage.Driver.
func (d *Driver) Get(ctx context.Context, key string, off, n int64) (io.ReadCloser, error) {
	b, err := d.blob(ctx, key)
	if err != nil {
		return nil, err
	}
	if off < 0 {
		return nil, fmt.Errorf("memory: %s: offset %d: %w", key, off, os.ErrInvalid)
	}
	part := b[min(off, int64(len(b))):]
	if n >= 0 && n < int64(len(part)) {
		part = part[:n]
	}
	return reader{bytes.NewReader(part), int64(len(b))}, nil
}

// Stat implements storage.Stater.
func (d *Driver) Stat(ctx context.Context, key string) (int64, error) {
	b, err := d.blob(ctx, key)
	return int64(len(b)), err
}

// Put implements storage.Driver.
func (d *Driver) Put(ctx context.Context, key string, r io.Reader, size int64) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if err := storage.CheckKey(key); err != nil {
		return err
	}
	if size < 0 || size > storage.MaxBlob {
		return fmt.Errorf("memory: %s: %d bytes: %w", key, size, storage.ErrTooLarge)
	}
	b := make([]byte, size)
	if _, err := io.ReadFull(r, b); err != nil {
		if err == io.EOF {
			err = io.ErrUnexpectedEOF
		}
		return fmt.Errorf("memory: put %s: %w", key, err)
	}
	d.mu.Lock()
	d.blobs[key] = b
	d.mu.Unlock()
	return nil
}

// Delete implements storage.Driver.
func (d *Driver) Delete(ctx context.Context, key string) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if err := storage.CheckKey(key); err != nil {
		return err
	}
	d.mu.Lock()
	delete(d.blobs, key)
	d.mu.Unlock()
	return nil
}

// Keys returns the keys of all blobs, in no order.
func (d *Driver) Keys() []string {
	d.mu.RLock()
	defer d.mu.RUnlock()
	keys := make([]string, 0, len(d.blobs))
	for k := range d.blobs {
		keys = append(keys, k)
	}
	return keys
}

// Hosts is a world of drivers in memory, found by URL: a process that opens
// mem://x twice gets the same blobs. The zero value is empty.
type Hosts struct {
	mu sync.Mutex
	m  map[string]*Driver
}

// At returns the driver for url, made at first use.
func (h *Hosts) At(url string) *Driver {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.m == nil {
		h.m = make(map[string]*Driver)
	}
	if h.m[url] == nil {
		h.m[url] = New()
	}
	return h.m[url]
}

// Open is a storage.Opener.
func (h *Hosts) Open(_ context.Context, url string, _ storage.Options) (storage.Driver, error) {
	return h.At(url), nil
}
