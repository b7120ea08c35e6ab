// Package pack writes, keeps and reads packs: immutable blobs of many sealed
// segments.
//
// A pack is its segments, without gaps from offset 0, then random padding up
// to the Padmé length of their sum (Padded): for a length L with E = ⌊log2 L⌋
// and S = ⌊log2 E⌋ + 1, L rounded up to a multiple of 2^(E-S). That adds at
// most 12 % and tells an observer little more than the magnitude. A pack has
// at most 16 MiB. Its id is BLAKE3-256 of all its bytes, padding included;
// providers hold it as p/<first 2 hex digits of the id>/<id in hex>.
//
// A Store is what one machine has of its own and other people's packs:
//
//	open/ID     packs being written, under a random provisional id
//	open/ID.as  symbolic links from provisional ids to those of closed packs
//	staged/ID   closed packs that are pinned: never removed by the store itself
//	cached/ID   closed packs that providers have too
//	parts/ID    parts of packs that were fetched by range (see part.go)
//	fetch/      packs being fetched
//
// Staged packs and open ones may live in another folder than the rest, which
// is a cache that may be wiped at any time. What a crash leaves in fetch is
// removed by the next Open. What it leaves in open stays until DropLeft: whoever
// knows how much of a pack was synced goes on with it (Adopt).
//
// Nothing in a cache is believed: whoever reads gives a check for what he
// wants, and a local copy that fails it is dropped and fetched again.
package pack

import (
	"encoding/hex"
	"fmt"
	"io"
	"math/bits"

	"lukechampine.com/blake3"

	"satchel/storage"
)

// MaxSize is the largest size of a pack, padding included.
const MaxSize = 16 << 20

// An ID is the hash of all bytes of a pack, or a random number while the pack
// is being written.
type ID [32]byte

// String returns the id in hex.
func (id ID) String() string { return hex.EncodeToString(id[:]) }

// Key returns the key under which providers hold the pack.
func (id ID) Key() string {
	s := id.String()
	return "p/" + s[:2] + "/" + s
}

// parseID reads what String wrote.
func parseID(s string) (id ID, ok bool) {
	if len(s) != 2*len(id) {
		return id, false
	}
	_, err := hex.Decode(id[:], []byte(s))
	return id, err == nil && id.String() == s
}

// Padded returns the size of a pack whose segments have n bytes together.
func Padded(n int64) int64 {
	if n < 2 {
		return n
	}
	e := bits.Len64(uint64(n)) - 1
	s := bits.Len64(uint64(e))
	mask := int64(1)<<(e-s) - 1
	return (n + mask) &^ mask
}

// hashOf returns the hash of size bytes of r.
func hashOf(r io.ReaderAt, size int64) (id ID, err error) {
	h := blake3.New(32, nil)
	n, err := io.Copy(h, io.NewSectionReader(r, 0, size))
	if err == nil && n != size {
		err = io.ErrUnexpectedEOF
	}
	h.Sum(id[:0])
	return id, err
}

// verify returns an error unless the size bytes of r are the pack id.
func verify(r io.ReaderAt, size int64, id ID) error {
	got, err := hashOf(r, size)
	if err == nil && got != id {
		err = fmt.Errorf("pack %s: its bytes are those of %s: %w", id, got, ErrWrong)
	}
	return err
}

// wrongFrom says that a provider gave what does not verify.
func wrongFrom(p storage.Provider, err error) error {
	return fmt.Errorf("%s: gave wrong bytes: %w", storage.Redact(p.URL), err)
}
