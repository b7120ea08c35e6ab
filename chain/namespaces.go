package chain

import (
	"github.com/btcsuite/btcd/address/v2"
	"github.com/btcsuite/btcd/btcec/v2"
	"github.com/btcsuite/btcd/btcutil/v2/hdkeychain"

	"satchel/chain/ops"
)

// preorderNamespace: the hash is not preordered, the consensus hash is recent
// and a fee is paid. Whether it is enough, the reveal shows.
func (r *rules) preorderNamespace(t *ops.Tx, op ops.NamespacePreorder) func() string {
	p := r.preorder(t, '*', op.Hash, op.Consensus)
	if p == nil {
		return nil
	}
	return func() string {
		r.putPreorder(p)
		return p.serialiseNamespace()
	}
}

// namespaceVersion is the only version of namespaces in these epochs.
const namespaceVersion = 1

// reveal makes the recipient the one who may import names and declare the
// namespace ready.
func (r *rules) reveal(t *ops.Tx, op ops.NamespaceReveal) func() string {
	if t.Outputs != 3 || !ops.IsPubKeyHash(t.Recipient) || !r.p.RevealByAnyone && !ops.IsPubKeyHash(t.Sender) {
		return nil
	}
	old := r.s.namespace(op.ID)
	if old != nil && (old.Ready > 0 || old.Revealed == r.height || r.revealed(old, r.height-1)) {
		return nil
	}
	addr := r.p.address(t.Recipient)
	p := r.outstanding('*', ops.HashName(op.ID, t.Sender, addr))
	switch {
	case p == nil,
		string(p.Sender) != string(t.Sender),
		op.Version != namespaceVersion,
		p.Fee < r.p.namespacePrice(op.ID),
		op.NonAlpha == 0, op.NoVowel == 0,
		r.collided[op.ID]:
		return nil
	}
	ns := &namespace{
		ID: op.ID, PreorderHash: p.Hash, Version: int(op.Version),
		Sender: p.Sender, SenderKey: p.SenderKey, Address: p.Address,
		Revealer: t.Recipient, RevealerAddr: addr,
		BlockNumber: p.Height, Revealed: r.height, Op: '&', Txid: t.Txid, Index: t.Index,
		Lifetime: op.Lifetime, Coefficient: op.Coefficient, Base: op.Base, Buckets: op.Buckets,
		NonAlpha: op.NonAlpha, NoVowel: op.NoVowel,
	}
	if old != nil {
		ns.BlockNumber = old.BlockNumber
	}
	return func() string {
		r.s.dropPreorder(p)
		r.s.putNamespace(ns)
		return ns.serialise()
	}
}

// ready: the revealer opens the namespace to everybody.
func (r *rules) ready(t *ops.Tx, op ops.NamespaceReady) func() string {
	ns := r.s.namespace(op.ID)
	if !r.revealed(ns, r.height-1) || string(t.Sender) != string(ns.Revealer) {
		return nil
	}
	return func() string {
		ns.Ready, ns.Sender = r.height, t.Sender
		ns.Op, ns.Txid, ns.Index = '!', t.Txid, t.Index
		r.s.putNamespace(ns)
		return ns.serialiseReady()
	}
}

// importName: the revealer, or a child of his key, gives out a name before the
// namespace is ready; he may do so again. The revealer himself has to be the
// first, for that shows his key.
func (r *rules) importName(t *ops.Tx, op ops.Import) func() string {
	ns := r.s.namespace(Name(op.Name).Namespace())
	addr := r.p.address(t.Recipient)
	if !r.revealed(ns, r.height-1) || t.SenderKey == nil || addr == "" || !t.HasValue {
		return nil
	}
	importer := r.p.address(t.Sender)
	if ns.ImportKey == nil && importer != ns.RevealerAddr ||
		ns.ImportKey != nil && !r.p.mayImport(ns.ImportKey, importer) {
		return nil
	}
	e := &entry{
		Name: op.Name, Value: t.Value[:], Owner: t.Recipient, OwnerKey: t.SenderKey, Address: addr,
		BlockNumber: r.height, Preordered: r.height, FirstRegistered: r.height, LastRenewed: r.height,
		Fee: pythonFloat(r.p.price(Name(op.Name), ns, r.height)), Importer: t.Sender, ImporterAddress: importer,
		PreorderHash: ops.HashName(op.Name, t.Sender, addr),
	}
	if old := r.s.name(op.Name); old != nil {
		e.BlockNumber, e.Preordered, e.FirstRegistered = old.BlockNumber, old.Preordered, old.FirstRegistered
		e.LastRenewed, e.PreorderHash = old.LastRenewed, old.PreorderHash
	}
	return func() string {
		if ns.ImportKey == nil {
			ns.ImportKey = t.SenderKey
			r.s.putNamespace(ns)
		}
		r.did(e, ";", t)
		return e.serialiseOwned(';')
	}
}

// mayImport says if an address is that of a revealer's key or of one of its
// children.
func (p *Params) mayImport(key []byte, addr string) bool {
	pub, err := btcec.ParsePubKey(key)
	if err != nil {
		return false
	}
	if addr == p.keyAddress(key) {
		return true
	}
	parent := hdkeychain.NewExtendedKey(p.Chain.HDPublicKeyID[:], pub.SerializeCompressed(), make([]byte, 32),
		make([]byte, 4), 0, 0, false)
	for i := range p.ImportKeys {
		child, err := parent.Derive(uint32(i))
		if err != nil {
			continue // one in 2^127
		}
		if pub, err := child.ECPubKey(); err == nil && addr == p.keyAddress(pub.SerializeCompressed()) {
			return true
		}
	}
	return false
}

// keyAddress returns the p2pkh address of a public key as it is serialised.
func (p *Params) keyAddress(pub []byte) string {
	a, err := address.NewAddressPubKeyHash(address.Hash160(pub), p.Chain)
	if err != nil {
		return ""
	}
	return a.EncodeAddress()
}
