package chain

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"slices"
)

// The names of an owner are in one row, or, if they are very many, in several:
// names are added to the last one, until it is full. A row is the number of the
// owner's last row, which is right in the first one alone, and the names, each
// with its length before it. So whether somebody owns anything is one look.

// ownerRowSize is how long a row of names gets, about.
const ownerRowSize = valueThreshold * 3 / 4

// ownerHash stands for a script in keys.
func ownerHash(script []byte) string {
	h := sha256.Sum256(script)
	return string(h[:16])
}

func ownerKey(hash string, n int) []byte {
	return binary.BigEndian.AppendUint32(key(keyOwner, hash), uint32(n))
}

// ownerRow is one of an owner's rows.
type ownerRow struct {
	last  int
	names []string
	size  int
}

func (s *state) ownerRow(hash string, n int) (o ownerRow) {
	b := s.bytes(ownerKey(hash, n))
	if b == nil {
		return o
	}
	r := rowReader{b: b}
	o.last = r.num()
	for len(r.b) > 0 {
		o.names = append(o.names, r.text())
	}
	o.size = len(b)
	if err := r.end(); err != nil {
		s.damaged(fmt.Sprintf("names of owner %x", hash), err)
	}
	return o
}

func (s *state) putOwnerRow(hash string, n int, o ownerRow) {
	var w rowWriter
	if len(o.names) > 0 || o.last > 0 {
		w.num(o.last)
		for _, name := range o.names {
			w.text(name)
		}
	}
	s.set(ownerKey(hash, n), w.b)
}

// own adds an entry to the names of its owner.
func (s *state) own(e *entry) {
	hash := ownerHash(e.Owner)
	o := s.ownerRow(hash, 0)
	n := o.last
	if n > 0 {
		o = s.ownerRow(hash, n)
	}
	if o.size >= ownerRowSize {
		n++
		first := s.ownerRow(hash, 0)
		first.last = n
		s.putOwnerRow(hash, 0, first)
		o = ownerRow{}
	}
	o.names = append(o.names, e.Name)
	s.putOwnerRow(hash, n, o)
}

// disown takes an entry from the names of its owner. It looks for its bytes first:
// to read row after row of somebody who has very many takes long.
func (s *state) disown(e *entry) {
	hash := ownerHash(e.Owner)
	var w rowWriter
	w.text(e.Name)
	last := s.ownerRow(hash, 0).last
	for n := 0; n <= last; n++ {
		if !bytes.Contains(s.bytes(ownerKey(hash, n)), w.b) {
			continue
		}
		o := s.ownerRow(hash, n)
		if i := slices.Index(o.names, e.Name); i >= 0 {
			o.names = slices.Delete(o.names, i, i+1)
			s.putOwnerRow(hash, n, o)
			return
		}
	}
	s.damaged("owner of "+e.Name, errDamaged)
}

// ownedNames returns every name that a script owns, expired and revoked ones too.
func (s *state) ownedNames(owner []byte) (names []string) {
	hash := ownerHash(owner)
	last := 0
	for n := 0; n <= last; n++ {
		o := s.ownerRow(hash, n)
		last = max(last, o.last)
		names = append(names, o.names...)
	}
	return names
}
