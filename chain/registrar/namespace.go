package registrar

import (
	"context"
	"encoding/hex"

	"github.com/btcsuite/btcd/btcec/v2"
	"github.com/btcsuite/btcd/wire/v2"

	"satchel/chain"
	"satchel/chain/ops"
)

// Namespace opens a namespace in which all names cost the least and never
// expire, if it is not open yet. It is for private chains.
func (r *Registrar) Namespace(ctx context.Context, id string, key *btcec.PrivateKey) error {
	script := ScriptOf(key)
	hash := ops.HashName(id, script, ops.Address(script, r.Index.Params().Chain))
	preordered := func() bool { _, ok := r.Index.Preordered(hash); return ok }
	revealed := func() bool { ns, err := r.Index.Namespace(id); return err == nil && !ns.Expired }
	ready := func() bool { ns, err := r.Index.Namespace(id); return err == nil && ns.Ready }
	return r.walk(ctx, chain.Name(id), key, nil, func() (*operation, error) {
		switch {
		case ready():
			return nil, nil
		case revealed():
			return &operation{
				what:   "namespace ready",
				wire:   func([16]byte) ops.Operation { return ops.NamespaceReady{ID: id} },
				change: 1,
				done:   ready,
			}, nil
		case preordered():
			return &operation{
				what:   "namespace reveal",
				wire:   func([16]byte) ops.Operation { return cheap(id) },
				outs:   []*wire.TxOut{wire.NewTxOut(Dust, script)},
				change: 2,
				done:   revealed,
			}, nil
		}
		return &operation{
			what:   "namespace preorder",
			arg:    hex.EncodeToString(hash[:]),
			wire:   func(c [16]byte) ops.Operation { return ops.NamespacePreorder{Hash: hash, Consensus: c} },
			outs:   []*wire.TxOut{wire.NewTxOut(r.Index.NamespacePrice(id), ops.BurnScript())},
			change: 1,
			done:   preordered,
		}, nil
	})
}

// cheap reveals a namespace in which each name costs the least.
func cheap(id string) ops.NamespaceReveal {
	return ops.NamespaceReveal{ID: id, Version: 1, Lifetime: ops.Forever, Base: 1, NonAlpha: 1, NoVowel: 1}
}
