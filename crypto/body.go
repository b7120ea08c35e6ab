package crypto

import (
	"crypto/subtle"
	"errors"
	"fmt"
	"math/bits"

	"golang.org/x/crypto/chacha20poly1305"
)

const (
	commitLen = 32
	bodyFixed = commitLen + 1
	wrapLen   = SealOverhead + 32
	maxWraps  = 128
)

// BodyOverhead returns how many bytes SealBody adds for so many readers.
func BodyOverhead(readers int) int {
	return bodyFixed + wrapCount(readers)*wrapLen + chacha20poly1305.Overhead
}

// wrapCount returns to how many wraps those for readers are filled: a power of
// two, and 2 at least, so that a private volume looks like a pair's.
func wrapCount(readers int) int {
	return 1 << bits.Len(uint(max(readers, 2)-1))
}

// SealBody seals the body of the envelope with header h to readers, all of
// h but the body's hash being fixed already.
func SealBody(h Header, plain []byte, readers []SealPublic) ([]byte, error) {
	aad := h.AAD()
	if aad == nil {
		return nil, errors.New("seal body: the header can't be encoded")
	}
	if len(readers) == 0 || len(readers) > maxWraps || len(plain) > h.Kind.MaxSize() {
		return nil, fmt.Errorf("seal body: %d bytes for %d readers", len(plain), len(readers))
	}
	var key [32]byte
	randomBytes(key[:])
	defer clear(key[:])
	n := wrapCount(len(readers))
	out := make([]byte, 0, bodyFixed+n*wrapLen+len(plain)+chacha20poly1305.Overhead)
	commitment := derive(key[:], "head commit")
	out = append(out, commitment[:]...)
	out = append(out, byte(bits.Len(uint(n))-1))
	wraps, err := wrap(key[:], aad, readers, n)
	if err != nil {
		return nil, fmt.Errorf("seal body: %w", err)
	}
	for _, w := range wraps {
		out = append(out, w...)
	}
	return sealText(out, key[:], plain, aad), nil
}

// wrap seals key to readers and to throw-away keys, n in all, and shuffles the
// results.
func wrap(key, aad []byte, readers []SealPublic, n int) ([][]byte, error) {
	wraps := make([][]byte, n)
	for i, at := range shuffled(n) {
		var to SealPublic
		if i < len(readers) {
			to = readers[i]
		} else {
			nobody, err := NewSealKey()
			if err != nil {
				return nil, err
			}
			to = nobody.public
		}
		w, err := SealTo(to, aad, key)
		if err != nil {
			return nil, err
		}
		wraps[at] = w
	}
	return wraps, nil
}

// shuffled returns the numbers below n, a power of two up to maxWraps, in
// random order.
func shuffled(n int) []int {
	p := make([]int, n)
	for i := range p {
		p[i] = i
	}
	for i := n - 1; i > 0; i-- {
		j := below(i + 1)
		p[i], p[j] = p[j], p[i]
	}
	return p
}

// below returns a random number below n, at most 256, each as likely.
func below(n int) int {
	var b [1]byte
	for {
		randomBytes(b[:])
		if int(b[0]) < 256-256%n {
			return int(b[0]) % n
		}
	}
}

// sealText appends the ciphertext of plain under the body key to out.
func sealText(out, key, plain, aad []byte) []byte {
	k := derive(key, "head body")
	defer clear(k[:])
	aead, err := chacha20poly1305.NewX(k[:])
	if err != nil {
		panic(err) // only for keys of another length
	}
	return aead.Seal(out, make([]byte, aead.NonceSize()), plain, aad)
}

// OpenBody opens the body of the verified envelope with header h by the first
// of keys to which it was sealed. All failures are ErrOpen.
func OpenBody(h Header, sealed []byte, keys ...*SealKey) ([]byte, error) {
	aad := h.AAD()
	if aad == nil || len(sealed) < bodyFixed || len(sealed) > h.Kind.MaxSize() {
		return nil, ErrOpen
	}
	commitment, log, rest := sealed[:commitLen], sealed[commitLen], sealed[bodyFixed:]
	if log < 1 || log > 7 || len(rest) < wrapLen<<log+chacha20poly1305.Overhead {
		return nil, ErrOpen
	}
	text := rest[wrapLen<<log:]
	for _, key := range keys {
		for i := range 1 << log {
			bodyKey, err := key.Open(aad, rest[i*wrapLen:(i+1)*wrapLen])
			if err != nil || !committed(commitment, bodyKey) {
				continue
			}
			defer clear(bodyKey)
			return openText(bodyKey, text, aad)
		}
	}
	return nil, ErrOpen
}

// committed tells whether key is the one that commitment was made of.
func committed(commitment, key []byte) bool {
	c := derive(key, "head commit")
	return len(key) == 32 && subtle.ConstantTimeCompare(c[:], commitment) == 1
}

func openText(key, text, aad []byte) ([]byte, error) {
	k := derive(key, "head body")
	defer clear(k[:])
	aead, err := chacha20poly1305.NewX(k[:])
	if err != nil {
		return nil, ErrOpen
	}
	plain, err := aead.Open(nil, make([]byte, aead.NonceSize()), text, aad)
	if err != nil {
		return nil, ErrOpen
	}
	return plain, nil
}
