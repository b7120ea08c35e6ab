package ops

import (
	"crypto/sha256"
	"encoding/hex"
	"math/big"
	"strings"

	"github.com/btcsuite/btcd/address/v2"
)

// Lengths of names.
const (
	MaxName      = 37
	MaxNamespace = 19
)

// alphabet has the 40 digits of names, the 38 allowed in labels, then '.', '+'.
const alphabet = "0123456789abcdefghijklmnopqrstuvwxyz-_.+"

// ValidName says if s is label, dot, namespace id, at most MaxName bytes.
func ValidName(s string) bool {
	label, ns, ok := strings.Cut(s, ".")
	return ok && len(s) <= MaxName && validLabel(label) && ValidNamespace(ns)
}

// ValidNamespace says if s is a namespace id.
func ValidNamespace(s string) bool {
	return len(s) <= MaxNamespace && validLabel(s)
}

func validLabel(s string) bool {
	return s != "" && strings.Trim(s, alphabet[:38]) == ""
}

// Base40 reads s as a number in base 40 and returns its bytes, most
// significant first. Leading zeros vanish, so it can't be undone. ok is false
// if s has a character that is no digit.
func Base40(s string) (b []byte, ok bool) {
	n, base := new(big.Int), big.NewInt(int64(len(alphabet)))
	for i := range len(s) {
		d := strings.IndexByte(alphabet, s[i])
		if d < 0 {
			return nil, false
		}
		n.Add(n.Mul(n, base), big.NewInt(int64(d)))
	}
	if n.Sign() == 0 {
		return []byte{0}, true
	}
	return n.Bytes(), true
}

// HashName hides a name, or a namespace's id, in a preorder: hash160 of its
// base-40 bytes, the sender's script and the address that is to own it.
func HashName(name string, sender []byte, addr string) [20]byte {
	b, _ := Base40(name)
	b = append(append(b, sender...), addr...)
	return [20]byte(address.Hash160(b))
}

// Hash128 is what a transfer calls a name.
func Hash128(name string) [16]byte {
	h := sha256.Sum256([]byte(name))
	return [16]byte(h[:16])
}

// UpdateHash is what an update calls a name. The consensus hash goes in as hex.
func UpdateHash(name string, consensus [16]byte) [16]byte {
	return Hash128(name + hex.EncodeToString(consensus[:]))
}
