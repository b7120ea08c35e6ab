package registrar

import (
	"bytes"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"slices"

	"github.com/btcsuite/btcd/wire/v2"

	"satchel/chain"
	"satchel/chain/ops"
)

// An operation is a thing to send.
type operation struct {
	what   string                         // its word
	arg    string                         // tells it from another of its kind
	quotes bool                           // it holds a consensus hash
	wire   func(c [16]byte) ops.Operation // with that
	outs   []*wire.TxOut                  // that follow the OP_RETURN
	change int                            // where the change stands among all outputs
	burnt  int64                          // of outs
	done   func() bool                    // by the index
}

// plan returns what is missing for a goal by the index, in the order in which it
// is sent; nothing if it is reached. Only done of the first one can be asked.
func (r *Registrar) plan(g *Goal) ([]*operation, error) {
	switch g.Op {
	case OpRegister:
		return r.planRegister(g)
	case OpNamespace:
		return r.planNamespace(g)
	case OpReady:
		return r.planReady(g)
	case OpImport:
		return r.planImport(g)
	}
	return r.planOwned(g)
}

// planRegister gives preorder, registration and update.
func (r *Registrar) planRegister(g *Goal) ([]*operation, error) {
	n := chain.Name(g.Subject)
	rec, err := r.Index.Lookup(n)
	switch {
	case errors.Is(err, chain.ErrUnknownName), err == nil && rec.Expired:
		return r.create(g, n)
	case err != nil:
		return nil, err
	case rec.Revoked:
		return nil, fmt.Errorf("%s was revoked by its owner: %w", n, ErrTaken)
	case !bytes.Equal(rec.Owner, g.Owner):
		return nil, fmt.Errorf("%s is registered already, by %s: %w", n, rec.Address, ErrTaken)
	}
	if rec.HasValue && bytes.Equal(rec.ValueHash[:], g.Value) {
		return nil, nil
	}
	return []*operation{r.update(g)}, nil
}

// create gives a name's preorder, if it is not there yet, its registration and
// its first update.
func (r *Registrar) create(g *Goal, n chain.Name) ([]*operation, error) {
	if err := r.checkQuota(g, g.Owner); err != nil {
		return nil, err
	}
	ns, err := r.Index.Namespace(n.Namespace())
	if err != nil || !ns.Ready {
		return nil, errors.Join(fmt.Errorf("%s can't be registered: %w", n, ErrNotOpen), err)
	}
	register := &operation{
		what:   "register",
		wire:   func([16]byte) ops.Operation { return ops.Registration{Name: g.Subject} },
		outs:   []*wire.TxOut{wire.NewTxOut(Dust, g.Owner)},
		change: 2,
		done:   func() bool { _, err := r.owned(n, g.Owner); return err == nil },
	}
	price, err := r.Index.Price(n)
	if err != nil {
		return nil, fmt.Errorf("price of %s: %w", n, err)
	}
	hash := ops.HashName(g.Subject, g.Owner, r.address(g.Owner))
	switch ok, err := r.preordered(g, hash); {
	case err != nil:
		return nil, err
	case ok:
		return []*operation{register, r.update(g)}, nil
	}
	preorder := r.burn("preorder", g, price, hash)
	preorder.wire = func(c [16]byte) ops.Operation { return ops.NamePreorder{Hash: hash, Consensus: c} }
	return []*operation{preorder, register, r.update(g)}, nil
}

// preordered tells whether the goal's preorder is there. One of the same hash that
// somebody else sent, who copied it from a transaction that was on its way, or that
// paid too little, is good for nothing, and what it hides must not be shown.
func (r *Registrar) preordered(g *Goal, hash [20]byte) (bool, error) {
	p, ok := r.Index.Preordered(hash)
	if !ok {
		return false, nil
	}
	price, err := r.Index.NamespacePrice(g.Subject), error(nil)
	if g.Op == OpRegister {
		price, err = r.Index.PriceAt(chain.Name(g.Subject), p.Height)
	}
	if err != nil {
		return false, fmt.Errorf("price of %s: %w", g.Subject, err)
	}
	if !bytes.Equal(p.Sender, g.Owner) || p.Fee < price {
		return false, fmt.Errorf("%s: somebody else preordered it under the same hash in block %d, or for less than %d satoshi; try again when that preorder has expired, or with another owner's address: %w", g.Subject, p.Height, price, ErrTaken)
	}
	return true, nil
}

// burn begins a preorder.
func (r *Registrar) burn(what string, g *Goal, price int64, hash [20]byte) *operation {
	price = max(price, Dust)
	return &operation{
		what:   what,
		arg:    hex.EncodeToString(hash[:]),
		quotes: true,
		outs:   []*wire.TxOut{wire.NewTxOut(price, ops.BurnScript())},
		change: 1,
		burnt:  price,
		done:   func() bool { ok, err := r.preordered(g, hash); return ok && err == nil },
	}
}

func (r *Registrar) update(g *Goal) *operation {
	n, value := chain.Name(g.Subject), [20]byte(g.Value)
	return &operation{
		what:   "update",
		arg:    hex.EncodeToString(value[:]),
		quotes: true,
		wire: func(c [16]byte) ops.Operation {
			return ops.Update{NameHash: ops.UpdateHash(g.Subject, c), Value: value}
		},
		outs:   []*wire.TxOut{wire.NewTxOut(Dust, g.Owner)},
		change: 2,
		done: func() bool {
			rec, err := r.owned(n, g.Owner)
			return err == nil && rec.HasValue && rec.ValueHash == value
		},
	}
}

// planOwned gives the one operation that a goal for an owned name needs.
func (r *Registrar) planOwned(g *Goal) ([]*operation, error) {
	n := chain.Name(g.Subject)
	rec, err := r.Index.Lookup(n)
	if err == nil && !rec.Expired && r.reached(g, &rec) {
		return nil, nil
	}
	if rec, err = r.owned(n, g.Owner); err != nil {
		return nil, err
	}
	if ns, err := r.Index.Namespace(n.Namespace()); err != nil || !ns.Ready {
		return nil, errors.Join(fmt.Errorf("%s can't be changed: %w", n, ErrNotOpen), err)
	}
	var o *operation
	switch g.Op {
	case OpUpdate:
		o = r.update(g)
	case OpRenew:
		o, err = r.renew(g, n)
	case OpTransfer:
		o, err = r.transfer(g)
	case OpRevoke:
		o = &operation{
			what:   "revoke",
			wire:   func([16]byte) ops.Operation { return ops.Revoke{Name: g.Subject} },
			outs:   []*wire.TxOut{wire.NewTxOut(Dust, g.Owner)},
			change: 2,
		}
	default:
		err = fmt.Errorf("%q is no operation on a name", g.Op)
	}
	if err != nil {
		return nil, err
	}
	o.done = func() bool {
		rec, err := r.Index.Lookup(n)
		return err == nil && !rec.Expired && r.reached(g, &rec)
	}
	return []*operation{o}, nil
}

// reached says if the record of a name is what a goal of planOwned wants.
func (r *Registrar) reached(g *Goal, rec *chain.Record) bool {
	mine := bytes.Equal(rec.Owner, g.Owner)
	switch g.Op {
	case OpUpdate:
		return mine && !rec.Revoked && rec.HasValue && bytes.Equal(rec.ValueHash[:], g.Value)
	case OpRenew:
		return mine && !rec.Revoked && rec.LastRenewed > g.Since
	case OpTransfer:
		return !rec.Revoked && bytes.Equal(rec.Owner, g.To)
	case OpRevoke:
		return mine && rec.Revoked
	}
	return false
}

func (r *Registrar) renew(g *Goal, n chain.Name) (*operation, error) {
	p := r.Index.Params()
	if names, err := r.Index.NamesOf(g.Owner); p.QuotaOnRenewal && err == nil && len(names) >= p.Quota {
		return nil, fmt.Errorf("%s has %d names, and an owner of so many can't renew one: transfer one away: %w", r.address(g.Owner), len(names), ErrQuota)
	}
	price, err := r.Index.Price(n)
	if err != nil {
		return nil, fmt.Errorf("price of %s: %w", n, err)
	}
	price = max(price, Dust)
	return &operation{
		what:   "renew",
		arg:    fmt.Sprint(g.Since),
		wire:   func([16]byte) ops.Operation { return ops.Registration{Name: g.Subject} },
		outs:   []*wire.TxOut{wire.NewTxOut(Dust, g.Owner), wire.NewTxOut(price, ops.BurnScript())},
		change: 2,
		burnt:  price,
	}, nil
}

func (r *Registrar) transfer(g *Goal) (*operation, error) {
	if err := r.checkQuota(g, g.To); err != nil {
		return nil, err
	}
	return &operation{
		what:   "transfer",
		arg:    fmt.Sprintf("%x keep=%t", []byte(g.To), g.Keep),
		quotes: true,
		wire: func(c [16]byte) ops.Operation {
			return ops.Transfer{Keep: g.Keep, NameHash: ops.Hash128(g.Subject), Consensus: c}
		},
		outs:   []*wire.TxOut{wire.NewTxOut(Dust, g.To)},
		change: 2,
	}, nil
}

// planNamespace gives a namespace's preorder, reveal and ready.
func (r *Registrar) planNamespace(g *Goal) ([]*operation, error) {
	id := g.Subject
	ns, err := r.Index.Namespace(id)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, err
	}
	there := err == nil && !ns.Expired
	switch {
	case there && !bytes.Equal(ns.Owner, g.Owner):
		return nil, fmt.Errorf("namespace %s is revealed already, by %s: %w", id, r.address(ns.Owner), ErrTaken)
	case there && (ns.Ready || g.Hold):
		return nil, nil
	case there:
		return []*operation{r.ready(g)}, nil
	case !ops.IsPubKeyHash(g.Owner):
		return nil, fmt.Errorf("namespace %s: its owner must be a p2pkh address", id)
	}
	return r.openNamespace(g)
}

// openNamespace gives all that opens a namespace of which there is nothing yet but
// maybe its preorder.
func (r *Registrar) openNamespace(g *Goal) ([]*operation, error) {
	id := g.Subject
	reveal := &operation{
		what:   "namespace reveal",
		wire:   func([16]byte) ops.Operation { return g.Rules.reveal(id) },
		outs:   []*wire.TxOut{wire.NewTxOut(Dust, g.Owner)},
		change: 2,
		done:   func() bool { ns, err := r.Index.Namespace(id); return err == nil && !ns.Expired },
	}
	plan := []*operation{reveal}
	if !g.Hold {
		plan = append(plan, r.ready(g))
	}
	hash := ops.HashName(id, g.Owner, r.address(g.Owner))
	if ok, err := r.preordered(g, hash); ok || err != nil {
		return plan, err
	}
	preorder := r.burn("namespace preorder", g, r.Index.NamespacePrice(id), hash)
	preorder.wire = func(c [16]byte) ops.Operation { return ops.NamespacePreorder{Hash: hash, Consensus: c} }
	return append([]*operation{preorder}, plan...), nil
}

func (r *Registrar) planReady(g *Goal) ([]*operation, error) {
	ns, err := r.revealed(g.Subject, g.Owner)
	if err != nil || ns.Ready {
		return nil, err
	}
	return []*operation{r.ready(g)}, nil
}

// revealed returns a namespace that the owner revealed.
func (r *Registrar) revealed(id string, owner []byte) (chain.Namespace, error) {
	ns, err := r.Index.Namespace(id)
	switch {
	case err != nil:
		return ns, err
	case !bytes.Equal(ns.Owner, owner):
		return ns, fmt.Errorf("namespace %s belongs to %s: %w", id, r.address(ns.Owner), ErrNotOwner)
	case ns.Expired:
		return ns, fmt.Errorf("namespace %s was not made ready in time: create it again: %w", id, ErrNotOwner)
	}
	return ns, nil
}

func (r *Registrar) ready(g *Goal) *operation {
	return &operation{
		what:   "namespace ready",
		wire:   func([16]byte) ops.Operation { return ops.NamespaceReady{ID: g.Subject} },
		change: 1,
		done:   func() bool { ns, err := r.Index.Namespace(g.Subject); return err == nil && ns.Ready },
	}
}

// planImport gives an import: the value's hash is dressed as an address.
func (r *Registrar) planImport(g *Goal) ([]*operation, error) {
	n := chain.Name(g.Subject)
	done := func() bool {
		rec, err := r.Index.Lookup(n)
		return err == nil && !rec.Expired && bytes.Equal(rec.Owner, g.To) && rec.HasValue && bytes.Equal(rec.ValueHash[:], g.Value)
	}
	if done() {
		return nil, nil
	}
	ns, err := r.revealed(n.Namespace(), g.Owner)
	if err != nil {
		return nil, err
	}
	if ns.Ready {
		return nil, fmt.Errorf("%s can't be imported: %s is open, so it has to be registered: %w", n, ns.ID, ErrNotOpen)
	}
	return []*operation{{
		what:   "import",
		arg:    fmt.Sprintf("%x %x", []byte(g.To), []byte(g.Value)),
		wire:   func([16]byte) ops.Operation { return ops.Import{Name: g.Subject} },
		outs:   []*wire.TxOut{wire.NewTxOut(Dust, g.To), wire.NewTxOut(Dust, valueScript(g.Value))},
		change: 3,
		burnt:  Dust,
		done:   done,
	}}, nil
}

// valueScript is the p2pkh script of twenty bytes.
func valueScript(value []byte) []byte {
	s := ops.BurnScript()
	copy(s[3:], value)
	return s
}

// owned returns the record of a name that the script owns.
func (r *Registrar) owned(n chain.Name, script []byte) (chain.Record, error) {
	rec, err := r.Index.Lookup(n)
	switch {
	case err != nil:
		return rec, err
	case rec.Expired:
		return rec, fmt.Errorf("%s has expired, register it again: %w", n, ErrNotOwner)
	case rec.Revoked:
		return rec, fmt.Errorf("%s was revoked: %w", n, ErrNotOwner)
	case !bytes.Equal(rec.Owner, script):
		return rec, fmt.Errorf("%s belongs to %s: %w", n, rec.Address, ErrNotOwner)
	}
	return rec, nil
}

// checkQuota says whether the script may own one name more: besides those that it
// has, and those that jobs before g's will bring it, for which it pays first.
func (r *Registrar) checkQuota(g *Goal, script []byte) error {
	names, err := r.Index.NamesOf(script)
	if err != nil {
		return err
	}
	for _, e := range r.open() {
		if &e.Goal == g {
			break
		}
		if n := chain.Name(e.Subject); bytes.Equal(e.brings(), script) && !slices.Contains(names, n) {
			names = append(names, n)
		}
	}
	if len(names) >= r.Index.Params().Quota {
		return fmt.Errorf("%s has %d names, with those that are under way: %w", r.address(script), len(names), ErrQuota)
	}
	return nil
}

// brings returns whose name a goal's will be, nil if nobody's.
func (g *Goal) brings() []byte {
	switch g.Op {
	case OpRegister:
		return g.Owner
	case OpTransfer, OpImport:
		return g.To
	}
	return nil
}

func (r *Registrar) address(script []byte) string { return ops.Address(script, r.Index.Params().Chain) }
