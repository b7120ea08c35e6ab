package crypto

import (
	"math/bits"

	"lukechampine.com/blake3"
	"lukechampine.com/blake3/guts"
)

const (
	groupLen = guts.MaxSIMD * guts.ChunkSize // what is compressed in one step
	maxQuick = 8 * groupLen                  // beyond that, goroutines pay off
)

// Sum returns the hash of b.
func Sum(b []byte) Hash {
	if len(b) <= guts.ChunkSize || len(b) > maxQuick {
		return blake3.Sum256(b) // that starts goroutines and allocates for all but the shortest
	}
	return quickSum(b)
}

// quickSum is Sum for more than one chunk and at most maxQuick bytes, on this
// goroutine and without an allocation: sealed frames are hashed one by one. It
// builds BLAKE3's tree from groups of 16 chunks. All but the last group are
// whole subtrees, of which two of one height are merged at once.
func quickSum(b []byte) Hash {
	var stack [8][8]uint32
	var group uint64
	for ; len(b) > groupLen; b = b[groupLen:] {
		n := guts.CompressBuffer((*[groupLen]byte)(b), groupLen, &guts.IV, group*guts.MaxSIMD, 0)
		cv, height := guts.ChainingValue(n), 0
		for ; group&(1<<height) != 0; height++ {
			cv = guts.ChainingValue(guts.ParentNode(stack[height], cv, &guts.IV, 0))
		}
		stack[height] = cv
		group++
	}
	n := lastGroup(b, group*guts.MaxSIMD)
	for i := range bits.Len64(group) {
		if group&(1<<i) != 0 {
			n = guts.ParentNode(stack[i], guts.ChainingValue(n), &guts.IV, 0)
		}
	}
	n.Flags |= guts.FlagRoot
	out := guts.WordsToBytes(guts.CompressNode(n))
	return Hash(out[:32])
}

// lastGroup returns the node of b, which is 1 to groupLen bytes.
func lastGroup(b []byte, chunk uint64) guts.Node {
	switch {
	case len(b) <= guts.ChunkSize:
		return guts.CompressChunk(b, &guts.IV, chunk, 0)
	case len(b) == groupLen:
		return guts.CompressBuffer((*[groupLen]byte)(b), groupLen, &guts.IV, chunk, 0)
	}
	var buf [groupLen]byte // the whole of it is read
	copy(buf[:], b)
	return guts.CompressBuffer(&buf, len(b), &guts.IV, chunk, 0)
}
