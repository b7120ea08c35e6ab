package profile

import (
	"errors"
	"reflect"
	"slices"
	"strings"
	"testing"

	"satchel/crypto"
	"satchel/crypto/canon"
)

func TestProfileRoundTrip(t *testing.T) {
	alice := newPerson("alice.id", 3, 3)
	s := alice.signProfile(4)
	got, err := OpenProfile(s.Raw, alice.Whose, alice.key(), nil)
	if err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(got.Body, alice.profile) || got.Mark() != s.Mark() || !got.Time().Equal(testTime) {
		t.Errorf("opened another profile than was signed: %+v", got.Body)
	}
	if c, q := got.Body.Copies, got.Body.Quorum; c != 2 || q != 2 {
		t.Errorf("copies %d, quorum %d of 2 providers", c, q)
	}
	if u := got.Body.InOrder()[0].URL; !strings.HasPrefix(u, "file:") {
		t.Errorf("asks %s first, which has the higher priority number", u)
	}
}

func TestSecretsOfEachDevice(t *testing.T) {
	alice := newPerson("alice.id", 3, 4)
	for i, d := range alice.devices {
		got, err := alice.profile.Secrets(alice.Whose, d.id(), d.seal)
		if err != nil || !reflect.DeepEqual(got, alice.secrets) {
			t.Errorf("device %d: %d secrets, %v", i, len(got), err)
		}
		dev, _ := alice.profile.Device(d.id())
		if l, err := alice.profile.Label(alice.Whose, dev, got); l != "device "+string(rune('0'+i)) {
			t.Errorf("label %q, %v", l, err)
		}
	}
	got, err := alice.profile.RecoverSecrets(alice.Whose, alice.recovery)
	if err != nil || !reflect.DeepEqual(got, alice.secrets) {
		t.Errorf("recovery key: %d secrets, %v", len(got), err)
	}
}

func TestSecretsAreBound(t *testing.T) {
	alice, mallory := newPerson("alice.id", 2, 2), newPerson("mallory.id", 1, 2)
	d := alice.devices[0]
	if _, err := alice.profile.Secrets(alice.Whose, d.id(), alice.devices[1].seal); !errors.Is(err, crypto.ErrOpen) {
		t.Errorf("another device's key: %v", err)
	}
	if _, err := alice.profile.Secrets(Whose{testNet, "bob.id"}, d.id(), d.seal); !errors.Is(err, crypto.ErrOpen) {
		t.Errorf("another name: %v", err)
	}
	if _, err := alice.profile.Secrets(Whose{crypto.Network{1}, "alice.id"}, d.id(), d.seal); !errors.Is(err, crypto.ErrOpen) {
		t.Errorf("another network: %v", err)
	}
	if _, err := alice.profile.Secrets(alice.Whose, mallory.devices[0].id(), d.seal); !errors.Is(err, ErrUnlisted) {
		t.Errorf("unlisted device: %v", err)
	}
	planted := *alice.profile
	planted.Devices = slices.Clone(planted.Devices)
	dev := planted.device(d.id())
	dev.Secret = must(sealSecret(alice.Whose, dev.Seal, mallory.secrets[2], 2, dev.ID[:]))
	if s, err := planted.Secrets(alice.Whose, d.id(), d.seal); err == nil {
		t.Errorf("took %d secrets that are not those of the user keys", len(s))
	}
}

func TestProfileRefused(t *testing.T) {
	other := newDevice("alice.id", 9)
	cases := map[string]func(p *Profile){
		"no provider":       func(p *Profile) { p.Providers = nil },
		"URL twice":         func(p *Profile) { p.Providers[1].URL = p.Providers[0].URL },
		"empty URL":         func(p *Profile) { p.Providers[1].URL = "" },
		"endless URL":       func(p *Profile) { p.Providers[1].URL = strings.Repeat("u", maxURL+1) },
		"no copies":         func(p *Profile) { p.Copies = 0 },
		"quorum beyond":     func(p *Profile) { p.Quorum = 3 },
		"negative copies":   func(p *Profile) { p.Copies = -1 },
		"no user key":       func(p *Profile) { p.Users = nil },
		"generation 0":      func(p *Profile) { p.Users[0].Gen = 0 },
		"generations down":  func(p *Profile) { p.Users[1].Gen = 1 },
		"chain cut":         func(p *Profile) { p.Users[1].Prev = nil },
		"chain before all":  func(p *Profile) { p.Users[0].Prev = []byte{1} },
		"short user key":    func(p *Profile) { p.Users[0].Seal = p.Users[0].Seal[1:] },
		"short pair key":    func(p *Profile) { p.Users[0].Pair = p.Users[0].Pair[1:] },
		"no recovery key":   func(p *Profile) { p.Recovery = Recovery{} },
		"no recovery":       func(p *Profile) { p.Recovery.Secret = nil },
		"no devices":        func(p *Profile) { p.Devices = nil },
		"device twice":      func(p *Profile) { p.Devices[1] = p.Devices[0] },
		"devices unordered": func(p *Profile) { slices.Reverse(p.Devices) },
		"foreign id":        func(p *Profile) { p.Devices[0].Signing = other.sign.Public() },
		"no signing key":    func(p *Profile) { p.Devices[0].Signing = crypto.PublicKey{} },
		"no sealing key":    func(p *Profile) { p.Devices[0].Seal = nil },
		"no secret":         func(p *Profile) { p.Devices[0].Secret = nil },
		"keeper unlisted":   func(p *Profile) { p.Keeper = other.id() },
		"listed, removed":   func(p *Profile) { p.Removed = []crypto.DeviceID{p.Devices[1].ID} },
		"removed twice":     func(p *Profile) { p.Removed = []crypto.DeviceID{{1}, {1}} },
		"empty address":     func(p *Profile) { p.Notify = []string{""} },
		"many addresses":    func(p *Profile) { p.Notify = slices.Repeat([]string{"x"}, maxNotify+1) },
	}
	for what, spoil := range cases {
		p := newPerson("alice.id", 2, 2).profile
		spoil(p)
		if _, err := p.Encode(); err == nil {
			t.Errorf("%s: encoded", what)
		}
		body, err := canon.Marshal(p)
		if err != nil {
			continue
		}
		if _, err := DecodeProfile(body); err == nil {
			t.Errorf("%s: decoded", what)
		}
	}
}

func TestLaterFieldsAreKept(t *testing.T) {
	alice := newPerson("alice.id", 1, 1)
	alice.profile.Extra = canon.Extra{128: must(canon.Marshal("later"))}
	alice.profile.Devices[0].Extra = canon.Extra{200: must(canon.Marshal(7))}
	got, err := OpenProfile(alice.signProfile(1).Raw, alice.Whose, alice.key(), nil)
	if err != nil || !reflect.DeepEqual(got.Body, alice.profile) {
		t.Errorf("%+v, %v", got, err)
	}
}

func TestLaterKeyKind(t *testing.T) {
	p := newPerson("alice.id", 1, 2).profile
	p.Users[1] = UserKey{Gen: 2, KEM: 0x9999, Seal: []byte("short"), Prev: []byte("x")}
	body, err := p.Encode()
	if err != nil {
		t.Fatal(err)
	}
	if p, err = DecodeProfile(body); err != nil {
		t.Fatal(err)
	}
	if _, err := p.User(); !errors.Is(err, crypto.ErrFormat) {
		t.Errorf("newest user key of an unknown kind: %v", err)
	}
}

func TestFollows(t *testing.T) {
	alice := newPerson("alice.id", 3, 2)
	old := alice.profile
	gone := alice.devices[2]
	alice.devices = alice.devices[:2]

	d := alice.draft()
	forgets := must(New(alice.Whose, d))
	d.Removed = []crypto.DeviceID{gone.id()}
	removes := must(New(alice.Whose, d))
	d.Secrets = Secrets{2: alice.secrets[2]}
	loses := must(New(alice.Whose, d))
	cases := []struct {
		what      string
		old, next *Profile
		ok        bool
	}{
		{"the same", old, old, true},
		{"device removed", old, removes, true},
		{"device forgotten", old, forgets, false},
		{"device listed again", removes, old, false},
		{"removal forgotten", removes, forgets, false},
		{"older user key lost", old, loses, false},
	}
	for _, c := range cases {
		if err := c.next.Follows(c.old); (err == nil) != c.ok {
			t.Errorf("%s: %v", c.what, err)
		}
	}
	if got := removes.EverListed(); len(got) != 3 || !slices.Contains(got, gone.id()) {
		t.Errorf("ever listed: %v", got)
	}
}

func TestSays(t *testing.T) {
	alice := newPerson("alice.id", 2, 2)
	if !alice.profile.Says(alice.draft()) {
		t.Error("the draft that it was made of needs no new profile")
	}
	changes := map[string]func(*Draft){
		"provider": func(d *Draft) { d.Providers = d.Providers[:1] },
		"quorum":   func(d *Draft) { d.Quorum = 1 },
		"secret":   func(d *Draft) { d.Secrets = Secrets{1: d.Secrets[1], 2: d.Secrets[2], 3: {1}} },
		"device":   func(d *Draft) { d.Devices = d.Devices[:1] },
		"removed":  func(d *Draft) { d.Removed = []crypto.DeviceID{{1}} },
		"recovery": func(d *Draft) { d.Recovery = alice.devices[0].seal.Public() },
		"notify":   func(d *Draft) { d.Notify = []string{"x"} },
		"keeper":   func(d *Draft) { d.Keeper = alice.devices[1].id() },
	}
	for what, change := range changes {
		d := alice.draft()
		change(&d)
		if alice.profile.Says(d) {
			t.Errorf("%s changed and nothing would be signed", what)
		}
	}
}

func TestDefaults(t *testing.T) {
	for _, c := range [][4]int{{1, 0, 1, 1}, {2, 0, 2, 2}, {3, 0, 3, 2}, {5, 2, 2, 2}, {5, 0, 5, 3}} {
		if copies, quorum := Defaults(c[0], c[1]); copies != c[2] || quorum != c[3] {
			t.Errorf("%d providers, %d copies wanted: %d, %d", c[0], c[1], copies, quorum)
		}
	}
}

func TestDraftRefused(t *testing.T) {
	cases := map[string]func(*Draft){
		"no secret":     func(d *Draft) { d.Secrets = nil },
		"generation 0":  func(d *Draft) { d.Secrets = Secrets{0: {1}} },
		"no device":     func(d *Draft) { d.Devices = nil },
		"no recovery":   func(d *Draft) { d.Recovery = nil },
		"no provider":   func(d *Draft) { d.Providers = nil },
		"keeper absent": func(d *Draft) { d.Keeper[0]++ },
		"long label":    func(d *Draft) { d.Devices[0].Label = strings.Repeat("x", MaxLabel+1) },
	}
	for what, spoil := range cases {
		alice := newPerson("alice.id", 1, 1)
		d := alice.draft()
		spoil(&d)
		if _, err := New(alice.Whose, d); err == nil {
			t.Errorf("%s: made", what)
		}
	}
}
