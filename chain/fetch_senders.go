package chain

import (
	"context"
	"fmt"

	"github.com/btcsuite/btcd/chainhash/v2"
	"github.com/btcsuite/btcd/wire/v2"
	"golang.org/x/sync/errgroup"

	"satchel/chain/bitcoin"
	"satchel/chain/ops"
)

// opWeight is about what an operation takes besides its transaction.
const opWeight = 1000

// operations finds the operations in a block and their senders.
func (f *Follower) operations(ctx context.Context, b *bitcoin.Block, to *fetched) (weight int, err error) {
	var spent []wire.OutPoint
	err = b.Returns(func(index int, tx *wire.MsgTx) error {
		if t, ok := ops.Read(f.index.p.Magic, tx); ok {
			t.Index = index
			to.txs = append(to.txs, t)
			spent = append(spent, tx.TxIn[0].PreviousOutPoint)
			weight += opWeight + tx.SerializeSize()
		}
		return nil
	})
	if err != nil || len(spent) == 0 {
		return weight, err
	}
	outs, err := f.outputs(ctx, b, spent)
	if err != nil {
		return weight, fmt.Errorf("sender of an operation: %w", err)
	}
	for i, t := range to.txs {
		t.SetSender(outs[i].PkScript)
	}
	return weight, nil
}

// outputs returns the outputs that inputs spend: of transactions of the same
// block, or of the source, whose hashes are those that the inputs name.
func (f *Follower) outputs(ctx context.Context, b *bitcoin.Block, spent []wire.OutPoint) ([]*wire.TxOut, error) {
	outs, users, txs := make([]*wire.TxOut, len(spent)), make(map[chainhash.Hash][]int), make(map[chainhash.Hash][]byte)
	for i, op := range spent {
		users[op.Hash], txs[op.Hash] = append(users[op.Hash], i), nil
	}
	take := func(id chainhash.Hash, raw []byte) error {
		indexes := make([]uint32, len(users[id]))
		for n, i := range users[id] {
			indexes[n] = spent[i].Index
		}
		found, err := bitcoin.OutputsOf(raw, id, indexes)
		if err != nil {
			return fmt.Errorf("the source of blocks is broken or lies: %w", err)
		}
		for n, i := range users[id] {
			outs[i] = found[n]
		}
		return nil
	}
	b.Find(txs)
	var missing []chainhash.Hash
	for id, raw := range txs {
		if raw == nil {
			missing = append(missing, id)
		} else if err := take(id, raw); err != nil {
			return nil, err
		}
	}
	return outs, f.prevTxs(ctx, missing, take)
}

// prevTxs gets transactions from the source, several at a time, and gives each
// to take, which is called by several goroutines.
func (f *Follower) prevTxs(ctx context.Context, ids []chainhash.Hash, take func(chainhash.Hash, []byte) error) error {
	queue := make(chan chainhash.Hash, len(ids))
	for _, id := range ids {
		queue <- id
	}
	close(queue)
	g, ctx := errgroup.WithContext(ctx)
	for range min(len(ids), f.o.Requests) {
		g.Go(func() error {
			a, err := f.asker(ctx)
			if err != nil {
				return err
			}
			defer a.stop()
			for id := range queue {
				raw, err := answer(a, func(ctx context.Context) ([]byte, error) { return f.prev.PrevTx(ctx, id) })
				if err != nil {
					return fmt.Errorf("previous transaction %v: %w", id, err)
				}
				if err := take(id, raw); err != nil {
					return err
				}
			}
			return nil
		})
	}
	return g.Wait()
}
