package registrar

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/btcsuite/btcd/btcec/v2"
)

// roundTime bounds one round, so that a source which doesn't answer holds up
// nobody for ever.
const roundTime = 30 * time.Minute

// advance takes a job as far as it goes now: a round. moved says that another
// one may bring it further at once.
func (r *Registrar) advance(ctx context.Context, e *entry, key *btcec.PrivateKey) (moved bool, err error) {
	give, err := r.take(ctx)
	if err != nil {
		return false, err
	}
	defer give()
	if e.ended {
		return false, nil
	}
	ctx, cancel := context.WithTimeout(ctx, roundTime)
	defer cancel()
	e.State = ""
	moved, err = r.round(ctx, e, key)
	if !e.ended {
		e.Problem = ""
		if err != nil && !errors.Is(err, ErrUnsigned) && ctx.Err() == nil {
			e.Problem = err.Error()
		}
		e.publish()
	}
	return moved, err
}

func (r *Registrar) round(ctx context.Context, e *entry, key *btcec.PrivateKey) (moved bool, err error) {
	if err := r.Follower.Sync(ctx); err != nil {
		return false, err
	}
	if first := r.ahead(e); first != nil {
		e.State = fmt.Sprintf("waits for job %d, %s of %s", first.ID, first.Op, first.Subject)
		return false, nil
	}
	plan, err := r.plan(&e.Goal)
	if e.refused = refusal(err); err != nil {
		return false, err
	}
	moved, err = r.mark(ctx, e, plan)
	switch {
	case err != nil:
		return false, err
	case len(plan) == 0:
		return true, r.end(e, stateDone)
	case moved:
		return true, nil // who watches hears of the step first
	}
	return r.push(ctx, e, plan[0], key)
}

// refusal says if an error of plan is that the index has it otherwise.
func refusal(err error) bool {
	return slices.ContainsFunc([]error{ErrTaken, ErrNotOwner, ErrQuota, ErrNotOpen, os.ErrNotExist}, func(e error) bool { return errors.Is(err, e) })
}

// mark notes which transactions have taken effect: those whose operation isn't
// missing any more. A reorganisation can take that back.
func (r *Registrar) mark(ctx context.Context, e *entry, plan []*operation) (moved bool, err error) {
	missing := func(t *Tx) bool {
		return slices.ContainsFunc(plan, func(o *operation) bool { return t.is(o) })
	}
	changed := false
	for i := range e.Txs {
		t := &e.Txs[i]
		if t.Done && missing(t) {
			t.Done, changed = false, true
		}
		if t.Done || t.Void || missing(t) {
			continue
		}
		if t != e.newest(t) {
			continue // one that was replaced: told once
		}
		if err := r.step(ctx, e, t); err != nil {
			return false, err
		}
		changed, moved = true, true
	}
	if changed {
		err = r.save(e)
	}
	return moved, err
}

// is says if a transaction is an operation's.
func (t *Tx) is(o *operation) bool { return t.Op == o.what && t.Arg == o.arg }

// newest returns the last transaction of the same operation that is still sent.
func (j *Job) newest(like *Tx) (found *Tx) {
	for i := range j.Txs {
		if t := &j.Txs[i]; t.Op == like.Op && t.Arg == like.Arg && !t.Void {
			found = t
		}
	}
	return found
}

// step notes that an operation has taken effect, by a transaction or by one that
// it replaced.
func (r *Registrar) step(ctx context.Context, e *entry, last *Tx) error {
	coins, err := r.Chain.Unspent(ctx, e.Owner)
	if err != nil {
		return r.coinsError(e, err)
	}
	by := last
	for i := range e.Txs {
		t := &e.Txs[i]
		if t.Op != last.Op || t.Arg != last.Arg {
			continue
		}
		if at, _ := t.where(coins); at == mined && t.Signed && !t.Done {
			by = t
		}
		t.Done = true
	}
	h, _ := r.Index.Tip()
	e.Steps = append(e.Steps, Step{Op: by.Op, Txid: by.Txid(), Height: h})
	e.voided, e.lost = 0, 0
	return nil
}

func (r *Registrar) coinsError(e *entry, err error) error {
	return fmt.Errorf("coins of %s: %w", r.address(e.Owner), err)
}

// push sends an operation: the transaction that was kept for it, if it can still
// take effect, else another one.
func (r *Registrar) push(ctx context.Context, e *entry, o *operation, key *btcec.PrivateKey) (moved bool, err error) {
	coins, err := r.Chain.Unspent(ctx, e.Owner)
	if err != nil {
		return false, r.coinsError(e, err)
	}
	// The index is looked at after the coins, so that a block with the transaction
	// is not taken for one in which it did nothing.
	if err := r.Follower.Sync(ctx); err != nil {
		return false, err
	}
	t := e.newest(&Tx{Op: o.what, Arg: o.arg})
	if t != nil && !t.Signed && !e.PSBT {
		t.Void, t = true, nil // it was to be signed elsewhere, and now isn't
	}
	if t == nil {
		if o.done() {
			return true, nil
		}
		return r.rebuild(ctx, e, o, coins, nil, key, 0)
	}
	at, height, err := r.where(ctx, e, t, coins)
	if err != nil {
		return false, err
	}
	tip, _ := r.Index.Tip()
	if o.done() {
		return true, nil // the index was a block behind that
	}
	switch {
	case at == mined && height > tip:
		e.State = fmt.Sprintf("%s is in block %d and waits for confirmations: %v", o.what, height, t.Txid())
		return false, nil
	case at == mined:
		return r.void(e, t)
	case at == gone && t.Signed:
		return r.resend(ctx, e, t)
	case at == gone:
		return r.gone(e, t, errors.New("its coins are spent"))
	case r.stale(t, o):
		return r.rebuild(ctx, e, o, coins, t, key, 0)
	case !t.Signed:
		e.State = fmt.Sprintf("%s waits to be signed", o.what)
		return false, ErrUnsigned
	}
	if more := r.stuck(ctx, e, t); more > 0 {
		return r.rebuild(ctx, e, o, coins, t, key, more)
	}
	return r.send(ctx, e, o, t, key)
}

// void gives up a transaction that was mined and did nothing, as the consensus
// hash in it was another chain's or too old.
func (r *Registrar) void(e *entry, t *Tx) (moved bool, err error) {
	t.Void, t.Spent = true, true
	if err := r.save(e); err != nil {
		return false, err
	}
	if e.voided++; e.voided > maxVoid {
		e.voided = 0
		return false, fmt.Errorf("%w: %v, and %d before it", ErrSpent, t.Txid(), maxVoid)
	}
	return true, nil
}

// maxVoid is how many transactions in a row may do nothing before the chain is
// thought to be at odds with the rules.
const maxVoid = 5

// gone deals with a transaction whose coins are not there: spent by another one,
// or undone by a reorganisation. After as many blocks as the index waits for, it
// is given up.
func (r *Registrar) gone(e *entry, t *Tx, why error) (moved bool, err error) {
	best := r.Follower.Status().Best
	if e.lost == 0 || e.lost > best {
		e.lost = best
	}
	if best < e.lost+r.Index.Params().Confirmations {
		e.State = fmt.Sprintf("coins of %v are gone (%v); waits until that is sure", t.Txid(), why)
		return false, nil
	}
	t.Void = true
	if err := r.save(e); err != nil {
		return false, err
	}
	e.lost = 0
	if e.voided++; e.voided > maxVoid {
		e.voided = 0 // whoever comes again may try again
		return false, fmt.Errorf("%d transactions in a row can't be mined: %w", maxVoid+1, why)
	}
	return true, nil
}

// resend sends a transaction that nobody knows and whose coins are gone, to learn
// whether that is so.
func (r *Registrar) resend(ctx context.Context, e *entry, t *Tx) (moved bool, err error) {
	_, err = r.Chain.Broadcast(ctx, t.Raw)
	if err != nil && !rejected(err) {
		return false, err
	}
	if err != nil {
		return r.gone(e, t, err)
	}
	e.sent(t)
	return false, nil
}

// margin is how many blocks before the end of its consensus hash a transaction
// is replaced.
func (r *Registrar) margin() int {
	if r.Index.Params().Confirmations == 0 {
		return 1
	}
	return 4
}

// stale says if the consensus hash that a transaction quotes is of another chain
// than the index's, or will soon be too old to be mined with.
func (r *Registrar) stale(t *Tx, o *operation) bool {
	if !o.quotes {
		return false
	}
	c, err := r.Index.ConsensusHash(t.At)
	if err != nil || string(c[:]) != string(t.Quotes) {
		return true
	}
	return r.Follower.Status().Best+r.margin() > t.At+r.Index.Params().Window
}

// stuckBlocks is after how many blocks a transaction that is in none gets a
// higher fee, if the network asks for one.
const stuckBlocks = 6

// stuck returns the fee rate that a transaction should be sent with instead of
// its own; 0 if it is well as it is.
func (r *Registrar) stuck(ctx context.Context, e *entry, t *Tx) (rate int64) {
	if r.Follower.Status().Best < t.Best+stuckBlocks {
		return 0
	}
	has := t.rate()
	want, known := r.rate(ctx)
	if !known {
		want = has * 3 / 2
	}
	if want < has*5/4 || int64(t.msg.SerializeSize())*want/1000 > e.maxFee() {
		return 0 // it waits: it may come into a block yet
	}
	return want
}

// rate is what a transaction pays in satoshi per 1,000 bytes.
func (t *Tx) rate() int64 { return t.Fee * 1000 / int64(t.msg.SerializeSize()) }

// send sends a transaction, and looks at what it did.
func (r *Registrar) send(ctx context.Context, e *entry, o *operation, t *Tx, key *btcec.PrivateKey) (moved bool, err error) {
	_, err = r.Chain.Broadcast(ctx, t.Raw)
	refused := rejected(err)
	if err != nil && !refused {
		return false, err
	}
	if e := r.Follower.Sync(ctx); e != nil {
		return false, e
	}
	if o.done() {
		return true, nil
	}
	if !refused {
		e.sent(t)
		return r.mined(ctx, e, t)
	}
	return r.refused(ctx, e, o, t, key, err)
}

// sent notes that the chain has a transaction.
func (e *entry) sent(t *Tx) {
	e.lost = 0
	e.State = fmt.Sprintf("%s is sent and waits for a block: %v", t.Op, t.Txid())
}

// mined says if another round is worth while: the transaction is in a block that
// the index has.
func (r *Registrar) mined(ctx context.Context, e *entry, t *Tx) (bool, error) {
	coins, err := r.Chain.Unspent(ctx, e.Owner)
	if err != nil {
		return false, r.coinsError(e, err)
	}
	at, height := t.where(coins)
	tip, _ := r.Index.Tip()
	return at == mined && height <= tip, nil
}

// refused deals with a transaction that the chain doesn't take.
func (r *Registrar) refused(ctx context.Context, e *entry, o *operation, t *Tx, key *btcec.PrivateKey, why error) (moved bool, err error) {
	coins, err := r.Chain.Unspent(ctx, e.Owner)
	if err != nil {
		return false, r.coinsError(e, err)
	}
	at, _, err := r.where(ctx, e, t, coins)
	switch {
	case err != nil:
		return false, err
	case at == mined, at == pooled:
		e.sent(t) // earlier
		return false, nil
	case at == gone:
		return r.gone(e, t, why)
	}
	if !strings.Contains(strings.ToLower(why.Error()), "fee") {
		return false, why
	}
	moved, err = r.rebuild(ctx, e, o, coins, t, key, t.rate()*3/2)
	if errors.Is(err, ErrMaxFee) || errors.Is(err, ErrNoFunds) {
		err = fmt.Errorf("%w; and %w", why, err)
	}
	return moved, err
}

func rejected(err error) bool {
	var r interface{ Rejected() bool }
	return errors.As(err, &r) && r.Rejected()
}

// quoted returns the newest consensus hash and its height.
func (r *Registrar) quoted() (c [16]byte, height int, err error) {
	p := r.Index.Params()
	height, _ = r.Index.Tip()
	height = max(height, p.FirstBlock-1)
	c, err = r.Index.ConsensusHash(height)
	return c, height, err
}
