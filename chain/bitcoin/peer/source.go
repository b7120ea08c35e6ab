package peer

import (
	"bytes"
	"context"
	"fmt"

	"github.com/btcsuite/btcd/chainhash/v2"
	"github.com/btcsuite/btcd/wire/v2"
)

// Headers implements bitcoin.Source.
func (p *Peer) Headers(ctx context.Context, locator []chainhash.Hash) ([]wire.BlockHeader, error) {
	c, err := p.connected(ctx)
	if err != nil {
		return nil, err
	}
	return c.askHeaders(ctx, locator)
}

// Block implements bitcoin.Source.
func (p *Peer) Block(ctx context.Context, hash chainhash.Hash) ([]byte, error) {
	c, err := p.connected(ctx)
	if err != nil {
		return nil, err
	}
	return c.askBlock(ctx, hash)
}

// Broadcast implements bitcoin.Broadcaster. That the peer asked for the
// transaction, or had it, is all that can be known: peers don't say what they
// refuse.
func (p *Peer) Broadcast(ctx context.Context, raw []byte) (chainhash.Hash, error) {
	var tx wire.MsgTx
	if err := tx.Deserialize(bytes.NewReader(raw)); err != nil {
		return chainhash.Hash{}, fmt.Errorf("transaction to send: %w", err)
	}
	c, err := p.connected(ctx)
	if err != nil {
		return chainhash.Hash{}, err
	}
	return tx.TxHash(), c.offer(ctx, tx.TxHash(), raw)
}
