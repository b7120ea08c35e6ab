package pack

import (
	"os"
	"slices"
	"time"

	"golang.org/x/sys/unix"
)

// SetCap limits the cache to n bytes beside what is pinned; 0 means 10 GiB,
// but no more than a tenth of the disk.
func (s *Store) SetCap(n int64) {
	if n <= 0 {
		n = 10 << 30
		var fs unix.Statfs_t
		if err := unix.Statfs(s.cache, &fs); err == nil {
			n = min(n, int64(fs.Blocks)*int64(fs.Bsize)/10)
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.limit = n
	s.evict()
}

// evict removes the least recently used packs until the cache is within its
// limit, with the lock held. Pinned packs, those that are kept and those being
// fetched stay.
func (s *Store) evict() {
	s.evictTo(s.limit)
}

// evictTo is evict with another limit.
func (s *Store) evictTo(limit int64) {
	if s.used <= limit {
		return
	}
	var old []*entry
	for _, e := range s.packs {
		_, kept := s.kept[e.id]
		if (e.state == cached || e.state == part) && len(e.flights) == 0 && !kept {
			old = append(old, e)
		}
	}
	slices.SortFunc(old, func(a, b *entry) int { return a.used.Compare(b.used) })
	for _, e := range old {
		if s.used <= limit {
			return
		}
		_ = s.forget(e) // a file that can't be removed is found again by the next Open
	}
}

// SetReserve has the cache leave n bytes of its disk free: what is fetched beyond
// that pushes out what was used least recently, and is not kept where there is
// nothing to push out.
func (s *Store) SetReserve(n int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.reserve = n
}

// Release evicts some n bytes of what may be evicted, since the disk is needed
// for something else, and returns how many that were.
func (s *Store) Release(n int64) int64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	before := s.used
	if n > 0 && before > 0 {
		s.evictTo(max(0, before-n))
	}
	return before - s.used
}

// hasRoom tells whether n bytes may be added to the cache, with no lock held.
func (s *Store) hasRoom(n int64) bool {
	s.mu.Lock()
	need := s.reserve + n
	s.mu.Unlock()
	if need == n {
		return true
	}
	for range 2 {
		var fs unix.Statfs_t
		if err := unix.Statfs(s.cache, &fs); err != nil {
			return true // who writes will see
		}
		lack := need - int64(fs.Bavail)*fs.Bsize
		if lack <= 0 {
			return true
		}
		if s.Release(lack) == 0 {
			return false
		}
	}
	return false
}

// touch notes that e was used, with the lock held; on disk only now and then,
// so that the order outlives a restart roughly.
func (s *Store) touch(e *entry) {
	now := time.Now()
	if e.used = now; now.Sub(e.touched) > time.Hour && e.state == cached {
		e.touched = now
		_ = os.Chtimes(s.path(cached, e.id), now, now)
	}
}

// Usage is how much of the disk a store takes.
type Usage struct {
	Pinned, Cached, Cap int64 // bytes
	Kept                int64 // bytes in the cache that don't count towards the cap
	Open                int64 // bytes in packs being written
}

// Usage returns how much of the disk the store takes.
func (s *Store) Usage() Usage {
	s.mu.Lock()
	defer s.mu.Unlock()
	u := Usage{Cached: s.used, Kept: s.held, Cap: s.limit}
	for _, e := range s.packs {
		switch e.state {
		case staged:
			u.Pinned += e.size
		case open:
			u.Open += e.size
		}
	}
	return u
}
