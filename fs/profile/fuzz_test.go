package profile

import (
	"bytes"
	"testing"

	"satchel/chain"
	"satchel/crypto"
)

// What decodes must encode to the very same bytes, or two readers could see two
// things in one signed body.

func FuzzProfile(f *testing.F) {
	body := must(knownAlice().profile.Encode())
	f.Add(body)
	f.Add(body[:len(body)-1])
	f.Add([]byte{0xa0})
	f.Fuzz(func(t *testing.T, b []byte) {
		p, err := DecodeProfile(b)
		if err != nil {
			return
		}
		if again, err := p.Encode(); err != nil || !bytes.Equal(again, b) {
			t.Errorf("encoded again it differs: %v", err)
		}
		p.User()
		p.InOrder()
		if p.FreshAnswers() < 1 {
			t.Error("fresh without an answer")
		}
	})
}

func FuzzHead(f *testing.F) {
	body := must(knownHead().Encode())
	f.Add(body)
	f.Add(body[:len(body)-1])
	f.Add([]byte{0xa0})
	f.Fuzz(func(t *testing.T, b []byte) {
		h, err := DecodeHead(b)
		if err != nil {
			return
		}
		if again, err := h.Encode(); err != nil || !bytes.Equal(again, b) {
			t.Errorf("encoded again it differs: %v", err)
		}
		k := Knowledge{Self: crypto.DeviceID{1}}
		k.Admit(&Signed[Head]{Body: h, Header: crypto.Header{Device: crypto.DeviceID{2}, Seq: Next(h.Vector)}})
		h.Taken("alice.id", "bob.id")
	})
}

func FuzzPulse(f *testing.F) {
	f.Add(must(NewPulse(Mark{Seq: 1}, crypto.DeviceID{}, 1, testLines(3)).Encode()))
	f.Add([]byte{0xa3, 1, 1, 2, 0x40, 3, 0x40})
	f.Fuzz(func(t *testing.T, b []byte) {
		p, err := DecodePulse(b)
		if err != nil {
			return
		}
		if again, err := p.Encode(); err != nil || !bytes.Equal(again, b) {
			t.Errorf("encoded again it differs: %v", err)
		}
		About(&Signed[Pulse]{Body: p}, crypto.LocatorSecret{}, crypto.Hash{})
	})
}

func FuzzFolder(f *testing.F) {
	for _, s := range []string{"Private", "Public/bob.id", "People/bob.id,carol.id", "People/carol.id,bob.id", "x"} {
		f.Add("alice.id", s)
	}
	f.Fuzz(func(t *testing.T, me, folder string) {
		if _, err := chain.ParseName(me); err != nil {
			return
		}
		v, err := ParseFolder(chain.Name(me), folder)
		if err != nil {
			return
		}
		if v.Folder(chain.Name(me)) != folder {
			t.Errorf("%q is the folder %q", folder, v.Folder(chain.Name(me)))
		}
		if w, err := ParseKey(v.Key()); err != nil || !w.Equal(v) {
			t.Errorf("key %q: %+v, %v", v.Key(), w, err)
		}
	})
}

// The envelopes of the known answers, changed by one byte anywhere, must open to
// nothing.
func TestEveryByteCounts(t *testing.T) {
	alice, bob := knownAlice(), newPerson("bob.id", 1, 1)
	prof := alice.signProfile(1).Raw
	head, of := pairHead(alice, bob, 0, 2, Mark{})
	pulse := signPulse(alice, 3, testLines(3)).Raw
	for i := range prof {
		if i > 400 && i%97 != 0 {
			continue // the long keys in it
		}
		if _, err := OpenProfile(flip(prof, i), alice.Whose, alice.key(), nil); err == nil {
			t.Errorf("profile with byte %d changed was opened", i)
		}
	}
	for i := range head.Raw {
		if i > 400 && i%97 != 0 {
			continue
		}
		if _, err := OpenHead(flip(head.Raw, i), of, bob.sealKeys()...); err == nil {
			t.Errorf("head with byte %d changed was opened", i)
		}
	}
	for i := range pulse {
		if _, err := OpenPulse(flip(pulse, i), alice.Whose, alice.devices[0].id(), alice.profile, nil); err == nil {
			t.Errorf("pulse with byte %d changed was opened", i)
		}
	}
}
