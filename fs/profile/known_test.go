package profile

import (
	"bytes"
	"encoding/hex"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"satchel/chain"
	"satchel/crypto"
	"satchel/crypto/canon"
	"satchel/fs/tree"
)

var updateKnown = flag.Bool("update", false, "write the known answers of a new format anew")

// known returns the bytes in a file of testdata, hex in lines.
func known(t *testing.T, name string, now func() []byte) []byte {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *updateKnown {
		var b strings.Builder
		for i, c := range hex.EncodeToString(now()) {
			if i > 0 && i%128 == 0 {
				b.WriteByte('\n')
			}
			b.WriteRune(c)
		}
		if err := os.WriteFile(path, []byte(b.String()+"\n"), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	raw, err := hex.DecodeString(strings.Join(strings.Fields(string(text)), ""))
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

// knownAlice has two devices and two generations; all her keys come from seeds.
func knownAlice() *person {
	alice := newPerson("alice.id", 2, 2)
	d := alice.draft()
	d.Removed = []crypto.DeviceID{{1, 2, 3}}
	d.Notify = []string{"https://notify.example/alice"}
	alice.profile = must(New(alice.Whose, d))
	return alice
}

func TestKnownProfile(t *testing.T) {
	alice := knownAlice()
	raw := known(t, "profile-1.hex", func() []byte { return alice.signProfile(3).Raw })
	s, err := OpenProfile(raw, alice.Whose, alice.key(), nil)
	if err != nil {
		t.Fatal(err)
	}
	d := alice.draft()
	d.Removed, d.Notify = alice.profile.Removed, alice.profile.Notify
	if !s.Body.Says(d) || s.Header.Seq != 3 || !s.Time().Equal(testTime) {
		t.Errorf("it says %+v", s.Body)
	}
	for _, dev := range alice.devices {
		got, err := s.Body.Secrets(alice.Whose, dev.id(), dev.seal)
		if err != nil || !reflect.DeepEqual(got, alice.secrets) {
			t.Errorf("device %v: %v", dev.id(), err)
		}
	}
	if got, err := s.Body.RecoverSecrets(alice.Whose, alice.recovery); err != nil || !reflect.DeepEqual(got, alice.secrets) {
		t.Error(err)
	}
	first, _ := s.Body.Device(alice.devices[0].id())
	if l, err := s.Body.Label(alice.Whose, first, alice.secrets); l != "device 0" {
		t.Errorf("label %q, %v", l, err)
	}
	again := must(s.Body.Sign(alice.data, alice.stamp(0, 3)))
	if !bytes.Equal(again.Raw, raw) || again.Hash != s.Hash {
		t.Error("signed again it has other bytes")
	}
}

func knownHead() *Head {
	h := testHead("alice.id", 7)
	h.Vector[knownAlice().devices[0].id()] = tree.VectorEntry{Name: "alice.id", Seq: 5, Head: crypto.Sum([]byte("own"))}
	h.Tells = []Tell{{Group: must(Shared("alice.id", "bob.id", "carol.id")), Gen: 2, Secret: crypto.LocatorSecret{1, 2, 3}}}
	h.Extra = canon.Extra{128: must(canon.Marshal("of a later version"))}
	return h
}

func TestKnownPublicHead(t *testing.T) {
	alice := knownAlice()
	d, v := alice.devices[0], PublicVolume("alice.id")
	at := crypto.PublicLocator(testNet, "alice.id", d.id())
	stamp := alice.stamp(0, 7)
	stamp.Prev = Mark{5, crypto.Sum([]byte("own"))}
	sign := func() []byte { return must(knownHead().Sign(d.sign, stamp, v, at, nil)).Raw }
	raw := known(t, "head-public-1.hex", sign)
	s, err := OpenHead(raw, HeadOf{Whose: alice.Whose, Device: d.id(), Volume: v, Locator: at, Authority: alice.profile})
	if err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(s.Body, knownHead()) {
		t.Errorf("it says %+v", s.Body)
	}
	if !bytes.Equal(sign(), raw) {
		t.Error("signed again it has other bytes")
	}
}

func TestKnownPairHead(t *testing.T) {
	alice, bob := knownAlice(), newPerson("bob.id", 1, 1)
	d, v := alice.devices[0], must(Shared("alice.id", "bob.id"))
	at := must(alice.finder(bob).Write(v, d.id()))
	both := map[chain.Name]*Profile{"alice.id": alice.profile, "bob.id": bob.profile}
	raw := known(t, "head-pair-1.hex", func() []byte {
		return must(knownHead().Sign(d.sign, alice.stamp(0, 7), v, at.Locator, both)).Raw
	})
	of := HeadOf{Whose: alice.Whose, Device: d.id(), Volume: v, Locator: at.Locator, Authority: alice.profile}
	for _, reader := range []*person{alice, bob} {
		s, err := OpenHead(raw, of, reader.sealKeys()...)
		if err != nil || !reflect.DeepEqual(s.Body, knownHead()) {
			t.Errorf("for %s: %v", reader.Name, err)
		}
	}
}

func TestKnownPulse(t *testing.T) {
	alice := knownAlice()
	d := alice.devices[0]
	sign := func() []byte {
		p := fill(Mark{3, crypto.Sum([]byte("profile"))}, d.id(), 9, testLines(5), bytes.NewReader(slices.Concat(seed("filler 0"), seed("filler 1"), seed("filler 2"))))
		return must(p.Sign(d.sign, alice.stamp(0, 9))).Raw
	}
	raw := known(t, "pulse-1.hex", sign)
	s, err := OpenPulse(raw, alice.Whose, d.id(), alice.profile, nil)
	if err != nil {
		t.Fatal(err)
	}
	for i, l := range testLines(5) {
		if About(s, l.Secret, l.Head) != Current {
			t.Errorf("line %d is not current", i)
		}
	}
	if s.Body.Profile != (Mark{3, crypto.Sum([]byte("profile"))}) {
		t.Errorf("knows profile %v", s.Body.Profile)
	}
	if !bytes.Equal(sign(), raw) {
		t.Error("signed again it has other bytes")
	}
}

func TestKnownDerivations(t *testing.T) {
	alice := newPerson("alice.id", 1, 2)
	v := must(Shared("alice.id", "bob.id", "carol.id"))
	d := alice.devices[0].id()
	f := alice.finder()
	now := func() []byte {
		at := must(f.Write(v, d))
		private := must(f.Write(PrivateVolume("alice.id"), d))
		return fmt.Appendf(nil, "group secret %x\ngroup locator %v\nprivate locator %v\nfingerprint %s\n",
			at.Secret[:], at.Locator, private.Locator, alice.facts().Fingerprint())
	}
	if want := known(t, "derived-1.hex", now); !bytes.Equal(now(), want) {
		t.Errorf("got\n%s\nwant\n%s", now(), want)
	}
}
