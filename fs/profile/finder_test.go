package profile

import (
	"slices"
	"testing"

	"satchel/chain"
	"satchel/crypto"
)

func locators(places []Place) []crypto.Locator {
	list := make([]crypto.Locator, len(places))
	for i, p := range places {
		list[i] = p.Locator
	}
	return list
}

func TestPairMeets(t *testing.T) {
	alice, bob := newPerson("alice.id", 2, 3), newPerson("bob.id", 1, 2)
	v := must(Shared("alice.id", "bob.id"))
	d := alice.devices[1].id()
	at := must(alice.finder(bob).Write(v, d))
	here := must(bob.finder(alice).Read(v, "alice.id", d, crypto.Locator{}))
	if len(here) != 6 || here[0] != at {
		t.Errorf("alice writes where bob does not look first; %d places", len(here))
	}
	// Each place only once, and another device's are others.
	all := append(locators(here), locators(must(bob.finder(alice).Read(v, "alice.id", alice.devices[0].id(), crypto.Locator{})))...)
	for i, l := range all {
		if slices.Contains(all[:i], l) {
			t.Errorf("locator %d is there twice", i)
		}
	}
	// A writer who doesn't know bob's newest key is found second or third.
	stale := alice.finder(bob)
	old := *bob.profile
	old.Users = old.Users[:1]
	stale.Profiles["bob.id"] = &old
	if i := slices.Index(here, must(stale.Write(v, d))); i != 1 && i != 2 {
		t.Errorf("found at place %d", i)
	}
	// Own other devices compute the same.
	if mine := must(alice.finder(bob).Read(v, "alice.id", d, crypto.Locator{})); mine[0] != at {
		t.Error("alice's other device looks elsewhere")
	}
}

func TestLastFoundIsSecond(t *testing.T) {
	alice, bob := newPerson("alice.id", 1, 3), newPerson("bob.id", 1, 3)
	v := must(Shared("alice.id", "bob.id"))
	d := alice.devices[0].id()
	f := bob.finder(alice)
	all := must(f.Read(v, "alice.id", d, crypto.Locator{}))
	again := must(f.Read(v, "alice.id", d, all[7].Locator))
	want := slices.Concat(all[:1], all[7:8], all[1:7], all[8:])
	if !slices.Equal(again, want) {
		t.Error("the last place is not second, with the others in their order")
	}
	for _, last := range []crypto.Locator{all[0].Locator, all[1].Locator, {1}} {
		if got := must(f.Read(v, "alice.id", d, last)); !slices.Equal(got, all) {
			t.Errorf("last %v changed the order", last)
		}
	}
}

func TestPrivateAndPublic(t *testing.T) {
	alice, bob := newPerson("alice.id", 1, 3), newPerson("bob.id", 1, 1)
	d := alice.devices[0].id()
	f := alice.finder()
	private := must(f.Read(PrivateVolume("alice.id"), "alice.id", d, crypto.Locator{}))
	if len(private) != 3 || private[0].Locator != alice.secrets[3].PrivateLocator(d) || private[2].Locator != alice.secrets[1].PrivateLocator(d) {
		t.Error("private: not by generation, newest first")
	}
	public := must(bob.finder().Read(PublicVolume("alice.id"), "alice.id", d, crypto.Locator{}))
	if len(public) != 1 || public[0].Locator != crypto.PublicLocator(testNet, "alice.id", d) || public[0] != must(f.Write(PublicVolume("alice.id"), d)) {
		t.Error("public: everybody computes the same one")
	}
}

func TestGroupSecretIsTold(t *testing.T) {
	alice, bob, carol := newPerson("alice.id", 1, 2), newPerson("bob.id", 1, 1), newPerson("carol.id", 1, 1)
	v := must(Shared("alice.id", "bob.id", "carol.id"))
	w := must(Shared("alice.id", "bob.id", "dave.id"))
	d := alice.devices[0].id()
	at := must(alice.finder(bob, carol).Write(v, d))
	f := bob.finder(alice, carol)
	if got := must(f.Read(v, "alice.id", d, crypto.Locator{})); len(got) != 0 {
		t.Errorf("%d places before anything was told", len(got))
	}
	h := testHead("alice.id", 1)
	h.Tells = slices.Concat(must(alice.finder().Tells(w)), must(alice.finder().Tells(v)))
	h = must(DecodeHead(must(h.Encode())))
	if len(h.Tells) != 4 {
		t.Fatalf("%d of 4 told", len(h.Tells))
	}
	f.Told["alice.id"] = h.Taken("alice.id", "bob.id")
	got := must(f.Read(v, "alice.id", d, crypto.Locator{}))
	if len(got) != 2 || got[0] != at {
		t.Errorf("%d places, the first is alice's: %t", len(got), len(got) > 0 && got[0] == at)
	}
	if bobs := must(f.Write(v, bob.devices[0].id())); bobs.Secret == at.Secret {
		t.Error("bob writes with alice's secret")
	}
	for _, who := range [][2]chain.Name{{"alice.id", "carol.id"}, {"carol.id", "bob.id"}} {
		for _, tell := range h.Taken(who[0], who[1]) {
			if !tell.Group.Has(who[0]) || !tell.Group.Has(who[1]) {
				t.Errorf("%s took from %s a secret of %s", who[1], who[0], tell.Group.Key())
			}
		}
	}
	if n := len(h.Taken("eve.id", "bob.id")); n != 0 {
		t.Errorf("took %d from eve", n)
	}
}

func TestFinderRefuses(t *testing.T) {
	alice, bob := newPerson("alice.id", 1, 1), newPerson("bob.id", 1, 1)
	pair := must(Shared("alice.id", "bob.id"))
	d := alice.devices[0].id()
	if _, err := newPerson("eve.id", 1, 1).finder(alice, bob).Read(pair, "alice.id", d, crypto.Locator{}); err == nil {
		t.Error("eve reads a pair's volume")
	}
	if _, err := alice.finder(bob).Read(pair, "carol.id", d, crypto.Locator{}); err == nil {
		t.Error("carol writes in a pair's volume")
	}
	if _, err := alice.finder().Read(pair, "alice.id", d, crypto.Locator{}); err == nil {
		t.Error("found without bob's profile")
	}
	if _, err := bob.finder(alice).Write(PublicVolume("alice.id"), d); err == nil {
		t.Error("bob writes in alice's public volume")
	}
	empty := alice.finder(bob)
	empty.Secrets = nil
	if _, err := empty.Write(PrivateVolume("alice.id"), d); err == nil {
		t.Error("wrote without a secret")
	}
}

// A pair key of low order, in one generation, hides none of the others.
func TestBadPairKeyHidesNoOther(t *testing.T) {
	alice, bob := newPerson("alice.id", 1, 1), newPerson("bob.id", 1, 2)
	v := must(Shared("alice.id", "bob.id"))
	d := alice.devices[0].id()
	all := must(alice.finder(bob).Read(v, "bob.id", d, crypto.Locator{}))
	bad := *bob.profile
	bad.Users = slices.Clone(bad.Users)
	bad.Users[0].Pair = make([]byte, 32)
	f := alice.finder(bob)
	f.Profiles["bob.id"] = &bad
	if got := must(f.Read(v, "bob.id", d, crypto.Locator{})); len(got) != len(all)-1 || got[0] != all[0] {
		t.Errorf("%d of %d places are left", len(got), len(all))
	}
	bad.Users[1].Pair = make([]byte, 32)
	if _, err := f.Read(v, "bob.id", d, crypto.Locator{}); err == nil {
		t.Error("no key is one, and places were found")
	}
}

func TestKeys(t *testing.T) {
	d := crypto.DeviceID{0xab}
	for h, want := range map[*crypto.Header]string{
		{Kind: crypto.KindProfile}:                         "profile",
		{Kind: crypto.KindPulse, Device: d}:                "d/ab000000000000000000000000000000",
		{Kind: crypto.KindHead, Locator: make([]byte, 32)}: "h/0000000000000000000000000000000000000000000000000000000000000000",
	} {
		if got := KeyOf(*h); got != want {
			t.Errorf("%s: %s", want, got)
		}
	}
}
