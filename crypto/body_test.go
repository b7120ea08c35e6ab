package crypto

import (
	"bytes"
	"testing"

	"satchel/crypto/canon"
)

func sealTestBody(t testing.TB, h Header, plain []byte, keys ...*SealKey) []byte {
	t.Helper()
	var readers []SealPublic
	for _, k := range keys {
		readers = append(readers, k.Public())
	}
	sealed, err := SealBody(h, plain, readers)
	if err != nil {
		t.Fatal(err)
	}
	return sealed
}

func TestBody(t *testing.T) {
	h := testHeader(t, KindHead)
	plain := []byte("the body of a head")
	var keys []*SealKey
	for i := range 9 {
		keys = append(keys, fixedSeal(t, byte(i)))
	}
	stranger := fixedSeal(t, 100)
	for n, wraps := range map[int]int{1: 2, 2: 2, 3: 4, 4: 4, 5: 8, 9: 16} {
		sealed := sealTestBody(t, h, plain, keys[:n]...)
		if want := 33 + wraps*1168 + len(plain) + 16; len(sealed) != want || BodyOverhead(n) != want-len(plain) {
			t.Errorf("%d readers: %d bytes, want %d", n, len(sealed), want)
		}
		for _, k := range keys[:n] {
			if got, err := OpenBody(h, sealed, stranger, k); err != nil || !bytes.Equal(got, plain) {
				t.Errorf("%d readers: got %q, %v", n, got, err)
			}
		}
		if _, err := OpenBody(h, sealed, stranger, fixedSeal(t, 101)); err != ErrOpen {
			t.Errorf("%d readers: a stranger: %v", n, err)
		}
		if _, err := OpenBody(h, sealed); err != ErrOpen {
			t.Errorf("%d readers: without a key: %v", n, err)
		}
	}
	if got, err := OpenBody(h, sealTestBody(t, h, nil, keys[0]), keys[0]); err != nil || len(got) != 0 {
		t.Errorf("empty: got %q, %v", got, err)
	}
	if _, err := SealBody(h, plain, nil); err == nil {
		t.Error("sealed to nobody")
	}
	if _, err := SealBody(h, plain, []SealPublic{{1, 2, 3}}); err == nil {
		t.Error("sealed to what is no key")
	}
	if _, err := SealBody(h, plain, make([]SealPublic, maxWraps+1)); err == nil {
		t.Error("sealed to too many")
	}
	h.Name = "\xff"
	if _, err := SealBody(h, plain, []SealPublic{keys[0].Public()}); err == nil {
		t.Error("sealed for a header that can't be")
	}
	if _, err := OpenBody(h, make([]byte, 4000), keys[0]); err != ErrOpen {
		t.Error("opened for a header that can't be")
	}
}

// TestBodyBound: a body opens with the header it was made for only.
func TestBodyBound(t *testing.T) {
	k := fixedSeal(t, 1)
	h := testHeader(t, KindHead)
	sealed := sealTestBody(t, h, []byte("body"), k)
	for name, change := range map[string]func(*Header){
		"kind":      func(h *Header) { h.Kind = KindProfile },
		"format":    func(h *Header) { h.Format = 2 },
		"network":   func(h *Header) { h.Network[0]++ },
		"name":      func(h *Header) { h.Name = "bob.id" },
		"device":    func(h *Header) { h.Device[0]++ },
		"locator":   func(h *Header) { h.Locator = bytes.Repeat([]byte{7}, 32) },
		"seq":       func(h *Header) { h.Seq++ },
		"prev seq":  func(h *Header) { h.PrevSeq-- },
		"prev hash": func(h *Header) { h.PrevHash[0]++ },
		"time":      func(h *Header) { h.Time++ },
		"addition":  func(h *Header) { h.Extra = canon.Extra{128: {0}} },
	} {
		other := h
		change(&other)
		if _, err := OpenBody(other, sealed, k); err != ErrOpen {
			t.Errorf("another %s: %v", name, err)
		}
	}
	h.Body = Sum(sealed) // not known when the body is sealed
	h.Format = 0         // as a writer may leave it
	if _, err := OpenBody(h, sealed, k); err != nil {
		t.Errorf("with the body's hash: %v", err)
	}
}

func TestBodyFlipped(t *testing.T) {
	k := fixedSeal(t, 1)
	h := testHeader(t, KindHead)
	sealed := sealTestBody(t, h, []byte("the body of a head"), k, k)
	flips(sealed, 40, func(what string, b []byte) {
		got, err := OpenBody(h, b, k)
		// With a damaged wrap the other, to the same key, still opens.
		if err == nil && (len(b) != len(sealed) || !bytes.Equal(b[:33], sealed[:33]) || !bytes.Equal(b[33+2*wrapLen:], sealed[33+2*wrapLen:])) {
			t.Errorf("%s: got %q", what, got)
		}
		if err != nil && err != ErrOpen {
			t.Errorf("%s: %v", what, err)
		}
	})
	one := sealTestBody(t, h, []byte("x"), k)
	flips(one[33:33+2*wrapLen], 0, func(what string, wraps []byte) {
		if len(wraps) != 2*wrapLen {
			return
		}
		b := append(append(bytes.Clone(one[:33]), wraps...), one[33+2*wrapLen:]...)
		if got, err := OpenBody(h, b, k); err == nil && !bytes.Equal(got, []byte("x")) {
			t.Errorf("%s in the wraps: got %q", what, got)
		}
	})
}

// TestBodyCommits: an author who gives two readers different body keys, and
// finds a ciphertext that both open, gets only the committed one read. The
// second key stands in for such a find: the commitment is all that differs.
func TestBodyCommits(t *testing.T) {
	alice, bob := fixedSeal(t, 1), fixedSeal(t, 2)
	h := testHeader(t, KindHead)
	aad := h.AAD()
	build := func(committed, wrapped, sealed [32]byte) []byte {
		c := derive(committed[:], "head commit")
		out := append(c[:], 1)
		for _, k := range []*SealKey{alice, bob} {
			w, err := SealTo(k.Public(), aad, wrapped[:])
			if err != nil {
				t.Fatal(err)
			}
			out = append(out, w...)
		}
		return sealText(out, sealed[:], []byte("text"), aad)
	}
	one, two := fixed(10), fixed(11)
	if got, err := OpenBody(h, build(one, one, one), bob); err != nil || string(got) != "text" {
		t.Errorf("honest: %q, %v", got, err)
	}
	if got, err := OpenBody(h, build(one, two, two), bob); err != ErrOpen {
		t.Errorf("a key that was not committed to: %q, %v", got, err)
	}
	if got, err := OpenBody(h, build(one, one, two), bob); err != ErrOpen {
		t.Errorf("a ciphertext of another key: %q, %v", got, err)
	}
	// A wrap of something that is no key, in front of the right one.
	c := derive(one[:], "head commit")
	out := append(c[:], 1)
	for _, key := range [][]byte{make([]byte, 32), one[:]} {
		w, err := SealTo(bob.Public(), aad, key)
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, w...)
	}
	if got, err := OpenBody(h, sealText(out, one[:], []byte("text"), aad), bob); err != nil || string(got) != "text" {
		t.Errorf("behind a useless wrap: %q, %v", got, err)
	}
}

// TestBodyShuffled: where a reader's wrap is tells nothing about him.
func TestBodyShuffled(t *testing.T) {
	k := fixedSeal(t, 1)
	h := testHeader(t, KindHead)
	seen := map[int]int{}
	for range 40 {
		sealed := sealTestBody(t, h, nil, k)
		for i := range 2 {
			if _, err := k.Open(h.AAD(), sealed[33+i*wrapLen:][:wrapLen]); err == nil {
				seen[i]++
			}
		}
	}
	if seen[0] == 0 || seen[1] == 0 || seen[0]+seen[1] != 40 {
		t.Errorf("places of the wrap: %v", seen)
	}
	for _, n := range []int{1, 2, 8, 128} {
		got := map[int]bool{}
		for _, i := range shuffled(n) {
			got[i] = i >= 0 && i < n
		}
		if len(got) != n {
			t.Errorf("%d: only %d places", n, len(got))
		}
	}
}

func TestBodyKnownAnswer(t *testing.T) {
	alice, bob := fixedSeal(t, 1), fixedSeal(t, 2)
	h := testHeader(t, KindHead)
	plain := []byte("the body of a head")
	sealed := known(t, "body.hex", sealTestBody(t, h, plain, alice, bob, fixedSeal(t, 3)))
	wantKnown(t, "body-aad.hex", h.AAD())
	for _, k := range []*SealKey{alice, bob} {
		if got, err := OpenBody(h, sealed, k); err != nil || !bytes.Equal(got, plain) {
			t.Errorf("got %q, %v", got, err)
		}
	}
}

func FuzzBody(f *testing.F) {
	k := fixedSeal(f, 1)
	h := testHeader(f, KindHead)
	f.Add(sealTestBody(f, h, []byte("body"), k))
	f.Add(append(make([]byte, 32), 7))
	f.Add(append(make([]byte, 32), 255))
	f.Fuzz(func(t *testing.T, sealed []byte) {
		if len(sealed) > 20<<10 {
			return // every wrap takes time
		}
		if _, err := OpenBody(h, sealed, k); err != nil && err != ErrOpen {
			t.Fatal(err)
		}
	})
}
