package profile

import (
	"bytes"
	"errors"
	"os"
	"testing"
	"time"

	"github.com/dgraph-io/badger/v4"

	"satchel/crypto"
)

func TestNameFacts(t *testing.T) {
	alice := newPerson("alice.id", 1, 1)
	first := alice.facts()
	newKey, newOwner, again, network, none := first, first, first, first, first
	newKey.DataKey = crypto.PublicKey{7}
	newOwner.Owner = "somebody"
	again.Registered++
	network.Network[0]++
	none.DataKey = crypto.PublicKey{}
	expired, revoked := first, newKey
	expired.Expired, revoked.Revoked = true, true

	p := NewPins(openDB(t))
	steps := []struct {
		what  string
		now   Facts
		want  Verdict
		err   error
		trust bool
	}{
		{"expired at first", expired, Verdict{}, ErrChanged, false},
		{"no key at first", none, Verdict{}, ErrNoKey, false},
		{"first use", first, Verdict{First: true}, nil, false},
		{"the same", first, Verdict{}, nil, false},
		{"no key now", none, Verdict{}, ErrNoKey, false},
		{"expired", expired, Verdict{}, ErrChanged, false},
		{"renewed", first, Verdict{}, nil, false},
		{"new key", newKey, Verdict{Followed: true, Old: first}, nil, false},
		{"revoked", revoked, Verdict{}, ErrChanged, false},
		{"new owner", newOwner, Verdict{}, ErrChanged, false},
		{"still stopped", newOwner, Verdict{}, ErrChanged, false},
		{"given back", newKey, Verdict{}, nil, false},
		{"registered anew", again, Verdict{}, ErrChanged, false},
		{"other network", network, Verdict{}, ErrChanged, false},
		{"trusted", newOwner, Verdict{}, nil, true},
		{"the earlier owner", newKey, Verdict{}, ErrChanged, false},
	}
	for _, s := range steps {
		if s.trust {
			if err := p.Trust("alice.id", s.now); err != nil {
				t.Fatalf("%s: %v", s.what, err)
			}
		}
		got, err := p.Check("alice.id", s.now)
		if got != s.want || !errors.Is(err, s.err) {
			t.Errorf("%s: %+v, %v", s.what, got, err)
		}
	}
	if f, err := p.Facts("alice.id"); err != nil || *f != newOwner {
		t.Errorf("pinned %+v, %v", f, err)
	}
	for _, f := range []Facts{expired, revoked} {
		if err := p.Trust("alice.id", f); !errors.Is(err, ErrChanged) {
			t.Errorf("trusted what is no more: %v", err)
		}
	}
	if err := p.Trust("alice.id", none); !errors.Is(err, os.ErrPermission) {
		t.Errorf("trusted a name without a key: %v", err)
	}
}

func TestFingerprint(t *testing.T) {
	f := newPerson("alice.id", 1, 1).facts()
	seen := map[string]bool{f.Fingerprint(): true}
	for _, change := range []func(*Facts){
		func(f *Facts) { f.Owner += "x" }, func(f *Facts) { f.Registered++ },
		func(f *Facts) { f.Network[9]++ }, func(f *Facts) { f.DataKey[31]++ },
	} {
		g := f
		change(&g)
		if seen[g.Fingerprint()] {
			t.Errorf("%+v has a fingerprint that was there", g)
		}
		seen[g.Fingerprint()] = true
	}
	if len(f.Fingerprint()) != 39 {
		t.Errorf("%q", f.Fingerprint())
	}
}

func TestAdvance(t *testing.T) {
	alice, bob := newPerson("alice.id", 1, 1), newPerson("bob.id", 1, 1)
	p := NewPins(openDB(t))
	must(p.Check("alice.id", alice.facts()))
	prof, pulse := alice.signProfile(3), signPulse(alice, 3, nil)
	h5, of := pairHead(alice, bob, 0, 5, Mark{})
	h6, _ := pairHead(alice, bob, 0, 6, h5.Mark())
	twin, _ := pairHead(alice, bob, 0, 6, h5.Mark())

	if err := p.Advance(testTime, prof, pulse, h5); err != nil {
		t.Fatal(err)
	}
	later := testTime.Add(time.Hour)
	if err := p.Advance(later, prof, pulse, h6); err != nil {
		t.Fatal(err)
	}
	id := alice.devices[0].id()
	pin := must(p.Pulse("alice.id", id))
	if pin.Mark() != pulse.Mark() || !pin.SeenAt().Equal(testTime) || !bytes.Equal(pin.Raw, pulse.Raw) {
		t.Errorf("pulse: %v seen %v", pin.Mark(), pin.SeenAt())
	}
	pin = must(p.Head(of.Volume, "alice.id", id))
	if pin.Mark() != h6.Mark() || !pin.SeenAt().Equal(later) || pin.At() != of.Locator {
		t.Errorf("head: %v seen %v at %v", pin.Mark(), pin.SeenAt(), pin.At())
	}
	held, err := p.Held(alice.Whose, alice.key())
	if err != nil || held.Mark() != prof.Mark() {
		t.Errorf("held: %v, %v", held, err)
	}
	for _, other := range []func() (*Pin, error){
		func() (*Pin, error) { return p.Profile("bob.id") },
		func() (*Pin, error) { return p.Pulse("bob.id", id) },
		func() (*Pin, error) { return p.Pulse("alice.id", crypto.DeviceID{1}) },
		func() (*Pin, error) { return p.Head(PublicVolume("alice.id"), "alice.id", id) },
	} {
		if pin, err := other(); pin != nil || err != nil {
			t.Errorf("%+v, %v", pin, err)
		}
	}

	// Nothing goes back, and a batch with something bad changes nothing.
	prof4 := alice.signProfile(4)
	if err := p.Advance(later, prof4, h5); !errors.Is(err, ErrStale) {
		t.Errorf("older head: %v", err)
	}
	if err := p.Advance(later, prof4, twin); !errors.Is(err, ErrFork) {
		t.Errorf("twin: %v", err)
	}
	if pin := must(p.Profile("alice.id")); pin.Seq != 3 {
		t.Errorf("profile %d of a refused batch is pinned", pin.Seq)
	}
	forks := must(p.Forks())
	if len(forks) != 1 || !bytes.Equal(forks[0].Have, h6.Raw) || !bytes.Equal(forks[0].Refused, twin.Raw) || forks[0].Volume != of.Volume.Key() {
		t.Errorf("%d forks kept", len(forks))
	}
}

func TestStaleAcrossLocators(t *testing.T) {
	alice, bob := newPerson("alice.id", 1, 1), newPerson("bob.id", 1, 1)
	p := NewPins(openDB(t))
	h5, of := pairHead(alice, bob, 0, 5, Mark{})
	h4, _ := pairHead(alice, bob, 0, 4, Mark{})
	newer := newPerson("alice.id", 1, 2) // with another generation, and so a new locator
	h6, of6 := pairHead(newer, bob, 0, 6, Mark{})
	if of.Locator == of6.Locator {
		t.Fatal("a new generation has the old locator")
	}
	if err := p.Advance(testTime, h5); err != nil {
		t.Fatal(err)
	}
	if err := p.Advance(testTime, h6); err != nil {
		t.Fatal(err)
	}
	of.Pin = must(p.Head(of.Volume, "alice.id", of.Device))
	if _, err := OpenHead(h5.Raw, of, bob.sealKeys()...); !errors.Is(err, ErrStale) {
		t.Errorf("the head at the earlier locator: %v", err)
	}
	if err := p.Advance(testTime, h4); !errors.Is(err, ErrStale) {
		t.Error(err)
	}
}

func TestProfileOfNewDataKey(t *testing.T) {
	alice := newPerson("alice.id", 1, 1)
	p := NewPins(openDB(t))
	must(p.Check("alice.id", alice.facts()))
	stolen := alice.signProfile(crypto.MaxSeq) // by the thief, to lock the name
	if err := p.Advance(testTime, stolen); err != nil {
		t.Fatal(err)
	}
	old := alice.key()
	alice.data = newPerson("other.id", 1, 1).data
	if v := must(p.Check("alice.id", alice.facts())); !v.Followed {
		t.Fatalf("%+v", v)
	}
	if held, err := p.Held(alice.Whose, alice.key()); held != nil || err != nil {
		t.Errorf("the thief's profile is held: %v", err)
	}
	if err := p.Advance(testTime, stolen); !errors.Is(err, ErrStale) {
		t.Errorf("the thief's profile is pinned again: %v", err)
	}
	pin := must(p.Profile("alice.id"))
	mine, err := OpenProfile(alice.signProfile(7).Raw, alice.Whose, alice.key(), pin)
	if err != nil {
		t.Fatal(err)
	}
	if err := p.Advance(testTime, mine); err != nil {
		t.Fatal(err)
	}
	if _, err := OpenProfile(alice.signProfile(6).Raw, alice.Whose, alice.key(), must(p.Profile("alice.id"))); !errors.Is(err, ErrStale) {
		t.Errorf("an older one of the new key: %v", err)
	}
	if _, err := OpenProfile(stolen.Raw, alice.Whose, alice.key(), nil); !errors.Is(err, crypto.ErrVerify) || old == alice.key() {
		t.Errorf("the thief's by the new key: %v", err)
	}
}

func TestTrustForgets(t *testing.T) {
	alice, bob := newPerson("alice.id", 1, 1), newPerson("bob.id", 1, 1)
	p := NewPins(openDB(t))
	h, of := pairHead(alice, bob, 0, 5, Mark{})
	twin, _ := pairHead(alice, bob, 0, 5, Mark{})
	bobs, bobOf := pairHead(bob, alice, 0, 5, Mark{})
	must(p.Check("alice.id", alice.facts()))
	group := must(Shared("alice.id", "bob.id", "carol.id"))
	tells := must(alice.finder().Tells(group))
	if err := errors.Join(p.Advance(testTime, alice.signProfile(9), signPulse(alice, 9, nil), h, bobs), p.KeepTold("alice.id", of.Device, tells)); err != nil {
		t.Fatal(err)
	}
	if err := p.Advance(testTime, twin); !errors.Is(err, ErrFork) {
		t.Fatal(err)
	}
	same := alice.facts()
	same.DataKey[5]++
	if err := p.Trust("alice.id", same); err != nil {
		t.Fatal(err)
	}
	if pin := must(p.Head(of.Volume, "alice.id", of.Device)); pin == nil {
		t.Error("trusting the same owner forgot his head")
	}
	changed := alice.facts()
	changed.Owner = "somebody"
	if err := p.Trust("alice.id", changed); err != nil {
		t.Fatal(err)
	}
	prof, head, pulse := must(p.Profile("alice.id")), must(p.Head(of.Volume, "alice.id", of.Device)), must(p.Pulse("alice.id", of.Device))
	if prof != nil || head != nil || pulse != nil || len(must(p.Told("alice.id"))) != 0 || len(must(p.Forks())) != 0 {
		t.Errorf("the earlier owner's profile %v, head %v, pulse %v are pinned", prof, head, pulse)
	}
	if pin := must(p.Head(bobOf.Volume, "bob.id", bobOf.Device)); pin == nil {
		t.Error("bob's head is forgotten too")
	}
}

func TestPinsOutliveTheProcess(t *testing.T) {
	alice := newPerson("alice.id", 1, 1)
	dir := t.TempDir()
	open := func() *badger.DB {
		return must(badger.Open(badger.DefaultOptions(dir).WithLogger(nil).WithSyncWrites(true).WithMemTableSize(16 << 20)))
	}
	db := open()
	p := NewPins(db)
	must(p.Check("alice.id", alice.facts()))
	if err := p.Advance(testTime, alice.signProfile(3)); err != nil {
		t.Fatal(err)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	db = open()
	defer db.Close()
	p = NewPins(db)
	if held, err := p.Held(alice.Whose, alice.key()); err != nil || held == nil || held.Mark().Seq != 3 {
		t.Errorf("%v, %v", held, err)
	}
	if v, err := p.Check("alice.id", alice.facts()); err != nil || v.First {
		t.Errorf("%+v, %v", v, err)
	}
}

func TestTold(t *testing.T) {
	alice := newPerson("alice.id", 2, 2)
	abc, abd := must(Shared("alice.id", "bob.id", "carol.id")), must(Shared("alice.id", "bob.id", "dave.id"))
	f := alice.finder()
	p := NewPins(openDB(t))
	one, two := alice.devices[0].id(), alice.devices[1].id()
	keep := func(d crypto.DeviceID, tells []Tell) {
		t.Helper()
		if err := p.KeepTold("alice.id", d, tells); err != nil {
			t.Fatal(err)
		}
	}
	keep(one, must(f.Tells(abc)))
	keep(two, append(must(f.Tells(abc)), must(f.Tells(abd))...))
	if got := must(p.Told("alice.id")); len(got) != 4 {
		t.Errorf("%d secrets, want two of each group", len(got))
	}
	keep(two, nil)
	got := must(p.Told("alice.id"))
	if len(got) != 2 || !got[0].Group.Equal(abc) {
		t.Errorf("%+v", got)
	}
	if got := must(p.Told("alice.i")); len(got) != 0 {
		t.Errorf("%d secrets of a name that told nothing", len(got))
	}
}

func TestFresh(t *testing.T) {
	h := crypto.Header{Time: testTime.UnixNano()}
	if got := Fresh(h, testTime.Add(time.Minute)); !got.Equal(testTime) {
		t.Errorf("seen later: %v", got)
	}
	if got := Fresh(h, testTime.Add(-time.Minute)); !got.Equal(testTime.Add(-time.Minute)) {
		t.Errorf("signed in the future: %v", got)
	}
	p := newPerson("alice.id", 1, 1).profile
	p.Providers, p.Quorum = make([]Provider, 5), 3
	if n := p.FreshAnswers(); n != 3 {
		t.Errorf("%d answers of 5 with quorum 3", n)
	}
}
