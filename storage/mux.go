package storage

import (
	"context"
	"fmt"
	"io"
	"maps"
	"net/url"
	"os"
	"slices"
	"strings"
)

// schemes lists what m knows, for an error message.
func (m Mux) schemes() string {
	if len(m) == 0 {
		return "(none)"
	}
	return strings.Join(slices.Sorted(maps.Keys(m)), ":, ") + ":"
}

// Redact returns rawURL without what may be a credential: user, password,
// query and fragment. It is for messages.
func Redact(rawURL string) string {
	u, err := url.Parse(rawURL)
	if err != nil {
		scheme, _, ok := strings.Cut(rawURL, ":")
		if !ok || len(scheme) > 16 {
			return "(unreadable URL)"
		}
		return fmt.Sprintf("%q", scheme+":…")
	}
	u.User, u.RawQuery, u.ForceQuery, u.Fragment, u.RawFragment = nil, "", false, "", ""
	return u.String()
}

// CheckKey returns an error that satisfies errors.Is(err, os.ErrInvalid) unless
// key is 1 to 200 bytes: words of a-z, 0-9 and dashes, no dash first, between
// single slashes.
func CheckKey(key string) error {
	if key == "" || len(key) > 200 {
		return fmt.Errorf("key of %d bytes: %w", len(key), os.ErrInvalid)
	}
	start := true // of a word
	for i := 0; i < len(key); i++ {
		c := key[i]
		switch {
		case 'a' <= c && c <= 'z' || '0' <= c && c <= '9':
			start = false
		case c == '-' && !start:
		case c == '/' && !start && i+1 < len(key):
			start = true
		default:
			return fmt.Errorf("key %q: %w", key, os.ErrInvalid)
		}
	}
	return nil
}

// Immutable tells whether the blob stored as key never changes, so that any
// cache on the way may keep it.
func Immutable(key string) bool {
	return strings.HasPrefix(key, "p/")
}

// readOnly is somebody else's provider: nothing is ever written there, and
// what it sends is cut at MaxBlob.
type readOnly struct {
	d   Driver
	url string
}

func (r readOnly) Get(ctx context.Context, key string, off, n int64) (io.ReadCloser, error) {
	body, err := r.d.Get(ctx, key, off, n)
	if err != nil {
		return nil, err
	}
	return &limited{ReadCloser: body, left: MaxBlob, url: r.url}, nil
}

func (r readOnly) Stat(ctx context.Context, key string) (int64, error) {
	return Stat(ctx, r.d, key)
}

func (r readOnly) Put(context.Context, string, io.Reader, int64) error {
	return fmt.Errorf("%s: somebody else's provider is never written to: %w", r.url, os.ErrPermission)
}

func (r readOnly) Delete(context.Context, string) error {
	return fmt.Errorf("%s: somebody else's provider is never written to: %w", r.url, os.ErrPermission)
}

// limited is a reader that fails where more than left bytes come.
type limited struct {
	io.ReadCloser
	left int64
	url  string
}

func (l *limited) Read(p []byte) (int, error) {
	if int64(len(p)) > l.left+1 {
		p = p[:l.left+1]
	}
	n, err := l.ReadCloser.Read(p)
	if l.left -= int64(n); l.left < 0 {
		return 0, fmt.Errorf("%s: %w", l.url, ErrTooLarge)
	}
	return n, err
}

func (l *limited) Size() int64 {
	return SizeOf(l.ReadCloser)
}
