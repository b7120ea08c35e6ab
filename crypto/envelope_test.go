package crypto

import (
	"bytes"
	"errors"
	"testing"

	"github.com/btcsuite/btcd/btcec/v2/schnorr"

	"satchel/crypto/canon"
)

func testHeader(t testing.TB, kind Kind) Header {
	h := Header{
		Kind: kind, Format: Format, Network: Network{'s', 'a', 1, 2, 3, 4, 5, 6, 7, 8}, Name: "alice.id",
		Device: fixedSigning(t, 1).Device(), Seq: 300, PrevSeq: 299, PrevHash: Sum([]byte("previous")), Time: 1_700_000_000_000_000_001,
	}
	if kind == KindHead {
		l := fixed(9)
		h.Locator = l[:]
	}
	return h
}

func TestEnvelopeKnownAnswer(t *testing.T) {
	key := fixedSigning(t, 1)
	for _, kind := range []Kind{KindProfile, KindHead, KindPulse} {
		h := testHeader(t, kind)
		if kind == KindPulse {
			h.Seq, h.PrevSeq, h.PrevHash = 1, 0, Hash{}
		}
		raw, hash, err := SignEnvelope(key, h, []byte("body of a "+string(kind)))
		if err != nil {
			t.Fatal(err)
		}
		wantKnown(t, "envelope-"+string(kind)+".hex", raw)
		same, _, err := SignEnvelope(key.key, h, []byte("body of a "+string(kind)))
		if err != nil || !bytes.Equal(same, raw) {
			t.Errorf("%s: signed otherwise by the bare key: %v", kind, err)
		}
		e, err := ParseEnvelope(raw)
		if err != nil {
			t.Fatal(err)
		}
		if err := e.Verify(key.Public()); err != nil {
			t.Errorf("%s: %v", kind, err)
		}
		if e.Hash() != hash || string(e.Body) != "body of a "+string(kind) {
			t.Errorf("%s: hash %v, body %q", kind, e.Hash(), e.Body)
		}
		h.Body = Sum(e.Body)
		if got, want := e.Header.AAD(), h.AAD(); !bytes.Equal(got, want) || got == nil {
			t.Errorf("%s: header %+v, want %+v", kind, e.Header, h)
		}
		if err := e.Verify(fixedSigning(t, 2).Public()); err != ErrVerify {
			t.Errorf("%s by another key: %v", kind, err)
		}
		if err := e.Verify(PublicKey{}); err != ErrVerify {
			t.Errorf("%s by no key: %v", kind, err)
		}
	}
}

// TestEnvelopeChanged: each field of the header counts, as do body and
// signature.
func TestEnvelopeChanged(t *testing.T) {
	key := fixedSigning(t, 1)
	for name, change := range map[string]func(*Header){
		"kind":      func(h *Header) { h.Kind, h.Locator = KindPulse, nil },
		"network":   func(h *Header) { h.Network[9]++ },
		"name":      func(h *Header) { h.Name = "alicf.id" },
		"device":    func(h *Header) { h.Device[0]++ },
		"locator":   func(h *Header) { h.Locator = append([]byte{h.Locator[0] + 1}, h.Locator[1:]...) },
		"seq":       func(h *Header) { h.Seq++ },
		"prev seq":  func(h *Header) { h.PrevSeq-- },
		"no prev":   func(h *Header) { h.PrevSeq, h.PrevHash = 0, Hash{} },
		"prev hash": func(h *Header) { h.PrevHash[31]++ },
		"time":      func(h *Header) { h.Time++ },
		"body hash": func(h *Header) { h.Body[0]++ },
		"no body":   func(h *Header) { h.Body = Hash{} },
		"addition":  func(h *Header) { h.Extra = canon.Extra{128: {0}} },
	} {
		raw, _, err := SignEnvelope(key, testHeader(t, KindHead), []byte("body"))
		if err != nil {
			t.Fatal(err)
		}
		e, err := ParseEnvelope(raw)
		if err != nil {
			t.Fatal(err)
		}
		h := e.Header
		change(&h)
		header, err := h.encode()
		if err != nil {
			t.Fatal(err)
		}
		raw, err = canon.Marshal(wireEnvelope{Header: header, Body: e.Body, Signature: e.Signature})
		if err != nil {
			t.Fatal(err)
		}
		changed, err := ParseEnvelope(raw)
		if err != nil {
			t.Errorf("%s: not well formed: %v", name, err)
			continue
		}
		if err := changed.Verify(key.Public()); err != ErrVerify {
			t.Errorf("%s changed: %v", name, err)
		}
		if changed.Hash() == e.Hash() {
			t.Errorf("%s changed: same hash", name)
		}
	}
}

func TestEnvelopeFlipped(t *testing.T) {
	key := fixedSigning(t, 1)
	raw, _, err := SignEnvelope(key, testHeader(t, KindHead), []byte("body"))
	if err != nil {
		t.Fatal(err)
	}
	flips(raw, len(raw), func(what string, b []byte) {
		e, err := ParseEnvelope(b)
		if err == nil {
			err = e.Verify(key.Public())
		}
		if err == nil {
			t.Errorf("%s: accepted", what)
		}
	})
}

// TestEnvelopeKinds: what is signed as one kind is not valid as another, even
// if the header bytes could be the same.
func TestEnvelopeKinds(t *testing.T) {
	if bytes.Equal(signed(KindPulse, []byte("x")), signed(KindProfile, []byte("x"))) {
		t.Error("kinds share a tag")
	}
}

// signAny signs whatever header bytes say, as only a broken or hostile writer
// would.
func signAny(t *testing.T, key *SigningKey, h Header, body []byte) []byte {
	t.Helper()
	h.Body = Sum(body)
	header, err := canon.Marshal(h)
	if err != nil {
		t.Fatal(err)
	}
	sig, err := schnorr.Sign(key.key, signed(h.Kind, header))
	if err != nil {
		t.Fatal(err)
	}
	raw, err := canon.Marshal(wireEnvelope{Header: header, Body: body, Signature: sig.Serialize()})
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

func TestEnvelopeRefused(t *testing.T) {
	key := fixedSigning(t, 1)
	for name, change := range map[string]func(*Header){
		"unknown kind":       func(h *Header) { h.Kind = "herd" },
		"no kind":            func(h *Header) { h.Kind = "" },
		"format 0":           func(h *Header) { h.Format = 0 },
		"format 2":           func(h *Header) { h.Format = 2 },
		"no name":            func(h *Header) { h.Name = "" },
		"long name":          func(h *Header) { h.Name = string(bytes.Repeat([]byte("a"), 256)) },
		"no locator":         func(h *Header) { h.Locator = nil },
		"short locator":      func(h *Header) { h.Locator = h.Locator[:31] },
		"long locator":       func(h *Header) { h.Locator = append(bytes.Clone(h.Locator), 0) },
		"locator of a pulse": func(h *Header) { h.Kind = KindPulse },
		"seq 0":              func(h *Header) { h.Seq, h.PrevSeq, h.PrevHash = 0, 0, Hash{} },
		"seq 2^53":           func(h *Header) { h.Seq = 1 << 53 },
		"prev not before":    func(h *Header) { h.PrevSeq = h.Seq },
		"prev without hash":  func(h *Header) { h.PrevHash = Hash{} },
		"hash without prev":  func(h *Header) { h.PrevSeq = 0 },
	} {
		h := testHeader(t, KindHead)
		change(&h)
		if _, err := ParseEnvelope(signAny(t, key, h, nil)); err == nil {
			t.Errorf("%s: parsed", name)
		} else if name == "format 2" && !errors.Is(err, ErrFormat) {
			t.Errorf("%s: %v, want ErrFormat", name, err)
		}
		if h.Format == 0 {
			continue // stands for the current one when signing
		}
		if _, _, err := SignEnvelope(key, h, nil); err == nil {
			t.Errorf("%s: signed", name)
		}
	}
	if _, err := ParseEnvelope(signAny(t, key, testHeader(t, KindHead), nil)); err != nil {
		t.Errorf("the unchanged one: %v", err)
	}
}

func TestEnvelopeSizes(t *testing.T) {
	key := fixedSigning(t, 1)
	for _, kind := range []Kind{KindProfile, KindHead, KindPulse} {
		h := testHeader(t, kind)
		over := len(signAny(t, key, h, make([]byte, 1<<17))) - 1<<17 // what is not body
		body := make([]byte, kind.MaxSize()-over)
		if kind == KindPulse {
			body = append(body, 0, 0) // a length below 2^16 takes less
		}
		raw, _, err := SignEnvelope(key, h, body)
		if err != nil || len(raw) != kind.MaxSize() {
			t.Fatalf("%s: %d bytes, %v", kind, len(raw), err)
		}
		if _, err := ParseEnvelope(raw); err != nil {
			t.Errorf("%s of the greatest size: %v", kind, err)
		}
		if _, _, err := SignEnvelope(key, h, append(body, 0)); err == nil {
			t.Errorf("%s: signed one that is too large", kind)
		}
		if _, err := ParseEnvelope(signAny(t, key, h, append(body, 0))); err == nil {
			t.Errorf("%s: parsed one that is too large", kind)
		}
	}
}

// TestHeaderAdditions: fields of a later version are covered by the signature
// and by what a body is bound to; those below 128 are refused.
func TestHeaderAdditions(t *testing.T) {
	key := fixedSigning(t, 1)
	h := testHeader(t, KindHead)
	h.Extra = canon.Extra{128: {0x01}, 1000: {0x61, 'x'}}
	raw, _, err := SignEnvelope(key, h, []byte("body"))
	if err != nil {
		t.Fatal(err)
	}
	e, err := ParseEnvelope(raw)
	if err != nil || e.Verify(key.Public()) != nil {
		t.Fatalf("with additions: %v", err)
	}
	if !bytes.Equal(e.AAD(), h.AAD()) || bytes.Equal(e.AAD(), testHeader(t, KindHead).AAD()) {
		t.Error("a body is not bound to the additions")
	}
	header := bytes.Replace(e.HeaderBytes, []byte{0x18, 0x80, 0x01}, []byte{0x18, 0x7f, 0x01}, 1)
	raw, err = canon.Marshal(wireEnvelope{Header: header, Body: e.Body, Signature: e.Signature})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := ParseEnvelope(raw); !errors.Is(err, canon.ErrForm) {
		t.Errorf("key 127: %v", err)
	}
}

func FuzzEnvelope(f *testing.F) {
	key := fixedSigning(f, 1)
	for _, kind := range []Kind{KindProfile, KindHead, KindPulse} {
		raw, _, err := SignEnvelope(key, testHeader(f, kind), []byte("body"))
		if err != nil {
			f.Fatal(err)
		}
		f.Add(raw)
	}
	f.Add([]byte{0x83, 0x40, 0x40, 0x40})
	f.Fuzz(func(t *testing.T, raw []byte) {
		e, err := ParseEnvelope(raw)
		if err != nil {
			return
		}
		again, err := canon.Marshal(wireEnvelope{Header: e.HeaderBytes, Body: e.Body, Signature: e.Signature})
		if err != nil || !bytes.Equal(again, raw) {
			t.Fatalf("encodes to %x, %v", again, err)
		}
		if header, err := e.encode(); err != nil || !bytes.Equal(header, e.HeaderBytes) {
			t.Fatalf("header encodes to %x, %v", header, err)
		}
		if e.AAD() == nil {
			t.Fatal("nothing to bind a body to")
		}
		e.Verify(key.Public())
	})
}
