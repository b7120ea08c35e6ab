package profile

import (
	"bytes"
	"errors"
	"slices"
	"testing"

	"github.com/dgraph-io/badger/v4"

	"satchel/crypto"
)

var testURLs = []string{"one", "two"}

// what is pending, as number and missing URLs.
func pending(t *testing.T, o *Outbox) map[uint64][]string {
	t.Helper()
	m := make(map[uint64][]string)
	for _, p := range must(o.Pending(testURLs)) {
		m[p.Header.Seq] = p.Missing
	}
	return m
}

func wantPending(t *testing.T, o *Outbox, want map[uint64][]string) {
	t.Helper()
	got := pending(t, o)
	for seq, urls := range want {
		if !slices.Equal(got[seq], urls) {
			t.Errorf("head %d is missing at %v, want %v", seq, got[seq], urls)
		}
	}
	if len(got) != len(want) {
		t.Errorf("pending: %v, want %v", got, want)
	}
}

func packs(ids ...byte) (list [][32]byte) {
	for _, b := range ids {
		list = append(list, [32]byte{b})
	}
	return list
}

func TestOutbox(t *testing.T) {
	alice, bob := newPerson("alice.id", 1, 1), newPerson("bob.id", 1, 1)
	o := NewOutbox(openDB(t))
	put := func(seq uint64, prev Mark, needs ...byte) *Signed[Head] {
		t.Helper()
		h, _ := pairHead(alice, bob, 0, seq, prev)
		if err := o.Put(h, packs(needs...), nil); err != nil {
			t.Fatal(err)
		}
		return h
	}
	ack := func(h *Signed[Head], url string) {
		t.Helper()
		out := &Outgoing{Header: h.Header, Hash: h.Hash, Volume: "people/alice.id,bob.id"}
		if err := o.Ack(out, url); err != nil {
			t.Fatal(err)
		}
	}
	d := alice.devices[0].id()
	h1 := put(1, Mark{}, 1)
	h2 := put(2, h1.Mark(), 2)
	h3 := put(3, h2.Mark(), 3, 2)
	// The oldest stays until it or a newer one has left; what lies between goes.
	wantPending(t, o, map[uint64][]string{1: testURLs, 3: testURLs})
	newest := must(o.Newest(crypto.KindHead, d, "people/alice.id,bob.id"))
	if newest.Mark() != h3.Mark() || !bytes.Equal(newest.Raw, h3.Raw) || len(newest.Needs) != 3 {
		t.Errorf("newest %v needs %d packs", newest.Mark(), len(newest.Needs))
	}
	if k := newest.Key(); k != HeadKey(crypto.Locator(h3.Header.Locator)) {
		t.Errorf("goes to %s", k)
	}
	if m := must(o.Last(crypto.KindHead, d, h3.Header.Locator)); m != h3.Mark() {
		t.Errorf("last %v", m)
	}

	ack(h1, "two")
	wantPending(t, o, map[uint64][]string{1: {"one"}, 3: testURLs})
	ack(h3, "one")
	wantPending(t, o, map[uint64][]string{3: {"two"}})
	ack(h1, "one") // an answer that came late
	wantPending(t, o, map[uint64][]string{3: {"two"}})
	ack(h3, "two")
	wantPending(t, o, nil)

	h4 := put(4, h3.Mark(), 4)
	newest = must(o.Newest(crypto.KindHead, d, "people/alice.id,bob.id"))
	if newest.Mark() != h4.Mark() || !slices.Equal(newest.Needs, packs(4)) {
		t.Errorf("after all had left, %v needs %v", newest.Mark(), newest.Needs)
	}
	ack(h4, "one")
	if err := o.Forget("one"); err != nil {
		t.Fatal(err)
	}
	wantPending(t, o, map[uint64][]string{4: testURLs})
}

func TestOutboxNeverSignsBack(t *testing.T) {
	alice, bob := newPerson("alice.id", 1, 1), newPerson("bob.id", 1, 1)
	o := NewOutbox(openDB(t))
	h5, _ := pairHead(alice, bob, 0, 5, Mark{})
	h4, _ := pairHead(alice, bob, 0, 4, Mark{})
	twin, _ := pairHead(alice, bob, 0, 5, Mark{})
	ran := 0
	also := func(tx *badger.Txn) error { ran++; return tx.Set([]byte("x"), []byte{byte(ran)}) }
	if err := o.Put(h5, nil, also); err != nil || ran != 1 {
		t.Fatal(err)
	}
	if err := o.Put(h5, nil, nil); err != nil {
		t.Errorf("the same again: %v", err)
	}
	for _, h := range []*Signed[Head]{h4, twin} {
		if err := o.Put(h, nil, also); !errors.Is(err, ErrStale) || ran != 1 {
			t.Errorf("number %d: %v", h.Header.Seq, err)
		}
	}
	if err := o.Put(signPulse(alice, 1, nil), nil, func(*badger.Txn) error { return errors.ErrUnsupported }); !errors.Is(err, errors.ErrUnsupported) {
		t.Error(err)
	}
	if m := must(o.Last(crypto.KindPulse, alice.devices[0].id(), nil)); m != (Mark{}) {
		t.Errorf("a pulse of a failed transaction is there: %v", m)
	}
}

func TestSignedAndPinnedAtOnce(t *testing.T) {
	alice := newPerson("alice.id", 1, 1)
	db := openDB(t)
	o, p := NewOutbox(db), NewPins(db)
	s := alice.signProfile(4)
	if err := o.Put(s, nil, p.Within(testTime, s)); err != nil {
		t.Fatal(err)
	}
	if pin := must(p.Profile("alice.id")); pin == nil || pin.Mark() != s.Mark() {
		t.Errorf("pinned %+v", pin)
	}
	// A pin that goes back undoes the whole.
	older := alice.signProfile(3)
	pulse := signPulse(alice, 1, nil)
	if err := o.Put(pulse, nil, p.Within(testTime, older)); !errors.Is(err, ErrStale) {
		t.Error(err)
	}
	if m := must(o.Last(crypto.KindPulse, alice.devices[0].id(), nil)); m != (Mark{}) {
		t.Errorf("kept %v", m)
	}
}

func TestOutboxNewLocator(t *testing.T) {
	alice, bob := newPerson("alice.id", 1, 1), newPerson("bob.id", 1, 1)
	newer := newPerson("alice.id", 1, 2)
	o := NewOutbox(openDB(t))
	h5, _ := pairHead(alice, bob, 0, 5, Mark{})
	h6, _ := pairHead(newer, bob, 0, 6, Mark{})
	if err := errors.Join(o.Put(h5, packs(1), nil), o.Put(h6, packs(2), nil)); err != nil {
		t.Fatal(err)
	}
	wantPending(t, o, map[uint64][]string{6: testURLs}) // what is not out yet goes to the new place only
	d := alice.devices[0].id()
	out := must(o.Newest(crypto.KindHead, d, "people/alice.id,bob.id"))
	if !slices.Equal(out.Needs, packs(2, 1)) {
		t.Errorf("needs %v", out.Needs)
	}
	if m := must(o.Last(crypto.KindHead, d, h5.Header.Locator)); m != h5.Mark() {
		t.Errorf("last at the old place: %v", m)
	}
}

func TestOutboxLines(t *testing.T) {
	alice, bob := newPerson("alice.id", 1, 1), newPerson("bob.id", 1, 1)
	o := NewOutbox(openDB(t))
	prof, pulse := alice.signProfile(2), signPulse(alice, 3, nil)
	h, _ := pairHead(alice, bob, 0, 4, Mark{})
	for _, s := range []Opened{prof, pulse, h} {
		if err := o.Put(s, nil, nil); err != nil {
			t.Fatal(err)
		}
	}
	wantPending(t, o, map[uint64][]string{2: testURLs, 3: testURLs, 4: testURLs})
	for _, p := range must(o.Pending(testURLs[:1])) {
		if err := o.Ack(&p.Outgoing, "one"); err != nil {
			t.Fatal(err)
		}
	}
	wantPending(t, o, map[uint64][]string{2: testURLs[1:], 3: testURLs[1:], 4: testURLs[1:]})
	if out := must(o.Newest(crypto.KindPulse, alice.devices[0].id(), "")); out == nil || out.Key() != PulseKey(alice.devices[0].id()) {
		t.Errorf("%+v", out)
	}
	if out := must(o.Newest(crypto.KindHead, alice.devices[0].id(), "people/alice.id")); out != nil {
		t.Errorf("%+v", out)
	}
}

func TestCheckOwn(t *testing.T) {
	alice, bob := newPerson("alice.id", 1, 1), newPerson("bob.id", 1, 1)
	o := NewOutbox(openDB(t))
	h5, _ := pairHead(alice, bob, 0, 5, Mark{})
	if err := o.CheckOwn(h5); !errors.Is(err, ErrCopied) {
		t.Errorf("a head and no record: %v", err)
	}
	if err := o.Put(h5, nil, nil); err != nil {
		t.Fatal(err)
	}
	for seq, want := range map[uint64]error{4: nil, 6: ErrCopied, 5: ErrCopied} {
		h, _ := pairHead(alice, bob, 0, seq, Mark{})
		if err := o.CheckOwn(h); !errors.Is(err, want) {
			t.Errorf("number %d: %v, want %v", seq, err, want)
		}
	}
	if err := o.CheckOwn(h5); err != nil {
		t.Errorf("the last one: %v", err)
	}
}

func TestOutboxAfterCrash(t *testing.T) {
	alice, bob := newPerson("alice.id", 1, 1), newPerson("bob.id", 1, 1)
	dir := t.TempDir()
	open := func() *badger.DB {
		return must(badger.Open(badger.DefaultOptions(dir).WithLogger(nil).WithSyncWrites(true).WithMemTableSize(16 << 20)))
	}
	db := open()
	h, _ := pairHead(alice, bob, 0, 5, Mark{})
	if err := NewOutbox(db).Put(h, packs(1, 2), nil); err != nil {
		t.Fatal(err)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	db = open()
	defer db.Close()
	list := must(NewOutbox(db).Pending(testURLs))
	if len(list) != 1 || !bytes.Equal(list[0].Raw, h.Raw) || !slices.Equal(list[0].Needs, packs(1, 2)) {
		t.Errorf("%d pending; other bytes would be sent than were signed", len(list))
	}
}
