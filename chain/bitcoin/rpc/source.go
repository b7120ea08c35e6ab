package rpc

import (
	"bytes"
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"math/big"
	"os"
	"strings"

	"github.com/btcsuite/btcd/chainhash/v2"
	"github.com/btcsuite/btcd/wire/v2"

	"satchel/chain/bitcoin"
)

// batch is how many headers are asked for at once.
const batch = 500

// Headers implements bitcoin.Source.
func (c *Client) Headers(ctx context.Context, locator []chainhash.Hash) ([]wire.BlockHeader, error) {
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

func (c *Client) headersAfter(ctx context.Context, height int) (list []wire.BlockHeader, err error) {
	var tip int
	if err := c.Call(ctx, &tip, "getblockcount"); err != nil {
		return nil, err
	}
	tip = min(tip, height+bitcoin.MaxHeaders)
	for from := height + 1; from <= tip; from += batch {
		part, err := c.headerRange(ctx, from, min(tip, from+batch-1))
		if err != nil {
			return nil, err
		}
		list = append(list, part...)
	}
	return list, nil
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
	hashes, err := c.batchCall(ctx, "getblockhash", params)
	if err != nil {
		return nil, err
	}
	for i, h := range hashes {
		params[i] = []any{h, false}
	}
	raws, err := c.batchCall(ctx, "getblockheader", params)
	if err != nil {
		return nil, err
	}
	list := make([]wire.BlockHeader, len(raws))
	for i, s := range raws {
		b, err := hex.DecodeString(s)
		if err != nil || len(b) != wire.MaxBlockHeaderPayload {
			return nil, fmt.Errorf("getblockheader from %s: not a header", c.URL)
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

// PrevTx implements bitcoin.PrevTxer.
func (c *Client) PrevTx(ctx context.Context, txid chainhash.Hash) ([]byte, error) {
	return c.hexCall(ctx, "getrawtransaction", txid.String(), false)
}

func (c *Client) hexCall(ctx context.Context, method string, params ...any) ([]byte, error) {
	var s string
	if err := c.Call(ctx, &s, method, params...); err != nil {
		return nil, err
	}
	b, err := hex.DecodeString(s)
	if err != nil {
		return nil, fmt.Errorf("%s from %s: %w", method, c.URL, err)
	}
	return b, nil
}

// Broadcast implements bitcoin.Broadcaster. A transaction that the node knows
// already is no error.
func (c *Client) Broadcast(ctx context.Context, tx []byte) (chainhash.Hash, error) {
	var msg wire.MsgTx
	if err := msg.Deserialize(bytes.NewReader(tx)); err != nil {
		return chainhash.Hash{}, fmt.Errorf("transaction to send: %w", err)
	}
	err := c.Call(ctx, nil, "sendrawtransaction", hex.EncodeToString(tx))
	if e := (*Error)(nil); errors.As(err, &e) && e.Code == codeKnown {
		err = nil
	}
	if err != nil {
		return chainhash.Hash{}, err
	}
	return msg.TxHash(), nil
}

// Unspent implements bitcoin.Unspenter.
func (c *Client) Unspent(ctx context.Context, script []byte) ([]bitcoin.Output, error) {
	var v struct {
		Unspents []struct {
			Txid   string      `json:"txid"`
			Vout   uint32      `json:"vout"`
			Amount json.Number `json:"amount"`
			Height int         `json:"height"`
		} `json:"unspents"`
	}
	if err := c.Call(ctx, &v, "scantxoutset", "start", []string{"raw(" + hex.EncodeToString(script) + ")"}); err != nil {
		return nil, err
	}
	var list []bitcoin.Output
	for _, u := range v.Unspents {
		h, err := chainhash.NewHashFromStr(u.Txid)
		if err != nil {
			return nil, fmt.Errorf("scantxoutset from %s: %w", c.URL, err)
		}
		sat, err := satoshi(u.Amount)
		if err != nil {
			return nil, fmt.Errorf("scantxoutset from %s: %w", c.URL, err)
		}
		list = append(list, bitcoin.Output{OutPoint: wire.OutPoint{Hash: *h, Index: u.Vout}, Value: sat, Script: script, Height: u.Height})
	}
	return list, nil
}

// satoshi reads an amount of bitcoin without going through a float.
func satoshi(n json.Number) (int64, error) {
	_, exp, _ := strings.Cut(strings.ToLower(n.String()), "e")
	if len(n) > 30 || len(strings.TrimLeft(exp, "+-0")) > 1 { // before a number as large as that is made
		return 0, fmt.Errorf("amount %q", n)
	}
	r, ok := new(big.Rat).SetString(n.String())
	if !ok {
		return 0, fmt.Errorf("amount %q", n)
	}
	r.Mul(r, big.NewRat(1e8, 1))
	if !r.IsInt() || !r.Num().IsInt64() || r.Sign() < 0 || r.Num().Int64() > 21e14 {
		return 0, fmt.Errorf("amount %q", n)
	}
	return r.Num().Int64(), nil
}

// FeeRate implements bitcoin.FeeEstimator.
func (c *Client) FeeRate(ctx context.Context, blocks int) (int64, error) {
	return 0, os.ErrNotExist
}
