package profile

import (
	"encoding/hex"
	"errors"
	"fmt"
	"strings"

	"satchel/chain"
	"satchel/chain/zonefile"
	"satchel/crypto"
)

// Facts are what the chain says about a name, as far as it is pinned.
type Facts struct {
	Network    crypto.Network   `cbor:"1,keyasint"`
	Owner      string           `cbor:"2,keyasint"` // address
	Registered int              `cbor:"3,keyasint"` // block of first registration
	DataKey    crypto.PublicKey `cbor:"4,keyasint"` // zero if the name has none
	Expired    bool             `cbor:"-"`
	Revoked    bool             `cbor:"-"`
}

// FactsOf returns the facts of a record and its zone file, nil if it has none or
// it can't be had. Without a zone file, or if it names no data key, there is none
// in the facts, which Check reports after what is worse. A zone file that isn't
// the record's, or makes no sense, is an error; the facts are right even then, as
// far as they go.
func FactsOf(network crypto.Network, r chain.Record, zone []byte) (Facts, *zonefile.File, error) {
	f := Facts{Network: network, Owner: r.Address, Registered: r.FirstRegistered, Expired: r.Expired, Revoked: r.Revoked}
	if zone == nil {
		return f, nil, nil
	}
	if !r.HasValue || zonefile.Hash(zone) != r.ValueHash {
		return f, nil, fmt.Errorf("zone file of %s: its hash is not the one on the chain: %w", r.Name, crypto.ErrVerify)
	}
	z, err := zonefile.Parse(zone)
	if err != nil {
		return f, nil, fmt.Errorf("zone file of %s: %w", r.Name, err)
	}
	if f.DataKey, err = DataKey(z); err != nil && !errors.Is(err, ErrNoKey) {
		return f, z, fmt.Errorf("zone file of %s: %w", r.Name, err)
	}
	return f, z, nil
}

// DataKey returns the key that signs the profile of the name that z belongs to;
// ErrNoKey if there is none.
func DataKey(z *zonefile.File) (crypto.PublicKey, error) {
	if len(z.DataKey) == 0 {
		return crypto.PublicKey{}, ErrNoKey
	}
	return crypto.ParsePublicKey(z.DataKey)
}

// Fingerprint is what a user compares before he trusts a name: 128 bits of the
// hash of all facts, in groups of four.
func (f Facts) Fingerprint() string {
	b := fields("satchel name facts v1", f.Network[:], []byte(f.Owner), fmt.Append(nil, f.Registered), f.DataKey[:])
	sum := crypto.Sum(b)
	digits := hex.EncodeToString(sum[:16])
	var groups []string
	for i := 0; i < len(digits); i += 4 {
		groups = append(groups, digits[i:i+4])
	}
	return strings.Join(groups, " ")
}

// same tells whether nobody but the owner of f could have made g: the name did
// not change hands.
func (f Facts) same(g Facts) bool {
	return f.Network == g.Network && f.Owner == g.Owner && f.Registered == g.Registered
}
