package profile

import (
	"errors"
	"testing"

	"satchel/chain"
	"satchel/chain/zonefile"
	"satchel/crypto"
)

func TestFactsOf(t *testing.T) {
	alice := newPerson("alice.id", 1, 1)
	compressed := alice.data.PubKey().SerializeCompressed()
	zone := func(key []byte) []byte {
		return zonefile.Format(&zonefile.File{Origin: "alice.id", TTL: 3600, DataKey: key, URIs: []zonefile.URI{{Priority: 10, Weight: 1, Target: "https://one.example/"}}})
	}
	rec := func(zone []byte) chain.Record {
		return chain.Record{Name: "alice.id", Address: "owner of alice.id", FirstRegistered: 100, BlockNumber: 50, HasValue: zone != nil, ValueHash: zonefile.Hash(zone)}
	}
	for _, key := range [][]byte{compressed, alice.data.PubKey().SerializeUncompressed()} {
		f, z, err := FactsOf(testNet, rec(zone(key)), zone(key))
		if err != nil || f != alice.facts() || len(z.URIs) != 1 {
			t.Errorf("key of %d bytes: %+v, %v", len(key), f, err)
		}
	}
	none := alice.facts()
	none.DataKey = crypto.PublicKey{}
	for what, z := range map[string][]byte{"no zone file": nil, "no key in it": zone(nil)} {
		if f, _, err := FactsOf(testNet, rec(z), z); err != nil || f != none {
			t.Errorf("%s: %+v, %v", what, f, err)
		}
	}
	// Facts that do not need the zone file are right though it is wrong.
	if f, _, err := FactsOf(testNet, rec(zone(compressed)), zone(nil)); !errors.Is(err, crypto.ErrVerify) || f != none {
		t.Errorf("another zone file: %+v, %v", f, err)
	}
	gone := rec(zone(compressed))
	gone.HasValue = false
	if _, _, err := FactsOf(testNet, gone, zone(compressed)); !errors.Is(err, crypto.ErrVerify) {
		t.Errorf("a name without a value has a zone file: %v", err)
	}
	gone.Expired, gone.Revoked = true, true
	if f, _, _ := FactsOf(testNet, gone, nil); !f.Expired || !f.Revoked {
		t.Errorf("%+v", f)
	}
}
