package chain

import (
	"bytes"
	"cmp"
	"fmt"
	"os"
	"slices"

	"github.com/btcsuite/btcd/chainhash/v2"
	"github.com/btcsuite/btcd/wire/v2"
	"github.com/dgraph-io/badger/v4"

	"satchel/chain/ops"
)

// Params returns the rules of the index.
func (ix *Index) Params() *Params { return ix.p }

// Network is that of the index's Params.
func (ix *Index) Network() [10]byte { return ix.p.Network() }

// Tip returns the last block applied; the genesis block of a new index.
func (ix *Index) Tip() (height int, hash chainhash.Hash) {
	t := ix.getTip()
	return t.height, t.hash
}

// read runs fn with the rules as the next block would see them.
func (ix *Index) read(fn func(r *rules) error) error {
	return ix.view(func(s *state) error {
		s.spaces = make(map[string]*namespace)
		// the tip of the snapshot: ix.tip may be a block ahead or behind
		t, err := parseTip(s.bytes([]byte{keyTip}))
		if s.err != nil {
			return s.err
		}
		if err != nil {
			return err
		}
		s.height = t.height + 1
		if err := fn(&rules{p: ix.p, s: s, height: s.height}); err != nil {
			return err
		}
		return s.err
	})
}

// Lookup returns the record of a name; ErrUnknownName if there is none.
// Expired and revoked ones come back with the flag set.
func (ix *Index) Lookup(n Name) (rec Record, err error) {
	err = ix.read(func(r *rules) error {
		e := r.s.name(string(n))
		if r.s.err == nil && e == nil {
			return fmt.Errorf("%s: %w", n, ErrUnknownName)
		}
		if r.s.err == nil {
			rec = r.record(e)
		}
		return nil
	})
	return rec, err
}

func (r *rules) record(e *entry) Record {
	rec := Record{
		Name: Name(e.Name), Owner: e.Owner, Address: e.Address, HasValue: len(e.Value) == 20,
		FirstRegistered: e.FirstRegistered, LastRenewed: e.LastRenewed, BlockNumber: e.BlockNumber,
		Revoked: e.Revoked, Expired: r.expired(e, r.height-1), Txid: e.Txid, Op: e.Op,
	}
	if rec.HasValue {
		rec.ValueHash = [20]byte(e.Value)
	}
	rec.Expires = r.expires(e)
	return rec
}

// expires returns the first height at which a name is expired, as long as its
// epoch lasts; 0 for never.
func (r *rules) expires(e *entry) int {
	ns := r.s.namespace(Name(e.Name).Namespace())
	switch {
	case ns == nil:
		return e.FirstRegistered
	case ns.Ready == 0:
		return ns.Revealed + r.p.RevealExpiry
	case ns.Lifetime == ops.Forever:
		return 0
	}
	life := r.p.lifetime(ns, r.height-1)
	return max(ns.Ready+life, e.LastRenewed+life+1)
}

// HasValue says if a name that is neither expired nor revoked has that value.
func (ix *Index) HasValue(hash [20]byte) (has bool) {
	err := ix.read(func(r *rules) error {
		r.s.each(key(keyValueHash, string(hash[:])), "", func(n string) bool {
			has = r.isRegistered(r.s.name(n), r.height-1)
			return !has
		})
		return nil
	})
	return has && err == nil
}

// ConsensusHash returns the consensus hash of a height from FirstBlock-4 to
// the tip; os.ErrNotExist for others.
func (ix *Index) ConsensusHash(height int) (c [16]byte, err error) {
	if height < ix.p.FirstBlock && height >= ix.p.FirstBlock-genesisBlocks {
		return ix.p.Genesis, nil
	}
	err = ix.block(height, func(_ *state, row []byte) error {
		c = [16]byte(row[headerRow:])
		return nil
	})
	return c, err
}

// Namespace returns what is known about a namespace; os.ErrNotExist if it was
// never revealed.
func (ix *Index) Namespace(id string) (n Namespace, err error) {
	err = ix.read(func(r *rules) error {
		ns := r.s.namespace(id)
		if r.s.err != nil {
			return nil
		}
		if ns == nil {
			return fmt.Errorf("namespace %q: %w", id, os.ErrNotExist)
		}
		n = r.namespaceOf(ns)
		return nil
	})
	return n, err
}

// namespaceOf tells what is known as of the last block.
func (r *rules) namespaceOf(ns *namespace) Namespace {
	n := Namespace{ID: ns.ID, Owner: ns.Revealer, Ready: ns.Ready > 0, Reveal: ns.Revealed}
	n.Expired = !n.Ready && !r.revealed(ns, r.height-1)
	if ns.Lifetime != ops.Forever {
		n.Lifetime = r.p.lifetime(ns, r.height-1)
	}
	return n
}

// A Preorder is one of a name or namespace. Whoever sees it in a transaction can
// copy its hash into one of his own: only with its Sender and a Fee that is enough
// is it any use.
type Preorder struct {
	Height int
	Sender []byte // script
	Fee    int64  // that it burnt, satoshi
}

// Preordered returns the outstanding preorder of a name or namespace with that
// hash; ok is false if there is none that could be used in the next block.
func (ix *Index) Preordered(hash [20]byte) (found Preorder, ok bool) {
	err := ix.read(func(r *rules) error {
		for _, kind := range []byte{'?', '*'} {
			if p := r.outstanding(kind, hash); p != nil {
				found, ok = Preorder{p.Height, p.Sender, p.Fee}, true
			}
		}
		return nil
	})
	return found, ok && err == nil
}

// NamesOf returns the names that a script owns, sorted; expired and revoked
// ones are left out.
func (ix *Index) NamesOf(owner []byte) (names []Name, err error) {
	err = ix.read(func(r *rules) error {
		for n := range r.owned(owner).names {
			names = append(names, Name(n))
		}
		return nil
	})
	slices.Sort(names)
	return names, err
}

// Price returns what a preorder or renewal of the name costs in satoshi, now;
// os.ErrNotExist if its namespace was never revealed.
func (ix *Index) Price(n Name) (sat int64, err error) { return ix.PriceAt(n, 0) }

// PriceAt is Price as it was for a preorder in the block at a height; at 0, now.
func (ix *Index) PriceAt(n Name, height int) (sat int64, err error) {
	err = ix.read(func(r *rules) error {
		ns := r.s.namespace(n.Namespace())
		if r.s.err == nil && ns == nil {
			return fmt.Errorf("namespace %q: %w", n.Namespace(), os.ErrNotExist)
		}
		if r.s.err == nil {
			sat = satoshi(ix.p.price(n, ns, cmp.Or(height, r.height)))
		}
		return nil
	})
	return sat, err
}

// NamespacePrice returns what a preorder of a namespace costs in satoshi, now.
func (ix *Index) NamespacePrice(id string) int64 { return ix.p.namespacePrice(id) }

// headers calls fn with the headers of all blocks applied, from height 1 on,
// in portions.
func (ix *Index) headers(fn func([]wire.BlockHeader) error) error {
	const portion = 2000
	return ix.view(func(s *state) error {
		tip, err := parseTip(s.bytes([]byte{keyTip}))
		if err != nil {
			return err
		}
		o := badger.DefaultIteratorOptions
		o.Prefix = []byte{keyBlock}
		it := s.txn.NewIterator(o)
		defer it.Close()
		it.Rewind()
		var hs []wire.BlockHeader
		for height := 1; height <= tip.height; height++ {
			var h wire.BlockHeader
			if err := readHeader(it, height, &h); err != nil {
				return fmt.Errorf("header %d: %w", height, err)
			}
			it.Next()
			if hs = append(hs, h); len(hs) == portion || height == tip.height {
				if err := fn(hs); err != nil {
					return err
				}
				hs = hs[:0]
			}
		}
		return nil
	})
}

// readHeader reads the header in the row at which an iterator is, which must be
// that of a height.
func readHeader(it *badger.Iterator, height int, h *wire.BlockHeader) error {
	if !it.Valid() || !bytes.Equal(it.Item().Key(), heightKey(keyBlock, height)) {
		return errDamaged
	}
	return it.Item().Value(func(row []byte) error {
		if h.Deserialize(bytes.NewReader(row)) != nil {
			return errDamaged
		}
		return nil
	})
}
