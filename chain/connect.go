package chain

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/btcsuite/btcd/wire/v2"
	"github.com/dgraph-io/badger/v4"

	"satchel/chain/bitcoin"
	"satchel/chain/ops"
)

// applied is what a block did.
type applied struct {
	names     []Name
	records   []string // serialised accepted operations, in order, "" for others
	opsHash   [32]byte
	consensus [16]byte
}

// connect applies the operations of the block that follows the tip. Records,
// undo data, hashes and tip change in one transaction: all or nothing.
func (ix *Index) connect(h bitcoin.Header, txs []*ops.Tx) (a applied, err error) {
	if err := ix.follows(h); err != nil {
		return a, err
	}
	for {
		a, err = ix.tryConnect(h, txs)
		if !errors.Is(err, badger.ErrTxnTooBig) || ix.memTable >= maxMemTable {
			break
		}
		if err = ix.reopenBigger(); err != nil {
			break
		}
	}
	if err != nil {
		return a, fmt.Errorf("block %d: %w", h.Height, err)
	}
	return a, nil
}

// connectBatch applies blocks that follow the tip, many in one transaction, but
// each whole or not at all, in order. best is the height of the best header
// known: blocks more than UndoBlocks below it are not made to be undone. It
// returns what the blocks did that were applied, without their records; those
// are the first ones if there is an error.
func (ix *Index) connectBatch(blocks []*fetched, best int) (done []applied, err error) {
	for _, b := range blocks {
		a, err := ix.connect(b.header, b.txs)
		if err != nil {
			return done, err
		}
		done = append(done, a)
	}
	return done, nil
}

func (ix *Index) follows(h bitcoin.Header) error {
	t := ix.getTip()
	if h.Height != t.height+1 || h.PrevBlock != t.hash {
		return fmt.Errorf("block %d (%v) does not follow the index's tip %d (%v)", h.Height, h.Hash, t.height, t.hash)
	}
	return nil
}

func (ix *Index) tryConnect(h bitcoin.Header, txs []*ops.Tx) (a applied, err error) {
	next := tip{height: h.Height, hash: h.Hash, floor: max(ix.getTip().floor, h.Height-UndoBlocks, ix.p.FirstBlock-1)}
	err = ix.update(h.Height, func(s *state) error {
		if h.Height >= ix.p.FirstBlock {
			a.records = applyBlock(ix.p, s, txs)
			a.opsHash = opsHash(slices.DeleteFunc(slices.Clone(a.records), func(r string) bool { return r == "" }))
			a.consensus = consensusHash(a.opsHash, s.earlier(ix.p.FirstBlock))
		}
		a.names = slices.Sorted(maps.Keys(s.changed))
		s.flush()
		s.dropUndo(h.Height - UndoBlocks)
		s.raw(heightKey(keyBlock, h.Height), ix.p.blockRow(h, a))
		s.raw([]byte{keyTip}, next.row())
		return s.err
	})
	if err == nil {
		ix.setTip(next)
	}
	return a, err
}

// blockRow is what is kept about a block.
func (p *Params) blockRow(h bitcoin.Header, a applied) []byte {
	var b bytes.Buffer
	h.BlockHeader.Serialize(&b) // a buffer takes everything
	if h.Height >= p.FirstBlock {
		b.Write(a.consensus[:])
		b.Write(a.opsHash[:])
	}
	return b.Bytes()
}

// connectHeaders moves the tip over blocks below FirstBlock, which are not
// read.
func (ix *Index) connectHeaders(hs []bitcoin.Header) error {
	if len(hs) == 0 {
		return nil
	}
	if err := ix.follows(hs[0]); err != nil {
		return err
	}
	last := hs[len(hs)-1]
	next := tip{height: last.Height, hash: last.Hash}
	err := ix.update(last.Height, func(s *state) error {
		for _, h := range hs {
			s.raw(heightKey(keyBlock, h.Height), ix.p.blockRow(h, applied{}))
		}
		s.raw([]byte{keyTip}, next.row())
		return s.err
	})
	if err == nil {
		ix.setTip(next)
	}
	return err
}

// disconnect undoes the tip.
func (ix *Index) disconnect() (names []Name, err error) {
	t := ix.getTip()
	if t.height == 0 || !ix.canUndo(t.height-1) {
		return nil, fmt.Errorf("block %d: %w", t.height, ErrTooDeep)
	}
	prev := tip{height: t.height - 1, floor: t.floor}
	err = ix.update(t.height, func(s *state) error {
		row := s.bytes(heightKey(keyBlock, t.height))
		var h wire.BlockHeader
		if err := h.Deserialize(bytes.NewReader(row)); err != nil {
			return fmt.Errorf("index: header: %w", err)
		}
		prev.hash = h.PrevBlock
		s.applyUndo(t.height)
		s.raw(heightKey(keyBlock, t.height), nil)
		s.raw([]byte{keyTip}, prev.row())
		names = slices.Sorted(maps.Keys(s.changed))
		return s.err
	})
	if err != nil {
		return nil, fmt.Errorf("undo block %d: %w", t.height, err)
	}
	ix.setTip(prev)
	return names, nil
}

// canUndo says if the blocks above a height can be undone.
func (ix *Index) canUndo(height int) bool {
	floor := ix.getTip().floor
	return floor < ix.p.FirstBlock || height >= floor
}

// update runs fn in one transaction and commits it if fn gives no error.
func (ix *Index) update(height int, fn func(s *state) error) error {
	ix.mu.RLock()
	defer ix.mu.RUnlock()
	if ix.db.IsClosed() {
		return errClosed
	}
	return ix.db.Update(func(txn *badger.Txn) error {
		return fn(newState(txn, height))
	})
}

// reopenBigger makes room for larger transactions.
func (ix *Index) reopenBigger() error {
	ix.mu.Lock()
	defer ix.mu.Unlock()
	if ix.dir == "" {
		return badger.ErrTxnTooBig // it would forget everything
	}
	if ix.db.IsClosed() {
		return errClosed
	}
	if err := ix.db.Close(); err != nil {
		return err
	}
	ix.memTable *= 2
	return ix.open()
}

// raw writes a key, or deletes it if value is nil, past the undo.
func (s *state) raw(key, value []byte) {
	if s.err != nil {
		return
	}
	if value == nil {
		s.err = s.txn.Delete(key)
	} else {
		s.err = s.txn.Set(key, value)
	}
}

// undoRows returns the undo records of a block, in order.
func (s *state) undoRows(height int) (keys [][]byte) {
	prefix := heightKey(keyUndo, height)
	s.each(prefix, func(rest string) { keys = append(keys, append(prefix[:len(prefix):len(prefix)], rest...)) })
	return keys
}

// dropUndo forgets how to undo a block.
func (s *state) dropUndo(height int) {
	if height < 0 {
		return
	}
	for _, k := range s.undoRows(height) {
		s.raw(k, nil)
	}
}

// applyUndo puts back what a block changed.
func (s *state) applyUndo(height int) {
	for _, k := range s.undoRows(height) {
		row := s.bytes(k)
		if s.err != nil {
			return
		}
		key, old, err := parseUndo(row)
		if err != nil {
			s.fail(err)
			return
		}
		s.raw(key, old)
		s.raw(k, nil)
		if key[0] == keyName {
			s.changed[Name(key[1:])] = true
		}
	}
}
