package profile

import (
	"fmt"

	"satchel/chain"
	"satchel/crypto"
	"satchel/fs/tree"
)

// maxLeap is how far above all that is known a number may be. Nobody gets there
// by writing, so it is a lie that would use the numbers up.
const maxLeap = 1 << 32

// A Writer is a device of a name and its newest head in one volume.
type Writer struct {
	Name chain.Name
	Mark
}

// Knowledge is what a reader itself knows about the writers of one volume.
type Knowledge struct {
	Self     crypto.DeviceID
	Own      Writer                     // this device's last head there; Seq 0: none
	Verified map[crypto.DeviceID]Writer // the newest head of each other writer that was opened
	Merged   tree.Vector                // the reader's own vector

	// Removed tells whether the newest profile held of name has d among its
	// removed devices; nil: nothing is known of any.
	Removed func(name chain.Name, d crypto.DeviceID) bool
}

// Admit judges the version vector of a head that was opened and pinned, and
// returns what of it counts: each entry only up to the newest head of that writer
// which the reader has verified, a removed device's as claimed, of other writers
// nothing. Open and pin all heads of a round first, then admit them.
//
// A *Lie says that the vector can't be true: a number far above all that is known,
// a claim about the reader's own device beyond its record, or one number with two
// hashes. That head must not be merged, and is reported by name.
func (k *Knowledge) Admit(h *Signed[Head]) (tree.Vector, error) {
	lie := func(about crypto.DeviceID, why string, args ...any) error {
		return &Lie{Name: h.Name(), Device: h.Header.Device, Seq: h.Header.Seq, About: about, Why: fmt.Sprintf(why, args...)}
	}
	highest := k.highest(h.Header.Device)
	if h.Header.Seq > highest+maxLeap {
		return nil, lie(h.Header.Device, "number %d, the highest known is %d", h.Header.Seq, highest)
	}
	counts := make(tree.Vector, len(h.Body.Vector))
	for id, e := range h.Body.Vector {
		switch {
		case e.Seq > highest+maxLeap:
			return nil, lie(id, "number %d, the highest known is %d", e.Seq, highest)
		case id == k.Self && e.Seq > k.Own.Seq:
			return nil, lie(id, "number %d, this device has signed none above %d", e.Seq, k.Own.Seq)
		case k.contradicts(id, e):
			return nil, lie(id, "number %d with another hash", e.Seq)
		}
		if c, ok := k.counts(id, e, h); ok {
			counts[id] = c
		}
	}
	return counts, nil
}

// highest is the highest number known, the head's own writer left out: its number
// is what is in question.
func (k *Knowledge) highest(but crypto.DeviceID) uint64 {
	seq := k.Own.Seq
	for id, m := range k.Verified {
		if id != but {
			seq = max(seq, m.Seq)
		}
	}
	for _, e := range k.Merged {
		seq = max(seq, e.Seq)
	}
	return seq
}

// known returns what the reader has verified of a writer; its own last head of
// itself.
func (k *Knowledge) known(id crypto.DeviceID) (Writer, bool) {
	if id == k.Self {
		return k.Own, k.Own.Seq > 0
	}
	w, ok := k.Verified[id]
	return w, ok
}

// contradicts tells whether e gives a number that is known another hash.
func (k *Knowledge) contradicts(id crypto.DeviceID, e tree.VectorEntry) bool {
	w, ok := k.known(id)
	m, merged := k.Merged[id]
	return ok && w.Seq == e.Seq && w.Hash != e.Head || merged && m.Seq == e.Seq && m.Head != e.Head
}

// counts returns what counts of an entry that can be true, under the name that
// the writer is known by.
func (k *Knowledge) counts(id crypto.DeviceID, e tree.VectorEntry, h *Signed[Head]) (tree.VectorEntry, bool) {
	if id == h.Header.Device {
		return e, true // below the number of the head itself, which is verified
	}
	w, ok := k.known(id)
	switch {
	case ok && e.Seq <= w.Seq:
		return tree.VectorEntry{Name: string(w.Name), Seq: e.Seq, Head: e.Head}, true
	case k.Removed != nil && (!ok || string(w.Name) == e.Name) && e.Seq < h.Header.Seq && k.Removed(chain.Name(e.Name), id):
		return e, true
	case ok:
		return tree.VectorEntry{Name: string(w.Name), Seq: w.Seq, Head: w.Hash}, true
	}
	return tree.VectorEntry{}, false
}
