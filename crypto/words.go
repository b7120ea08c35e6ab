package crypto

import (
	"bytes"
	"errors"
	"fmt"
	"strings"

	"github.com/btcsuite/btcd/btcec/v2"
	"github.com/btcsuite/btcd/btcutil/v2/hdkeychain"
	"github.com/btcsuite/btcd/chaincfg/v2"
	"github.com/tyler-smith/go-bip39"
)

// WordCount is how many recovery words there are.
const WordCount = 24

// DataKeys is how many generations of the data key are tried when one is
// looked for.
const DataKeys = 1000

// NewWords returns 24 random recovery words with a space between each two.
func NewWords() (string, error) {
	entropy := make([]byte, 32)
	randomBytes(entropy)
	defer clear(entropy)
	words, err := bip39.NewMnemonic(entropy)
	if err != nil {
		return "", fmt.Errorf("recovery words: %w", err)
	}
	return words, nil
}

// A Root is what the recovery words stand for. All that can be had back after
// every device is lost comes from it.
type Root struct{ seed []byte }

// ParseWords checks the words, upper or lower case and with any white space,
// and returns what they stand for. The error says which word can't be right,
// by its place and never by the word itself.
func ParseWords(words string) (*Root, error) {
	list := strings.Fields(strings.ToLower(words))
	if len(list) != WordCount {
		return nil, fmt.Errorf("recovery words: %d words, want %d", len(list), WordCount)
	}
	for i, w := range list {
		if _, ok := bip39.GetWordIndex(w); !ok {
			return nil, fmt.Errorf("recovery words: word %d is not in the list of words", i+1)
		}
	}
	text := strings.Join(list, " ")
	if _, err := bip39.EntropyFromMnemonic(text); err != nil {
		return nil, errors.New("recovery words: all are in the list, but the checksum does not fit: one is wrong or two changed places")
	}
	return &Root{seed: bip39.NewSeed(text, "")}, nil
}

// String keeps the secret out of logs.
func (r *Root) String() string { return "recovery words" }

// GoString keeps the secret out of logs.
func (r *Root) GoString() string { return r.String() }

// OwnerKey returns the key that the chain binds the name to: BIP-32
// m/44'/0'/0'/0/0.
func (r *Root) OwnerKey() (*btcec.PrivateKey, error) {
	key, err := hdkeychain.NewMaster(r.seed, &chaincfg.MainNetParams)
	const hard = hdkeychain.HardenedKeyStart
	for _, i := range []uint32{hard + 44, hard, hard, 0, 0} {
		if err == nil {
			key, err = key.Derive(i)
		}
	}
	if err != nil {
		return nil, fmt.Errorf("owner key: %w", err)
	}
	return key.ECPrivKey()
}

// DataKey returns the data key of generation gen, from 0.
func (r *Root) DataKey(gen int) *btcec.PrivateKey {
	b := derive(r.seed, "data", number(uint64(gen)))
	defer clear(b[:])
	var s btcec.ModNScalar
	s.SetByteSlice(b[:]) // as a number modulo the order of the curve
	return btcec.PrivKeyFromScalar(&s)
}

// FindDataKey returns the data key, and its generation, of which pub is the
// public half: 33 or 65 bytes as in a zone file.
func (r *Root) FindDataKey(pub []byte) (int, *btcec.PrivateKey, error) {
	if _, err := ParsePublicKey(pub); err != nil {
		return 0, nil, err
	}
	want, err := btcec.ParsePubKey(pub)
	if err != nil {
		return 0, nil, fmt.Errorf("data key: %w", err)
	}
	for gen := range DataKeys {
		key := r.DataKey(gen)
		if bytes.Equal(key.PubKey().SerializeCompressed(), want.SerializeCompressed()) {
			return gen, key, nil
		}
	}
	return 0, nil, errors.New("data key: it does not come from these recovery words")
}

// RecoveryKey returns the key to which every profile seals the newest user
// secret, so that the words suffice to read.
func (r *Root) RecoveryKey() (*SealKey, error) {
	b := derive(r.seed, "recovery")
	defer clear(b[:])
	return ParseSealKey(b[:])
}
