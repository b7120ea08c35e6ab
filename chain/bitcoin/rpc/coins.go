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
	"sync"
	"time"

	"github.com/btcsuite/btcd/chainhash/v2"
	"github.com/btcsuite/btcd/txscript/v2"
	"github.com/btcsuite/btcd/wire/v2"
	"golang.org/x/sync/errgroup"

	"satchel/chain/bitcoin"
)

const (
	// scanTime bounds a scan of the table of coins. On mainnet it takes minutes.
	scanTime = 20 * time.Minute
	// maxCoins bounds the coins of one script, maxHistory the transactions that
	// btcd is asked for to find them.
	maxCoins   = 10_000
	maxHistory = 50_000
)

// Unspent implements bitcoin.Unspenter. A bitcoind scans its table of coins,
// which on mainnet takes minutes, once for each script and block; coins that are
// in no block yet are not in it. A btcd needs its index of addresses, else the
// error is ErrNoAddrIndex.
func (c *Client) Unspent(ctx context.Context, script []byte) ([]bitcoin.Output, error) {
	btcd, err := c.isBtcd(ctx)
	if err != nil {
		return nil, err
	}
	if btcd {
		return c.search(ctx, script)
	}
	list, err := c.scan(ctx, script)
	if err != nil {
		return nil, err
	}
	if list, err = c.spendable(ctx, list); err != nil {
		return nil, err
	}
	return list, c.checkCoins(ctx, list)
}

// checkCoins compares coins with the transactions that made them: what a coin is
// worth less than a node says, or more, would be paid as fee or not at all.
func (c *Client) checkCoins(ctx context.Context, list []bitcoin.Output) error {
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(8)
	for _, o := range list {
		g.Go(func() error {
			raw, err := c.madeBy(ctx, o)
			if err != nil {
				return fmt.Errorf("coin %v: %w", o.OutPoint, err)
			}
			out, err := bitcoin.OutputOf(raw, o.OutPoint)
			if err == nil && (out.Value != o.Value || !bytes.Equal(out.PkScript, o.Script)) {
				err = fmt.Errorf("%w: %v is another coin than it says", bitcoin.ErrBadTx, o.OutPoint)
			}
			if err != nil {
				return fmt.Errorf("coins from %s: %w", c.shown(), err)
			}
			return nil
		})
	}
	return g.Wait()
}

// madeBy returns the transaction that made a coin. A node without an index of
// transactions finds it in its block.
func (c *Client) madeBy(ctx context.Context, o bitcoin.Output) ([]byte, error) {
	raw, err := c.PrevTx(ctx, o.OutPoint.Hash)
	if !errors.Is(err, ErrNoTxIndex) {
		return raw, err
	}
	var block string
	if err := c.Call(ctx, &block, "getblockhash", o.Height); err != nil {
		return nil, err
	}
	return c.hexCall(ctx, "getrawtransaction", o.OutPoint.Hash.String(), false, block)
}

// scans keeps what the last scans found, and lets one go on at a time: a node
// refuses a second.
type scans struct {
	once sync.Once
	turn chan struct{}
	last map[string]scan // by script
}

type scan struct {
	best string // hash of the newest block then
	list []bitcoin.Output
}

// maxScans bounds what scans keeps.
const maxScans = 16

// scan returns the coins of a script in the blocks that the node has.
func (c *Client) scan(ctx context.Context, script []byte) ([]bitcoin.Output, error) {
	s := &c.scans
	s.once.Do(func() { s.turn, s.last = make(chan struct{}, 1), make(map[string]scan) })
	select {
	case s.turn <- struct{}{}:
		defer func() { <-s.turn }()
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	best, err := c.tip(ctx)
	if err != nil {
		return nil, err
	}
	if found, ok := s.last[string(script)]; ok && found.best == best {
		return found.list, nil
	}
	found, err := c.scanNow(ctx, script)
	if err != nil {
		return nil, err
	}
	if len(s.last) >= maxScans {
		clear(s.last)
	}
	s.last[string(script)] = found
	return found.list, nil
}

// scanNow has the node scan, after somebody else's scan if one goes on.
func (c *Client) scanNow(ctx context.Context, script []byte) (found scan, err error) {
	var v scanned
	for {
		err = c.call(ctx, scanTime, &v, "scantxoutset", "start", []string{"raw(" + hex.EncodeToString(script) + ")"})
		if code(err) != codeScanning || !says(err, "in progress") {
			break
		}
		select {
		case <-time.After(scanPause):
		case <-ctx.Done():
			return found, err
		}
	}
	if err != nil {
		return found, err
	}
	found.best = v.Best
	if found.list, err = v.outputs(script); err != nil {
		err = fmt.Errorf("scantxoutset from %s: %w", c.shown(), err)
	}
	return found, err
}

// scanned is an answer to scantxoutset.
type scanned struct {
	Best     string `json:"bestblock"`
	Unspents []struct {
		Txid   string      `json:"txid"`
		Vout   uint32      `json:"vout"`
		Amount json.Number `json:"amount"`
		Height int         `json:"height"`
	} `json:"unspents"`
}

func (v *scanned) outputs(script []byte) (list []bitcoin.Output, err error) {
	if len(v.Unspents) > maxCoins {
		return nil, fmt.Errorf("more than %d coins", maxCoins)
	}
	for _, u := range v.Unspents {
		h, err := chainhash.NewHashFromStr(u.Txid)
		if err != nil || u.Height < 0 || len(u.Txid) != 2*chainhash.HashSize {
			return nil, fmt.Errorf("%.64q at height %d is no coin", u.Txid, u.Height)
		}
		sat, err := satoshi(u.Amount)
		if err != nil {
			return nil, err
		}
		list = append(list, bitcoin.Output{OutPoint: wire.OutPoint{Hash: *h, Index: u.Vout}, Value: sat, Script: script, Height: u.Height})
	}
	return list, nil
}

// scanPause is how long to wait for another's scan before asking again.
const scanPause = 2 * time.Second

// maturity is how many blocks a coinbase must have with its own to be spent in
// the next one, on every network.
const maturity = 100

// txout is what a node tells of a coin that nothing spends.
type txout struct {
	Confirmations int  `json:"confirmations"` // 0 for one that waits
	Coinbase      bool `json:"coinbase"`
}

// txouts asks for coins: nil for one that is spent, by what waits too.
func (c *Client) txouts(ctx context.Context, list []bitcoin.Output) ([]*txout, error) {
	params := make([][]any, len(list))
	for i, o := range list {
		params[i] = []any{o.OutPoint.Hash.String(), o.OutPoint.Index, true}
	}
	return batchCall[*txout](ctx, c, "gettxout", params)
}

// young says if it is a coin that can't be spent yet.
func (o *txout) young() bool { return o.Coinbase && o.Confirmations < maturity }

// spendable leaves out the coins that a waiting transaction spends, and young
// coinbases.
func (c *Client) spendable(ctx context.Context, list []bitcoin.Output) (out []bitcoin.Output, err error) {
	now, err := c.txouts(ctx, list)
	if code(err) == codeNoMethod {
		return list, nil // the private chain: nothing waits there, and its scan knows what is young
	}
	if err != nil {
		return nil, err
	}
	for i, o := range list {
		if now[i] != nil && !now[i].young() {
			out = append(out, o)
		}
	}
	return out, nil
}

// search is Unspent of a btcd: the outputs of all transactions that have to do
// with the script, less those that they spend. It begins again if a block comes
// meanwhile.
func (c *Client) search(ctx context.Context, script []byte) ([]bitcoin.Output, error) {
	addr, err := c.address(script)
	if err != nil {
		return nil, err
	}
	for range maxTries {
		before, err := c.tip(ctx)
		if err != nil {
			return nil, err
		}
		txs, err := c.history(ctx, addr)
		if err != nil {
			return nil, err
		}
		list, err := c.placed(ctx, unspent(txs, script))
		if err != nil {
			return nil, err
		}
		if after, err := c.tip(ctx); err != nil || after == before {
			return list, err
		}
	}
	return nil, fmt.Errorf("coins of %s: %s gets blocks too fast", addr, c.shown())
}

func (c *Client) tip(ctx context.Context) (hash string, err error) {
	err = c.Call(ctx, &hash, "getbestblockhash")
	return hash, err
}

// address returns what btcd's index has a script under.
func (c *Client) address(script []byte) (string, error) {
	if c.chain == nil {
		return "", errors.New("coins of a btcd: its network is not known")
	}
	_, addrs, _, err := txscript.ExtractPkScriptAddrs(script, c.chain)
	if err != nil || len(addrs) != 1 {
		return "", fmt.Errorf("coins of script %x: it has no address", script)
	}
	return addrs[0].EncodeAddress(), nil
}

// historyPage is how many transactions are asked for at once, if they fit into
// an answer.
const historyPage = 100

// history returns every transaction that pays to an address or spends from it.
func (c *Client) history(ctx context.Context, addr string) (map[chainhash.Hash]*wire.MsgTx, error) {
	txs := make(map[chainhash.Hash]*wire.MsgTx)
	for skip, page := 0, historyPage; ; {
		var raws []string
		err := c.Call(ctx, &raws, "searchrawtransactions", addr, 0, skip, page)
		switch {
		case errors.Is(err, errTooLong) && page > 1:
			page /= 4
			continue
		case errors.Is(err, os.ErrNotExist):
			return txs, nil // no more, or none at all
		case says(err, "--addrindex"):
			return nil, fmt.Errorf("%s: %w", c.shown(), ErrNoAddrIndex)
		case err != nil:
			return nil, err
		case len(raws) > page || skip+len(raws) > maxHistory:
			return nil, fmt.Errorf("coins of %s: too many transactions", addr)
		}
		for _, raw := range raws {
			tx, err := parseTx(raw)
			if err != nil {
				return nil, fmt.Errorf("searchrawtransactions from %s: %w", c.shown(), err)
			}
			txs[tx.TxHash()] = tx
		}
		if skip += len(raws); len(raws) < page {
			return txs, nil
		}
	}
}

func parseTx(raw string) (*wire.MsgTx, error) {
	b, err := hex.DecodeString(raw)
	if err != nil {
		return nil, err
	}
	tx := new(wire.MsgTx)
	if err := tx.Deserialize(bytes.NewReader(b)); err != nil {
		return nil, err
	}
	for _, o := range tx.TxOut {
		if o.Value < 0 || o.Value > maxMoney {
			return nil, fmt.Errorf("an output of %d satoshi", o.Value)
		}
	}
	return tx, nil
}

// maxMoney is more satoshi than there will ever be.
const maxMoney = 21e14

// unspent returns the outputs with a script that none of the transactions spends.
func unspent(txs map[chainhash.Hash]*wire.MsgTx, script []byte) (list []bitcoin.Output) {
	spent := make(map[wire.OutPoint]bool)
	for _, tx := range txs {
		for _, in := range tx.TxIn {
			spent[in.PreviousOutPoint] = true
		}
	}
	for txid, tx := range txs {
		for i, o := range tx.TxOut {
			at := wire.OutPoint{Hash: txid, Index: uint32(i)}
			if bytes.Equal(o.PkScript, script) && !spent[at] {
				list = append(list, bitcoin.Output{OutPoint: at, Value: o.Value, Script: script})
			}
		}
	}
	return list
}

// placed finds the heights of coins and leaves out those that can't be spent.
func (c *Client) placed(ctx context.Context, list []bitcoin.Output) (out []bitcoin.Output, err error) {
	if len(list) > maxCoins {
		return nil, fmt.Errorf("more than %d coins", maxCoins)
	}
	var tip int
	if err := c.Call(ctx, &tip, "getblockcount"); err != nil {
		return nil, err
	}
	now, err := c.txouts(ctx, list)
	if err != nil {
		return nil, err
	}
	for i, o := range list {
		if now[i] == nil || now[i].young() {
			continue
		}
		if n := now[i].Confirmations; n > 0 {
			o.Height = tip + 1 - n
		}
		out = append(out, o)
	}
	return out, nil
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
	if !r.IsInt() || !r.Num().IsInt64() || r.Sign() < 0 || r.Num().Int64() > maxMoney {
		return 0, fmt.Errorf("amount %q", n)
	}
	return r.Num().Int64(), nil
}
