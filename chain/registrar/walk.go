package registrar

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/btcsuite/btcd/btcec/v2"
	"github.com/btcsuite/btcd/chainhash/v2"
	"github.com/btcsuite/btcd/wire/v2"

	"satchel/chain"
	"satchel/chain/ops"
)

// errVoid reports a transaction that can't take effect any more: it was mined
// without one, as the consensus hash in it was another chain's, or it is refused,
// as its coins are gone.
var errVoid = errors.New("the transaction came to nothing")

// maxVoid is how many such are taken before the chain is thought to be at odds
// with the rules.
const maxVoid = 5

// walk sends one operation after the other until next has none. next looks at
// the index, which stands at the tip.
func (r *Registrar) walk(ctx context.Context, n chain.Name, key *btcec.PrivateKey, progress func(Step), next func() (*operation, error)) error {
	if !ops.ValidName(string(n)) && !ops.ValidNamespace(string(n)) {
		return fmt.Errorf("%q can't be a name", n) // nor a file's
	}
	for void := 0; ; {
		if err := r.Follower.Sync(ctx); err != nil {
			return err
		}
		o, err := next()
		if err != nil {
			return err
		}
		if o == nil {
			return r.forget(n)
		}
		txid, err := r.send(ctx, n, key, o)
		switch {
		case errors.Is(err, errVoid) && void < maxVoid:
			void++
		case err != nil:
			return fmt.Errorf("%s of %s: %w", o.what, n, err)
		case progress != nil:
			h, _ := r.Index.Tip()
			progress(Step{Op: o.what, Txid: txid, Height: h})
		}
	}
}

// Pauses between looks at the chain while an operation is not confirmed.
const (
	minPause = 250 * time.Millisecond
	maxPause = 30 * time.Second
)

// send sends an operation, the very transaction of an earlier call if there was
// one, and waits until it has taken effect.
func (r *Registrar) send(ctx context.Context, n chain.Name, key *btcec.PrivateKey, o *operation) (chainhash.Hash, error) {
	tx, ok := r.kept(n, o)
	if !ok {
		var err error
		if tx, err = r.build(ctx, key, o); err != nil {
			return chainhash.Hash{}, err
		}
		if err := r.keep(n, o, tx); err != nil {
			return chainhash.Hash{}, err
		}
	}
	txid := tx.TxHash()
	for pause := minPause; ; pause = min(2*pause, maxPause) {
		changed := r.Follower.Changed()
		_, err := r.Chain.Broadcast(ctx, encode(tx))
		refused := rejected(err)
		if err != nil && !refused {
			return txid, err
		}
		if e := r.Follower.Sync(ctx); e != nil {
			return txid, unconfirmed(ctx, txid, e)
		}
		if o.done() {
			return txid, nil
		}
		if refused {
			return txid, errors.Join(fmt.Errorf("%w: %w", errVoid, err), r.forget(n))
		}
		void, err := r.void(ctx, key, txid, o)
		if err != nil {
			return txid, unconfirmed(ctx, txid, err)
		}
		if void {
			return txid, errors.Join(errVoid, r.forget(n))
		}
		select {
		case <-changed:
		case <-time.After(pause):
		case <-ctx.Done():
			return txid, unconfirmed(ctx, txid, ctx.Err())
		}
	}
}

// unconfirmed adds to an error, if it is that ctx ended, what was waited for.
func unconfirmed(ctx context.Context, txid chainhash.Hash, err error) error {
	if ctx.Err() == nil {
		return err
	}
	return fmt.Errorf("transaction %v is sent and not confirmed yet, the same command goes on waiting: %w", txid, err)
}

func rejected(err error) bool {
	var r interface{ Rejected() bool }
	return errors.As(err, &r) && r.Rejected()
}

// void says if a transaction is in a block that the index has read, and did
// nothing there. Each one pays change to its sender: that is how it is found.
func (r *Registrar) void(ctx context.Context, key *btcec.PrivateKey, txid chainhash.Hash, o *operation) (bool, error) {
	coins, err := r.Chain.Unspent(ctx, ScriptOf(key))
	if err != nil {
		return false, err
	}
	for _, c := range coins {
		if c.OutPoint.Hash == txid && c.Height > 0 {
			tip, _ := r.Index.Tip() // before done: what that sees is not older
			return tip >= c.Height && !o.done(), nil
		}
	}
	return false, nil
}

// build makes the operation's transaction; a chain that gives coins away is
// asked for some if the key has too few.
func (r *Registrar) build(ctx context.Context, key *btcec.PrivateKey, o *operation) (*wire.MsgTx, error) {
	p := r.Index.Params()
	h, _ := r.Index.Tip()
	c, err := r.Index.ConsensusHash(max(h, p.FirstBlock-1))
	if err != nil {
		return nil, err
	}
	script, err := ops.Script(p.Magic, o.wire(c))
	if err != nil {
		return nil, err
	}
	outs := append([]*wire.TxOut{wire.NewTxOut(0, script)}, o.outs...)
	tx, err := r.fromCoins(ctx, key, outs, o.change)
	if !errors.Is(err, ErrNoFunds) {
		return tx, err
	}
	addr := ops.Address(ScriptOf(key), p.Chain)
	f, gives := r.Chain.(Funder)
	if !gives {
		return nil, fmt.Errorf("%w: pay some to %s", err, addr)
	}
	want := int64(someCoins)
	for _, o := range outs {
		want += 2 * o.Value
	}
	if _, err := f.Fund(ctx, addr, want); err != nil {
		return nil, fmt.Errorf("coins for %s: %w", addr, err)
	}
	return r.fromCoins(ctx, key, outs, o.change)
}

// someCoins is what a private chain is asked for beyond the need of the moment.
const someCoins = 1_000_000

func (r *Registrar) fromCoins(ctx context.Context, key *btcec.PrivateKey, outs []*wire.TxOut, change int) (*wire.MsgTx, error) {
	coins, err := r.Chain.Unspent(ctx, ScriptOf(key))
	if err != nil {
		return nil, fmt.Errorf("coins of %s: %w", ops.Address(ScriptOf(key), r.Index.Params().Chain), err)
	}
	return Build(key, coins, outs, change)
}
