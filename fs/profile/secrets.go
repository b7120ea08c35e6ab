package profile

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"maps"
	"slices"

	"satchel/chain"
	"satchel/crypto"
)

const (
	useSecret = "satchel user secret v1"
	useLabel  = "satchel device label v1"
	labelLen  = 64
)

// MaxLabel is how many bytes a device's label may have.
const MaxLabel = labelLen - 1

// Secrets are a name's user secrets by generation, as in crypto.Keystore.
type Secrets = map[uint64]crypto.UserSecret

// newestFirst returns the generations of which there are secrets.
func newestFirst(s Secrets) []uint64 {
	gens := slices.Sorted(maps.Keys(s))
	slices.Reverse(gens)
	return gens
}

// fields appends each field with its length to label, so that no two lists
// give the same bytes.
func fields(label string, list ...[]byte) []byte {
	b := []byte(label)
	for _, f := range list {
		b = binary.BigEndian.AppendUint32(b, uint32(len(f)))
		b = append(b, f...)
	}
	return b
}

// A Whose says which name's profile is meant, and on which network: what is
// sealed inside is bound to it.
type Whose struct {
	Network crypto.Network
	Name    chain.Name
}

// info is what something sealed in a profile is bound to.
func (w Whose) info(use string, gen uint64, device []byte) []byte {
	return fields(use, w.Network[:], []byte(w.Name), binary.BigEndian.AppendUint64(nil, gen), device)
}

// Secrets returns the user secrets that p has for the device id, which opens
// with key. All that can be reached from the newest one are there.
func (p *Profile) Secrets(w Whose, id crypto.DeviceID, key *crypto.SealKey) (Secrets, error) {
	d, err := p.Device(id)
	if err != nil {
		return nil, fmt.Errorf("user secrets of %s: %w", w.Name, err)
	}
	return p.chainOf(w, key, d.Secret, id[:])
}

// RecoverSecrets returns the user secrets that p has for the recovery key, which
// comes from the words.
func (p *Profile) RecoverSecrets(w Whose, key *crypto.SealKey) (Secrets, error) {
	return p.chainOf(w, key, p.Recovery.Secret, nil)
}

// chainOf opens the newest secret and from there each one before it. A secret
// that doesn't give the listed keys is refused.
func (p *Profile) chainOf(w Whose, key *crypto.SealKey, sealed, device []byte) (Secrets, error) {
	all := make(Secrets, len(p.Users))
	for i := len(p.Users) - 1; i >= 0; i-- {
		u := &p.Users[i]
		plain, err := key.Open(w.info(useSecret, u.Gen, device), sealed)
		if err == nil && len(plain) != len(crypto.UserSecret{}) {
			err = crypto.ErrOpen
		}
		if err != nil {
			return nil, fmt.Errorf("user secret %d of %s: %w", u.Gen, w.Name, err)
		}
		s := crypto.UserSecret(plain)
		clear(plain)
		if key, err = u.opens(s); err != nil {
			return nil, fmt.Errorf("user secret %d of %s: %w", u.Gen, w.Name, err)
		}
		all[u.Gen] = s
		sealed, device = u.Prev, nil
	}
	return all, nil
}

// opens returns the sealing key that s gives if u lists s's public keys.
func (u *UserKey) opens(s crypto.UserSecret) (*crypto.SealKey, error) {
	seal, err := s.SealKey()
	if err != nil {
		return nil, err
	}
	pair, err := s.PairKey()
	if err != nil {
		return nil, err
	}
	if u.KEM != crypto.KEM || !seal.Public().Equal(u.Seal) || !bytes.Equal(pair.PublicKey().Bytes(), u.Pair) {
		return nil, errors.New("it is not the secret of the listed keys")
	}
	return seal, nil
}

// Label returns the label of d, which only devices of the name can read.
func (p *Profile) Label(w Whose, d Device, s Secrets) (string, error) {
	if len(d.Label) == 0 {
		return "", nil
	}
	gen := p.Users[len(p.Users)-1].Gen
	key, err := s[gen].SealKey()
	if err != nil {
		return "", err
	}
	plain, err := key.Open(w.info(useLabel, gen, d.ID[:]), d.Label)
	if err != nil || len(plain) != labelLen {
		return "", fmt.Errorf("label of device %v: %w", d.ID, crypto.ErrOpen)
	}
	return string(bytes.TrimRight(plain, "\x00")), nil
}

// SealKeys returns the keys that open what others sealed to the name, newest
// first.
func SealKeys(s Secrets) ([]*crypto.SealKey, error) {
	var keys []*crypto.SealKey
	for _, gen := range newestFirst(s) {
		k, err := s[gen].SealKey()
		if err != nil {
			return nil, fmt.Errorf("user key %d: %w", gen, err)
		}
		keys = append(keys, k)
	}
	return keys, nil
}
