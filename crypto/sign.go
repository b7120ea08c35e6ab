package crypto

import (
	"encoding/hex"
	"errors"
	"fmt"

	"github.com/btcsuite/btcd/btcec/v2"
	"github.com/btcsuite/btcd/btcec/v2/schnorr"
)

// A PublicKey verifies signatures: the x coordinate of a point of secp256k1,
// as in BIP-340.
type PublicKey [32]byte

// String returns k in lower-case hex.
func (k PublicKey) String() string { return hex.EncodeToString(k[:]) }

// Device returns the id of the device that signs with k's other half.
func (k PublicKey) Device() (id DeviceID) {
	h := Sum(append([]byte(label("device")), k[:]...))
	copy(id[:], h[:])
	return id
}

// ParsePublicKey returns the key that a zone file (33 or 65 bytes) or a
// profile (32 bytes) gives. It must be a point of the curve.
func ParsePublicKey(b []byte) (PublicKey, error) {
	var k PublicKey
	var p *btcec.PublicKey
	var err error
	switch {
	case len(b) == 32:
		p, err = schnorr.ParsePubKey(b)
	case len(b) == 33 || len(b) == 65 && b[0] == 4:
		p, err = btcec.ParsePubKey(b)
	default:
		err = errors.New("neither 32, 33 nor 65 bytes of a known form")
	}
	if err != nil {
		return k, fmt.Errorf("public key: %w", err)
	}
	copy(k[:], schnorr.SerializePubKey(p))
	return k, nil
}

// PublicOf returns the public key by which key's signatures are verified.
func PublicOf(key *btcec.PrivateKey) (k PublicKey) {
	copy(k[:], schnorr.SerializePubKey(key.PubKey()))
	return k
}

// A SigningKey signs what one device writes. It never leaves the device.
type SigningKey struct {
	key    *btcec.PrivateKey
	public PublicKey
}

// NewSigningKey makes a random key.
func NewSigningKey() (*SigningKey, error) {
	for {
		var b [32]byte
		randomBytes(b[:])
		if k, err := ParseSigningKey(b[:]); err == nil {
			return k, nil // the rest, not one in 2^127, is no key of the curve
		}
	}
}

// ParseSigningKey returns the key that Bytes gave.
func ParseSigningKey(b []byte) (*SigningKey, error) {
	var s btcec.ModNScalar
	if len(b) != 32 || s.SetByteSlice(b) || s.IsZero() {
		return nil, errors.New("signing key: not a scalar of the curve")
	}
	return SigningKeyOf(btcec.PrivKeyFromScalar(&s)), nil
}

// SigningKeyOf makes a signing key of a key from elsewhere.
func SigningKeyOf(key *btcec.PrivateKey) *SigningKey {
	return &SigningKey{key: key, public: PublicOf(key)}
}

// Bytes returns the secret: 32 bytes.
func (k *SigningKey) Bytes() []byte { return k.key.Serialize() }

// Public returns the key that verifies k's signatures.
func (k *SigningKey) Public() PublicKey { return k.public }

// Device returns the id of the device that k makes.
func (k *SigningKey) Device() DeviceID { return k.public.Device() }

// String keeps the secret out of logs.
func (k *SigningKey) String() string { return "signing key of device " + k.Device().String() }

// GoString keeps the secret out of logs.
func (k *SigningKey) GoString() string { return k.String() }
