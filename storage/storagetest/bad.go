package storagetest

import (
	"bytes"
	"context"
	"io"
	"sync"
	"sync/atomic"
	"time"

	"satchel/storage"
)

// A Match chooses the keys for which a driver misbehaves; nil chooses all.
type Match func(key string) bool

func (m Match) all(key string) bool { return m == nil || m(key) }

// A Lie is what a lying driver does to a blob that is asked for.
type Lie int

// The lies.
const (
	Garbage   Lie = iota // other bytes, as many
	Flipped              // one bit in the middle is another
	Truncated            // the second half is missing
	Empty                // nothing
	OtherKey             // the blob of another key that was put through the driver
	Old                  // the bytes that were put first under this key
)

// Lying returns a driver that stores well but lies to readers of the keys
// that m chooses.
func Lying(d storage.Driver, lie Lie, m Match) storage.Driver {
	return &lying{Driver: d, lie: lie, match: m, first: make(map[string][]byte)}
}

type lying struct {
	storage.Driver
	lie   Lie
	match Match

	mu    sync.Mutex
	first map[string][]byte
	keys  []string // of first, in the order of their puts
}

func (l *lying) Put(ctx context.Context, key string, r io.Reader, size int64) error {
	var buf bytes.Buffer
	if err := l.Driver.Put(ctx, key, io.TeeReader(r, &buf), size); err != nil {
		return err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if _, ok := l.first[key]; !ok {
		l.first[key] = buf.Bytes()
		l.keys = append(l.keys, key)
	}
	return nil
}

func (l *lying) Get(ctx context.Context, key string, off, n int64) (io.ReadCloser, error) {
	if !l.match.all(key) {
		return l.Driver.Get(ctx, key, off, n)
	}
	b, err := storage.ReadBlob(ctx, l.Driver, key, 0, -1, storage.MaxBlob)
	if err != nil {
		return nil, err
	}
	b = l.told(key, b)
	b = b[min(off, int64(len(b))):]
	if n >= 0 && n < int64(len(b)) {
		b = b[:n]
	}
	return io.NopCloser(bytes.NewReader(b)), nil
}

// told returns what is said instead of b.
func (l *lying) told(key string, b []byte) []byte {
	l.mu.Lock()
	defer l.mu.Unlock()
	switch l.lie {
	case Garbage:
		return Bytes(uint64(len(b))<<32+1, len(b))
	case Flipped:
		if len(b) > 0 {
			b[len(b)/2] ^= 1
		}
	case Truncated:
		return b[:len(b)/2]
	case Empty:
		return nil
	case OtherKey:
		for _, k := range l.keys {
			if k != key && !bytes.Equal(l.first[k], b) && l.match.all(k) {
				return l.first[k]
			}
		}
	case Old:
		if first, ok := l.first[key]; ok {
			return first
		}
	}
	return b
}

// Failing returns a driver that answers err for the keys that m chooses.
func Failing(d storage.Driver, err error, m Match) storage.Driver {
	return &hooked{d, func(_ context.Context, key string) error {
		if m.all(key) {
			return err
		}
		return nil
	}}
}

// Slow returns a driver that waits before it answers for the keys that m
// chooses; a negative delay means until the request is given up.
func Slow(d storage.Driver, delay time.Duration, m Match) storage.Driver {
	return &hooked{d, func(ctx context.Context, key string) error {
		if !m.all(key) {
			return nil
		}
		var wait <-chan time.Time
		if delay >= 0 {
			wait = time.After(delay)
		}
		select {
		case <-wait:
			return nil
		case <-ctx.Done():
			return ctx.Err()
		}
	}}
}

// hooked calls before ahead of each request, which it may refuse.
type hooked struct {
	d      storage.Driver
	before func(ctx context.Context, key string) error
}

func (h *hooked) Get(ctx context.Context, key string, off, n int64) (io.ReadCloser, error) {
	if err := h.before(ctx, key); err != nil {
		return nil, err
	}
	return h.d.Get(ctx, key, off, n)
}

func (h *hooked) Put(ctx context.Context, key string, r io.Reader, size int64) error {
	if err := h.before(ctx, key); err != nil {
		return err
	}
	return h.d.Put(ctx, key, r, size)
}

func (h *hooked) Delete(ctx context.Context, key string) error {
	if err := h.before(ctx, key); err != nil {
		return err
	}
	return h.d.Delete(ctx, key)
}

// A Switch is a driver that can be exchanged while it is in use, say for one
// that lies.
type Switch struct {
	d atomic.Pointer[storage.Driver]
}

// NewSwitch returns a Switch that is d for now.
func NewSwitch(d storage.Driver) *Switch {
	s := new(Switch)
	s.Use(d)
	return s
}

// Use makes s be d from now on.
func (s *Switch) Use(d storage.Driver) { s.d.Store(&d) }

// Get implements storage.Driver.
func (s *Switch) Get(ctx context.Context, key string, off, n int64) (io.ReadCloser, error) {
	return (*s.d.Load()).Get(ctx, key, off, n)
}

// Put implements storage.Driver.
func (s *Switch) Put(ctx context.Context, key string, r io.Reader, size int64) error {
	return (*s.d.Load()).Put(ctx, key, r, size)
}

// Delete implements storage.Driver.
func (s *Switch) Delete(ctx context.Context, key string) error {
	return (*s.d.Load()).Delete(ctx, key)
}

// A Counter is a driver that counts what passes.
type Counter struct {
	storage.Driver
	Gets, Puts, Deletes atomic.Int64 // requests
	Read, Written       atomic.Int64 // bytes
}

// Count returns a counting driver over d.
func Count(d storage.Driver) *Counter { return &Counter{Driver: d} }

// Get implements storage.Driver.
func (c *Counter) Get(ctx context.Context, key string, off, n int64) (io.ReadCloser, error) {
	c.Gets.Add(1)
	r, err := c.Driver.Get(ctx, key, off, n)
	if err != nil {
		return nil, err
	}
	return &counted{r, &c.Read}, nil
}

// Put implements storage.Driver.
func (c *Counter) Put(ctx context.Context, key string, r io.Reader, size int64) error {
	c.Puts.Add(1)
	c.Written.Add(size)
	return c.Driver.Put(ctx, key, r, size)
}

// Delete implements storage.Driver.
func (c *Counter) Delete(ctx context.Context, key string) error {
	c.Deletes.Add(1)
	return c.Driver.Delete(ctx, key)
}

type counted struct {
	io.ReadCloser
	n *atomic.Int64
}

func (c *counted) Read(p []byte) (int, error) {
	n, err := c.ReadCloser.Read(p)
	c.n.Add(int64(n))
	return n, err
}

func (c *counted) Size() int64 { return storage.SizeOf(c.ReadCloser) }
