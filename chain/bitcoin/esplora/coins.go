package esplora

import (
	"bytes"
	"context"
	"crypto/sha256"
	"fmt"

	"github.com/btcsuite/btcd/blockchain"
	"github.com/btcsuite/btcd/txscript/v2"
	"github.com/btcsuite/btcd/wire/v2"
	"golang.org/x/sync/errgroup"

	"satchel/chain/bitcoin"
)

const (
	// maxCoins bounds the coins of one script; servers have less patience.
	maxCoins = 1000
	// maturity is how many blocks a coinbase must have with its own to be spent
	// in the next one.
	maturity = 100
)

// A coin is what a server tells of an unspent output.
type coin struct {
	Txid   string `json:"txid"`
	Vout   uint32 `json:"vout"`
	Value  int64  `json:"value"`
	Status struct {
		Confirmed bool `json:"confirmed"`
		Height    int  `json:"block_height"`
	} `json:"status"`
}

// Unspent implements bitcoin.Unspenter. Each coin's transaction is fetched: its
// hash says that the coin is there and what it is worth. That it is unspent is
// what the server says.
func (c *Client) Unspent(ctx context.Context, script []byte) ([]bitcoin.Output, error) {
	var coins []coin
	if err := c.getJSON(ctx, c.coinsPath(script), &coins); err != nil {
		return nil, err
	}
	if len(coins) > maxCoins {
		return nil, fmt.Errorf("more than %d coins from %s", maxCoins, c.shown)
	}
	tip, err := c.tip(ctx)
	if err != nil {
		return nil, err
	}
	list := make([]*bitcoin.Output, len(coins))
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(parallel)
	for i := range coins {
		g.Go(func() (err error) {
			list[i], err = c.verified(ctx, &coins[i], script, tip)
			return err
		})
	}
	if err := g.Wait(); err != nil {
		return nil, err
	}
	return distinct(list), nil
}

func (c *Client) coinsPath(script []byte) string {
	_, addrs, _, err := txscript.ExtractPkScriptAddrs(script, c.chain)
	if class := txscript.GetScriptClass(script); err == nil && len(addrs) == 1 && class != txscript.PubKeyTy {
		return "/address/" + addrs[0].EncodeAddress() + "/utxo"
	}
	return fmt.Sprintf("/scripthash/%x/utxo", sha256.Sum256(script))
}

// verified returns a coin as its transaction has it; nil if it can't be spent yet.
func (c *Client) verified(ctx context.Context, u *coin, script []byte, tip int) (*bitcoin.Output, error) {
	txid, err := parseHash(u.Txid)
	if err != nil {
		return nil, fmt.Errorf("coins from %s: %w", c.shown, err)
	}
	o := &bitcoin.Output{OutPoint: wire.OutPoint{Hash: txid, Index: u.Vout}, Script: script}
	raw, err := c.PrevTx(ctx, txid)
	if err != nil {
		return nil, err
	}
	out, err := bitcoin.OutputOf(raw, o.OutPoint)
	if err != nil {
		return nil, fmt.Errorf("coins from %s: %w", c.shown, err)
	}
	if o.Value = out.Value; o.Value != u.Value || !bytes.Equal(out.PkScript, script) {
		return nil, fmt.Errorf("coins from %s: %w: %v is another coin than it says", c.shown, bitcoin.ErrBadTx, o.OutPoint)
	}
	if u.Status.Confirmed {
		if o.Height = u.Status.Height; o.Height < 1 || o.Height > maxHeight {
			return nil, fmt.Errorf("coins from %s: height %d", c.shown, o.Height)
		}
	}
	var tx wire.MsgTx
	if err := tx.Deserialize(bytes.NewReader(raw)); err != nil {
		return nil, err
	}
	if blockchain.IsCoinBaseTx(&tx) && tip-o.Height+1 < maturity {
		return nil, nil
	}
	return o, nil
}

// distinct leaves out what is nil or there before.
func distinct(list []*bitcoin.Output) (out []bitcoin.Output) {
	seen := make(map[wire.OutPoint]bool)
	for _, o := range list {
		if o != nil && !seen[o.OutPoint] {
			seen[o.OutPoint] = true
			out = append(out, *o)
		}
	}
	return out
}
