// Package proof shows what happened to a name at a height to somebody who has
// not read the chain, trusts one consensus hash, and asks a server that he does
// not trust: simplified name verification.
//
// # The walk
//
// The consensus hash of block B covers the block's ops hash and the consensus
// hashes of B-1, B-3, B-7, … B-(2^i-1). Those together are B's opening. From the
// trusted hash the verifier walks to the wanted height, always with the longest
// jump that does not pass it, and on to the registry's first block; each step is
// one request, and their number is about twice the logarithm of the height. The
// operations of the wanted height are compared with the ops hash that the walk
// proved.
//
// # Why nothing can be forged
//
// An opening is checked by hashing it, so a node's ops hash and the set of
// earlier hashes are the real ones. But they are hashed sorted, and a server
// could swap them: claim that B-3's hash is B-1's, and pass off what happened at
// one height as what happened at another. Nor does a hash tell its own height. So
// two things more are proven.
//
// Order. For each step the server gives the openings of the claimed list, and
// those that show, for each neighbouring pair of the claimed list, that the later one is an ancestor of the
// earlier one: it is among its earlier hashes, or among those of one of these.
// (The real ones always are: from B-(2^i-1) it is a jump of 2^i-1 and one of 1.)
// Ancestry is by hash, whatever the labels in those openings say, and an
// ancestor's real height is smaller. So the claimed list is ordered by real
// height, the real set has only one such order, and each hash of the list is the
// one that the server says: the step is as long as it claims.
//
// Height. The walk ends at the first block, the only one without earlier
// hashes. The steps before it are as long as claimed, so their sum is the real
// height of the trusted hash, and of each node between.
//
// Trees of different size can't be confused. The list's length follows from the
// claimed height. Equal hashes in it are refused, since the tree repeats its last
// leaf where one is missing. Leaves have 16 bytes, but for the ops hash with 32,
// so a pair of leaves is shorter than a pair of inner nodes (64), unless the ops
// hash is repeated, which leaves another pair that gives it away. One tree has no
// pair at all: that of the first block, whose root is its ops hash. A server could
// give any node's root as the ops hash of a first block; therefore the operations
// of the first block have to be shown too, each in the form of a record, and no
// inner node has that.
//
// But the pair of the ops hash and one earlier hash, 48 bytes, can be cut after 16
// bytes or after 32. The other cut makes half of the ops hash an earlier hash, and
// the earlier hash, with the other half, an ops hash. Where nothing happens the
// ops hash is always the same, so such a hash could even be shown in several
// openings, put at the end of a list, and all before it moved down one place: the
// steps would be longer than they claim. So for each hash of the list an opening
// is asked for. Of half an ops hash there is none, unless somebody finds one by
// 2^64 trials, with which he could make two openings of one hash as well.
//
// A block's records are hashed sorted as well. Each holds the transaction's
// index, by which they are in order here, none twice.
//
// # HTTP
//
// All questions are GET, all answers JSON; hashes are hex, those of transactions
// reversed as usual. What isn't there is 404.
//
//	/v1/consensus/HASH               {"height": N}            the height that has the hash
//	/v1/proof/HEIGHT                 opening, and "openings": those of its list, and that show the order
//	/v1/operations/HEIGHT?from=N     {"total": N, "records": […]} from the Nth on, serialised
//	/v1/tx/TXID                      {"raw": HEX}             a transaction
//	/v1/names/NAME                   {"heights": […]}         at which something happened to it
//	/v1/tip                          {"height": N, "consensus": HASH}
//
// An opening is {"ops_hash": HEX, "earlier": [HEX, …]}, nearest first.
package proof

import (
	"encoding/hex"
	"errors"
	"fmt"
	"slices"

	"satchel/chain"
)

// ErrForged reports an answer that doesn't fit the trusted hash.
var ErrForged = errors.New("the server's answer is forged or damaged")

// A Hash is a consensus hash.
type Hash [16]byte

// MarshalText implements encoding.TextMarshaler.
func (h Hash) MarshalText() ([]byte, error) { return []byte(hex.EncodeToString(h[:])), nil }

// UnmarshalText implements encoding.TextUnmarshaler.
func (h *Hash) UnmarshalText(b []byte) error { return unhex(h[:], b) }

// An OpsHash is the hash of a block's operations.
type OpsHash [32]byte

// MarshalText implements encoding.TextMarshaler.
func (h OpsHash) MarshalText() ([]byte, error) { return []byte(hex.EncodeToString(h[:])), nil }

// UnmarshalText implements encoding.TextUnmarshaler.
func (h *OpsHash) UnmarshalText(b []byte) error { return unhex(h[:], b) }

func unhex(dst, text []byte) error {
	if len(text) != 2*len(dst) {
		return fmt.Errorf("a hash of %d characters, want %d", len(text), 2*len(dst))
	}
	_, err := hex.Decode(dst, text)
	return err
}

// An opening is what a consensus hash is made of.
type opening struct {
	Ops     OpsHash `json:"ops_hash"`
	Earlier []Hash  `json:"earlier"` // nearest first
}

// hash returns the consensus hash of an opening.
func (o *opening) hash() Hash {
	earlier := make([][16]byte, len(o.Earlier))
	for i, h := range o.Earlier {
		earlier[i] = h
	}
	return chain.ConsensusHash(o.Ops, earlier)
}

// A step is the opening of one node of the walk, those of its earlier hashes, and
// those that show their order.
type step struct {
	opening
	Openings []opening `json:"openings"`
}

// jumps returns how far before a height its earlier hashes lie, given the first
// height.
func jumps(height, first int) (list []int) {
	for j := 1; height-j >= first; j = 2*j + 1 {
		list = append(list, j)
	}
	return list
}

// check checks a step's claim to be the node with that hash and height.
func (s *step) check(node Hash, height, first int) error {
	if got := s.hash(); got != node {
		return fmt.Errorf("%w: the opening of block %d has hash %x, not %x", ErrForged, height, got, node)
	}
	if want := len(jumps(height, first)); len(s.Earlier) != want {
		return fmt.Errorf("%w: block %d comes with %d earlier hashes, not %d", ErrForged, height, len(s.Earlier), want)
	}
	if err := distinct(s.Earlier); err != nil {
		return fmt.Errorf("%w: block %d: %w", ErrForged, height, err)
	}
	known := make(map[Hash][]Hash, len(s.Openings))
	for _, o := range s.Openings {
		if err := distinct(o.Earlier); err != nil {
			return fmt.Errorf("%w: beside block %d: %w", ErrForged, height, err)
		}
		known[o.hash()] = o.Earlier
	}
	for i, h := range s.Earlier {
		if _, ok := known[h]; !ok {
			return fmt.Errorf("%w: %x, of the hashes before block %d, is not opened", ErrForged, h, height)
		}
		if i > 0 && !ancestor(known, s.Earlier[i-1], h) {
			return fmt.Errorf("%w: nothing shows that %x is older than %x, of the hashes before block %d",
				ErrForged, h, s.Earlier[i-1], height)
		}
	}
	return nil
}

// ancestor says if the openings show that old is an ancestor of young.
func ancestor(known map[Hash][]Hash, young, old Hash) bool {
	return slices.Contains(known[young], old) ||
		slices.ContainsFunc(known[young], func(m Hash) bool { return slices.Contains(known[m], old) })
}

func distinct(hashes []Hash) error {
	seen := make(map[Hash]bool, len(hashes))
	for _, h := range hashes {
		if seen[h] {
			return fmt.Errorf("hash %x is there twice", h)
		}
		seen[h] = true
	}
	return nil
}
