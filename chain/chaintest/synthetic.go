package chaintest

import (
	"context"
	"encoding/binary"
	"fmt"
	"os"
	"path/filepath"
	"sync/atomic"
	"syscall"

	"github.com/btcsuite/btcd/chainhash/v2"
	"github.com/btcsuite/btcd/wire/v2"

	"satchel/chain"
	"satchel/chain/bitcoin"
)

// A Shape says what a synthetic chain is made of. The same shape gives the same
// blocks.
type Shape struct {
	Names  int // in namespace "id"; each is funded, preordered, registered and gets a value
	Blocks int // that hold them, the first ones of the chain
	Bulk   int // bytes of ordinary transactions in a block, on average
	Tips   int // further blocks, of TipOps operations each
	TipOps int
}

// A Synthetic is a chain that was made beforehand and lies in files that are
// mapped into memory, so that serving it costs its process next to nothing. It
// implements bitcoin.Source and PrevTxer and is safe for concurrent use.
//
// The file "blocks" has, block after block, the header and the transactions of
// which there is one; "bulk" has ordinary transactions, a run of which ends each
// block; "rows" has a row for each block (see row), from height 1 on; "prev" has
// for each transaction in "blocks" that another one spends the first 8 bytes of
// its id and its place there: offset (5 bytes) and length (3), sorted by id.
type Synthetic struct {
	Params *chain.Params
	Shape  Shape

	blocks, bulk, prev, rows mapped
	heights                  map[chainhash.Hash]int
	prevAt                   []uint32 // where in "prev" the ids with each first 2 bytes begin
	shown                    atomic.Int64
}

// row is what the file "rows" has of a block, 48 bytes in big-endian order.
type row struct {
	Offset    uint64 // in "blocks"
	Size      uint32 // there, with the header
	Txs       uint32 // in the whole block
	From, To  uint64 // the run of "bulk"
	Consensus [16]byte
}

const rowSize = 48

// syntheticFirst is the first block that the rules read.
const syntheticFirst = 2

// firstNames is the block with the first preorders; those before it open the
// namespace.
const firstNames = syntheticFirst + 3

// OpenSynthetic maps the chain in a directory that MakeSynthetic filled.
func OpenSynthetic(dir string, shape Shape) (s *Synthetic, err error) {
	s = &Synthetic{Params: chain.Satchel(RegTest, syntheticFirst), Shape: shape, heights: make(map[chainhash.Hash]int)}
	for name, m := range s.files() {
		if *m, err = mapFile(filepath.Join(dir, name)); err != nil {
			s.Close()
			return nil, err
		}
	}
	s.heights[*RegTest.GenesisHash] = 0
	for h := 1; h <= s.Height(); h++ {
		s.heights[chainhash.DoubleHashH(s.header(h))] = h
	}
	for at := range len(s.prev) / 16 {
		for len(s.prevAt) <= int(binary.BigEndian.Uint16(s.prev[16*at:])) {
			s.prevAt = append(s.prevAt, uint32(at))
		}
	}
	s.Show(s.Height())
	return s, nil
}

func (s *Synthetic) files() map[string]*mapped {
	return map[string]*mapped{"blocks": &s.blocks, "bulk": &s.bulk, "prev": &s.prev, "rows": &s.rows}
}

// Close unmaps the files.
func (s *Synthetic) Close() {
	for _, m := range s.files() {
		m.close()
	}
}

// Height returns the height of the last block there is.
func (s *Synthetic) Height() int { return len(s.rows) / rowSize }

// Show makes the block at a height the tip of the chain as the source tells it.
func (s *Synthetic) Show(height int) { s.shown.Store(int64(height)) }

// Consensus returns the consensus hash of a height as the maker of the chain
// found it, which knows no rules: it knows that it breaks none.
func (s *Synthetic) Consensus(height int) [16]byte { return s.row(height).Consensus }

// Hash returns the hash of the block at a height.
func (s *Synthetic) Hash(height int) chainhash.Hash {
	if height == 0 {
		return *RegTest.GenesisHash
	}
	return chainhash.DoubleHashH(s.header(height))
}

func (s *Synthetic) row(height int) (r row) {
	b := s.rows[(height-1)*rowSize:]
	r.Offset, r.Size, r.Txs = binary.BigEndian.Uint64(b), binary.BigEndian.Uint32(b[8:]), binary.BigEndian.Uint32(b[12:])
	r.From, r.To = binary.BigEndian.Uint64(b[16:]), binary.BigEndian.Uint64(b[24:])
	copy(r.Consensus[:], b[32:])
	return r
}

func (s *Synthetic) header(height int) []byte {
	return s.blocks[s.row(height).Offset:][:wire.MaxBlockHeaderPayload]
}

// Header returns the header of the block at a height from 1 on.
func (s *Synthetic) Header(height int) bitcoin.Header {
	return bitcoin.Header{BlockHeader: parseHeader(s.header(height)), Hash: s.Hash(height), Height: height}
}

// Headers implements bitcoin.Source.
func (s *Synthetic) Headers(ctx context.Context, locator []chainhash.Hash) (hs []wire.BlockHeader, err error) {
	from, shown := 0, int(s.shown.Load())
	for _, l := range locator {
		if h, ok := s.heights[l]; ok && h <= shown {
			from = h
			break
		}
	}
	for h := from + 1; h <= min(from+bitcoin.MaxHeaders, shown); h++ {
		hs = append(hs, parseHeader(s.header(h)))
	}
	return hs, ctx.Err()
}

// Block implements bitcoin.Source: it puts the block together, which costs a
// copy.
func (s *Synthetic) Block(ctx context.Context, hash chainhash.Hash) ([]byte, error) {
	height, ok := s.heights[hash]
	if !ok || height == 0 {
		return nil, fmt.Errorf("block %v: %w", hash, os.ErrNotExist)
	}
	r := s.row(height)
	own := s.blocks[r.Offset:][:r.Size]
	raw := make([]byte, 0, 9+len(own)+int(r.To-r.From))
	raw = append(raw, own[:wire.MaxBlockHeaderPayload]...)
	raw = appendCount(raw, r.Txs)
	raw = append(raw, own[wire.MaxBlockHeaderPayload:]...)
	return append(raw, s.bulk[r.From:r.To]...), ctx.Err()
}

// appendCount writes a number as Bitcoin does, in its shortest form.
func appendCount(b []byte, n uint32) []byte {
	switch {
	case n < 0xfd:
		return append(b, byte(n))
	case n <= 0xffff:
		return binary.LittleEndian.AppendUint16(append(b, 0xfd), uint16(n))
	}
	return binary.LittleEndian.AppendUint32(append(b, 0xfe), n)
}

// PrevTx implements bitcoin.PrevTxer.
func (s *Synthetic) PrevTx(ctx context.Context, txid chainhash.Hash) ([]byte, error) {
	want, at, n := binary.BigEndian.Uint64(txid[:]), len(s.prev)/16, len(s.prev)/16
	if first := int(want >> 48); first < len(s.prevAt) {
		at = int(s.prevAt[first])
	}
	for ; at < n && binary.BigEndian.Uint64(s.prev[16*at:]) <= want; at++ {
		if binary.BigEndian.Uint64(s.prev[16*at:]) < want {
			continue
		}
		place := binary.BigEndian.Uint64(s.prev[16*at+8:])
		tx := s.blocks[place>>24:][:place&0xffffff]
		if chainhash.DoubleHashH(tx) == txid {
			return append([]byte(nil), tx...), ctx.Err()
		}
	}
	return nil, fmt.Errorf("transaction %v: %w", txid, os.ErrNotExist)
}

// mapped is a file that is mapped into memory to be read.
type mapped []byte

func mapFile(path string) (mapped, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil || info.Size() == 0 {
		return nil, err
	}
	b, err := syscall.Mmap(int(f.Fd()), 0, int(info.Size()), syscall.PROT_READ, syscall.MAP_SHARED)
	if err != nil {
		return nil, fmt.Errorf("map %s: %w", path, err)
	}
	return b, nil
}

func (m *mapped) close() {
	if *m != nil {
		syscall.Munmap(*m)
	}
	*m = nil
}
