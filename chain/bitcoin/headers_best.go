package bitcoin

import (
	"encoding/binary"
	"math/big"
	"time"

	"github.com/btcsuite/btcd/blockchain"
	"github.com/btcsuite/btcd/chainhash/v2"
	"github.com/btcsuite/btcd/wire/v2"
)

// best holds the chain with the most work in 54 bytes a header. It does without
// the hashes, but for one in every group: the others follow from that one by
// hashing at most a group.
type best struct {
	slabs []*slab
	n     int
	tip   chainhash.Hash // of the last one
	work  *big.Int       // of all

	calced     uint32 // the bits whose work calcedWork is
	calcedWork *big.Int
}

const (
	groupLen = 16
	slabLen  = 256 * groupLen
)

type slab struct {
	work    *big.Int                           // of all headers before
	before  [slabLen / groupLen]chainhash.Hash // of the header before each group
	headers [slabLen]packed
	tags    [slabLen]uint32 // the first bytes of the hashes, to find one
}

// packed is a header without the hash of the one before.
type packed struct {
	merkle            chainhash.Hash
	version           int32
	time, bits, nonce uint32
}

func tagOf(hash chainhash.Hash) uint32 { return binary.LittleEndian.Uint32(hash[:]) }

// header returns the packed header with that one before it.
func (p *packed) header(prev chainhash.Hash) wire.BlockHeader {
	return wire.BlockHeader{Version: p.version, PrevBlock: prev, MerkleRoot: p.merkle,
		Timestamp: time.Unix(int64(p.time), 0), Bits: p.bits, Nonce: p.nonce}
}

// hash returns the hash of the packed header with that one before it.
func (p *packed) hash(prev chainhash.Hash) chainhash.Hash {
	var b [wire.MaxBlockHeaderPayload]byte
	binary.LittleEndian.PutUint32(b[:], uint32(p.version))
	copy(b[4:], prev[:])
	copy(b[36:], p.merkle[:])
	binary.LittleEndian.PutUint32(b[68:], p.time)
	binary.LittleEndian.PutUint32(b[72:], p.bits)
	binary.LittleEndian.PutUint32(b[76:], p.nonce)
	return chainhash.DoubleHashH(b[:])
}

func pack(h *wire.BlockHeader) packed {
	return packed{h.MerkleRoot, h.Version, uint32(h.Timestamp.Unix()), h.Bits, h.Nonce}
}

// calc returns the work of a header; nobody may change it.
func (b *best) calc(bits uint32) *big.Int {
	if b.calcedWork == nil || b.calced != bits {
		b.calced, b.calcedWork = bits, blockchain.CalcWork(bits)
	}
	return b.calcedWork
}

// push adds the header that follows the last one.
func (b *best) push(h *wire.BlockHeader, hash chainhash.Hash) {
	s, i := b.n/slabLen, b.n%slabLen
	if s == len(b.slabs) {
		b.slabs = append(b.slabs, new(slab))
	}
	if i == 0 {
		b.slabs[s].work = new(big.Int).Set(b.work)
	}
	if i%groupLen == 0 {
		b.slabs[s].before[i/groupLen] = h.PrevBlock
	}
	b.slabs[s].headers[i], b.slabs[s].tags[i] = pack(h), tagOf(hash)
	b.n++
	b.tip = hash
	b.work.Add(b.work, b.calc(h.Bits))
}

// pop removes the last header, which is not the first one, and returns it.
func (b *best) pop() (h wire.BlockHeader, hash chainhash.Hash) {
	h, hash = b.at(b.n - 1)
	b.work.Sub(b.work, b.calc(h.Bits))
	b.tip = h.PrevBlock
	b.n--
	b.slabs = b.slabs[:(b.n+slabLen-1)/slabLen]
	return h, hash
}

func (b *best) packed(height int) *packed {
	return &b.slabs[height/slabLen].headers[height%slabLen]
}

// at returns the header at a height below n, and its hash.
func (b *best) at(height int) (h wire.BlockHeader, hash chainhash.Hash) {
	first := height / groupLen * groupLen
	prev := b.slabs[first/slabLen].before[first%slabLen/groupLen]
	for i := first; i < height; i++ {
		prev = b.packed(i).hash(prev)
	}
	p := b.packed(height)
	if height == b.n-1 {
		return p.header(prev), b.tip
	}
	return p.header(prev), p.hash(prev)
}

func (b *best) hash(height int) chainhash.Hash {
	if height == b.n-1 {
		return b.tip
	}
	_, hash := b.at(height)
	return hash
}

// find returns the height of the header with a hash, looking at the newest
// first.
func (b *best) find(hash chainhash.Hash) (height int, ok bool) {
	tag := tagOf(hash)
	for i := b.n - 1; i >= 0; i-- {
		if b.slabs[i/slabLen].tags[i%slabLen] == tag && b.hash(i) == hash {
			return i, true
		}
	}
	return 0, false
}

// workAt returns the work of the chain up to a height.
func (b *best) workAt(height int) *big.Int {
	s := height / slabLen
	w := new(big.Int).Set(b.slabs[s].work)
	for i := s * slabLen; i <= height; i++ {
		w.Add(w, b.calc(b.packed(i).bits))
	}
	return w
}
