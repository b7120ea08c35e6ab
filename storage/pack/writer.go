package pack

import (
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"sync"
	"syscall"
	"time"
)

// ErrFull reports that a segment does not fit into a pack any more: close the
// pack and take another.
var ErrFull = errors.New("pack is full")

// A Writer is a pack being written. What was appended can be read through the
// store at once. It is safe for concurrent use.
type Writer struct {
	s *Store
	e *entry // gone or in another state once the writer is done

	mu     sync.Mutex
	id     ID
	f      *os.File
	size   int64 // of the segments
	named  bool  // the folder has been synced since the file is in it
	broken bool  // a sync failed: what the file holds on disk is unknown
	done   error // why nothing more can be done, or nil
	staged ID    // the id under which Close has put the file among the closed ones, if it could not sync that
	closed bool
}

// Create begins a pack, under a random provisional id.
func (s *Store) Create() (*Writer, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return nil, errClosed
	}
	e := &entry{state: open, used: time.Now()}
	_, _ = rand.Read(e.id[:]) // never fails
	f, err := os.OpenFile(s.path(open, e.id), os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return nil, fmt.Errorf("begin a pack: %w", err)
	}
	e.f = f
	s.files[e] = struct{}{}
	s.packs[e.id] = e
	return &Writer{s: s, e: e, id: e.id, f: f}, nil
}

// Append adds a sealed segment and returns its offset. If that fails the pack
// is as it was before. ErrFull if the pack would become too large.
func (w *Writer) Append(sealed []byte) (off int64, err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.done != nil {
		return 0, w.done
	}
	if Padded(w.size+int64(len(sealed))) > MaxSize {
		return 0, fmt.Errorf("pack %s: %d bytes and %d more: %w", w.id, w.size, len(sealed), ErrFull)
	}
	if _, err := w.f.WriteAt(sealed, w.size); err != nil {
		return 0, fmt.Errorf("write pack %s: %w", w.id, cause(err))
	}
	off = w.size
	w.setSize(off + int64(len(sealed)))
	return off, nil
}

// setSize makes the first n bytes of the file readable.
func (w *Writer) setSize(n int64) {
	w.size = n
	w.s.mu.Lock()
	w.e.size = n
	w.s.mu.Unlock()
}

// Sync makes what was appended survive a crash of the machine: after it one can
// Adopt the pack.
func (w *Writer) Sync() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.done != nil {
		return w.done
	}
	if w.broken {
		if err := w.rewrite(); err != nil {
			return fmt.Errorf("sync pack %s: %w", w.id, cause(err))
		}
	}
	if err := w.f.Sync(); err != nil {
		w.broken = true
		return fmt.Errorf("sync pack %s: %w", w.id, cause(err))
	}
	if !w.named {
		if err := syncDir(filepath.Dir(w.s.path(open, w.e.id))); err != nil {
			return fmt.Errorf("sync pack %s: %w", w.id, err)
		}
		w.named = true
	}
	return nil
}

// Size returns the sum of what was appended.
func (w *Writer) Size() int64 {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.size
}

// ID returns the pack's id: a provisional one until it is closed.
func (w *Writer) ID() ID {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.id
}

// Close pads the pack, makes it survive a crash under its real id, pinned, and
// returns that id. If it fails the pack is still being written and readable,
// and Close may be called again; after a success it returns the same id. A
// pack without a segment can't be closed, only aborted.
func (w *Writer) Close() (ID, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	switch {
	case w.closed:
		return w.id, nil
	case w.done != nil:
		return ID{}, w.done
	case w.size == 0:
		return ID{}, fmt.Errorf("close pack %s: it is empty: %w", w.id, os.ErrInvalid)
	}
	id, err := w.finish()
	if err != nil {
		return ID{}, fmt.Errorf("close pack %s: %w", w.id, cause(err))
	}
	w.s.closedAs(w.e, id, Padded(w.size))
	w.id, w.closed, w.done = id, true, fmt.Errorf("pack %s: %w", id, os.ErrClosed)
	return id, nil
}

// finish does what Close does on disk.
func (w *Writer) finish() (ID, error) {
	if w.broken {
		if err := w.rewrite(); err != nil {
			return ID{}, err
		}
		w.staged = ID{}
	}
	if w.staged == (ID{}) {
		id, err := w.stage()
		if err != nil {
			return ID{}, err
		}
		w.staged = id
	}
	return w.staged, syncDir(filepath.Dir(w.s.path(staged, w.staged)))
}

// stage pads the file and puts it among the closed ones.
func (w *Writer) stage() (ID, error) {
	total := Padded(w.size)
	if _, err := io.Copy(io.NewOffsetWriter(w.f, w.size), io.LimitReader(rand.Reader, total-w.size)); err != nil {
		return ID{}, err
	}
	if err := w.f.Truncate(total); err != nil { // a rest of an Append that failed
		return ID{}, err
	}
	id, err := hashOf(w.f, total)
	if err != nil {
		return ID{}, err
	}
	if err := w.f.Sync(); err != nil {
		w.broken = true
		return ID{}, err
	}
	if err := w.s.alias(w.e.id, id); err != nil {
		return ID{}, err
	}
	return id, os.Rename(w.s.path(open, w.e.id), w.s.path(staged, id))
}

// rewrite puts the segments into a new file: after a sync that failed, the
// kernel may take pages for written that aren't. The old one, which has what was
// synced before, goes only when the new one has all of it.
func (w *Writer) rewrite() error {
	path := w.s.path(open, w.e.id)
	temp := path + ".new"
	f, err := os.OpenFile(temp, os.O_RDWR|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	_, err = io.Copy(f, io.NewSectionReader(w.f, 0, w.size))
	if err == nil {
		err = f.Sync()
	}
	if err == nil {
		err = os.Rename(temp, path)
	}
	if err != nil {
		_ = f.Close()
		_ = os.Remove(temp)
		return err
	}
	w.s.mu.Lock()
	defer w.s.mu.Unlock()
	w.s.dropFile(w.e)
	w.e.f, w.f, w.broken, w.named = f, f, false, false
	w.s.files[w.e] = struct{}{}
	return nil
}

// closedAs makes an open pack a staged one.
func (s *Store) closedAs(e *entry, id ID, size int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.packs, e.id)
	s.real[e.id] = id
	if old := s.packs[id]; old != nil && old.state == part {
		_ = s.forget(old)
	}
	e.id, e.state, e.size, e.used = id, staged, size, time.Now()
	s.packs[id] = e
	s.closeIdle()
}

// Abort throws the pack away. After Close it does nothing.
func (w *Writer) Abort() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.done != nil {
		return nil
	}
	w.done = fmt.Errorf("pack %s: aborted: %w", w.id, os.ErrClosed)
	w.s.mu.Lock()
	defer w.s.mu.Unlock()
	err := w.s.forget(w.e)
	if err == nil && w.staged != (ID{}) { // by a Close that failed
		err = os.Remove(w.s.path(staged, w.staged))
	}
	if err == nil {
		err = w.s.dropAlias(w.id)
	}
	if err != nil {
		return fmt.Errorf("abort pack %s: %w", w.id, err)
	}
	return nil
}

// cause adds to a full disk what to do.
func cause(err error) error {
	if errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT) {
		return fmt.Errorf("%w: free some space on this machine's disk", err)
	}
	return err
}
