package crypto

import (
	"fmt"
	"maps"
	"slices"

	"github.com/btcsuite/btcd/btcec/v2"

	"satchel/crypto/canon"
)

// A Keystore holds the secrets of one device of a name. What is nil or zero is
// absent and stays so.
type Keystore struct {
	Name        string
	Network     Network
	Signing     *SigningKey
	Sealing     *SealKey
	DataKey     *btcec.PrivateKey // the keeper's alone, else nil
	DataGen     int               // which data key of the words it is
	UserSecrets map[uint64]UserSecret
	Owner       *btcec.PrivateKey // nil unless it was asked to be kept here
	StateKey    [32]byte          // encrypts the drive's state database
	LocalSecret [32]byte          // for what only this machine derives, as inode numbers
	Fingerprint [32]byte          // keys the hash by which content is known again
	Recovery    SealPublic        // the public half of the words' recovery key, for profiles
	Extra       canon.Extra       // of a newer version
}

// String keeps the secrets out of logs.
func (ks *Keystore) String() string { return "keystore of " + ks.Name }

// GoString keeps the secret out of logs.
func (ks *Keystore) GoString() string { return ks.String() }

// Device returns the id of the device whose keystore this is.
func (ks *Keystore) Device() DeviceID { return ks.Signing.Device() }

// NewestUserSecret returns the user secret of the highest generation; ok is
// false if there is none.
func (ks *Keystore) NewestUserSecret() (gen uint64, u UserSecret, ok bool) {
	for g, s := range ks.UserSecrets {
		if !ok || g > gen {
			gen, u, ok = g, s, true
		}
	}
	return gen, u, ok
}

type wireKeystore struct {
	Name        string       `cbor:"1,keyasint"`
	Network     Network      `cbor:"2,keyasint"`
	Signing     []byte       `cbor:"3,keyasint,omitempty"`
	Sealing     []byte       `cbor:"4,keyasint,omitempty"`
	DataKey     []byte       `cbor:"5,keyasint,omitempty"`
	DataGen     int          `cbor:"6,keyasint,omitempty"`
	UserSecrets []wireSecret `cbor:"7,keyasint,omitempty"`
	Owner       []byte       `cbor:"8,keyasint,omitempty"`
	StateKey    [32]byte     `cbor:"9,keyasint"`
	LocalSecret [32]byte     `cbor:"10,keyasint"`
	Fingerprint [32]byte     `cbor:"11,keyasint"`
	Recovery    []byte       `cbor:"12,keyasint,omitempty"`
	Extra       canon.Extra  `cbor:"-"`
}

type wireSecret struct {
	_      struct{} `cbor:",toarray"`
	Gen    uint64
	Secret [32]byte
}

func (ks *Keystore) encode() ([]byte, error) {
	w := wireKeystore{
		Name: ks.Name, Network: ks.Network, DataGen: ks.DataGen,
		StateKey: ks.StateKey, LocalSecret: ks.LocalSecret, Fingerprint: ks.Fingerprint, Recovery: ks.Recovery, Extra: ks.Extra,
	}
	if ks.Signing != nil {
		w.Signing = ks.Signing.Bytes()
	}
	if ks.Sealing != nil {
		w.Sealing = ks.Sealing.Bytes()
	}
	if ks.DataKey != nil {
		w.DataKey = ks.DataKey.Serialize()
	}
	if ks.Owner != nil {
		w.Owner = ks.Owner.Serialize()
	}
	for _, gen := range slices.Sorted(maps.Keys(ks.UserSecrets)) {
		w.UserSecrets = append(w.UserSecrets, wireSecret{Gen: gen, Secret: ks.UserSecrets[gen]})
	}
	return canon.Marshal(w)
}

func decodeKeystore(b []byte) (*Keystore, error) {
	var w wireKeystore
	if err := canon.Unmarshal(b, &w); err != nil {
		return nil, err
	}
	ks := &Keystore{
		Name: w.Name, Network: w.Network, DataGen: w.DataGen,
		StateKey: w.StateKey, LocalSecret: w.LocalSecret, Fingerprint: w.Fingerprint, Recovery: w.Recovery, Extra: w.Extra,
	}
	var err error
	if w.Signing != nil {
		if ks.Signing, err = ParseSigningKey(w.Signing); err != nil {
			return nil, err
		}
	}
	if w.Sealing != nil {
		if ks.Sealing, err = ParseSealKey(w.Sealing); err != nil {
			return nil, err
		}
	}
	if ks.DataKey, err = parseScalar(w.DataKey); err != nil {
		return nil, err
	}
	if ks.Owner, err = parseScalar(w.Owner); err != nil {
		return nil, err
	}
	if ks.Recovery != nil {
		if err := ks.Recovery.Valid(); err != nil {
			return nil, fmt.Errorf("recovery key: %w", err)
		}
	}
	return ks, ks.addSecrets(w.UserSecrets)
}

// addSecrets takes over a list that must ascend.
func (ks *Keystore) addSecrets(list []wireSecret) error {
	for i, s := range list {
		if i == 0 {
			ks.UserSecrets = make(map[uint64]UserSecret, len(list))
		} else if s.Gen <= list[i-1].Gen {
			return fmt.Errorf("user secret %d behind %d", s.Gen, list[i-1].Gen)
		}
		ks.UserSecrets[s.Gen] = s.Secret
	}
	return nil
}

// parseScalar returns the private key that b is, nil for none.
func parseScalar(b []byte) (*btcec.PrivateKey, error) {
	if b == nil {
		return nil, nil
	}
	k, err := ParseSigningKey(b)
	if err != nil {
		return nil, err
	}
	return k.key, nil
}
