package registrar

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/btcsuite/btcd/btcec/v2"
	"github.com/btcsuite/btcd/chainhash/v2"
	"github.com/btcsuite/btcd/wire/v2"

	"satchel/chain/bitcoin"
	"satchel/chain/ops"
)

// DefaultMaxFee is what one transaction may leave to miners if nobody says
// otherwise, in satoshi.
const DefaultMaxFee = 100_000

func (t *Terms) maxFee() int64 {
	if t.MaxFee > 0 {
		return t.MaxFee
	}
	return DefaultMaxFee
}

// rate returns what the network asks for in satoshi per 1,000 bytes, or a floor;
// known says that it is no guess.
func (r *Registrar) rate(ctx context.Context) (rate int64, known bool) {
	if f, ok := r.Chain.(bitcoin.FeeEstimator); ok {
		if rate, err := f.FeeRate(ctx, stuckBlocks); err == nil {
			return max(rate, minRate), true
		}
	}
	return FloorRate, false
}

// rebuild makes, signs and keeps a transaction for an operation. It replaces old,
// if that is not nil, with the same coins and a higher fee: of rate, or if that
// is 0 of what the network asks for. Sending it is another round's.
func (r *Registrar) rebuild(ctx context.Context, e *entry, o *operation, coins []bitcoin.Output, old *Tx, key *btcec.PrivateKey, rate int64) (moved bool, err error) {
	if old == nil && o.burnt > 0 && e.paid(o) && !e.agreed && r.Index.Params().Confirmations > 0 {
		return false, fmt.Errorf("%s was paid and came to nothing, as it was mined too late or not followed up in time; the same command pays once more: %w", o.what, ErrSpent)
	}
	if !e.PSBT && (key == nil || string(ScriptOf(key)) != string(e.Owner)) {
		return false, fmt.Errorf("%s signs for it, and its key is not here: %w", r.address(e.Owner), ErrNotOwner)
	}
	t, err := r.newTx(ctx, e, o, coins, old, rate)
	if errors.Is(err, ErrNoFunds) {
		return r.askFunds(ctx, e, coins, err)
	}
	if err != nil {
		return false, err
	}
	if !e.PSBT {
		if err := sign(t.msg, e.Owner, key); err != nil {
			return false, err
		}
		t.Signed, t.Raw = true, encode(t.msg)
	}
	if old != nil && !old.Signed {
		old.Void = true
	}
	e.Txs = append(e.Txs, t)
	if err := r.save(e); err != nil {
		return false, err
	}
	e.agreed, e.funded, e.lost = false, 0, 0
	return true, nil
}

// paid says if an operation was paid for and did nothing that lasted.
func (j *Job) paid(o *operation) bool {
	return slices.ContainsFunc(j.Txs, func(t Tx) bool { return t.is(o) && t.Spent })
}

// newTx makes an operation's unsigned transaction.
func (r *Registrar) newTx(ctx context.Context, e *entry, o *operation, coins []bitcoin.Output, old *Tx, rate int64) (Tx, error) {
	c, at, err := r.quoted()
	if err != nil {
		return Tx{}, err
	}
	script, err := ops.Script(r.Index.Params().Magic, o.wire(c))
	if err != nil {
		return Tx{}, err
	}
	if rate == 0 {
		rate, _ = r.rate(ctx)
	}
	d := draft{script: e.Owner, outs: append([]*wire.TxOut{wire.NewTxOut(0, script)}, o.outs...), change: o.change, rate: rate}
	if d.must, d.over, err = r.conflicts(ctx, e, coins, old); err != nil {
		return Tx{}, err
	}
	d.may, _ = r.free(e, coins, d.must)
	if err := d.fill(); err != nil {
		return Tx{}, err
	}
	if d.fee > e.maxFee() {
		return Tx{}, fmt.Errorf("%w: %d satoshi for %s, and --max-fee is %d", ErrMaxFee, d.fee, o.what, e.maxFee())
	}
	t := Tx{Op: o.what, Arg: o.arg, Raw: encode(d.tx), Fee: d.fee, Burnt: o.burnt, At: at, Best: r.Follower.Status().Best, msg: d.tx}
	if o.quotes {
		t.Quotes = c[:]
	}
	for _, c := range d.coins {
		t.Coins = append(t.Coins, c.Value)
	}
	return t, nil
}

// conflicts returns what a new transaction of the job has to spend: all that old
// spends, and a coin of each other one that may still be mined. So at most one of
// them can be. over is the highest fee among them.
func (r *Registrar) conflicts(ctx context.Context, e *entry, coins []bitcoin.Output, old *Tx) (must []bitcoin.Output, over int64, err error) {
	if old != nil {
		must, over = old.coins(e.Owner), old.Fee
	}
	pending := make(map[chainhash.Hash]bool)
	for i := range e.Txs {
		t := &e.Txs[i]
		at, _, err := r.where(ctx, e, t, coins)
		if err != nil {
			return nil, 0, err
		}
		if at == mined {
			continue
		}
		pending[t.Txid()] = true
		left := slices.DeleteFunc(t.coins(e.Owner), func(c bitcoin.Output) bool {
			return at != pooled && !has(coins, c.OutPoint) ||
				pending[c.OutPoint.Hash] // made by an earlier one, and goes with that
		})
		if t == old || len(left) == 0 {
			continue
		}
		over = max(over, t.Fee)
		if !slices.ContainsFunc(left, func(c bitcoin.Output) bool { return has(must, c.OutPoint) }) {
			must = append(must, left[0])
		}
	}
	return must, over, nil
}

func has(list []bitcoin.Output, o wire.OutPoint) bool {
	return slices.ContainsFunc(list, func(c bitcoin.Output) bool { return c.OutPoint == o })
}

// free returns the coins that an entry may spend beyond those: in blocks that the
// index has, and no other job's. later is the sum of those that it may not spend
// yet.
func (r *Registrar) free(e *entry, coins, must []bitcoin.Output) (free []bitcoin.Output, later int64) {
	tip, _ := r.Index.Tip()
	others := r.open()
	for _, c := range coins {
		switch {
		case has(must, c.OutPoint):
		case c.Height == 0 || c.Height > tip:
			later += c.Value
		case slices.ContainsFunc(others, func(o *entry) bool { return o != e && o.claims(c.OutPoint) }):
			later += c.Value
		default:
			free = append(free, c)
		}
	}
	return free, later
}

// claims says if a coin is one that a job's transactions spend or make.
func (e *entry) claims(o wire.OutPoint) bool {
	return slices.ContainsFunc(e.Txs, func(t Tx) bool { return t.Txid() == o.Hash || t.spends(o) })
}

const (
	// someCoins is what a private chain is asked for beyond the need of the moment.
	someCoins = 1_000_000
	maxFunded = 3
)

// askFunds deals with an owner who has too few coins: a chain that gives coins
// away is asked for some, those that are on their way are waited for.
func (r *Registrar) askFunds(ctx context.Context, e *entry, coins []bitcoin.Output, short error) (moved bool, err error) {
	addr := r.address(e.Owner)
	var n *noFunds
	if !errors.As(short, &n) {
		return false, short
	}
	if f, gives := r.Chain.(Funder); gives && e.funded < maxFunded {
		e.funded++
		_, err := f.Fund(ctx, addr, n.need-n.have+someCoins)
		if err == nil {
			return true, nil
		}
		if !errors.Is(err, errors.ErrUnsupported) {
			return false, fmt.Errorf("coins for %s: %w", addr, err)
		}
	}
	if _, later := r.free(e, coins, nil); later > 0 && n.have+later >= n.need {
		e.State = fmt.Sprintf("waits for coins of %s that are not confirmed yet or another job's", addr)
		return false, nil
	}
	return false, fmt.Errorf("%w: pay %d satoshi or more to %s", short, n.need-n.have, addr)
}
