package crypto

import (
	"encoding/hex"
	"hash"

	"lukechampine.com/blake3"
)

// A Hash is BLAKE3-256 of something that is not secret.
type Hash [32]byte

// String returns h in lower-case hex.
func (h Hash) String() string { return hex.EncodeToString(h[:]) }

// NewHasher returns a hash.Hash of which Sum gives the bytes of a Hash.
func NewHasher() hash.Hash { return blake3.New(32, nil) }

// A DeviceID names a device for ever: the first 16 bytes of
// BLAKE3("satchel device v1" ‖ public signing key).
type DeviceID [16]byte

// String returns d in lower-case hex.
func (d DeviceID) String() string { return hex.EncodeToString(d[:]) }

// A Network says which registry on which chain a name belongs to: the
// registry's magic, two bytes, and the first 8 bytes of the genesis block's
// hash in wire order.
type Network [10]byte

// String returns n in lower-case hex.
func (n Network) String() string { return hex.EncodeToString(n[:]) }

// A Locator is where a head is found: its key at a provider is "h/" and the
// locator in hex.
type Locator [32]byte

// String returns l in lower-case hex.
func (l Locator) String() string { return hex.EncodeToString(l[:]) }
