package esplora

import (
	"bytes"
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"math"
	"net/http"
	"os"
	"regexp"
	"strconv"

	"github.com/btcsuite/btcd/chainhash/v2"
	"github.com/btcsuite/btcd/wire/v2"
)

// Block implements bitcoin.Source.
func (c *Client) Block(ctx context.Context, hash chainhash.Hash) ([]byte, error) {
	return c.get(ctx, "/block/"+hash.String()+"/raw", wire.MaxBlockPayload)
}

// PrevTx implements bitcoin.PrevTxer.
func (c *Client) PrevTx(ctx context.Context, txid chainhash.Hash) ([]byte, error) {
	return c.get(ctx, "/tx/"+txid.String()+"/raw", wire.MaxBlockPayload)
}

// A rejection is why a transaction was refused.
type rejection struct{ error }

// Rejected tells apart a transaction that was refused from a server that failed.
func (r rejection) Rejected() bool { return true }
func (r rejection) Unwrap() error  { return r.error }

// The numbers of the node behind the server, in whatever words surround them.
var (
	known    = regexp.MustCompile(`-27\b|txn-already-(known|in-mempool)`)
	rejected = regexp.MustCompile(`-2[56]\b`)
)

// Broadcast implements bitcoin.Broadcaster. A transaction that the server knows
// already is no error.
func (c *Client) Broadcast(ctx context.Context, tx []byte) (chainhash.Hash, error) {
	var msg wire.MsgTx
	if err := msg.Deserialize(bytes.NewReader(tx)); err != nil {
		return chainhash.Hash{}, fmt.Errorf("transaction to send: %w", err)
	}
	if err := c.check(ctx); err != nil {
		return chainhash.Hash{}, err
	}
	txid := msg.TxHash()
	_, err := c.fetch(ctx, http.MethodPost, "/tx", []byte(hex.EncodeToString(tx)), maxText)
	r := (*refusal)(nil)
	switch {
	case err == nil, errors.As(err, &r) && known.MatchString(r.said):
		return txid, nil
	case r != nil && rejected.MatchString(r.said):
		if _, e := c.PrevTx(ctx, txid); e == nil {
			return txid, nil // it waits, or is in a block and its outputs are spent
		}
		err = rejection{err}
	}
	return chainhash.Hash{}, err
}

// Satoshi per 1,000 virtual bytes: what nodes relay, and what nobody ever had
// to pay.
const (
	leastRate = 1_000
	mostRate  = 10_000_000
)

// FeeRate implements bitcoin.FeeEstimator.
func (c *Client) FeeRate(ctx context.Context, blocks int) (int64, error) {
	var estimates map[string]float64
	if err := c.getJSON(ctx, "/fee-estimates", &estimates); err != nil {
		return 0, err
	}
	// The longest wait that is not longer than asked for, else the shortest.
	best, rate := 0, 0.0
	for k, v := range estimates {
		n, err := strconv.Atoi(k)
		if err != nil || n < 1 {
			continue
		}
		if best == 0 || n <= blocks && (n > best || best > blocks) || n > blocks && n < best {
			best, rate = n, v
		}
	}
	if best == 0 {
		return 0, fmt.Errorf("fee estimate: %s can't tell: %w", c.shown, os.ErrNotExist)
	}
	sat := math.Ceil(rate*1000 - 1e-3)
	if !(sat > 0 && sat <= mostRate) {
		return 0, fmt.Errorf("fee estimate of %g satoshi per byte from %s can't be right", rate, c.shown)
	}
	return max(int64(sat), leastRate), nil
}
