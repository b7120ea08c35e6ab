package chain

import (
	"context"
	"errors"
	"fmt"
	"sort"

	"github.com/btcsuite/btcd/chainhash/v2"

	"satchel/chain/bitcoin"
)

// target is the height up to which blocks are applied.
func (f *Follower) target() int {
	return f.headers.Best().Height - f.index.p.Confirmations
}

// catchUp applies the blocks of the best chain up to the target. Headers stand
// still meanwhile, so what was fetched ahead stays on the best chain.
func (f *Follower) catchUp(ctx context.Context, m *move) error {
	if err := f.skip(m); err != nil {
		return err
	}
	height, _ := f.index.Tip()
	if height >= f.target() {
		return nil
	}
	w := f.window(ctx, height+1, f.target())
	defer w.stop()
	for {
		blocks, err := w.take()
		if e := f.apply(blocks, m); e != nil {
			return e
		}
		if err != nil || len(blocks) == 0 {
			return err
		}
		if m.blocks >= tellBlocks {
			f.tell(m)
		}
	}
}

// skip moves the index over the blocks that are not read.
func (f *Follower) skip(m *move) error {
	for {
		height, _ := f.index.Tip()
		var hs []bitcoin.Header
		for h := height + 1; h <= f.target() && h < f.index.p.FirstBlock && len(hs) < bitcoin.MaxHeaders; h++ {
			next, _ := f.headers.At(h)
			hs = append(hs, next)
		}
		if len(hs) == 0 {
			return nil
		}
		if err := f.index.connectHeaders(hs); err != nil {
			return err
		}
		m.add(nil)
	}
}

// apply applies blocks that follow the index's tip.
func (f *Follower) apply(blocks []*fetched, m *move) error {
	done, err := f.index.connectBatch(blocks, f.headers.Best().Height)
	for _, a := range done {
		m.add(a.names)
	}
	return err
}

// firstAhead is how many blocks of a new chain are fetched before the old one
// is left.
const firstAhead = 12

// leaveFork undoes blocks until the index's tip is on the best chain, if it has
// left it, and applies as many blocks of that. The first of those are fetched
// and verified before, so that a source which has the headers of a heavier chain
// and not its blocks changes nothing.
func (f *Follower) leaveFork(ctx context.Context, m *move) error {
	height, _ := f.index.Tip()
	fork, err := f.fork()
	if err != nil || fork == height {
		return err
	}
	from := max(fork+1, f.index.p.FirstBlock)
	ahead, err := f.fetchAll(ctx, from, min(f.target(), height+1, fork+firstAhead))
	if err != nil {
		return fmt.Errorf("reorganisation at block %d: %w", fork+1, err)
	}
	if err := f.undo(height, fork, m); err != nil {
		return err
	}
	if at, _ := f.index.Tip(); len(ahead) == 0 || at+1 != ahead[0].header.Height {
		return nil // there are blocks to skip, or the index begins anew
	}
	return f.apply(ahead, m)
}

// fork returns the height of the last block of the index that is on the best
// chain. It asks the index itself: Headers may have forgotten a branch that the
// index is on.
func (f *Follower) fork() (int, error) {
	height, hash := f.index.Tip()
	if h, ok := f.headers.At(height); ok && h.Hash == hash {
		return height, nil
	}
	var failed error
	left := sort.Search(height, func(i int) bool {
		h, ok := f.headers.At(i + 1)
		own, err := f.index.hash(i + 1)
		failed = errors.Join(failed, err)
		return !ok || own != h.Hash
	})
	return left, failed
}

// hash returns the hash of the block at a height from 1 to the tip.
func (ix *Index) hash(height int) (h chainhash.Hash, err error) {
	err = ix.view(func(s *state) error {
		row := s.bytes(heightKey(keyBlock, height))
		if s.err == nil && len(row) < headerRow {
			return fmt.Errorf("index: no header at height %d", height)
		}
		if s.err == nil {
			h = chainhash.DoubleHashH(row[:headerRow])
		}
		return s.err
	})
	return h, err
}

// fetchAll fetches a few blocks.
func (f *Follower) fetchAll(ctx context.Context, from, to int) (blocks []*fetched, err error) {
	w := f.window(ctx, from, to)
	defer w.stop()
	for {
		more, err := w.take()
		if err != nil || len(more) == 0 {
			return blocks, err
		}
		blocks = append(blocks, more...)
	}
}

// undo takes the index from height back to the block at fork, or to the
// beginning if that is too deep.
func (f *Follower) undo(height, fork int, m *move) error {
	f.o.Log.Warn("the chain was reorganised", "from", fork+1, "undone", height-fork)
	f.mu.Lock()
	f.status.Reorgs++
	f.mu.Unlock()
	m.reorg = true
	if !f.index.canUndo(fork) {
		f.o.Log.Warn("the reorganisation is too deep to undo: making the index of names anew")
		names, err := f.index.restart()
		m.add(names)
		return err
	}
	for ; height > fork; height-- {
		names, err := f.index.disconnect()
		if err != nil {
			return err
		}
		m.add(names)
	}
	return nil
}
