// Package chaintest makes regtest blocks in memory: it mines, registers names
// and reorganises, and is a bitcoin.Source, so that a test has a chain of its
// own. Its signatures are empty: nothing in package chain looks at them, since a
// block that has the work has been through the miners' eyes.
package chaintest

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"os"
	"sync"
	"testing"
	"time"

	"github.com/btcsuite/btcd/blockchain"
	"github.com/btcsuite/btcd/btcutil/v2"
	"github.com/btcsuite/btcd/chainhash/v2"
	"github.com/btcsuite/btcd/wire/v2"

	"satchel/chain"
	"satchel/chain/bitcoin"
)

// A Chain is a private chain in memory. It implements bitcoin.Source,
// PrevTxer, Broadcaster and Waker, and is safe for concurrent use as a source.
type Chain struct {
	T      testing.TB
	Params *chain.Params
	Miner  Key // pays for everything

	mu     sync.Mutex
	blocks []*wire.MsgBlock // by height
	old    map[chainhash.Hash]*wire.MsgBlock
	txs    map[chainhash.Hash]*wire.MsgTx
	pool   []*wire.MsgTx
	wake   chan struct{}
	salt   uint32 // makes coinbases and so blocks differ

	index    *chain.Index // of the chain itself, for consensus hashes
	follower *chain.Follower
}

// New returns a chain with the rules chain.Satchel, mined up to the block before
// firstBlock. The test closes what it opens.
func New(t testing.TB, firstBlock int) *Chain {
	c := &Chain{
		T:      t,
		Params: chain.Satchel(RegTest, firstBlock),
		Miner:  NewKey("miner"),
		blocks: []*wire.MsgBlock{RegTest.GenesisBlock},
		old:    make(map[chainhash.Hash]*wire.MsgBlock),
		txs:    make(map[chainhash.Hash]*wire.MsgTx),
		wake:   make(chan struct{}, 1),
	}
	index, err := chain.OpenIndex("", c.Params)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { index.Close() })
	c.index = index
	c.follower = chain.NewFollower(c, index, chain.FollowerOptions{})
	c.Mine(firstBlock - 1)
	return c
}

// Height returns the height of the tip.
func (c *Chain) Height() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.blocks) - 1
}

// Hash returns the hash of the block at a height.
func (c *Chain) Hash(height int) chainhash.Hash {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.blocks[height].BlockHash()
}

// Mine mines n blocks, the first of which takes what was broadcast.
func (c *Chain) Mine(n int) {
	for range n {
		c.mu.Lock()
		txs := c.pool
		c.pool = nil
		c.mu.Unlock()
		c.MineBlock(txs...)
	}
}

// MineBlock mines one block with just these transactions.
func (c *Chain) MineBlock(txs ...*wire.MsgTx) {
	c.mu.Lock()
	defer c.mu.Unlock()
	b := c.build(txs)
	c.blocks = append(c.blocks, b)
	for _, tx := range b.Transactions {
		c.txs[tx.TxHash()] = tx
	}
	c.ring()
}

// build makes the block that follows the tip.
func (c *Chain) build(txs []*wire.MsgTx) *wire.MsgBlock {
	height := len(c.blocks)
	parent := c.blocks[height-1].Header
	b := &wire.MsgBlock{Header: wire.BlockHeader{
		Version:   0x20000000,
		PrevBlock: parent.BlockHash(),
		Timestamp: parent.Timestamp.Add(time.Minute),
		Bits:      c.Params.Chain.PowLimitBits,
	}}
	b.Transactions = append([]*wire.MsgTx{c.coinbase(height)}, txs...)
	var hashed []*btcutil.Tx
	for _, tx := range b.Transactions {
		hashed = append(hashed, btcutil.NewTx(tx))
	}
	b.Header.MerkleRoot = blockchain.CalcMerkleRoot(hashed, false)
	Work(&b.Header)
	return b
}

// Work finds the nonce that gives a header the work it claims.
func Work(h *wire.BlockHeader) {
	target := blockchain.CompactToBig(h.Bits)
	for {
		hash := h.BlockHash()
		if blockchain.HashToBig(&hash).Cmp(target) <= 0 {
			return
		}
		h.Nonce++
	}
}

// coinbase pays the miner in many coins, so that one block pays for many
// operations.
func (c *Chain) coinbase(height int) *wire.MsgTx {
	tx := wire.NewMsgTx(2)
	c.salt++
	sig := binary.LittleEndian.AppendUint32([]byte{4}, uint32(height))
	sig = binary.LittleEndian.AppendUint32(append(sig, 4), c.salt)
	tx.AddTxIn(&wire.TxIn{PreviousOutPoint: wire.OutPoint{Index: 1<<32 - 1}, SignatureScript: sig, Sequence: 1<<32 - 1})
	tx.AddTxOut(&wire.TxOut{Value: 50 * btcutil.SatoshiPerBitcoin, PkScript: c.Miner.Script})
	return tx
}

// Reorg replaces the last n blocks by n+1 new ones, of which the first holds
// these transactions and none of the old ones come back.
func (c *Chain) Reorg(n int, txs ...*wire.MsgTx) {
	c.mu.Lock()
	keep := len(c.blocks) - n
	for _, b := range c.blocks[keep:] {
		c.old[b.BlockHash()] = b
	}
	c.blocks = c.blocks[:keep:keep]
	c.mu.Unlock()
	c.MineBlock(txs...)
	c.Mine(n)
}

func (c *Chain) ring() {
	select {
	case c.wake <- struct{}{}:
	default:
	}
}

// Headers implements bitcoin.Source.
func (c *Chain) Headers(ctx context.Context, locator []chainhash.Hash) ([]wire.BlockHeader, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	at := make(map[chainhash.Hash]int, len(c.blocks))
	for i := range c.blocks {
		at[c.blocks[i].BlockHash()] = i
	}
	from := 0
	for _, l := range locator {
		if i, ok := at[l]; ok {
			from = i
			break
		}
	}
	var hs []wire.BlockHeader
	for _, b := range c.blocks[from+1:] {
		if len(hs) == bitcoin.MaxHeaders {
			break
		}
		hs = append(hs, b.Header)
	}
	return hs, ctx.Err()
}

// Block implements bitcoin.Source.
func (c *Chain) Block(ctx context.Context, hash chainhash.Hash) ([]byte, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	found := c.old[hash]
	for _, b := range c.blocks {
		if b.BlockHash() == hash {
			found = b
		}
	}
	if found == nil {
		return nil, fmt.Errorf("block %v: %w", hash, os.ErrNotExist)
	}
	var b bytes.Buffer
	found.Serialize(&b)
	return b.Bytes(), ctx.Err()
}

// PrevTx implements bitcoin.PrevTxer.
func (c *Chain) PrevTx(ctx context.Context, txid chainhash.Hash) ([]byte, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	tx := c.txs[txid]
	if tx == nil {
		return nil, fmt.Errorf("transaction %v: %w", txid, os.ErrNotExist)
	}
	return Raw(tx), ctx.Err()
}

// Broadcast implements bitcoin.Broadcaster: the next block of Mine takes the
// transaction.
func (c *Chain) Broadcast(ctx context.Context, raw []byte) (chainhash.Hash, error) {
	tx := new(wire.MsgTx)
	if err := tx.Deserialize(bytes.NewReader(raw)); err != nil {
		return chainhash.Hash{}, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.pool = append(c.pool, tx)
	c.txs[tx.TxHash()] = tx
	return tx.TxHash(), ctx.Err()
}

// Wake implements bitcoin.Waker.
func (c *Chain) Wake() <-chan struct{} { return c.wake }

// Raw serialises a transaction.
func Raw(tx *wire.MsgTx) []byte {
	var b bytes.Buffer
	tx.Serialize(&b)
	return b.Bytes()
}
