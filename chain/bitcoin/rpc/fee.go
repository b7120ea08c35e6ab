package rpc

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"os"
	"strconv"
)

const (
	// leastRate is what nodes relay, mostRate what nobody ever had to pay:
	// satoshi per 1,000 virtual bytes.
	leastRate = 1_000
	mostRate  = 10_000_000

	satoshiPerBitcoin = 1e8
)

// FeeRate implements bitcoin.FeeEstimator.
func (c *Client) FeeRate(ctx context.Context, blocks int) (int64, error) {
	btcd, err := c.isBtcd(ctx)
	if err != nil {
		return 0, err
	}
	if btcd {
		return c.estimateFee(ctx, blocks)
	}
	var v struct {
		Rate json.Number `json:"feerate"` // bitcoin per 1,000 bytes; not there if the node can't tell
	}
	err = c.Call(ctx, &v, "estimatesmartfee", min(max(blocks, 1), 1008))
	switch {
	case code(err) == codeNoMethod, err == nil && v.Rate == "":
		return 0, c.noEstimate()
	case err != nil:
		return 0, err
	}
	return c.rate(v.Rate)
}

// estimateFee is FeeRate of a btcd, whose words for "not yet" are those for a
// malformed request.
func (c *Client) estimateFee(ctx context.Context, blocks int) (int64, error) {
	var v json.Number
	err := c.Call(ctx, &v, "estimatefee", min(max(blocks, 1), 25))
	switch e := (*Error)(nil); {
	case errors.As(err, &e), err == nil && (v == "" || v == "0" || v[0] == '-'):
		return 0, c.noEstimate()
	case err != nil:
		return 0, err
	}
	return c.rate(v)
}

func (c *Client) noEstimate() error {
	return fmt.Errorf("fee estimate: %s can't tell yet: %w", c.shown(), os.ErrNotExist)
}

// rate reads bitcoin per 1,000 bytes.
func (c *Client) rate(n json.Number) (int64, error) {
	f, err := strconv.ParseFloat(n.String(), 64)
	sat := math.Ceil(f*satoshiPerBitcoin - 1e-3)
	if err != nil || !(sat > 0 && sat <= mostRate) {
		return 0, fmt.Errorf("fee estimate of %s bitcoin per 1,000 bytes from %s can't be right", limit(n.String()), c.shown())
	}
	return max(int64(sat), leastRate), nil
}
