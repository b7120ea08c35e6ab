package chain

import (
	"strconv"
	"strings"

	"satchel/chain/ops"
)

// preorderName: the hash is not preordered, the consensus hash is recent, a
// fee is paid and the sender is below the quota. Whether the fee is enough, the
// registration shows.
func (r *rules) preorderName(t *ops.Tx, op ops.NamePreorder) func() string {
	p := r.preorder(t, '?', op.Hash, op.Consensus)
	if p == nil || r.full(t.Sender) {
		return nil
	}
	return func() string {
		r.putPreorder(p)
		return p.serialise()
	}
}

// register makes a preordered name the recipient's. A name that has an owner it
// renews, whatever is preordered.
func (r *rules) register(t *ops.Tx, op ops.Registration) func() string {
	ns := r.s.namespace(Name(op.Name).Namespace())
	addr := r.p.address(t.Recipient)
	if ns == nil || ns.Ready == 0 || addr == "" {
		return nil
	}
	if !r.p.epoch(r.height).Multisig && ops.IsScriptHash(t.Recipient) {
		return nil
	}
	old := r.s.name(op.Name)
	if old != nil && !r.gone(old, r.height-1) {
		return r.renew(t, old, ns)
	}
	p := r.outstanding('?', ops.HashName(op.Name, t.Sender, addr))
	switch {
	case p == nil,
		r.full(t.Recipient),
		old != nil && old.FirstRegistered == r.height, // taken in this block
		string(p.Sender) != string(t.Sender),
		p.Height < ns.Ready,
		float64(p.Fee) < r.p.price(Name(op.Name), ns, p.Height),
		r.collided[op.Name]:
		return nil
	}
	e := &entry{
		Name: op.Name, Owner: t.Recipient, OwnerKey: t.SenderKey, Address: addr,
		BlockNumber: p.Height, Preordered: p.Height, FirstRegistered: r.height, LastRenewed: r.height,
		Op: ":", Txid: t.Txid, Index: t.Index, Fee: strconv.FormatInt(p.Fee, 10), PreorderHash: p.Hash,
	}
	if old != nil {
		e.BlockNumber = old.BlockNumber
	}
	return func() string {
		r.registered[string(t.Recipient)]++
		r.s.dropPreorder(p)
		r.putName(e)
		return e.serialiseOwned(':')
	}
}

// renew: the owner pays today's price to himself as recipient, once in a block.
func (r *rules) renew(t *ops.Tx, e *entry, ns *namespace) func() string {
	switch {
	case e.Revoked,
		e.LastRenewed == r.height,
		string(t.Sender) != string(e.Owner),
		string(t.Recipient) != string(e.Owner),
		r.p.QuotaOnRenewal && r.full(t.Recipient),
		!t.HasFee,
		float64(t.Fee) < r.p.price(Name(e.Name), ns, r.height):
		return nil
	}
	return func() string {
		e.LastRenewed = r.height
		e.Fee = e.writeFee(t.Fee)
		r.did(e, "::", t)
		return e.serialiseOwned(':')
	}
}

// writeFee writes a fee as a number of the kind that the entry has already: the
// fee of an imported name is a price, and those are floats.
func (e *entry) writeFee(fee int64) string {
	if strings.ContainsAny(e.Fee, ".e") {
		return pythonFloat(float64(fee))
	}
	return strconv.FormatInt(fee, 10)
}

// did writes an entry as changed by an operation.
func (r *rules) did(e *entry, op string, t *ops.Tx) {
	e.Op, e.Txid, e.Index = op, t.Txid, t.Index
	r.putName(e)
}

// usable says if a name is there, was so before this block, and can be changed
// by a sender, its owner.
func (r *rules) usable(e *entry, sender []byte) bool {
	if !r.isRegistered(e, r.height-1) || r.expired(e, r.height-1) || string(e.Owner) != string(sender) {
		return false
	}
	ns := r.s.namespace(Name(e.Name).Namespace())
	return ns != nil && ns.Ready > 0
}

// update: the owner, who has not more names than the quota, quotes the name
// with a recent consensus hash.
func (r *rules) update(t *ops.Tx, op ops.Update) func() string {
	owned := r.owned(t.Sender)
	if len(owned.names) > r.p.Quota {
		return nil
	}
	for name := range owned.names {
		for _, c := range r.window {
			if ops.UpdateHash(name, c) != op.NameHash {
				continue
			}
			e := r.s.name(name)
			if !r.usable(e, t.Sender) {
				return nil
			}
			return func() string {
				e.Value, e.Consensus = op.Value[:], c[:]
				r.did(e, "+", t)
				return e.serialiseUpdate(op)
			}
		}
	}
	return nil
}

// transfer: the owner gives the name to somebody else who is below the quota.
func (r *rules) transfer(t *ops.Tx, op ops.Transfer) func() string {
	e := r.s.name(r.owned(t.Sender).find(op.NameHash))
	addr := r.p.address(t.Recipient)
	switch {
	case !r.usable(e, t.Sender),
		addr == "",
		!r.recent(op.Consensus),
		string(t.Recipient) == string(e.Owner),
		len(r.owned(t.Recipient).names) >= r.p.Quota,
		!r.p.epoch(r.height).Multisig && ops.IsScriptHash(t.Sender):
		return nil
	}
	return func() string {
		e.Owner, e.Address, e.OwnerKey = t.Recipient, addr, nil
		word := ">>"
		if !op.Keep {
			e.Value, word = nil, ">~"
		}
		r.did(e, word, t)
		return e.serialiseTransfer(op)
	}
}

// revoke: the owner ends the name, which has not expired in this block either.
func (r *rules) revoke(t *ops.Tx, op ops.Revoke) func() string {
	e := r.s.name(op.Name)
	if !r.usable(e, t.Sender) || r.expired(e, r.height) {
		return nil
	}
	return func() string {
		e.Revoked, e.Value = true, nil
		r.did(e, "~", t)
		return e.serialise('~')
	}
}
