package pack

import (
	"testing"

	"satchel/storage/storagetest"
)

func cachedPacks(t *testing.T, s *Store, n int) (ids []ID) {
	t.Helper()
	for i := range n {
		id := write(t, s, storagetest.Bytes(uint64(i), 100_000))
		if err := s.Unpin(id); err != nil {
			t.Fatal(err)
		}
		ids = append(ids, id)
	}
	return ids
}

func TestKeptIsNotEvicted(t *testing.T) {
	dir := t.TempDir()
	s := openStore(t, dir, 1<<20)
	ids := cachedPacks(t, s, 5)
	s.SetKept(map[ID]int64{ids[0]: 1, ids[2]: 1})
	size := s.Size(ids[0])
	if u := s.Usage(); u.Kept != 2*size || u.Cached != 3*size {
		t.Errorf("got %+v, with packs of %d", u, size)
	}
	s.SetCap(size)
	for i, want := range []bool{true, false, true, false, true} {
		if got := s.Has(ids[i], 0, size); got != want {
			t.Errorf("pack %d: here is %v, want %v", i, got, want)
		}
	}
	if s.Has(ids[0], 1, size) {
		t.Error("has more than there is")
	}
	s.SetCap(1)
	s.SetKept(map[ID]int64{ids[2]: 1})
	if s.Size(ids[0]) != 0 || s.Size(ids[2]) != size {
		t.Error("what is not kept any more stays, or what is kept doesn't")
	}
	if u := s.Usage(); u.Kept != size || u.Cached != 0 {
		t.Errorf("got %+v, with one pack of %d", u, size)
	}
	s.Keep(ids[2], 5)
	s.SetKept(nil)
	if u := s.Usage(); u.Kept != 0 || u.Cached != 0 {
		t.Errorf("got %+v of an empty store", u)
	}
}

// What will be wanted of a kept pack in many small reads is fetched at once.
func TestKeptIsFetchedWhole(t *testing.T) {
	for _, wanted := range []int64{0, 8 << 20} {
		c := storagetest.Count(nil)
		w := newWorld(t, 3<<20, good)
		c.Driver, w.from[0].Driver = w.from[0].Driver, c
		if wanted > 0 {
			w.s.SetKept(map[ID]int64{w.id: wanted})
		}
		for off := int64(0); off < 3<<20; off += 300 << 10 {
			if err := w.read(off, 1000); err != nil {
				t.Fatal(err)
			}
		}
		if got := c.Gets.Load(); wanted > 0 && got != 1 || wanted == 0 && got < 5 {
			t.Errorf("%d bytes wanted: got %d requests", wanted, got)
		}
	}
}
