package chain

import (
	"bufio"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"io"

	"github.com/btcsuite/btcd/btcec/v2"
	"github.com/btcsuite/btcd/btcec/v2/schnorr"
	"github.com/btcsuite/btcd/chainhash/v2"
	"github.com/klauspost/compress/zstd"
)

// A snapshot is a file from which an index is made without the blocks: headers,
// whose work is checked, and the accepted operations, which are put through the
// rules again. What can't be checked without the blocks is who sent an operation.
// For that a snapshot is the word of its signer, unless its last consensus hash
// is known from elsewhere: that covers all that an operation did.
//
// It is a magic (8 bytes), a zstd stream, and the signer's x-only key (32) with a
// BIP-340 signature (64) over the SHA-256 of "satchel snapshot", 0 and the SHA-256
// of everything before the key. In the stream, numbers big-endian:
//
//	length (1) and word of the rules, network (10), first block (4)
//	height (4), block hash (32) and consensus hash (16) of the tip
//	headers (80 each) from height 1 to the tip
//	for each height from the first block to the tip:
//	  length (4) and rows of kind keyOps, one after the other
//	  consensus hash (16)
var snapshotMagic = [8]byte{'s', 'a', 't', 's', 'n', 'a', 'p', 1}

const (
	snapshotTrailer = 32 + 64
	maxSnapshot     = 1 << 40
	maxBlockOps     = 32 << 20 // of one block: more than fit into it
	maxTip          = 10_000_000
)

// ErrSnapshot reports a file that is no snapshot, or a damaged or forged one.
var ErrSnapshot = errors.New("the snapshot is damaged or forged")

// SnapshotInfo says what a snapshot claims to be.
type SnapshotInfo struct {
	Height    int
	Hash      chainhash.Hash // of the block
	Consensus [16]byte
	Signer    [32]byte // x-only public key, see BIP-340
}

// SignerOf returns the key by which the snapshots of a private key are known.
func SignerOf(key *btcec.PrivateKey) [32]byte {
	return [32]byte(schnorr.SerializePubKey(key.PubKey()))
}

func snapshotDigest(body [32]byte) []byte {
	h := sha256.New()
	h.Write([]byte("satchel snapshot\x00"))
	h.Write(body[:])
	return h.Sum(nil)
}

// Export writes a snapshot of an index as of now, signed.
func Export(ix *Index, out io.Writer, key *btcec.PrivateKey) (info SnapshotInfo, err error) {
	sum := sha256.New()
	body := io.MultiWriter(out, sum)
	if _, err := body.Write(snapshotMagic[:]); err != nil {
		return info, err
	}
	z, err := zstd.NewWriter(body, zstd.WithEncoderConcurrency(1))
	if err != nil {
		return info, err
	}
	w := &snapshotWriter{w: bufio.NewWriter(z)}
	err = ix.view(func(s *state) error {
		info, err = w.index(s, ix.p)
		return err
	})
	err = errors.Join(err, w.w.Flush(), z.Close())
	if err != nil {
		return info, fmt.Errorf("snapshot: %w", err)
	}
	sig, err := schnorr.Sign(key, snapshotDigest([32]byte(sum.Sum(nil))))
	if err != nil {
		return info, fmt.Errorf("sign snapshot: %w", err)
	}
	info.Signer = SignerOf(key)
	_, err = out.Write(append(info.Signer[:], sig.Serialize()...))
	return info, err
}

type snapshotWriter struct{ w *bufio.Writer }

// put writes bytes; an error stays with the writer until it is flushed.
func (w *snapshotWriter) put(b ...byte) { _, _ = w.w.Write(b) }

func (w *snapshotWriter) num(n int) { w.put(binary.BigEndian.AppendUint32(nil, uint32(n))...) }

func (w *snapshotWriter) index(s *state, p *Params) (info SnapshotInfo, err error) {
	t, err := parseTip(s.bytes([]byte{keyTip}))
	if err != nil {
		return info, err
	}
	if t.height < p.FirstBlock {
		return info, fmt.Errorf("names begin at block %d, and the index is at %d", p.FirstBlock, t.height)
	}
	info = SnapshotInfo{Height: t.height, Hash: t.hash, Consensus: s.consensus(t.height)}
	w.put(byte(len(p.Rules)))
	w.put([]byte(p.Rules)...)
	network := p.Network()
	w.put(network[:]...)
	w.num(p.FirstBlock)
	w.num(t.height)
	w.put(t.hash[:]...)
	w.put(info.Consensus[:]...)
	for height := 1; height <= t.height; height++ {
		row := s.bytes(heightKey(keyBlock, height))
		if s.err == nil && len(row) < headerRow {
			s.fail(errDamaged)
		}
		if s.err != nil {
			return info, s.err
		}
		w.put(row[:headerRow]...)
	}
	for height := p.FirstBlock; height <= t.height; height++ {
		if err := w.block(s, height); err != nil {
			return info, err
		}
	}
	return info, s.err
}

// block writes a block's operations and its consensus hash.
func (w *snapshotWriter) block(s *state, height int) error {
	var rows []byte
	prefix := heightKey(keyOps, height)
	s.each(prefix, "", func(rest string) bool {
		row := s.bytes(append(prefix[:len(prefix):len(prefix)], rest...))
		if rows = append(rows, row...); len(row) == 0 {
			s.fail(errDamaged)
		}
		return s.err == nil
	})
	c := s.consensus(height)
	if len(rows) > maxBlockOps {
		return fmt.Errorf("operations of block %d: %w", height, errDamaged)
	}
	w.num(len(rows))
	w.put(rows...)
	w.put(c[:]...)
	return s.err
}
