package devnet

import (
	"context"
	"errors"
	"fmt"
	"os"

	"github.com/btcsuite/btcd/blockchain"
	"github.com/btcsuite/btcd/btcutil/v2"
	"github.com/btcsuite/btcd/chainhash/v2"
	"github.com/btcsuite/btcd/wire/v2"

	"satchel/chain/bitcoin"
)

// notified keeps coins in step with the chain. It is called by whoever holds n.mu.
func (n *Node) notified(e *blockchain.Notification) {
	b, ok := e.Data.(*btcutil.Block)
	if !ok {
		return
	}
	switch e.Type {
	case blockchain.NTBlockConnected:
		n.coins.connect(b.MsgBlock(), int(b.Height()))
	case blockchain.NTBlockDisconnected:
		n.coins.disconnect(b.MsgBlock())
	default:
		return
	}
	close(n.moved)
	n.moved = make(chan struct{})
	select {
	case n.wake <- struct{}{}:
	default:
	}
}

// Height is that of the newest block.
func (n *Node) Height() int {
	n.mu.RLock()
	defer n.mu.RUnlock()
	return int(n.chain.BestSnapshot().Height)
}

// tip returns the newest block's hash, and a channel that is closed when
// another one is.
func (n *Node) tip() (chainhash.Hash, <-chan struct{}) {
	n.mu.RLock()
	defer n.mu.RUnlock()
	return n.chain.BestSnapshot().Hash, n.moved
}

// Headers implements bitcoin.Source.
func (n *Node) Headers(ctx context.Context, locator []chainhash.Hash) ([]wire.BlockHeader, error) {
	l := make(blockchain.BlockLocator, len(locator))
	for i := range locator {
		l[i] = &locator[i]
	}
	n.mu.RLock()
	defer n.mu.RUnlock()
	if n.closed {
		return nil, errClosed
	}
	return n.chain.LocateHeaders(l, &chainhash.Hash{}), nil
}

// Block implements bitcoin.Source, for blocks of the best chain.
func (n *Node) Block(ctx context.Context, hash chainhash.Hash) ([]byte, error) {
	n.mu.RLock()
	defer n.mu.RUnlock()
	if n.closed {
		return nil, errClosed
	}
	b, err := n.chain.BlockByHash(&hash)
	if err != nil {
		return nil, fmt.Errorf("block %v: %w", hash, os.ErrNotExist)
	}
	return b.Bytes()
}

// PrevTx implements bitcoin.PrevTxer.
func (n *Node) PrevTx(ctx context.Context, txid chainhash.Hash) ([]byte, error) {
	n.mu.RLock()
	tx := n.coins.txs[txid]
	n.mu.RUnlock()
	if tx == nil {
		return nil, fmt.Errorf("transaction %v: %w", txid, os.ErrNotExist)
	}
	return encodeTx(tx), nil
}

// A rejection is why a transaction is not mined.
type rejection struct{ error }

// Rejected tells apart a transaction that was refused from a chain that failed.
func (r rejection) Rejected() bool { return true }
func (r rejection) Unwrap() error  { return r.error }

// Broadcast implements bitcoin.Broadcaster: the transaction is mined at once, so
// one that the rules refuse is an error here. One that is mined already is none.
func (n *Node) Broadcast(ctx context.Context, raw []byte) (chainhash.Hash, error) {
	var tx wire.MsgTx
	if err := decodeTx(raw, &tx); err != nil {
		return chainhash.Hash{}, rejection{err}
	}
	hash := tx.TxHash()
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.coins.txs[hash] != nil {
		return hash, nil
	}
	_, err := n.mine(n.script, true, &tx)
	if rule := (blockchain.RuleError{}); errors.As(err, &rule) {
		err = rejection{err}
	}
	if err != nil {
		return chainhash.Hash{}, fmt.Errorf("transaction %v: %w", hash, err)
	}
	return hash, nil
}

// Wake implements bitcoin.Waker, for one follower: the node's own.
func (n *Node) Wake() <-chan struct{} { return n.wake }

// Unspent implements bitcoin.Unspenter.
func (n *Node) Unspent(ctx context.Context, script []byte) ([]bitcoin.Output, error) {
	n.mu.RLock()
	defer n.mu.RUnlock()
	return n.unspent(script), nil
}

func (n *Node) unspent(script []byte) []bitcoin.Output {
	return n.coins.unspent(script, int(n.chain.BestSnapshot().Height), int(n.params.CoinbaseMaturity))
}
