package pack

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// aliasEnd is what the name of an alias ends with: a symbolic link that leads
// from the provisional id of a pack that was closed to its real one.
const aliasEnd = ".as"

// alias notes durably, before it is so, that an open pack is closed as id.
func (s *Store) alias(provisional, id ID) error {
	if err := s.dropAlias(provisional); err != nil {
		return err
	}
	path := s.path(open, provisional) + aliasEnd
	if err := os.Symlink(id.String(), path); err != nil {
		return err
	}
	return syncDir(filepath.Dir(path))
}

// dropAlias removes the alias of a pack, if it has one.
func (s *Store) dropAlias(provisional ID) error {
	err := os.Remove(s.path(open, provisional) + aliasEnd)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	return err
}

// scanOpen finds what the last one to use the store left open.
func (s *Store) scanOpen() error {
	dir, _, _, _, _ := s.dirs()
	list, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	for _, f := range list {
		name, isAlias := strings.CutSuffix(f.Name(), aliasEnd)
		id, ok := parseID(name)
		if ok && isAlias {
			// The pack may have been stored and evicted since it was closed.
			to, err := os.Readlink(filepath.Join(dir, f.Name()))
			real, valid := parseID(to)
			_, still := os.Lstat(s.path(open, id))
			if err == nil && valid && errors.Is(still, os.ErrNotExist) {
				s.real[id] = real
				continue
			}
		} else if info, err := f.Info(); ok && err == nil && info.Mode().IsRegular() {
			s.left[id] = info.Size()
			continue
		}
		if err := os.Remove(filepath.Join(dir, f.Name())); err != nil { // it was not closed after all
			return err
		}
	}
	return nil
}

// Adopt goes on with a pack that was left open, of which the first size bytes
// are known to count, since a Sync that succeeded; what is behind them is written
// over. A bad disk may have left fewer: Size tells. If there are none at all the
// error is os.ErrNotExist.
func (s *Store) Adopt(id ID, size int64) (*Writer, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return nil, errClosed
	}
	have, ok := s.left[id]
	if ok && have == 0 { // nobody is to wait for it
		delete(s.left, id)
		_ = os.Remove(s.path(open, id))
	}
	size = min(size, have)
	if !ok || size <= 0 || size > MaxSize {
		return nil, fmt.Errorf("open pack %s of %d bytes: %w", id, size, os.ErrNotExist)
	}
	f, err := os.OpenFile(s.path(open, id), os.O_RDWR, 0)
	if err != nil {
		return nil, fmt.Errorf("go on with pack %s: %w", id, err)
	}
	e := &entry{id: id, state: open, size: size, used: time.Now(), f: f}
	delete(s.left, id)
	s.files[e] = struct{}{}
	s.packs[id] = e
	// Whoever left it may have put another file in its place and not come to sync
	// the folder.
	return &Writer{s: s, e: e, id: id, f: f, size: size}, nil
}

// Leave gives an open pack up, to be gone on with by Adopt.
func (w *Writer) Leave() {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.done != nil {
		return
	}
	w.done = fmt.Errorf("pack %s: %w", w.id, os.ErrClosed)
	w.s.mu.Lock()
	defer w.s.mu.Unlock()
	delete(w.s.packs, w.e.id)
	w.s.dropFile(w.e)
	w.s.left[w.e.id] = w.size
}

// DropLeft removes the packs that were left open and that nobody went on with.
func (s *Store) DropLeft() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	var errs []error
	for id := range s.left {
		if err := os.Remove(s.path(open, id)); err != nil && !errors.Is(err, os.ErrNotExist) {
			errs = append(errs, err)
			continue
		}
		delete(s.left, id)
	}
	return errors.Join(errs...)
}

// Settled tells that nobody will ask for these packs under their provisional ids
// after a restart.
func (s *Store) Settled(ids []ID) error {
	settled := make(map[ID]bool, len(ids))
	for _, id := range ids {
		settled[id] = true
	}
	var aliases []ID
	s.mu.Lock()
	for provisional, id := range s.real {
		if settled[id] {
			aliases = append(aliases, provisional)
		}
	}
	s.mu.Unlock()
	var errs []error
	for _, provisional := range aliases {
		errs = append(errs, s.dropAlias(provisional))
	}
	return errors.Join(errs...)
}
