package crypto

import (
	"crypto/hkdf"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/binary"
)

// label is how a derivation for use is named.
func label(use string) string { return "satchel " + use + " v1" }

// fields returns the label of use and the fields behind it, each with its
// length in 4 big-endian bytes, so that no two lists give the same bytes.
func fields(use string, list ...[]byte) []byte {
	b := []byte(label(use))
	for _, f := range list {
		b = binary.BigEndian.AppendUint32(b, uint32(len(f)))
		b = append(b, f...)
	}
	return b
}

// derive returns 32 bytes for use and fields from secret, by HKDF-SHA256
// without salt.
func derive(secret []byte, use string, list ...[]byte) (out [32]byte) {
	b, err := hkdf.Key(sha256.New, secret, nil, string(fields(use, list...)), len(out))
	if err != nil {
		panic(err) // only for more than 255 hashes of output
	}
	copy(out[:], b)
	clear(b)
	return out
}

// LocalKey returns the key for one use of what a machine keeps for itself, from a
// secret of its keystore. of tells several of one use apart.
func LocalKey(secret [32]byte, use, of string) [32]byte { return derive(secret[:], use, []byte(of)) }

// mac returns HMAC-SHA256 of use and fields under key.
func mac(key []byte, use string, list ...[]byte) (out [32]byte) {
	m := hmac.New(sha256.New, key)
	m.Write(fields(use, list...))
	m.Sum(out[:0])
	return out
}

// number returns n as a field: 8 big-endian bytes.
func number(n uint64) []byte { return binary.BigEndian.AppendUint64(nil, n) }
