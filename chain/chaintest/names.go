package chaintest

import (
	"context"
	"crypto/sha256"

	"github.com/btcsuite/btcd/address/v2"
	"github.com/btcsuite/btcd/btcec/v2"
	"github.com/btcsuite/btcd/chaincfg/v2"
	"github.com/btcsuite/btcd/chainhash/v2"
	"github.com/btcsuite/btcd/txscript/v2"
	"github.com/btcsuite/btcd/wire/v2"

	"satchel/chain"
	"satchel/chain/ops"
)

// A Key owns coins and names.
type Key struct {
	Private *btcec.PrivateKey
	Public  []byte // compressed
	Script  []byte // p2pkh
	Address string // on regtest
}

// RegTest are the parameters of the chain.
var RegTest = &chaincfg.RegressionNetParams

// NewKey returns the key that belongs to a word, always the same.
func NewKey(word string) Key {
	seed := sha256.Sum256([]byte(word))
	k := Key{}
	k.Private, _ = btcec.PrivKeyFromBytes(seed[:])
	k.Public = k.Private.PubKey().SerializeCompressed()
	k.Script = append([]byte{txscript.OP_DUP, txscript.OP_HASH160, 20}, address.Hash160(k.Public)...)
	k.Script = append(k.Script, txscript.OP_EQUALVERIFY, txscript.OP_CHECKSIG)
	k.Address = ops.Address(k.Script, RegTest)
	return k
}

// A Payment says what an operation's transaction pays besides carrying it.
type Payment struct {
	To  []byte // script of the recipient; nil: the sender
	Fee int64  // burnt; 0: no such output
}

// Tx returns a transaction by which a key sends an operation. It spends a coin
// of the key that is made for it in a transaction that any source would have,
// though no block has it.
func (c *Chain) Tx(from Key, op ops.Operation, p Payment) *wire.MsgTx {
	script, err := ops.Script(c.Params.Magic, op)
	if err != nil {
		c.T.Fatal(err)
	}
	tx := wire.NewMsgTx(2)
	sig := append([]byte{1, 0, byte(len(from.Public))}, from.Public...)
	tx.AddTxIn(&wire.TxIn{PreviousOutPoint: c.Coin(from.Script), SignatureScript: sig})
	tx.AddTxOut(&wire.TxOut{PkScript: script})
	to := p.To
	if to == nil {
		to = from.Script
	}
	tx.AddTxOut(&wire.TxOut{Value: 5500, PkScript: to})
	if p.Fee > 0 {
		tx.AddTxOut(&wire.TxOut{Value: p.Fee, PkScript: ops.BurnScript()})
	} else {
		tx.AddTxOut(&wire.TxOut{Value: 5500, PkScript: from.Script})
	}
	return tx
}

// Coin makes a coin with a script and returns where it is.
func (c *Chain) Coin(script []byte) wire.OutPoint {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.salt++
	tx := wire.NewMsgTx(2)
	tx.AddTxIn(&wire.TxIn{PreviousOutPoint: wire.OutPoint{Hash: chainhash.DoubleHashH(nil), Index: c.salt}})
	tx.AddTxOut(&wire.TxOut{Value: 1e9, PkScript: script})
	c.txs[tx.TxHash()] = tx
	return wire.OutPoint{Hash: tx.TxHash()}
}

// Index returns the chain's own index, at its tip.
func (c *Chain) Index() *chain.Index {
	c.T.Helper()
	if err := c.follower.Sync(context.Background()); err != nil {
		c.T.Fatal(err)
	}
	return c.index
}

// Consensus returns the consensus hash of the tip, for the next block's
// operations.
func (c *Chain) Consensus() [16]byte {
	c.T.Helper()
	ix := c.Index()
	height, _ := ix.Tip()
	hash, err := ix.ConsensusHash(height)
	if err != nil {
		c.T.Fatal(err)
	}
	return hash
}

// Namespace opens a namespace, whose names cost nothing but the least, in three
// blocks. The miner reveals it.
func (c *Chain) Namespace(id string, lifetime uint32) {
	c.T.Helper()
	hash := ops.HashName(id, c.Miner.Script, c.Miner.Address)
	fee := c.index.NamespacePrice(id)
	c.MineBlock(c.Tx(c.Miner, ops.NamespacePreorder{Hash: hash, Consensus: c.Consensus()}, Payment{Fee: fee}))
	c.MineBlock(c.Tx(c.Miner, ops.NamespaceReveal{
		ID: id, Version: 1, Lifetime: lifetime, Coefficient: 1, Base: 1, NonAlpha: 1, NoVowel: 1,
	}, Payment{}))
	c.MineBlock(c.Tx(c.Miner, ops.NamespaceReady{ID: id}, Payment{}))
}

// nameFee is what names cost in namespaces that Namespace opened.
const nameFee = 100

// PreorderTx preorders a name that owner sends and will own.
func (c *Chain) PreorderTx(name string, owner Key) *wire.MsgTx {
	c.T.Helper()
	hash := ops.HashName(name, owner.Script, owner.Address)
	return c.Tx(owner, ops.NamePreorder{Hash: hash, Consensus: c.Consensus()}, Payment{Fee: nameFee})
}

// RegisterTx registers a preordered name.
func (c *Chain) RegisterTx(name string, owner Key) *wire.MsgTx {
	return c.Tx(owner, ops.Registration{Name: name}, Payment{})
}

// RenewTx renews a name.
func (c *Chain) RenewTx(name string, owner Key) *wire.MsgTx {
	return c.Tx(owner, ops.Registration{Name: name}, Payment{Fee: nameFee})
}

// UpdateTx gives a name a value.
func (c *Chain) UpdateTx(name string, owner Key, value [20]byte) *wire.MsgTx {
	c.T.Helper()
	return c.Tx(owner, ops.Update{NameHash: ops.UpdateHash(name, c.Consensus()), Value: value}, Payment{})
}

// TransferTx gives a name to another key.
func (c *Chain) TransferTx(name string, owner, to Key, keep bool) *wire.MsgTx {
	c.T.Helper()
	return c.Tx(owner, ops.Transfer{Keep: keep, NameHash: ops.Hash128(name), Consensus: c.Consensus()}, Payment{To: to.Script})
}

// RevokeTx revokes a name.
func (c *Chain) RevokeTx(name string, owner Key) *wire.MsgTx {
	return c.Tx(owner, ops.Revoke{Name: name}, Payment{})
}

// Register registers a name with a value, in three blocks.
func (c *Chain) Register(name string, owner Key, value [20]byte) {
	c.T.Helper()
	c.MineBlock(c.PreorderTx(name, owner))
	c.MineBlock(c.RegisterTx(name, owner))
	c.MineBlock(c.UpdateTx(name, owner, value))
}
