package bitcoin

import (
	"context"
	"errors"
	"fmt"

	"github.com/btcsuite/btcd/wire/v2"
)

// ErrBadTx reports a transaction that is not the one that was asked for:
// whoever sent it lies or is broken.
var ErrBadTx = errors.New("bad transaction")

// Spent returns the output that an outpoint names. The transaction comes from
// src, which is not trusted: its hash must be the one in the outpoint, and a
// transaction's hash covers its outputs.
func Spent(ctx context.Context, src PrevTxer, op wire.OutPoint) (*wire.TxOut, error) {
	raw, err := src.PrevTx(ctx, op.Hash)
	if err != nil {
		return nil, fmt.Errorf("previous transaction %v: %w", op.Hash, err)
	}
	return OutputOf(raw, op)
}

// OutputOf returns the output that an outpoint names from a raw transaction
// that is claimed to be the one with its hash.
func OutputOf(raw []byte, op wire.OutPoint) (*wire.TxOut, error) {
	tx, err := parseTx(raw)
	if err != nil {
		return nil, fmt.Errorf("%w: asked for %v: %w", ErrBadTx, op.Hash, err)
	}
	if got := tx.TxHash(); got != op.Hash {
		return nil, fmt.Errorf("%w: asked for %v, got %v", ErrBadTx, op.Hash, got)
	}
	if int64(op.Index) >= int64(len(tx.TxOut)) {
		return nil, fmt.Errorf("%w: %v has no output %d", ErrBadTx, op.Hash, op.Index)
	}
	return tx.TxOut[op.Index], nil
}
