package crypto

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/btcsuite/btcd/btcutil/v2/hdkeychain"
	"github.com/btcsuite/btcd/chaincfg/v2"
	"github.com/tyler-smith/go-bip39"
)

const testWords = "abandon abandon abandon abandon abandon abandon abandon abandon abandon abandon abandon abandon " +
	"abandon abandon abandon abandon abandon abandon abandon abandon abandon abandon abandon art"

// TestKeysKnownAnswer pins every derivation: testdata/keys.txt has a line for each.
func TestKeysKnownAnswer(t *testing.T) {
	var got strings.Builder
	line := func(name string, b []byte) { fmt.Fprintf(&got, "%s %x\n", name, b) }
	root, err := ParseWords(testWords)
	if err != nil {
		t.Fatal(err)
	}
	owner, err := root.OwnerKey()
	if err != nil {
		t.Fatal(err)
	}
	recovery, err := root.RecoveryKey()
	if err != nil {
		t.Fatal(err)
	}
	line("owner", owner.PubKey().SerializeCompressed())
	line("data0", root.DataKey(0).Serialize())
	line("data999", root.DataKey(999).PubKey().SerializeCompressed())
	line("recovery", recovery.Bytes())
	line("recoveryPublicHash", hashOf(recovery.Public()))

	dev := fixedSigning(t, 1)
	id := dev.Device()
	line("signing", dev.Public().bytes())
	line("device", id[:])

	alice, bob := UserSecret(fixed(2)), UserSecret(fixed(3))
	user, err := alice.SealKey()
	if err != nil {
		t.Fatal(err)
	}
	line("userKey", user.Bytes())
	pair, err := alice.PairKey()
	if err != nil {
		t.Fatal(err)
	}
	line("pairKey", pair.Bytes())
	theirs, err := bob.PairKey()
	if err != nil {
		t.Fatal(err)
	}
	secret, err := PairSecret(pair, theirs.PublicKey().Bytes(), "alice.id", "bob.id")
	if err != nil {
		t.Fatal(err)
	}
	line("pairSecret", secret[:])
	private := alice.PrivateSecret()
	line("private", private[:])
	net := Network{'s', 'a', 1, 2, 3, 4, 5, 6, 7, 8}
	for _, l := range []struct {
		name string
		at   Locator
	}{
		{"privateLocator", alice.PrivateLocator(id)},
		{"pairLocator", PairLocator(secret, id)},
		{"groupLocator", GroupLocator(fixed(4), []string{"carol.id", "alice.id", "bob.id"}, id)},
		{"publicLocator", PublicLocator(net, "alice.id", id)},
	} {
		line(l.name, l.at[:])
	}
	here, head := LocatorSecret(secret).HereTag(id, 7), LocatorSecret(secret).HeadTag(id, 7, Sum([]byte("head")))
	line("hereTag", here[:])
	line("headTag", head[:])

	want, err := os.ReadFile("testdata/keys.txt")
	if os.IsNotExist(err) && *update {
		err = os.WriteFile("testdata/keys.txt", []byte(got.String()), 0o644)
		want = []byte(got.String())
	}
	if err != nil {
		t.Fatal(err)
	}
	if got.String() != string(want) {
		t.Errorf("got\n%s\nwant\n%s", got.String(), want)
	}
}

func hashOf(b []byte) []byte { h := Sum(b); return h[:] }

func (k PublicKey) bytes() []byte { return k[:] }

// TestOwnerAddress checks the owner key against the address that other wallets
// show for these words.
func TestOwnerAddress(t *testing.T) {
	root, err := ParseWords(testWords)
	if err != nil {
		t.Fatal(err)
	}
	key, err := root.OwnerKey()
	if err != nil {
		t.Fatal(err)
	}
	x, err := hdkeychain.NewMaster(bip39.NewSeed(testWords, ""), &chaincfg.MainNetParams)
	for _, i := range []uint32{1<<31 + 44, 1 << 31, 1 << 31, 0, 0} {
		if err == nil {
			x, err = x.Derive(i)
		}
	}
	if err != nil {
		t.Fatal(err)
	}
	addr, err := x.Address(&chaincfg.MainNetParams)
	if err != nil {
		t.Fatal(err)
	}
	if got, want := addr.EncodeAddress(), "1KBdbBJRVYffWHWWZ1moECfdVBSEnDpLHi"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	pub, err := x.ECPubKey()
	if err != nil {
		t.Fatal(err)
	}
	if !key.PubKey().IsEqual(pub) {
		t.Error("another key than the address's")
	}
}

func TestWords(t *testing.T) {
	words, err := NewWords()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := ParseWords("  " + strings.ToUpper(strings.ReplaceAll(words, " ", "\n ")) + "\n"); err != nil {
		t.Errorf("upper case and white space: %v", err)
	}
	if other, _ := NewWords(); other == words {
		t.Error("the same words twice")
	}
	list := strings.Fields(testWords)
	list[6] = "abandom"
	for name, c := range map[string]struct{ words, say string }{
		"none":         {"", "0 words, want 24"},
		"twelve":       {strings.Repeat("abandon ", 11) + "about", "12 words"},
		"one too many": {testWords + " art", "25 words"},
		"typo":         {strings.Join(list, " "), "word 7 "},
		"swapped":      {strings.Replace(testWords, "abandon art", "art abandon", 1), "checksum"},
	} {
		_, err := ParseWords(c.words)
		if err == nil || !strings.Contains(err.Error(), c.say) {
			t.Errorf("%s: got %v, want %q in it", name, err, c.say)
		}
		if err != nil && strings.Contains(err.Error(), "aband") {
			t.Errorf("%s: the error tells a word: %v", name, err)
		}
	}
}

func TestFindDataKey(t *testing.T) {
	root, err := ParseWords(testWords)
	if err != nil {
		t.Fatal(err)
	}
	for _, gen := range []int{0, 1, 37} {
		pub := root.DataKey(gen).PubKey()
		for _, form := range [][]byte{pub.SerializeCompressed(), pub.SerializeUncompressed()} {
			got, key, err := root.FindDataKey(form)
			if err != nil || got != gen || !key.PubKey().IsEqual(pub) {
				t.Errorf("generation %d: got %d, %v", gen, got, err)
			}
			if x, err := ParsePublicKey(form); err != nil || x != PublicOf(key) {
				t.Errorf("generation %d: x-only %v, %v", gen, x, err)
			}
		}
	}
	if _, _, err := root.FindDataKey(fixedSigning(t, 1).key.PubKey().SerializeCompressed()); err == nil {
		t.Error("found a key that is not of these words")
	}
	for _, bad := range [][]byte{nil, make([]byte, 33), make([]byte, 65), bytes.Repeat([]byte{2}, 34)} {
		if _, _, err := root.FindDataKey(bad); err == nil {
			t.Errorf("%x: no error", bad)
		}
	}
}

func TestParseKeys(t *testing.T) {
	order, _ := hex.DecodeString("fffffffffffffffffffffffffffffffebaaedce6af48a03bbfd25e8cd0364141")
	for _, bad := range [][]byte{nil, make([]byte, 32), order, bytes.Repeat([]byte{0xff}, 32), make([]byte, 31), append([]byte{1}, order...)} {
		if _, err := ParseSigningKey(bad); err == nil {
			t.Errorf("signing key %x: no error", bad)
		}
	}
	for _, n := range []int{0, 31, 33} {
		if _, err := ParseSealKey(make([]byte, n)); err == nil {
			t.Errorf("sealing key of %d bytes: no error", n)
		}
	}
	k, err := NewSigningKey()
	if err != nil {
		t.Fatal(err)
	}
	again, err := ParseSigningKey(k.Bytes())
	if err != nil || again.Public() != k.Public() || again.Device() != k.Device() {
		t.Errorf("signing key: %v", err)
	}
	s, err := NewSealKey()
	if err != nil {
		t.Fatal(err)
	}
	same, err := ParseSealKey(s.Bytes())
	if err != nil || !same.Public().Equal(s.Public()) || s.Public().Valid() != nil {
		t.Errorf("sealing key: %v", err)
	}
	if SealPublic(make([]byte, 10)).Valid() == nil {
		t.Error("a sealing key of 10 bytes is valid")
	}
}

func TestSealTo(t *testing.T) {
	k, other := fixedSeal(t, 1), fixedSeal(t, 2)
	info, plain := []byte("info"), []byte("a secret")
	sealed, err := SealTo(k.Public(), info, plain)
	if err != nil {
		t.Fatal(err)
	}
	if len(sealed) != len(plain)+SealOverhead {
		t.Errorf("%d bytes, want %d", len(sealed), len(plain)+SealOverhead)
	}
	if got, err := k.Open(info, sealed); err != nil || !bytes.Equal(got, plain) {
		t.Errorf("got %q, %v", got, err)
	}
	if _, err := other.Open(info, sealed); err != ErrOpen {
		t.Errorf("another key: %v", err)
	}
	if _, err := k.Open([]byte("inf"), sealed); err != ErrOpen {
		t.Errorf("another info: %v", err)
	}
	flips(sealed, 20, func(what string, b []byte) {
		if _, err := k.Open(info, b); err != ErrOpen {
			t.Errorf("%s: %v", what, err)
		}
	})
	old := known(t, "seal.hex", sealed)
	if got, err := k.Open(info, old); err != nil || !bytes.Equal(got, plain) {
		t.Errorf("known answer: got %q, %v", got, err)
	}
	for _, n := range []int{0, 32, sealPublicLen - 1, sealPublicLen + 1} {
		if _, err := SealTo(make([]byte, n), info, plain); err == nil {
			t.Errorf("sealed to a key of %d bytes", n)
		}
	}
}

func TestPairSecret(t *testing.T) {
	a, b := UserSecret(fixed(1)), UserSecret(fixed(2))
	ka, err := a.PairKey()
	if err != nil {
		t.Fatal(err)
	}
	kb, err := b.PairKey()
	if err != nil {
		t.Fatal(err)
	}
	mine, err := PairSecret(ka, kb.PublicKey().Bytes(), "alice.id", "bob.id")
	if err != nil {
		t.Fatal(err)
	}
	theirs, err := PairSecret(kb, ka.PublicKey().Bytes(), "bob.id", "alice.id")
	if err != nil || mine != theirs {
		t.Errorf("the two sides differ: %v", err)
	}
	if other, _ := PairSecret(ka, kb.PublicKey().Bytes(), "alice.i", "dbob.id"); other == mine {
		t.Error("names run into each other")
	}
	for _, bad := range [][]byte{nil, make([]byte, 31), make([]byte, 32), append([]byte{1}, make([]byte, 31)...)} {
		if _, err := PairSecret(ka, bad, "alice.id", "bob.id"); err == nil {
			t.Errorf("pair key %x: no error", bad)
		}
	}
}

// TestLocatorsDiffer: whatever differs between two volumes, devices or tags
// differs in the result.
func TestLocatorsDiffer(t *testing.T) {
	d, e := DeviceID{1}, DeviceID{2}
	s := fixed(1)
	u := UserSecret(s)
	all := map[[32]byte]string{}
	for name, l := range map[string]Locator{
		"private":           u.PrivateLocator(d),
		"private, other":    u.PrivateLocator(e),
		"pair":              PairLocator(s, d),
		"pair, other":       PairLocator(s, e),
		"group":             GroupLocator(s, []string{"a.id", "b.id"}, d),
		"group, other":      GroupLocator(s, []string{"a.id", "b.id"}, e),
		"group, more":       GroupLocator(s, []string{"a.id", "b.id", "c.id"}, d),
		"group, run over":   GroupLocator(s, []string{"a.idb.id"}, d),
		"public":            PublicLocator(Network{}, "a.id", d),
		"public, other":     PublicLocator(Network{}, "a.id", e),
		"public, other net": PublicLocator(Network{1}, "a.id", d),
		"public, name":      PublicLocator(Network{}, "b.id", d),
	} {
		if was, dup := all[l]; dup {
			t.Errorf("%s and %s are the same", was, name)
		}
		all[l] = name
	}
	if GroupLocator(s, []string{"b.id", "a.id"}, d) != GroupLocator(s, []string{"a.id", "b.id"}, d) {
		t.Error("the order of names counts")
	}
	l := LocatorSecret(s)
	tags := map[[16]byte]bool{
		l.HereTag(d, 1): true, l.HereTag(e, 1): true, l.HereTag(d, 2): true,
		l.HeadTag(d, 1, Hash{}): true, l.HeadTag(e, 1, Hash{}): true, l.HeadTag(d, 2, Hash{}): true, l.HeadTag(d, 1, Hash{1}): true,
	}
	if len(tags) != 7 {
		t.Errorf("%d different tags of 7", len(tags))
	}
}

// TestNoSecretsInText: what is printed by accident tells nothing.
func TestNoSecretsInText(t *testing.T) {
	s := fixed(0x40)
	root, err := ParseWords(testWords)
	if err != nil {
		t.Fatal(err)
	}
	ks := testKeystore(t)
	for _, v := range []any{UserSecret(s), LocatorSecret(s), fixedSigning(t, 0x40), fixedSeal(t, 0x40), root, ks} {
		for _, verb := range []string{"%v", "%+v", "%s", "%x", "%#v"} {
			text := fmt.Sprintf(verb, v)
			for _, secret := range []string{hex.EncodeToString(s[:]), "64 65 66", "0x40, 0x41", string(s[:4]), hex.EncodeToString(root.seed[:8])} {
				if strings.Contains(text, secret) {
					t.Errorf("%T with %s: %s", v, verb, text)
				}
			}
		}
	}
}

// TestKDF computes one derivation by hand, from HMAC's definition.
func TestKDF(t *testing.T) {
	secret := []byte("secret")
	hmacOf := func(key, msg []byte) []byte {
		k := make([]byte, 64)
		copy(k, key)
		inner, outer := bytes.Clone(k), k
		for i := range inner {
			inner[i] ^= 0x36
			outer[i] ^= 0x5c
		}
		h := sha256.Sum256(append(inner, msg...))
		h = sha256.Sum256(append(outer, h[:]...))
		return h[:]
	}
	info := "satchel pair v1\x00\x00\x00\x01a\x00\x00\x00\x02bc"
	if got, want := mac(secret, "pair", []byte("a"), []byte("bc")), hmacOf(secret, []byte(info)); !bytes.Equal(got[:], want) {
		t.Errorf("mac: got %x, want %x", got, want)
	}
	prk := hmacOf(make([]byte, 32), secret)
	if got, want := derive(secret, "pair", []byte("a"), []byte("bc")), hmacOf(prk, []byte(info+"\x01")); !bytes.Equal(got[:], want) {
		t.Errorf("derive: got %x, want %x", got, want)
	}
}
