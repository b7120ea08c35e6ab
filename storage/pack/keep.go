package pack

import (
	"maps"
	"os"
)

// SetKept says which packs are to stay on this machine whatever the cap, and
// how many bytes of each are wanted: over half of a pack are fetched as all of
// it. They don't count towards the cap, and need not be here yet. What was kept
// before and is not any more may be evicted.
func (s *Store) SetKept(kept map[ID]int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	old := s.kept
	s.recount(func() { s.kept = maps.Clone(kept) }, old, kept)
	s.evict()
}

// Keep adds one pack to those that are kept.
func (s *Store) Keep(id ID, n int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	one := map[ID]int64{id: n}
	s.recount(func() {
		if s.kept == nil {
			s.kept = make(map[ID]int64)
		}
		s.kept[id] = max(n, s.kept[id])
	}, one)
}

// recount makes a change of what is kept, which concerns the packs of sets, with
// the lock held.
func (s *Store) recount(change func(), sets ...map[ID]int64) {
	concerned := make(map[*entry]struct{})
	for _, set := range sets {
		for id := range set {
			if e := s.packs[id]; e != nil {
				concerned[e] = struct{}{}
			}
		}
	}
	for e := range concerned {
		s.account(e, -e.size)
	}
	change()
	for e := range concerned {
		s.account(e, e.size)
	}
}

// Has tells whether n bytes of a pack from off are on this machine, as far as
// is known without reading.
func (s *Store) Has(id ID, off, n int64) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	real, _ := s.resolve(id)
	e := s.packs[real]
	switch {
	case e == nil:
		return false
	case e.state == part:
		return e.spans.covers(off, off+n)
	}
	return off+n <= e.size
}

// Size returns how many bytes of a pack are on this machine.
func (s *Store) Size(id ID) int64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	if real, _ := s.resolve(id); s.packs[real] != nil {
		return s.packs[real].size
	}
	return 0
}

// CheckKept looks whether the files of kept packs are there as they should be:
// what somebody deleted or cut is not here any more, and can be fetched again.
func (s *Store) CheckKept() {
	type file struct {
		e    *entry
		path string
		size int64
	}
	var files []file
	s.mu.Lock()
	for id := range s.kept {
		switch e := s.packs[id]; {
		case e == nil || len(e.flights) > 0:
		case e.state == cached:
			files = append(files, file{e, s.path(cached, id), e.size})
		case e.state == part && len(e.spans) > 0:
			files = append(files, file{e, s.path(part, id), partHeader + e.spans[len(e.spans)-1].to})
		}
	}
	s.mu.Unlock()
	for _, f := range files {
		if i, err := os.Stat(f.path); err == nil && i.Size() >= f.size || err != nil && !os.IsNotExist(err) {
			continue
		}
		s.mu.Lock()
		if s.packs[f.e.id] == f.e && len(f.e.flights) == 0 && s.path(f.e.state, f.e.id) == f.path {
			_ = s.forget(f.e)
		}
		s.mu.Unlock()
	}
}
