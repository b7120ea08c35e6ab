package chain

import (
	"context"
	"errors"
	"fmt"

	"github.com/btcsuite/btcd/wire/v2"

	"satchel/chain/bitcoin"
	"satchel/chain/ops"
)

// target is the height up to which blocks are applied.
func (f *Follower) target() int {
	return f.headers.Best().Height - f.index.p.Confirmations
}

// step applies the next block of the best chain; more is false at the tip.
func (f *Follower) step(ctx context.Context, m *move) (more bool, err error) {
	height, _ := f.index.Tip()
	if height >= f.target() {
		return false, nil
	}
	if height+1 < f.index.p.FirstBlock {
		return true, f.skip(height+1, m)
	}
	b, err := f.fetch(ctx, height+1)
	if err != nil {
		return false, err
	}
	return true, f.apply(b, m)
}

// skip moves the index over blocks that are not read.
func (f *Follower) skip(from int, m *move) error {
	var hs []bitcoin.Header
	for h := from; h <= f.target() && h < f.index.p.FirstBlock && len(hs) < bitcoin.MaxHeaders; h++ {
		next, _ := f.headers.At(h)
		hs = append(hs, next)
	}
	m.add(nil)
	return f.index.connectHeaders(hs)
}

// fetched is a verified block's operations with their senders.
type fetched struct {
	header bitcoin.Header
	txs    []*ops.Tx
}

// fetch gets the block at a height of the best chain and verifies it.
func (f *Follower) fetch(ctx context.Context, height int) (*fetched, error) {
	h, ok := f.headers.At(height)
	if !ok {
		return nil, fmt.Errorf("block %d: no header", height)
	}
	raw, err := f.askBlock(ctx, h)
	if err != nil {
		return nil, fmt.Errorf("block %d: %w", height, err)
	}
	b, err := bitcoin.Verify(h, raw)
	if err != nil {
		return nil, fmt.Errorf("the source of blocks is broken or lies: %w", err)
	}
	txs, err := f.operations(ctx, b)
	if err != nil {
		return nil, fmt.Errorf("block %d: %w", height, err)
	}
	return &fetched{h, txs}, nil
}

func (f *Follower) askBlock(ctx context.Context, h bitcoin.Header) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, askTime)
	defer cancel()
	return f.src.Block(ctx, h.Hash)
}

// operations returns the operations in a block with their senders.
func (f *Follower) operations(ctx context.Context, b *bitcoin.Block) (txs []*ops.Tx, err error) {
	err = b.Returns(func(index int, tx *wire.MsgTx) error {
		t, ok := ops.Read(f.index.p.Magic, tx)
		if !ok {
			return nil
		}
		out, err := f.spent(ctx, b, tx.TxIn[0].PreviousOutPoint)
		if err != nil {
			return fmt.Errorf("sender of %v: %w", t.Txid, err)
		}
		t.Index = index
		t.SetSender(out.PkScript)
		txs = append(txs, t)
		return nil
	})
	return txs, err
}

// spent returns the output that an input spends: from the same block, or from
// a transaction of the source whose hash is the one that the input names.
func (f *Follower) spent(ctx context.Context, b *bitcoin.Block, op wire.OutPoint) (*wire.TxOut, error) {
	if raw, ok := b.Tx(op.Hash); ok {
		return bitcoin.OutputOf(raw, op)
	}
	ctx, cancel := context.WithTimeout(ctx, askTime)
	defer cancel()
	out, err := bitcoin.Spent(ctx, f.prev, op)
	if errors.Is(err, bitcoin.ErrBadTx) {
		err = fmt.Errorf("the source of blocks is broken or lies: %w", err)
	}
	return out, err
}

func (f *Follower) apply(b *fetched, m *move) error {
	a, err := f.index.connect(b.header, b.txs)
	if err == nil {
		m.add(a.names)
	}
	return err
}

// maxAhead is how many blocks of a new chain are held in memory before the old
// one is left.
const maxAhead = 12

// leaveFork undoes blocks until the index's tip is on the best chain, if it has
// left it, and applies as many blocks of that. Those are fetched and verified
// first, so that a source which has the headers of a heavier chain and not its
// blocks changes nothing.
func (f *Follower) leaveFork(ctx context.Context, m *move) error {
	height, hash := f.index.Tip()
	if f.headers.OnBest(hash) {
		return nil
	}
	fork := f.headers.Fork(hash)
	var ahead []*fetched
	for h := fork + 1; h <= min(f.target(), height+1, fork+maxAhead); h++ {
		if h < f.index.p.FirstBlock {
			continue
		}
		b, err := f.fetch(ctx, h)
		if err != nil {
			return fmt.Errorf("reorganisation at block %d: %w", fork+1, err)
		}
		ahead = append(ahead, b)
	}
	if err := f.undo(height, fork, m); err != nil {
		return err
	}
	for _, b := range ahead {
		if at, _ := f.index.Tip(); at+1 != b.header.Height {
			return nil // the rules' first block lies above: step goes on
		}
		if err := f.apply(b, m); err != nil {
			return err
		}
	}
	return nil
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
