package pack

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"

	"satchel/storage"
)

// ReadAt returns n bytes of the pack from off if they are on this machine,
// else os.ErrNotExist. They are not verified.
func (s *Store) ReadAt(id ID, off, n int64) ([]byte, error) {
	if off < 0 || n < 0 || off > MaxSize || n > MaxSize-off {
		return nil, fmt.Errorf("pack %s: bytes %d to %d: beyond any pack: %w", id, off, off+n, os.ErrInvalid)
	}
	if n == 0 {
		return nil, nil
	}
	b := make([]byte, n)
	if err := s.ReadInto(id, b, off); err != nil {
		return nil, err
	}
	return b, nil
}

// ReadInto is ReadAt that fills b.
func (s *Store) ReadInto(id ID, b []byte, off int64) error {
	if off < 0 || off > MaxSize || int64(len(b)) > MaxSize-off {
		return fmt.Errorf("pack %s: %d bytes at %d: beyond any pack: %w", id, len(b), off, os.ErrInvalid)
	}
	e, f, base, err := s.find(id, off, int64(len(b)))
	if err != nil {
		return err
	}
	defer s.release(e)
	if _, err := f.ReadAt(b, base+off); err != nil {
		if err == io.EOF {
			err = io.ErrUnexpectedEOF
		}
		return fmt.Errorf("pack %s: %w", id, err)
	}
	return nil
}

// find returns the open file that holds the bytes of a pack, and where in it
// the pack begins. The caller releases the entry.
func (s *Store) find(id ID, off, n int64) (*entry, *os.File, int64, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return nil, nil, 0, errClosed
	}
	real, _ := s.resolve(id)
	e := s.packs[real]
	var base int64
	switch {
	case e == nil, e.state == part && !e.spans.covers(off, off+n):
		return nil, nil, 0, fmt.Errorf("pack %s: not on this machine: %w", real, os.ErrNotExist)
	case e.state == part:
		base = partHeader
	case off+n > e.size:
		return nil, nil, 0, fmt.Errorf("pack %s: bytes %d to %d of %d: %w", real, off, off+n, e.size, io.ErrUnexpectedEOF)
	}
	f, err := s.acquire(e)
	if errors.Is(err, os.ErrNotExist) {
		if e.state == staged { // somebody removed what may be stored nowhere else
			return nil, nil, 0, fmt.Errorf("pack %s: its file is gone from this machine: %w", real, ErrWrong)
		}
		_ = s.forget(e) // somebody emptied the folder
	}
	if err != nil {
		return nil, nil, 0, fmt.Errorf("pack %s: %w", real, err)
	}
	s.touch(e)
	return e, f, base, nil
}

// A File is a closed pack on this machine, open for reading.
type File interface {
	io.ReaderAt
	io.Closer
}

type file struct {
	io.ReaderAt
	s *Store
	e *entry
}

func (f *file) Close() error {
	if f.e != nil {
		f.s.release(f.e)
		f.e = nil
	}
	return nil
}

// OpenPack opens a closed pack that is here whole, for upload, and returns its
// size. Its bytes were just compared with its id.
func (s *Store) OpenPack(id ID) (File, int64, error) {
	s.mu.Lock()
	e, err := s.whole(id)
	var f *os.File
	var size int64
	if err == nil {
		size = e.size
		f, err = s.acquire(e)
	}
	s.mu.Unlock()
	if err != nil {
		return nil, 0, fmt.Errorf("open %w", err)
	}
	if err := verify(f, size, e.id); err != nil {
		s.release(e)
		return nil, 0, fmt.Errorf("the copy on this machine is damaged: %w", err)
	}
	return &file{f, s, e}, size, nil
}

// Read returns n bytes of a pack from off: from this machine, or else from the
// first of the providers whose copy passes check. check is the caller's
// verification of the very bytes that are returned; it is called from this
// goroutine, more than once where a copy fails it. What is fetched is kept in
// the cache, in ranges rounded out to 64 KiB; once more than half of a pack is
// wanted, all of it, verified by its id.
//
// A provider that fails or gives wrong bytes is told to blame, and the next
// one is asked; one that takes long has the next one asked beside it. The
// error satisfies errors.Is(err, os.ErrNotExist) only if every provider says
// that it has no such pack. Two readers of the same range fetch it once.
func (s *Store) Read(ctx context.Context, from []storage.Provider, id ID, off, n int64, check func([]byte) error, blame func(url string, err error)) ([]byte, error) {
	id, _ = s.Resolve(id)
	if blame == nil {
		blame = func(string, error) {}
	}
	damaged := false
	var local error // what is wrong with the copy here
	for {
		if !damaged {
			b, err := s.ReadAt(id, off, n)
			if err == nil {
				if err = check(b); err == nil {
					return b, nil
				}
				err = fmt.Errorf("pack %s: bytes %d to %d: %w", id, off, off+n, err)
			}
			if errors.Is(err, os.ErrInvalid) || errors.Is(err, os.ErrClosed) {
				return nil, err
			}
			if !errors.Is(err, os.ErrNotExist) {
				local = err
				if damaged, err = s.mend(id, off, n, err); err != nil {
					return nil, err
				}
			}
		}
		j, wait, err := s.claim(id, off, n, damaged)
		switch {
		case err != nil:
			return nil, err
		case j != nil:
			b, err := s.fetch(ctx, j, from, check, blame)
			s.finish(j)
			if err != nil && damaged {
				err = fmt.Errorf("%w; the copy on this machine is damaged: %w", err, local)
			}
			return b, err
		case wait == nil: // it came meanwhile
			damaged = false
			continue
		}
		select {
		case <-wait:
			damaged = false // look again
		case <-ctx.Done():
			return nil, fmt.Errorf("pack %s: %w", id, ctx.Err())
		}
	}
}

// mend looks at a local copy that failed with cause. It returns an error where
// no other copy can be better: a pack that is still being written, or one
// whose bytes are right, so that the caller asks for what was never in it. A
// bad copy in the cache is dropped; a pinned one stays until there is a better
// one, and is reported as damaged.
func (s *Store) mend(id ID, off, n int64, cause error) (damaged bool, err error) {
	s.mu.Lock()
	e := s.packs[id]
	switch {
	case e == nil:
		s.mu.Unlock()
		return false, nil
	case e.state == open:
		s.mu.Unlock()
		return false, cause
	case e.state == part:
		s.setSpans(e, e.spans.remove(off, off+n))
		s.mu.Unlock()
		return false, nil
	}
	f, err := s.acquire(e)
	size := e.size
	s.mu.Unlock()
	if err == nil {
		err = verify(f, size, id)
		s.release(e)
		if err == nil {
			return false, cause
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.packs[id] == e && e.state == cached {
		_ = s.forget(e)
	}
	return s.packs[id] == e, nil
}
