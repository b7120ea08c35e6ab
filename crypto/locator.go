package crypto

import (
	"crypto/ecdh"
	"fmt"
	"sort"
)

// A UserSecret is the random secret of one generation of a name, which all
// its devices hold.
type UserSecret [32]byte

// NewUserSecret makes a random secret.
func NewUserSecret() (u UserSecret, err error) {
	randomBytes(u[:])
	return u, nil
}

// String keeps the secret out of logs.
func (u UserSecret) String() string { return "user secret" }

// GoString keeps the secret out of logs.
func (u UserSecret) GoString() string { return u.String() }

// SealKey returns the key that others seal to.
func (u UserSecret) SealKey() (*SealKey, error) {
	b := derive(u[:], "user key")
	defer clear(b[:])
	return ParseSealKey(b[:])
}

// PairKey returns the X25519 key that locators of pair volumes come from.
func (u UserSecret) PairKey() (*ecdh.PrivateKey, error) {
	b := derive(u[:], "pair key")
	defer clear(b[:])
	return ecdh.X25519().NewPrivateKey(b[:])
}

// PrivateSecret returns the secret of the name's private volume.
func (u UserSecret) PrivateSecret() LocatorSecret { return derive(u[:], "private") }

// PrivateLocator returns where d's head of the private volume is.
func (u UserSecret) PrivateLocator(d DeviceID) Locator {
	s := u.PrivateSecret()
	return mac(s[:], "private locator", d[:])
}

// PairSecret returns the secret of the pair volume of two names, the same on
// both sides, from my pair key and theirs of the profile.
func PairSecret(mine *ecdh.PrivateKey, theirs []byte, nameA, nameB string) ([32]byte, error) {
	pub, err := ecdh.X25519().NewPublicKey(theirs)
	if err != nil {
		return [32]byte{}, fmt.Errorf("pair key: %w", err)
	}
	shared, err := mine.ECDH(pub)
	if err != nil {
		return [32]byte{}, fmt.Errorf("pair key: %w", err)
	}
	defer clear(shared)
	if nameB < nameA {
		nameA, nameB = nameB, nameA
	}
	return derive(shared, "pair", []byte(nameA), []byte(nameB)), nil
}

// PairLocator returns where d's head of a pair volume is.
func PairLocator(secret [32]byte, d DeviceID) Locator {
	return mac(secret[:], "pair locator", d[:])
}

// GroupLocator returns where d's head of a group's volume is. The secret is
// the one that d's name made for that group; names are all its members, in
// any order.
func GroupLocator(secret [32]byte, names []string, d DeviceID) Locator {
	sorted := append([]string(nil), names...)
	sort.Strings(sorted)
	list := make([][]byte, 0, len(sorted)+1)
	for _, n := range sorted {
		list = append(list, []byte(n))
	}
	return mac(secret[:], "group locator", append(list, d[:])...)
}

// PublicLocator returns where d's head of name's public volume is:
// BLAKE3("satchel public v1" ‖ network ‖ name ‖ device).
func PublicLocator(n Network, name string, d DeviceID) Locator {
	b := append([]byte(label("public")), n[:]...)
	b = append(b, name...)
	return Locator(Sum(append(b, d[:]...)))
}

// A LocatorSecret is known to those who may know which volume a head belongs
// to: UserSecret.PrivateSecret, PairSecret, the writing name's secret of a
// group, and for a public volume its locator.
type LocatorSecret [32]byte

// String keeps the secret out of logs.
func (s LocatorSecret) String() string { return "locator secret" }

// GoString keeps the secret out of logs.
func (s LocatorSecret) GoString() string { return s.String() }

// HereTag marks the volume's line in d's pulse seq.
func (s LocatorSecret) HereTag(d DeviceID, seq uint64) [16]byte {
	m := mac(s[:], "here", d[:], number(seq))
	return [16]byte(m[:16])
}

// HeadTag says in d's pulse seq which head of the volume is current.
func (s LocatorSecret) HeadTag(d DeviceID, seq uint64, head Hash) [16]byte {
	m := mac(s[:], "head", d[:], number(seq), head[:])
	return [16]byte(m[:16])
}
