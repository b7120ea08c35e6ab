package profile

import (
	"bytes"
	"errors"
	"testing"

	"satchel/chain"
	"satchel/crypto"
)

// Each kind of envelope is opened with each thing wrong, and the refusals come in
// the order of the checks: what is wrong in two ways gets the first answer.
type refusal struct {
	what   string
	open   func() error
	want   error
	faulty bool
}

func runRefusals(t *testing.T, cases []refusal) {
	t.Helper()
	for _, c := range cases {
		err := c.open()
		if !errors.Is(err, c.want) {
			t.Errorf("%s: got %v, want %v", c.what, err, c.want)
		}
		if err != nil && Faulty(err) != c.faulty {
			t.Errorf("%s: %v: the provider's fault: %t, want %t", c.what, err, Faulty(err), c.faulty)
		}
	}
}

func TestOpenProfileRefuses(t *testing.T) {
	alice, bob := newPerson("alice.id", 2, 1), newPerson("bob.id", 1, 1)
	s, older := alice.signProfile(5), alice.signProfile(4)
	twin := *alice.profile
	twin.Notify = []string{"elsewhere"}
	fork := must(twin.Sign(alice.data, alice.stamp(0, 5)))
	denies := alice.stamp(0, 6)
	denies.Prev = fork.Mark()
	next := must(alice.profile.Sign(alice.data, denies))
	other := alice.stamp(1, 5) // not the keeper
	foreignKeeper, _, _ := crypto.SignEnvelope(alice.data, other.header(crypto.KindProfile, nil), must(alice.profile.Encode()))
	notBody, _, _ := crypto.SignEnvelope(alice.data, alice.stamp(0, 5).header(crypto.KindProfile, nil), []byte{0xa0})
	head, _ := pairHead(alice, bob, 0, 1, Mark{})

	open := func(raw []byte, w Whose, k crypto.PublicKey, pin *Pin) func() error {
		return func() error { _, err := OpenProfile(raw, w, k, pin); return err }
	}
	key, pin := alice.key(), pinOf(s)
	runRefusals(t, []refusal{
		{"good", open(s.Raw, alice.Whose, key, nil), nil, false},
		{"pinned one again", open(s.Raw, alice.Whose, key, pin), nil, false},
		{"empty", open(nil, alice.Whose, key, nil), ErrGarbled, true},
		{"garbage", open([]byte("<html>not found</html>"), alice.Whose, key, nil), ErrGarbled, true},
		{"torn", open(s.Raw[:len(s.Raw)-1], alice.Whose, key, nil), ErrGarbled, true},
		{"longer", open(append(bytes.Clone(s.Raw), 0), alice.Whose, key, nil), ErrGarbled, true},
		{"huge", open(make([]byte, 512<<10+1), alice.Whose, key, nil), ErrGarbled, true},
		{"a head", open(head.Raw, alice.Whose, key, nil), ErrWrong, true},
		{"other network", open(s.Raw, Whose{crypto.Network{1}, "alice.id"}, key, nil), ErrWrong, true},
		{"other name", open(s.Raw, Whose{testNet, "bob.id"}, key, nil), ErrWrong, true},
		{"other name and key", open(s.Raw, bob.Whose, bob.key(), nil), ErrWrong, true},
		{"other key", open(s.Raw, alice.Whose, bob.key(), nil), crypto.ErrVerify, true},
		{"signature changed", open(flip(s.Raw, -1), alice.Whose, key, nil), crypto.ErrVerify, true},
		{"body changed", open(flip(s.Raw, -100), alice.Whose, key, nil), crypto.ErrVerify, true},
		{"lower number", open(older.Raw, alice.Whose, key, pin), ErrStale, true},
		{"lower number of another key", open(older.Raw, alice.Whose, bob.key(), pin), crypto.ErrVerify, true},
		{"same number", open(fork.Raw, alice.Whose, key, pin), ErrFork, false},
		{"denies the pinned one", open(next.Raw, alice.Whose, key, pin), ErrFork, false},
		{"signed by no keeper", open(foreignKeeper, alice.Whose, key, nil), ErrBody, false},
		{"body not a profile", open(notBody, alice.Whose, key, nil), ErrBody, false},
	})
}

func TestOpenHeadRefuses(t *testing.T) {
	alice, bob, carol := newPerson("alice.id", 2, 1), newPerson("bob.id", 1, 2), newPerson("carol.id", 1, 1)
	s, of := pairHead(alice, bob, 0, 5, Mark{})
	older, _ := pairHead(alice, bob, 0, 4, Mark{})
	fork, _ := pairHead(alice, bob, 0, 5, Mark{}) // sealed anew: other bytes
	denies, _ := pairHead(alice, bob, 0, 6, fork.Mark())
	confirms, _ := pairHead(alice, bob, 0, 6, s.Mark())
	second, _ := pairHead(alice, bob, 1, 5, Mark{})
	profile := alice.signProfile(1)

	// The same plain body without the sealing, as if the volume were public.
	plain, _, _ := crypto.SignEnvelope(alice.devices[0].sign, alice.stamp(0, 5).header(crypto.KindHead, of.Locator[:]), must(s.Body.Encode()))
	jump := alice.stamp(0, 9).header(crypto.KindHead, of.Locator[:])
	jumped, _, _ := crypto.SignEnvelope(alice.devices[0].sign, jump, sealFor(jump, s.Body, alice, bob))
	foreign := testHead("carol.id", 5)
	hdr := alice.stamp(0, 5).header(crypto.KindHead, of.Locator[:])
	planted, _, _ := crypto.SignEnvelope(alice.devices[0].sign, hdr, sealFor(hdr, foreign, alice, bob))
	// A body sealed for another header, moved here and signed.
	moved, _, _ := crypto.SignEnvelope(alice.devices[0].sign, hdr, sealFor(jump, s.Body, alice, bob))

	without := *alice.profile
	without.Devices = []Device{*without.device(alice.devices[1].id())}
	without.Keeper = without.Devices[0].ID

	open := func(raw []byte, keys []*crypto.SealKey, change func(*HeadOf)) func() error {
		return func() error {
			o := of
			if change != nil {
				change(&o)
			}
			_, err := OpenHead(raw, o, keys...)
			return err
		}
	}
	pinned := func(o *HeadOf) { o.Pin = pinOf(s) }
	keys := bob.sealKeys()
	runRefusals(t, []refusal{
		{"good", open(s.Raw, keys, nil), nil, false},
		{"by the writer's own name", open(s.Raw, alice.sealKeys(), nil), nil, false},
		{"pinned one again", open(s.Raw, keys, pinned), nil, false},
		{"next one", open(confirms.Raw, keys, pinned), nil, false},
		{"empty", open(nil, keys, nil), ErrGarbled, true},
		{"garbage", open(bytes.Repeat([]byte{0x9f}, 3000), keys, nil), ErrGarbled, true},
		{"torn", open(s.Raw[:1000], keys, nil), ErrGarbled, true},
		{"huge", open(make([]byte, 1<<20+1), keys, nil), ErrGarbled, true},
		{"a profile", open(profile.Raw, keys, nil), ErrWrong, true},
		{"other network", open(s.Raw, keys, func(o *HeadOf) { o.Network[0]++ }), ErrWrong, true},
		{"other name", open(s.Raw, keys, func(o *HeadOf) { o.Name = "bob.id" }), ErrWrong, true},
		{"other device", open(second.Raw, keys, nil), ErrWrong, true},
		{"other locator", open(s.Raw, keys, func(o *HeadOf) { o.Locator[31]++ }), ErrWrong, true},
		{"name does not write there", open(s.Raw, keys, func(o *HeadOf) { o.Volume = PublicVolume("bob.id") }), ErrWrong, true},
		{"no profile", open(s.Raw, keys, func(o *HeadOf) { o.Authority = nil }), ErrUnlisted, false},
		{"unlisted device", open(s.Raw, keys, func(o *HeadOf) { o.Authority = &without }), ErrUnlisted, false},
		{"unlisted, signature changed", open(flip(s.Raw, -1), keys, func(o *HeadOf) { o.Authority = &without }), ErrUnlisted, false},
		{"signature changed", open(flip(s.Raw, -1), keys, nil), crypto.ErrVerify, true},
		{"body changed", open(flip(s.Raw, -100), keys, nil), crypto.ErrVerify, true},
		{"lower number", open(older.Raw, keys, pinned), ErrStale, true},
		{"lower number, body changed", open(flip(older.Raw, -100), keys, pinned), crypto.ErrVerify, true},
		{"same number", open(fork.Raw, keys, pinned), ErrFork, false},
		{"denies the pinned one", open(denies.Raw, keys, pinned), ErrFork, false},
		{"no member", open(s.Raw, carol.sealKeys(), nil), crypto.ErrOpen, false},
		{"no key", open(s.Raw, nil, nil), crypto.ErrOpen, false},
		{"not sealed", open(plain, keys, nil), crypto.ErrOpen, false},
		{"body of another header", open(moved, keys, nil), crypto.ErrOpen, false},
		{"number not from its vector", open(jumped, keys, nil), ErrBody, false},
		{"root of no member", open(planted, keys, nil), ErrBody, false},
	})
}

func sealFor(h crypto.Header, b *Head, members ...*person) []byte {
	var to []crypto.SealPublic
	for _, p := range members {
		to = append(to, must(p.profile.User()).Seal)
	}
	return must(crypto.SealBody(h, must(b.Encode()), to))
}

func TestOpenPulseRefuses(t *testing.T) {
	alice, bob := newPerson("alice.id", 2, 1), newPerson("bob.id", 1, 1)
	sign := func(dev int, seq uint64) *Signed[Pulse] {
		d := alice.devices[dev]
		p := NewPulse(Mark{1, crypto.Hash{1}}, d.id(), seq, nil)
		return must(p.Sign(d.sign, alice.stamp(dev, seq)))
	}
	s, older, fork, second := sign(0, 5), sign(0, 4), sign(0, 5), sign(1, 5)
	head, _ := pairHead(alice, bob, 0, 1, Mark{})
	notBody, _, _ := crypto.SignEnvelope(alice.devices[0].sign, alice.stamp(0, 5).header(crypto.KindPulse, nil), []byte{0xa0})
	id := alice.devices[0].id()

	open := func(raw []byte, w Whose, d crypto.DeviceID, p *Profile, pin *Pin) func() error {
		return func() error { _, err := OpenPulse(raw, w, d, p, pin); return err }
	}
	runRefusals(t, []refusal{
		{"good", open(s.Raw, alice.Whose, id, alice.profile, nil), nil, false},
		{"garbage", open([]byte{0x83}, alice.Whose, id, alice.profile, nil), ErrGarbled, true},
		{"huge", open(make([]byte, 64<<10+1), alice.Whose, id, alice.profile, nil), ErrGarbled, true},
		{"a head", open(head.Raw, alice.Whose, id, alice.profile, nil), ErrWrong, true},
		{"other network", open(s.Raw, Whose{crypto.Network{1}, "alice.id"}, id, alice.profile, nil), ErrWrong, true},
		{"other name", open(s.Raw, bob.Whose, id, alice.profile, nil), ErrWrong, true},
		{"other device", open(second.Raw, alice.Whose, id, alice.profile, nil), ErrWrong, true},
		{"unlisted device", open(s.Raw, alice.Whose, id, bob.profile, nil), ErrUnlisted, false},
		{"signature changed", open(flip(s.Raw, -1), alice.Whose, id, alice.profile, nil), crypto.ErrVerify, true},
		{"body changed", open(flip(s.Raw, -70), alice.Whose, id, alice.profile, nil), crypto.ErrVerify, true},
		{"lower number", open(older.Raw, alice.Whose, id, alice.profile, pinOf(s)), ErrStale, true},
		{"same number", open(fork.Raw, alice.Whose, id, alice.profile, pinOf(s)), ErrFork, false},
		{"body not a pulse", open(notBody, alice.Whose, id, alice.profile, nil), ErrBody, false},
	})
}

func TestForkHasBothEnvelopes(t *testing.T) {
	alice, bob := newPerson("alice.id", 1, 1), newPerson("bob.id", 1, 1)
	s, of := pairHead(alice, bob, 0, 5, Mark{})
	twin, _ := pairHead(alice, bob, 0, 5, Mark{})
	of.Pin = pinOf(s)
	_, err := OpenHead(twin.Raw, of, bob.sealKeys()...)
	var f *Fork
	if !errors.As(err, &f) {
		t.Fatal(err)
	}
	if !bytes.Equal(f.Have, s.Raw) || !bytes.Equal(f.Refused, twin.Raw) || f.Name != "alice.id" || f.Device != alice.devices[0].id() || f.Volume != "people/alice.id,bob.id" || f.Seq != 5 {
		t.Errorf("%+v", f)
	}
}

func TestNewFormatIsNobodysFault(t *testing.T) {
	alice := newPerson("alice.id", 1, 1)
	// SignEnvelope refuses to sign a later format, so the header is changed and
	// the answer must be the format's, which comes before the signature's.
	raw := alice.signProfile(1).Raw
	at := bytes.Index(raw, append([]byte{1, 0x67}, "profile"...))
	raw = bytes.Clone(raw)
	raw[at+10] = crypto.Format + 1
	_, err := OpenProfile(raw, alice.Whose, alice.key(), nil)
	if !errors.Is(err, crypto.ErrFormat) || Faulty(err) {
		t.Errorf("%v, the provider's fault: %t", err, Faulty(err))
	}
}

func TestHeadMember(t *testing.T) {
	alice, bob := newPerson("alice.id", 1, 1), newPerson("bob.id", 1, 1)
	v := must(Shared("alice.id", "bob.id"))
	h := testHead("alice.id", 1)
	both := map[chain.Name]*Profile{"alice.id": alice.profile, "bob.id": bob.profile}
	if _, err := h.Sign(alice.devices[0].sign, alice.stamp(0, 1), v, crypto.Locator{}, map[chain.Name]*Profile{"alice.id": alice.profile}); err == nil {
		t.Error("sealed a head without a member's key")
	}
	if _, err := h.Sign(alice.devices[0].sign, alice.stamp(0, 2), v, crypto.Locator{}, both); err == nil {
		t.Error("signed a number that does not follow the vector")
	}
	if _, err := h.Sign(alice.devices[0].sign, alice.stamp(0, 1), PublicVolume("bob.id"), crypto.Locator{}, both); err == nil {
		t.Error("signed a head of another's public volume")
	}
}
