package bitcoin

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/btcsuite/btcd/chainhash/v2"
	"github.com/btcsuite/btcd/wire/v2"
)

// ErrBadBlock reports a block that is not the one its header speaks of:
// whoever sent it lies or is broken.
var ErrBadBlock = errors.New("bad block")

// A Block is a block that Verify found good.
type Block struct {
	Header
	raw   []byte
	spans []txSpan
}

// Verify checks that raw is the whole block of a verified header: its own
// header's bytes, and transactions whose merkle root is the header's. It
// refuses the two ways in which another block could have the same root: a
// repeated end of the list (CVE-2012-2459), and a list that does not begin with a
// coinbase: inner nodes of the tree, 64 bytes each, could be passed off as
// transactions, but to make one that looks like a coinbase takes some 2^224 tries.
// (Transactions of 64 bytes are valid; mainnet has some.) Verify keeps raw.
func Verify(h Header, raw []byte) (*Block, error) {
	spans, err := verify(h, raw)
	if err != nil {
		return nil, fmt.Errorf("%w %v at height %d: %w", ErrBadBlock, h.Hash, h.Height, err)
	}
	return &Block{Header: h, raw: raw, spans: spans}, nil
}

func verify(h Header, raw []byte) ([]txSpan, error) {
	if len(raw) > wire.MaxBlockPayload {
		return nil, fmt.Errorf("%d bytes are too many", len(raw))
	}
	if len(raw) < wire.MaxBlockHeaderPayload {
		return nil, errShort
	}
	if got := chainhash.DoubleHashH(raw[:wire.MaxBlockHeaderPayload]); got != h.Hash {
		return nil, fmt.Errorf("it is block %v", got)
	}
	spans, err := walk(raw)
	if err != nil {
		return nil, err
	}
	if len(spans) == 0 {
		return nil, errors.New("no transactions")
	}
	txids := make([]chainhash.Hash, len(spans))
	for i, s := range spans {
		txids[i] = s.txid
	}
	if !isCoinbase(raw[spans[0].start:spans[0].end]) {
		return nil, errors.New("the first transaction is no coinbase")
	}
	root, mutated := merkleRoot(txids)
	if mutated {
		return nil, errors.New("transactions are repeated")
	}
	if !bytes.Equal(root[:], h.MerkleRoot[:]) {
		return nil, fmt.Errorf("merkle root %v, want %v", root, h.MerkleRoot)
	}
	return spans, nil
}

// isCoinbase tells whether a transaction that the walk has taken has one input,
// which spends nothing.
func isCoinbase(raw []byte) bool {
	r := reader{b: raw}
	r.skip(4)
	if raw[4] == 0 { // a witness flag
		r.skip(2)
	}
	if r.count(41) != 1 {
		return false
	}
	var none [chainhash.HashSize + 4]byte
	for i := range 4 {
		none[chainhash.HashSize+i] = 0xff
	}
	return r.err == nil && bytes.HasPrefix(r.b[r.off:], none[:])
}

// merkleRoot overwrites hashes. mutated says that two neighbours of one level
// are equal, so that a shorter list has the same root.
func merkleRoot(hashes []chainhash.Hash) (root chainhash.Hash, mutated bool) {
	var pair [2 * chainhash.HashSize]byte
	for n := len(hashes); n > 1; n = (n + 1) / 2 {
		for i := 0; i < n; i += 2 {
			right := i
			if i+1 < n {
				right = i + 1
				mutated = mutated || hashes[i] == hashes[right]
			}
			copy(pair[:], hashes[i][:])
			copy(pair[chainhash.HashSize:], hashes[right][:])
			once := sha256.Sum256(pair[:])
			hashes[i/2] = sha256.Sum256(once[:])
		}
	}
	return hashes[0], mutated
}

// Size returns the number of bytes of the raw block.
func (b *Block) Size() int { return len(b.raw) }

// Txs returns the number of transactions.
func (b *Block) Txs() int { return len(b.spans) }

// Returns calls fn, in the block's order, for each transaction but the coinbase
// that has an output whose script starts with OP_RETURN, until fn gives an
// error, which it returns. The transactions come without their witnesses.
func (b *Block) Returns(fn func(index int, tx *wire.MsgTx) error) error {
	for i, s := range b.spans {
		if i == 0 || !s.returns {
			continue
		}
		if err := fn(i, parseTx(b.raw[s.start:s.end])); err != nil {
			return err
		}
	}
	return nil
}

// Find sets the values of txs, which has ids as keys, to the raw transactions
// of the block that have them.
func (b *Block) Find(txs map[chainhash.Hash][]byte) {
	for i := range b.spans {
		s := &b.spans[i]
		if _, wanted := txs[s.txid]; wanted {
			txs[s.txid] = b.raw[s.start:s.end]
		}
	}
}

// parseTx builds a transaction that the walk has taken, without its witnesses.
// It does not leave that to wire, which keeps slabs of 4 MB for it.
func parseTx(raw []byte) *wire.MsgTx {
	r := reader{b: raw}
	tx := &wire.MsgTx{Version: int32(r.uint32())}
	if raw[4] == 0 { // a witness flag
		r.skip(2)
	}
	for range r.count(41) {
		in := new(wire.TxIn)
		copy(in.PreviousOutPoint.Hash[:], r.next(chainhash.HashSize))
		in.PreviousOutPoint.Index = r.uint32()
		in.SignatureScript = bytes.Clone(r.next(r.count(1)))
		in.Sequence = r.uint32()
		tx.TxIn = append(tx.TxIn, in)
	}
	for range r.count(9) {
		tx.TxOut = append(tx.TxOut, r.output())
	}
	r = reader{b: raw, off: len(raw) - 4}
	tx.LockTime = r.uint32()
	return tx
}

func (r *reader) output() *wire.TxOut {
	value := binary.LittleEndian.Uint64(r.next(8))
	return &wire.TxOut{Value: int64(value), PkScript: bytes.Clone(r.next(r.count(1)))}
}
