package crypto

import (
	"fmt"

	"github.com/btcsuite/btcd/btcec/v2"
)

// ErrPassphrase reports a keystore that does not open: a wrong passphrase or
// a damaged file, which look the same.
var ErrPassphrase = fmt.Errorf("wrong passphrase, or the keystore is damaged: %w", ErrOpen)

// A Keystore holds the secrets of one device of a name.
type Keystore struct {
	Name        string
	Network     Network
	Signing     *SigningKey
	Sealing     *SealKey
	DataKey     *btcec.PrivateKey // the keeper's alone, else nil
	DataGen     int
	UserSecrets map[uint64]UserSecret // by generation
	Owner       *btcec.PrivateKey     // nil unless kept here on demand
	StateKey    [32]byte              // encrypts the state database
	LocalSecret [32]byte              // inode numbers and other local derivations
	Fingerprint [32]byte              // keys the hash by which equal content is found again
}

// CreateKeystore writes a new keystore.
func CreateKeystore(path string, pass []byte, ks *Keystore) error { return errTodo }

// OpenKeystore reads a keystore.
func OpenKeystore(path string, pass []byte) (*Keystore, error) { return nil, errTodo }

// SaveKeystore replaces a keystore.
func SaveKeystore(path string, pass []byte, ks *Keystore) error { return errTodo }
