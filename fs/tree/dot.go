package tree

import (
	"bytes"
	"encoding/hex"
	"maps"

	"satchel/crypto"
)

// An Identity names a file or directory for ever, wherever it is moved. The
// root of a volume is the zero Identity.
type Identity [16]byte

// String returns i in lower-case hex.
func (i Identity) String() string { return hex.EncodeToString(i[:]) }

// Root is the identity of a volume's root.
var Root Identity

// Pending is the seq of changes that are not committed yet. It is above all others.
const Pending = 1 << 63

// maxSeq is the largest seq that a dot in a stored tree can have.
const maxSeq = 1<<53 - 1

// A Dot says when and by whom an element of the tree was made: it is the number
// of the writer's commit. Dots are ordered by seq, then writer.
type Dot struct {
	Seq    uint64
	Writer crypto.DeviceID
}

// Less tells whether d comes before e.
func (d Dot) Less(e Dot) bool { return d.compare(e) < 0 }

// IsPending tells whether the change that made d is not committed yet.
func (d Dot) IsPending() bool { return d.Seq == Pending }

func (d Dot) compare(e Dot) int {
	switch {
	case d.Seq < e.Seq:
		return -1
	case d.Seq > e.Seq:
		return 1
	}
	return bytes.Compare(d.Writer[:], e.Writer[:])
}

// A link is the number of one name of an identity: the dot that made the name,
// and a count within that dot.
type link struct {
	Dot
	n uint32
}

func (l link) compare(m link) int {
	if c := l.Dot.compare(m.Dot); c != 0 {
		return c
	}
	return int(int64(l.n) - int64(m.n))
}

// A VectorEntry is the newest head of one writer that was merged.
type VectorEntry struct {
	Name string // of the writer
	Seq  uint64
	Head crypto.Hash
}

// A Vector says what is merged into a tree: for each writer ever seen, its
// newest head.
type Vector map[crypto.DeviceID]VectorEntry

// Covers tells whether the change that made d is merged.
func (v Vector) Covers(d Dot) bool { return d.Seq <= v[d.Writer].Seq }

// CoversAll tells whether everything that w says is merged is merged in v too.
func (v Vector) CoversAll(w Vector) bool {
	for id, e := range w {
		if e.Seq > v[id].Seq {
			return false
		}
	}
	return true
}

// merge raises v's entries to w's.
func (v Vector) merge(w Vector) {
	for id, e := range w {
		if old, ok := v[id]; !ok || e.Seq > old.Seq {
			v[id] = e
		}
	}
}

func (v Vector) clone() Vector {
	if v == nil {
		return make(Vector)
	}
	return maps.Clone(v)
}
