package crypto

import (
	"errors"
	"fmt"

	"github.com/btcsuite/btcd/btcec/v2"
	"github.com/btcsuite/btcd/btcec/v2/schnorr"
	"github.com/btcsuite/btcd/chainhash/v2"

	"satchel/crypto/canon"
)

// A Kind says what an envelope holds.
type Kind string

// The kinds of envelopes.
const (
	KindProfile Kind = "profile"
	KindHead    Kind = "head"
	KindPulse   Kind = "pulse"
)

// Format is the newest format of envelopes that this code writes and reads.
const Format = 1

// MaxSeq is the highest number an envelope can have.
const MaxSeq = 1<<53 - 1

// maxNameLen bounds a name in a header.
const maxNameLen = 255

// MaxSize returns how many bytes an envelope of kind k may have; 0 if k is
// none.
func (k Kind) MaxSize() int {
	switch k {
	case KindProfile:
		return 512 << 10
	case KindHead:
		return 1 << 20
	case KindPulse:
		return 64 << 10
	}
	return 0
}

var (
	// ErrVerify reports something that its supposed author did not sign, or
	// that was changed afterwards.
	ErrVerify = errors.New("signature or hash does not verify")
	// ErrFormat reports an envelope of a newer format than this code knows.
	ErrFormat = errors.New("written by a newer version of satchel")
)

// A Header is what an envelope's signature covers.
type Header struct {
	Kind     Kind        `cbor:"1,keyasint"`
	Format   uint64      `cbor:"2,keyasint"` // 0 stands for Format when signing
	Network  Network     `cbor:"3,keyasint"`
	Name     string      `cbor:"4,keyasint"`
	Device   DeviceID    `cbor:"5,keyasint"`
	Locator  []byte      `cbor:"6,keyasint,omitempty"` // 32 bytes in a head's, else empty
	Seq      uint64      `cbor:"7,keyasint"`
	PrevSeq  uint64      `cbor:"8,keyasint,omitempty"` // 0: the first
	PrevHash Hash        `cbor:"9,keyasint,omitzero"`
	Time     int64       `cbor:"10,keyasint"`          // ns since 1970 UTC
	Body     Hash        `cbor:"11,keyasint,omitzero"` // set by SignEnvelope
	Extra    canon.Extra `cbor:"-"`                    // of a newer version
}

// AAD returns the header without the body's hash: what a sealed body is bound to.
func (h Header) AAD() []byte {
	h.Body = Hash{}
	b, err := h.encode()
	if err != nil {
		return nil // no text in a header but valid names; SealBody and OpenBody refuse nil
	}
	return b
}

func (h Header) encode() ([]byte, error) {
	if h.Format == 0 {
		h.Format = Format
	}
	return canon.Marshal(h)
}

// check returns what is wrong with h by itself.
func (h *Header) check() error {
	want := 0
	if h.Kind == KindHead {
		want = len(Locator{})
	}
	switch {
	case h.Kind.MaxSize() == 0:
		return fmt.Errorf("unknown kind %q", h.Kind)
	case h.Format != Format:
		return fmt.Errorf("%s of format %d: %w", h.Kind, h.Format, ErrFormat)
	case h.Name == "" || len(h.Name) > maxNameLen:
		return fmt.Errorf("%s with a name of %d bytes", h.Kind, len(h.Name))
	case len(h.Locator) != want:
		return fmt.Errorf("%s with a locator of %d bytes", h.Kind, len(h.Locator))
	case h.Seq < 1 || h.Seq > MaxSeq:
		return fmt.Errorf("%s with number %d", h.Kind, h.Seq)
	case h.PrevSeq >= h.Seq || (h.PrevSeq == 0) != (h.PrevHash == Hash{}):
		return fmt.Errorf("%s %d with %d as its previous one", h.Kind, h.Seq, h.PrevSeq)
	}
	return nil
}

// An Envelope is a signed object as it is stored. Nothing of it may be
// believed before Verify.
type Envelope struct {
	Header
	HeaderBytes []byte
	Body        []byte
	Signature   []byte
}

type wireEnvelope struct {
	_         struct{} `cbor:",toarray"`
	Header    []byte
	Body      []byte
	Signature []byte
}

// SignEnvelope signs h and body, of which it enters the hash, and returns the
// envelope's bytes and its hash. A profile is signed by the data key, the rest
// by the device's.
func SignEnvelope[K *btcec.PrivateKey | *SigningKey](key K, h Header, body []byte) (raw []byte, hash Hash, err error) {
	var priv *btcec.PrivateKey
	switch k := any(key).(type) {
	case *btcec.PrivateKey:
		priv = k
	case *SigningKey:
		priv = k.key
	}
	if h.Format == 0 {
		h.Format = Format
	}
	if err := h.check(); err != nil {
		return nil, Hash{}, fmt.Errorf("sign: %w", err)
	}
	h.Body = Sum(body)
	header, err := h.encode()
	if err != nil {
		return nil, Hash{}, fmt.Errorf("sign %s: %w", h.Kind, err)
	}
	sig, err := schnorr.Sign(priv, signed(h.Kind, header))
	if err != nil {
		return nil, Hash{}, fmt.Errorf("sign %s: %w", h.Kind, err)
	}
	raw, err = canon.Marshal(wireEnvelope{Header: header, Body: body, Signature: sig.Serialize()})
	if err != nil {
		return nil, Hash{}, fmt.Errorf("sign %s: %w", h.Kind, err)
	}
	if len(raw) > h.Kind.MaxSize() {
		return nil, Hash{}, fmt.Errorf("sign %s: %d bytes, at most %d", h.Kind, len(raw), h.Kind.MaxSize())
	}
	return raw, Sum(header), nil
}

// signed returns the 32 bytes that a signature covers: BIP-340's tagged hash
// of the header bytes, with a tag of its own for each kind.
func signed(k Kind, header []byte) []byte {
	return chainhash.TaggedHash([]byte("satchel/v1/"+string(k)), header)[:]
}

// ParseEnvelope splits an envelope and checks its size, kind, format and the
// header by itself. Who may sign it, and whether it is what was asked for, the
// caller checks before Verify, which comes before any use of the body.
func ParseEnvelope(raw []byte) (*Envelope, error) {
	if len(raw) > KindHead.MaxSize() {
		return nil, fmt.Errorf("envelope of %d bytes", len(raw))
	}
	var w wireEnvelope
	if err := canon.Unmarshal(raw, &w); err != nil {
		return nil, fmt.Errorf("envelope: %w", err)
	}
	e := &Envelope{HeaderBytes: w.Header, Body: w.Body, Signature: w.Signature}
	if err := canon.Unmarshal(w.Header, &e.Header); err != nil {
		return nil, fmt.Errorf("envelope header: %w", err)
	}
	if err := e.Header.check(); err != nil {
		return nil, fmt.Errorf("envelope: %w", err)
	}
	if len(raw) > e.Kind.MaxSize() {
		return nil, fmt.Errorf("envelope: %s of %d bytes", e.Kind, len(raw))
	}
	return e, nil
}

// Hash returns what names this envelope in others: the hash of its header bytes.
func (e *Envelope) Hash() Hash { return Sum(e.HeaderBytes) }

// Verify returns nil if pub signed the header and the header names the body;
// else ErrVerify.
func (e *Envelope) Verify(pub PublicKey) error {
	key, err := schnorr.ParsePubKey(pub[:])
	if err != nil {
		return ErrVerify
	}
	sig, err := schnorr.ParseSignature(e.Signature)
	if err != nil || !sig.Verify(signed(e.Kind, e.HeaderBytes), key) {
		return ErrVerify
	}
	if Sum(e.Body) != e.Header.Body {
		return ErrVerify
	}
	return nil
}
