// Package registrar walks a name through its transactions: it builds, signs and
// sends each operation, waits until the follower has seen it take effect, and
// goes on from there. It can be stopped anywhere, and reorganisations may undo
// what it did: each time it looks at the index, and does what is missing there.
//
// The one thing that the index does not say, a transaction that was sent and is
// in no block yet, is kept in the file DIR/NAME.json, a JSON object of the
// operation's word "op", what it is about "arg" and the transaction in hex "tx".
// It is written before the transaction is sent; sending the same bytes again is
// harmless, so nothing is paid twice.
package registrar

import (
	"bytes"
	"context"
	"encoding/hex"
	"errors"
	"fmt"

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
	// ErrQuota reports an owner of as many names as one may have.
	ErrQuota = errors.New("no owner may have more names")
)

// A Chain sends transactions and finds coins. An error of Broadcast that has a
// method Rejected() bool which says true is about the transaction; any other is
// about the way to the chain.
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

// A Registrar sends operations and watches them take effect. It does one thing
// at a time for one name.
type Registrar struct {
	Chain    Chain
	Index    *chain.Index
	Follower *chain.Follower // keeps Index at the tip
	Dir      string          // for what was sent; empty: nothing is kept
}

// Register registers a name for the key and gives it the zone file. What is
// done already, by an earlier call too, is not done again; doing all of it again
// is no error. progress, if not nil, hears of each step.
//
// The key pays. If it has too few coins and the chain is a Funder, that is asked
// for some; else the error is ErrNoFunds and says where to pay.
func (r *Registrar) Register(ctx context.Context, n chain.Name, key *btcec.PrivateKey, zone []byte, progress func(Step)) error {
	if err := checkZone(zone); err != nil {
		return err
	}
	return r.walk(ctx, n, key, progress, func() (*operation, error) {
		rec, err := r.Index.Lookup(n)
		switch {
		case errors.Is(err, chain.ErrUnknownName), err == nil && rec.Expired:
			return r.create(n, key)
		case err != nil:
			return nil, err
		case rec.Revoked:
			return nil, fmt.Errorf("%s was revoked by its owner: %w", n, ErrTaken)
		case !bytes.Equal(rec.Owner, ScriptOf(key)):
			return nil, fmt.Errorf("%s is registered already, by %s: %w", n, rec.Address, ErrTaken)
		}
		return r.update(rec, key, zone), nil
	})
}

// Update gives a name of the key's the zone file. If it has it, nothing is sent.
func (r *Registrar) Update(ctx context.Context, n chain.Name, key *btcec.PrivateKey, zone []byte, progress func(Step)) error {
	if err := checkZone(zone); err != nil {
		return err
	}
	return r.walk(ctx, n, key, progress, func() (*operation, error) {
		rec, err := r.owned(n, key)
		if err != nil {
			return nil, err
		}
		return r.update(rec, key, zone), nil
	})
}

// Transfer gives a name of the key's to an address. With keep the zone file
// stays the name's; without, the new owner begins with none. A name that belongs
// to the address is left as it is.
func (r *Registrar) Transfer(ctx context.Context, n chain.Name, key *btcec.PrivateKey, to string, keep bool, progress func(Step)) error {
	script, err := ops.PayTo(to, r.Index.Params().Chain)
	if err != nil {
		return err
	}
	return r.walk(ctx, n, key, progress, func() (*operation, error) {
		rec, err := r.Index.Lookup(n)
		if err == nil && !rec.Expired && !rec.Revoked && bytes.Equal(rec.Owner, script) {
			return nil, nil
		}
		if _, err := r.owned(n, key); err != nil {
			return nil, err
		}
		if err := r.checkQuota(script); err != nil {
			return nil, err
		}
		return r.transfer(n, script, keep), nil
	})
}

func checkZone(zone []byte) error {
	if len(zone) > zonefile.MaxSize {
		return fmt.Errorf("zone file of %d bytes, at most %d", len(zone), zonefile.MaxSize)
	}
	return nil
}

// owned returns the record of a name that the key owns.
func (r *Registrar) owned(n chain.Name, key *btcec.PrivateKey) (chain.Record, error) {
	rec, err := r.Index.Lookup(n)
	switch {
	case err != nil:
		return rec, err
	case rec.Expired:
		return rec, fmt.Errorf("%s has expired, register it again: %w", n, ErrNotOwner)
	case rec.Revoked:
		return rec, fmt.Errorf("%s was revoked: %w", n, ErrNotOwner)
	case !bytes.Equal(rec.Owner, ScriptOf(key)):
		return rec, fmt.Errorf("%s belongs to %s: %w", n, rec.Address, ErrNotOwner)
	}
	return rec, nil
}

func (r *Registrar) checkQuota(script []byte) error {
	p := r.Index.Params()
	names, err := r.Index.NamesOf(script)
	if err == nil && len(names) >= p.Quota {
		err = fmt.Errorf("%s has %d names: %w", ops.Address(script, p.Chain), len(names), ErrQuota)
	}
	return err
}

// An operation is the next thing to send.
type operation struct {
	what   string                         // its word
	arg    string                         // tells it from another of its kind
	wire   func(c [16]byte) ops.Operation // with a consensus hash
	outs   []*wire.TxOut                  // that follow the OP_RETURN
	change int                            // where the change stands among all outputs
	done   func() bool                    // by the index
}

// create returns a name's preorder, or if that is there its registration.
func (r *Registrar) create(n chain.Name, key *btcec.PrivateKey) (*operation, error) {
	script := ScriptOf(key)
	if err := r.checkQuota(script); err != nil {
		return nil, err
	}
	ns, err := r.Index.Namespace(n.Namespace())
	if err != nil || !ns.Ready {
		return nil, errors.Join(fmt.Errorf("%s can't be registered: its namespace is not open", n), err)
	}
	hash := ops.HashName(string(n), script, ops.Address(script, r.Index.Params().Chain))
	if _, ok := r.Index.Preordered(hash); ok {
		return &operation{
			what:   "register",
			wire:   func([16]byte) ops.Operation { return ops.Registration{Name: string(n)} },
			outs:   []*wire.TxOut{wire.NewTxOut(Dust, script)},
			change: 2,
			done:   func() bool { _, err := r.owned(n, key); return err == nil },
		}, nil
	}
	price, err := r.Index.Price(n)
	if err != nil {
		return nil, fmt.Errorf("price of %s: %w", n, err)
	}
	return &operation{
		what:   "preorder",
		arg:    hex.EncodeToString(hash[:]),
		wire:   func(c [16]byte) ops.Operation { return ops.NamePreorder{Hash: hash, Consensus: c} },
		outs:   []*wire.TxOut{wire.NewTxOut(max(price, Dust), ops.BurnScript())},
		change: 1,
		done:   func() bool { _, ok := r.Index.Preordered(hash); return ok },
	}, nil
}

// update returns the update of a name, nil if it has that zone file.
func (r *Registrar) update(rec chain.Record, key *btcec.PrivateKey, zone []byte) *operation {
	value, n := zonefile.Hash(zone), rec.Name
	if rec.HasValue && rec.ValueHash == value {
		return nil
	}
	return &operation{
		what: "update",
		arg:  hex.EncodeToString(value[:]),
		wire: func(c [16]byte) ops.Operation {
			return ops.Update{NameHash: ops.UpdateHash(string(n), c), Value: value}
		},
		outs:   []*wire.TxOut{wire.NewTxOut(Dust, ScriptOf(key))},
		change: 2,
		done: func() bool {
			rec, err := r.owned(n, key)
			return err == nil && rec.HasValue && rec.ValueHash == value
		},
	}
}

func (r *Registrar) transfer(n chain.Name, to []byte, keep bool) *operation {
	return &operation{
		what: "transfer",
		arg:  fmt.Sprintf("%x keep=%t", to, keep),
		wire: func(c [16]byte) ops.Operation {
			return ops.Transfer{Keep: keep, NameHash: ops.Hash128(string(n)), Consensus: c}
		},
		outs:   []*wire.TxOut{wire.NewTxOut(Dust, to)},
		change: 2,
		done: func() bool {
			rec, err := r.Index.Lookup(n)
			return err == nil && bytes.Equal(rec.Owner, to)
		},
	}
}
