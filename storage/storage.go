// Package storage keeps blobs under keys at providers: folders, web servers,
// and whatever else has a Driver. It never learns whose blob it carries or
// what is in it, and it believes no provider: whoever reads verifies.
//
// A provider is named by a URL such as file:///srv/blobs or
// https://blobs.example.org/alice. A Mux turns the URL into a Driver, a Set
// holds all providers of one name, and a Policy says which URLs of other
// people may be opened.
//
// Keys are slash-separated words of lower-case letters, digits and dashes
// (CheckKey), so that every provider can hold them and none can be led out of
// its folder. Blobs whose key begins with "p/" never change; all others do and
// must not be answered from a cache.
package storage

import (
	"context"
	"fmt"
	"io"
	"os"
	"strings"
)

// MaxBlob is the size above which no driver stores or returns a blob. The
// largest object is a pack of 16 MiB; the slack is for what comes later.
const MaxBlob = 17 << 20

// A Driver keeps blobs under one URL. It is safe for concurrent use.
type Driver interface {
	// Get returns n bytes of the blob stored as key, from off; n < 0 means
	// to its end. A blob that ends earlier gives fewer bytes: the caller
	// counts. If there is no such blob the error satisfies
	// errors.Is(err, os.ErrNotExist); a provider that can't be asked gives
	// another error. The caller closes the reader. A reader that knows the
	// length of the whole blob is a Sizer.
	Get(ctx context.Context, key string, off, n int64) (io.ReadCloser, error)
	// Put stores size bytes of r as key, all of it or nothing: when it
	// fails, what was stored before is still there. What it stored survives
	// a crash of the provider as far as the provider can see to it.
	Put(ctx context.Context, key string, r io.Reader, size int64) error
	// Delete removes key. It is no error if key is not there.
	Delete(ctx context.Context, key string) error
}

// A Sizer is a reader returned by Get that knows how long the whole blob is,
// or says -1. It is a hint of the provider's and proves nothing.
type Sizer interface {
	Size() int64
}

// A Stater is a Driver that can tell a blob's size without fetching it.
type Stater interface {
	// Stat returns the size of the blob stored as key; no such blob is
	// os.ErrNotExist, as with Get.
	Stat(ctx context.Context, key string) (int64, error)
}

// Stat asks d whether it holds key, and for its size: -1 where d can't tell.
func Stat(ctx context.Context, d Driver, key string) (int64, error) {
	if s, ok := d.(Stater); ok {
		return s.Stat(ctx, key)
	}
	r, err := d.Get(ctx, key, 0, 1)
	if err != nil {
		return 0, err
	}
	defer r.Close()
	return SizeOf(r), nil
}

// SizeOf returns the length of the whole blob that r reads from, if r knows
// it, else -1.
func SizeOf(r io.Reader) int64 {
	if s, ok := r.(Sizer); ok {
		return s.Size()
	}
	return -1
}

// ReadBlob returns n bytes of key from off, or all to its end if n < 0. More
// than limit bytes is an error that satisfies errors.Is(err, ErrTooLarge).
// Like Get it may return fewer bytes than were asked for.
func ReadBlob(ctx context.Context, d Driver, key string, off, n, limit int64) ([]byte, error) {
	if n > limit {
		return nil, fmt.Errorf("%s: %d bytes: %w", key, n, ErrTooLarge)
	}
	r, err := d.Get(ctx, key, off, n)
	if err != nil {
		return nil, err
	}
	defer r.Close()
	if n >= 0 {
		b := make([]byte, n)
		got, err := io.ReadFull(r, b)
		if err == io.EOF || err == io.ErrUnexpectedEOF {
			err = nil
		}
		return b[:got], err
	}
	b, err := io.ReadAll(io.LimitReader(r, limit+1))
	if err != nil {
		return nil, err
	}
	if int64(len(b)) > limit {
		return nil, fmt.Errorf("%s: over %d bytes: %w", key, limit, ErrTooLarge)
	}
	return b, nil
}

// Options say how a provider's URL is opened.
type Options struct {
	Secret  string  // bearer token, or empty
	Foreign *Policy // set for a URL that somebody else wrote: what it may be
}

// An Opener makes the driver for a URL of its scheme. It may be lazy: that the
// provider answers is known only when it is asked for something.
type Opener func(ctx context.Context, url string, o Options) (Driver, error)

// A Mux maps URL schemes to openers. The program's table stands in cmd; a
// test can hold its own.
type Mux map[string]Opener

// Open returns a driver for rawURL. With o.Foreign set the driver is read-only
// and limited in size, and the opener applies the policy.
func (m Mux) Open(ctx context.Context, rawURL string, o Options) (Driver, error) {
	scheme, _, ok := strings.Cut(rawURL, ":")
	scheme = strings.ToLower(scheme)
	open := m[scheme]
	if !ok || open == nil {
		return nil, fmt.Errorf("provider %s: no driver for it; known are URLs that begin with %s: %w", Redact(rawURL), m.schemes(), os.ErrInvalid)
	}
	d, err := open(ctx, rawURL, o)
	if err != nil {
		return nil, err
	}
	if o.Foreign != nil {
		d = readOnly{d, Redact(rawURL)}
	}
	return d, nil
}
