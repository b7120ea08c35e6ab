package profile

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"slices"

	"satchel/chain"
	"satchel/crypto"
	"satchel/crypto/canon"
	"satchel/fs/tree"
)

const (
	maxTells = 4096
	maxOwner = 255
)

type wireHead struct {
	Vector []wireEntry `cbor:"1,keyasint,omitempty"`
	Known  []wireKnown `cbor:"2,keyasint,omitempty"`
	Root   wireRef     `cbor:"3,keyasint,omitzero"`
	Digest crypto.Hash `cbor:"4,keyasint"`
	Tells  []wireTell  `cbor:"5,keyasint,omitempty"`
	Extra  canon.Extra `cbor:"-"`
}

type wireEntry struct {
	_      struct{} `cbor:",toarray"`
	Device crypto.DeviceID
	Name   string
	Seq    uint64
	Head   crypto.Hash
}

type wireKnown struct {
	_    struct{} `cbor:",toarray"`
	Name string
	Seq  uint64
	Hash crypto.Hash
}

type wireRef struct {
	_     struct{} `cbor:",toarray"`
	Owner string
	Pack  [32]byte
	Off   uint32
	Len   uint32
	Hash  crypto.Hash
	Key   [32]byte
}

type wireTell struct {
	_      struct{} `cbor:",toarray"`
	Names  []string
	Gen    uint64
	Secret [32]byte
}

// Encode returns the head's body before sealing.
func (h *Head) Encode() ([]byte, error) {
	w := wireHead{Root: wireRef{Owner: h.Root.Owner, Pack: h.Root.Pack, Off: h.Root.Off, Len: h.Root.Len, Hash: h.Root.Hash, Key: h.Root.Key}, Digest: h.Digest, Extra: h.Extra}
	for _, id := range slices.SortedFunc(maps.Keys(h.Vector), compareID) {
		e := h.Vector[id]
		w.Vector = append(w.Vector, wireEntry{Device: id, Name: e.Name, Seq: e.Seq, Head: e.Head})
	}
	for _, n := range slices.Sorted(maps.Keys(h.Known)) {
		w.Known = append(w.Known, wireKnown{Name: string(n), Seq: h.Known[n].Seq, Hash: h.Known[n].Hash})
	}
	for _, t := range h.Tells {
		w.Tells = append(w.Tells, wireTell{Names: t.Group.strings(), Gen: t.Gen, Secret: t.Secret})
	}
	slices.SortFunc(w.Tells, compareTells)
	if _, err := w.head(); err != nil {
		return nil, fmt.Errorf("head: %w", err)
	}
	return canon.Marshal(w)
}

// DecodeHead reads a body that was opened. All that Encode would not give is
// refused.
func DecodeHead(body []byte) (*Head, error) {
	var w wireHead
	if err := canon.Unmarshal(body, &w); err != nil {
		return nil, fmt.Errorf("head: %w", err)
	}
	h, err := w.head()
	if err != nil {
		return nil, fmt.Errorf("head: %w", err)
	}
	return h, nil
}

// head checks w and returns what it says.
func (w *wireHead) head() (*Head, error) {
	h := &Head{
		Vector: make(tree.Vector, len(w.Vector)),
		Known:  make(map[chain.Name]Mark, len(w.Known)),
		Digest: w.Digest,
		Extra:  w.Extra,
	}
	if err := w.vector(h); err != nil {
		return nil, err
	}
	if err := w.known(h); err != nil {
		return nil, err
	}
	if err := w.tells(h); err != nil {
		return nil, err
	}
	r := w.Root
	if r == (wireRef{}) {
		return h, nil
	}
	if r.Owner == "" || len(r.Owner) > maxOwner || r.Pack == [32]byte{} || r.Len == 0 {
		return nil, errors.New("its root is not a full ref")
	}
	h.Root = tree.Ref{Owner: r.Owner, Pack: r.Pack, Off: r.Off, Len: r.Len, Hash: r.Hash, Key: r.Key}
	return h, nil
}

func (w *wireHead) vector(h *Head) error {
	for i, e := range w.Vector {
		if i > 0 && compareID(w.Vector[i-1].Device, e.Device) >= 0 {
			return errors.New("vector out of order")
		}
		if _, err := chain.ParseName(e.Name); err != nil {
			return fmt.Errorf("vector: device %v: %w", e.Device, err)
		}
		if e.Seq < 1 || e.Seq >= crypto.MaxSeq || e.Head == (crypto.Hash{}) {
			return fmt.Errorf("vector: device %v at %d, head %v", e.Device, e.Seq, e.Head)
		}
		h.Vector[e.Device] = tree.VectorEntry{Name: e.Name, Seq: e.Seq, Head: e.Head}
	}
	return nil
}

func (w *wireHead) known(h *Head) error {
	for i, k := range w.Known {
		if i > 0 && w.Known[i-1].Name >= k.Name {
			return errors.New("known profiles out of order")
		}
		n, err := chain.ParseName(k.Name)
		if err != nil {
			return fmt.Errorf("known profile: %w", err)
		}
		if k.Seq < 1 || k.Seq > crypto.MaxSeq {
			return fmt.Errorf("known profile of %s: number %d", n, k.Seq)
		}
		h.Known[n] = Mark{k.Seq, k.Hash}
	}
	return nil
}

func (w *wireHead) tells(h *Head) error {
	if len(w.Tells) > maxTells {
		return fmt.Errorf("%d group secrets", len(w.Tells))
	}
	for i, t := range w.Tells {
		if i > 0 && compareTells(w.Tells[i-1], t) >= 0 {
			return errors.New("group secrets out of order")
		}
		g, err := group(t.Names)
		if err != nil {
			return fmt.Errorf("group secret: %w", err)
		}
		if t.Gen < 1 || t.Gen > crypto.MaxSeq {
			return fmt.Errorf("group secret of generation %d", t.Gen)
		}
		h.Tells = append(h.Tells, Tell{Group: g, Gen: t.Gen, Secret: t.Secret})
	}
	return nil
}

// group returns the group of names, which must be sorted.
func group(names []string) (Volume, error) {
	if len(names) < 3 || len(names) > MaxMembers {
		return Volume{}, fmt.Errorf("group of %d names", len(names))
	}
	list := make([]chain.Name, len(names))
	for i, s := range names {
		n, err := chain.ParseName(s)
		if err != nil {
			return Volume{}, err
		}
		list[i] = n
	}
	if !slices.IsSorted(list) {
		return Volume{}, errors.New("names out of order")
	}
	return Shared(list...)
}

func compareTells(a, b wireTell) int {
	return cmp.Or(slices.Compare(a.Names, b.Names), cmp.Compare(a.Gen, b.Gen))
}
