package rpc

import (
	"bytes"
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"os"

	"github.com/btcsuite/btcd/chainhash/v2"
	"github.com/btcsuite/btcd/wire/v2"

	"satchel/chain/bitcoin"
)

// Headers implements bitcoin.Source.
func (c *Client) Headers(ctx context.Context, locator []chainhash.Hash) ([]wire.BlockHeader, error) {
	btcd, err := c.isBtcd(ctx)
	if err != nil {
		return nil, err
	}
	if btcd {
		return c.locate(ctx, locator)
	}
	for try := 0; ; try++ {
		fork, hash, err := c.fork(ctx, locator)
		if err != nil {
			return nil, err
		}
		list, err := c.headersAfter(ctx, fork)
		if err != nil {
			return nil, err
		}
		if len(list) == 0 || fork == 0 || list[0].PrevBlock == hash || try == maxTries {
			return connected(list), nil
		}
	}
}

// maxTries is how often headers are asked for again because a reorganisation
// came in between.
const maxTries = 3

func (c *Client) headersAfter(ctx context.Context, height int) ([]wire.BlockHeader, error) {
	var tip int
	if err := c.Call(ctx, &tip, "getblockcount"); err != nil {
		return nil, err
	}
	return c.headerRange(ctx, height+1, min(tip, height+bitcoin.MaxHeaders))
}

// locate is Headers of a btcd.
func (c *Client) locate(ctx context.Context, locator []chainhash.Hash) ([]wire.BlockHeader, error) {
	hashes := make([]string, len(locator))
	for i := range locator {
		hashes[i] = locator[i].String()
	}
	var raws []string
	if err := c.Call(ctx, &raws, "getheaders", hashes, ""); err != nil {
		return nil, err
	}
	if len(raws) > bitcoin.MaxHeaders {
		raws = raws[:bitcoin.MaxHeaders]
	}
	return c.parseHeaders(raws)
}

// connected returns the headers up to the first that doesn't follow the one
// before it: a reorganisation went on while they were asked for.
func connected(list []wire.BlockHeader) []wire.BlockHeader {
	for i := 1; i < len(list); i++ {
		if list[i].PrevBlock != list[i-1].BlockHash() {
			return list[:i]
		}
	}
	return list
}

// fork returns the first hash of the locator that is on the node's best chain,
// and its height; 0 if none is.
func (c *Client) fork(ctx context.Context, locator []chainhash.Hash) (int, chainhash.Hash, error) {
	for _, h := range locator {
		var v struct {
			Height        int `json:"height"`
			Confirmations int `json:"confirmations"`
		}
		err := c.Call(ctx, &v, "getblockheader", h.String(), true)
		if errors.Is(err, os.ErrNotExist) {
			continue
		}
		if err != nil {
			return 0, chainhash.Hash{}, err
		}
		if v.Confirmations >= 0 && v.Height >= 0 {
			return v.Height, h, nil
		}
	}
	return 0, chainhash.Hash{}, nil
}

// headerRange returns the headers of the best chain from one height to another.
func (c *Client) headerRange(ctx context.Context, from, to int) ([]wire.BlockHeader, error) {
	var params [][]any
	for h := from; h <= to; h++ {
		params = append(params, []any{h})
	}
	hashes, err := batchCall[string](ctx, c, "getblockhash", params)
	if err != nil {
		return nil, err
	}
	for i, h := range hashes {
		params[i] = []any{h, false}
	}
	raws, err := batchCall[string](ctx, c, "getblockheader", params)
	if err != nil {
		return nil, err
	}
	return c.parseHeaders(raws)
}

func (c *Client) parseHeaders(raws []string) ([]wire.BlockHeader, error) {
	list := make([]wire.BlockHeader, len(raws))
	for i, s := range raws {
		b, err := hex.DecodeString(s)
		if err != nil || len(b) != wire.MaxBlockHeaderPayload {
			return nil, fmt.Errorf("headers from %s: not a header", c.shown())
		}
		if err := list[i].Deserialize(bytes.NewReader(b)); err != nil {
			return nil, err
		}
	}
	return list, nil
}

// Block implements bitcoin.Source.
func (c *Client) Block(ctx context.Context, hash chainhash.Hash) ([]byte, error) {
	return c.hexCall(ctx, "getblock", hash.String(), 0)
}

// PrevTx implements bitcoin.PrevTxer. A node without an index of transactions
// has few: the error is ErrNoTxIndex.
func (c *Client) PrevTx(ctx context.Context, txid chainhash.Hash) ([]byte, error) {
	b, err := c.hexCall(ctx, "getrawtransaction", txid.String(), 0)
	if says(err, "-txindex") { // both call it so
		return nil, fmt.Errorf("transaction %v from %s: %w", txid, c.shown(), ErrNoTxIndex)
	}
	return b, err
}

// hexCall returns what a node answers as a string of hex.
func (c *Client) hexCall(ctx context.Context, method string, params ...any) ([]byte, error) {
	var s json.RawMessage // a block's is large and has nothing to unescape
	if err := c.Call(ctx, &s, method, params...); err != nil {
		return nil, err
	}
	if len(s) < 2 || s[0] != '"' {
		return nil, fmt.Errorf("%s from %s: not a string", method, c.shown())
	}
	s = s[1 : len(s)-1]
	n, err := hex.Decode(s, s)
	if err != nil {
		return nil, fmt.Errorf("%s from %s: %w", method, c.shown(), err)
	}
	return s[:n], nil
}

// Broadcast implements bitcoin.Broadcaster. A transaction that the node knows
// already is no error.
func (c *Client) Broadcast(ctx context.Context, tx []byte) (chainhash.Hash, error) {
	var msg wire.MsgTx
	if err := msg.Deserialize(bytes.NewReader(tx)); err != nil {
		return chainhash.Hash{}, fmt.Errorf("transaction to send: %w", err)
	}
	txid := msg.TxHash()
	err := c.Call(ctx, nil, "sendrawtransaction", hex.EncodeToString(tx))
	if err == nil || code(err) == codeKnown {
		return txid, nil
	}
	if e := (*Error)(nil); errors.As(err, &e) && e.Rejected() {
		// It may be one that the node has: btcd refuses what waits already, both
		// refuse what is in a block if its outputs are spent.
		if _, e := c.PrevTx(ctx, txid); e == nil {
			return txid, nil
		}
	}
	return chainhash.Hash{}, err
}
