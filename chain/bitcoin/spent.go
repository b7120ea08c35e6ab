package bitcoin

import (
	"errors"
	"fmt"

	"github.com/btcsuite/btcd/chainhash/v2"
	"github.com/btcsuite/btcd/wire/v2"
)

// ErrBadTx reports a transaction that is not the one that was asked for:
// whoever sent it lies or is broken.
var ErrBadTx = errors.New("bad transaction")

// OutputOf returns the output that an outpoint names from a raw transaction
// that is claimed to be the one with its hash. Whoever sent it is not trusted: it
// must have that hash, which covers its outputs.
func OutputOf(raw []byte, op wire.OutPoint) (*wire.TxOut, error) {
	outs, err := OutputsOf(raw, op.Hash, []uint32{op.Index})
	if err != nil {
		return nil, err
	}
	return outs[0], nil
}

// OutputsOf is OutputOf for several outputs of one transaction.
func OutputsOf(raw []byte, txid chainhash.Hash, indexes []uint32) ([]*wire.TxOut, error) {
	if len(raw) > wire.MaxBlockPayload {
		return nil, fmt.Errorf("%w: asked for %v: %d bytes are too many", ErrBadTx, txid, len(raw))
	}
	r := reader{b: raw}
	tx := r.tx()
	switch {
	case r.err != nil:
		return nil, fmt.Errorf("%w: asked for %v: %w", ErrBadTx, txid, r.err)
	case tx.end != len(raw):
		return nil, fmt.Errorf("%w: asked for %v: %d bytes are left over", ErrBadTx, txid, len(raw)-tx.end)
	case tx.txid != txid:
		return nil, fmt.Errorf("%w: asked for %v, got %v", ErrBadTx, txid, tx.txid)
	}
	outs := make([]*wire.TxOut, len(indexes))
	for i, index := range indexes {
		if outs[i] = output(raw, index); outs[i] == nil {
			return nil, fmt.Errorf("%w: %v has no output %d", ErrBadTx, txid, index)
		}
	}
	return outs, nil
}

// output returns an output of a transaction that the walk has taken, nil if
// there is none with that index. It keeps nothing of raw.
func output(raw []byte, index uint32) *wire.TxOut {
	r := reader{b: raw, off: 4}
	if raw[4] == 0 { // a witness flag
		r.skip(2)
	}
	for range r.count(41) {
		r.skip(36)
		r.skip(r.count(1))
		r.skip(4)
	}
	if int64(index) >= int64(r.count(9)) {
		return nil
	}
	for range index {
		r.skip(8)
		r.skip(r.count(1))
	}
	return r.output()
}
