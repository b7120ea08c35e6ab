// Package registrar walks a name through its transactions: it builds, signs and
// sends each operation, waits until the follower has seen it take effect, and
// goes on from there. It can be stopped anywhere: what has been done is read from
// the chain, and the one thing that the chain does not say, a transaction that
// was sent and is not mined, is kept in a file.
//
// A file DIR/NAME.json holds the last transaction sent for a name: {"op": ":",
// "tx": hex}. It is written before the transaction is sent; sending the same
// bytes again is harmless, so nothing is paid twice.
package registrar

import (
	"bytes"
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/btcsuite/btcd/btcec/v2"
	"github.com/btcsuite/btcd/chainhash/v2"
	"github.com/btcsuite/btcd/wire/v2"

	"satchel/chain"
	"satchel/chain/bitcoin"
	"satchel/chain/ops"
	"satchel/chain/zonefile"
)

var (
	// ErrTaken reports a name that somebody else has registered.
	ErrTaken = errors.New("name is taken")
	// ErrNotOwner reports an operation on a name that the key doesn't own.
	ErrNotOwner = errors.New("name belongs to another key")
)

// A Chain sends transactions and finds coins.
type Chain interface {
	bitcoin.Broadcaster
	bitcoin.Unspenter
}

// A Funder pays an address from coins of its own: the private chain does.
type Funder interface {
	Fund(ctx context.Context, address string, satoshi int64) (chainhash.Hash, error)
}

// A Step is one operation that has taken effect.
type Step struct {
	Op     string // "preorder", "register", "update", "transfer"
	Txid   chainhash.Hash
	Height int // of the index when it was seen
}

// A Registrar sends operations and watches them take effect.
type Registrar struct {
	Chain    Chain
	Index    *chain.Index
	Follower *chain.Follower
	Dir      string // for what was sent; empty: nothing is kept
}

// confirmTimeout bounds the wait for one operation. On a private chain it takes
// a moment; elsewhere the caller's ctx ends earlier or calls again.
const confirmTimeout = 24 * time.Hour

// Register registers a name for the key and gives it the zone file. What is
// done already, by an earlier call too, is not done again; doing all of it again
// is no error. progress, if not nil, hears of each step.
func (r *Registrar) Register(ctx context.Context, n chain.Name, key *btcec.PrivateKey, zone []byte, progress func(Step)) error {
	if len(zone) > zonefile.MaxSize {
		return fmt.Errorf("zone file of %d bytes, at most %d", len(zone), zonefile.MaxSize)
	}
	if err := r.Follower.Sync(ctx); err != nil {
		return err
	}
	rec, err := r.Index.Lookup(n)
	switch {
	case errors.Is(err, chain.ErrUnknownName), err == nil && rec.Expired:
		if err := r.create(ctx, n, key, progress); err != nil {
			return err
		}
	case err != nil:
		return err
	case rec.Revoked:
		return fmt.Errorf("%s was revoked: %w", n, ErrTaken)
	case !bytes.Equal(rec.Owner, ScriptOf(key)):
		return fmt.Errorf("%s is registered already, by %s: %w", n, rec.Address, ErrTaken)
	}
	return r.Update(ctx, n, key, zone, progress)
}

// create preorders and registers a name.
func (r *Registrar) create(ctx context.Context, n chain.Name, key *btcec.PrivateKey, progress func(Step)) error {
	p := r.Index.Params()
	script := ScriptOf(key)
	hash := ops.HashName(string(n), script, ops.Address(script, p.Chain))
	if _, ok := r.Index.Preordered(hash); !ok {
		price, err := r.Index.Price(n)
		if err != nil {
			return fmt.Errorf("price of %s: %w", n, err)
		}
		c, err := r.consensus()
		if err != nil {
			return err
		}
		outs := []*wire.TxOut{wire.NewTxOut(Dust, script), wire.NewTxOut(max(price, Dust), ops.BurnScript())}
		if err := r.step(ctx, n, "preorder", key, ops.NamePreorder{Hash: hash, Consensus: c}, outs, progress, func() bool {
			_, ok := r.Index.Preordered(hash)
			return ok
		}); err != nil {
			return err
		}
	}
	return r.step(ctx, n, "register", key, ops.Registration{Name: string(n)}, []*wire.TxOut{wire.NewTxOut(Dust, script)}, progress, func() bool {
		rec, err := r.Index.Lookup(n)
		return err == nil && !rec.Expired
	})
}

// Update gives a name of the key's the zone file.
func (r *Registrar) Update(ctx context.Context, n chain.Name, key *btcec.PrivateKey, zone []byte, progress func(Step)) error {
	rec, err := r.owned(n, key)
	if err != nil {
		return err
	}
	value := zonefile.Hash(zone)
	if rec.HasValue && rec.ValueHash == value {
		return nil
	}
	c, err := r.consensus()
	if err != nil {
		return err
	}
	op := ops.Update{NameHash: ops.UpdateHash(string(n), c), Value: value}
	return r.step(ctx, n, "update", key, op, []*wire.TxOut{wire.NewTxOut(Dust, ScriptOf(key))}, progress, func() bool {
		rec, err := r.Index.Lookup(n)
		return err == nil && rec.HasValue && rec.ValueHash == value
	})
}

// Transfer gives a name of the key's to an address. With keep the zone file
// stays the name's; without, the new owner begins with none.
func (r *Registrar) Transfer(ctx context.Context, n chain.Name, key *btcec.PrivateKey, to string, keep bool, progress func(Step)) error {
	if err := r.Follower.Sync(ctx); err != nil {
		return err
	}
	script, err := ops.PayTo(to, r.Index.Params().Chain)
	if err != nil {
		return err
	}
	if _, err := r.owned(n, key); err != nil {
		return err
	}
	c, err := r.consensus()
	if err != nil {
		return err
	}
	op := ops.Transfer{Keep: keep, NameHash: ops.Hash128(string(n)), Consensus: c}
	return r.step(ctx, n, "transfer", key, op, []*wire.TxOut{wire.NewTxOut(Dust, script)}, progress, func() bool {
		rec, err := r.Index.Lookup(n)
		return err == nil && bytes.Equal(rec.Owner, script)
	})
}

// owned returns the record of a name that the key owns.
func (r *Registrar) owned(n chain.Name, key *btcec.PrivateKey) (chain.Record, error) {
	rec, err := r.Index.Lookup(n)
	switch {
	case err != nil:
		return rec, err
	case rec.Expired:
		return rec, fmt.Errorf("%s has expired: register it again: %w", n, ErrNotOwner)
	case rec.Revoked:
		return rec, fmt.Errorf("%s was revoked: %w", n, ErrNotOwner)
	case !bytes.Equal(rec.Owner, ScriptOf(key)):
		return rec, fmt.Errorf("%s belongs to %s: %w", n, rec.Address, ErrNotOwner)
	}
	return rec, nil
}

// Namespace opens a namespace in which all names cost the least and never
// expire, if it is not open yet. It is for private chains.
func (r *Registrar) Namespace(ctx context.Context, id string, key *btcec.PrivateKey) error {
	p := r.Index.Params()
	script := ScriptOf(key)
	addr := ops.Address(script, p.Chain)
	ready := func() bool { ns, err := r.Index.Namespace(id); return err == nil && ns.Ready }
	revealed := func() bool { _, err := r.Index.Namespace(id); return err == nil }
	if ready() {
		return nil
	}
	if !revealed() {
		hash := ops.HashName(id, script, addr)
		preordered := func() bool { _, ok := r.Index.Preordered(hash); return ok }
		if !preordered() {
			c, err := r.consensus()
			if err != nil {
				return err
			}
			outs := []*wire.TxOut{wire.NewTxOut(Dust, script), wire.NewTxOut(r.Index.NamespacePrice(id), ops.BurnScript())}
			if err := r.step(ctx, chain.Name(id), "namespace preorder", key, ops.NamespacePreorder{Hash: hash, Consensus: c}, outs, nil, preordered); err != nil {
				return err
			}
		}
		reveal := ops.NamespaceReveal{ID: id, Version: 1, Lifetime: 0xffffffff, Coefficient: 0, Base: 1, NonAlpha: 1, NoVowel: 1}
		if err := r.step(ctx, chain.Name(id), "namespace reveal", key, reveal, []*wire.TxOut{wire.NewTxOut(Dust, script)}, nil, revealed); err != nil {
			return err
		}
	}
	return r.step(ctx, chain.Name(id), "namespace ready", key, ops.NamespaceReady{ID: id}, []*wire.TxOut{wire.NewTxOut(Dust, script)}, nil, ready)
}

// consensus returns the newest consensus hash.
func (r *Registrar) consensus() ([16]byte, error) {
	h, _ := r.Index.Tip()
	return r.Index.ConsensusHash(max(h, r.Index.Params().FirstBlock-1))
}

// step sends an operation, unless it was sent before, and waits until done.
func (r *Registrar) step(ctx context.Context, n chain.Name, what string, key *btcec.PrivateKey, op ops.Operation, outs []*wire.TxOut, progress func(Step), done func() bool) error {
	fail := func(err error) error { return fmt.Errorf("%s of %s: %w", what, n, err) }
	script, err := ops.Script(r.Index.Params().Magic, op)
	if err != nil {
		return fail(err)
	}
	raw, again := r.sent(n, what)
	if !again {
		tx, err := r.build(ctx, key, append([]*wire.TxOut{wire.NewTxOut(0, script)}, outs...))
		if err != nil {
			return fail(err)
		}
		raw = encode(tx)
		if err := r.keep(n, what, raw); err != nil {
			return fail(err)
		}
	}
	txid, err := r.Chain.Broadcast(ctx, raw)
	if err != nil {
		if again {
			// Kept from an earlier chain, or its coins are spent: begin anew.
			r.forget(n)
			return r.step(ctx, n, what, key, op, outs, progress, done)
		}
		return fail(err)
	}
	ctx, cancel := context.WithTimeout(ctx, confirmTimeout)
	defer cancel()
	for {
		changed := r.Follower.Changed()
		if err := r.Follower.Sync(ctx); err != nil {
			return fail(err)
		}
		if done() {
			break
		}
		if again {
			// It was mined and did not take effect: a consensus hash too old.
			r.forget(n)
			return r.step(ctx, n, what, key, op, outs, progress, done)
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return fail(fmt.Errorf("transaction %v is sent and not confirmed yet; call again to go on waiting: %w", txid, ctx.Err()))
		case <-time.After(time.Second):
		}
	}
	r.forget(n)
	if progress != nil {
		h, _ := r.Index.Tip()
		progress(Step{Op: what, Txid: txid, Height: h})
	}
	return nil
}

// build makes the transaction; a chain that gives coins away is asked for some
// if the key has too few.
func (r *Registrar) build(ctx context.Context, key *btcec.PrivateKey, outs []*wire.TxOut) (*wire.MsgTx, error) {
	script := ScriptOf(key)
	for try := 0; ; try++ {
		coins, err := r.Chain.Unspent(ctx, script)
		if err != nil {
			return nil, fmt.Errorf("coins of %s: %w", ops.Address(script, r.Index.Params().Chain), err)
		}
		tx, err := Build(key, coins, outs)
		f, gives := r.Chain.(Funder)
		if err == nil || !errors.Is(err, ErrNoFunds) || !gives || try > 0 {
			if errors.Is(err, ErrNoFunds) {
				err = fmt.Errorf("%w: pay some to %s", err, ops.Address(script, r.Index.Params().Chain))
			}
			return tx, err
		}
		want := int64(1e6)
		for _, o := range outs {
			want += 2 * o.Value
		}
		if _, err := f.Fund(ctx, ops.Address(script, r.Index.Params().Chain), want); err != nil {
			return nil, fmt.Errorf("coins from the private chain: %w", err)
		}
	}
}

type sentTx struct {
	Op string `json:"op"`
	Tx string `json:"tx"`
}

func (r *Registrar) path(n chain.Name) string { return filepath.Join(r.Dir, string(n)+".json") }

// sent returns the transaction that was last sent for the name if it is this step's.
func (r *Registrar) sent(n chain.Name, what string) ([]byte, bool) {
	if r.Dir == "" {
		return nil, false
	}
	b, err := os.ReadFile(r.path(n))
	if err != nil {
		return nil, false
	}
	var s sentTx
	if json.Unmarshal(b, &s) != nil || s.Op != what {
		return nil, false
	}
	raw, err := hex.DecodeString(s.Tx)
	return raw, err == nil && len(raw) > 0
}

// keep writes down what is about to be sent.
func (r *Registrar) keep(n chain.Name, what string, raw []byte) error {
	if r.Dir == "" {
		return nil
	}
	if err := os.MkdirAll(r.Dir, 0o700); err != nil {
		return err
	}
	b, err := json.Marshal(sentTx{Op: what, Tx: hex.EncodeToString(raw)})
	if err != nil {
		return err
	}
	f, err := os.CreateTemp(r.Dir, ".new-*")
	if err != nil {
		return err
	}
	defer os.Remove(f.Name())
	_, err = f.Write(b)
	if err == nil {
		err = f.Sync()
	}
	if err := errors.Join(err, f.Close()); err != nil {
		return err
	}
	return os.Rename(f.Name(), r.path(n))
}

func (r *Registrar) forget(n chain.Name) {
	if r.Dir != "" {
		os.Remove(r.path(n))
	}
}
