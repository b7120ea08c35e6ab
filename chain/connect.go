package chain

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/dgraph-io/badger/v4"

	"satchel/chain/bitcoin"
)

// applied is what a block did.
type applied struct {
	names     []Name
	records   []string // serialised accepted operations, in order, "" for others
	opsHash   [32]byte
	consensus [16]byte
}

// connectBatch applies blocks that follow the tip, many in one transaction, but
// each whole or not at all, in order: whenever the process or the machine dies,
// the index is that of one of them. best is the height of the best header
// known: blocks more than UndoBlocks below it are not made to be undone. It
// returns what the blocks did that were applied, but for their records; those
// are the first ones if there is an error.
func (ix *Index) connectBatch(blocks []*fetched, best int) (done []applied, err error) {
	for len(done) < len(blocks) && err == nil {
		var some []applied
		some, err = ix.connectSome(blocks[len(done):], best)
		done = append(done, some...)
	}
	return done, err
}

// connectSome applies one block or more, or none with an error.
func (ix *Index) connectSome(blocks []*fetched, best int) (done []applied, err error) {
	done, err = ix.tryConnect(blocks, best)
	for len(done) == 0 && errors.Is(err, badger.ErrTxnTooBig) {
		if len(blocks) == 1 {
			if err := ix.reopenBigger(); err != nil {
				return nil, fmt.Errorf("block %d: %w", blocks[0].header.Height, err)
			}
		}
		blocks = blocks[:1] // of several one was too much: more at a time again later
		done, err = ix.tryConnect(blocks, best)
	}
	if u := (*unexpected)(nil); len(done) == 0 && errors.As(err, &u) && u.at > 0 {
		done, err = ix.tryConnect(blocks[:u.at], best) // those before it are as expected
	}
	if len(done) > 0 {
		return done, nil // what went wrong after them goes wrong again
	}
	return nil, err
}

// A transaction takes no further block when it has so many bytes or Index.batchRows
// rows, about half of what Badger takes in one, or when what was read for it takes
// Index.batchHeld bytes of memory.
const (
	batchRows  = 10000
	batchBytes = 1 << 20
	batchHeld  = 16 << 20
)

// tryConnect applies blocks in one transaction after the other. While one is
// being committed the next is prepared; it reads what was before both, and above
// that what the first changed. None is committed before the one before it is on
// the disk. It returns what the blocks did of which the transactions succeeded.
func (ix *Index) tryConnect(blocks []*fetched, best int) (done []applied, err error) {
	ix.mu.RLock()
	defer ix.mu.RUnlock()
	if ix.db.IsClosed() {
		return nil, errClosed
	}
	txn := ix.db.NewTransaction(true)
	defer func() { txn.Discard() }()
	s, t := newState(txn, &ix.hashes), ix.getTip()
	var flying *committing
	for {
		var some []applied
		if some, t, err = ix.connectOnto(s, t, blocks, best); err != nil {
			break
		}
		if err := flying.land(ix, &done); err != nil {
			return done, err
		}
		blocks = blocks[len(some):]
		if len(blocks) == 0 {
			flying = ix.commitAsync(txn, t, some)
			break
		}
		next := ix.db.NewTransaction(true) // once the other is being committed it would wait for that
		flying = ix.commitAsync(txn, t, some)
		txn, s = next, s.above(next)
	}
	if e := flying.land(ix, &done); e != nil {
		err = e
	}
	return done, ix.advise(err)
}

// connectOnto writes as many blocks as fit into the transaction of s, and
// returns the tip after them.
func (ix *Index) connectOnto(s *state, t tip, blocks []*fetched, best int) (done []applied, _ tip, err error) {
	for _, b := range blocks {
		if err := t.precedes(b.header); err != nil {
			return nil, t, err
		}
		s.begin(b.header.Height, b.header.Height > best-UndoBlocks)
		a := s.apply(ix.p, b)
		if s.err != nil {
			return nil, t, fmt.Errorf("block %d: %w", b.header.Height, s.err)
		}
		if err := ix.checkExpected(b.header.Height, a.consensus, len(done)); err != nil {
			return nil, t, err
		}
		t = s.raise(ix.p, t, b.header)
		if len(blocks) > 1 {
			a.records = nil // of many blocks they are long
		}
		if done = append(done, a); s.rows > ix.batchRows || s.size > batchBytes || s.held > ix.batchHeld {
			break
		}
	}
	s.flush()
	s.raw([]byte{keyTip}, t.row())
	return done, t, s.err
}

// committing is a transaction on its way to the disk; nil is none.
type committing struct {
	tip    tip
	done   []applied
	result chan error
}

func (ix *Index) commitAsync(txn *badger.Txn, t tip, done []applied) *committing {
	c := &committing{t, done, make(chan error, 1)}
	go func() {
		err := ix.commit(txn)
		txn.Discard()
		c.result <- err
	}()
	return c
}

// land waits for the transaction and, if it succeeded, adds what its blocks did to
// done.
func (c *committing) land(ix *Index, done *[]applied) error {
	if c == nil {
		return nil
	}
	if err := ix.settle(c.tip, <-c.result); err != nil {
		return err
	}
	*done = append(*done, c.done...)
	return nil
}

// precedes says if a block follows the tip.
func (t tip) precedes(h bitcoin.Header) error {
	if h.Height != t.height+1 || h.PrevBlock != t.hash {
		return fmt.Errorf("block %d (%v) does not follow the index's tip %d (%v)", h.Height, h.Hash, t.height, t.hash)
	}
	return nil
}

// apply applies a block's operations and writes its rows.
func (s *state) apply(p *Params, b *fetched) (a applied) {
	h := b.header.Height
	if h >= p.FirstBlock {
		a.records = applyBlock(p, s, b.txs)
		a.opsHash = opsHash(slices.DeleteFunc(slices.Clone(a.records), func(r string) bool { return r == "" }))
		a.consensus = consensusHash(a.opsHash, s.earlier(p.FirstBlock))
		s.hashes.put(h, a.consensus)
		s.raw(append([]byte{keyConsensus}, a.consensus[:]...), heightKey(keyConsensus, h)[1:])
		s.writeOps(p, b.txs, a.records)
	}
	a.names = slices.Sorted(maps.Keys(s.changed))
	s.raw(heightKey(keyBlock, h), p.blockRow(b.header, a))
	s.writeUndo()
	return a
}

// raise returns the tip after a block was applied, and forgets the undo of those
// that can't be undone any more.
func (s *state) raise(p *Params, t tip, h bitcoin.Header) tip {
	next := tip{height: h.Height, hash: h.Hash, floor: max(t.floor, h.Height-UndoBlocks, p.FirstBlock-1)}
	if !s.undoing {
		next.floor = h.Height
	}
	for height := max(t.floor+1, p.FirstBlock); height <= next.floor; height++ {
		s.dropUndo(height)
	}
	return next
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
	if err := ix.getTip().precedes(hs[0]); err != nil {
		return err
	}
	last := hs[len(hs)-1]
	return ix.update(func(s *state) tip {
		for _, h := range hs {
			s.raw(heightKey(keyBlock, h.Height), ix.p.blockRow(h, applied{}))
		}
		return tip{height: last.Height, hash: last.Hash}
	})
}

// update moves the tip to where fn says, in one transaction with what fn writes.
func (ix *Index) update(fn func(s *state) tip) error {
	ix.mu.RLock()
	defer ix.mu.RUnlock()
	if ix.db.IsClosed() {
		return errClosed
	}
	txn := ix.db.NewTransaction(true)
	defer txn.Discard()
	s := newState(txn, &ix.hashes)
	next := fn(s)
	s.raw([]byte{keyTip}, next.row())
	if s.err != nil {
		return ix.advise(s.err)
	}
	return ix.settle(next, ix.commit(txn))
}

// settle moves the tip to where a commit leads that gave an error or none. One that
// gave an error may have happened: Badger writes first and syncs then.
func (ix *Index) settle(next tip, err error) error {
	if err != nil && !ix.at(next) {
		return err
	}
	ix.setTip(next)
	return nil
}

// at says if the table is that of a tip.
func (ix *Index) at(t tip) (is bool) {
	err := ix.db.View(func(txn *badger.Txn) error {
		item, err := txn.Get([]byte{keyTip})
		if err != nil {
			return err
		}
		return item.Value(func(row []byte) error {
			is = bytes.Equal(row, t.row())
			return nil
		})
	})
	return is && err == nil
}
