package chain

import (
	"context"
	"fmt"

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
		b, err := w.next()
		if err != nil || b == nil {
			return err
		}
		if err := f.apply(b, m); err != nil {
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

func (f *Follower) apply(b *fetched, m *move) error {
	a, err := f.index.connect(b.header, b.txs)
	if err == nil {
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
	height, hash := f.index.Tip()
	if f.headers.OnBest(hash) {
		return nil
	}
	fork := f.headers.Fork(hash)
	from := max(fork+1, f.index.p.FirstBlock)
	ahead, err := f.fetchAll(ctx, from, min(f.target(), height+1, fork+firstAhead))
	if err != nil {
		return fmt.Errorf("reorganisation at block %d: %w", fork+1, err)
	}
	if err := f.undo(height, fork, m); err != nil {
		return err
	}
	for _, b := range ahead {
		if at, _ := f.index.Tip(); at+1 != b.header.Height {
			return nil // there are blocks to skip, or the index begins anew
		}
		if err := f.apply(b, m); err != nil {
			return err
		}
	}
	return nil
}

// fetchAll fetches a few blocks.
func (f *Follower) fetchAll(ctx context.Context, from, to int) (blocks []*fetched, err error) {
	w := f.window(ctx, from, to)
	defer w.stop()
	for {
		b, err := w.next()
		if err != nil || b == nil {
			return blocks, err
		}
		blocks = append(blocks, b)
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
