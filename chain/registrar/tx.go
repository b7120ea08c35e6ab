package registrar

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"slices"

	"github.com/btcsuite/btcd/address/v2"
	"github.com/btcsuite/btcd/btcec/v2"
	"github.com/btcsuite/btcd/chainhash/v2"
	"github.com/btcsuite/btcd/txscript/v2"
	"github.com/btcsuite/btcd/wire/v2"

	"satchel/chain/bitcoin"
	"satchel/chain/ops"
)

const (
	// Dust is the smallest output that clients of the old system wrote and
	// nodes relay.
	Dust = 5500

	// FloorRate is the fee in satoshi per 1,000 bytes where nobody can say what
	// the network asks for.
	FloorRate = 2000
	// minRate is what nodes relay at all, and by how much a transaction that
	// replaces another one has to pay more.
	minRate = 1000

	maxInputs = 200
)

// A Tx is a transaction that was built for a job.
type Tx struct {
	Op     string  `json:"op"`
	Arg    string  `json:"arg,omitempty"` // tells the operation from others of its kind
	Raw    Hex     `json:"tx"`            // all inputs of one p2pkh or p2sh script
	Signed bool    `json:"signed"`
	Coins  []int64 `json:"coins"` // values of what it spends, in satoshi
	Fee    int64   `json:"fee"`   // satoshi
	Burnt  int64   `json:"burnt,omitempty"`
	Quotes Hex     `json:"quotes,omitempty"` // consensus hash
	At     int     `json:"at"`               // the height that has it, or at which it was built
	Best   int     `json:"best"`             // height of the chain when it was built
	Done   bool    `json:"done,omitempty"`   // it took effect
	Void   bool    `json:"void,omitempty"`   // it is not sent any more
	Spent  bool    `json:"spent,omitempty"`  // it was mined and did nothing, or nothing that lasted

	msg *wire.MsgTx
}

// Txid returns the transaction's id. Before it is signed it has another one.
func (t *Tx) Txid() chainhash.Hash { return t.msg.TxHash() }

// parse decodes what a file had.
func (t *Tx) parse() error {
	t.msg = new(wire.MsgTx)
	if err := t.msg.Deserialize(bytes.NewReader(t.Raw)); err != nil {
		return err
	}
	if len(t.msg.TxIn) == 0 || len(t.msg.TxIn) != len(t.Coins) {
		return errors.New("it has not as many inputs as coins")
	}
	return nil
}

// coins returns what the transaction spends; all of it is the owner's.
func (t *Tx) coins(owner []byte) []bitcoin.Output {
	outs := make([]bitcoin.Output, len(t.Coins))
	for i, v := range t.Coins {
		outs[i] = bitcoin.Output{OutPoint: t.msg.TxIn[i].PreviousOutPoint, Value: v, Script: owner}
	}
	return outs
}

// A place is where a transaction stands, as far as its owner's coins tell.
type place int

const (
	unseen place = iota // nobody has seen it: all of its coins are there
	pooled              // in the memory pool
	mined               // in a block
	gone                // coins of it are spent or undone, and it can't be seen
)

// where finds a job's transaction: among its owner's coins; by what was made of its
// change; or, as some sources don't tell of coins in the memory pool, by asking for
// it. One of which coins are spent by others of the job, which wait, may still take
// their place: it is unseen.
func (r *Registrar) where(ctx context.Context, e *entry, t *Tx, coins []bitcoin.Output) (at place, height int, err error) {
	if at, height, err = r.whereAlone(ctx, e, t, coins); at != gone || err != nil {
		return at, height, err
	}
	for _, c := range t.coins(e.Owner) {
		there := has(coins, c.OutPoint)
		for i := 0; i < len(e.Txs) && !there; i++ {
			u := &e.Txs[i]
			if u == t || !u.Signed || !u.spends(c.OutPoint) {
				continue
			}
			is, _, err := r.whereAlone(ctx, e, u, coins)
			if err != nil {
				return gone, 0, err
			}
			there = is == pooled
		}
		if !there {
			return gone, 0, nil
		}
	}
	return unseen, 0, nil
}

// whereAlone is where without a look at what else spends the coins.
func (r *Registrar) whereAlone(ctx context.Context, e *entry, t *Tx, coins []bitcoin.Output) (at place, height int, err error) {
	if at, height = t.where(coins); at != gone {
		return at, height, nil
	}
	if height = e.minedAbove(t, coins); height > 0 {
		return mined, height, nil
	}
	src, ok := r.Chain.(bitcoin.PrevTxer)
	if !ok || !t.Signed || t.Done || t.Spent {
		return gone, 0, nil
	}
	switch _, err := src.PrevTx(ctx, t.Txid()); {
	case err == nil:
		return pooled, 0, nil
	case errors.Is(err, os.ErrNotExist):
		return gone, 0, nil
	default:
		return gone, 0, fmt.Errorf("transaction %v: %w", t.Txid(), err)
	}
}

// minedAbove returns the height of a block that can't be without t: it has a later
// transaction of the job that spends what t made. It is 0 if there is none.
func (e *entry) minedAbove(t *Tx, coins []bitcoin.Output) (height int) {
	id := t.Txid()
	for i := range e.Txs {
		u := &e.Txs[i]
		if u == t || !slices.ContainsFunc(u.msg.TxIn, func(in *wire.TxIn) bool { return in.PreviousOutPoint.Hash == id }) {
			continue
		}
		if at, h := u.where(coins); at == mined {
			return h
		}
		if h := e.minedAbove(u, coins); h > 0 {
			return h
		}
	}
	return 0
}

// where finds a transaction among its owner's coins: each one pays its owner
// change. height is that of its block.
func (t *Tx) where(coins []bitcoin.Output) (at place, height int) {
	txid, there := t.Txid(), 0
	for _, c := range coins {
		switch {
		case c.OutPoint.Hash == txid && c.Height > 0:
			return mined, c.Height
		case c.OutPoint.Hash == txid:
			at = pooled
		case t.spends(c.OutPoint):
			there++
		}
	}
	if at == unseen && there < len(t.Coins) {
		at = gone
	}
	return at, 0
}

func (t *Tx) spends(o wire.OutPoint) bool {
	return slices.ContainsFunc(t.msg.TxIn, func(in *wire.TxIn) bool { return in.PreviousOutPoint == o })
}

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
	d := draft{script: ScriptOf(key), may: coins, outs: outs, change: change, rate: FloorRate}
	if err := d.fill(); err != nil {
		return nil, err
	}
	return d.tx, sign(d.tx, d.script, key)
}

// A draft is a transaction that is being made.
type draft struct {
	script []byte           // that pays and gets the change
	must   []bitcoin.Output // coins that it has to spend
	may    []bitcoin.Output // coins that it may spend
	outs   []*wire.TxOut
	change int   // where the change stands among all outputs
	rate   int64 // satoshi per 1,000 bytes
	over   int64 // fees of transactions that it replaces

	tx    *wire.MsgTx // unsigned
	coins []bitcoin.Output
	fee   int64
}

// fill chooses coins and makes the transaction: those that it must spend, then
// the greatest, until they are enough.
func (d *draft) fill() error {
	d.coins = slices.Clone(d.must)
	var have, pay int64
	for _, o := range d.outs {
		pay += o.Value
	}
	for _, c := range d.coins {
		have += c.Value
	}
	may := slices.SortedStableFunc(slices.Values(d.may), func(a, b bitcoin.Output) int { return cmp.Compare(b.Value, a.Value) })
	for _, c := range may {
		if have >= pay+Dust+d.feeFor(len(d.coins)) && len(d.coins) > 0 || len(d.coins) == maxInputs {
			break
		}
		if bytes.Equal(c.Script, d.script) {
			d.coins, have = append(d.coins, c), have+c.Value
		}
	}
	d.fee = d.feeFor(max(len(d.coins), 1))
	if need := pay + Dust + d.fee; have < need || len(d.coins) == 0 {
		return &noFunds{need, have}
	}
	d.tx = wire.NewMsgTx(1)
	for _, c := range d.coins {
		in := wire.NewTxIn(&c.OutPoint, nil, nil)
		in.Sequence = wire.MaxTxInSequenceNum - 2 // it can be replaced by one with a higher fee
		d.tx.AddTxIn(in)
	}
	d.tx.TxOut = slices.Insert(slices.Clone(d.outs), d.change, wire.NewTxOut(have-pay-d.fee, d.script))
	return nil
}

// Sizes of a signed input: of p2pkh with a compressed key, and of p2sh as two of
// three sign it, which is a guess.
const (
	keyInput    = 32 + 4 + 1 + 1 + 72 + 1 + 33 + 4
	scriptInput = 32 + 4 + 3 + 1 + 2*73 + 2 + 105 + 4
)

// size is what the signed transaction has at most.
func (d *draft) size(inputs int) int64 {
	in := keyInput
	if ops.IsScriptHash(d.script) {
		in = scriptInput
	}
	n := 4 + wire.VarIntSerializeSize(uint64(inputs)) + inputs*in + wire.VarIntSerializeSize(uint64(len(d.outs)+1)) + 4
	n += wire.NewTxOut(0, d.script).SerializeSize()
	for _, o := range d.outs {
		n += o.SerializeSize()
	}
	return int64(n)
}

func (d *draft) feeFor(inputs int) int64 {
	size := d.size(inputs)
	fee := (d.rate*size + 999) / 1000
	if d.over > 0 {
		fee = max(fee, d.over+(minRate*size+999)/1000)
	}
	return fee
}

// A noFunds is an ErrNoFunds with its numbers.
type noFunds struct{ need, have int64 }

func (e *noFunds) Error() string {
	return fmt.Sprintf("%v: %d satoshi are needed, %d are there", ErrNoFunds, e.need, e.have)
}

func (e *noFunds) Is(err error) bool { return err == ErrNoFunds }

// sign signs all inputs of a transaction, which spend outputs of one p2pkh script.
func sign(tx *wire.MsgTx, script []byte, key *btcec.PrivateKey) error {
	for i := range tx.TxIn {
		sig, err := txscript.SignatureScript(tx, i, script, txscript.SigHashAll, key, true)
		if err != nil {
			return fmt.Errorf("sign input %d: %w", i, err)
		}
		tx.TxIn[i].SignatureScript = sig
	}
	return nil
}

func encode(tx *wire.MsgTx) []byte {
	var b bytes.Buffer
	_ = tx.Serialize(&b) // a bytes.Buffer takes everything
	return b.Bytes()
}
