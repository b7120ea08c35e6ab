package chain

import (
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"

	"github.com/btcsuite/btcd/chainhash/v2"
	"github.com/dgraph-io/badger/v4"
)

// An Operation is an accepted operation at its place in the chain.
type Operation struct {
	Height  int
	Index   int // of the transaction in its block; the coinbase is 0
	Txid    chainhash.Hash
	Op      string    // as in Record.Op; "?" and "*" preorders, "&" and "!" namespaces
	Subject string    // the name or namespace id; empty for a preorder, which hides it
	Owner   []byte    // script, after the operation; of a preorder its sender
	Value   *[20]byte // value hash of the name after the operation, nil if it has none
	Record  string    // serialised, as the ops hash covers it
}

// Operations returns the accepted operations of a block from FirstBlock to the
// tip, in order; os.ErrNotExist for other heights.
func (ix *Index) Operations(height int) (all []Operation, err error) {
	err = ix.keptOps(height, func(k kept) error {
		o, err := k.operation(height)
		all = append(all, o)
		return err
	})
	return all, err
}

// keptOps calls fn with the accepted operations of a block, in order.
func (ix *Index) keptOps(height int, fn func(kept) error) error {
	return ix.block(height, func(s *state, _ []byte) error {
		return s.eachOp(ix.p, height, 0, fn)
	})
}

// block runs fn on a snapshot that has a block from FirstBlock on, with the
// block's row.
func (ix *Index) block(height int, fn func(s *state, row []byte) error) error {
	return ix.view(func(s *state) error {
		row := s.bytes(heightKey(keyBlock, height))
		if s.err == nil && (row == nil || height < ix.p.FirstBlock || height > maxTip) {
			return fmt.Errorf("block %d: %w", height, os.ErrNotExist)
		}
		if row = s.blockRow(height); s.err != nil {
			return s.err
		}
		return fn(s, row)
	})
}

// eachOp calls fn with the accepted operations of a block, from the one with an
// index on, until it gives an error.
func (s *state) eachOp(p *Params, height, index int, fn func(kept) error) error {
	it := s.txn.NewIterator(badger.IteratorOptions{Prefix: heightKey(keyOps, height)})
	defer it.Close()
	for it.Seek(opsKey(height, index)); it.Valid(); it.Next() {
		row, err := it.Item().ValueCopy(nil)
		if err == nil && len(row) == 0 {
			err = errDamaged // what Badger gives for a value that it can't read
		}
		if err == nil {
			err = eachKept(p, height, index, row, fn)
		}
		if err != nil {
			return fmt.Errorf("operations of block %d: %w", height, err)
		}
	}
	return nil
}

// errFound ends a search.
var errFound = errors.New("found")

// op returns the operation at a place, which must be there.
func (s *state) op(p *Params, at place) (k kept, err error) {
	err = s.eachOp(p, at.height, at.index, func(found kept) error {
		k = found
		return errFound
	})
	if errors.Is(err, errFound) && k.tx.Index == at.index {
		return k, nil
	}
	if err == nil || errors.Is(err, errFound) {
		err = fmt.Errorf("operation %d of block %d: %w", at.index, at.height, errDamaged)
	}
	return k, err
}

// History returns what happened to a name or a namespace, oldest first: at most
// limit operations of height from or above. A limit of 0 stands for all. It goes
// back from the newest one, so it takes as long as there are operations from that
// height on. Of what nobody has registered there is none.
func (ix *Index) History(subject string, from, limit int) (all []Operation, err error) {
	err = ix.view(func(s *state) error {
		for at := s.lastOf(subject); s.err == nil && at != (place{}) && at.height >= from; {
			k, err := s.op(ix.p, at)
			if err != nil {
				return err
			}
			o, err := k.operation(at.height)
			if err != nil {
				return err
			}
			if all = append(all, o); limit > 0 && len(all) > limit {
				all = all[1:] // the newest
			}
			at = k.before
		}
		return s.err
	})
	slices.Reverse(all)
	return all, err
}

// lastOf returns where the last operation on a name or a namespace is.
func (s *state) lastOf(subject string) place {
	if !strings.Contains(subject, ".") {
		if ns := s.namespace(subject); ns != nil {
			return place{ns.Height, ns.Index}
		}
		return place{}
	}
	if e := s.name(subject); e != nil {
		return e.place()
	}
	return place{}
}

// HeightOf returns the height that has a consensus hash; os.ErrNotExist if none
// up to the tip has it.
func (ix *Index) HeightOf(c [16]byte) (height int, err error) {
	err = ix.view(func(s *state) error {
		row := s.bytes(append([]byte{keyConsensus}, c[:]...))
		switch {
		case s.err != nil:
			return s.err
		case row == nil:
			return fmt.Errorf("consensus hash %x: %w", c, os.ErrNotExist)
		case len(row) != 4:
			return errDamaged
		}
		height = int(binary.BigEndian.Uint32(row))
		return nil
	})
	return height, err
}

// OpsHash returns the ops hash of a height from FirstBlock to the tip;
// os.ErrNotExist for others.
func (ix *Index) OpsHash(height int) (h [32]byte, err error) {
	err = ix.block(height, func(_ *state, row []byte) error {
		h = [32]byte(row[headerRow+16:])
		return nil
	})
	return h, err
}

// Names returns names of a namespace that follow after, sorted, at most limit of
// them, or all if that is 0, expired and revoked ones too. An empty after starts
// at the first.
func (ix *Index) Names(namespace string, after Name, limit int) (names []Name, err error) {
	err = ix.view(func(s *state) error {
		from := ""
		if after != "" {
			from = after.Label() + ".\x00"
		}
		s.each(key(keyName, namespace, "."), from, func(rest string) bool {
			names = append(names, nameOfKey(namespace+"."+rest))
			return len(names) != limit
		})
		return s.err
	})
	return names, err
}

// Namespaces returns every namespace that was revealed, sorted by id.
func (ix *Index) Namespaces() (all []Namespace, err error) {
	err = ix.read(func(r *rules) error {
		r.s.each([]byte{keyNamespace}, "", func(id string) bool {
			if ns := r.s.namespace(id); ns != nil {
				all = append(all, r.namespaceOf(ns))
			}
			return r.s.err == nil
		})
		return nil
	})
	return all, err
}
