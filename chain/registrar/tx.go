package registrar

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"slices"

	"github.com/btcsuite/btcd/address/v2"
	"github.com/btcsuite/btcd/btcec/v2"
	"github.com/btcsuite/btcd/txscript/v2"
	"github.com/btcsuite/btcd/wire/v2"

	"satchel/chain/bitcoin"
)

const (
	// Dust is the smallest output that clients of the old system wrote and
	// nodes relay.
	Dust = 5500
	// feePerInput and feeBase make a fee of well over one satoshi per byte.
	feePerInput = 500
	feeBase     = 1500

	maxInputs = 200
)

// ErrNoFunds reports an owner address without enough coins.
var ErrNoFunds = errors.New("not enough coins")

// ScriptOf returns the p2pkh script of a key.
func ScriptOf(key *btcec.PrivateKey) []byte {
	h := address.Hash160(key.PubKey().SerializeCompressed())
	s := append([]byte{txscript.OP_DUP, txscript.OP_HASH160, 20}, h...)
	return append(s, txscript.OP_EQUALVERIFY, txscript.OP_CHECKSIG)
}

// Build makes a signed transaction that pays outs from coins of key's p2pkh
// script; what is left goes back to it in an output that is put in at index
// change. There always is one.
func Build(key *btcec.PrivateKey, coins []bitcoin.Output, outs []*wire.TxOut, change int) (*wire.MsgTx, error) {
	script := ScriptOf(key)
	need := int64(feeBase + Dust)
	for _, o := range outs {
		need += o.Value
	}
	coins = slices.SortedStableFunc(slices.Values(coins), func(a, b bitcoin.Output) int { return cmp.Compare(b.Value, a.Value) })
	tx, have := wire.NewMsgTx(1), int64(0)
	for _, c := range coins {
		if have >= need || len(tx.TxIn) == maxInputs {
			break
		}
		if !bytes.Equal(c.Script, script) {
			continue
		}
		tx.AddTxIn(wire.NewTxIn(&c.OutPoint, nil, nil))
		have += c.Value
		need += feePerInput
	}
	if have < need {
		return nil, fmt.Errorf("%w: %d satoshi are needed, %d are there", ErrNoFunds, need, have)
	}
	tx.TxOut = slices.Insert(slices.Clone(outs), change, wire.NewTxOut(have-need+Dust, script))
	for i := range tx.TxIn {
		sig, err := txscript.SignatureScript(tx, i, script, txscript.SigHashAll, key, true)
		if err != nil {
			return nil, fmt.Errorf("sign input %d: %w", i, err)
		}
		tx.TxIn[i].SignatureScript = sig
	}
	return tx, nil
}

func encode(tx *wire.MsgTx) []byte {
	var b bytes.Buffer
	_ = tx.Serialize(&b) // a bytes.Buffer takes everything
	return b.Bytes()
}
