package ops

import (
	"fmt"

	"github.com/btcsuite/btcd/address/v2"
	"github.com/btcsuite/btcd/chaincfg/v2"
	"github.com/btcsuite/btcd/chainhash/v2"
	"github.com/btcsuite/btcd/txscript/v2"
	"github.com/btcsuite/btcd/wire/v2"
)

// A Tx is what the registry reads from a transaction that carries an
// operation.
type Tx struct {
	Op    Operation
	Txid  chainhash.Hash
	Index int // in its block; the coinbase has 0. The caller sets it.

	// Sender is the script of the output that input 0 spends. The caller
	// sets it by SetSender, which also finds SenderKey.
	Sender    []byte
	SenderKey []byte // 33 or 65 bytes as pushed by input 0; nil unless the sender is p2pkh

	Recipient []byte // script of the first output that is no OP_RETURN; nil if there is none
	Fee       int64  // satoshi paid to BurnScript, in its first output
	HasFee    bool
	Value     [20]byte // of an import: its value hash
	HasValue  bool     // false if that output's script is neither p2pkh nor p2sh
	Outputs   int      // how many there are

	sigScript []byte
}

// Read finds the operation in a transaction; ok is false if it has none or a
// malformed one. Of several OP_RETURN outputs the last one counts.
func Read(magic [2]byte, tx *wire.MsgTx) (t *Tx, ok bool) {
	var push []byte
	for _, out := range tx.TxOut {
		if data, ok := ReturnData(out.PkScript); ok {
			push = data
		}
	}
	op, err := Decode(magic, push)
	if err != nil || len(tx.TxIn) == 0 {
		return nil, false
	}
	t = &Tx{Op: op, Txid: tx.TxHash(), Outputs: len(tx.TxOut), sigScript: tx.TxIn[0].SignatureScript}
	t.readOutputs(tx.TxOut)
	return t, true
}

func (t *Tx) readOutputs(outs []*wire.TxOut) {
	other := false // there was an output to somebody else than the recipient
	for _, out := range outs {
		if isReturn(out.PkScript) {
			continue
		}
		if t.Recipient == nil {
			t.Recipient = out.PkScript
		}
		if !t.HasFee && string(out.PkScript) == string(burnScript) {
			t.Fee, t.HasFee = out.Value, true
		}
		if !other && string(out.PkScript) != string(t.Recipient) {
			other = true
			t.Value, t.HasValue = scriptHash(out.PkScript)
		}
	}
}

func isReturn(script []byte) bool {
	return len(script) > 0 && script[0] == txscript.OP_RETURN
}

// SetSender says which script input 0 spends.
func (t *Tx) SetSender(script []byte) {
	t.Sender, t.SenderKey = script, nil
	if !IsPubKeyHash(script) {
		return
	}
	key := lastPush(t.sigScript)
	if h, _ := scriptHash(script); [20]byte(address.Hash160(key)) == h {
		t.SenderKey = key
	}
}

func lastPush(script []byte) (data []byte) {
	for tok := txscript.MakeScriptTokenizer(0, script); tok.Next(); {
		data = tok.Data()
	}
	return data
}

// burnScript is p2pkh of twenty zero bytes.
var burnScript = append(append([]byte{txscript.OP_DUP, txscript.OP_HASH160, 20}, make([]byte, 20)...),
	txscript.OP_EQUALVERIFY, txscript.OP_CHECKSIG)

// BurnScript is the script that fees are paid to: nobody has its key.
func BurnScript() []byte { return append([]byte(nil), burnScript...) }

// IsPubKeyHash says if a script is p2pkh.
func IsPubKeyHash(script []byte) bool {
	return len(script) == 25 && string(script[:3]) == string(burnScript[:3]) && string(script[23:]) == string(burnScript[23:])
}

// IsScriptHash says if a script is p2sh.
func IsScriptHash(script []byte) bool {
	return len(script) == 23 && script[0] == txscript.OP_HASH160 && script[1] == 20 && script[22] == txscript.OP_EQUAL
}

// scriptHash returns the hash in a p2pkh or p2sh script.
func scriptHash(script []byte) (h [20]byte, ok bool) {
	switch {
	case IsPubKeyHash(script):
		return [20]byte(script[3:]), true
	case IsScriptHash(script):
		return [20]byte(script[2:]), true
	}
	return h, false
}

// Address returns the address of a p2pkh or p2sh script, "" of any other.
func Address(script []byte, p *chaincfg.Params) string {
	h, ok := scriptHash(script)
	if !ok {
		return ""
	}
	var a address.Address
	var err error
	if IsPubKeyHash(script) {
		a, err = address.NewAddressPubKeyHash(h[:], p)
	} else {
		a, err = address.NewAddressScriptHashFromHash(h[:], p)
	}
	if err != nil {
		return ""
	}
	return a.EncodeAddress()
}

// PayTo returns the script of a p2pkh or p2sh address.
func PayTo(addr string, p *chaincfg.Params) ([]byte, error) {
	a, err := address.DecodeAddress(addr, p)
	if err != nil {
		return nil, fmt.Errorf("address %q: %w", addr, err)
	}
	script, err := txscript.PayToAddrScript(a)
	if err == nil && (!a.IsForNet(p) || Address(script, p) == "") {
		err = fmt.Errorf("a name's owner must be a p2pkh or p2sh address of %s", p.Name)
	}
	if err != nil {
		return nil, fmt.Errorf("address %q: %w", addr, err)
	}
	return script, nil
}
