package chaintest

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"slices"
	"strconv"

	"github.com/btcsuite/btcd/address/v2"
	"github.com/btcsuite/btcd/chainhash/v2"
)

// The maker of synthetic chains finds the consensus hashes, which the next
// blocks' operations must quote, without the registry: it writes down the
// records that its operations leave behind and hashes them. So the hashes that
// an index finds for such a chain are checked against other code.

// appendRecord appends fields as records have them to a code.
func appendRecord(b []byte, code byte, fields ...any) []byte {
	b = append(b, code, ':')
	for i, f := range fields {
		if i > 0 {
			b = append(b, ',')
		}
		switch f := f.(type) {
		case int:
			var digits [20]byte
			b = appendText(b, strconv.AppendInt(digits[:0], int64(f), 10))
		case string:
			b = appendText(b, []byte(f))
		case []byte:
			b = strconv.AppendInt(b, int64(2*len(f)), 10)
			b = hex.AppendEncode(append(b, ':'), f)
		}
	}
	return b
}

func appendText(b, text []byte) []byte {
	b = append(strconv.AppendInt(b, int64(len(text)), 10), ':')
	return append(b, text...)
}

// opsRoot hashes the records of one block, given by their hashes.
func opsRoot(hashes []chainhash.Hash) []byte {
	if len(hashes) == 0 {
		hashes = []chainhash.Hash{chainhash.DoubleHashH(nil)}
	}
	leaves := make([][]byte, len(hashes))
	for i := range hashes {
		leaves[i] = hashes[i][:]
	}
	return sortedRoot(leaves)
}

// sortedRoot is Bitcoin's merkle root over sorted leaves, all of it in the
// other byte order.
func sortedRoot(leaves [][]byte) []byte {
	slices.SortFunc(leaves, bytes.Compare)
	for i, l := range leaves {
		leaves[i] = slices.Clone(l)
		slices.Reverse(leaves[i])
	}
	for len(leaves) > 1 {
		var up [][]byte
		for i := 0; i < len(leaves); i += 2 {
			once := sha256.Sum256(slices.Concat(leaves[i], leaves[min(i+1, len(leaves)-1)]))
			twice := sha256.Sum256(once[:])
			up = append(up, twice[:])
		}
		leaves = up
	}
	slices.Reverse(leaves[0])
	return leaves[0]
}

// nextConsensus returns the consensus hash of the block after those of earlier,
// which are in order from the first block on.
func nextConsensus(records []chainhash.Hash, earlier [][16]byte) [16]byte {
	leaves := [][]byte{opsRoot(records)}
	for step := 1; step <= len(earlier); step = 2*step + 1 {
		leaves = append(leaves, earlier[len(earlier)-step][:])
	}
	return [16]byte(address.Hash160(sortedRoot(leaves)))
}
