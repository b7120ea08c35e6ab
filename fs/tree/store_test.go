package tree

import (
	"encoding/binary"
	"fmt"
	"testing"

	"satchel/crypto"
)

// A store is a sink and a loader in memory. Each node gets a pack of its own,
// or stays in the same as the one before.
type store struct {
	nodes   map[Ref][]byte
	count   uint64
	written int
	perPack uint64 // nodes in one pack
	owner   string
	away    map[Ref]bool // to be reported as missing, once
	missed  int
}

func newStore() *store {
	return &store{nodes: make(map[Ref][]byte), perPack: 3, owner: "ada.id"}
}

func (s *store) Node(encode func(local func(Ref) Ref) ([]byte, error)) (Ref, error) {
	var r Ref
	pack := 1 + s.count/s.perPack
	binary.BigEndian.PutUint64(r.Pack[:], pack)
	r.Pack[31] = 1
	r.Owner = s.owner
	b, err := encode(func(x Ref) Ref {
		if x.IsZero() {
			panic("a hole is not to be mapped")
		}
		if x.Pack == r.Pack && x.Owner == r.Owner {
			x.Pack = [32]byte{}
		}
		return x
	})
	if err != nil {
		return Ref{}, err
	}
	s.count++
	r.Off, r.Len, r.Hash = uint32(s.count), uint32(len(b)), crypto.Sum(b)
	binary.BigEndian.PutUint64(r.Key[:], s.count)
	s.nodes[r] = b
	s.written++
	return r, nil
}

func (s *store) load(r Ref) ([]byte, error) {
	if s.away[r] {
		delete(s.away, r)
		s.missed++
		return nil, fmt.Errorf("loading: %w", &Missing{Refs: []Ref{r}})
	}
	b, ok := s.nodes[r]
	if !ok {
		return nil, fmt.Errorf("no node %v", r)
	}
	return b, nil
}

func writer(i int) (d crypto.DeviceID) {
	d[0] = byte(i + 1)
	return d
}

func ident(i int) (id Identity) {
	binary.BigEndian.PutUint64(id[8:], uint64(i))
	id[0] = 1
	return id
}

// retry calls f until it misses nothing.
func retry(t testing.TB, f func() error) {
	t.Helper()
	for i := 0; ; i++ {
		err := f()
		if err == nil {
			return
		}
		if !isMissing(err) || i > 10000 {
			t.Fatal(err)
		}
	}
}
