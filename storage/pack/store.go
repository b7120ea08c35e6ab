package pack

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

var (
	// ErrWrong reports a pack that has other bytes than its id says.
	ErrWrong  = errors.New("wrong bytes")
	errClosed = fmt.Errorf("pack store: %w", os.ErrClosed)
)

// The states of a pack that is here.
type state int

const (
	open   state = iota // being written
	staged              // closed and pinned
	cached              // closed, may be evicted
	part                // some ranges, or none yet; may be evicted
)

// An entry is what is here of one pack. Its fields are guarded by Store.mu.
type entry struct {
	id      ID
	state   state
	size    int64   // bytes in the file; of a part, bytes in spans
	hint    int64   // the whole pack's size as a provider said it, or 0
	spans   spans   // of a part
	flights flights // being fetched
	used    time.Time
	touched time.Time // when used was last noted on disk

	f    *os.File // open, or nil
	refs int      // readers of f
	gone bool     // removed from the store: close f with the last reader
}

// A Store is the packs of one machine. It is safe for concurrent use.
type Store struct {
	stage, cache string // folders
	locks        []*os.File
	hedge        time.Duration // after which the next provider is asked too
	pause        time.Duration // between rounds over all providers

	ctx    context.Context // ends with the store
	cancel context.CancelFunc
	wg     sync.WaitGroup // attempts to fetch

	mu      sync.Mutex
	closed  bool
	packs   map[ID]*entry
	real    map[ID]ID           // provisional to real ids of packs that were closed
	left    map[ID]int64        // open packs of before Open that nobody went on with: their sizes
	files   map[*entry]struct{} // with an open file
	limit   int64               // of used
	reserve int64               // of the disk, left free
	used    int64               // bytes cached and in parts, of packs that are not kept
	kept    map[ID]int64        // never evicted, here or not: bytes that are wanted
	held    int64               // bytes cached and in parts, of packs that are kept
}

// Open opens the store in dir, made if need be, that caches up to capBytes (0:
// 10 GiB, but no more than a tenth of the disk) beside what is pinned. One
// store at a time can have dir open.
func Open(dir string, capBytes int64) (*Store, error) {
	return OpenSplit(dir, dir, capBytes)
}

// OpenSplit is Open with a folder for packs that exist nowhere else yet and
// one for those that could be fetched again.
func OpenSplit(stage, cache string, capBytes int64) (*Store, error) {
	s := &Store{
		stage: stage,
		cache: cache,
		hedge: 2 * time.Second,
		pause: 300 * time.Millisecond,
		packs: make(map[ID]*entry),
		real:  make(map[ID]ID),
		left:  make(map[ID]int64),
		files: make(map[*entry]struct{}),
	}
	s.ctx, s.cancel = context.WithCancel(context.Background())
	err := s.prepare()
	if err == nil {
		err = s.scan()
	}
	if err != nil {
		s.unlock()
		return nil, fmt.Errorf("open packs: %w", err)
	}
	s.SetCap(capBytes)
	return s, nil
}

// dirs returns the folders of the store.
func (s *Store) dirs() (open, staged, cached, parts, fetch string) {
	return filepath.Join(s.stage, "open"), filepath.Join(s.stage, "staged"),
		filepath.Join(s.cache, "cached"), filepath.Join(s.cache, "parts"), filepath.Join(s.cache, "fetch")
}

// path returns the file of a pack in a state.
func (s *Store) path(st state, id ID) string {
	o, sd, c, p, _ := s.dirs()
	return filepath.Join([]string{open: o, staged: sd, cached: c, part: p}[st], id.String())
}

// prepare makes and locks the folders and removes what a crash left.
func (s *Store) prepare() error {
	open, staged, cached, parts, fetch := s.dirs()
	for _, dir := range []string{open, staged, cached, parts, fetch} {
		if err := os.MkdirAll(dir, 0o700); err != nil {
			return err
		}
	}
	if err := s.lock(s.stage); err != nil {
		return err
	}
	if s.cache != s.stage {
		if err := s.lock(s.cache); err != nil {
			return err
		}
	}
	if err := removeAll(fetch); err != nil {
		return err
	}
	// The folders themselves must survive a crash of the machine.
	return errors.Join(syncDir(s.stage), syncDir(filepath.Dir(s.stage)))
}

// lock keeps other processes out of dir.
func (s *Store) lock(dir string) error {
	f, err := os.OpenFile(filepath.Join(dir, "lock"), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return err
	}
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		_ = f.Close()
		if errors.Is(err, unix.EWOULDBLOCK) {
			return fmt.Errorf("%s is in use by another process: stop that first", dir)
		}
		return fmt.Errorf("lock %s: %w", dir, err)
	}
	s.locks = append(s.locks, f)
	return nil
}

func (s *Store) unlock() {
	for _, f := range s.locks {
		_ = f.Close()
	}
	s.locks = nil
}

// removeAll empties a folder.
func removeAll(dir string) error {
	left, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	for _, e := range left {
		if err := os.Remove(filepath.Join(dir, e.Name())); err != nil {
			return err
		}
	}
	return nil
}

// scan finds the packs that are here.
func (s *Store) scan() error {
	_, dir, cdir, pdir, _ := s.dirs()
	for _, d := range []struct {
		dir   string
		state state
	}{{dir, staged}, {cdir, cached}, {pdir, part}} {
		list, err := os.ReadDir(d.dir)
		if err != nil {
			return err
		}
		for _, f := range list {
			id, ok := parseID(f.Name())
			info, err := f.Info()
			if !ok || err != nil || !info.Mode().IsRegular() || s.packs[id] != nil {
				continue // nothing that we wrote, or here twice
			}
			e := &entry{id: id, state: d.state, size: info.Size(), used: info.ModTime(), touched: info.ModTime()}
			if d.state == part && !s.loadPart(e) {
				_ = os.Remove(s.path(part, id))
				continue
			}
			s.packs[id] = e
			s.account(e, e.size)
		}
	}
	return s.scanOpen()
}

// account adds n bytes of e to what is in the cache, with the lock held.
func (s *Store) account(e *entry, n int64) {
	if e.state != cached && e.state != part {
		return
	}
	if _, ok := s.kept[e.id]; ok {
		s.held += n
	} else {
		s.used += n
	}
}

// Close ends the store. Of packs that are still being written stays what was
// synced, to be gone on with by Adopt.
func (s *Store) Close() error {
	s.mu.Lock()
	if s.closed {
		s.mu.Unlock()
		return nil
	}
	s.closed = true
	s.mu.Unlock()
	s.cancel()
	s.wg.Wait()

	s.mu.Lock()
	defer s.mu.Unlock()
	for _, e := range s.packs {
		if e.state == part {
			s.savePart(e)
		}
	}
	for e := range s.files {
		e.gone = true
		if e.refs == 0 {
			s.closeFile(e)
		}
	}
	s.unlock()
	return nil
}

// maxFiles is how many files stay open when nobody reads them.
const maxFiles = 100

// acquire returns e's file, to be given back with release; with the lock held.
func (s *Store) acquire(e *entry) (*os.File, error) {
	if e.f == nil {
		f, err := os.OpenFile(s.path(e.state, e.id), os.O_RDWR, 0)
		if err != nil {
			return nil, err
		}
		// Readers ask for all that they want. More would be read for nothing.
		_ = unix.Fadvise(int(f.Fd()), 0, 0, unix.FADV_RANDOM)
		e.f = f
		s.files[e] = struct{}{}
	}
	e.refs++
	s.closeIdle()
	return e.f, nil
}

// closeIdle closes files that nobody reads while too many are open, with the
// lock held.
func (s *Store) closeIdle() {
	for idle := range s.files {
		if len(s.files) <= maxFiles {
			return
		}
		if idle.refs == 0 && idle.state != open {
			s.closeFile(idle)
		}
	}
}

// release gives back what acquire returned.
func (s *Store) release(e *entry) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if e.refs--; e.refs == 0 && e.gone {
		s.closeFile(e)
	}
}

// closeFile closes e's file, with the lock held.
func (s *Store) closeFile(e *entry) {
	if e.f != nil {
		if e.state == part && !e.gone {
			s.savePart(e)
		}
		_ = e.f.Close()
		e.f = nil
		delete(s.files, e)
	}
}

// dropFile lets go of e's file, which will be another, with the lock held.
func (s *Store) dropFile(e *entry) {
	if e.f != nil && e.refs == 0 {
		_ = e.f.Close()
	} // else its readers still hold it, and the runtime closes it after them
	e.f = nil
	delete(s.files, e)
}

// forget takes e out of the store and removes its file, with the lock held.
func (s *Store) forget(e *entry) error {
	delete(s.packs, e.id)
	s.account(e, -e.size)
	e.gone = true
	if e.refs == 0 {
		s.closeFile(e)
	}
	if err := os.Remove(s.path(e.state, e.id)); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	return nil
}

// Resolve returns the id under which a pack is known to others: for the
// provisional id of one that was closed the real one, until the first Open after
// Settled. closed is false while the pack is still being written, or left open.
func (s *Store) Resolve(id ID) (real ID, closed bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.resolve(id)
}

func (s *Store) resolve(id ID) (ID, bool) {
	if real, ok := s.real[id]; ok {
		return real, true
	}
	if _, left := s.left[id]; left {
		return id, false
	}
	e := s.packs[id]
	return id, e == nil || e.state != open
}

// Packs returns the ids of all closed packs that are here whole.
func (s *Store) Packs() []ID {
	return s.list(func(e *entry) bool { return e.state == staged || e.state == cached })
}

// Staged returns the ids of all closed packs that are pinned.
func (s *Store) Staged() []ID {
	return s.list(func(e *entry) bool { return e.state == staged })
}

func (s *Store) list(want func(*entry) bool) []ID {
	s.mu.Lock()
	defer s.mu.Unlock()
	var ids []ID
	for id, e := range s.packs {
		if want(e) {
			ids = append(ids, id)
		}
	}
	return ids
}

// Pin makes sure that the pack, which must be here whole, stays until Unpin.
func (s *Store) Pin(id ID) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	e, err := s.whole(id)
	if err != nil || e.state == staged {
		return err
	}
	// What was fetched into the cache need not be on disk yet.
	f, err := s.acquire(e)
	if err != nil {
		return fmt.Errorf("pin pack %s: %w", id, err)
	}
	e.refs--
	if err := verify(f, e.size, e.id); err != nil {
		return fmt.Errorf("pin pack %s: %w", id, err)
	}
	if err := f.Sync(); err != nil {
		return fmt.Errorf("pin pack %s: %w", id, err)
	}
	return s.move(e, staged)
}

// Unpin allows the pack to be evicted. It is no error if it isn't pinned.
func (s *Store) Unpin(id ID) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	e, err := s.whole(id)
	if err != nil || e.state == cached {
		return err
	}
	e.used = time.Now()
	if err := s.move(e, cached); err != nil {
		return err
	}
	s.evict()
	return nil
}

// whole returns the entry of a closed pack that is here, with the lock held.
func (s *Store) whole(id ID) (*entry, error) {
	if s.closed {
		return nil, errClosed
	}
	real, _ := s.resolve(id)
	e := s.packs[real]
	switch {
	case e == nil || e.state == part:
		return nil, fmt.Errorf("pack %s: not on this machine: %w", real, os.ErrNotExist)
	case e.state == open:
		return nil, fmt.Errorf("pack %s: still being written: %w", real, os.ErrInvalid)
	}
	return e, nil
}

// move makes e, a whole pack, staged or cached, with the lock held.
func (s *Store) move(e *entry, to state) error {
	from, target := s.path(e.state, e.id), s.path(to, e.id)
	err := os.Rename(from, target)
	if errors.Is(err, syscall.EXDEV) {
		err = s.copyOver(from, target)
	}
	if err == nil && to == staged {
		err = syncDir(filepath.Dir(target))
	}
	if err != nil {
		return fmt.Errorf("pack %s: %w", e.id, err)
	}
	s.account(e, -e.size)
	e.state = to
	s.account(e, e.size)
	return nil
}

// copyOver moves a pack to another file system.
func (s *Store) copyOver(from, to string) error {
	src, err := os.Open(from)
	if err != nil {
		return err
	}
	defer src.Close()
	temp := to + ".new" // no id: never taken for a pack
	dst, err := os.OpenFile(temp, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	_, err = io.Copy(dst, src)
	if err == nil {
		err = dst.Sync()
	}
	if e := dst.Close(); err == nil {
		err = e
	}
	if err == nil {
		err = os.Rename(temp, to)
	}
	if err != nil {
		_ = os.Remove(temp)
		return err
	}
	return os.Remove(from)
}

// Drop removes the local copy of a pack, pinned or not. It is for packs that
// nothing refers to; no pack of this id here is no error.
func (s *Store) Drop(id ID) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	real, closed := s.resolve(id)
	e := s.packs[real]
	if e == nil {
		return nil
	}
	if !closed {
		return fmt.Errorf("pack %s: still being written: %w", real, os.ErrInvalid)
	}
	return s.forget(e)
}

// syncDir makes the names in a folder survive a crash.
func syncDir(dir string) error {
	f, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer f.Close()
	return f.Sync()
}
