package crypto

import (
	"bytes"
	"crypto/hpke"
	"crypto/rand"
	"errors"
	"fmt"
)

// KEM is the number, in HPKE's registry, of the only key encapsulation in use:
// MLKEM768X25519.
const KEM = 0x647a

const (
	sealPublicLen = 1184 + 32
	sealEncLen    = 1088 + 32
	sealTagLen    = 16
)

// SealOverhead is by how much SealTo's result is longer than its input.
const SealOverhead = sealEncLen + sealTagLen

// ErrOpen is every failure to open something sealed: a wrong key, a changed,
// shortened, moved or planted byte. Telling them apart would help nobody but
// an attacker.
var ErrOpen = errors.New("sealed data does not open")

// SealPublic is a public key that others seal to, as in a profile: 1,216 bytes.
type SealPublic []byte

// Valid returns nil if p is a key that SealTo can seal to.
func (p SealPublic) Valid() error {
	_, err := hpke.MLKEM768X25519().NewPublicKey(p)
	if err != nil {
		return fmt.Errorf("sealing key of %d bytes: %w", len(p), err)
	}
	return nil
}

// Equal tells whether both are the same key.
func (p SealPublic) Equal(other SealPublic) bool { return bytes.Equal(p, other) }

// A SealKey opens what was sealed to its public half.
type SealKey struct {
	key    hpke.PrivateKey
	seed   [32]byte
	public SealPublic
}

// NewSealKey makes a random key.
func NewSealKey() (*SealKey, error) {
	var seed [32]byte
	randomBytes(seed[:])
	return ParseSealKey(seed[:])
}

// ParseSealKey returns the key that Bytes gave. Any 32 bytes are a key.
func ParseSealKey(b []byte) (*SealKey, error) {
	key, err := hpke.MLKEM768X25519().NewPrivateKey(b)
	if err != nil {
		return nil, fmt.Errorf("sealing key: %w", err)
	}
	k := &SealKey{key: key, public: key.PublicKey().Bytes()}
	copy(k.seed[:], b)
	return k, nil
}

// Public returns the key that others seal to.
func (k *SealKey) Public() SealPublic { return bytes.Clone(k.public) }

// Bytes returns the secret: 32 bytes.
func (k *SealKey) Bytes() []byte { return bytes.Clone(k.seed[:]) }

// String keeps the secret out of logs.
func (k *SealKey) String() string { return "sealing key" }

// GoString keeps the secret out of logs.
func (k *SealKey) GoString() string { return k.String() }

// Open returns what SealTo sealed to k with the same info; all failures are
// ErrOpen.
func (k *SealKey) Open(info, sealed []byte) ([]byte, error) {
	if len(sealed) < SealOverhead {
		return nil, ErrOpen
	}
	plain, err := hpke.Open(k.key, hpke.HKDFSHA256(), hpke.ChaCha20Poly1305(), info, sealed)
	if err != nil {
		return nil, ErrOpen
	}
	return plain, nil
}

// SealTo seals plain so that only to's other half opens it, and only with the
// same info. The result is the encapsulated key, 1,120 bytes, and the
// ciphertext.
func SealTo(to SealPublic, info, plain []byte) ([]byte, error) {
	key, err := hpke.MLKEM768X25519().NewPublicKey(to)
	if err != nil {
		return nil, fmt.Errorf("sealing to a key of %d bytes: %w", len(to), err)
	}
	sealed, err := hpke.Seal(key, hpke.HKDFSHA256(), hpke.ChaCha20Poly1305(), info, plain)
	if err != nil {
		return nil, fmt.Errorf("sealing: %w", err)
	}
	return sealed, nil
}

// randomBytes fills b. It can't fail: without randomness the process ends.
func randomBytes(b []byte) { rand.Read(b) }
