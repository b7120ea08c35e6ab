package devnet

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"slices"

	"github.com/btcsuite/btcd/blockchain"
	"github.com/btcsuite/btcd/btcutil/v2"
	"github.com/btcsuite/btcd/chainhash/v2"
	"github.com/btcsuite/btcd/txscript/v2"
	"github.com/btcsuite/btcd/wire/v2"

	"satchel/chain/bitcoin"
)

// coins is an index of the best chain's transactions and unspent outputs, kept
// in memory: a private chain is small. Node.mu guards it.
type coins struct {
	txs   map[chainhash.Hash]*wire.MsgTx
	outs  map[wire.OutPoint]coin
	spent map[wire.OutPoint]coin // by transactions of the best chain
}

type coin struct {
	out      *wire.TxOut
	height   int
	coinbase bool
}

func newCoins() *coins {
	return &coins{txs: make(map[chainhash.Hash]*wire.MsgTx), outs: make(map[wire.OutPoint]coin), spent: make(map[wire.OutPoint]coin)}
}

func (c *coins) connect(b *wire.MsgBlock, height int) {
	for i, tx := range b.Transactions {
		hash := tx.TxHash()
		c.txs[hash] = tx
		for _, in := range tx.TxIn {
			if o, ok := c.outs[in.PreviousOutPoint]; ok {
				c.spent[in.PreviousOutPoint] = o
				delete(c.outs, in.PreviousOutPoint)
			}
		}
		for j, out := range tx.TxOut {
			if txscript.IsUnspendable(out.PkScript) {
				continue
			}
			c.outs[wire.OutPoint{Hash: hash, Index: uint32(j)}] = coin{out, height, i == 0}
		}
	}
}

func (c *coins) disconnect(b *wire.MsgBlock) {
	for _, tx := range slices.Backward(b.Transactions) {
		hash := tx.TxHash()
		delete(c.txs, hash)
		for j := range tx.TxOut {
			delete(c.outs, wire.OutPoint{Hash: hash, Index: uint32(j)})
		}
		for _, in := range tx.TxIn {
			if o, ok := c.spent[in.PreviousOutPoint]; ok {
				c.outs[in.PreviousOutPoint] = o
				delete(c.spent, in.PreviousOutPoint)
			}
		}
	}
}

// unspent returns what can be spent in the block after tip.
func (c *coins) unspent(script []byte, tip, maturity int) []bitcoin.Output {
	var list []bitcoin.Output
	for p, o := range c.outs {
		if !bytes.Equal(o.out.PkScript, script) || o.coinbase && tip+1-o.height < maturity {
			continue
		}
		list = append(list, bitcoin.Output{OutPoint: p, Value: o.out.Value, Script: o.out.PkScript, Height: o.height})
	}
	slices.SortFunc(list, func(a, b bitcoin.Output) int {
		return cmp.Or(a.Height-b.Height, bytes.Compare(a.OutPoint.Hash[:], b.OutPoint.Hash[:]), cmp.Compare(a.OutPoint.Index, b.OutPoint.Index))
	})
	return list
}

// maxTx bounds a transaction that somebody sends.
const maxTx = 100_000

func decodeTx(raw []byte, tx *wire.MsgTx) error {
	if len(raw) > maxTx {
		return fmt.Errorf("transaction of %d bytes", len(raw))
	}
	r := bytes.NewReader(raw)
	if err := tx.Deserialize(r); err != nil {
		return fmt.Errorf("transaction: %w", err)
	}
	if r.Len() > 0 {
		return errors.New("transaction with bytes behind it")
	}
	return blockchain.CheckTransactionSanity(btcutil.NewTx(tx))
}

func encodeTx(tx *wire.MsgTx) []byte {
	var b bytes.Buffer
	_ = tx.Serialize(&b) // a bytes.Buffer takes everything
	return b.Bytes()
}
